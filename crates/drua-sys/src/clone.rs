//! `clone3(2)` with namespaces and a cgroup, for the two places that make a process of a container.
//!
//! Like [`fork`](crate::fork) sound only while the process has one thread, which is checked here. Unlike libc's `fork` it
//! runs no `atfork` handlers: they guard against other threads, and there are none.

use std::ffi::c_int;
use std::io;
use std::os::fd::{AsRawFd as _, BorrowedFd, FromRawFd as _, OwnedFd, RawFd};

use rustix::thread::ThreadNameSpaceType;

use crate::fork::{ForkError, require_one_thread};

/// From linux/sched.h; libc's own is too narrow for it.
const CLONE_INTO_CGROUP: u64 = 0x2_0000_0000;

/// Which side of a clone the caller is on.
#[derive(Debug)]
pub enum Cloned {
    /// The process that called.
    Parent {
        /// The child's process id, as the caller sees it.
        pid: u32,
        /// Refers to the child; close-on-exec.
        pidfd: OwnedFd,
    },
    /// The new process.
    Child,
}

/// Clones the calling process, which must have one thread only, into new namespaces.
///
/// With `cgroup`, a directory of a cgroup v2 file system, the child is born there: no later move, which would have to wait
/// for all of the machine.
///
/// # Errors
/// [`ForkError::Threads`] when there are more threads; [`ForkError::Fork`] when the kernel refuses (`EPERM` without
/// CAP_SYS_ADMIN, `EBUSY` or `EOPNOTSUPP` for a cgroup that takes no processes, `ENOSPC` for too many namespaces).
pub fn clone_single_threaded(
    namespaces: ThreadNameSpaceType,
    cgroup: Option<BorrowedFd<'_>>,
) -> Result<Cloned, ForkError> {
    require_one_thread()?;
    let mut pidfd: RawFd = -1;
    let mut flags = u64::from(namespaces.bits()) | libc::CLONE_PIDFD as u64;
    // SAFETY: all fields are integers, and zero means "none" for each of them.
    let mut arguments: libc::clone_args = unsafe { std::mem::zeroed() };
    arguments.pidfd = std::ptr::from_mut(&mut pidfd).addr() as u64;
    arguments.exit_signal = libc::SIGCHLD as u64;
    if let Some(cgroup) = cgroup {
        flags |= CLONE_INTO_CGROUP;
        arguments.cgroup = cgroup.as_raw_fd().cast_unsigned().into();
    }
    // libc keeps the thread's id in memory, and names that place to the kernel. As in libc's own `fork`, the child's copy
    // gets the child's id.
    if let Ok(Some(place)) = rustix::thread::get_clear_child_tid_address() {
        flags |= libc::CLONE_CHILD_SETTID as u64 | libc::CLONE_CHILD_CLEARTID as u64;
        arguments.child_tid = place.as_ptr().addr() as u64;
    }
    arguments.flags = flags;
    // SAFETY: `arguments` is a `clone_args` of the given size. `pidfd` outlives the call, which writes it; `child_tid` is
    // where libc keeps the thread's id. Neither CLONE_VM nor a stack is asked for, so that the child goes on here on its own
    // copy of everything; the caller's is the only thread, so no lock is held by one that the child lacks.
    let result =
        unsafe { libc::syscall(libc::SYS_clone3, std::ptr::from_mut(&mut arguments), size_of::<libc::clone_args>()) };
    match c_int::try_from(result).unwrap_or(-1) {
        0 => Ok(Cloned::Child),
        pid @ 1.. => {
            // SAFETY: the kernel has just made this descriptor (close-on-exec) for us, and nobody else knows it.
            let pidfd = unsafe { OwnedFd::from_raw_fd(pidfd) };
            Ok(Cloned::Parent { pid: pid.unsigned_abs(), pidfd })
        }
        _ => Err(ForkError::Fork(io::Error::last_os_error())),
    }
}
