//! The signals that end a guest, read instead of handled.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant};

use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

/// How long an HTTP server may take to finish its requests; half of Docker's default patience before SIGKILL.
pub(super) const DRAIN_TIMEOUT: Duration = Duration::from_secs(5);

/// The signals whose default is to end a process and that somebody might send to a container.
const ENDING: [Signal; 8] = [
    Signal::SIGHUP,
    Signal::SIGINT,
    Signal::SIGQUIT,
    Signal::SIGUSR1,
    Signal::SIGUSR2,
    Signal::SIGALRM,
    Signal::SIGTERM,
    Signal::SIGXCPU,
];

/// What [`Signals::wait`] saw.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Event {
    /// A signal of this number.
    Signal(i32),
    /// The guest has ended.
    End,
    /// Neither, for as long as asked.
    Timeout,
}

#[derive(Debug)]
pub(super) struct Signals(SignalFd);

impl Signals {
    /// Blocks the signals in this thread and all that it starts.
    pub(super) fn block() -> io::Result<Self> {
        let ending: SigSet = ENDING.into_iter().collect();
        let mut blocked = ending;
        // A guest that writes into a closed pipe gets an error to deal with, as WASI says.
        blocked.add(Signal::SIGPIPE);
        blocked.thread_block()?;
        Ok(Self(SignalFd::with_flags(&ending, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK)?))
    }

    /// Waits for a signal or for the other side of `end` to close. The guest's end goes before a signal.
    pub(super) fn wait(&self, end: &OwnedFd, patience: Option<Duration>) -> io::Result<Event> {
        let deadline = patience.map(|patience| Instant::now() + patience);
        loop {
            let timeout = deadline.map(|deadline| timespec(deadline.saturating_duration_since(Instant::now())));
            let signals = self.0.as_fd();
            let mut fds = [PollFd::new(end, PollFlags::IN), PollFd::new(&signals, PollFlags::IN)];
            let ready = rustix::io::retry_on_intr(|| poll(&mut fds, timeout.as_ref()))?;
            if ready == 0 {
                return Ok(Event::Timeout);
            }
            if !fds[0].revents().is_empty() {
                return Ok(Event::End);
            }
            if let Some(info) = self.0.read_signal()? {
                return Ok(Event::Signal(info.ssi_signo.cast_signed()));
            }
        }
    }
}

/// runwasi's answer: an interrupted server has done as it was told, a terminated one says so.
pub(super) fn status_after_drain(signal: i32) -> i32 {
    if signal == Signal::SIGINT as i32 { 0 } else { 128 + signal }
}

fn timespec(duration: Duration) -> Timespec {
    Timespec { tv_sec: duration.as_secs().cast_signed(), tv_nsec: duration.subsec_nanos().into() }
}
