//! The further processes of a container: containerd's execs.
//!
//! ```text
//!   (nothing) ── add ──► Created ── start ──► Running ── ended ──► Stopped ── delete ──► (nothing)
//!                           └───────────── start failed ─────────────▲
//! ```
//!
//! Clients attach to an exec that was added over `io.sock`, before it is started, and so miss nothing. When the container's
//! init ends, the kernel ends its execs with it (they are in its pid namespace; where that is shared, the container's
//! deletion does). An exec is kept until it is deleted, so that a daemon that comes back can ask how it ended.

use std::collections::HashMap;
use std::os::fd::OwnedFd;

use drua_runtime::oci::Process;
use drua_types::{Signal, exit as codes};
use jiff::Timestamp;
use tokio::sync::{mpsc, watch};

use crate::container::{Container, Ended, supervise};
use crate::error::TaskError;
use crate::exit::Exit;
use crate::io::{Control, ExecIo, ExecWirings, IoRequest};
use crate::state::State;

/// How many execs there may be, those included that have ended and were not deleted.
const MAX_EXECS: usize = 4096;

/// What an `ExecProcessRequest` asks for.
#[derive(Debug, Clone)]
pub(crate) struct ExecRequest {
    pub(crate) id: String,
    pub(crate) process: Process,
    pub(crate) terminal: bool,
    pub(crate) stdin: String,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

/// One exec.
#[derive(Debug)]
pub(crate) struct Exec {
    pub(crate) request: ExecRequest,
    pub(crate) state: State,
    /// 0 before the start.
    pub(crate) pid: u32,
    pub(crate) exit: watch::Sender<Option<Exit>>,
    pidfd: Option<OwnedFd>,
    /// Until the start.
    io: Option<ExecIo>,
    /// From the start on.
    control: Option<Control>,
}

/// All execs of the container.
#[derive(Debug)]
pub(crate) struct Execs {
    known: HashMap<String, Exec>,
    pub(crate) wirings: ExecWirings,
    sender: mpsc::UnboundedSender<(String, Ended)>,
    ended: mpsc::UnboundedReceiver<(String, Ended)>,
}

impl Execs {
    pub(crate) fn new() -> Self {
        let (sender, ended) = mpsc::unbounded_channel();
        Self { known: HashMap::new(), wirings: ExecWirings::default(), sender, ended }
    }

    /// Takes note of an exec and opens its input and output.
    pub(crate) fn add(&mut self, request: ExecRequest) -> Result<(), TaskError> {
        if self.known.contains_key(&request.id) {
            return Err(TaskError::ExecExists(request.id));
        }
        if self.known.len() >= MAX_EXECS {
            return Err(TaskError::TooManyExecs(MAX_EXECS));
        }
        let io = IoRequest {
            stdin: &request.stdin,
            stdout: &request.stdout,
            stderr: &request.stderr,
            terminal: request.terminal,
            stdin_once: true,
        };
        let io = Some(ExecIo::prepare(&request.id, io, &self.wirings)?);
        let (exit, _) = watch::channel(None);
        let id = request.id.clone();
        let exec = Exec { request, state: State::Created, pid: 0, exit, pidfd: None, io, control: None };
        self.known.insert(id, exec);
        Ok(())
    }

    /// Runs an exec's process. One that cannot be run has ended, and its clients see the end of its output.
    pub(crate) fn start(&mut self, id: &str, container: &Container) -> Result<u32, TaskError> {
        let sender = self.sender.clone();
        let exec = self.get_mut(id, container)?;
        let io = match (exec.state, exec.io.take()) {
            (State::Created, Some(io)) => io,
            (state, _) => return Err(TaskError::ExecRejected { action: "start", state }),
        };
        let launch = || {
            let (ends, stdio) = io.open()?;
            let process = container.exec(exec.request.process.clone(), stdio)?;
            let pidfd = process.pidfd.try_clone().map_err(|err| TaskError::Watch { pid: process.pid, err });
            let launched = pidfd.and_then(|pidfd| Ok((pidfd, io.launch(ends, process.console)?)));
            launched.map(|(pidfd, (control, drain))| (process.pid, process.pidfd, pidfd, control, drain)).inspect_err(
                |_| {
                    // It is a child of ours: the reaper collects it.
                    let _ = nix::sys::signal::kill(
                        nix::unistd::Pid::from_raw(process.pid.cast_signed()),
                        nix::sys::signal::Signal::SIGKILL,
                    );
                },
            )
        };
        match launch() {
            Ok((pid, own, pidfd, control, drain)) => {
                (exec.state, exec.pid, exec.pidfd, exec.control) = (State::Running, pid, Some(own), Some(control));
                let id = id.to_owned();
                tokio::spawn(async move {
                    // The receiver lives as long as the shim.
                    let _ = sender.send((id, supervise(pidfd, drain).await));
                });
                Ok(pid)
            }
            Err(error) => {
                let status = match &error {
                    TaskError::Exec(error) => error.exit_code().unwrap_or(codes::NOT_EXECUTABLE),
                    _ => codes::NOT_EXECUTABLE,
                };
                exec.state = State::Stopped;
                let exit = Exit { status: status.into(), exited_at: Timestamp::now(), oom_killed: false };
                exec.exit.send_replace(Some(exit));
                Err(error)
            }
        }
    }

    /// Sends a signal to an exec's process; with `all` to its whole process group, which begins as its session.
    pub(crate) fn kill(&self, id: &str, signal: Signal, all: bool, container: &Container) -> Result<(), TaskError> {
        let exec = self.get(id, container)?;
        let pidfd = match (exec.state, &exec.pidfd) {
            (State::Running, Some(pidfd)) => pidfd,
            (State::Created, _) => return Err(TaskError::ExecRejected { action: "signal", state: exec.state }),
            _ => return Err(TaskError::Finished),
        };
        let sent = drua_sys::pidfd::send_signal(pidfd, signal.number());
        sent.map_err(|err| TaskError::Watch { pid: exec.pid, err })?;
        if all && let Ok(number) = nix::sys::signal::Signal::try_from(signal.number()) {
            // Not waited for yet, so the number is still its own; a group that is gone needs no signal.
            let _ = nix::sys::signal::killpg(nix::unistd::Pid::from_raw(exec.pid.cast_signed()), number);
        }
        Ok(())
    }

    /// Input and terminal of an exec that was started.
    pub(crate) fn control(&self, id: &str, container: &Container) -> Result<&Control, TaskError> {
        let exec = self.get(id, container)?;
        exec.control.as_ref().ok_or(TaskError::ExecRejected { action: "talk to", state: exec.state })
    }

    /// Forgets an exec that does not run.
    pub(crate) fn delete(&mut self, id: &str, container: &Container) -> Result<(u32, Exit), TaskError> {
        let exec = self.get(id, container)?;
        if exec.state == State::Running {
            return Err(TaskError::ExecRejected { action: "delete", state: exec.state });
        }
        let never = Exit { status: 0, exited_at: Timestamp::now(), oom_killed: false };
        let deleted = (exec.pid, exec.exit.borrow().unwrap_or(never));
        self.known.remove(id);
        self.wirings.remove(id);
        Ok(deleted)
    }

    /// The next end of an exec's process, its output stored. Cancel safe.
    pub(crate) async fn next_ended(&mut self) -> (String, Ended) {
        match self.ended.recv().await {
            Some(ended) => ended,
            None => std::future::pending().await,
        }
    }

    /// Records an end; the exec, unless it is not known any more.
    pub(crate) fn record(&mut self, id: &str, ended: Ended) -> Option<&Exec> {
        let exec = self.known.get_mut(id)?;
        (exec.state, exec.pidfd, exec.control) = (State::Stopped, None, None);
        let exit = Exit { status: ended.status, exited_at: ended.at, oom_killed: false };
        exec.exit.send_replace(Some(exit));
        self.wirings.remove(id);
        Some(exec)
    }

    /// Whether a process is an exec's that somebody is going to collect.
    pub(crate) fn awaits(&self, pid: u32) -> bool {
        self.known.values().any(|exec| exec.state == State::Running && exec.pid == pid)
    }

    pub(crate) fn get(&self, id: &str, container: &Container) -> Result<&Exec, TaskError> {
        self.known.get(id).ok_or_else(|| not_found(id, container))
    }

    fn get_mut(&mut self, id: &str, container: &Container) -> Result<&mut Exec, TaskError> {
        self.known.get_mut(id).ok_or_else(|| not_found(id, container))
    }
}

fn not_found(id: &str, container: &Container) -> TaskError {
    TaskError::NoExec { id: container.request.id.clone(), exec_id: id.to_owned() }
}
