//! Signals to a process that cannot have been replaced by another one meanwhile.

use std::io;
use std::os::fd::{AsFd, AsRawFd as _, OwnedFd};

/// Refers to a process. Race-free for children that have not been waited for; for others, check afterwards that the
/// process is still the expected one.
///
/// # Errors
/// `ESRCH` when there is no such process.
pub fn open(pid: u32) -> io::Result<OwnedFd> {
    let pid = i32::try_from(pid).ok().and_then(rustix::process::Pid::from_raw);
    let pid = pid.ok_or_else(|| io::Error::from_raw_os_error(libc::ESRCH))?;
    Ok(rustix::process::pidfd_open(pid, rustix::process::PidfdFlags::empty())?)
}

/// Sends a signal by number; real-time signals included.
///
/// # Errors
/// `ESRCH` when the process is gone, `EINVAL` for a number that is no signal.
pub fn send_signal(pidfd: &impl AsFd, signal: i32) -> io::Result<()> {
    let pidfd = pidfd.as_fd();
    // SAFETY: a null `siginfo` is allowed and means what `kill` would send; nothing else is a pointer.
    let result = unsafe {
        libc::syscall(libc::SYS_pidfd_send_signal, pidfd.as_raw_fd(), signal, std::ptr::null::<libc::siginfo_t>(), 0)
    };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
