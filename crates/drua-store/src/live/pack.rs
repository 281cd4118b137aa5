//! Directory trees → tar (POSIX.1-2017 pax).

use std::collections::HashMap;
use std::ffi::{OsStr, OsString};
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};

use drua_types::{Classify, ErrorKind};
use rustix::fs::{CWD, Dir, FileType, Mode, OFlags, Stat};
use rustix::io::Errno;
use tar::{EntryType, Header};

use super::{is_kernel_fs, mount_id};
use crate::tar_stream::printable;
use crate::unpack::OPAQUE_XATTR;

/// Directories within each other; a path of more has no room in `PATH_MAX`.
const MAX_DEPTH: usize = 1500;
const PATH_ONLY: OFlags = OFlags::PATH.union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

/// A tree could not be written as a tar archive.
#[derive(Debug, thiserror::Error)]
pub enum PackError {
    /// Something in it could not be read.
    #[error("cannot {action} `{path}` for the archive")]
    Read {
        /// What was attempted.
        action: &'static str,
        /// Its name in the archive.
        path: String,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// The archive could not be written: most likely its reader has gone.
    #[error("cannot write the archive")]
    Write(#[source] io::Error),
    /// Directories within directories without end.
    #[error("`{path}…` is more than {MAX_DEPTH} directories deep")]
    TooDeep {
        /// The beginning of its path.
        path: String,
    },
}

impl Classify for PackError {
    fn kind(&self) -> ErrorKind {
        ErrorKind::Internal
    }
}

/// What in a tree is left out: the path in the archive (without trailing slash), whether it is an empty file or directory.
pub type Skip<'a> = &'a (dyn Fn(&[u8], bool) -> bool + 'a);

/// Writes trees into one tar archive.
pub struct Packer<'a, W: Write> {
    out: W,
    /// Files with several names, by device and inode: the first name.
    seen: HashMap<(u64, u64), Vec<u8>>,
    /// Only what is on this mount.
    mount: Option<u64>,
    /// Overlay's marks become the marks of OCI layers.
    layer: bool,
    skip: Option<Skip<'a>>,
}

impl<W: Write> std::fmt::Debug for Packer<'_, W> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Packer").field("layer", &self.layer).finish_non_exhaustive()
    }
}

impl<'a, W: Write> Packer<'a, W> {
    /// An archive that goes to `out`; what is mounted in a tree is part of it.
    pub fn new(out: W) -> Self {
        Self { out, seen: HashMap::new(), mount: None, layer: false, skip: None }
    }

    /// An archive of the changes that an overlay's upper directory holds, in the form of an OCI layer (image-spec,
    /// layer.md): deletions become whiteouts. Leaves out what `skip` says.
    pub fn layer(out: W, skip: Skip<'a>) -> Self {
        Self { layer: true, skip: Some(skip), ..Self::new(out) }
    }

    /// Leaves out what is mounted below `dir`.
    #[must_use]
    pub fn one_mount(mut self, dir: impl AsFd) -> Self {
        self.mount = mount_id(dir);
        self
    }

    /// Adds what `fd` (opened with `O_PATH`) refers to, as `name`, with everything below.
    ///
    /// # Errors
    /// [`PackError`]. What vanishes while it is read is left out.
    pub fn add(&mut self, fd: OwnedFd, name: &[u8]) -> Result<(), PackError> {
        self.entry(fd, name.to_vec(), 0)
    }

    /// Adds what is in the directory `dir`, without an entry for itself.
    ///
    /// # Errors
    /// [`PackError`].
    pub fn add_content(&mut self, dir: BorrowedFd<'_>, name: &[u8]) -> Result<(), PackError> {
        self.children(dir, name, 0)
    }

    /// Writes the end of the archive and returns what it went to.
    ///
    /// # Errors
    /// [`PackError::Write`].
    pub fn finish(mut self) -> Result<W, PackError> {
        self.out.write_all(&[0; 1024]).map_err(PackError::Write)?;
        self.out.flush().map_err(PackError::Write)?;
        Ok(self.out)
    }

    fn entry(&mut self, fd: OwnedFd, name: Vec<u8>, depth: usize) -> Result<(), PackError> {
        let stat = rustix::fs::fstat(&fd).map_err(failed("look up", &name))?;
        match FileType::from_raw_mode(stat.st_mode) {
            FileType::Directory => self.directory(&fd, &stat, name, depth),
            FileType::RegularFile => self.file(&fd, &stat, &name),
            FileType::Symlink => {
                let target = rustix::fs::readlinkat(&fd, "", Vec::new()).map_err(failed("read the link", &name))?;
                self.header(&name, EntryType::Symlink, &stat, target.as_bytes(), 0, &[])
            }
            FileType::CharacterDevice if self.layer && stat.st_rdev == 0 => {
                let (parent, base) = split(&name);
                self.mark(&[parent, b".wh.", base].concat(), &stat)
            }
            FileType::CharacterDevice => self.header(&name, EntryType::Char, &stat, b"", 0, &[]),
            FileType::BlockDevice => self.header(&name, EntryType::Block, &stat, b"", 0, &[]),
            FileType::Fifo => self.header(&name, EntryType::Fifo, &stat, b"", 0, &[]),
            // Tar has no word for sockets.
            FileType::Socket | FileType::Unknown => Ok(()),
        }
    }

    fn directory(&mut self, fd: &OwnedFd, stat: &Stat, name: Vec<u8>, depth: usize) -> Result<(), PackError> {
        let mut entry = name.clone();
        if !entry.ends_with(b"/") {
            entry.push(b'/');
        }
        self.header(&entry, EntryType::Directory, stat, b"", 0, &[])?;
        let elsewhere = self.mount.is_some() && mount_id(fd) != self.mount;
        if elsewhere || is_kernel_fs(fd) {
            return Ok(());
        }
        if self.layer && is_opaque(fd) {
            self.mark(&[entry.as_slice(), b".wh..wh..opq"].concat(), stat)?;
        }
        self.children(fd.as_fd(), &name, depth)
    }

    fn children(&mut self, dir: BorrowedFd<'_>, name: &[u8], depth: usize) -> Result<(), PackError> {
        if depth >= MAX_DEPTH {
            return Err(PackError::TooDeep { path: printable(name).chars().take(80).collect() });
        }
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let dir = rustix::fs::openat(dir, ".", flags, Mode::empty()).map_err(failed("open", name))?;
        for child in names(&dir).map_err(failed("list", name))? {
            let fd = match rustix::fs::openat(&dir, &child, PATH_ONLY, Mode::empty()) {
                Err(Errno::NOENT) => continue,
                found => found.map_err(failed("open", child.as_bytes()))?,
            };
            let mut path = name.to_vec();
            if !path.is_empty() && !path.ends_with(b"/") {
                path.push(b'/');
            }
            path.extend_from_slice(child.as_bytes());
            if let Some(skip) = self.skip
                && skip(&path, is_empty(&fd))
            {
                continue;
            }
            if self.mount.is_some() && mount_id(&fd) != self.mount && !is_dir(&fd) {
                // A file that is mounted over the tree's own.
                continue;
            }
            self.entry(fd, path, depth + 1)?;
        }
        Ok(())
    }

    fn file(&mut self, fd: &OwnedFd, stat: &Stat, name: &[u8]) -> Result<(), PackError> {
        if stat.st_nlink > 1 {
            let inode = (stat.st_dev, stat.st_ino);
            if let Some(first) = self.seen.get(&inode).cloned() {
                return self.header(name, EntryType::Link, stat, &first, 0, &[]);
            }
            self.seen.insert(inode, name.to_vec());
        }
        let again = format!("/proc/self/fd/{}", fd.as_raw_fd());
        let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOCTTY;
        let file = match rustix::fs::openat(CWD, again, flags, Mode::empty()) {
            Err(Errno::NOENT) => return Ok(()),
            file => file.map_err(failed("open", name))?,
        };
        let size = u64::try_from(stat.st_size).unwrap_or(0);
        let mut xattrs = Vec::new();
        if let Some(value) = xattr(&file, "security.capability") {
            xattrs.push((b"SCHILY.xattr.security.capability".to_vec(), value));
        }
        self.header(name, EntryType::Regular, stat, b"", size, &xattrs)?;
        let mut file = std::fs::File::from(file).take(size);
        let mut buffer = vec![0; 64 << 10];
        let mut left = size;
        while left > 0 {
            let read = file.read(&mut buffer).map_err(failed("read", name))?;
            if read == 0 {
                break;
            }
            self.out.write_all(&buffer[..read]).map_err(PackError::Write)?;
            left -= read as u64;
        }
        // It has become shorter meanwhile: the header has said how long it is.
        buffer.fill(0);
        while left > 0 {
            let zeros = usize::try_from(left).unwrap_or(usize::MAX).min(buffer.len());
            self.out.write_all(&buffer[..zeros]).map_err(PackError::Write)?;
            left -= zeros as u64;
        }
        self.pad(size)
    }

    /// An empty file that says something about its neighbors.
    fn mark(&mut self, name: &[u8], stat: &Stat) -> Result<(), PackError> {
        self.header(name, EntryType::Regular, stat, b"", 0, &[])
    }

    fn pad(&mut self, size: u64) -> Result<(), PackError> {
        let over = usize::try_from(size % 512).unwrap_or(0);
        if over == 0 { Ok(()) } else { self.out.write_all(&[0; 512][over..]).map_err(PackError::Write) }
    }

    fn header(
        &mut self,
        name: &[u8],
        kind: EntryType,
        stat: &Stat,
        link: &[u8],
        size: u64,
        xattrs: &[(Vec<u8>, Vec<u8>)],
    ) -> Result<(), PackError> {
        let mut pax: Vec<u8> = Vec::new();
        let mut header = Header::new_ustar();
        let fits = |text: &[u8]| text.len() <= 100 && text.is_ascii();
        if fits(name) {
            header.as_old_mut().name[..name.len()].copy_from_slice(name);
        } else {
            record(&mut pax, b"path", name);
            header.as_old_mut().name[..8].copy_from_slice(b"pax-path");
        }
        if fits(link) {
            header.as_old_mut().linkname[..link.len()].copy_from_slice(link);
        } else {
            record(&mut pax, b"linkpath", link);
        }
        header.set_entry_type(kind);
        header.set_mode(stat.st_mode & 0o7777);
        for (key, id) in [("uid", stat.st_uid), ("gid", stat.st_gid)] {
            if id > 0o777_7777 {
                record(&mut pax, key.as_bytes(), id.to_string().as_bytes());
            } else if key == "uid" {
                header.set_uid(id.into());
            } else {
                header.set_gid(id.into());
            }
        }
        match u64::try_from(stat.st_mtime).ok().filter(|mtime| *mtime <= 0o777_7777_7777) {
            Some(mtime) => header.set_mtime(mtime),
            None => record(&mut pax, b"mtime", stat.st_mtime.to_string().as_bytes()),
        }
        if size > 0o777_7777_7777 {
            record(&mut pax, b"size", size.to_string().as_bytes());
            header.set_size(0);
        } else {
            header.set_size(size);
        }
        if matches!(kind, EntryType::Char | EntryType::Block) {
            let (major, minor) = (rustix::fs::major(stat.st_rdev), rustix::fs::minor(stat.st_rdev));
            // Numbers that ustar cannot hold belong to no device that exists.
            let _ = header.set_device_major(major).and_then(|()| header.set_device_minor(minor));
        }
        for (key, value) in xattrs {
            record(&mut pax, key, value);
        }
        header.set_cksum();
        if !pax.is_empty() {
            let mut extended = Header::new_ustar();
            extended.as_old_mut().name[..12].copy_from_slice(b"PaxHeaders.0");
            extended.set_entry_type(EntryType::XHeader);
            extended.set_mode(0o644);
            extended.set_size(pax.len() as u64);
            extended.set_cksum();
            self.out.write_all(extended.as_bytes()).map_err(PackError::Write)?;
            self.out.write_all(&pax).map_err(PackError::Write)?;
            self.pad(pax.len() as u64)?;
        }
        self.out.write_all(header.as_bytes()).map_err(PackError::Write)
    }
}

/// A pax record: its own length in decimal, a blank, `key=value`, a line end.
fn record(pax: &mut Vec<u8>, key: &[u8], value: &[u8]) {
    let rest = key.len() + value.len() + 3;
    let mut length = rest + 1;
    while length != rest + length.to_string().len() {
        length = rest + length.to_string().len();
    }
    pax.extend_from_slice(length.to_string().as_bytes());
    pax.push(b' ');
    pax.extend_from_slice(key);
    pax.push(b'=');
    pax.extend_from_slice(value);
    pax.push(b'\n');
}

/// Directory with its slash, and name.
fn split(path: &[u8]) -> (&[u8], &[u8]) {
    match path.iter().rposition(|byte| *byte == b'/') {
        Some(slash) => path.split_at(slash + 1),
        None => (b"", path),
    }
}

fn names(dir: &OwnedFd) -> rustix::io::Result<Vec<OsString>> {
    let mut names = Vec::new();
    for entry in Dir::read_from(dir)? {
        let name = entry?.file_name().to_bytes().to_vec();
        if name != b"." && name != b".." {
            names.push(OsString::from_vec(name));
        }
    }
    names.sort();
    Ok(names)
}

fn is_dir(fd: impl AsFd) -> bool {
    rustix::fs::fstat(fd).is_ok_and(|stat| FileType::from_raw_mode(stat.st_mode) == FileType::Directory)
}

/// An empty file, or a directory without content.
fn is_empty(fd: &OwnedFd) -> bool {
    let Ok(stat) = rustix::fs::fstat(fd) else { return false };
    match FileType::from_raw_mode(stat.st_mode) {
        FileType::RegularFile => stat.st_size == 0,
        FileType::Directory => {
            let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
            let open = rustix::fs::openat(fd, ".", flags, Mode::empty());
            open.and_then(|dir| names(&dir)).is_ok_and(|names| names.is_empty())
        }
        _ => false,
    }
}

fn is_opaque(dir: &OwnedFd) -> bool {
    let Some(dir) =
        rustix::fs::openat(dir, ".", OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty()).ok()
    else {
        return false;
    };
    xattr(&dir, OPAQUE_XATTR).is_some_and(|value| value == b"y")
}

fn xattr(file: &OwnedFd, name: &str) -> Option<Vec<u8>> {
    let mut value = vec![0; 1024];
    let length = rustix::fs::fgetxattr(file, OsStr::new(name), &mut value[..]).ok()?;
    value.truncate(length);
    Some(value)
}

fn failed<E: Into<io::Error>>(action: &'static str, path: &[u8]) -> impl FnOnce(E) -> PackError {
    move |error| PackError::Read { action, path: printable(path), source: error.into() }
}
