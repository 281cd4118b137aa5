//! A bundle, a shim and a client in a directory of their own, all gone when dropped.

use std::path::PathBuf;
use std::process::{Command, Output};
use std::time::Duration;

use containerd_shim_protos::api;
use containerd_shim_protos::shim_async::{Client, TaskClient};
use containerd_shim_protos::ttrpc::{self, Code, context::Context};
use containerd_shim_protos::types::mount::Mount;
use drua_runtime::spec::{ContainerSpec, HostFacts, build};
use drua_types::ContainerId;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;

use crate::busybox;

/// Everything of one container.
pub(crate) struct Bench {
    directory: TempDir,
    bundle: PathBuf,
    pub(crate) id: String,
}

/// A shim that serves, and a connection to it.
#[derive(Clone)]
pub(crate) struct Shim {
    pub(crate) task: TaskClient,
    pub(crate) id: String,
    pub(crate) address: String,
}

/// What a record in the log says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Line {
    pub(crate) stream: String,
    pub(crate) log: String,
}

impl Bench {
    pub(crate) fn new() -> Self {
        let directory = tempfile::Builder::new().prefix("drua-shim-").tempdir().expect("a temporary directory");
        let bundle = directory.path().join("bundle");
        let bench = Self { directory, bundle, id: ContainerId::random().to_string() };
        for name in ["bundle", "state", "upper", "work", "lower"] {
            std::fs::create_dir(bench.path(name)).expect("a fresh directory");
        }
        busybox::unpack(&bench.path("lower"));
        bench
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    pub(crate) fn bundle(&self) -> PathBuf {
        self.bundle.clone()
    }

    /// Uses another bundle, in a new directory.
    pub(crate) fn set_bundle(&mut self, name: &str) {
        self.bundle = self.path(name);
        std::fs::create_dir_all(&self.bundle).expect("a fresh directory");
    }

    /// A container that runs a command, with a network namespace of its own.
    pub(crate) fn spec(&self, args: &[&str]) -> ContainerSpec {
        let mut spec = ContainerSpec::new(&self.id, args.iter().map(|&arg| arg.to_owned()).collect());
        spec.rootfs = self.bundle().join("rootfs");
        spec.annotations.insert("dev.drua.state-dir".to_owned(), self.path("state").display().to_string());
        spec.annotations.insert("dev.drua.aot-cache".to_owned(), self.path("aot").display().to_string());
        spec
    }

    pub(crate) fn shell(&self, script: &str) -> ContainerSpec {
        self.spec(&["/bin/sh", "-c", script])
    }

    /// Writes the bundle and starts a shim for it.
    pub(crate) async fn start_shim(&self, spec: &ContainerSpec) -> Shim {
        let host = HostFacts::read().expect("the host's facts");
        let config = build(spec, &host).expect("a valid specification");
        let config = serde_json::to_vec(&config).expect("it serialises");
        std::fs::write(self.bundle().join("config.json"), config).expect("the bundle is writable");
        let output = self.shim_action("start");
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "start failed: {stderr}");
        let address = String::from_utf8(output.stdout).expect("text").trim().to_owned();
        self.connect(&address).await
    }

    pub(crate) async fn connect(&self, address: &str) -> Shim {
        let client = Client::connect(address).await.expect("the shim listens");
        Shim { task: TaskClient::new(client), id: self.id.clone(), address: address.to_owned() }
    }

    /// Runs `shim … <action>` and waits for it.
    pub(crate) fn shim_action(&self, action: &str) -> Output {
        let program = std::env::current_exe().expect("this binary");
        let events = self.path("events.sock");
        Command::new(program)
            .args(["shim", "-namespace", "drua", "-id", &self.id, "-address"])
            .arg(&events)
            .arg(action)
            .current_dir(self.bundle())
            .env("TTRPC_ADDRESS", &events)
            .output()
            .expect("the shim runs")
    }

    /// A request with everything as the engine sends it.
    pub(crate) fn create_request(&self) -> api::CreateTaskRequest {
        let mut request = api::CreateTaskRequest::new();
        request.id = self.id.clone();
        request.bundle = self.bundle().display().to_string();
        request.rootfs = vec![overlay(&self.path("lower").display().to_string(), self)];
        request.stdout = format!("drua-log://{}", self.path("state/json.log").display());
        request.stderr = request.stdout.clone();
        request
    }

    /// A container that is created, and its shim.
    pub(crate) async fn create(&self, spec: &ContainerSpec) -> Shim {
        let shim = self.start_shim(spec).await;
        let mut request = self.create_request();
        request.terminal = spec.tty;
        request.stdin = "drua-stdin:".to_owned();
        shim.create(&request).await.expect("create");
        shim
    }

    pub(crate) fn log_text(&self) -> String {
        std::fs::read_to_string(self.path("state/json.log")).unwrap_or_default()
    }

    /// The records of the log, time stamps checked and removed.
    pub(crate) fn log(&self) -> Vec<Line> {
        let line = |line: &str| {
            let value: serde_json::Value = serde_json::from_str(line).expect("a record is JSON");
            let text = |key: &str| value[key].as_str().expect("a string").to_owned();
            text("time").parse::<jiff::Timestamp>().expect("a time stamp");
            Line { stream: text("stream"), log: text("log") }
        };
        self.log_text().lines().map(line).collect()
    }

    pub(crate) fn exit_record(&self) -> Option<serde_json::Value> {
        let text = std::fs::read(self.path("state/exit.json")).ok()?;
        Some(serde_json::from_slice(&text).expect("the record is JSON"))
    }

    pub(crate) fn shim_pid(&self) -> u32 {
        let text = std::fs::read(self.bundle().join("pids.json")).expect("a record of the processes");
        let record: serde_json::Value = serde_json::from_slice(&text).expect("JSON");
        record["shim"]["pid"].as_u64().and_then(|pid| u32::try_from(pid).ok()).expect("a pid")
    }

    /// Directories of the container's cgroup.
    pub(crate) fn cgroups(&self) -> Vec<PathBuf> {
        let hierarchies = std::fs::read_dir("/sys/fs/cgroup").expect("cgroups").flatten();
        let below = hierarchies.map(|entry| entry.path().join("drua").join(&self.id));
        below.filter(|path| path.is_dir()).collect()
    }

    /// A connection to `io.sock` that is registered.
    pub(crate) async fn attach(&self, stdin: bool) -> UnixStream {
        let mut stream = UnixStream::connect(self.bundle().join("io.sock")).await.expect("io.sock");
        let hello = format!("{{\"version\":1,\"stdin\":{stdin},\"stdout\":true,\"stderr\":true}}\n");
        stream.write_all(hello.as_bytes()).await.expect("a greeting");
        let mut answer = Vec::new();
        while answer.last() != Some(&b'\n') {
            answer.push(stream.read_u8().await.expect("an answer"));
        }
        let answer: serde_json::Value = serde_json::from_slice(&answer).expect("JSON");
        assert_eq!(answer["version"], 1);
        stream
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        let output = self.shim_action("delete");
        if !output.status.success() && !std::thread::panicking() {
            panic!("delete failed: {}", String::from_utf8_lossy(&output.stderr));
        }
        if std::thread::panicking() {
            let log = std::fs::read_to_string(self.bundle().join("shim.log")).unwrap_or_default();
            eprintln!("shim.log:\n{log}");
        }
    }
}

impl Shim {
    pub(crate) async fn create(&self, request: &api::CreateTaskRequest) -> ttrpc::Result<u32> {
        Ok(self.task.create(Context::default(), request).await?.pid)
    }

    pub(crate) async fn start(&self) -> ttrpc::Result<u32> {
        let mut request = api::StartRequest::new();
        request.id = self.id.clone();
        Ok(self.task.start(Context::default(), &request).await?.pid)
    }

    pub(crate) async fn wait(&self) -> ttrpc::Result<u32> {
        let mut request = api::WaitRequest::new();
        request.id = self.id.clone();
        Ok(self.task.wait(Context::default(), &request).await?.exit_status)
    }

    pub(crate) async fn state(&self) -> ttrpc::Result<api::StateResponse> {
        let mut request = api::StateRequest::new();
        request.id = self.id.clone();
        self.task.state(Context::default(), &request).await
    }

    pub(crate) async fn kill(&self, signal: u32) -> ttrpc::Result<()> {
        let mut request = api::KillRequest::new();
        request.id = self.id.clone();
        request.signal = signal;
        self.task.kill(Context::default(), &request).await.map(drop)
    }

    pub(crate) async fn delete(&self) -> ttrpc::Result<api::DeleteResponse> {
        let mut request = api::DeleteRequest::new();
        request.id = self.id.clone();
        self.task.delete(Context::default(), &request).await
    }

    pub(crate) async fn shutdown(&self) -> ttrpc::Result<()> {
        let mut request = api::ShutdownRequest::new();
        request.id = self.id.clone();
        self.task.shutdown(Context::default(), &request).await.map(drop)
    }

    pub(crate) async fn close_stdin(&self) -> ttrpc::Result<()> {
        let mut request = api::CloseIORequest::new();
        request.id = self.id.clone();
        request.stdin = true;
        self.task.close_io(Context::default(), &request).await.map(drop)
    }

    /// Runs the created container to its end.
    pub(crate) async fn run(&self) -> u32 {
        self.start().await.expect("start");
        self.wait().await.expect("wait")
    }
}

/// The status code of a failed request.
#[track_caller]
pub(crate) fn code<T: std::fmt::Debug>(result: ttrpc::Result<T>) -> (Code, String) {
    match result {
        Err(ttrpc::Error::RpcStatus(status)) => (status.code.enum_value().expect("a known code"), status.message),
        other => panic!("expected a status, not {other:?}"),
    }
}

pub(crate) fn overlay(lower: &str, bench: &Bench) -> Mount {
    let mut mount = Mount::new();
    mount.type_ = "overlay".to_owned();
    mount.source = "overlay".to_owned();
    mount.options = vec![
        format!("lowerdir={lower}"),
        format!("upperdir={}", bench.path("upper").display()),
        format!("workdir={}", bench.path("work").display()),
    ];
    mount
}

/// Reads frames until the shim closes the connection: all of standard output, all of standard error.
pub(crate) async fn frames(mut stream: impl AsyncReadExt + Unpin) -> (String, String) {
    let mut streams = [Vec::new(), Vec::new()];
    while let Some((kind, payload)) = frame(&mut stream).await {
        streams[usize::from(kind) - 1].extend_from_slice(&payload);
    }
    let [stdout, stderr] = streams.map(|bytes| String::from_utf8(bytes).expect("text"));
    (stdout, stderr)
}

/// Reads one frame; `None` at the end.
pub(crate) async fn frame(stream: &mut (impl AsyncReadExt + Unpin)) -> Option<(u8, Vec<u8>)> {
    let mut header = [0; 8];
    if let Err(error) = stream.read_exact(&mut header).await {
        assert_eq!(error.kind(), std::io::ErrorKind::UnexpectedEof);
        return None;
    }
    let [kind @ 1..=2, 0, 0, 0, length @ ..] = header else { panic!("no frame: {header:?}") };
    let mut payload = vec![0; u32::from_be_bytes(length) as usize];
    stream.read_exact(&mut payload).await.expect("a whole frame");
    Some((kind, payload))
}

/// Reads frames until their text ends with `end`.
pub(crate) async fn read_until(stream: &mut UnixStream, end: &str) -> String {
    let mut text = String::new();
    while !text.ends_with(end) {
        let (_, payload) = frame(stream).await.unwrap_or_else(|| panic!("the output ended with {text:?}"));
        text.push_str(std::str::from_utf8(&payload).expect("text"));
    }
    text
}

/// Waits until a condition holds; the test's own limit ends the wait.
pub(crate) async fn until(mut condition: impl FnMut() -> bool) {
    while !condition() {
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

pub(crate) fn is_alive(pid: u32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(") ").is_some_and(|(_, fields)| !fields.starts_with(['Z', 'X']))
}
