//! Unpacks uploaded contexts and ADDed archives. Both come from strangers: nothing leaves the directory, and everything
//! has a limit.

use std::ffi::{OsStr, OsString};
use std::io::{self, BufReader, Read};
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use drua_sys::root_fs::Root;
use rustix::fs::{AtFlags, FileType, Gid, Mode, OFlags, Timespec, Timestamps, Uid};
use tar::EntryType;

use crate::error::{BuildError, Result};
use crate::fsutil;
use crate::tree::inside;

/// Entries of one archive.
const MAX_ENTRIES: usize = 2_000_000;
/// Bytes of one archive, unpacked.
const MAX_BYTES: u64 = 64 << 30;
/// Bytes of a path.
const MAX_PATH: usize = 4096;

/// How an archive is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Format {
    Tar,
    Gzip,
    Zstd,
    Bzip2,
    Xz,
}

/// What the first bytes of a file say.
pub(crate) fn recognize(head: &[u8]) -> Option<Format> {
    match head {
        [0x1f, 0x8b, 8, ..] => Some(Format::Gzip),
        [0x28, 0xb5, 0x2f, 0xfd, ..] => Some(Format::Zstd),
        [b'B', b'Z', b'h', ..] => Some(Format::Bzip2),
        [0xfd, b'7', b'z', b'X', b'Z', 0, ..] => Some(Format::Xz),
        _ if head.len() >= 512 && is_tar_header(&head[..512]) => Some(Format::Tar),
        _ => None,
    }
}

fn is_tar_header(block: &[u8]) -> bool {
    let sum: u32 = (0..512).map(|at| if (148..156).contains(&at) { 32 } else { u32::from(block[at]) }).sum();
    let text = String::from_utf8_lossy(&block[148..156]).into_owned();
    let text = text.trim_matches(['\0', ' ']);
    block[0] != 0 && u32::from_str_radix(text, 8) == Ok(sum)
}

/// A stream without its compression.
pub(crate) fn decompress<'r>(stream: impl Read + 'r) -> io::Result<(Box<dyn Read + 'r>, Option<Format>)> {
    let mut stream = BufReader::with_capacity(256 << 10, stream);
    let head = io::BufRead::fill_buf(&mut stream)?.to_vec();
    let mut head = head;
    let mut consumed = 0;
    // One read may bring less than a block.
    if head.len() < 512 && !head.is_empty() {
        let mut first = vec![0; 512];
        let mut filled = 0;
        while filled < 512 {
            match stream.read(&mut first[filled..])? {
                0 => break,
                read => filled += read,
            }
        }
        first.truncate(filled);
        consumed = filled;
        head = first;
    }
    let format = recognize(&head);
    let stream: Box<dyn Read + 'r> =
        if consumed > 0 { Box::new(io::Cursor::new(head).chain(stream)) } else { Box::new(stream) };
    let unsupported = |name: &str| io::Error::new(io::ErrorKind::Unsupported, format!("{name} is not supported here"));
    Ok(match format {
        Some(Format::Gzip) => (Box::new(flate2::read::MultiGzDecoder::new(stream)), format),
        Some(Format::Zstd) => (Box::new(zstd::Decoder::new(stream)?), format),
        Some(Format::Bzip2) => return Err(unsupported("bzip2")),
        Some(Format::Xz) => return Err(unsupported("xz")),
        Some(Format::Tar) | None => (stream, format),
    })
}

/// How archives are unpacked.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Untar {
    /// Whether the archive's owners count; root otherwise.
    pub(crate) owners: bool,
    /// Owner of everything instead.
    pub(crate) owner: Option<(u32, u32)>,
}

/// Unpacks a tar into the directory `at` of a root.
pub(crate) fn untar(stream: impl Read, root: &Root, at: &Path, how: Untar) -> Result<()> {
    let bad = |error: io::Error| match error.raw_os_error() {
        // The disk's fault, or the network's: the archive may be fine.
        Some(_) => BuildError::Io { action: "unpack into", path: at.to_owned(), source: error },
        None => BuildError::Context(error.to_string()),
    };
    let mut archive = tar::Archive::new(Counted { inner: stream, bytes: 0 });
    let mut unpacker = Unpacker { root, at: at.to_owned(), how, last: None, dirs: Vec::new() };
    for (number, entry) in archive.entries().map_err(bad)?.enumerate() {
        let mut entry = entry.map_err(bad)?;
        if number > MAX_ENTRIES {
            return Err(BuildError::Context(format!("it has more than {MAX_ENTRIES} entries")));
        }
        let name = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
        unpacker.entry(&mut entry).map_err(|error| match error.raw_os_error() {
            Some(28 | 122 | 5) | None => bad(error),
            Some(_) => BuildError::Context(format!("`{name}` cannot be unpacked: {error}")),
        })?;
    }
    unpacker.finish().map_err(bad)
}

struct Counted<R> {
    inner: R,
    bytes: u64,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        self.bytes += read as u64;
        if self.bytes > MAX_BYTES {
            return Err(io::Error::other(format!("it has more than {} GiB", MAX_BYTES >> 30)));
        }
        Ok(read)
    }
}

struct Unpacker<'r> {
    root: &'r Root,
    at: PathBuf,
    how: Untar,
    /// The directory of the last entry: most entries follow their siblings.
    last: Option<(PathBuf, OwnedFd)>,
    /// Directories and their times, which are set last.
    dirs: Vec<(PathBuf, i64)>,
}

impl Unpacker<'_> {
    fn parent(&mut self, path: &Path) -> io::Result<&OwnedFd> {
        let parent = path.parent().unwrap_or(Path::new(""));
        if self.last.as_ref().is_none_or(|(known, _)| known != parent) {
            let dir = self.make(parent)?;
            self.last = Some((parent.to_owned(), dir));
        }
        self.last.as_ref().map(|(_, dir)| dir).ok_or_else(|| io::Error::other("no directory"))
    }

    /// Opens a directory below `at`, after making what is missing.
    fn make(&self, path: &Path) -> io::Result<OwnedFd> {
        let whole = self.at.join(path);
        let open = |path: &Path| self.root.open_at(path, OFlags::RDONLY | OFlags::DIRECTORY, Mode::empty());
        if let Ok(dir) = open(&whole) {
            return Ok(dir);
        }
        let mut here = PathBuf::new();
        let mut dir = open(&here)?;
        for part in &whole {
            here.push(part);
            dir = match open(&here) {
                Ok(next) => next,
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    rustix::fs::mkdirat(&dir, part, Mode::from_raw_mode(0o755))?;
                    let made = fsutil::open_below(dir.as_fd(), part)?;
                    let (uid, gid) = self.how.owner.unwrap_or((0, 0));
                    rustix::fs::fchown(&made, Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)))?;
                    rustix::fs::fchmod(&made, Mode::from_raw_mode(0o755))?;
                    made
                }
                Err(error) => return Err(error),
            };
        }
        Ok(dir)
    }

    fn entry<R: Read>(&mut self, entry: &mut tar::Entry<'_, R>) -> io::Result<()> {
        let bytes = entry.path_bytes().into_owned();
        if bytes.len() > MAX_PATH || bytes.contains(&0) {
            return Err(io::Error::other("a path is too long or has a zero byte"));
        }
        let path = inside(OsStr::from_bytes(&bytes).to_str().unwrap_or_default());
        let path = if std::str::from_utf8(&bytes).is_ok() { path } else { raw_path(&bytes) };
        let header = entry.header();
        let kind = header.entry_type();
        let mode = header.mode().unwrap_or(0o644) & 0o7777;
        let time = i64::try_from(header.mtime().unwrap_or(0)).unwrap_or(0);
        let id = |id: io::Result<u64>| id.ok().and_then(|id| u32::try_from(id).ok()).unwrap_or(0);
        let owner = match self.how {
            Untar { owner: Some(owner), .. } => owner,
            Untar { owners: true, .. } => (id(header.uid()), id(header.gid())),
            Untar { .. } => (0, 0),
        };
        let (uid, gid) = (Some(Uid::from_raw(owner.0)), Some(Gid::from_raw(owner.1)));
        let stamp = Timespec { tv_sec: time, tv_nsec: 0 };
        let stamp = Timestamps { last_access: stamp, last_modification: stamp };
        if kind == EntryType::Directory {
            if path.as_os_str().is_empty() {
                return Ok(());
            }
            let dir = self.make(&path)?;
            rustix::fs::fchown(&dir, uid, gid)?;
            rustix::fs::fchmod(&dir, Mode::from_raw_mode(mode))?;
            self.dirs.push((path, time));
            return Ok(());
        }
        let Some(name) = path.file_name().map(OsString::from) else { return Ok(()) };
        let device = || {
            let part = |part: io::Result<Option<u32>>| part.ok().flatten().unwrap_or(0);
            rustix::fs::makedev(part(header.device_major()), part(header.device_minor()))
        };
        let device = device();
        let link = entry.link_name_bytes().map(|link| link.into_owned()).unwrap_or_default();
        let hard = (kind == EntryType::Link).then(|| {
            let source = inside(&String::from_utf8_lossy(&link));
            self.root.parent(&self.at.join(source))
        });
        let owners = self.how.owners;
        let dir = self.parent(&path)?;
        free(dir, &name)?;
        match kind {
            EntryType::Regular | EntryType::Continuous | EntryType::GNUSparse => {
                let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
                let file = rustix::fs::openat(dir, &name, flags, Mode::from_raw_mode(0o600))?;
                let mut file = std::fs::File::from(file);
                io::copy(entry, &mut file)?;
                rustix::fs::fchown(&file, uid, gid)?;
                rustix::fs::fchmod(&file, Mode::from_raw_mode(mode))?;
                rustix::fs::futimens(&file, &stamp)?;
            }
            EntryType::Symlink => {
                rustix::fs::symlinkat(OsStr::from_bytes(&link), dir, &name)?;
                rustix::fs::chownat(dir, &name, uid, gid, AtFlags::SYMLINK_NOFOLLOW)?;
                rustix::fs::utimensat(dir, &name, &stamp, AtFlags::SYMLINK_NOFOLLOW)?;
            }
            EntryType::Link => match hard.transpose()?.flatten() {
                Some((from, old)) => rustix::fs::linkat(from, old, dir, &name, AtFlags::empty())?,
                None => return Err(io::Error::other("a hard link to a directory")),
            },
            EntryType::Fifo => rustix::fs::mknodat(dir, &name, FileType::Fifo, Mode::from_raw_mode(mode), 0)?,
            EntryType::Char | EntryType::Block if owners => {
                let kind = if kind == EntryType::Char { FileType::CharacterDevice } else { FileType::BlockDevice };
                rustix::fs::mknodat(dir, &name, kind, Mode::from_raw_mode(mode), device)?;
            }
            // Devices of a context, and extensions that say nothing about files.
            _ => {}
        }
        Ok(())
    }

    fn finish(self) -> io::Result<()> {
        for (path, time) in self.dirs.iter().rev() {
            let at = Timespec { tv_sec: *time, tv_nsec: 0 };
            let stamps = Timestamps { last_access: at, last_modification: at };
            // A later entry may have put something else there.
            if let Ok(dir) = self.root.open_at(&self.at.join(path), OFlags::RDONLY | OFlags::DIRECTORY, Mode::empty()) {
                rustix::fs::futimens(&dir, &stamps)?;
            }
        }
        Ok(())
    }
}

/// Takes away what an earlier entry put there, unless it is a directory.
fn free(dir: &OwnedFd, name: &OsStr) -> io::Result<()> {
    match rustix::fs::unlinkat(dir, name, AtFlags::empty()) {
        Ok(()) | Err(rustix::io::Errno::NOENT) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

fn raw_path(bytes: &[u8]) -> PathBuf {
    let mut path = PathBuf::new();
    for part in bytes.split(|byte| *byte == b'/') {
        match part {
            b"" | b"." => {}
            b".." => drop(path.pop()),
            part => path.push(OsStr::from_bytes(part)),
        }
    }
    path
}
