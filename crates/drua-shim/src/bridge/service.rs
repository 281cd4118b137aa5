//! The task service that the engine sees, answered by somebody else's shim.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use containerd_shim_protos::api;
use containerd_shim_protos::protobuf::well_known_types::empty::Empty;
use containerd_shim_protos::protobuf::{Message, MessageField};
use containerd_shim_protos::shim_async::Task;
use containerd_shim_protos::ttrpc::asynchronous::TtrpcContext;
use containerd_shim_protos::ttrpc::{self, Result};
use tokio::sync::{Notify, watch};

use super::container::{Exec, Live, Site, TIMEOUT, lock};
use super::foreign::Subject;
use crate::bootstrap::Places;
use crate::convert::timestamp;
use crate::error::TaskError;
use crate::exit::Exit;
use crate::io::ExecWirings;
use crate::service::failed;

/// The task service of one container of theirs.
#[derive(Debug)]
pub(super) struct Bridge {
    subject: Subject,
    places: Places,
    events: PathBuf,
    oom: Arc<AtomicBool>,
    wirings: ExecWirings,
    /// Held while the container is being created, so that there is one at most.
    live: tokio::sync::Mutex<Option<Arc<Live>>>,
    execs: Mutex<HashMap<String, Arc<Exec>>>,
    ending: Notify,
}

impl Bridge {
    pub(super) fn new(subject: Subject, places: Places, events: PathBuf, oom: Arc<AtomicBool>) -> Self {
        Self {
            subject,
            places,
            events,
            oom,
            wirings: ExecWirings::default(),
            live: tokio::sync::Mutex::new(None),
            execs: Mutex::default(),
            ending: Notify::new(),
        }
    }

    /// Returns when the shim shall end.
    pub(super) async fn ended(&self) {
        self.ending.notified().await;
    }

    /// Lets clients read the last output.
    pub(super) async fn close(&self) {
        let live = self.live.lock().await.take();
        if let Some(live) = live {
            live.close().await;
        }
    }

    async fn live(&self, id: &str) -> Result<Arc<Live>> {
        let live = self.live.lock().await.clone().filter(|_| id == self.subject.id);
        live.ok_or_else(|| failed(TaskError::NoContainer(id.to_owned())))
    }

    fn exec_of(&self, id: &str, exec_id: &str) -> Result<Arc<Exec>> {
        let known = lock(&self.execs).get(exec_id).cloned();
        known.ok_or_else(|| failed(TaskError::NoExec { id: id.to_owned(), exec_id: exec_id.to_owned() }))
    }

    /// Has their shim do it.
    async fn pass<R: Message>(&self, id: &str, method: &str, request: &impl Message) -> Result<R> {
        self.live(id).await?.foreign.call(method, request, Some(TIMEOUT)).await
    }
}

#[async_trait]
impl Task for Bridge {
    async fn create(&self, _: &TtrpcContext, request: api::CreateTaskRequest) -> Result<api::CreateTaskResponse> {
        let mut live = self.live.lock().await;
        if live.is_some() || request.id != self.subject.id {
            return Err(failed(TaskError::NoContainer(request.id)));
        }
        let site = Site {
            subject: &self.subject,
            places: &self.places,
            events: &self.events,
            oom: &self.oom,
            execs: &self.wirings,
        };
        let created = Arc::new(Live::create(site, request).await?);
        let pid = created.pid;
        *live = Some(created);
        Ok(api::CreateTaskResponse { pid, ..Default::default() })
    }

    async fn start(&self, _: &TtrpcContext, request: api::StartRequest) -> Result<api::StartResponse> {
        if !request.exec_id.is_empty() {
            let pid = self.exec_of(&request.id, &request.exec_id)?.start().await?;
            return Ok(api::StartResponse { pid, ..Default::default() });
        }
        let started = self.pass(&request.id, "Start", &request).await?;
        self.live(&request.id).await?.feed(&request.id);
        Ok(started)
    }

    async fn state(&self, _: &TtrpcContext, request: api::StateRequest) -> Result<api::StateResponse> {
        self.pass(&request.id, "State", &request).await
    }

    async fn wait(&self, _: &TtrpcContext, request: api::WaitRequest) -> Result<api::WaitResponse> {
        let exit = match request.exec_id.as_str() {
            "" => self.live(&request.id).await?.exit.clone(),
            exec_id => self.exec_of(&request.id, exec_id)?.exit(),
        };
        let exit = ended(exit).await?;
        let exited_at = MessageField::some(timestamp(exit.exited_at));
        Ok(api::WaitResponse { exit_status: exit.status, exited_at, ..Default::default() })
    }

    async fn kill(&self, _: &TtrpcContext, request: api::KillRequest) -> Result<Empty> {
        self.pass(&request.id, "Kill", &request).await
    }

    async fn delete(&self, _: &TtrpcContext, request: api::DeleteRequest) -> Result<api::DeleteResponse> {
        if !request.exec_id.is_empty() {
            let deleted = self.pass(&request.id, "Delete", &request).await;
            lock(&self.execs).remove(&request.exec_id);
            self.wirings.remove(&request.exec_id);
            return deleted;
        }
        let live = self.live(&request.id).await?;
        let deleted: Result<api::DeleteResponse> = live.foreign.call("Delete", &request, Some(TIMEOUT)).await;
        let deleted = match deleted {
            Ok(deleted) => deleted,
            // Its refusal counts; with a shim that is gone, its program cleans up.
            Err(error @ ttrpc::Error::RpcStatus(_)) => return Err(error),
            Err(_gone) => self.subject.delete().unwrap_or_default(),
        };
        let shutdown = api::ShutdownRequest { id: request.id, ..Default::default() };
        // It may be gone before it has answered.
        let _: Result<Empty> = live.foreign.call("Shutdown", &shutdown, Some(TIMEOUT)).await;
        live.unmount();
        Ok(deleted)
    }

    async fn pids(&self, _: &TtrpcContext, request: api::PidsRequest) -> Result<api::PidsResponse> {
        self.pass(&request.id, "Pids", &request).await
    }

    async fn stats(&self, _: &TtrpcContext, request: api::StatsRequest) -> Result<api::StatsResponse> {
        self.pass(&request.id, "Stats", &request).await
    }

    async fn pause(&self, _: &TtrpcContext, request: api::PauseRequest) -> Result<Empty> {
        self.pass(&request.id, "Pause", &request).await
    }

    async fn resume(&self, _: &TtrpcContext, request: api::ResumeRequest) -> Result<Empty> {
        self.pass(&request.id, "Resume", &request).await
    }

    async fn update(&self, _: &TtrpcContext, request: api::UpdateTaskRequest) -> Result<Empty> {
        self.pass(&request.id, "Update", &request).await
    }

    async fn resize_pty(&self, _: &TtrpcContext, request: api::ResizePtyRequest) -> Result<Empty> {
        self.pass(&request.id, "ResizePty", &request).await
    }

    async fn close_io(&self, _: &TtrpcContext, request: api::CloseIORequest) -> Result<Empty> {
        self.pass(&request.id, "CloseIO", &request).await
    }

    async fn connect(&self, _: &TtrpcContext, request: api::ConnectRequest) -> Result<api::ConnectResponse> {
        let mut connected: api::ConnectResponse = self.pass(&request.id, "Connect", &request).await?;
        connected.shim_pid = std::process::id();
        Ok(connected)
    }

    async fn exec(&self, _: &TtrpcContext, request: api::ExecProcessRequest) -> Result<Empty> {
        let live = self.live(&request.id).await?;
        let id = request.exec_id.clone();
        // It becomes part of paths.
        if id.is_empty() || !id.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_') {
            return Err(failed(TaskError::NoExec { id: request.id, exec_id: id }));
        }
        if lock(&self.execs).contains_key(&id) {
            return Err(failed(TaskError::ExecExists(id)));
        }
        let added = Exec::add(&live, &self.places.bundle, request, &self.wirings).await;
        let exec = added.inspect_err(|_| self.wirings.remove(&id))?;
        lock(&self.execs).insert(id, Arc::new(exec));
        Ok(Empty::new())
    }

    async fn checkpoint(&self, _: &TtrpcContext, _: api::CheckpointTaskRequest) -> Result<Empty> {
        Err(failed(TaskError::Unsupported("checkpoint")))
    }

    async fn shutdown(&self, _: &TtrpcContext, _: api::ShutdownRequest) -> Result<Empty> {
        // The next shim of a container that is restarted may come at once.
        for socket in [&self.places.socket, &self.places.io_socket] {
            let _ = fs_err::remove_file(socket);
        }
        self.ending.notify_one();
        Ok(Empty::new())
    }
}

async fn ended(mut exit: watch::Receiver<Option<Exit>>) -> Result<Exit> {
    let exit = *exit.wait_for(Option::is_some).await.map_err(|_| failed(TaskError::ShuttingDown))?;
    exit.ok_or_else(|| failed(TaskError::ShuttingDown))
}
