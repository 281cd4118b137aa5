//! Deletes interfaces in the background.
//!
//! The kernel takes 16 to 28 ms to delete a veth pair, and hardly more for a hundred of them when they go as a group. So
//! whoever stops a container hands its pair over and goes on. Most are gone by then, with their namespace.

use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::{Builder, JoinHandle};
use std::time::{Duration, Instant};

use rustix::io::Errno;

use crate::netlink::{NetlinkError, Route, route};

/// How long the first one waits for others, and for its namespace to take it away.
const GATHER: Duration = Duration::from_millis(100);
/// A group number that nobody uses; several instances may, since all of its members are to be deleted.
const DOOMED: u32 = 0x6472_7561;

/// An interface that is to go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Doomed {
    pub(crate) name: String,
    pub(crate) index: u32,
}

/// Owns the thread; dropping it deletes what is still waiting.
#[derive(Debug)]
pub(crate) struct Reaper {
    queue: Option<Sender<Doomed>>,
    thread: Option<JoinHandle<()>>,
}

impl Reaper {
    /// Starts a reaper for the namespace that `route` is in.
    pub(crate) fn start(route: Route) -> std::io::Result<Self> {
        let (queue, receiver) = channel();
        let thread = Builder::new().name("net-reaper".to_owned()).spawn(move || run(route, &receiver))?;
        Ok(Self { queue: Some(queue), thread: Some(thread) })
    }

    /// Deletes an interface soon.
    pub(crate) fn delete(&self, doomed: Doomed) {
        let sent = self.queue.as_ref().is_some_and(|queue| queue.send(doomed.clone()).is_ok());
        if !sent {
            tracing::error!(interface = doomed.name, "the thread that deletes interfaces is gone");
        }
    }
}

impl Drop for Reaper {
    fn drop(&mut self) {
        drop(self.queue.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Deletes interfaces together; those that are gone already are fine.
pub(crate) fn delete_all(route: &mut Route, doomed: &[Doomed]) -> Vec<NetlinkError> {
    let mut failures = Vec::new();
    let mut marked = false;
    for Doomed { name, index } in doomed {
        match route.apply(vec![route::set_group(name, *index, DOOMED)]) {
            Ok(()) => marked = true,
            Err(error) if error.is(Errno::NODEV) => {}
            Err(error) => failures.push(error),
        }
    }
    if marked {
        match route.apply(vec![route::delete_group(DOOMED)]) {
            Err(error) if !error.is(Errno::NODEV) => failures.push(error),
            _ => {}
        }
    }
    failures
}

fn run(mut route: Route, queue: &Receiver<Doomed>) {
    while let Ok(first) = queue.recv() {
        let mut doomed = vec![first];
        let deadline = Instant::now() + GATHER;
        while let Ok(next) = queue.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
            doomed.push(next);
        }
        for error in delete_all(&mut route, &doomed) {
            tracing::warn!(error = drua_types::error_chain(&error), "an interface stays behind");
        }
    }
}
