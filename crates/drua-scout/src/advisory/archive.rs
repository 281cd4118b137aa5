//! Files in archives: `.tar`, `.tar.gz`, `.tar.xz`, `.tar.zst`, `.zip`, and single files, packed or not.
//!
//! What it is, its first bytes say. Feeds are downloaded, so every size has a limit.

use std::io::{self, Read};

use flate2::read::{DeflateDecoder, GzDecoder};

/// Bytes of one member: the Debian tracker's JSON has 70 MB, the largest OSV record 5.
const MAX_MEMBER_BYTES: u64 = 512 << 20;
/// Bytes of all members together.
const MAX_TOTAL_BYTES: u64 = 64 << 30;
const MAX_MEMBERS: u64 = 5_000_000;
/// What a decoder of xz may use.
const XZ_MEMORY_KIB: u32 = 128 << 10;

/// An archive cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    /// Reading or unpacking failed.
    #[error("cannot read the archive")]
    Read(#[source] io::Error),
    /// A zip file is not what it should be.
    #[error("the zip file is damaged: {0}")]
    Zip(&'static str),
    /// Too much of something.
    #[error("the archive has {what}; at most {limit} are read")]
    TooLarge {
        /// `more members`, for example.
        what: &'static str,
        /// The limit.
        limit: u64,
    },
}

/// Calls `each` with the name and the bytes of every file in `bytes`; `name` is that of the whole.
///
/// # Errors
/// The archive is damaged or too large. What was read before has been handed on.
pub fn each(name: &str, bytes: &[u8], each: &mut dyn FnMut(&str, &[u8])) -> Result<(), ArchiveError> {
    let stem = |suffix: &str| name.strip_suffix(suffix).unwrap_or(name).to_owned();
    match bytes {
        [b'P', b'K', 3, 4, ..] | [b'P', b'K', 5, 6, ..] => zip(bytes, each),
        [0x1f, 0x8b, ..] => stream(&stem(".gz"), GzDecoder::new(bytes), each),
        [0xfd, b'7', b'z', b'X', b'Z', 0, ..] => {
            stream(&stem(".xz"), lzma_rust2::XzReader::new_mem_limit(bytes, true, XZ_MEMORY_KIB), each)
        }
        [0x28, 0xb5, 0x2f, 0xfd, ..] => {
            stream(&stem(".zst"), zstd::stream::read::Decoder::new(bytes).map_err(ArchiveError::Read)?, each)
        }
        _ => stream(name, bytes, each),
    }
}

/// A tar, if it is one, else one file.
fn stream(name: &str, mut reader: impl Read, each: &mut dyn FnMut(&str, &[u8])) -> Result<(), ArchiveError> {
    let mut start = Vec::with_capacity(512);
    reader.by_ref().take(512).read_to_end(&mut start).map_err(ArchiveError::Read)?;
    let is_tar = start.get(257..262) == Some(b"ustar");
    let whole = io::Cursor::new(start).chain(reader);
    if is_tar {
        return tar(whole, each);
    }
    let bytes = read_limited(whole, MAX_MEMBER_BYTES)?;
    each(name, &bytes);
    Ok(())
}

fn tar(reader: impl Read, each: &mut dyn FnMut(&str, &[u8])) -> Result<(), ArchiveError> {
    let mut archive = tar::Archive::new(reader);
    let mut budget = Budget::default();
    for entry in archive.entries().map_err(ArchiveError::Read)? {
        let entry = entry.map_err(ArchiveError::Read)?;
        if !entry.header().entry_type().is_file() {
            continue;
        }
        let name = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
        let bytes = read_limited(entry, MAX_MEMBER_BYTES)?;
        budget.spend(bytes.len())?;
        each(&name, &bytes);
    }
    Ok(())
}

fn read_limited(reader: impl Read, limit: u64) -> Result<Vec<u8>, ArchiveError> {
    let mut bytes = Vec::new();
    reader.take(limit + 1).read_to_end(&mut bytes).map_err(ArchiveError::Read)?;
    if bytes.len() as u64 > limit {
        return Err(ArchiveError::TooLarge { what: "a member with more bytes", limit });
    }
    Ok(bytes)
}

#[derive(Default)]
struct Budget {
    members: u64,
    bytes: u64,
}

impl Budget {
    fn spend(&mut self, bytes: usize) -> Result<(), ArchiveError> {
        self.members += 1;
        self.bytes += bytes as u64;
        if self.members > MAX_MEMBERS {
            return Err(ArchiveError::TooLarge { what: "more members", limit: MAX_MEMBERS });
        }
        if self.bytes > MAX_TOTAL_BYTES {
            return Err(ArchiveError::TooLarge { what: "more bytes", limit: MAX_TOTAL_BYTES });
        }
        Ok(())
    }
}

/// A little-endian number of a zip record.
fn number(record: &[u8], at: usize, width: usize) -> Option<u64> {
    Some(record.get(at..at.checked_add(width)?)?.iter().rev().fold(0, |number, byte| (number << 8) | u64::from(*byte)))
}

/// By the central directory: stored and deflated members, ZIP64 included (APPNOTE 4.3).
fn zip(bytes: &[u8], each: &mut dyn FnMut(&str, &[u8])) -> Result<(), ArchiveError> {
    let damaged = ArchiveError::Zip;
    let directory = directory(bytes).ok_or(damaged("it has no central directory"))?;
    let mut rest = bytes.get(directory..).ok_or(damaged("its central directory lies outside"))?;
    let mut budget = Budget::default();
    while rest.starts_with(b"PK\x01\x02") {
        let field = |at, width| number(rest, at, width).ok_or(damaged("its central directory is cut off"));
        let (method, packed, size, offset) = (field(10, 2)?, field(20, 4)?, field(24, 4)?, field(42, 4)?);
        let lengths = (field(28, 2)? as usize, field(30, 2)? as usize, field(32, 2)? as usize);
        let name = rest.get(46..46 + lengths.0).ok_or(damaged("a name is cut off"))?;
        let extra = rest.get(46 + lengths.0..46 + lengths.0 + lengths.1).ok_or(damaged("a record is cut off"))?;
        let (size, packed, offset) = wide(extra, size, packed, offset);
        let name = String::from_utf8_lossy(name).into_owned();
        let next = 46 + lengths.0 + lengths.1 + lengths.2;
        rest = rest.get(next..).ok_or(damaged("its central directory is cut off"))?;
        if name.ends_with('/') {
            continue;
        }
        let data = member(bytes, offset, packed).ok_or(damaged("a member lies outside"))?;
        let limit = size.min(MAX_MEMBER_BYTES);
        let contents = match method {
            0 => data.to_vec(),
            8 => read_limited(DeflateDecoder::new(data), limit)?,
            _ => return Err(damaged("a member is packed in a way other than deflate")),
        };
        budget.spend(contents.len())?;
        each(&name, &contents);
    }
    Ok(())
}

/// Where the central directory begins.
fn directory(bytes: &[u8]) -> Option<usize> {
    // The end record has 22 bytes and a comment of up to 65,535.
    let from = bytes.len().saturating_sub(22 + 65_535);
    let tail = bytes.get(from..)?;
    let at = from + tail.windows(4).rposition(|window| window == b"PK\x05\x06")?;
    let offset = number(bytes, at + 16, 4)?;
    if offset != 0xffff_ffff {
        return usize::try_from(offset).ok();
    }
    let locator = at.checked_sub(20)?;
    let end = usize::try_from(number(bytes, locator + 8, 8)?).ok()?;
    usize::try_from(number(bytes, end.checked_add(48)?, 8)?).ok()
}

/// Sizes and offset of a ZIP64 member, from its extra field.
fn wide(extra: &[u8], size: u64, packed: u64, offset: u64) -> (u64, u64, u64) {
    let mut values = (size, packed, offset);
    let mut rest = extra;
    while let (Some(id), Some(length)) = (number(rest, 0, 2), number(rest, 2, 2)) {
        let length = length as usize;
        if id == 1 {
            let mut at = 4;
            for value in [&mut values.0, &mut values.1, &mut values.2] {
                if *value == 0xffff_ffff {
                    *value = number(rest, at, 8).unwrap_or(*value);
                    at += 8;
                }
            }
        }
        rest = rest.get(4 + length..).unwrap_or_default();
    }
    values
}

fn member(bytes: &[u8], offset: u64, packed: u64) -> Option<&[u8]> {
    let offset = usize::try_from(offset).ok()?;
    let header = bytes.get(offset..)?;
    let name = usize::try_from(number(header, 26, 2)?).ok()?;
    let extra = usize::try_from(number(header, 28, 2)?).ok()?;
    let start = offset.checked_add(30 + name + extra)?;
    bytes.get(start..start.checked_add(usize::try_from(packed).ok()?)?)
}
