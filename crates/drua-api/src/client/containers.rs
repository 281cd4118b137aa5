//! Containers: `/containers/…`.

use bytes::Bytes;
use serde::Deserialize;

use super::hijack::framing;
use super::{Attached, ByteStream, Call, Client, FrameStream, JsonStream};
use crate::models::{
    ContainerCreateBody, ContainerCreateResponse, ContainerInspectResponse, ContainerPruneResponse,
    ContainerStatsResponse, ContainerSummary, ContainerTopResponse, ContainerWaitResponse, FilesystemChange,
};
use crate::query::segment;
use crate::{ClientError, Filters, Query};

/// What `GET /containers/json` lists.
#[derive(Debug, Clone, Default)]
pub struct ListContainers {
    /// Stopped ones too.
    pub all: bool,
    /// Only the latest ones, stopped or not.
    pub limit: Option<i64>,
    /// Fill in the sizes, which costs time.
    pub size: bool,
    /// Only those that match.
    pub filters: Filters,
}

/// How to stop: the container's own signal and timeout unless given.
#[derive(Debug, Clone, Default)]
pub struct StopOptions {
    /// Signal to send first.
    pub signal: Option<String>,
    /// Seconds until SIGKILL; −1 waits for ever.
    pub timeout_seconds: Option<i64>,
}

impl StopOptions {
    fn query(&self) -> Query {
        let timeout = self.timeout_seconds.map(|seconds| seconds.to_string());
        Query::new().with_some("signal", self.signal.as_deref()).with_some("t", timeout.as_deref())
    }
}

/// What to remove together with a container.
#[derive(Debug, Clone, Copy, Default)]
pub struct RemoveContainer {
    /// Kill it first if it runs.
    pub force: bool,
    /// Remove its anonymous volumes.
    pub volumes: bool,
    /// Remove a link instead of a container (legacy).
    pub link: bool,
}

/// What to read of a container's logs.
#[derive(Debug, Clone)]
pub struct LogsOptions {
    /// Go on with new output until the container stops.
    pub follow: bool,
    /// Include standard output.
    pub stdout: bool,
    /// Include standard error.
    pub stderr: bool,
    /// Start each line with its time.
    pub timestamps: bool,
    /// Start each line with the extra attributes of the log driver.
    pub details: bool,
    /// `all` or a number of lines.
    pub tail: Option<String>,
    /// Unix time (`seconds[.nanoseconds]`) or RFC 3339.
    pub since: Option<String>,
    /// As `since`.
    pub until: Option<String>,
}

impl Default for LogsOptions {
    /// Everything so far, of both streams.
    fn default() -> Self {
        Self {
            follow: false,
            stdout: true,
            stderr: true,
            timestamps: false,
            details: false,
            tail: None,
            since: None,
            until: None,
        }
    }
}

/// Which streams to attach.
#[derive(Debug, Clone, Default)]
pub struct AttachOptions {
    /// Feed standard input.
    pub stdin: bool,
    /// Read standard output.
    pub stdout: bool,
    /// Read standard error.
    pub stderr: bool,
    /// Begin with what was logged before.
    pub logs: bool,
    /// Key sequence that detaches; the daemon's default is `ctrl-p,ctrl-q`.
    pub detach_keys: Option<String>,
}

/// What `POST /containers/{}/wait` waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WaitCondition {
    /// The container does not run; true at once if it does not run now.
    NotRunning,
    /// It exits the next time.
    NextExit,
    /// It is removed.
    Removed,
}

impl WaitCondition {
    fn as_str(self) -> &'static str {
        match self {
            Self::NotRunning => "not-running",
            Self::NextExit => "next-exit",
            Self::Removed => "removed",
        }
    }
}

/// A wait that the daemon has registered: what happens from now on is not missed.
#[derive(Debug)]
pub struct Waiter(JsonStream<ContainerWaitResponse>);

impl Waiter {
    /// The exit, once it happened; `None` when the daemon went away before. Cancellation safe.
    ///
    /// # Errors
    /// As every request.
    pub async fn exit(&mut self) -> Result<Option<ContainerWaitResponse>, ClientError> {
        self.0.next().await.transpose()
    }
}

fn path(id: &str, verb: &str) -> String {
    format!("/containers/{}{verb}", segment(id))
}

/// Every method fails with [`ClientError`]; the daemon's refusals are [`ClientError::Api`].
#[expect(clippy::missing_errors_doc, reason = "said once for all on the impl block")]
impl Client {
    /// Creates a container. A missing image is a 404, and nothing else is.
    pub async fn container_create(
        &self,
        name: Option<&str>,
        platform: Option<&str>,
        body: &ContainerCreateBody,
    ) -> Result<ContainerCreateResponse, ClientError> {
        let query = Query::new().with_some("name", name).with_some("platform", platform);
        self.decode(Call::post("/containers/create").query(query).json(body)).await
    }

    /// Lists containers.
    pub async fn container_list(&self, options: &ListContainers) -> Result<Vec<ContainerSummary>, ClientError> {
        let limit = options.limit.map(|limit| limit.to_string());
        let query = Query::new()
            .flag("all", options.all)
            .with_some("limit", limit.as_deref())
            .flag("size", options.size)
            .filters(&options.filters);
        self.decode(Call::get("/containers/json").query(query)).await
    }

    /// Everything about a container.
    pub async fn container_inspect(&self, id: &str) -> Result<ContainerInspectResponse, ClientError> {
        self.decode(Call::get(path(id, "/json"))).await
    }

    /// Everything about a container, as the daemon wrote it.
    pub async fn container_inspect_raw(&self, id: &str, size: bool) -> Result<Bytes, ClientError> {
        self.bytes(Call::get(path(id, "/json")).query(Query::new().flag("size", size))).await
    }

    /// Starts a container; one that runs is left alone.
    pub async fn container_start(&self, id: &str, detach_keys: Option<&str>) -> Result<(), ClientError> {
        self.done(Call::post(path(id, "/start")).query(Query::new().with_some("detachKeys", detach_keys))).await
    }

    /// Stops a container; one that does not run is left alone.
    pub async fn container_stop(&self, id: &str, options: &StopOptions) -> Result<(), ClientError> {
        self.done(Call::post(path(id, "/stop")).query(options.query())).await
    }

    /// Stops and starts a container.
    pub async fn container_restart(&self, id: &str, options: &StopOptions) -> Result<(), ClientError> {
        self.done(Call::post(path(id, "/restart")).query(options.query())).await
    }

    /// Sends a signal; SIGKILL by default.
    pub async fn container_kill(&self, id: &str, signal: Option<&str>) -> Result<(), ClientError> {
        self.done(Call::post(path(id, "/kill")).query(Query::new().with_some("signal", signal))).await
    }

    /// Freezes all processes.
    pub async fn container_pause(&self, id: &str) -> Result<(), ClientError> {
        self.done(Call::post(path(id, "/pause"))).await
    }

    /// Thaws all processes.
    pub async fn container_unpause(&self, id: &str) -> Result<(), ClientError> {
        self.done(Call::post(path(id, "/unpause"))).await
    }

    /// Gives a container another name.
    pub async fn container_rename(&self, id: &str, name: &str) -> Result<(), ClientError> {
        self.done(Call::post(path(id, "/rename")).query(Query::new().with("name", name))).await
    }

    /// Registers a wait; returns when the daemon has taken note of it.
    pub async fn container_wait(&self, id: &str, condition: WaitCondition) -> Result<Waiter, ClientError> {
        let query = Query::new().with("condition", condition.as_str());
        let response = self.send(Call::post(path(id, "/wait")).query(query)).await?;
        Ok(Waiter(JsonStream::new(response.into_body())))
    }

    /// Removes a container.
    pub async fn container_remove(&self, id: &str, options: RemoveContainer) -> Result<(), ClientError> {
        let query = Query::new().flag("force", options.force).flag("v", options.volumes).flag("link", options.link);
        self.done(Call::delete(path(id, "")).query(query)).await
    }

    /// Removes all stopped containers that match.
    pub async fn container_prune(&self, filters: &Filters) -> Result<ContainerPruneResponse, ClientError> {
        self.decode(Call::post("/containers/prune").query(Query::new().filters(filters))).await
    }

    /// A container's logs, frame by frame.
    pub async fn container_logs(&self, id: &str, options: &LogsOptions) -> Result<FrameStream, ClientError> {
        let query = Query::new()
            .flag("follow", options.follow)
            .flag("stdout", options.stdout)
            .flag("stderr", options.stderr)
            .flag("timestamps", options.timestamps)
            .flag("details", options.details)
            .with_some("tail", options.tail.as_deref())
            .with_some("since", options.since.as_deref())
            .with_some("until", options.until.as_deref());
        let response = self.send(Call::get(path(id, "/logs")).query(query)).await?;
        let framing = framing(&response);
        Ok(FrameStream::from_body(response.into_body(), framing))
    }

    /// A raw connection to a container's standard streams; returns when the daemon has attached it.
    pub async fn container_attach(&self, id: &str, options: &AttachOptions) -> Result<Attached, ClientError> {
        let query = Query::new()
            .with("stream", "1")
            .flag("stdin", options.stdin)
            .flag("stdout", options.stdout)
            .flag("stderr", options.stderr)
            .flag("logs", options.logs)
            .with_some("detachKeys", options.detach_keys.as_deref());
        self.hijack(Call::post(path(id, "/attach")).query(query)).await
    }

    /// Tells the container's terminal its size.
    pub async fn container_resize(&self, id: &str, rows: u16, columns: u16) -> Result<(), ClientError> {
        let query = Query::new().with("h", &rows.to_string()).with("w", &columns.to_string());
        self.done(Call::post(path(id, "/resize")).query(query)).await
    }

    /// The processes of a container, as `ps` shows them.
    pub async fn container_top(&self, id: &str, ps_args: Option<&str>) -> Result<ContainerTopResponse, ClientError> {
        self.decode(Call::get(path(id, "/top")).query(Query::new().with_some("ps_args", ps_args))).await
    }

    /// Samples of a container's resource usage: one a second, or one in all.
    pub async fn container_stats(
        &self,
        id: &str,
        stream: bool,
    ) -> Result<JsonStream<ContainerStatsResponse>, ClientError> {
        let query = Query::new().with("stream", if stream { "1" } else { "0" });
        let response = self.send(Call::get(path(id, "/stats")).query(query)).await?;
        Ok(JsonStream::new(response.into_body()))
    }

    /// What changed in a container's file system.
    pub async fn container_changes(&self, id: &str) -> Result<Vec<FilesystemChange>, ClientError> {
        let changes: Option<Vec<FilesystemChange>> = self.decode(Call::get(path(id, "/changes"))).await?;
        Ok(changes.unwrap_or_default())
    }

    /// A container's file system as a tar archive.
    pub async fn container_export(&self, id: &str) -> Result<ByteStream, ClientError> {
        Ok(ByteStream(self.send(Call::get(path(id, "/export"))).await?.into_body()))
    }

    /// A container's name for messages, without the slash that the API puts before it.
    pub async fn container_name(&self, id: &str) -> Result<String, ClientError> {
        #[derive(Deserialize)]
        struct Named {
            #[serde(rename = "Name")]
            name: String,
        }
        let named: Named = self.decode(Call::get(path(id, "/json"))).await?;
        Ok(named.name.trim_start_matches('/').to_owned())
    }
}
