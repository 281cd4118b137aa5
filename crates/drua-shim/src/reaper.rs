//! Collects processes that have ended: the container's init by its pidfd, and orphans that the shim, as a subreaper,
//! adopts from a container which shares the host's pid namespace.
//!
//! Nothing here handles SIGCHLD, since a handler would be inherited by whatever is forked. The signal is blocked and read
//! from a signalfd. The mask is inherited too, but drua-runtime and the standard library reset it in their children.

use std::io;
use std::os::fd::{AsFd, OwnedFd};

use drua_types::exit::from_signal;
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use rustix::process::{Pid, WaitId, WaitIdOptions, WaitIdStatus, waitid};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use crate::fd::watch;

/// Reaps orphans.
#[derive(Debug)]
pub(crate) struct Reaper {
    children: AsyncFd<OwnedFd>,
}

impl Reaper {
    /// Blocks SIGCHLD and starts to listen for it. Must be called within the runtime, on its only thread.
    pub(crate) fn new() -> io::Result<Self> {
        let mut mask = SigSet::empty();
        mask.add(Signal::SIGCHLD);
        mask.thread_block()?;
        let signals = SignalFd::with_flags(&mask, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK)?;
        Ok(Self { children: watch(signals.as_fd().try_clone_to_owned()?, Interest::READABLE)? })
    }

    /// Waits until a child has ended. Cancel safe.
    pub(crate) async fn child_ended(&self) -> io::Result<()> {
        loop {
            let mut ready = self.children.readable().await?;
            // One `signalfd_siginfo`; which child it was is not in it when several ended at once.
            match ready.try_io(|signals| Ok(rustix::io::read(signals, &mut [0; 128])?)) {
                Ok(result) => return result.map(drop),
                Err(_would_block) => {}
            }
        }
    }
}

/// Reaps every child that has ended, up to one that is `awaited` by whoever holds its pidfd.
///
/// The kernel shows ended children in the order of their birth, so one that ended may hide behind an awaited one that ended
/// as well; the caller comes back when that is collected.
pub(crate) fn reap_orphans(awaited: impl Fn(u32) -> bool) {
    let peek = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
    while let Some(pid) = ended_child(peek) {
        if awaited(pid.as_raw_nonzero().get().unsigned_abs()) {
            return;
        }
        if waitid(WaitId::Pid(pid), WaitIdOptions::EXITED | WaitIdOptions::NOHANG).is_err() {
            return;
        }
        tracing::debug!(pid = pid.as_raw_nonzero().get(), "reaped an orphan");
    }
}

/// nix, because rustix does not tell which child it was.
fn ended_child(options: WaitIdOptions) -> Option<Pid> {
    use nix::sys::wait::{Id, WaitPidFlag, waitid};
    let flags = WaitPidFlag::from_bits_truncate(options.bits().cast_signed());
    waitid(Id::All, flags).ok()?.pid().and_then(|pid| Pid::from_raw(pid.as_raw()))
}

/// Waits for a child to end and collects it. Returns its exit code, or 128 + n for signal n.
pub(crate) async fn collect(pidfd: OwnedFd) -> io::Result<u32> {
    let pidfd = watch(pidfd, Interest::READABLE)?;
    loop {
        let mut ready = pidfd.readable().await?;
        match waitid(WaitId::PidFd(pidfd.as_fd()), WaitIdOptions::EXITED | WaitIdOptions::NOHANG)? {
            Some(status) => return Ok(status_of(&status)),
            None => ready.clear_ready(),
        }
    }
}

fn status_of(status: &WaitIdStatus) -> u32 {
    match (status.exit_status(), status.terminating_signal()) {
        (Some(code), _) => code.unsigned_abs(),
        (None, Some(signal)) => from_signal(signal),
        (None, None) => from_signal(0),
    }
}
