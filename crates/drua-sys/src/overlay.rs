//! Overlays that are mounted nowhere: a directory to work in, which is gone when its descriptor is closed.
//!
//! Uses the new mount API (fsopen(2), fsmount(2)) with `lowerdir+`, Linux 6.7. Needs `CAP_SYS_ADMIN`. A process that is
//! killed leaves nothing mounted.

use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use rustix::mount::{FsMountFlags, FsOpenFlags, MountAttrFlags};

/// Where an overlay's changes go.
#[derive(Debug, Clone, Copy)]
pub struct Upper<'p> {
    /// Directory that takes them.
    pub dir: &'p Path,
    /// Empty directory on the same filesystem.
    pub work: &'p Path,
}

/// Mounts `lowers` (topmost first) under `upper`, and returns the root of what results; read-only without `upper`.
///
/// # Errors
/// As fsconfig(2): `EINVAL` for paths of more than 255 bytes or kernels before 6.7.
pub fn mount(lowers: &[PathBuf], upper: Option<Upper<'_>>) -> io::Result<OwnedFd> {
    let context = rustix::mount::fsopen("overlay", FsOpenFlags::FSOPEN_CLOEXEC)?;
    for lower in lowers {
        rustix::mount::fsconfig_set_string(&context, "lowerdir+", lower)?;
    }
    let mut attributes = MountAttrFlags::MOUNT_ATTR_NOSUID | MountAttrFlags::MOUNT_ATTR_NODEV;
    match upper {
        Some(upper) => {
            rustix::mount::fsconfig_set_string(&context, "upperdir", upper.dir)?;
            rustix::mount::fsconfig_set_string(&context, "workdir", upper.work)?;
            // Nobody reads it after a crash: what is not complete is thrown away.
            rustix::mount::fsconfig_set_flag(&context, "volatile")?;
        }
        None => attributes |= MountAttrFlags::MOUNT_ATTR_RDONLY,
    }
    rustix::mount::fsconfig_create(&context)?;
    Ok(rustix::mount::fsmount(&context, FsMountFlags::FSMOUNT_CLOEXEC, attributes)?)
}
