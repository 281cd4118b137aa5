//! What a container has changed in its root filesystem: `docker diff`, and the layer that `docker commit` makes of it.
//!
//! Read from the overlay's upper directory, which has nothing but changes. What the runtime itself has to make in there so
//! that it can mount `/proc`, `/etc/hosts` and the like is no change of the container's.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, Dir, FileType, Mode, OFlags, Stat};
use rustix::io::Errno;

use super::FilesError;
use crate::container::Container;
use crate::engine::Engine;
use crate::layered::{self, is_opaque, is_whiteout};
use crate::{Error, Result, blocking};

const DIRECTORY: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);
/// Directories within each other; more than fit into `PATH_MAX`.
const MAX_DEPTH: usize = 2000;
/// What is mounted into every container, relative to its root.
const MOUNT_POINTS: [&str; 12] = [
    "dev/console",
    "dev/mqueue",
    "dev/pts",
    "dev/shm",
    "dev",
    "etc/hostname",
    "etc/hosts",
    "etc/resolv.conf",
    "etc",
    "proc",
    "sys",
    "sys/fs/cgroup",
];

/// How a path differs from the image. The numbers are the API's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChangeKind {
    /// Content, owner or mode.
    Modified = 0,
    /// New.
    Added = 1,
    /// Gone.
    Deleted = 2,
}

/// One difference from the image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// Absolute path.
    pub path: PathBuf,
    /// What happened to it.
    pub kind: ChangeKind,
}

impl Engine {
    /// What a container has changed, ordered by path.
    ///
    /// # Errors
    /// [`Error::NoSuchContainer`], [`Error::Files`].
    pub async fn changes(&self, name: &str) -> Result<Vec<Change>> {
        let container = self.container(name)?;
        let upper = self.shared.config.container_dir(&container.id).join("upper");
        blocking::run(move || {
            let changes = changes(&upper, &container);
            changes.map_err(|source| Error::Files(FilesError::Io { action: "compare", path: upper, source }))
        })
        .await
    }
}

/// Whether something in an upper directory is there only because something is mounted over it.
pub(super) fn is_mount_point(path: &[u8], is_empty: bool) -> bool {
    is_empty && MOUNT_POINTS.iter().any(|known| known.as_bytes() == path)
}

fn changes(upper: &Path, container: &Container) -> io::Result<Vec<Change>> {
    let open = |path: &Path| rustix::fs::openat(CWD, path, DIRECTORY, Mode::empty());
    let lowers = container.layers.iter().map(|layer| open(layer)).collect::<rustix::io::Result<Vec<_>>>()?;
    let mut found = Vec::new();
    walk(&open(upper)?, &lowers, Path::new("/"), &mut found, 0)?;
    Ok(found)
}

fn walk(upper: &OwnedFd, lowers: &[OwnedFd], path: &Path, found: &mut Vec<Change>, depth: usize) -> io::Result<()> {
    if depth > MAX_DEPTH {
        return Err(Errno::NAMETOOLONG.into());
    }
    for name in names(upper)? {
        let Some(stat) = stat_of(upper, &name)? else { continue };
        let lower = look_up(lowers, &name)?;
        let here = path.join(&name);
        let change = |kind| Change { path: here.clone(), kind };
        if is_whiteout(&stat) {
            found.extend(lower.map(|_| change(ChangeKind::Deleted)));
            continue;
        }
        let kind = if lower.is_some() { ChangeKind::Modified } else { ChangeKind::Added };
        let relative = here.as_os_str().as_bytes().strip_prefix(b"/").unwrap_or_default();
        if FileType::from_raw_mode(stat.st_mode) != FileType::Directory {
            if kind == ChangeKind::Modified || !is_mount_point(relative, stat.st_size == 0) {
                found.push(change(kind));
            }
            continue;
        }
        let dir = match rustix::fs::openat(upper, &name, DIRECTORY, Mode::empty()) {
            Err(Errno::NOENT) => continue,
            dir => Some(dir?),
        };
        let before = found.len();
        found.push(change(kind));
        let below = layered::merged(lowers, &name)?;
        let Some(open) = &dir else { continue };
        if is_opaque(&dir) {
            // Everything of the image's that was not made again is gone.
            for gone in merged_names(&below)? {
                if stat_of(open, &gone)?.is_none() {
                    found.push(Change { path: here.join(gone), kind: ChangeKind::Deleted });
                }
            }
        }
        walk(open, &below, &here, found, depth + 1)?;
        let alone = found.len() == before + 1;
        let unchanged = match &lower {
            // Copied up for the sake of something in it that is not shown.
            Some(lower) => same_metadata(lower, &stat),
            None => is_mount_point(relative, true),
        };
        if alone && unchanged {
            found.pop();
        }
    }
    Ok(())
}

fn same_metadata(a: &Stat, b: &Stat) -> bool {
    (a.st_mode, a.st_uid, a.st_gid) == (b.st_mode, b.st_uid, b.st_gid)
}

fn stat_of(dir: &OwnedFd, name: &OsStr) -> io::Result<Option<Stat>> {
    match rustix::fs::statat(dir, name, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(stat) => Ok(Some(stat)),
        Err(Errno::NOENT | Errno::NOTDIR) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// What the image has under a name.
fn look_up(lowers: &[OwnedFd], name: &OsStr) -> io::Result<Option<Stat>> {
    for lower in lowers {
        if let Some(stat) = stat_of(lower, name)? {
            return Ok(Some(stat).filter(|stat| !is_whiteout(stat)));
        }
    }
    Ok(None)
}

fn names(dir: &OwnedFd) -> io::Result<Vec<OsString>> {
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

fn merged_names(dirs: &[OwnedFd]) -> io::Result<Vec<OsString>> {
    let mut all = Vec::new();
    for dir in dirs {
        all.extend(names(dir)?);
    }
    all.sort();
    all.dedup();
    let mut present = Vec::new();
    for name in all {
        if look_up(dirs, &name)?.is_some() {
            present.push(name);
        }
    }
    Ok(present)
}
