//! The container's standard input and output, from pipes or a terminal to the log and to attached clients.
//!
//! [`Plan::prepare`] opens everything that can fail before there is a container; [`Plan::launch`] starts the tasks once
//! its process exists; [`Drain::finish`] waits until the last byte is stored. Everything runs on the one thread of
//! the shim, with non-blocking descriptors; only the log and plain files are written synchronously.

mod attach;
mod client;
mod exec;
mod lines;
mod log;
mod output;
mod relay;
mod sink;
mod stdin;
mod uri;

use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixListener as StdUnixListener;
use std::path::{Path, PathBuf};

use drua_runtime::logs::WriteLogError;
use drua_runtime::sandbox::Stdio;
use drua_types::{Classify, ErrorKind};
use rustix::fs::{Mode, OFlags};
use rustix::pipe::PipeFlags;
use rustix::termios::Winsize;
use tokio::net::UnixListener;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;

use crate::fd::{Reader, Writer};
pub(crate) use attach::ExecWirings;
pub(crate) use exec::ExecIo;
use log::Log;
use output::Output;
pub(crate) use relay::{Feed, Relay, their_log};
use sink::Sink;
use stdin::{Device, Input, InputSender};
use uri::{Source, Target, UriError};

/// Standard input or output could not be set up.
#[derive(Debug, thiserror::Error)]
pub(crate) enum IoError {
    #[error(transparent)]
    Uri(#[from] UriError),
    #[error("cannot open the container's log `{path}`")]
    Log {
        path: PathBuf,
        #[source]
        err: WriteLogError,
    },
    #[error("cannot {action} `{path}`")]
    Open {
        action: &'static str,
        path: PathBuf,
        #[source]
        err: io::Error,
    },
    #[error("cannot {action}")]
    Setup {
        action: &'static str,
        #[source]
        err: io::Error,
    },
    #[error("the container has no terminal")]
    NoTerminal,
}

impl Classify for IoError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Uri(error) => error.kind(),
            Self::NoTerminal => ErrorKind::Conflict,
            Self::Log { .. } | Self::Open { .. } | Self::Setup { .. } => ErrorKind::Internal,
        }
    }
}

/// What a `CreateTaskRequest` says about standard input and output.
#[derive(Debug, Clone, Copy)]
pub(crate) struct IoRequest<'a> {
    pub(crate) stdin: &'a str,
    pub(crate) stdout: &'a str,
    pub(crate) stderr: &'a str,
    pub(crate) terminal: bool,
    /// The end of a client's input is the end of the container's.
    pub(crate) stdin_once: bool,
}

/// The shim's side of standard input and output, before the container exists.
#[derive(Debug)]
pub(crate) struct Plan {
    source: Source,
    sinks: [Sink; 2],
    log: Option<Log>,
    /// `None` with a terminal.
    pipes: Option<Pipes>,
    stdin_once: bool,
}

#[derive(Debug)]
struct Pipes {
    stdin: Option<OwnedFd>,
    stdout: OwnedFd,
    stderr: OwnedFd,
}

/// The running tasks, by who needs them.
#[derive(Debug)]
pub(crate) struct Launched {
    pub(crate) control: Control,
    pub(crate) drain: Drain,
    pub(crate) attach: Attach,
}

/// What requests may do to a running container's input and terminal.
#[derive(Debug)]
pub(crate) struct Control {
    input: Option<InputSender>,
    /// The terminal's master, for its size.
    console: Option<OwnedFd>,
}

/// Waits for the end of the output.
#[derive(Debug)]
pub(crate) struct Drain {
    feeding: Vec<JoinHandle<()>>,
    exited: oneshot::Sender<()>,
    output: JoinHandle<()>,
}

/// The task that serves `io.sock`; it outlives the container's output, so that clients get the last of it.
#[derive(Debug)]
pub(crate) struct Attach {
    closing: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

impl Plan {
    /// Opens the log or the FIFOs, and pipes for a container without a terminal. Needs no privilege beyond theirs.
    pub(crate) fn prepare(request: IoRequest<'_>) -> Result<(Self, Stdio), IoError> {
        let source = Source::parse(request.stdin)?;
        let (sinks, log) = open_sinks(request)?;
        let (pipes, stdio) = match request.terminal {
            true => (None, Stdio::Terminal),
            false => Pipes::new(&source).map(|(pipes, stdio)| (Some(pipes), stdio))?,
        };
        Ok((Self { source, sinks, log, pipes, stdin_once: request.stdin_once }, stdio))
    }

    /// Starts the tasks. `console` is the master of the container's terminal, if it has one.
    pub(crate) fn launch(
        self,
        console: Option<OwnedFd>,
        listener: StdUnixListener,
        execs: ExecWirings,
    ) -> Result<Launched, IoError> {
        let setup = |action| move |err: io::Error| IoError::Setup { action, err };
        let listener = UnixListener::from_std(listener).map_err(setup("listen for clients"))?;
        let (streams, stdin, device) = match (self.pipes, &console) {
            (Some(pipes), _) => {
                let read = |fd| Reader::new(fd).map_err(setup("watch the container's output"));
                ([Some(read(pipes.stdout)?), Some(read(pipes.stderr)?)], pipes.stdin, Device::Pipe)
            }
            (None, Some(console)) => {
                let duplicate = || console.try_clone().map_err(setup("duplicate the terminal"));
                let reader = Reader::new(duplicate()?).map_err(setup("watch the terminal"))?;
                ([Some(reader), None], Some(duplicate()?), Device::Terminal)
            }
            (None, None) => return Err(IoError::NoTerminal),
        };
        let mut feeding = Vec::new();
        let input = match (stdin, &self.source) {
            (None, _) | (_, Source::Null) => None,
            (Some(stdin), source) => {
                let writer = Writer::new(stdin).map_err(setup("watch the container's input"))?;
                let (input, queue) = stdin::queue();
                feeding.push(tokio::spawn(stdin::feed(writer, device, queue)));
                if let Source::Path(path) = source {
                    let fifo = Reader::new(sink::open_input(path)?).map_err(setup("watch the FIFO for input"))?;
                    feeding.push(tokio::spawn(stdin::copy_from(fifo, input.clone())));
                }
                Some(input)
            }
        };
        let (registrations, registered) = mpsc::channel(1);
        let (exited, has_exited) = oneshot::channel();
        let (closing, is_closing) = oneshot::channel();
        let output = Output::new(streams, self.sinks, self.log, registered, has_exited);
        let attached = input.clone().filter(|_| self.source == Source::Attach);
        let wiring = attach::Wiring { registrations, input: attached, stdin_once: self.stdin_once };
        let task = tokio::spawn(attach::serve(listener, wiring, execs, is_closing));
        Ok(Launched {
            control: Control { input, console },
            drain: Drain { feeding, exited, output: tokio::spawn(output.run()) },
            attach: Attach { closing, task },
        })
    }
}

impl Pipes {
    fn new(source: &Source) -> Result<(Self, Stdio), IoError> {
        let setup = |action| move |errno: rustix::io::Errno| IoError::Setup { action, err: errno.into() };
        let pipe = || rustix::pipe::pipe_with(PipeFlags::CLOEXEC).map_err(setup("make a pipe"));
        let (stdout, container_stdout) = pipe()?;
        let (stderr, container_stderr) = pipe()?;
        let (container_stdin, stdin) = match source {
            Source::Null => {
                let null = rustix::fs::open("/dev/null", OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty());
                (null.map_err(setup("open `/dev/null`"))?, None)
            }
            Source::Attach | Source::Path(_) => pipe().map(|(reading, writing)| (reading, Some(writing)))?,
        };
        let stdio = Stdio::Fds { stdin: container_stdin, stdout: container_stdout, stderr: container_stderr };
        Ok((Self { stdin, stdout, stderr }, stdio))
    }
}

impl Control {
    /// Closes the container's standard input once what was written before has arrived.
    pub(crate) fn close_stdin(&self) {
        if let Some(input) = self.input.clone() {
            // A task of its own: a container that does not read must not hold up the shim.
            tokio::spawn(async move { input.send(Input::Close).await });
        }
    }

    /// Tells the terminal its size, in characters.
    pub(crate) fn resize(&self, columns: u16, rows: u16) -> Result<(), IoError> {
        let console = self.console.as_ref().ok_or(IoError::NoTerminal)?;
        let size = Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
        let setup = |errno: rustix::io::Errno| IoError::Setup { action: "resize the terminal", err: errno.into() };
        rustix::termios::tcsetwinsize(console, size).map_err(setup)
    }
}

impl Drain {
    /// One more task that ends with the output.
    pub(crate) fn accompany(&mut self, task: JoinHandle<()>) {
        self.feeding.push(task);
    }

    /// After the container's process has ended: returns when all output is stored.
    pub(crate) async fn finish(self) {
        // Fails only when the task is gone, which the next line notices.
        let _ = self.exited.send(());
        if let Err(error) = self.output.await {
            tracing::error!(%error, "the output task failed");
        }
        for task in self.feeding {
            task.abort();
        }
    }
}

impl Attach {
    /// Waits, for a limited time, until the clients have got the last output.
    pub(crate) async fn close(self) {
        let _ = self.closing.send(());
        if let Err(error) = self.task.await {
            tracing::error!(%error, "the attach task failed");
        }
    }
}

/// Opens where output goes; both streams share one log.
fn open_sinks(request: IoRequest<'_>) -> Result<([Sink; 2], Option<Log>), IoError> {
    let mut log = None;
    let mut sink = |target| match target {
        Target::Discard => Ok(Sink::Discard),
        Target::Path(path) => Sink::open(&path),
        Target::Log(target) => {
            if log.is_none() {
                let path = target.path.clone();
                log = Some(Log::open(target).map_err(|err| IoError::Log { path, err })?);
            }
            Ok(Sink::Log)
        }
    };
    let [stdout, stderr] = Target::parse_pair(request.stdout, request.stderr)?;
    Ok(([sink(stdout)?, sink(stderr)?], log))
}

fn failed<E: Into<io::Error>>(action: &'static str, path: &Path) -> impl FnOnce(E) -> IoError {
    move |err| IoError::Open { action, path: path.to_owned(), err: err.into() }
}
