//! A streaming tar reader for untrusted input: ustar, GNU long names and sparse files, PAX.
//!
//! The `tar` crate parses single header blocks; walking them is done here, because its iterator reads long names and PAX
//! headers of any length into memory, and knows only one of the four sparse formats. Formats: POSIX.1-2017 pax,
//! "ustar Interchange Format"; GNU tar manual, "Basic Tar Format" and "Storing Sparse Files".

use std::collections::BTreeMap;
use std::io::{self, Read};

use tar::Header;

use crate::limits::{Budget, Exceeded};
use crate::sparse::{self, Extent};

const BLOCK: usize = 512;

/// The stream is not a tar archive, or one that goes beyond the limits.
#[derive(Debug, thiserror::Error)]
pub enum TarError {
    /// The stream could not be read or decompressed.
    #[error("failed to read the archive")]
    Read {
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// The stream ends before its archive does.
    #[error("unexpected EOF: the archive is truncated in `{entry}`")]
    Truncated {
        /// The last entry that was begun.
        entry: String,
    },
    /// This is no tar header.
    #[error("invalid tar header after `{entry}`: {reason}")]
    Header {
        /// The last entry that was read.
        entry: String,
        /// What is wrong.
        reason: &'static str,
    },
    /// More than the limits allow.
    #[error("the archive goes beyond a limit in `{entry}`: {reason}")]
    Limit {
        /// The last entry that was read.
        entry: String,
        /// Which limit.
        reason: String,
    },
    /// A path, link target or PAX header is longer than the limit.
    #[error("the archive has a {what} of {bytes} bytes after `{entry}`; the limit is {limit}")]
    TooLong {
        /// What is too long.
        what: &'static str,
        /// The last entry that was read.
        entry: String,
        /// How long it is.
        bytes: u64,
        /// The limit.
        limit: u64,
    },
}

/// What an entry is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    File,
    HardLink,
    Symlink,
    CharDevice,
    BlockDevice,
    Directory,
    Fifo,
    /// Something that is no file, to be skipped.
    Other(u8),
}

/// One entry, with what extension headers say already applied.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) kind: Kind,
    /// As in the archive, neither normalised nor trusted.
    pub(crate) path: Vec<u8>,
    pub(crate) link: Vec<u8>,
    pub(crate) mode: u32,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    pub(crate) mtime: (i64, u32),
    pub(crate) device: (u32, u32),
    /// Bytes that [`TarReader::read`] will give.
    pub(crate) size: u64,
    pub(crate) xattrs: Vec<(Vec<u8>, Vec<u8>)>,
    /// Where the bytes go, and the file's real size, when it has holes.
    pub(crate) sparse: Option<(Vec<Extent>, u64)>,
}

type Pax = BTreeMap<Vec<u8>, Vec<u8>>;

/// What stood before an entry about it.
#[derive(Default)]
struct Extensions {
    path: Option<Vec<u8>>,
    link: Option<Vec<u8>>,
    pax: Pax,
    /// `GNU.sparse.offset` and `.numbytes` of format 0.0, the one key that repeats.
    sparse_pairs: Vec<u64>,
}

/// Walks the entries of a tar stream; `read` gives the current entry's bytes.
pub(crate) struct TarReader<R> {
    inner: R,
    budget: Budget,
    data: u64,
    padding: u64,
    last: Vec<u8>,
    ended: bool,
}

impl<R: Read> TarReader<R> {
    pub(crate) fn new(inner: R, budget: Budget) -> Self {
        Self { inner, budget, data: 0, padding: 0, last: Vec::new(), ended: false }
    }

    /// Whether the end marker was there; without it the archive may have been cut between two entries.
    pub(crate) fn ended(&self) -> bool {
        self.ended
    }

    /// The stream below, for what follows the archive.
    pub(crate) fn into_inner(self) -> R {
        self.inner
    }

    /// The next entry, after skipping what is left of the current one.
    pub(crate) fn next_entry(&mut self) -> Result<Option<Entry>, TarError> {
        let mut extensions = Extensions::default();
        loop {
            self.skip_rest()?;
            let Some(header) = self.header()? else { return Ok(None) };
            self.budget.entry().map_err(|error| self.beyond(error))?;
            let size = header.entry_size().map_err(|_| self.bad("bad size"))?;
            self.begin_data(size)?;
            match header.entry_type().as_byte() {
                b'L' => extensions.path = Some(self.long_name("path", size)?),
                b'K' => extensions.link = Some(self.long_name("link target", size)?),
                b'x' | b'X' => self.pax(size, &mut extensions)?,
                // Global headers carry remarks (`git archive`'s commit id); nothing in them concerns a file here.
                b'g' => {}
                _ => return self.entry(&header, extensions).map(Some),
            }
        }
    }

    /// Bytes of the current entry; 0 at its end.
    pub(crate) fn read(&mut self, buffer: &mut [u8]) -> Result<usize, TarError> {
        let want = buffer.len().min(usize::try_from(self.data).unwrap_or(usize::MAX));
        if want == 0 {
            return Ok(0);
        }
        let read = self.read_some(&mut buffer[..want])?;
        if read == 0 {
            return Err(self.truncated());
        }
        self.data -= read as u64;
        Ok(read)
    }

    fn entry(&mut self, header: &Header, mut extensions: Extensions) -> Result<Entry, TarError> {
        let pax = &mut extensions.pax;
        let mut path = extensions.path.or_else(|| pax.remove(b"path".as_slice()));
        let path = path.take().unwrap_or_else(|| header.path_bytes().into_owned());
        let link = extensions.link.or_else(|| pax.remove(b"linkpath".as_slice()));
        let link = link.unwrap_or_else(|| header.link_name_bytes().map(|l| l.into_owned()).unwrap_or_default());
        for (what, bytes) in [("path", &path), ("link target", &link)] {
            self.check_length(what, bytes.len() as u64, self.budget.limits.path_bytes as u64)?;
        }
        self.last.clone_from(&path);
        if let Some(size) = pax.get(b"size".as_slice()) {
            let size = decimal(size).ok_or_else(|| self.bad("bad PAX size"))?;
            self.begin_data(size)?;
        }
        let kind = kind_of(header.entry_type().as_byte(), &path);
        // Links, devices and directories have no data, whatever their size field says (it may be the target's).
        if matches!(header.entry_type().as_byte(), b'1'..=b'6') {
            self.begin_data(0)?;
        }
        let sparse = self.sparse_map(header, &extensions.pax, &extensions.sparse_pairs)?;
        let length = sparse.as_ref().map_or(self.data, |(_, size)| *size);
        self.budget.file(length).map_err(|error| self.beyond(error))?;
        let path = match extensions.pax.remove(b"GNU.sparse.name".as_slice()) {
            Some(name) if sparse.is_some() => name,
            _ => path,
        };
        let pax = &extensions.pax;
        let old = header.as_old();
        // Writers leave fields blank that they have nothing to say in.
        let id = |key: &[u8], field: &[u8], read: io::Result<u64>| match pax.get(key) {
            Some(text) => decimal(text),
            None if is_blank(field) => Some(0),
            None => read.ok(),
        };
        // CVE-2024-40635: an id that does not fit must not wrap around to root.
        let uid = id(b"uid", &old.uid, header.uid()).and_then(|id| u32::try_from(id).ok()).filter(|id| *id != u32::MAX);
        let gid = id(b"gid", &old.gid, header.gid()).and_then(|id| u32::try_from(id).ok()).filter(|id| *id != u32::MAX);
        let mode = if is_blank(&old.mode) { Ok(0o644) } else { header.mode().map_err(|_| self.bad("bad mode")) }?;
        let device = |field: io::Result<Option<u32>>| field.ok().flatten().unwrap_or(0);
        Ok(Entry {
            kind,
            link,
            mode: mode & 0o7777,
            uid: uid.ok_or_else(|| self.bad("bad user id"))?,
            gid: gid.ok_or_else(|| self.bad("bad group id"))?,
            mtime: pax.get(b"mtime".as_slice()).and_then(|text| timestamp(text)).unwrap_or_else(|| mtime(header)),
            device: (device(header.device_major()), device(header.device_minor())),
            size: self.data,
            xattrs: xattrs(&extensions.pax),
            sparse,
            path,
        })
    }

    fn sparse_map(
        &mut self,
        header: &Header,
        pax: &Pax,
        pairs: &[u64],
    ) -> Result<Option<(Vec<Extent>, u64)>, TarError> {
        let found = if header.entry_type().is_gnu_sparse() {
            Some(self.gnu_sparse(header)?)
        } else if pax.get(b"GNU.sparse.major".as_slice()).is_some_and(|major| major == b"1") {
            let size = pax.get(b"GNU.sparse.realsize".as_slice()).and_then(|text| decimal(text));
            let extents = sparse::read_map(&mut || self.data_block())?;
            extents.zip(size)
        } else if let Some(size) = pax.get(b"GNU.sparse.size".as_slice()) {
            let numbers = match pax.get(b"GNU.sparse.map".as_slice()) {
                Some(map) => map.split(|byte| *byte == b',').map(decimal).collect(),
                None => Some(pairs.to_vec()),
            };
            numbers.and_then(|numbers| sparse::pair_up(&numbers)).zip(decimal(size))
        } else {
            return Ok(None);
        };
        let (extents, size) = found.ok_or_else(|| self.bad("bad sparse map"))?;
        if !sparse::is_consistent(&extents, size, self.data) {
            return Err(self.bad("sparse map contradicts the size"));
        }
        self.budget.extents(extents.len()).map_err(|error| self.beyond(error))?;
        Ok(Some((extents, size)))
    }

    fn gnu_sparse(&mut self, header: &Header) -> Result<(Vec<Extent>, u64), TarError> {
        let gnu = header.as_gnu().ok_or_else(|| self.bad("sparse entry without GNU header"))?;
        let size = gnu.real_size().map_err(|_| self.bad("bad sparse size"))?;
        let mut extents = Vec::new();
        sparse::push_gnu(&mut extents, &gnu.sparse).ok_or_else(|| self.bad("bad sparse map"))?;
        let mut more = gnu.is_extended();
        while more {
            let mut next = tar::GnuExtSparseHeader::new();
            // These blocks stand before the data and are not counted in its size.
            if !self.read_block(next.as_mut_bytes())? {
                return Err(self.truncated());
            }
            sparse::push_gnu(&mut extents, &next.sparse).ok_or_else(|| self.bad("bad sparse map"))?;
            more = next.is_extended();
        }
        Ok((extents, size))
    }

    /// One block of the current entry's data.
    fn data_block(&mut self) -> Result<[u8; BLOCK], TarError> {
        let mut block = [0; BLOCK];
        if self.data < BLOCK as u64 {
            return Err(self.bad("sparse map is cut short"));
        }
        if !self.read_block(&mut block)? {
            return Err(self.truncated());
        }
        self.data -= BLOCK as u64;
        Ok(block)
    }

    fn begin_data(&mut self, size: u64) -> Result<(), TarError> {
        // More than any file can have, and room for sums.
        if i64::try_from(size).is_err() {
            return Err(self.bad("bad size"));
        }
        self.data = size;
        self.padding = (BLOCK as u64 - size % BLOCK as u64) % BLOCK as u64;
        Ok(())
    }

    fn long_name(&mut self, what: &'static str, size: u64) -> Result<Vec<u8>, TarError> {
        // GNU tar counts the closing NUL.
        self.check_length(what, size.saturating_sub(1), self.budget.limits.path_bytes as u64)?;
        let mut name = self.read_data(size)?;
        while name.last() == Some(&0) {
            name.pop();
        }
        Ok(name)
    }

    fn pax(&mut self, size: u64, extensions: &mut Extensions) -> Result<(), TarError> {
        self.check_length("PAX header", size, self.budget.limits.pax_bytes as u64)?;
        let bytes = self.read_data(size)?;
        let mut rest = bytes.as_slice();
        while !rest.is_empty() {
            let (key, value, after) = pax_record(rest).ok_or_else(|| self.bad("bad PAX record"))?;
            if matches!(key, b"GNU.sparse.offset" | b"GNU.sparse.numbytes") {
                extensions.sparse_pairs.push(decimal(value).ok_or_else(|| self.bad("bad sparse map"))?);
            } else {
                extensions.pax.insert(key.to_vec(), value.to_vec());
            }
            rest = after;
        }
        Ok(())
    }

    /// All data of a short entry.
    fn read_data(&mut self, size: u64) -> Result<Vec<u8>, TarError> {
        let mut bytes = vec![0; usize::try_from(size).unwrap_or(0)];
        let mut filled = 0;
        while filled < bytes.len() {
            filled += self.read(&mut bytes[filled..])?;
        }
        Ok(bytes)
    }

    fn header(&mut self) -> Result<Option<Header>, TarError> {
        let mut block = [0; BLOCK];
        if !self.read_block(&mut block)? {
            return Ok(None);
        }
        if block.iter().all(|byte| *byte == 0) {
            self.ended = true;
            return Ok(None);
        }
        let header = Header::from_byte_slice(&block).clone();
        let sum = |value: fn(u8) -> i64| -> i64 {
            let spaces = 8 * i64::from(b' ');
            block.iter().enumerate().filter(|(at, _)| !(148..156).contains(at)).map(|(_, b)| value(*b)).sum::<i64>()
                + spaces
        };
        // Some old writers summed signed bytes.
        let expected = header.cksum().map(i64::from).unwrap_or(-1);
        if expected != sum(i64::from) && expected != sum(|byte| i64::from(byte.cast_signed())) {
            return Err(self.bad("checksum does not match"));
        }
        Ok(Some(header))
    }

    fn skip_rest(&mut self) -> Result<(), TarError> {
        let mut buffer = [0; 16 * BLOCK];
        while self.data + self.padding > 0 {
            let left = usize::try_from(self.data + self.padding).unwrap_or(usize::MAX);
            let want = buffer.len().min(left);
            let read = self.read_some(&mut buffer[..want])? as u64;
            if read == 0 {
                return Err(self.truncated());
            }
            let from_data = read.min(self.data);
            self.data -= from_data;
            self.padding -= read - from_data;
        }
        Ok(())
    }

    /// `false` at a clean end of the stream; an end inside the block is an error.
    fn read_block(&mut self, block: &mut [u8]) -> Result<bool, TarError> {
        let mut filled = 0;
        while filled < block.len() {
            match self.read_some(&mut block[filled..])? {
                0 if filled == 0 => return Ok(false),
                0 => return Err(self.truncated()),
                read => filled += read,
            }
        }
        Ok(true)
    }

    fn read_some(&mut self, buffer: &mut [u8]) -> Result<usize, TarError> {
        loop {
            match self.inner.read(buffer) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Err(self.truncated()),
                result => return result.map_err(|source| TarError::Read { source }),
            }
        }
    }

    fn check_length(&self, what: &'static str, bytes: u64, limit: u64) -> Result<(), TarError> {
        if bytes > limit { Err(TarError::TooLong { what, entry: self.last_name(), bytes, limit }) } else { Ok(()) }
    }

    fn beyond(&self, error: Exceeded) -> TarError {
        TarError::Limit { entry: self.last_name(), reason: error.to_string() }
    }

    fn bad(&self, reason: &'static str) -> TarError {
        TarError::Header { entry: self.last_name(), reason }
    }

    fn truncated(&self) -> TarError {
        TarError::Truncated { entry: self.last_name() }
    }

    fn last_name(&self) -> String {
        printable(&self.last)
    }
}

/// A name from an archive for an error text: bounded, no control characters.
pub(crate) fn printable(name: &[u8]) -> String {
    let text = String::from_utf8_lossy(&name[..name.len().min(200)]);
    text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

fn kind_of(flag: u8, path: &[u8]) -> Kind {
    match flag {
        // Before ustar, a directory was a file whose name ends in a slash.
        b'0' | 0 if path.ends_with(b"/") => Kind::Directory,
        b'0' | 0 | b'7' | b'S' => Kind::File,
        b'1' => Kind::HardLink,
        b'2' => Kind::Symlink,
        b'3' => Kind::CharDevice,
        b'4' => Kind::BlockDevice,
        b'5' => Kind::Directory,
        b'6' => Kind::Fifo,
        other => Kind::Other(other),
    }
}

/// Reads `<length> <key>=<value>\n`; the length counts the whole record.
fn pax_record(bytes: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let space = bytes.iter().position(|byte| *byte == b' ')?;
    let length = usize::try_from(decimal(&bytes[..space])?).ok()?;
    let (record, rest) = bytes.split_at_checked(length)?;
    let body = record.get(space + 1..)?.strip_suffix(b"\n")?;
    let equals = body.iter().position(|byte| *byte == b'=')?;
    Some((&body[..equals], &body[equals + 1..], rest))
}

pub(crate) fn decimal(text: &[u8]) -> Option<u64> {
    std::str::from_utf8(text).ok().filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()))?.parse().ok()
}

/// Reads `[-]seconds[.fraction]`.
fn timestamp(text: &[u8]) -> Option<(i64, u32)> {
    let text = std::str::from_utf8(text).ok()?;
    let (seconds, fraction) = text.split_once('.').unwrap_or((text, ""));
    let nanos: String = fraction.chars().chain("000000000".chars()).take(9).collect();
    let (whole, nanos): (i64, u32) = (seconds.parse().ok()?, nanos.parse().ok()?);
    match (seconds.starts_with('-'), nanos) {
        (true, 1..) => Some((whole.checked_sub(1)?, 1_000_000_000 - nanos)),
        _ => Some((whole, nanos)),
    }
}

fn is_blank(field: &[u8]) -> bool {
    field.iter().all(|byte| matches!(byte, 0 | b' '))
}

fn mtime(header: &Header) -> (i64, u32) {
    (header.mtime().ok().and_then(|seconds| i64::try_from(seconds).ok()).unwrap_or(0), 0)
}

fn xattrs(pax: &Pax) -> Vec<(Vec<u8>, Vec<u8>)> {
    let named = |key: &Vec<u8>| key.strip_prefix(b"SCHILY.xattr.").map(<[u8]>::to_vec);
    pax.iter().filter_map(|(key, value)| Some((named(key)?, value.clone()))).collect()
}

#[cfg(test)]
mod tests;
