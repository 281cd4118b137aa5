//! `containerd.task.v2.Task` and `containerd.task.v3.Task`: ttrpc requests become [`Request`]s, answers become messages.
//!
//! Nothing is decided here. Both versions have the same messages and methods; v3 is v2 renamed (containerd 2.0).

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use containerd_shim_protos::api;
use containerd_shim_protos::protobuf::MessageField;
use containerd_shim_protos::protobuf::well_known_types::empty::Empty;
use containerd_shim_protos::shim_async::{Task as TaskService, create_task};
use containerd_shim_protos::ttrpc::Result;
use containerd_shim_protos::ttrpc::asynchronous::{Service as Methods, TtrpcContext};
use containerd_shim_protos::types::task::Status;
use drua_runtime::oci::{LinuxResources, Process};
use drua_types::{Classify, Signal, error_chain};
use tokio::sync::{mpsc, oneshot};

use crate::container::CreateRequest;
use crate::convert::{status, timestamp};
use crate::error::TaskError;
use crate::events::any;
use crate::exec::ExecRequest;
use crate::rootfs::Mount;
use crate::state::State;
use crate::task::{ForExec, Reply, Request, Snapshot};

const V2: &str = "containerd.task.v2.Task";
const V3: &str = "containerd.task.v3.Task";

/// The task service of one container.
#[derive(Debug, Clone)]
pub(crate) struct Service {
    id: String,
    bundle: PathBuf,
    requests: mpsc::Sender<Request>,
}

impl Service {
    /// A service that passes requests for container `id` on.
    pub(crate) fn new(id: String, bundle: PathBuf, requests: mpsc::Sender<Request>) -> Self {
        Self { id, bundle, requests }
    }

    fn check(&self, id: &str) -> std::result::Result<(), TaskError> {
        if id == self.id { Ok(()) } else { Err(TaskError::NoContainer(id.to_owned())) }
    }

    async fn ask<T>(&self, id: &str, request: impl FnOnce(Reply<T>) -> Request) -> Result<T> {
        self.check(id).map_err(failed)?;
        let (reply, answer) = oneshot::channel();
        let gone = || failed(TaskError::ShuttingDown);
        self.requests.send(request(reply)).await.map_err(|_| gone())?;
        answer.await.map_err(|_| gone())?.map_err(failed)
    }

    /// Asks the container, or, when an exec is named, that.
    async fn ask_either<T>(
        &self,
        (id, exec_id): (&str, &str),
        request: impl FnOnce(Reply<T>) -> Request,
        for_exec: impl FnOnce(Reply<T>) -> ForExec,
    ) -> Result<T> {
        if exec_id.is_empty() {
            return self.ask(id, request).await;
        }
        self.ask(id, |reply| Request::Exec(exec_id.to_owned(), for_exec(reply))).await
    }

    async fn snapshot(&self, id: &str, exec_id: &str) -> Result<Snapshot> {
        self.ask_either((id, exec_id), Request::State, ForExec::State).await
    }
}

#[async_trait]
impl TaskService for Service {
    async fn create(&self, _: &TtrpcContext, request: api::CreateTaskRequest) -> Result<api::CreateTaskResponse> {
        if !request.checkpoint.is_empty() {
            return Err(failed(TaskError::Unsupported("restoring a checkpoint")));
        }
        let id = request.id.clone();
        let create = Box::new(self.create_request(request));
        let pid = self.ask(&id, |reply| Request::Create(create, reply)).await?;
        Ok(api::CreateTaskResponse { pid, ..Default::default() })
    }

    async fn start(&self, _: &TtrpcContext, request: api::StartRequest) -> Result<api::StartResponse> {
        let pid = self.ask_either((&request.id, &request.exec_id), Request::Start, ForExec::Start).await?;
        Ok(api::StartResponse { pid, ..Default::default() })
    }

    async fn state(&self, _: &TtrpcContext, request: api::StateRequest) -> Result<api::StateResponse> {
        let snapshot = self.snapshot(&request.id, &request.exec_id).await?;
        let mut response = api::StateResponse::new();
        response.id = request.id;
        response.pid = snapshot.pid;
        response.status = wire_status(snapshot.state).into();
        if let Some(exit) = snapshot.exit {
            response.exit_status = exit.status;
            response.exited_at = MessageField::some(timestamp(exit.exited_at));
        }
        response.bundle = snapshot.request.bundle.display().to_string();
        response.stdin = snapshot.request.stdin;
        response.stdout = snapshot.request.stdout;
        response.stderr = snapshot.request.stderr;
        response.terminal = snapshot.request.terminal;
        Ok(response)
    }

    async fn wait(&self, _: &TtrpcContext, request: api::WaitRequest) -> Result<api::WaitResponse> {
        let mut exit = self.ask_either((&request.id, &request.exec_id), Request::Wait, ForExec::Wait).await?;
        let exit = *exit.wait_for(Option::is_some).await.map_err(|_| failed(TaskError::ShuttingDown))?;
        let exit = exit.expect("waited for it to be there");
        let mut response = api::WaitResponse::new();
        response.exit_status = exit.status;
        response.exited_at = MessageField::some(timestamp(exit.exited_at));
        Ok(response)
    }

    async fn kill(&self, _: &TtrpcContext, request: api::KillRequest) -> Result<Empty> {
        let signal = request.signal.to_string().parse::<Signal>();
        let signal = signal.map_err(|_| failed(TaskError::Signal(request.signal)))?;
        let all = request.all;
        let kill = |reply| Request::Kill { signal, all, reply };
        let of_exec = |reply| ForExec::Kill { signal, all, reply };
        self.ask_either((&request.id, &request.exec_id), kill, of_exec).await.map(empty)
    }

    async fn delete(&self, _: &TtrpcContext, request: api::DeleteRequest) -> Result<api::DeleteResponse> {
        let deleted = self.ask_either((&request.id, &request.exec_id), Request::Delete, ForExec::Delete).await?;
        let mut response = api::DeleteResponse::new();
        response.pid = deleted.pid;
        response.exit_status = deleted.exit.status;
        response.exited_at = MessageField::some(timestamp(deleted.exit.exited_at));
        Ok(response)
    }

    async fn pids(&self, _: &TtrpcContext, request: api::PidsRequest) -> Result<api::PidsResponse> {
        let pids = self.ask(&request.id, Request::Pids).await?;
        let process = |pid| api::ProcessInfo { pid, ..Default::default() };
        Ok(api::PidsResponse { processes: pids.into_iter().map(process).collect(), ..Default::default() })
    }

    async fn stats(&self, _: &TtrpcContext, request: api::StatsRequest) -> Result<api::StatsResponse> {
        let metrics = self.ask(&request.id, Request::Stats).await?;
        Ok(api::StatsResponse { stats: MessageField::some(any(&*metrics)), ..Default::default() })
    }

    async fn pause(&self, _: &TtrpcContext, request: api::PauseRequest) -> Result<Empty> {
        self.ask(&request.id, Request::Pause).await.map(empty)
    }

    async fn resume(&self, _: &TtrpcContext, request: api::ResumeRequest) -> Result<Empty> {
        self.ask(&request.id, Request::Resume).await.map(empty)
    }

    async fn update(&self, _: &TtrpcContext, request: api::UpdateTaskRequest) -> Result<Empty> {
        // containerd packs Go structures as JSON.
        let parse = |err| failed(TaskError::Parse { what: "resources", err });
        let resources: LinuxResources = serde_json::from_slice(&request.resources.value).map_err(parse)?;
        let update = |reply| Request::Update(Box::new(resources), reply);
        self.ask(&request.id, update).await.map(empty)
    }

    async fn resize_pty(&self, _: &TtrpcContext, request: api::ResizePtyRequest) -> Result<Empty> {
        let clamp = |size: u32| u16::try_from(size).unwrap_or(u16::MAX);
        let (columns, rows) = (clamp(request.width), clamp(request.height));
        let resize = |reply| Request::Resize { columns, rows, reply };
        let of_exec = |reply| ForExec::Resize { columns, rows, reply };
        self.ask_either((&request.id, &request.exec_id), resize, of_exec).await.map(empty)
    }

    async fn close_io(&self, _: &TtrpcContext, request: api::CloseIORequest) -> Result<Empty> {
        if !request.stdin {
            return self.check(&request.id).map(empty).map_err(failed);
        }
        let which = (request.id.as_str(), request.exec_id.as_str());
        self.ask_either(which, Request::CloseStdin, ForExec::CloseStdin).await.map(empty)
    }

    async fn connect(&self, _: &TtrpcContext, request: api::ConnectRequest) -> Result<api::ConnectResponse> {
        let snapshot = self.snapshot(&request.id, "").await?;
        let mut response = api::ConnectResponse::new();
        response.shim_pid = std::process::id();
        response.task_pid = snapshot.pid;
        response.version = env!("CARGO_PKG_VERSION").to_owned();
        Ok(response)
    }

    async fn exec(&self, _: &TtrpcContext, request: api::ExecProcessRequest) -> Result<Empty> {
        let parse = |err| failed(TaskError::Parse { what: "process", err });
        let mut process: Process = serde_json::from_slice(&request.spec.value).map_err(parse)?;
        process.set_terminal(Some(request.terminal));
        let exec = Box::new(ExecRequest {
            id: request.exec_id.clone(),
            process,
            terminal: request.terminal,
            stdin: request.stdin,
            stdout: request.stdout,
            stderr: request.stderr,
        });
        let add = |reply| Request::Exec(request.exec_id, ForExec::Add(exec, reply));
        self.ask(&request.id, add).await.map(empty)
    }

    async fn checkpoint(&self, _: &TtrpcContext, _: api::CheckpointTaskRequest) -> Result<Empty> {
        Err(failed(TaskError::Unsupported("checkpoint")))
    }

    async fn shutdown(&self, _: &TtrpcContext, request: api::ShutdownRequest) -> Result<Empty> {
        let now = request.now;
        let _ends = self.ask(&request.id, |reply| Request::Shutdown { now, reply }).await?;
        Ok(Empty::new())
    }
}

impl Service {
    fn create_request(&self, request: api::CreateTaskRequest) -> CreateRequest {
        let mount = |mount: containerd_shim_protos::types::mount::Mount| Mount {
            kind: mount.type_,
            source: mount.source,
            options: mount.options,
        };
        CreateRequest {
            id: request.id,
            bundle: if request.bundle.is_empty() { self.bundle.clone() } else { PathBuf::from(request.bundle) },
            rootfs: request.rootfs.into_iter().map(mount).collect(),
            terminal: request.terminal,
            stdin: request.stdin,
            stdout: request.stdout,
            stderr: request.stderr,
        }
    }
}

/// A service's methods under both names.
pub(crate) fn methods(service: Arc<dyn TaskService + Send + Sync>) -> HashMap<String, Methods> {
    let mut methods = create_task(Arc::clone(&service));
    let twins: Vec<Methods> = create_task(service).into_values().collect();
    debug_assert!(methods.contains_key(V3), "the generated service is v3");
    methods.extend(twins.into_iter().map(|twin| (V2.to_owned(), twin)));
    methods
}

/// A failure on the wire.
pub(crate) fn failed(error: TaskError) -> containerd_shim_protos::ttrpc::Error {
    let message = error_chain(&error);
    tracing::debug!(error = message, "a request failed");
    status(error.kind(), message)
}

fn empty((): ()) -> Empty {
    Empty::new()
}

fn wire_status(state: State) -> Status {
    match state {
        State::Absent | State::Deleted => Status::UNKNOWN,
        State::Created => Status::CREATED,
        State::Running => Status::RUNNING,
        State::Paused => Status::PAUSED,
        State::Stopped => Status::STOPPED,
    }
}
