//! The engine's side of containerd's shim v2 protocol: the only door to a workload.
//!
//! A shim is started by running its program with `start` in the bundle directory; it prints the address of its ttrpc
//! socket. It outlives this daemon; a new daemon connects to the same socket again.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use containerd_shim_protos::api;
use containerd_shim_protos::protobuf::well_known_types::any::Any;
use containerd_shim_protos::shim_async::{Client, TaskClient};
use containerd_shim_protos::ttrpc;
use drua_runtime::logs::LogPosition;
use drua_runtime::oci::{LinuxResources, Process};
use drua_types::{ContainerId, Signal};
use jiff::Timestamp;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;

use crate::config::EngineConfig;
use crate::shim_pool::ShimPool;
use crate::{Error, Result, blocking};

/// A shim that does not answer a request in this time is treated as hung.
const TIMEOUT: Duration = Duration::from_secs(30);
/// Creating may have to compile a Wasm module first.
const CREATE_TIMEOUT: Duration = Duration::from_secs(300);

/// containerd's names for the JSON of Go's structures.
const PROCESS_TYPE: &str = "types.containerd.io/opencontainers/runtime-spec/1/Process";
const RESOURCES_TYPE: &str = "types.containerd.io/opencontainers/runtime-spec/1/LinuxResources";

/// How a process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Exit {
    pub(crate) code: u32,
    pub(crate) at: Timestamp,
    pub(crate) oom_killed: bool,
}

/// What to create.
#[derive(Debug)]
pub(crate) struct CreateTask {
    pub(crate) terminal: bool,
    pub(crate) stdin: String,
    pub(crate) output: String,
    /// Overlay mount options: `lowerdir=…`, `upperdir=…`, `workdir=…`.
    pub(crate) overlay: Vec<String>,
}

/// A connection to one container's shim.
#[derive(Clone)]
pub(crate) struct Shim {
    id: ContainerId,
    bundle: PathBuf,
    state_dir: PathBuf,
    task: TaskClient,
}

impl std::fmt::Debug for Shim {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shim").field("id", &self.id).finish_non_exhaustive()
    }
}

impl Shim {
    /// Starts a shim for a bundle that has its `config.json`.
    pub(crate) async fn spawn(config: &EngineConfig, pool: &Arc<ShimPool>, id: &ContainerId) -> Result<Self> {
        let (pool, task_id, bundle) = (pool.clone(), id.clone(), config.bundle(id));
        let address = blocking::run(move || pool.start(&task_id, &bundle)).await?;
        Self::connect_to(config, id, &address).await
    }

    /// Connects to the shim of a container that an earlier daemon started.
    pub(crate) async fn connect(config: &EngineConfig, id: &ContainerId) -> Result<Self> {
        let bundle = config.bundle(id);
        let address = format!("unix://{}", bundle.join("shim.sock").display());
        Self::connect_to(config, id, &address).await
    }

    async fn connect_to(config: &EngineConfig, id: &ContainerId, address: &str) -> Result<Self> {
        let client = Client::connect(address).await.map_err(|error| unreachable(id, &error))?;
        Ok(Self {
            id: id.clone(),
            bundle: config.bundle(id),
            state_dir: config.container_dir(id),
            task: TaskClient::new(client),
        })
    }

    /// Creates the container's process, which then waits for [`Shim::start`].
    pub(crate) async fn create(&self, create: CreateTask) -> Result<u32> {
        let mut request = api::CreateTaskRequest::new();
        request.id = self.id.to_string();
        request.bundle = self.bundle.display().to_string();
        request.terminal = create.terminal;
        request.stdin = create.stdin;
        request.stdout = create.output.clone();
        request.stderr = create.output;
        let mut mount = containerd_shim_protos::types::mount::Mount::new();
        mount.type_ = "overlay".to_owned();
        mount.source = "overlay".to_owned();
        mount.options = create.overlay;
        request.rootfs = vec![mount];
        let reply = self.task.create(context(CREATE_TIMEOUT), &request).await.map_err(|e| self.failed(e))?;
        Ok(reply.pid)
    }

    /// Lets the created process run.
    pub(crate) async fn start(&self) -> Result<u32> {
        let mut request = api::StartRequest::new();
        request.id = self.id.to_string();
        Ok(self.task.start(context(TIMEOUT), &request).await.map_err(|e| self.failed(e))?.pid)
    }

    /// Waits for the process to end, however long that takes.
    pub(crate) async fn wait(&self) -> Result<Exit> {
        let mut request = api::WaitRequest::new();
        request.id = self.id.to_string();
        let reply = self.task.wait(ttrpc::context::Context::default(), &request).await;
        let reply = reply.map_err(|e| self.failed(e))?;
        let at = reply.exited_at.as_ref().and_then(|at| Timestamp::new(at.seconds, at.nanos).ok());
        let mut exit = Exit { code: reply.exit_status, at: at.unwrap_or_else(Timestamp::now), oom_killed: false };
        // The protocol's answer has no word for "out of memory": our shim's exit record has.
        if let Some(record) = ExitRecord::read(&self.state_dir) {
            exit.oom_killed = record.oom_killed;
        }
        Ok(exit)
    }

    /// The container's status and pid.
    pub(crate) async fn state(&self) -> Result<api::StateResponse> {
        let mut request = api::StateRequest::new();
        request.id = self.id.to_string();
        self.task.state(context(TIMEOUT), &request).await.map_err(|e| self.failed(e))
    }

    /// Signals the init process, or every process of the container.
    pub(crate) async fn kill(&self, signal: Signal, all: bool) -> Result<()> {
        let mut request = api::KillRequest::new();
        request.id = self.id.to_string();
        request.signal = signal.number().unsigned_abs();
        request.all = all;
        self.task.kill(context(TIMEOUT), &request).await.map(drop).map_err(|e| self.failed(e))
    }

    /// Freezes the container.
    pub(crate) async fn pause(&self) -> Result<()> {
        let mut request = api::PauseRequest::new();
        request.id = self.id.to_string();
        self.task.pause(context(TIMEOUT), &request).await.map(drop).map_err(|e| self.failed(e))
    }

    /// Thaws the container.
    pub(crate) async fn resume(&self) -> Result<()> {
        let mut request = api::ResumeRequest::new();
        request.id = self.id.to_string();
        self.task.resume(context(TIMEOUT), &request).await.map(drop).map_err(|e| self.failed(e))
    }

    /// Tells the terminal its new size; of an exec, when one is named.
    pub(crate) async fn resize(&self, width: u32, height: u32, exec_id: &str) -> Result<()> {
        let mut request = api::ResizePtyRequest::new();
        request.id = self.id.to_string();
        request.exec_id = exec_id.to_owned();
        request.width = width;
        request.height = height;
        self.task.resize_pty(context(TIMEOUT), &request).await.map(drop).map_err(|e| self.failed(e))
    }

    /// Changes the container's limits; fields that are not set keep their value.
    pub(crate) async fn update(&self, resources: &LinuxResources) -> Result<()> {
        let mut request = api::UpdateTaskRequest::new();
        request.id = self.id.to_string();
        request.resources = Some(json_any(RESOURCES_TYPE, resources)?).into();
        self.task.update(context(TIMEOUT), &request).await.map(drop).map_err(|e| self.failed(e))
    }

    /// Prepares a further process; [`Shim::attach`] to it, then [`Shim::start_exec`].
    pub(crate) async fn exec(&self, exec_id: &str, process: &Process, terminal: bool, stdin: bool) -> Result<()> {
        let mut request = api::ExecProcessRequest::new();
        request.id = self.id.to_string();
        request.exec_id = exec_id.to_owned();
        request.terminal = terminal;
        request.stdin = if stdin { "drua-stdin:".to_owned() } else { String::new() };
        request.spec = Some(json_any(PROCESS_TYPE, process)?).into();
        self.task.exec(context(TIMEOUT), &request).await.map(drop).map_err(|e| self.exec_failed(e))
    }

    /// Lets a prepared process run.
    pub(crate) async fn start_exec(&self, exec_id: &str) -> Result<u32> {
        let mut request = api::StartRequest::new();
        request.id = self.id.to_string();
        request.exec_id = exec_id.to_owned();
        Ok(self.task.start(context(TIMEOUT), &request).await.map_err(|e| self.exec_failed(e))?.pid)
    }

    /// Waits for the end of a further process.
    pub(crate) async fn wait_exec(&self, exec_id: &str) -> Result<Exit> {
        let mut request = api::WaitRequest::new();
        request.id = self.id.to_string();
        request.exec_id = exec_id.to_owned();
        let reply = self.task.wait(ttrpc::context::Context::default(), &request).await;
        let reply = reply.map_err(|e| self.exec_failed(e))?;
        let at = reply.exited_at.as_ref().and_then(|at| Timestamp::new(at.seconds, at.nanos).ok());
        Ok(Exit { code: reply.exit_status, at: at.unwrap_or_else(Timestamp::now), oom_killed: false })
    }

    /// Status and pid of a further process.
    pub(crate) async fn exec_state(&self, exec_id: &str) -> Result<api::StateResponse> {
        let mut request = api::StateRequest::new();
        request.id = self.id.to_string();
        request.exec_id = exec_id.to_owned();
        self.task.state(context(TIMEOUT), &request).await.map_err(|e| self.exec_failed(e))
    }

    /// Signals a further process and its process group.
    pub(crate) async fn kill_exec(&self, exec_id: &str, signal: Signal) -> Result<()> {
        let mut request = api::KillRequest::new();
        request.id = self.id.to_string();
        request.exec_id = exec_id.to_owned();
        request.all = true;
        request.signal = signal.number().unsigned_abs();
        self.task.kill(context(TIMEOUT), &request).await.map(drop).map_err(|e| self.exec_failed(e))
    }

    /// Has the shim forget a further process that does not run.
    pub(crate) async fn delete_exec(&self, exec_id: &str) -> Result<()> {
        let mut request = api::DeleteRequest::new();
        request.id = self.id.to_string();
        request.exec_id = exec_id.to_owned();
        self.task.delete(context(TIMEOUT), &request).await.map(drop).map_err(|e| self.exec_failed(e))
    }

    /// Host pids of all processes of the container.
    pub(crate) async fn pids(&self) -> Result<Vec<u32>> {
        let mut request = api::PidsRequest::new();
        request.id = self.id.to_string();
        let reply = self.task.pids(context(TIMEOUT), &request).await.map_err(|e| self.failed(e))?;
        Ok(reply.processes.iter().map(|process| process.pid).collect())
    }

    /// Deletes the stopped container and ends the shim. False when something is left for [`Shim::discard`].
    pub(crate) async fn delete_and_shutdown(&self) -> bool {
        let mut delete = api::DeleteRequest::new();
        delete.id = self.id.to_string();
        let deleted = match self.task.delete(context(TIMEOUT), &delete).await {
            Err(ttrpc::Error::RpcStatus(status)) => status.code.enum_value() == Ok(ttrpc::Code::NOT_FOUND),
            result => result.is_ok(),
        };
        let mut shutdown = api::ShutdownRequest::new();
        shutdown.id = self.id.to_string();
        // The shim may be gone before it has answered.
        let _ = self.task.shutdown(context(TIMEOUT), &shutdown).await;
        deleted
    }

    /// Ends whatever is left of a run that nobody wants any more: its processes, its shim, its bundle.
    pub(crate) async fn discard(config: &EngineConfig, pool: &Arc<ShimPool>, id: &ContainerId) {
        let bundle = config.bundle(id);
        if let Ok(shim) = Self::connect(config, id).await {
            // It may have ended already.
            let _ = shim.kill(Signal::KILL, true).await;
            let _ = tokio::time::timeout(TIMEOUT, shim.wait()).await;
            let _ = shim.delete_and_shutdown().await;
        }
        // Kills what the bundle's records name, and is content with finding nothing.
        let (pool, owner, cwd) = (pool.clone(), id.clone(), bundle);
        let cleaned = blocking::run(move || {
            if cwd.exists() {
                pool.run("delete", &owner, &cwd)?;
            }
            crate::remove_dir(&cwd)
        });
        if let Err(error) = cleaned.await {
            tracing::warn!(container.id = %id, %error, "cannot remove the bundle");
        }
    }

    /// A connection to the container's stdio, or an exec's, registered when this returns.
    pub(crate) async fn attach(&self, streams: AttachStreams, exec_id: Option<&str>) -> Result<Attached> {
        let patience = tokio::time::timeout(TIMEOUT, attach(&self.id, &self.bundle, streams, exec_id)).await;
        patience.unwrap_or_else(|_| {
            Err(Error::Shim { id: self.id.clone(), message: "it does not answer an attach request".to_owned() })
        })
    }

    fn exec_failed(&self, error: ttrpc::Error) -> Error {
        match error {
            ttrpc::Error::RpcStatus(status) => Error::Exec(status.message),
            other => unreachable(&self.id, &other),
        }
    }

    fn failed(&self, error: ttrpc::Error) -> Error {
        match error {
            ttrpc::Error::RpcStatus(status) => Error::Task(status.message),
            other => unreachable(&self.id, &other),
        }
    }
}

/// Which streams an attached client wants.
#[derive(Debug, Clone, Copy, serde::Serialize)]
pub struct AttachStreams {
    /// Protocol version, 1.
    version: u32,
    stdin: bool,
    stdout: bool,
    stderr: bool,
}

impl AttachStreams {
    /// A choice of streams.
    pub fn new(stdin: bool, stdout: bool, stderr: bool) -> Self {
        Self { version: 1, stdin, stdout, stderr }
    }
}

/// A registered connection.
#[derive(Debug)]
pub struct Attached {
    /// The shim's frames of output one way, raw input the other.
    pub stream: UnixStream,
    /// Where the log ended when the connection was registered; `None` without a log.
    pub log: Option<LogPosition>,
}

#[derive(serde::Serialize)]
struct Hello<'a> {
    #[serde(flatten)]
    streams: AttachStreams,
    #[serde(skip_serializing_if = "Option::is_none")]
    exec: Option<&'a str>,
}

#[derive(serde::Deserialize)]
struct Welcome {
    #[serde(default)]
    log: Option<LogPosition>,
}

fn json_any(kind: &str, value: &impl serde::Serialize) -> Result<Any> {
    let mut any = Any::new();
    any.type_url = kind.to_owned();
    any.value = serde_json::to_vec(value).map_err(|source| Error::Record { what: "process", source })?;
    Ok(any)
}

/// Connects to `<bundle>/io.sock`, says which streams are wanted and waits for the shim's word that output is not lost
/// any more.
async fn attach(id: &ContainerId, bundle: &Path, streams: AttachStreams, exec: Option<&str>) -> Result<Attached> {
    let path = bundle.join("io.sock");
    let failed = |action, source| Error::Io { action, path: path.clone(), source };
    let mut stream = UnixStream::connect(&path).await.map_err(|e| failed("connect to", e))?;
    let mut hello = serde_json::to_vec(&Hello { streams, exec }).expect("plain fields always serialise");
    hello.push(b'\n');
    stream.write_all(&hello).await.map_err(|e| failed("write to", e))?;
    // One byte at a time: whatever follows the answer is output and belongs to the caller.
    let mut answer = Vec::new();
    while answer.last() != Some(&b'\n') {
        if answer.len() > 256 {
            return Err(Error::Shim { id: id.clone(), message: "its attach answer is no line".to_owned() });
        }
        answer.push(stream.read_u8().await.map_err(|e| failed("read from", e))?);
    }
    let welcome: Option<Welcome> = serde_json::from_slice(&answer).ok();
    Ok(Attached { stream, log: welcome.and_then(|welcome| welcome.log) })
}

/// What the shim leaves on disk when the process has ended, for a daemon that was not there.
#[derive(Debug, serde::Deserialize)]
pub(crate) struct ExitRecord {
    version: u32,
    pub(crate) status: u32,
    pub(crate) exited_at: Timestamp,
    #[serde(default)]
    pub(crate) oom_killed: bool,
}

impl ExitRecord {
    /// Reads `exit.json` in `dir`; `None` when there is none that this version understands.
    pub(crate) fn read(dir: &Path) -> Option<Self> {
        let text = fs_err::read(dir.join("exit.json")).ok()?;
        serde_json::from_slice::<Self>(&text).ok().filter(|record| record.version == 1)
    }
}

fn context(timeout: Duration) -> ttrpc::context::Context {
    ttrpc::context::with_duration(timeout)
}

fn unreachable(id: &ContainerId, error: &ttrpc::Error) -> Error {
    Error::Shim { id: id.clone(), message: error.to_string() }
}
