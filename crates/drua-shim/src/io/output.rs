//! The task that owns the container's output: each chunk is read once, stored, then handed to the attached clients.
//!
//! ```text
//!   stdout ─┐                    ┌─► log, or containerd's FIFO (first, always)
//!           ├─► Output::run ─────┼─► client queue ─► connection
//!   stderr ─┘       ▲            └─► client queue ─► connection
//!                   └── registrations
//! ```
//!
//! It ends when the container's process has ended and its output is read to the end. A process outside the container's
//! pid namespace may still hold a pipe then (passed over a socket, or with a shared pid namespace); so reading stops when
//! nothing came for [`QUIET`], and [`DRAIN`] after the exit at the latest.
//!
//! Clients that register see everything from then on; [`Registered::log`] says how much of the log is older than that.

use std::time::Duration;

use drua_runtime::logs::LogPosition;
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

use super::client::{Abandonment, Client, Encoded, Frames, Stream, WhenFull, client};
use super::log::Log;
use super::sink::Sink;
use crate::fd::Reader;

/// How long a pipe may stay silent after the exit before it is given up.
const QUIET: Duration = Duration::from_millis(100);
/// How long after the exit the last byte is read.
const DRAIN: Duration = Duration::from_secs(2);
/// The size of one read, that of a pipe.
const CHUNK_BYTES: usize = 64 << 10;

/// The owner of the container's output.
#[derive(Debug)]
pub(crate) struct Output {
    streams: Streams,
    sinks: [Sink; 2],
    log: Option<Log>,
    clients: Vec<Client>,
    registrations: mpsc::Receiver<Registration>,
    exited: oneshot::Receiver<()>,
    /// Brings the streams of a process that does not run yet; clients can register before.
    opening: Option<oneshot::Receiver<Streams>>,
    /// How long a stream may stay silent after the exit before it is given up.
    quiet: Duration,
}

/// Standard output and error; a terminal is the former.
pub(crate) type Streams = [Option<Reader>; 2];

/// A client that wants to see output.
#[derive(Debug)]
pub(crate) struct Registration {
    pub(crate) stdout: bool,
    pub(crate) stderr: bool,
    pub(crate) reply: oneshot::Sender<Registered>,
}

/// The client sees everything from now on.
#[derive(Debug)]
pub(crate) struct Registered {
    pub(crate) frames: Frames,
    pub(crate) abandonment: Abandonment,
    /// What is in the log by now; the rest will come as frames.
    pub(crate) log: Option<LogPosition>,
}

enum Wake {
    Readable(Stream),
    Registered(Registration),
    Opened(Streams),
    Exited,
    GivenUp,
}

impl Output {
    /// An owner of `streams` (standard output and error; a terminal is the former), each with its sink; `log` is there for
    /// [`Sink::Log`]. `exited` fires when the process has ended.
    pub(crate) fn new(
        streams: Streams,
        sinks: [Sink; 2],
        log: Option<Log>,
        registrations: mpsc::Receiver<Registration>,
        exited: oneshot::Receiver<()>,
    ) -> Self {
        Self { streams, sinks, log, clients: Vec::new(), registrations, exited, opening: None, quiet: QUIET }
    }

    /// An owner of streams that `opening` brings once the process runs. Until then clients register; when it is dropped
    /// instead, the output ends.
    pub(crate) fn later(
        opening: oneshot::Receiver<Streams>,
        sinks: [Sink; 2],
        registrations: mpsc::Receiver<Registration>,
        exited: oneshot::Receiver<()>,
    ) -> Self {
        let streams = [None, None];
        let (clients, opening) = (Vec::new(), Some(opening));
        Self { streams, sinks, log: None, clients, registrations, exited, opening, quiet: QUIET }
    }

    /// Waits for the end of each stream for as long as it waits at all: somebody else copies into them and may be slow.
    pub(crate) fn patient(self) -> Self {
        Self { quiet: DRAIN, ..self }
    }

    /// Runs until the last byte is in the log and in the clients' queues.
    pub(crate) async fn run(mut self) {
        let mut chunk = vec![0; CHUNK_BYTES];
        let mut end: Option<Drain> = None;
        while end.is_none() || self.opening.is_some() || self.streams.iter().any(Option::is_some) {
            match self.wake(end.as_ref()).await {
                Wake::Readable(stream) => {
                    let when_full = if end.is_some() { WhenFull::Exceed } else { WhenFull::Wait };
                    let heard = self.read(stream, &mut chunk, when_full).await;
                    if let Some(drain) = end.as_mut().filter(|_| heard) {
                        drain.heard();
                    }
                }
                Wake::Registered(registration) => self.register(registration),
                Wake::Opened(streams) => self.streams = streams,
                Wake::Exited => {
                    end.get_or_insert_with(|| Drain::new(self.quiet));
                }
                Wake::GivenUp => {
                    tracing::warn!("a process outside the container still holds its output; closing it");
                    break;
                }
            }
        }
        if let Some(log) = &mut self.log {
            log.finish();
        }
    }

    async fn wake(&mut self, end: Option<&Drain>) -> Wake {
        let [stdout, stderr] = &self.streams;
        tokio::select! {
            () = ready(stdout.as_ref()) => Wake::Readable(Stream::Stdout),
            () = ready(stderr.as_ref()) => Wake::Readable(Stream::Stderr),
            Some(registration) = self.registrations.recv() => Wake::Registered(registration),
            opened = opened(&mut self.opening) => opened.map_or(Wake::Exited, Wake::Opened),
            // A sender that was dropped means the same: nobody waits for more.
            _ = &mut self.exited, if end.is_none() => Wake::Exited,
            () = sleep_until(end.map(Drain::deadline)) => Wake::GivenUp,
        }
    }

    /// Handles what one read brings; whether that was anything.
    async fn read(&mut self, stream: Stream, chunk: &mut [u8], when_full: WhenFull) -> bool {
        let slot = &mut self.streams[index(stream)];
        let Some(reader) = slot else { return false };
        // Not a read that waits: readiness may be stale, and then there is more than this stream to wait for.
        match reader.try_read(chunk) {
            Ok(None) => return false,
            Ok(Some(0)) => *slot = None,
            Ok(Some(length)) => self.deliver(stream, &chunk[..length], when_full).await,
            Err(error) => {
                tracing::warn!(%error, ?stream, "cannot read the container's output");
                *slot = None;
            }
        }
        true
    }

    async fn deliver(&mut self, stream: Stream, bytes: &[u8], when_full: WhenFull) {
        match (&mut self.sinks[index(stream)], &mut self.log) {
            (Sink::Log, Some(log)) => log.write(stream, bytes),
            (sink, _) => sink.write(bytes, when_full).await,
        }
        if !self.clients.iter().any(|client| client.wants(stream)) {
            return;
        }
        let frame = Encoded::new(stream, bytes);
        let mut position = 0;
        while let Some(client) = self.clients.get(position) {
            if !client.wants(stream) || client.send(&frame, when_full).await {
                position += 1;
            } else {
                self.clients.swap_remove(position).abandon();
            }
        }
    }

    fn register(&mut self, registration: Registration) {
        let log = self.log.as_mut().and_then(Log::position);
        let (client, frames, abandonment) = client(registration.stdout, registration.stderr);
        if registration.reply.send(Registered { frames, abandonment, log }).is_ok() {
            self.clients.push(client);
        }
    }
}

/// The end of the container's output, by the clock.
#[derive(Debug)]
struct Drain {
    exited_at: Instant,
    heard_at: Instant,
    quiet: Duration,
}

impl Drain {
    fn new(quiet: Duration) -> Self {
        let now = Instant::now();
        Self { exited_at: now, heard_at: now, quiet }
    }

    fn heard(&mut self) {
        self.heard_at = Instant::now();
    }

    fn deadline(&self) -> Instant {
        (self.heard_at + self.quiet).min(self.exited_at + DRAIN)
    }
}

fn index(stream: Stream) -> usize {
    match stream {
        Stream::Stdout => 0,
        Stream::Stderr => 1,
    }
}

async fn ready(reader: Option<&Reader>) {
    match reader {
        Some(reader) => reader.ready().await,
        None => std::future::pending().await,
    }
}

/// The streams once they are there; `None` when they will never be.
async fn opened(opening: &mut Option<oneshot::Receiver<Streams>>) -> Option<Streams> {
    match opening {
        Some(receiver) => {
            let streams = receiver.await.ok();
            *opening = None;
            streams
        }
        None => std::future::pending().await,
    }
}

async fn sleep_until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}
