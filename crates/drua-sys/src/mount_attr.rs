//! Changing attributes of existing mounts.

use std::ffi::CString;
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

/// Makes the mount at `path` and everything mounted below it read-only (mount_setattr(2), Linux 5.12).
///
/// Needs CAP_SYS_ADMIN. Follows symbolic links in `path`.
pub fn set_readonly_recursive(path: &Path) -> io::Result<()> {
    let path = CString::new(path.as_os_str().as_bytes())?;
    let attributes = libc::mount_attr { attr_set: libc::MOUNT_ATTR_RDONLY, attr_clr: 0, propagation: 0, userns_fd: 0 };
    // SAFETY: `path` is a C string and `attributes` a `mount_attr` of the given size; both outlive the call, which only
    // reads them.
    let result = unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            libc::AT_FDCWD,
            path.as_ptr(),
            libc::AT_RECURSIVE,
            std::ptr::from_ref(&attributes),
            size_of::<libc::mount_attr>(),
        )
    };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Makes a mount that is not attached anywhere yet, and everything below it, read-only.
///
/// # Errors
/// As mount_setattr(2).
pub fn set_readonly_recursive_fd(mount: &impl std::os::fd::AsFd) -> io::Result<()> {
    let attributes = libc::mount_attr { attr_set: libc::MOUNT_ATTR_RDONLY, attr_clr: 0, propagation: 0, userns_fd: 0 };
    let fd = std::os::fd::AsRawFd::as_raw_fd(&mount.as_fd());
    // SAFETY: the path is an empty C string and `attributes` a `mount_attr` of the given size; both outlive the call,
    // which only reads them.
    let result = unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            fd,
            c"".as_ptr(),
            libc::AT_RECURSIVE | libc::AT_EMPTY_PATH,
            std::ptr::from_ref(&attributes),
            size_of::<libc::mount_attr>(),
        )
    };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
