//! Running code in another mount namespace, on a thread of its own.
//!
//! A file descriptor that is opened there goes on working everywhere: lookups relative to it see the mounts of the namespace
//! that it was opened in. The mounts of a namespace that no process is in any more fall apart, so [`in_new`] hands out a
//! descriptor that keeps it whole.
//!
//! Needs CAP_SYS_ADMIN (and CAP_SYS_CHROOT to enter another one).

use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::panic::resume_unwind;
use std::thread;

use nix::sched::{CloneFlags, setns, unshare};
use rustix::fs::{CWD, Mode, OFlags};
use rustix::mount::{MountPropagationFlags, mount_change};

/// Runs a closure in a copy of this mount namespace, which receives mounts from here but sends none back. The namespace
/// lives as long as the returned descriptor, or a process in it.
///
/// # Errors
/// As unshare(2) and mount(2), or the closure's own.
///
/// # Panics
/// With the closure's own panic.
pub fn in_new<T: Send>(run: impl FnOnce() -> io::Result<T> + Send) -> io::Result<(T, OwnedFd)> {
    on_thread(|| {
        unshare(CloneFlags::CLONE_NEWNS)?;
        mount_change("/", MountPropagationFlags::REC | MountPropagationFlags::DOWNSTREAM)?;
        let value = run()?;
        let namespace = rustix::fs::openat(CWD, "/proc/thread-self/ns/mnt", OFlags::CLOEXEC, Mode::empty())?;
        Ok((value, namespace))
    })
}

/// Runs a closure in the mount namespace of a process; its root and working directory are that namespace's root.
///
/// # Errors
/// As setns(2) (Linux 5.8 for pidfds), or the closure's own.
///
/// # Panics
/// With the closure's own panic.
pub fn in_that_of<T: Send>(pidfd: BorrowedFd<'_>, run: impl FnOnce() -> io::Result<T> + Send) -> io::Result<T> {
    on_thread(|| {
        // The kernel lets only a thread with a root directory of its own change its mount namespace.
        unshare(CloneFlags::CLONE_FS)?;
        setns(pidfd, CloneFlags::CLONE_NEWNS)?;
        run()
    })
}

fn on_thread<T: Send>(run: impl FnOnce() -> io::Result<T> + Send) -> io::Result<T> {
    thread::scope(|scope| {
        let worker = thread::Builder::new().name("mount-ns".to_owned()).spawn_scoped(scope, run)?;
        worker.join().unwrap_or_else(|panic| resume_unwind(panic))
    })
}
