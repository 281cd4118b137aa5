//! `fork(2)` for the places that fork without executing: the shim's `start`, and the init of `--init`.
//!
//! Forking is sound only while the process has a single thread: a second one could hold a lock (the allocator's, for
//! instance) that nobody would ever release in the child. That is checked here, so that callers need no `unsafe`.

use std::io;

use nix::unistd::{ForkResult, Pid};

/// Which side of a fork the caller is on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fork {
    /// The process that called; the child's process id.
    Parent(Pid),
    /// The new process.
    Child,
}

/// The process could not be forked.
#[derive(Debug, thiserror::Error)]
pub enum ForkError {
    /// The number of threads is unknown.
    #[error("cannot count the threads in `/proc/self/task`")]
    CountThreads(#[source] io::Error),
    /// There is more than one thread.
    #[error("cannot fork a process that has {0} threads")]
    Threads(usize),
    /// The kernel refused.
    #[error("cannot fork")]
    Fork(#[source] io::Error),
}

/// Forks the calling process, which must have one thread only.
///
/// # Errors
/// [`ForkError::Threads`] when there are more threads; [`ForkError::Fork`] when the kernel has no room for a process.
pub fn fork_single_threaded() -> Result<Fork, ForkError> {
    require_one_thread()?;
    // SAFETY: this is the only thread, so no lock is held by a thread that the child lacks, and any function may be
    // called in the child.
    match unsafe { nix::unistd::fork() } {
        Ok(ForkResult::Parent { child }) => Ok(Fork::Parent(child)),
        Ok(ForkResult::Child) => Ok(Fork::Child),
        Err(errno) => Err(ForkError::Fork(errno.into())),
    }
}

pub(crate) fn require_one_thread() -> Result<(), ForkError> {
    // The link count of the directory is its threads and two, without listing them (proc(5)).
    let task = rustix::fs::stat("/proc/self/task").map_err(|errno| ForkError::CountThreads(errno.into()))?;
    match usize::try_from(task.st_nlink).unwrap_or(usize::MAX).saturating_sub(2) {
        1 => Ok(()),
        threads => Err(ForkError::Threads(threads)),
    }
}
