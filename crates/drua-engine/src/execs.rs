//! The engine's verbs for execs: create, start, resize, inspect.

use std::sync::Arc;

use drua_types::ContainerId;
use jiff::Timestamp;
use tokio::net::UnixStream;
use tokio::sync::watch;

use crate::container::actor::Command;
use crate::container::exec::{Exec, ExecConfig, ExecState, announce, announce_end, process};
use crate::container::{Container, Hull, Status};
use crate::db::Table;
use crate::engine::{Engine, Shared};
use crate::shim::{AttachStreams, Shim};
use crate::{Error, Result, blocking};

/// What a process is recorded to have ended with when nobody knows: its shim is gone.
const LOST: u32 = 137;

/// How an exec is started.
#[derive(Debug, Clone, Copy, Default)]
pub struct StartExec {
    /// Nobody wants its output.
    pub detach: bool,
    /// The size of its terminal: rows, columns.
    pub size: Option<(u16, u16)>,
}

/// An exec that was started.
#[derive(Debug)]
pub struct ExecSession {
    /// What it runs.
    pub config: ExecConfig,
    /// Its input and output, as [`Engine::attach`] delivers them; `None` when detached or failed.
    pub connection: Option<UnixStream>,
    /// Why it could not be run; the exit code is recorded.
    pub failure: Option<String>,
    record: watch::Receiver<Exec>,
}

impl ExecSession {
    /// Returns when the exit code is recorded: the output may end a moment before that.
    pub async fn ended(&mut self) {
        // An error means that the record has gone with its container.
        let _ = self.record.wait_for(|exec| !exec.is_alive()).await;
    }
}

impl Engine {
    /// Prepares an exec in a running container and returns its id.
    ///
    /// # Errors
    /// [`Error::NotRunning`], [`Error::ExecPaused`], [`Error::AttachRestarting`]; [`Error::Invalid`] without a command;
    /// [`Error::ExecWasm`].
    pub fn create_exec(&self, name: &str, config: ExecConfig) -> Result<String> {
        let container = self.container(name)?;
        may_exec(&container)?;
        if config.cmd.first().is_none_or(String::is_empty) {
            return Err(Error::Invalid("No exec command specified".to_owned()));
        }
        if !config.working_dir.is_empty() && !config.working_dir.starts_with('/') {
            let dir = &config.working_dir;
            return Err(Error::Invalid(format!("Cwd must be an absolute path: {dir}")));
        }
        if matches!(container.hull, Hull::Wasm(_)) {
            return Err(Error::ExecWasm { name: container.name.to_string() });
        }
        let id = ContainerId::random().to_string();
        announce(&self.shared, &container, "exec_create", &config.cmd, &id);
        let exec = Exec { id: id.clone(), container: container.id.clone(), config, state: ExecState::Created };
        self.shared.execs.insert(&self.shared, exec)?;
        Ok(id)
    }

    /// The record of an exec.
    ///
    /// # Errors
    /// [`Error::NotFound`], also when its container is gone.
    pub fn exec(&self, id: &str) -> Result<Exec> {
        Ok(self.shared.execs.find(id)?.borrow().clone())
    }

    /// Ids of a container's execs that have not ended.
    pub fn execs_of(&self, container: &Container) -> Vec<String> {
        self.shared.execs.of(&container.id)
    }

    /// Starts an exec. One whose command cannot be run is no error but an [`ExecSession::failure`].
    ///
    /// # Errors
    /// [`Error::Conflict`] when it was started before; those of [`Engine::create_exec`].
    pub async fn start_exec(&self, id: &str, start: StartExec) -> Result<ExecSession> {
        let slot = self.shared.execs.find(id)?;
        let exec = slot.borrow().clone();
        let handle = self.shared.registry.find(exec.container.as_str())?;
        may_exec(&handle.snapshot())?;
        let shim = handle.call(|reply| Command::Shim { reply }).await?;
        claim(&slot)?;
        let container = handle.snapshot();
        let mut session =
            ExecSession { config: exec.config.clone(), connection: None, failure: None, record: slot.subscribe() };
        match self.launch(&shim, &container, &exec, start).await {
            Ok((pid, connection)) => {
                session.connection = connection;
                set(&self.shared, &slot, ExecState::Running { pid });
                announce(&self.shared, &container, "exec_start", &exec.config.cmd, id);
                supervise(self.shared.clone(), shim, slot, container);
            }
            Err(error) => {
                let code = match error.start_exit_code() {
                    127 => 127,
                    _ => 126,
                };
                set(&self.shared, &slot, ExecState::Exited { code, at: Timestamp::now(), pid: 0 });
                // It is there only when it was the command that failed.
                let _ = shim.delete_exec(id).await;
                match error {
                    Error::Exec(message) => session.failure = Some(message),
                    error => return Err(error),
                }
            }
        }
        Ok(session)
    }

    /// Adds the exec to the shim, attaches, starts it: in this order nothing of its output is lost.
    async fn launch(
        &self,
        shim: &Shim,
        container: &Arc<Container>,
        exec: &Exec,
        start: StartExec,
    ) -> Result<(u32, Option<UnixStream>)> {
        let (config, of, wanted) = (self.shared.config.clone(), container.clone(), exec.config.clone());
        let process = blocking::run(move || process(&config, &of, &wanted, start.size)).await;
        let process = process.map_err(|error| match error {
            // An unknown user, for instance: Docker says so in the stream.
            Error::Invalid(message) => Error::Exec(message),
            other => other,
        })?;
        let [stdin, stdout, stderr] = exec.config.attach;
        shim.exec(&exec.id, &process, exec.config.tty, stdin && !start.detach).await?;
        let connection = match start.detach {
            true => None,
            false => Some(shim.attach(AttachStreams::new(stdin, stdout, stderr), Some(&exec.id)).await?.stream),
        };
        Ok((shim.start_exec(&exec.id).await?, connection))
    }

    /// Tells an exec's terminal its new size in characters.
    ///
    /// # Errors
    /// [`Error::NotFound`]; [`Error::NotRunning`] when the container has ended; the shim's refusal.
    pub async fn resize_exec(&self, id: &str, width: u32, height: u32) -> Result<()> {
        let exec = self.exec(id)?;
        let handle = self.shared.registry.find(exec.container.as_str())?;
        if !matches!(exec.state, ExecState::Running { .. }) {
            return Err(Error::Conflict(format!("exec {id} is not running")));
        }
        let shim = handle.call(|reply| Command::Shim { reply }).await?;
        shim.resize(width, height, id).await
    }
}

/// Docker's conditions for an exec.
fn may_exec(container: &Container) -> Result<()> {
    let id = || container.id.clone();
    match container.state.status {
        Status::Running => Ok(()),
        Status::Paused => Err(Error::ExecPaused(id())),
        Status::Restarting => Err(Error::AttachRestarting(id())),
        Status::Created | Status::Exited | Status::Removing => Err(Error::NotRunning(id())),
    }
}

/// Makes this start the only one.
fn claim(slot: &watch::Sender<Exec>) -> Result<()> {
    let mut result = Ok(());
    slot.send_if_modified(|exec| {
        let conflict = |what: &str| Err(Error::Conflict(format!("Error: Exec command {} {what}", exec.id)));
        match exec.state {
            ExecState::Created => exec.state = ExecState::Running { pid: 0 },
            ExecState::Running { .. } => result = conflict("is already running"),
            ExecState::Exited { .. } => result = conflict("has already run"),
        }
        result.is_ok()
    });
    result
}

fn set(shared: &Shared, slot: &watch::Sender<Exec>, state: ExecState) {
    let record = Exec { state, ..slot.borrow().clone() };
    // Saved before it is shown. The container may have gone meanwhile, and its execs with it.
    let saved = match shared.execs.find(&record.id) {
        Ok(_) => shared.db.put(Table::Execs, &record.id, &record),
        Err(_) => Ok(()),
    };
    if let Err(error) = saved {
        tracing::error!(exec = record.id, %error, "the state of an exec is not saved");
    }
    slot.send_replace(record);
}

/// Waits for the end of an exec, records it and has the shim forget it.
fn supervise(shared: Arc<Shared>, shim: Shim, slot: Arc<watch::Sender<Exec>>, container: Arc<Container>) {
    tokio::spawn(async move {
        let (id, pid) = match &*slot.borrow() {
            Exec { id, state: ExecState::Running { pid }, .. } => (id.clone(), *pid),
            _ => return,
        };
        let ended = shim.wait_exec(&id).await;
        let (code, at) = ended.map_or_else(|_| (LOST, Timestamp::now()), |exit| (exit.code, exit.at));
        set(&shared, &slot, ExecState::Exited { code, at, pid });
        announce_end(&shared, &container, &id, code);
        // The shim may have gone with its container.
        let _ = shim.delete_exec(&id).await;
    });
}

/// Takes over the execs of an earlier daemon: those that run are waited for, those that ended meanwhile get their exit code.
pub(crate) async fn restore(shared: &Arc<Shared>, shims: &[(Arc<Container>, Option<Shim>)]) -> Result<()> {
    for exec in shared.db.all::<Exec>(Table::Execs)? {
        let Some((container, shim)) = shims.iter().find(|(container, _)| container.id == exec.container) else {
            shared.db.delete(Table::Execs, &exec.id)?;
            continue;
        };
        shared.execs.restore(exec.clone());
        let slot = shared.execs.find(&exec.id)?;
        if !exec.is_alive() {
            continue;
        }
        let never_ran = exec.state == ExecState::Created;
        let known = match shim {
            Some(shim) => shim.exec_state(&exec.id).await.ok().map(|state| (shim, state.pid)),
            None => None,
        };
        match known {
            Some((shim, pid @ 1..)) => {
                set(shared, &slot, ExecState::Running { pid });
                supervise(shared.clone(), shim.clone(), slot, container.clone());
            }
            // On its way when the daemon died.
            Some((shim, 0)) => {
                drop(shim.delete_exec(&exec.id).await);
                set(shared, &slot, ExecState::Created);
            }
            None if never_ran => {}
            None => set(shared, &slot, ExecState::Exited { code: LOST, at: Timestamp::now(), pid: 0 }),
        }
    }
    Ok(())
}
