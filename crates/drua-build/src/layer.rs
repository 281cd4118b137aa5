//! A directory of changes as a layer's tar: the same bytes for the same files, whenever and wherever it is made.
//!
//! OCI image-spec, layer.md: `.wh.` files for what was removed, `.wh..wh..opq` for what hides everything below. Names,
//! owners and attributes that ustar has no room for go into PAX headers.

use std::collections::{HashMap, VecDeque};
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use rustix::fs::{FileType, Mode, OFlags, Stat};

use crate::fsutil::{self, is_opaque, is_whiteout, kind};

const BLOCK: usize = 512;

/// How files become entries.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct TarOptions {
    /// Later times become this one, seconds since 1970.
    pub(crate) clamp_time: Option<i64>,
    /// Whether the tree is a whole filesystem, in which whiteouts mean nothing.
    pub(crate) whole: bool,
}

/// Reads a directory as a tar.
pub(crate) struct LayerTar {
    options: TarOptions,
    /// Directories on the way down, with names that are still to come.
    stack: Vec<Level>,
    linked: HashMap<(u64, u64), Vec<u8>>,
    buffer: Vec<u8>,
    at: usize,
    file: Option<(File, u64, u64)>,
    ended: bool,
}

struct Level {
    dir: OwnedFd,
    prefix: Vec<u8>,
    names: VecDeque<OsString>,
}

impl LayerTar {
    /// Opens a directory; its own metadata is not part of the layer.
    pub(crate) fn new(dir: OwnedFd, options: TarOptions) -> io::Result<Self> {
        let names = fsutil::names(dir.as_fd())?.into();
        let level = Level { dir, prefix: Vec::new(), names };
        let (linked, buffer) = (HashMap::new(), Vec::new());
        Ok(Self { options, stack: vec![level], linked, buffer, at: 0, file: None, ended: false })
    }

    /// [`LayerTar::new`] for a trusted path.
    pub(crate) fn open(path: &Path, options: TarOptions) -> io::Result<Self> {
        Self::new(fsutil::open_dir(path)?, options)
    }

    /// Puts the next entry into the buffer; `false` at the end.
    fn advance(&mut self) -> io::Result<bool> {
        self.buffer.clear();
        self.at = 0;
        let Some(level) = self.stack.last_mut() else {
            if std::mem::replace(&mut self.ended, true) {
                return Ok(false);
            }
            self.buffer.resize(2 * BLOCK, 0);
            return Ok(true);
        };
        let Some(name) = level.names.pop_front() else {
            self.stack.pop();
            return self.advance();
        };
        let mut path = level.prefix.clone();
        path.extend_from_slice(name.as_bytes());
        let stat = match fsutil::stat(level.dir.as_fd(), &name) {
            Ok(stat) => stat,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return self.advance(),
            Err(error) => return Err(error),
        };
        if is_whiteout(&stat) && !self.options.whole {
            let mut hidden = level.prefix.clone();
            hidden.extend_from_slice(b".wh.");
            hidden.extend_from_slice(name.as_bytes());
            self.header(&hidden, b'0', &stat, 0, b"", &[]);
            return Ok(true);
        }
        self.entry(path, &name, &stat)
    }

    fn entry(&mut self, path: Vec<u8>, name: &OsStr, stat: &Stat) -> io::Result<bool> {
        let Some(level) = self.stack.last() else { return Ok(false) };
        match kind(stat) {
            FileType::Directory => {
                let dir = fsutil::open_below(level.dir.as_fd(), name)?;
                let xattrs = fsutil::xattrs(dir.as_fd())?;
                let mut prefix = path;
                prefix.push(b'/');
                self.header(&prefix, b'5', stat, 0, b"", &xattrs);
                if !self.options.whole && is_opaque(dir.as_fd()) {
                    let mut opaque = prefix.clone();
                    opaque.extend_from_slice(b".wh..wh..opq");
                    self.header(&opaque, b'0', stat, 0, b"", &[]);
                }
                let names = fsutil::names(dir.as_fd())?.into();
                self.stack.push(Level { dir, prefix, names });
            }
            FileType::RegularFile => {
                if stat.st_nlink > 1 {
                    match self.linked.entry((stat.st_dev, stat.st_ino)) {
                        std::collections::hash_map::Entry::Occupied(first) => {
                            let target = first.get().clone();
                            self.header(&path, b'1', stat, 0, &target, &[]);
                            return Ok(true);
                        }
                        std::collections::hash_map::Entry::Vacant(slot) => drop(slot.insert(path.clone())),
                    }
                }
                let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK;
                let file = rustix::fs::openat(&level.dir, name, flags, Mode::empty())?;
                let xattrs = fsutil::xattrs(file.as_fd())?;
                let size = u64::try_from(stat.st_size).unwrap_or(0);
                self.header(&path, b'0', stat, size, b"", &xattrs);
                self.file = Some((File::from(file), size, size));
            }
            FileType::Symlink => {
                let target = rustix::fs::readlinkat(&level.dir, name, Vec::new())?.into_bytes();
                self.header(&path, b'2', stat, 0, &target, &[]);
            }
            FileType::CharacterDevice => self.header(&path, b'3', stat, 0, b"", &[]),
            FileType::BlockDevice => self.header(&path, b'4', stat, 0, b"", &[]),
            FileType::Fifo => self.header(&path, b'6', stat, 0, b"", &[]),
            // Sockets mean nothing without who listens; Docker leaves them out, too.
            _ => return self.advance(),
        }
        Ok(true)
    }

    fn header(&mut self, path: &[u8], kind: u8, stat: &Stat, size: u64, link: &[u8], xattrs: &[(Vec<u8>, Vec<u8>)]) {
        let mut pax = Vec::new();
        let mut header = [0_u8; BLOCK];
        if path.len() <= 100 && path.is_ascii() {
            header[..path.len()].copy_from_slice(path);
        } else {
            pax_record(&mut pax, b"path", path);
            let cut = path.len().min(100);
            header[..cut].copy_from_slice(&path[..cut]);
        }
        if link.len() <= 100 && link.is_ascii() {
            header[157..157 + link.len()].copy_from_slice(link);
        } else {
            pax_record(&mut pax, b"linkpath", link);
            header[157..257].copy_from_slice(
                &link[..100.min(link.len())].iter().copied().chain([0; 100]).take(100).collect::<Vec<_>>(),
            );
        }
        let mtime = self.options.clamp_time.map_or(stat.st_mtime, |limit| stat.st_mtime.min(limit)).max(0);
        let mut number = |at: usize, digits: usize, key: &[u8], value: u64| {
            let limit = 1_u64 << (3 * (digits - 1)).min(63);
            if value < limit {
                header[at..at + digits - 1].copy_from_slice(format!("{value:0width$o}", width = digits - 1).as_bytes());
            } else {
                header[at..at + digits - 1].fill(b'0');
                pax_record(&mut pax, key, value.to_string().as_bytes());
            }
        };
        number(100, 8, b"mode", u64::from(stat.st_mode & 0o7777));
        number(108, 8, b"uid", u64::from(stat.st_uid));
        number(116, 8, b"gid", u64::from(stat.st_gid));
        number(124, 12, b"size", size);
        number(136, 12, b"mtime", u64::try_from(mtime).unwrap_or(0));
        if matches!(kind, b'3' | b'4') {
            number(329, 8, b"SCHILY.devmajor", u64::from(rustix::fs::major(stat.st_rdev)));
            number(337, 8, b"SCHILY.devminor", u64::from(rustix::fs::minor(stat.st_rdev)));
        } else {
            header[329..336].fill(b'0');
            header[337..344].fill(b'0');
        }
        for (name, value) in xattrs {
            let key = [b"SCHILY.xattr.".as_slice(), name].concat();
            pax_record(&mut pax, &key, value);
        }
        header[156] = kind;
        header[257..265].copy_from_slice(b"ustar\x0000");
        if !pax.is_empty() {
            let mut extended = [0_u8; BLOCK];
            extended[..18].copy_from_slice(b"PaxHeaders.0/entry");
            extended[100..107].copy_from_slice(b"0000644");
            for at in [108, 116] {
                extended[at..at + 7].fill(b'0');
            }
            extended[124..135].copy_from_slice(format!("{:011o}", pax.len()).as_bytes());
            extended[136..147].fill(b'0');
            extended[156] = b'x';
            extended[257..265].copy_from_slice(b"ustar\x0000");
            finish(&mut self.buffer, extended);
            self.buffer.extend_from_slice(&pax);
            self.buffer.resize(self.buffer.len().next_multiple_of(BLOCK), 0);
        }
        finish(&mut self.buffer, header);
    }
}

fn finish(buffer: &mut Vec<u8>, mut header: [u8; BLOCK]) {
    header[148..156].fill(b' ');
    let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
    header[148..155].copy_from_slice(format!("{sum:06o}\0").as_bytes());
    buffer.extend_from_slice(&header);
}

/// `length key=value\n`, where the length counts itself.
fn pax_record(pax: &mut Vec<u8>, key: &[u8], value: &[u8]) {
    let bare = key.len() + value.len() + 3;
    let mut length = bare + 1;
    while bare + length.to_string().len() != length {
        length = bare + length.to_string().len();
    }
    pax.extend_from_slice(format!("{length} ").as_bytes());
    pax.extend_from_slice(key);
    pax.push(b'=');
    pax.extend_from_slice(value);
    pax.push(b'\n');
}

impl Read for LayerTar {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        loop {
            if self.at < self.buffer.len() {
                let count = out.len().min(self.buffer.len() - self.at);
                out[..count].copy_from_slice(&self.buffer[self.at..self.at + count]);
                self.at += count;
                return Ok(count);
            }
            match &mut self.file {
                Some((file, left, size)) if *left > 0 => {
                    let count = out.len().min(usize::try_from(*left).unwrap_or(usize::MAX));
                    let read = file.read(&mut out[..count])?;
                    if read == 0 {
                        return Err(io::Error::new(
                            io::ErrorKind::UnexpectedEof,
                            format!("a file of {size} bytes shrank"),
                        ));
                    }
                    *left -= read as u64;
                    return Ok(read);
                }
                Some((_, _, size)) => {
                    let padding = size.next_multiple_of(BLOCK as u64) - *size;
                    self.file = None;
                    self.buffer.clear();
                    self.at = 0;
                    self.buffer.resize(usize::try_from(padding).unwrap_or(0), 0);
                }
                None => {
                    if !self.advance()? {
                        return Ok(0);
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    #[test]
    fn a_directory_becomes_a_tar_that_tar_reads() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path();
        let long = "d".repeat(90);
        std::fs::create_dir_all(root.join(&long).join("é")).unwrap();
        std::fs::write(root.join(&long).join("é").join("file"), vec![7; 1000]).unwrap();
        std::fs::hard_link(root.join(&long).join("é/file"), root.join("z")).unwrap();
        symlink("x".repeat(150), root.join("link")).unwrap();
        let read = |options| {
            let mut bytes = Vec::new();
            LayerTar::open(root, options).unwrap().read_to_end(&mut bytes).unwrap();
            bytes
        };
        let bytes = read(TarOptions::default());
        assert_eq!(bytes, read(TarOptions::default()));
        assert_eq!(bytes.len() % BLOCK, 0);
        let mut archive = tar::Archive::new(&bytes[..]);
        let mut seen = Vec::new();
        for entry in archive.entries().unwrap() {
            let mut entry = entry.unwrap();
            let mut content = Vec::new();
            entry.read_to_end(&mut content).unwrap();
            let link = entry.link_name().unwrap().map(|link| link.display().to_string().len());
            seen.push((entry.path().unwrap().display().to_string(), content.len(), link));
        }
        let deep = format!("{long}/é/file");
        let expected = [
            (format!("{long}/"), 0, None),
            (format!("{long}/é/"), 0, None),
            (deep.clone(), 1000, None),
            ("link".to_owned(), 0, Some(150)),
            ("z".to_owned(), 0, Some(deep.len())),
        ];
        assert_eq!(seen, expected);
        let clamped = read(TarOptions { clamp_time: Some(12), whole: false });
        let mut archive = tar::Archive::new(&clamped[..]);
        assert!(archive.entries().unwrap().all(|entry| entry.unwrap().header().mtime().unwrap() == 12));
    }
}
