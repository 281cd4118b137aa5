//! Standard streams of a process that somebody else's shim runs: FIFOs for that shim, and behind them the same log and the
//! same clients as for a container of our own.
//!
//! ```text
//!   their shim ── stdout, stderr ──► FIFOs ──► Output ──► log, io.sock
//!   their shim ◄────── stdin ─────── FIFO ◄─── Feed ◄──── io.sock
//! ```

use std::io::Write as _;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixListener as StdUnixListener;
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, FileType, Mode, OFlags};
use tokio::net::UnixListener;
use tokio::sync::{mpsc, oneshot};

use super::attach::{self, Wiring};
use super::log::Log;
use super::output::{Output, Streams};
use super::sink::Sink;
use super::stdin::{self, Input};
use super::uri::Source;
use super::{Attach, Drain, ExecWirings, IoError, IoRequest, failed, open_sinks};
use crate::fd::{Reader, Writer};

/// FIFOs that exist, with our ends open: their shim never waits for us.
#[derive(Debug)]
pub(crate) struct Relay {
    /// For their shim's request; empty where there is no such stream.
    pub(crate) stdin: String,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
    streams: Streams,
    sinks: [Sink; 2],
    log: Option<Log>,
    writer: Option<Writer>,
    source: Source,
    stdin_once: bool,
    terminal: bool,
}

/// Has what their shim writes to its log, the FIFO `log` in the bundle, come out of our own. It opens that before anything
/// else and ends without it. The task ends with the runtime.
pub(crate) fn their_log(bundle: &Path) -> Result<(), IoError> {
    let path = make(&bundle.join("log"))?;
    // For writing, too: there is no end when one of their processes closes it.
    let reader = Reader::new(open(&path, OFlags::RDWR)?).map_err(failed("watch the FIFO", &path))?;
    tokio::spawn(async move {
        let mut chunk = vec![0; 4096];
        while let Ok(length @ 1..) = reader.read(&mut chunk).await {
            // Nobody to tell when our own log is full.
            let _ = std::io::stderr().write_all(&chunk[..length]);
        }
    });
    Ok(())
}

/// What runs once clients can come.
#[derive(Debug)]
pub(crate) struct Relayed {
    pub(crate) drain: Drain,
    /// To be run as soon as their shim is there.
    pub(crate) feed: Option<Feed>,
}

/// Passes clients' input on.
#[derive(Debug)]
pub(crate) struct Feed {
    writer: Writer,
    queue: mpsc::Receiver<Input>,
    terminal: bool,
}

impl Relay {
    /// Makes the FIFOs `<dir>/<name>-stdout` and so on, and opens the log.
    pub(crate) fn prepare(dir: &Path, name: &str, request: IoRequest<'_>) -> Result<Self, IoError> {
        let source = Source::parse(request.stdin)?;
        let (sinks, log) = open_sinks(request)?;
        let fifo = |stream: &str| make(&dir.join(format!("{name}-{stream}")));
        let text = |path: &Path| path.display().to_string();
        let mut relay = Self {
            stdin: String::new(),
            stdout: String::new(),
            stderr: String::new(),
            streams: [None, None],
            sinks,
            log,
            writer: None,
            source,
            stdin_once: request.stdin_once,
            terminal: request.terminal,
        };
        if relay.source == Source::Attach {
            let path = fifo("stdin")?;
            // For reading, too: there may be no reader yet, and one that goes must not end us.
            let writer = Writer::new(open(&path, OFlags::RDWR)?).map_err(failed("watch the FIFO", &path))?;
            (relay.stdin, relay.writer) = (text(&path), Some(writer));
        }
        let reader =
            |path: &PathBuf| Reader::new(open(path, OFlags::RDONLY)?).map_err(failed("watch the FIFO", path)).map(Some);
        let path = fifo("stdout")?;
        (relay.stdout, relay.streams[0]) = (text(&path), reader(&path)?);
        if !request.terminal {
            let path = fifo("stderr")?;
            (relay.stderr, relay.streams[1]) = (text(&path), reader(&path)?);
        }
        Ok(relay)
    }

    /// Starts to read, and serves the clients of a container and of its execs at `listener`.
    pub(crate) fn launch(self, listener: StdUnixListener, execs: ExecWirings) -> Result<(Relayed, Attach), IoError> {
        let setup = |err| IoError::Setup { action: "listen for clients", err };
        let listener = UnixListener::from_std(listener).map_err(setup)?;
        let (relayed, wiring) = self.run();
        let (closing, is_closing) = oneshot::channel();
        let task = tokio::spawn(attach::serve(listener, wiring, execs, is_closing));
        Ok((relayed, Attach { closing, task }))
    }

    /// Starts to read, and lets clients come under an exec's id.
    pub(crate) fn launch_exec(self, id: &str, execs: &ExecWirings) -> Relayed {
        let (relayed, wiring) = self.run();
        execs.insert(id, wiring);
        relayed
    }

    fn run(self) -> (Relayed, Wiring) {
        let (registrations, registered) = mpsc::channel(1);
        let (exited, has_exited) = oneshot::channel();
        let output = Output::new(self.streams, self.sinks, self.log, registered, has_exited).patient();
        let (input, queue) = stdin::queue();
        let terminal = self.terminal;
        let feed = self.writer.map(|writer| Feed { writer, queue, terminal });
        let wiring =
            Wiring { registrations, input: feed.is_some().then_some(input), stdin_once: self.stdin_once && !terminal };
        let drain = Drain { feeding: Vec::new(), exited, output: tokio::spawn(output.run()) };
        (Relayed { drain, feed }, wiring)
    }
}

impl Feed {
    /// Writes what clients send. At their end the FIFO is closed and `close` told, since their shim holds it open as well.
    pub(crate) async fn run(mut self, close: impl Future<Output = ()> + Send) {
        let (mut open, mut close) = (Some(self.writer), Some(close));
        while let Some(next) = self.queue.recv().await {
            match next {
                Input::Close if self.terminal => {}
                Input::Close => {
                    open = None;
                    if let Some(close) = close.take() {
                        close.await;
                    }
                }
                Input::Data(bytes) => {
                    let Some(writer) = &open else { continue };
                    if let Err(error) = writer.write_all(&bytes).await {
                        tracing::debug!(%error, "cannot write standard input");
                        open = None;
                    }
                }
            }
        }
    }
}

fn make(path: &Path) -> Result<PathBuf, IoError> {
    // A failed start may have left one.
    let _ = fs_err::remove_file(path);
    let made = rustix::fs::mknodat(CWD, path, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0);
    made.map(|()| path.to_owned()).map_err(failed("make the FIFO", path))
}

fn open(path: &Path, access: OFlags) -> Result<OwnedFd, IoError> {
    let flags = access | OFlags::CLOEXEC | OFlags::NONBLOCK;
    rustix::fs::open(path, flags, Mode::empty()).map_err(failed("open the FIFO", path))
}
