//! For a process that has just been forked and is about to run something else.

use std::io;
use std::os::fd::RawFd;

/// Resets every signal to its default disposition and blocks none.
///
/// Rust ignores SIGPIPE and tokio installs handlers; an ignored signal would survive `execve`.
pub fn reset_signals() {
    for signal in 1..=64 {
        // SAFETY: the default disposition runs no code of ours. SIGKILL, SIGSTOP and the two that libc keeps for itself
        // are refused with an error, which is as it should be.
        unsafe { libc::signal(signal, libc::SIG_DFL) };
    }
    let empty = nix::sys::signal::SigSet::empty();
    // Cannot fail: the arguments are constants that the kernel knows.
    let _ = nix::sys::signal::sigprocmask(nix::sys::signal::SigmaskHow::SIG_SETMASK, Some(&empty), None);
}

/// Closes every file descriptor above 2 except those in `keep`.
///
/// Objects that own a closed descriptor must not be used afterwards; dropping them is harmless as long as the process
/// has one thread and opens nothing in between.
pub fn close_fds_except(keep: &[RawFd]) -> io::Result<()> {
    let mut keep: Vec<u32> = keep.iter().filter_map(|fd| u32::try_from(*fd).ok()).filter(|fd| *fd > 2).collect();
    keep.sort_unstable();
    keep.dedup();
    let mut first = 3;
    for fd in keep {
        if first < fd {
            close_range(first, fd - 1)?;
        }
        first = fd + 1;
    }
    close_range(first, u32::MAX)
}

fn close_range(first: u32, last: u32) -> io::Result<()> {
    // SAFETY: takes three integers and touches no memory; which descriptors may go is the caller's promise.
    let result = unsafe { libc::syscall(libc::SYS_close_range, first, last, 0) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Ends the process at once: no destructors, no `atexit` handlers, which belong to the process that forked us.
pub fn exit_now(code: i32) -> ! {
    // SAFETY: `_exit` has no preconditions.
    unsafe { libc::_exit(code) }
}

/// Gives the process a session keyring of its own, empty, in place of the one that it inherited.
///
/// # Errors
/// `ENOSYS` from a kernel without keyrings, `EDQUOT` when the user has too many.
pub fn new_session_keyring() -> io::Result<()> {
    // SAFETY: a null name is allowed and asks for an anonymous keyring; no memory is touched.
    let result =
        unsafe { libc::syscall(libc::SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, std::ptr::null::<libc::c_char>()) };
    if result >= 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// From linux/keyctl.h.
const KEYCTL_JOIN_SESSION_KEYRING: libc::c_int = 1;
