//! Changing attributes of existing mounts.

use std::io;
use std::os::fd::{AsFd, AsRawFd as _};

use rustix::mount::{MountAttrFlags, MountPropagationFlags};

/// Makes a mount that is not attached anywhere yet, and everything below it, read-only.
///
/// # Errors
/// As mount_setattr(2).
pub fn set_readonly_recursive_fd(mount: &impl AsFd) -> io::Result<()> {
    change(mount, &Change { set: MountAttrFlags::MOUNT_ATTR_RDONLY, recursive: true, ..Change::NONE })
}

/// What is to change about a mount.
#[derive(Debug, Clone, Copy)]
pub struct Change {
    /// Attributes to set.
    pub set: MountAttrFlags,
    /// Attributes to clear.
    pub clear: MountAttrFlags,
    /// The mount's new propagation, without `REC`; empty leaves it alone.
    pub propagation: MountPropagationFlags,
    /// Whether everything mounted below changes, too.
    pub recursive: bool,
}

impl Change {
    /// No change.
    pub const NONE: Self = Self {
        set: MountAttrFlags::empty(),
        clear: MountAttrFlags::empty(),
        propagation: MountPropagationFlags::empty(),
        recursive: false,
    };

    /// Whether there is nothing to do.
    pub fn is_none(&self) -> bool {
        self.set.is_empty() && self.clear.is_empty() && self.propagation.is_empty()
    }
}

/// Changes the mount whose root `mount` is, attached or not. Needs CAP_SYS_ADMIN.
///
/// # Errors
/// As mount_setattr(2): `EINVAL` when `mount` is not the root of a mount.
pub fn change(mount: &impl AsFd, change: &Change) -> io::Result<()> {
    let mut clear = change.clear;
    let atime = MountAttrFlags::MOUNT_ATTR_NOATIME | MountAttrFlags::MOUNT_ATTR_STRICTATIME;
    if change.set.intersects(atime) {
        // One field of three values: the kernel wants it cleared before it is set.
        clear |= MountAttrFlags::MOUNT_ATTR__ATIME;
    }
    let attributes = libc::mount_attr {
        attr_set: change.set.bits().into(),
        attr_clr: clear.bits().into(),
        propagation: change.propagation.bits().into(),
        userns_fd: 0,
    };
    let flags = libc::AT_EMPTY_PATH | if change.recursive { libc::AT_RECURSIVE } else { 0 };
    // SAFETY: the path is an empty C string and `attributes` a `mount_attr` of the given size; both outlive the call,
    // which only reads them.
    let result = unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            mount.as_fd().as_raw_fd(),
            c"".as_ptr(),
            flags,
            std::ptr::from_ref(&attributes),
            size_of::<libc::mount_attr>(),
        )
    };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
