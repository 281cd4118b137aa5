//! Directories that a layer's tar takes for granted.
//!
//! Layers made by hand name `lib/x` without `lib/`, or mean the directory that a lower layer's link `lib -> usr/lib`
//! leads to. Unpacked beside each other, as here, such a layer would put an empty `lib` of mode 0755 over the real one.
//! So what is missing is looked up in the layers below and made alike: same owner and mode, or the link is followed.

use std::cell::RefCell;
use std::collections::{BTreeSet, HashSet, VecDeque};
use std::ffi::OsString;
use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::path::{Component, Path, PathBuf};

use drua_sys::root_fs::Root;
use rustix::fs::{FileType, Mode, OFlags, Stat};
use rustix::io::Errno;

use super::metadata::{self, OPAQUE_XATTR};
use super::{ApplyError, Unpacker, failed, open_root, refused};
use crate::tar_stream::Entry;

/// As the kernel's own limit for one lookup.
const MAX_LINKS: usize = 40;

enum Found {
    Directory,
    Link(PathBuf),
    LowerDirectory(Box<Stat>),
    Nothing,
}

impl Unpacker {
    /// The directory at `path` in the new layer, made when missing.
    pub(super) fn parent_dir(&mut self, path: &Path, entry: &Entry) -> Result<OwnedFd, ApplyError> {
        let clone = |fd: &OwnedFd| fd.try_clone().map_err(failed("open the directory of", entry));
        if let Some((cached, fd)) = &self.parent
            && cached == path
        {
            return clone(fd);
        }
        let flags = OFlags::PATH | OFlags::DIRECTORY;
        let dir = match self.root.open_at(path, flags, Mode::empty()) {
            Ok(dir) => dir,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                let real = self.make_parents(path, entry)?;
                self.root.open_no_links(&real, flags).map_err(failed("open the directory of", entry))?
            }
            Err(error) => return Err(failed("open the directory of", entry)(error)),
        };
        self.parent = Some((path.to_owned(), clone(&dir)?));
        Ok(dir)
    }

    /// Walks `path` name by name as the merged layers show it; returns where it really is.
    fn make_parents(&mut self, path: &Path, entry: &Entry) -> Result<PathBuf, ApplyError> {
        let mut todo: VecDeque<OsString> = path.iter().map(ToOwned::to_owned).collect();
        let mut here = PathBuf::new();
        let mut links = 0;
        while let Some(name) = todo.pop_front() {
            if name == ".." {
                here.pop();
                continue;
            }
            let next = here.join(&name);
            match self.find(&next, &here, entry)? {
                Found::Directory => here = next,
                Found::LowerDirectory(stat) => {
                    self.make_directory(&next, Some(&stat), entry)?;
                    here = next;
                }
                Found::Nothing => {
                    self.make_directory(&next, None, entry)?;
                    here = next;
                }
                Found::Link(target) => {
                    links += 1;
                    if links > MAX_LINKS {
                        return Err(refused(entry, "too many symbolic links on the way to it"));
                    }
                    if target.is_absolute() {
                        here = PathBuf::new();
                    }
                    for component in target.components().rev() {
                        match component {
                            Component::Normal(name) => todo.push_front(name.to_owned()),
                            Component::ParentDir => todo.push_front("..".into()),
                            Component::RootDir | Component::CurDir | Component::Prefix(_) => {}
                        }
                    }
                }
            }
        }
        Ok(here)
    }

    fn find(&self, path: &Path, parent: &Path, entry: &Entry) -> Result<Found, ApplyError> {
        let not_directory =
            || failed("use as a directory a file on the way to", entry)(std::io::Error::from(Errno::NOTDIR));
        if let Some((fd, stat)) = look_up(&self.root, path).map_err(failed("look up the directory of", entry))? {
            return match FileType::from_raw_mode(stat.st_mode) {
                FileType::Directory => Ok(Found::Directory),
                FileType::Symlink => {
                    read_link(&fd).map(Found::Link).map_err(failed("read a link on the way to", entry))
                }
                _ if metadata::is_whiteout(&stat) => Ok(Found::Nothing),
                _ => Err(not_directory()),
            };
        }
        if is_opaque(&self.root, parent) {
            return Ok(Found::Nothing);
        }
        find_below(&self.lowers, path, parent).map_err(failed("look up in the layers below the directory of", entry))
    }

    fn make_directory(&mut self, path: &Path, like: Option<&Stat>, entry: &Entry) -> Result<(), ApplyError> {
        let attempt = "create the directory of";
        let found = self.root.parent(path).map_err(failed(attempt, entry))?;
        let (dir, name) = found.ok_or_else(|| refused(entry, "its directory has no name"))?;
        let replaced = match rustix::fs::mkdirat(&dir, &name, Mode::RWXU) {
            Err(Errno::EXIST) => {
                // Only a whiteout can be there, or `find` would have said otherwise.
                rustix::fs::unlinkat(&dir, &name, rustix::fs::AtFlags::empty()).map_err(failed(attempt, entry))?;
                rustix::fs::mkdirat(&dir, &name, Mode::RWXU).map_err(failed(attempt, entry))?;
                true
            }
            result => {
                result.map_err(failed(attempt, entry))?;
                false
            }
        };
        let made = self.root.open_no_links(path, OFlags::RDONLY | OFlags::DIRECTORY).map_err(failed(attempt, entry))?;
        let mode = like.map_or(0o755, |stat| stat.st_mode & 0o7777);
        match like {
            Some(stat) => {
                let owner = (rustix::fs::Uid::from_raw(stat.st_uid), rustix::fs::Gid::from_raw(stat.st_gid));
                rustix::fs::fchown(&made, Some(owner.0), Some(owner.1)).map_err(failed(attempt, entry))?;
                self.remember(path.to_owned(), mtime(stat), entry)?;
            }
            None => {
                self.charge(path, entry)?;
                self.implied.insert(path.to_owned());
            }
        }
        rustix::fs::fchmod(&made, Mode::from_raw_mode(mode)).map_err(failed(attempt, entry))?;
        if replaced {
            metadata::set_opaque(&made).map_err(failed(attempt, entry))?;
        }
        Ok(())
    }
}

/// A layer below. Remembers what it has not: an image of many layers asks each of them for the same directories.
pub(super) struct Lower {
    root: Root,
    absent: RefCell<HashSet<PathBuf>>,
}

impl Lower {
    pub(super) fn open(path: &Path) -> Result<Self, ApplyError> {
        Ok(Self { root: open_root(path)?, absent: RefCell::default() })
    }

    /// As [`look_up`].
    fn look_up(&self, path: &Path) -> io::Result<Option<(OwnedFd, Stat)>> {
        if path.ancestors().any(|ancestor| self.absent.borrow().contains(ancestor)) {
            return Ok(None);
        }
        let found = look_up(&self.root, path)?;
        if found.is_none() {
            // The topmost that is not there stands for everything below it.
            let mut missing = path;
            for ancestor in path.ancestors().skip(1).filter(|ancestor| !ancestor.as_os_str().is_empty()) {
                if look_up(&self.root, ancestor)?.is_some() {
                    break;
                }
                missing = ancestor;
            }
            self.absent.borrow_mut().insert(missing.to_owned());
        }
        Ok(found)
    }

    /// Whether it hides everything that layers below it have under `dir`: some ancestor is opaque, or no directory.
    fn hides(&self, dir: &Path) -> bool {
        dir.ancestors().filter(|ancestor| !ancestor.as_os_str().is_empty()).any(|ancestor| {
            match self.look_up(ancestor) {
                Ok(Some((_, stat))) => {
                    FileType::from_raw_mode(stat.st_mode) != FileType::Directory || is_opaque(&self.root, ancestor)
                }
                Ok(None) | Err(_) => false,
            }
        })
    }
}

/// What the layers below show at `path`, whose directory is `parent`.
fn find_below(lowers: &[Lower], path: &Path, parent: &Path) -> io::Result<Found> {
    for lower in lowers {
        match lower.look_up(path)? {
            Some((fd, stat)) => {
                return match FileType::from_raw_mode(stat.st_mode) {
                    FileType::Directory => Ok(Found::LowerDirectory(Box::new(stat))),
                    FileType::Symlink => read_link(&fd).map(Found::Link),
                    _ => Ok(Found::Nothing),
                };
            }
            None if lower.hides(parent) => return Ok(Found::Nothing),
            None => {}
        }
    }
    Ok(Found::Nothing)
}

/// What became of a layer that was unpacked before the ones below it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Settled {
    /// It is as if they had been there.
    Done,
    /// A link of theirs leads elsewhere: it must be unpacked again, now that they are there.
    Again,
}

/// Makes the directories right that a layer in `target` takes for granted, now that the layers below are there.
pub(crate) fn settle(target: &Path, lowers: &[PathBuf], implied: &BTreeSet<PathBuf>) -> Result<Settled, ApplyError> {
    if implied.is_empty() {
        return Ok(Settled::Done);
    }
    let root = open_root(target)?;
    let lowers = lowers.iter().map(|path| Lower::open(path)).collect::<Result<Vec<_>, _>>()?;
    // Deepest first: a directory's time is set after everything in it.
    for path in implied.iter().rev() {
        let parent = path.parent().unwrap_or(Path::new(""));
        let failed = |source: io::Error| ApplyError::Entry {
            action: "look up in the layers below the directory",
            entry: path.display().to_string(),
            source,
        };
        // It may have given way to something else, or been hidden from what is below.
        let Ok(dir) = root.open_no_links(path, OFlags::RDONLY | OFlags::DIRECTORY) else { continue };
        if parent.ancestors().chain([path.as_path()]).any(|ancestor| is_opaque(&root, ancestor)) {
            continue;
        }
        match find_below(&lowers, path, parent).map_err(failed)? {
            Found::Link(_) => return Ok(Settled::Again),
            Found::Directory | Found::Nothing => {}
            Found::LowerDirectory(stat) => make_alike(&dir, &stat).map_err(|error| failed(error.into()))?,
        }
    }
    Ok(Settled::Done)
}

fn make_alike(dir: &OwnedFd, stat: &Stat) -> rustix::io::Result<()> {
    let owner = (rustix::fs::Uid::from_raw(stat.st_uid), rustix::fs::Gid::from_raw(stat.st_gid));
    rustix::fs::fchown(dir, Some(owner.0), Some(owner.1))?;
    rustix::fs::fchmod(dir, Mode::from_raw_mode(stat.st_mode & 0o7777))?;
    metadata::set_times(dir.as_fd(), mtime(stat))
}

fn mtime(stat: &Stat) -> (i64, u32) {
    (stat.st_mtime, u32::try_from(stat.st_mtime_nsec).unwrap_or(0))
}

/// What is at `path`, of which all but the last component are known to be no links.
fn look_up(root: &Root, path: &Path) -> std::io::Result<Option<(OwnedFd, Stat)>> {
    match root.open_no_links(path, OFlags::PATH | OFlags::NOFOLLOW) {
        Ok(fd) => {
            let stat = rustix::fs::fstat(&fd)?;
            Ok(Some((fd, stat)))
        }
        Err(error) => match error.raw_os_error().map(Errno::from_raw_os_error) {
            Some(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => Ok(None),
            _ => Err(error),
        },
    }
}

fn read_link(link: &OwnedFd) -> std::io::Result<PathBuf> {
    use std::os::unix::ffi::OsStringExt as _;
    let target = rustix::fs::readlinkat(link, "", Vec::new())?;
    Ok(PathBuf::from(OsString::from_vec(target.into_bytes())))
}

fn is_opaque(layer: &Root, dir: &Path) -> bool {
    let dir = if dir.as_os_str().is_empty() { Path::new(".") } else { dir };
    let Ok(dir) = layer.open_no_links(dir, OFlags::RDONLY | OFlags::DIRECTORY) else { return false };
    let mut value = [0_u8; 1];
    matches!(rustix::fs::fgetxattr(dir, OPAQUE_XATTR, &mut value), Ok(1) if value == *b"y")
}
