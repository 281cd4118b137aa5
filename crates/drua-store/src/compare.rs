//! Whether two directory trees are the same: names, kinds, owners, modes, times, attributes and bytes.

use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, Stat};

/// As deep as unpacking goes, whose paths have 4096 bytes at most.
const MAX_DEPTH: usize = 2048;
const BUFFER_BYTES: usize = 128 << 10;
const DIRECTORY: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

/// The first path in which the trees below two directories differ; `None` when they are the same.
pub(crate) fn first_difference(left: &Path, right: &Path) -> io::Result<Option<PathBuf>> {
    let open = |path: &Path| rustix::fs::open(path, DIRECTORY, Mode::empty());
    let (left, right) = (open(left)?, open(right)?);
    let differs = !same_attributes(&left, &right)?
        || !same_metadata(&rustix::fs::fstat(&left)?, &rustix::fs::fstat(&right)?, FileType::Directory);
    if differs {
        return Ok(Some(PathBuf::from("/")));
    }
    directories(&left, &right, Path::new("/"), 0)
}

fn directories(left: &OwnedFd, right: &OwnedFd, path: &Path, depth: usize) -> io::Result<Option<PathBuf>> {
    let (names, others) = (names(left)?, names(right)?);
    if depth > MAX_DEPTH {
        return Err(rustix::io::Errno::NAMETOOLONG.into());
    }
    if let Some(odd) = names.symmetric_difference(&others).next() {
        return Ok(Some(path.join(odd)));
    }
    for name in &names {
        if let Some(found) = entries(left, right, name, &path.join(name), depth)? {
            return Ok(Some(found));
        }
    }
    Ok(None)
}

fn entries(left: &OwnedFd, right: &OwnedFd, name: &OsStr, path: &Path, depth: usize) -> io::Result<Option<PathBuf>> {
    let stat = |dir: &OwnedFd| rustix::fs::statat(dir, name, AtFlags::SYMLINK_NOFOLLOW);
    let (a, b) = (stat(left)?, stat(right)?);
    let kind = FileType::from_raw_mode(a.st_mode);
    let differs = || Ok(Some(path.to_owned()));
    if !same_metadata(&a, &b, kind) {
        return differs();
    }
    let open = |dir: &OwnedFd, flags: OFlags| rustix::fs::openat(dir, name, flags, Mode::empty());
    match kind {
        FileType::Directory => {
            let (a, b) = (open(left, DIRECTORY)?, open(right, DIRECTORY)?);
            if same_attributes(&a, &b)? { directories(&a, &b, path, depth + 1) } else { differs() }
        }
        FileType::RegularFile => {
            let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            let (a, b) = (open(left, flags)?, open(right, flags)?);
            if same_attributes(&a, &b)? && same_bytes(a, b)? { Ok(None) } else { differs() }
        }
        FileType::Symlink => {
            let target = |dir: &OwnedFd| rustix::fs::readlinkat(dir, name, Vec::new());
            if target(left)? == target(right)? { Ok(None) } else { differs() }
        }
        FileType::CharacterDevice | FileType::BlockDevice if a.st_rdev != b.st_rdev => differs(),
        _ => Ok(None),
    }
}

fn same_metadata(a: &Stat, b: &Stat, kind: FileType) -> bool {
    let times = |stat: &Stat| (stat.st_mtime, stat.st_mtime_nsec);
    // Whiteouts are made here, at the time of unpacking.
    let whiteout = kind == FileType::CharacterDevice && a.st_rdev == 0;
    let sizes = kind != FileType::RegularFile || a.st_size == b.st_size;
    // Directories without an entry of their own have the time of unpacking, too.
    let timeless = whiteout || kind == FileType::Directory;
    (a.st_mode, a.st_uid, a.st_gid) == (b.st_mode, b.st_uid, b.st_gid)
        && sizes
        && (timeless || times(a) == times(b))
        && (kind == FileType::Directory || a.st_nlink == b.st_nlink)
}

fn same_attributes(a: &OwnedFd, b: &OwnedFd) -> io::Result<bool> {
    let (names, others) = (attribute_names(a)?, attribute_names(b)?);
    if names != others {
        return Ok(false);
    }
    for name in names {
        if attribute(a, &name)? != attribute(b, &name)? {
            return Ok(false);
        }
    }
    Ok(true)
}

fn attribute_names(file: &OwnedFd) -> io::Result<BTreeSet<OsString>> {
    let mut buffer = vec![0_u8; 64 << 10];
    let length = match rustix::fs::flistxattr(file, &mut buffer[..]) {
        Err(rustix::io::Errno::OPNOTSUPP) => 0,
        result => result?,
    };
    let names = buffer[..length].split(|byte| *byte == 0).filter(|name| !name.is_empty());
    // Labels of the machine's own security modules come and go.
    let ours = names.filter(|name| !name.starts_with(b"security.") || *name == b"security.capability");
    Ok(ours.map(|name| OsStr::from_bytes(name).to_owned()).collect())
}

fn attribute(file: &OwnedFd, name: &OsStr) -> io::Result<Vec<u8>> {
    let mut buffer = vec![0_u8; 64 << 10];
    let length = rustix::fs::fgetxattr(file, name, &mut buffer[..])?;
    buffer.truncate(length);
    Ok(buffer)
}

fn same_bytes(a: OwnedFd, b: OwnedFd) -> io::Result<bool> {
    let (a, b) = (std::fs::File::from(a), std::fs::File::from(b));
    let (mut left, mut right) = (vec![0; BUFFER_BYTES], vec![0; BUFFER_BYTES]);
    let mut at = 0;
    loop {
        let (x, y) = (read_full(&a, &mut left, at)?, read_full(&b, &mut right, at)?);
        if left[..x] != right[..y] {
            return Ok(false);
        }
        if x < left.len() {
            return Ok(true);
        }
        at += x as u64;
    }
}

fn read_full(file: &std::fs::File, buffer: &mut [u8], at: u64) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match file.read_at(&mut buffer[filled..], at + filled as u64)? {
            0 => break,
            read => filled += read,
        }
    }
    Ok(filled)
}

fn names(dir: impl AsFd) -> io::Result<BTreeSet<OsString>> {
    let mut names = BTreeSet::new();
    for entry in Dir::read_from(dir)? {
        let entry = entry?;
        let name = OsStr::from_bytes(entry.file_name().to_bytes());
        if name != "." && name != ".." {
            names.insert(name.to_owned());
        }
    }
    Ok(names)
}
