//! File names in the state directory, and unix sockets at long paths.

use std::io;
use std::os::fd::AsRawFd as _;
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, Mode, OFlags, openat};

/// libcontainer writes the init's pid here as soon as it exists.
pub(super) const PID_FILE: &str = "init.pid";
/// The terminal's master comes through here.
pub(super) const CONSOLE_SOCKET: &str = "console.sock";
/// In libcontainer's own directory: a connection is the start signal.
pub(super) const NOTIFY_SOCKET: &str = "notify.sock";

/// Calls `f` with a path that names the same file and fits into a socket address, which holds 108 bytes.
pub(super) fn with_short_path<T>(path: &Path, f: impl FnOnce(&Path) -> io::Result<T>) -> io::Result<T> {
    let invalid = || io::Error::from(io::ErrorKind::InvalidInput);
    let (parent, name) = (path.parent().ok_or_else(invalid)?, path.file_name().ok_or_else(invalid)?);
    let directory = openat(CWD, parent, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
    f(&PathBuf::from(format!("/proc/self/fd/{}", directory.as_raw_fd())).join(name))
}
