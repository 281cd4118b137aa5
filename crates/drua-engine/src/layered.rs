//! Reading a root filesystem through its overlay layers without mounting it: small files, and copy-up into new volumes.
//!
//! Overlay's rules (kernel Documentation/filesystems/overlayfs.rst): the topmost layer that has a name wins; a character
//! device 0:0 hides it; a directory with the xattr `trusted.overlay.opaque=y` hides everything below. A symbolic link is
//! followed within the layer that holds it only.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::io::Read;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use drua_sys::root_fs::Root;
use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, Stat, Timespec, Timestamps};

use crate::{Error, Result};

const DIRECTORY: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);
/// A volume that an image fills cannot nest deeper than this.
const MAX_DEPTH: usize = 256;

/// The first `limit` bytes of a file, or nothing when there is no such regular file.
pub(crate) fn read(layers: &[PathBuf], path: &str, limit: u64) -> Vec<u8> {
    let mut content = Vec::new();
    if let Some(file) = open(layers, Path::new(path)) {
        // Half a file is as good as none of it: the caller looks for names.
        let _ = file.take(limit).read_to_end(&mut content);
    }
    content
}

/// A regular file for reading, or nothing when there is none.
pub(crate) fn open(layers: &[PathBuf], path: &Path) -> Option<std::fs::File> {
    for layer in layers {
        let Ok(root) = Root::open(layer) else { continue };
        if let Ok(fd) = root.open_regular(path) {
            return Some(std::fs::File::from(fd));
        }
        if is_hidden_below(&root, path) {
            break;
        }
    }
    None
}

/// Whether nothing of the layers below shows through at a directory: it is whited out, opaque, or something else here.
pub(crate) fn hides_below(root: &Root, path: &Path) -> bool {
    path.ancestors().filter(|ancestor| !ancestor.as_os_str().is_empty()).any(|ancestor| {
        match root.open_no_links(ancestor, OFlags::PATH | OFlags::NOFOLLOW) {
            Ok(fd) => rustix::fs::fstat(&fd).is_ok_and(|stat| {
                FileType::from_raw_mode(stat.st_mode) != FileType::Directory || is_opaque(&root_dir(root, ancestor))
            }),
            Err(_) => false,
        }
    })
}

/// Whether this layer whites `path` out, or one of its parents is opaque.
fn is_hidden_below(root: &Root, path: &Path) -> bool {
    let mut ancestors = path.ancestors().filter(|ancestor| *ancestor != Path::new("/"));
    ancestors.any(|ancestor| match root.open_no_links(ancestor, OFlags::PATH | OFlags::NOFOLLOW) {
        Ok(fd) => rustix::fs::fstat(&fd).is_ok_and(|stat| is_whiteout(&stat) || is_opaque(&root_dir(root, ancestor))),
        Err(_) => false,
    })
}

fn root_dir(root: &Root, path: &Path) -> Option<OwnedFd> {
    root.open_no_links(path, DIRECTORY).ok()
}

pub(crate) fn is_whiteout(stat: &Stat) -> bool {
    FileType::from_raw_mode(stat.st_mode) == FileType::CharacterDevice && stat.st_rdev == 0
}

pub(crate) fn is_opaque(dir: &Option<OwnedFd>) -> bool {
    let mut value = [0u8; 1];
    dir.as_ref().is_some_and(|dir| {
        rustix::fs::fgetxattr(dir, "trusted.overlay.opaque", &mut value[..]).is_ok_and(|len| value[..len] == *b"y")
    })
}

/// Fills an empty volume with what the image has at `path`, owners, modes and times included, as Docker does for a
/// volume's first use. Does nothing when the volume has content or the image has no such directory.
pub(crate) fn fill_volume(volume: &Path, path: &Path, layers: &[PathBuf]) -> Result<()> {
    let failed = |source: rustix::io::Errno| Error::Io {
        action: "fill the volume at",
        path: volume.to_owned(),
        source: source.into(),
    };
    let mut sources = Vec::new();
    for layer in layers {
        let Ok(root) = Root::open(layer) else { continue };
        let dir = root.open_at(path, DIRECTORY.difference(OFlags::NOFOLLOW), Mode::empty()).ok();
        let opaque = is_opaque(&dir) || is_hidden_below(&root, path);
        sources.extend(dir);
        if opaque {
            break;
        }
    }
    let Some(top) = sources.first() else { return Ok(()) };
    let target = rustix::fs::open(volume, DIRECTORY, Mode::empty()).map_err(failed)?;
    let mut entries = Dir::read_from(&target).map_err(failed)?;
    if entries.any(|entry| entry.is_ok_and(|entry| !matches!(entry.file_name().to_bytes(), b"." | b".."))) {
        return Ok(());
    }
    let stat = rustix::fs::fstat(top).map_err(failed)?;
    let copied = stage(volume, &target, &sources, &stat)?;
    if !copied {
        // Something of its own is mounted there: nothing can be moved into it.
        copy_dir(&sources, &target, 0).map_err(failed)?;
    }
    copy_metadata(&target, &stat).map_err(failed)
}

/// Where a volume's first content is put together (`.tmp`), and waits to be moved in.
fn staging(volume: &Path) -> (PathBuf, PathBuf) {
    (volume.with_file_name("_fill.tmp"), volume.with_file_name("_fill"))
}

/// Copies beside the volume, then moves in, so that a volume is never seen, nor left after a crash, with a part of the
/// image's files. False when the volume is another file system.
fn stage(volume: &Path, target: &OwnedFd, sources: &[OwnedFd], stat: &Stat) -> Result<bool> {
    let failed = |action, path: &Path| {
        let path = path.to_owned();
        move |source| Error::Io { action, path, source }
    };
    let (unfinished, complete) = staging(volume);
    if drua_store::live::mount_id(target)
        != volume.parent().and_then(|dir| Some(drua_store::live::mount_id(std::fs::File::open(dir).ok()?))).flatten()
    {
        return Ok(false);
    }
    finish_filling(volume)?;
    fs_err::create_dir(&unfinished).map_err(failed("create", &unfinished))?;
    let copy = rustix::fs::open(&unfinished, DIRECTORY, Mode::empty());
    let copied = copy.and_then(|copy| {
        copy_dir(sources, &copy, 0)?;
        copy_metadata(&copy, stat)
    });
    copied.map_err(|error| failed("fill", &unfinished)(error.into()))?;
    fs_err::rename(&unfinished, &complete).map_err(failed("rename", &unfinished))?;
    finish_filling(volume)?;
    Ok(true)
}

/// Completes what a crash has interrupted: content that is whole moves in, content that is not goes.
pub(crate) fn finish_filling(volume: &Path) -> Result<()> {
    let failed = |action, path: &Path| {
        let path = path.to_owned();
        move |source| Error::Io { action, path, source }
    };
    let (unfinished, complete) = staging(volume);
    if unfinished.exists() {
        crate::remove_dir(&unfinished)?;
    }
    if !complete.exists() {
        return Ok(());
    }
    let metadata = rustix::fs::stat(&complete).map_err(|error| failed("look up", &complete)(error.into()))?;
    for entry in fs_err::read_dir(&complete).map_err(failed("list", &complete))? {
        let entry = entry.map_err(failed("list", &complete))?;
        let to = volume.join(entry.file_name());
        let moved = rustix::fs::renameat_with(
            rustix::fs::CWD,
            entry.path(),
            rustix::fs::CWD,
            &to,
            rustix::fs::RenameFlags::NOREPLACE,
        );
        match moved {
            // A container has made something of this name meanwhile: that is newer.
            Ok(()) | Err(rustix::io::Errno::EXIST) => {}
            Err(error) => return Err(failed("move into the volume", &to)(error.into())),
        }
    }
    if let Ok(target) = rustix::fs::open(volume, DIRECTORY, Mode::empty()) {
        // Its owner and mode are the image's, too.
        copy_metadata(&target, &metadata).map_err(|error| failed("set the owner of", volume)(error.into()))?;
    }
    crate::remove_dir(&complete)
}

/// What merges into the directory `name` of merged directories, topmost first.
pub(crate) fn merged(sources: &[OwnedFd], name: &OsStr) -> rustix::io::Result<Vec<OwnedFd>> {
    let mut below = Vec::new();
    for source in sources {
        let dir = match rustix::fs::openat(source, name, DIRECTORY, Mode::empty()) {
            Ok(dir) => Some(dir),
            // A layer that has nothing there hides nothing.
            Err(rustix::io::Errno::NOENT) => continue,
            // Something else than a directory hides what is below.
            Err(rustix::io::Errno::NOTDIR | rustix::io::Errno::LOOP) => break,
            Err(error) => return Err(error),
        };
        let opaque = is_opaque(&dir);
        below.extend(dir);
        if opaque {
            break;
        }
    }
    Ok(below)
}

/// Copies the merged content of directories, topmost first.
fn copy_dir(sources: &[OwnedFd], target: &OwnedFd, depth: usize) -> rustix::io::Result<()> {
    if depth > MAX_DEPTH {
        return Err(rustix::io::Errno::NAMETOOLONG);
    }
    // Name → index of the topmost layer that has it.
    let mut names: BTreeMap<OsString, usize> = BTreeMap::new();
    for (index, source) in sources.iter().enumerate() {
        for entry in Dir::read_from(source)? {
            let entry = entry?;
            let name = OsStr::from_bytes(entry.file_name().to_bytes());
            if name != "." && name != ".." {
                names.entry(name.to_owned()).or_insert(index);
            }
        }
    }
    for (name, first) in names {
        let stat = rustix::fs::statat(&sources[first], &name, AtFlags::SYMLINK_NOFOLLOW)?;
        match FileType::from_raw_mode(stat.st_mode) {
            FileType::Directory => {
                let below = merged(&sources[first..], &name)?;
                rustix::fs::mkdirat(target, &name, Mode::RWXU)?;
                let copy = rustix::fs::openat(target, &name, DIRECTORY, Mode::empty())?;
                copy_dir(&below, &copy, depth + 1)?;
                copy_metadata(&copy, &stat)?;
            }
            FileType::RegularFile => copy_file(&sources[first], target, &name, &stat)?,
            FileType::Symlink => {
                let link = rustix::fs::readlinkat(&sources[first], &name, Vec::new())?;
                rustix::fs::symlinkat(link, target, &name)?;
                let (uid, gid) = owner(&stat);
                rustix::fs::chownat(target, &name, Some(uid), Some(gid), AtFlags::SYMLINK_NOFOLLOW)?;
            }
            // Whiteouts, and nodes that have no place in a volume.
            _ => {}
        }
    }
    Ok(())
}

fn copy_file(source: &OwnedFd, target: &OwnedFd, name: &OsStr, stat: &Stat) -> rustix::io::Result<()> {
    let read = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let from = rustix::fs::openat(source, name, read, Mode::empty())?;
    let write = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
    let to = rustix::fs::openat(target, name, write, Mode::RUSR | Mode::WUSR)?;
    let (mut from, mut to) = (std::fs::File::from(from), std::fs::File::from(to));
    std::io::copy(&mut from, &mut to)
        .map_err(|error| rustix::io::Errno::from_io_error(&error).unwrap_or(rustix::io::Errno::IO))?;
    copy_metadata(&to, stat)
}

fn copy_metadata(target: impl AsFd, stat: &Stat) -> rustix::io::Result<()> {
    let (uid, gid) = owner(stat);
    rustix::fs::fchown(&target, Some(uid), Some(gid))?;
    rustix::fs::fchmod(&target, Mode::from_raw_mode(stat.st_mode))?;
    let time = |seconds, nanos: u64| Timespec { tv_sec: seconds, tv_nsec: i64::try_from(nanos).unwrap_or(0) };
    let times = Timestamps {
        last_access: time(stat.st_atime, stat.st_atime_nsec),
        last_modification: time(stat.st_mtime, stat.st_mtime_nsec),
    };
    rustix::fs::futimens(&target, &times)
}

fn owner(stat: &Stat) -> (rustix::fs::Uid, rustix::fs::Gid) {
    (rustix::fs::Uid::from_raw(stat.st_uid), rustix::fs::Gid::from_raw(stat.st_gid))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two layers: the top one replaces `a`, hides `gone` and adds `new`.
    fn layers(root: &Path) -> Vec<PathBuf> {
        let (top, bottom) = (root.join("top"), root.join("bottom"));
        for dir in [top.join("data/sub"), bottom.join("data/sub")] {
            std::fs::create_dir_all(dir).expect("create");
        }
        for (path, content) in [("data/a", "old"), ("data/gone", "x"), ("data/sub/low", "low"), ("data/only-low", "y")]
        {
            std::fs::write(bottom.join(path), content).expect("write");
        }
        for (path, content) in [("data/a", "new"), ("data/new", "n"), ("data/sub/high", "high")] {
            std::fs::write(top.join(path), content).expect("write");
        }
        let gone = std::ffi::CString::new(top.join("data/gone").as_os_str().as_bytes()).expect("no NUL");
        rustix::fs::mknodat(rustix::fs::CWD, &*gone, FileType::CharacterDevice, Mode::empty(), 0).expect("whiteout");
        vec![top, bottom]
    }

    #[test]
    fn reads_the_topmost_file() {
        let root = tempfile::tempdir().expect("temporary directory");
        let layers = layers(root.path());
        assert_eq!(read(&layers, "/data/a", 100), b"new");
        assert_eq!(read(&layers, "/data/a", 1), b"n");
        assert_eq!(read(&layers, "/data/only-low", 100), b"y");
        assert_eq!(read(&layers, "/data/gone", 100), b"");
        assert_eq!(read(&layers, "/missing", 100), b"");
    }

    #[test]
    fn fills_an_empty_volume_with_the_merged_directory() {
        let root = tempfile::tempdir().expect("temporary directory");
        let layers = layers(root.path());
        let volume = root.path().join("volume");
        std::fs::create_dir(&volume).expect("create");
        fill_volume(&volume, Path::new("/data"), &layers).expect("fill");
        let read = |path: &str| std::fs::read_to_string(volume.join(path)).ok();
        assert_eq!(read("a").as_deref(), Some("new"));
        assert_eq!(read("sub/low").as_deref(), Some("low"));
        assert_eq!(read("sub/high").as_deref(), Some("high"));
        assert_eq!(read("gone"), None);
        std::fs::write(volume.join("a"), "mine").expect("write");
        fill_volume(&volume, Path::new("/data"), &layers).expect("not again");
        assert_eq!(read("a").as_deref(), Some("mine"));
    }
}
