//! Standard input and output of an exec: known before its process is, so that clients attach first and miss nothing.

use std::io;
use std::os::fd::OwnedFd;

use drua_runtime::sandbox::Stdio;
use tokio::sync::{mpsc, oneshot};

use super::attach::Wiring;
use super::output::{Output, Streams};
use super::sink::{self, Sink};
use super::stdin::{self, Device, Input};
use super::uri::{Source, Target};
use super::{Control, Drain, ExecWirings, IoError, IoRequest, Pipes, UriError};
use crate::fd::{Reader, Writer};

/// The tasks of an exec that does not run yet.
#[derive(Debug)]
pub(crate) struct ExecIo {
    source: Source,
    terminal: bool,
    input: Option<stdin::InputSender>,
    queue: mpsc::Receiver<Input>,
    opening: oneshot::Sender<Streams>,
    drain: Drain,
}

/// The ends of the pipes that stay here; `None` with a terminal.
#[derive(Debug)]
pub(crate) struct OpenedExec(Option<Pipes>);

impl ExecIo {
    /// Opens FIFOs and starts to take clients under `id`.
    pub(crate) fn prepare(id: &str, request: IoRequest<'_>, wirings: &ExecWirings) -> Result<Self, IoError> {
        let source = Source::parse(request.stdin)?;
        let sink = |target| match target {
            Target::Discard => Ok(Sink::Discard),
            Target::Path(path) => Sink::open(&path),
            Target::Log(_) => Err(UriError::Unsupported("drua-log".to_owned()).into()),
        };
        let [stdout, stderr] = Target::parse_pair(request.stdout, request.stderr)?;
        let sinks = [sink(stdout)?, sink(stderr)?];
        let (registrations, registered) = mpsc::channel(1);
        let (opening, opened) = oneshot::channel();
        let (exited, has_exited) = oneshot::channel();
        let (sender, queue) = stdin::queue();
        let input = (source != Source::Null).then_some(sender);
        let output = tokio::spawn(Output::later(opened, sinks, registered, has_exited).run());
        let attached = input.clone().filter(|_| source == Source::Attach);
        wirings.insert(id, Wiring { registrations, input: attached, stdin_once: request.stdin_once });
        let drain = Drain { feeding: Vec::new(), exited, output };
        Ok(Self { source, terminal: request.terminal, input, queue, opening, drain })
    }

    /// The process's ends, for its start.
    pub(crate) fn open(&self) -> Result<(OpenedExec, Stdio), IoError> {
        match self.terminal {
            true => Ok((OpenedExec(None), Stdio::Terminal)),
            false => Pipes::new(&self.source).map(|(pipes, stdio)| (OpenedExec(Some(pipes)), stdio)),
        }
    }

    /// Connects the process that runs now. `console` is the master of its terminal.
    pub(crate) fn launch(self, ends: OpenedExec, console: Option<OwnedFd>) -> Result<(Control, Drain), IoError> {
        let Self { source, input, queue, opening, mut drain, .. } = self;
        let setup = |action| move |err: io::Error| IoError::Setup { action, err };
        let read = |fd| Reader::new(fd).map_err(setup("watch the output of an exec"));
        let (streams, writing, device) = match (ends.0, &console) {
            (Some(pipes), _) => ([Some(read(pipes.stdout)?), Some(read(pipes.stderr)?)], pipes.stdin, Device::Pipe),
            (None, Some(console)) => {
                let duplicate = || console.try_clone().map_err(setup("duplicate the terminal"));
                ([Some(read(duplicate()?)?), None], Some(duplicate()?), Device::Terminal)
            }
            (None, None) => return Err(IoError::NoTerminal),
        };
        if let (Some(writing), Some(input)) = (writing, &input) {
            let writer = Writer::new(writing).map_err(setup("watch the input of an exec"))?;
            drain.feeding.push(tokio::spawn(stdin::feed(writer, device, queue)));
            if let Source::Path(path) = &source {
                let fifo = Reader::new(sink::open_input(path)?).map_err(setup("watch the FIFO for input"))?;
                drain.feeding.push(tokio::spawn(stdin::copy_from(fifo, input.clone())));
            }
        }
        // Fails only when the output task is gone, which `Drain::finish` notices.
        let _ = opening.send(streams);
        Ok((Control { input, console }, drain))
    }
}
