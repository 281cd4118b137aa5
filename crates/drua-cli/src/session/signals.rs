use std::future::poll_fn;
use std::io;
use std::task::Poll;

use tokio::signal::unix::{Signal, SignalKind, signal};

/// Signals that are passed on to a container, with the names that the API takes.
const PROXIED: [(&str, i32); 8] =
    [("HUP", 1), ("INT", 2), ("QUIT", 3), ("USR1", 10), ("USR2", 12), ("ALRM", 14), ("TERM", 15), ("CONT", 18)];

/// Signals sent to this process, caught from now on.
#[derive(Debug)]
pub(crate) struct Signals(Vec<(&'static str, Signal)>);

impl Signals {
    /// Catches everything that is worth passing on.
    pub(crate) fn catch() -> io::Result<Self> {
        let caught = PROXIED.iter().map(|&(name, number)| Ok((name, signal(SignalKind::from_raw(number))?)));
        caught.collect::<io::Result<_>>().map(Self)
    }

    /// The name of the next signal. Cancellation safe.
    pub(crate) async fn next(&mut self) -> &'static str {
        poll_fn(|cx| {
            let mut received =
                self.0.iter_mut().filter_map(|(name, signal)| signal.poll_recv(cx).is_ready().then_some(*name));
            received.next().map_or(Poll::Pending, Poll::Ready)
        })
        .await
    }
}
