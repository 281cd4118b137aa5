//! Owner, mode, extended attributes and times of what was created.

use std::ffi::OsStr;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::ffi::OsStrExt as _;

use rustix::fs::{AtFlags, FileType, Gid, Mode, Stat, Timespec, Timestamps, Uid, XattrFlags};
use rustix::io::Errno;

use super::{ApplyError, failed};
use crate::tar_stream::Entry;

/// Marks a directory that hides what lower layers have in it.
pub(crate) const OPAQUE_XATTR: &str = "trusted.overlay.opaque";

/// Owner first: changing it clears set-id bits and file capabilities.
pub(crate) fn apply(fd: impl AsFd, entry: &Entry) -> Result<(), ApplyError> {
    let fd = fd.as_fd();
    let (uid, gid) = owner(entry);
    rustix::fs::fchown(fd, uid, gid).map_err(failed("set the owner of", entry))?;
    rustix::fs::fchmod(fd, Mode::from_raw_mode(entry.mode)).map_err(failed("set the mode of", entry))?;
    for (name, value) in entry.xattrs.iter().filter(|(name, _)| is_allowed(name)) {
        set_xattr(fd, name, value).map_err(failed("set an extended attribute of", entry))?;
    }
    Ok(())
}

pub(super) fn apply_to_link(dir: impl AsFd, name: &OsStr, entry: &Entry) -> Result<(), ApplyError> {
    let (uid, gid) = owner(entry);
    rustix::fs::chownat(&dir, name, uid, gid, AtFlags::SYMLINK_NOFOLLOW).map_err(failed("set the owner of", entry))?;
    set_times_at(dir, name, entry)
}

/// For devices and FIFOs, which cannot be opened without side effects. The name was created by us in a private directory.
pub(super) fn apply_to_node(dir: impl AsFd, name: &OsStr, entry: &Entry) -> Result<(), ApplyError> {
    let (uid, gid) = owner(entry);
    rustix::fs::chownat(&dir, name, uid, gid, AtFlags::SYMLINK_NOFOLLOW).map_err(failed("set the owner of", entry))?;
    let mode = Mode::from_raw_mode(entry.mode);
    rustix::fs::chmodat(&dir, name, mode, AtFlags::empty()).map_err(failed("set the mode of", entry))?;
    set_times_at(dir, name, entry)
}

pub(crate) fn set_times(fd: BorrowedFd<'_>, mtime: (i64, u32)) -> rustix::io::Result<()> {
    rustix::fs::futimens(fd, &timestamps(mtime))
}

pub(super) fn set_opaque(dir: impl AsFd) -> rustix::io::Result<()> {
    rustix::fs::fsetxattr(dir, OPAQUE_XATTR, b"y", XattrFlags::empty())
}

/// Overlayfs' mark for a deleted name: character device 0:0.
pub(super) fn is_whiteout(stat: &Stat) -> bool {
    FileType::from_raw_mode(stat.st_mode) == FileType::CharacterDevice && stat.st_rdev == 0
}

fn set_times_at(dir: impl AsFd, name: &OsStr, entry: &Entry) -> Result<(), ApplyError> {
    let times = timestamps(entry.mtime);
    rustix::fs::utimensat(dir, name, &times, AtFlags::SYMLINK_NOFOLLOW).map_err(failed("set the times of", entry))
}

fn owner(entry: &Entry) -> (Option<Uid>, Option<Gid>) {
    (Some(Uid::from_raw(entry.uid)), Some(Gid::from_raw(entry.gid)))
}

pub(crate) fn timestamps((seconds, nanos): (i64, u32)) -> Timestamps {
    let time = Timespec { tv_sec: seconds, tv_nsec: nanos.into() };
    Timestamps { last_access: time, last_modification: time }
}

/// Attributes that an image may set. Above all not `trusted.overlay.*`, with which a layer could redirect lookups.
pub(crate) fn is_allowed(name: &[u8]) -> bool {
    match name {
        b"security.capability" | b"system.posix_acl_access" | b"system.posix_acl_default" => true,
        _ => name.starts_with(b"user.") && !name.starts_with(b"user.overlay.") && !name.contains(&0),
    }
}

pub(crate) fn set_xattr(fd: BorrowedFd<'_>, name: &[u8], value: &[u8]) -> rustix::io::Result<()> {
    match rustix::fs::fsetxattr(fd, OsStr::from_bytes(name), value, XattrFlags::empty()) {
        // The filesystem keeps none; Docker goes on too.
        Err(Errno::OPNOTSUPP) => {
            tracing::warn!(name = %String::from_utf8_lossy(name), "the filesystem cannot keep an extended attribute");
            Ok(())
        }
        result => result,
    }
}
