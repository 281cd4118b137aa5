//! Further processes in a container: containerd's execs.

use containerd_shim_protos::api;
use containerd_shim_protos::protobuf::well_known_types::any::Any;
use containerd_shim_protos::ttrpc::{self, Code, context::Context};
use containerd_shim_protos::types::task::Status;
use drua_runtime::spec::{HostFacts, build};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;

use crate::bench::{Bench, Shim, code, frames, read_until, until};

crate::tests![
    a_client_that_attaches_first_misses_nothing,
    input_ends_with_the_client,
    a_terminal_of_its_own,
    failures_are_ends,
    requests_that_make_no_sense_are_refused,
    the_container_takes_its_execs_along,
    a_paused_container_starts_none,
    many_at_once,
];

impl Shim {
    async fn add(&self, bench: &Bench, id: &str, args: &[&str], terminal: bool) -> ttrpc::Result<()> {
        let mut spec = bench.spec(args);
        spec.tty = terminal;
        let built = build(&spec, &HostFacts::read().unwrap()).unwrap();
        let mut request = api::ExecProcessRequest::new();
        (request.id, request.exec_id, request.terminal) = (self.id.clone(), id.to_owned(), terminal);
        request.stdin = "drua-stdin:".to_owned();
        let mut any = Any::new();
        any.type_url = "types.containerd.io/opencontainers/runtime-spec/1/Process".to_owned();
        any.value = serde_json::to_vec(built.process().as_ref().unwrap()).unwrap();
        request.spec = Some(any).into();
        self.task.exec(Context::default(), &request).await.map(drop)
    }

    async fn start_exec(&self, id: &str) -> ttrpc::Result<u32> {
        let mut request = api::StartRequest::new();
        (request.id, request.exec_id) = (self.id.clone(), id.to_owned());
        Ok(self.task.start(Context::default(), &request).await?.pid)
    }

    async fn wait_exec(&self, id: &str) -> ttrpc::Result<u32> {
        let mut request = api::WaitRequest::new();
        (request.id, request.exec_id) = (self.id.clone(), id.to_owned());
        Ok(self.task.wait(Context::default(), &request).await?.exit_status)
    }

    async fn exec_status(&self, id: &str) -> ttrpc::Result<Status> {
        let mut request = api::StateRequest::new();
        (request.id, request.exec_id) = (self.id.clone(), id.to_owned());
        Ok(self.task.state(Context::default(), &request).await?.status.enum_value().unwrap())
    }

    async fn delete_exec(&self, id: &str) -> ttrpc::Result<u32> {
        let mut request = api::DeleteRequest::new();
        (request.id, request.exec_id) = (self.id.clone(), id.to_owned());
        Ok(self.task.delete(Context::default(), &request).await?.exit_status)
    }
}

async fn attach(bench: &Bench, id: &str) -> UnixStream {
    let mut stream = UnixStream::connect(bench.bundle().join("io.sock")).await.unwrap();
    let hello = format!("{{\"version\":1,\"stdin\":true,\"stdout\":true,\"stderr\":true,\"exec\":\"{id}\"}}\n");
    stream.write_all(hello.as_bytes()).await.unwrap();
    while stream.read_u8().await.unwrap() != b'\n' {}
    stream
}

async fn sleeping(bench: &Bench) -> Shim {
    let shim = bench.create(&bench.spec(&["/bin/sleep", "1000"])).await;
    shim.start().await.unwrap();
    shim
}

async fn a_client_that_attaches_first_misses_nothing(bench: Bench) {
    let shim = sleeping(&bench).await;
    shim.add(&bench, "x", &["/bin/sh", "-c", "echo out; echo err >&2; exit 5"], false).await.unwrap();
    assert_eq!(shim.exec_status("x").await.unwrap(), Status::CREATED);
    let client = attach(&bench, "x").await;
    let pid = shim.start_exec("x").await.unwrap();
    assert!(pid > 1);
    assert_eq!(frames(client).await, ("out\n".to_owned(), "err\n".to_owned()));
    assert_eq!(shim.wait_exec("x").await.unwrap(), 5);
    assert_eq!(shim.exec_status("x").await.unwrap(), Status::STOPPED);
    assert_eq!(shim.delete_exec("x").await.unwrap(), 5);
    assert_eq!(code(shim.exec_status("x").await).0, Code::NOT_FOUND);
    assert_eq!(bench.log(), [], "the log is the container's own");
    assert_eq!(shim.state().await.unwrap().status, Status::RUNNING.into());
}

async fn input_ends_with_the_client(bench: Bench) {
    let shim = sleeping(&bench).await;
    shim.add(&bench, "cat", &["/bin/cat"], false).await.unwrap();
    let mut client = attach(&bench, "cat").await;
    shim.start_exec("cat").await.unwrap();
    client.write_all(b"text\n").await.unwrap();
    assert_eq!(read_until(&mut client, "text\n").await, "text\n");
    client.shutdown().await.unwrap();
    assert_eq!(frames(client).await.0, "");
    assert_eq!(shim.wait_exec("cat").await.unwrap(), 0);
    shim.add(&bench, "gone", &["/bin/cat"], false).await.unwrap();
    let client = attach(&bench, "gone").await;
    shim.start_exec("gone").await.unwrap();
    drop(client);
    assert_eq!(shim.wait_exec("gone").await.unwrap(), 0);
}

async fn a_terminal_of_its_own(bench: Bench) {
    let shim = sleeping(&bench).await;
    shim.add(&bench, "tty", &["/bin/sh", "-c", "tty; read line; stty size"], true).await.unwrap();
    let mut client = attach(&bench, "tty").await;
    shim.start_exec("tty").await.unwrap();
    assert_eq!(read_until(&mut client, "\n").await, "/dev/pts/0\r\n");
    let mut resize = api::ResizePtyRequest::new();
    (resize.id, resize.exec_id, resize.width, resize.height) = (bench.id.clone(), "tty".to_owned(), 101, 37);
    shim.task.resize_pty(Context::default(), &resize).await.unwrap();
    client.write_all(b"go\n").await.unwrap();
    assert_eq!(frames(client).await.0, "go\r\n37 101\r\n");
    assert_eq!(shim.wait_exec("tty").await.unwrap(), 0);
}

async fn failures_are_ends(bench: Bench) {
    let shim = sleeping(&bench).await;
    for (command, status, words) in
        [("nope", 127, "executable file not found in $PATH"), ("/etc", 126, "is a directory")]
    {
        shim.add(&bench, "x", &[command], false).await.unwrap();
        let client = attach(&bench, "x").await;
        let (_, message) = code(shim.start_exec("x").await);
        assert!(
            message.starts_with("OCI runtime exec failed: exec failed: unable to start container process: exec: "),
            "{message}"
        );
        assert!(message.contains(words), "{message}");
        assert_eq!(frames(client).await, (String::new(), String::new()));
        assert_eq!(shim.wait_exec("x").await.unwrap(), status);
        assert_eq!(shim.delete_exec("x").await.unwrap(), status);
    }
}

async fn requests_that_make_no_sense_are_refused(bench: Bench) {
    let shim = sleeping(&bench).await;
    assert_eq!(code(shim.start_exec("none").await).0, Code::NOT_FOUND);
    shim.add(&bench, "x", &["/bin/sleep", "1000"], false).await.unwrap();
    assert_eq!(code(shim.add(&bench, "x", &["/bin/true"], false).await).0, Code::ALREADY_EXISTS);
    shim.start_exec("x").await.unwrap();
    assert_eq!(code(shim.start_exec("x").await).0, Code::FAILED_PRECONDITION);
    assert_eq!(code(shim.delete_exec("x").await).0, Code::FAILED_PRECONDITION);
    let mut garbage = api::ExecProcessRequest::new();
    (garbage.id, garbage.exec_id) = (bench.id.clone(), "y".to_owned());
    garbage.spec = Some(Any::new()).into();
    assert_eq!(code(shim.task.exec(Context::default(), &garbage).await).0, Code::INVALID_ARGUMENT);
    let mut kill = api::KillRequest::new();
    (kill.id, kill.exec_id, kill.signal) = (bench.id.clone(), "x".to_owned(), 15);
    shim.task.kill(Context::default(), &kill).await.unwrap();
    assert_eq!(shim.wait_exec("x").await.unwrap(), 143);
    assert_eq!(code(shim.task.kill(Context::default(), &kill).await).0, Code::NOT_FOUND);
}

async fn the_container_takes_its_execs_along(bench: Bench) {
    let shim = sleeping(&bench).await;
    for id in ["one", "two"] {
        shim.add(&bench, id, &["/bin/sleep", "1000"], false).await.unwrap();
        shim.start_exec(id).await.unwrap();
    }
    shim.kill(9).await.unwrap();
    assert_eq!(shim.wait().await.unwrap(), 137);
    for id in ["one", "two"] {
        assert_eq!(shim.wait_exec(id).await.unwrap(), 137);
    }
    shim.add(&bench, "three", &["/bin/true"], false).await.unwrap();
    assert_eq!(code(shim.start_exec("three").await).0, Code::FAILED_PRECONDITION);
}

async fn a_paused_container_starts_none(bench: Bench) {
    let shim = sleeping(&bench).await;
    shim.add(&bench, "x", &["/bin/true"], false).await.unwrap();
    let (mut pause, mut resume) = (api::PauseRequest::new(), api::ResumeRequest::new());
    (pause.id, resume.id) = (bench.id.clone(), bench.id.clone());
    shim.task.pause(Context::default(), &pause).await.unwrap();
    assert_eq!(code(shim.start_exec("x").await).0, Code::FAILED_PRECONDITION);
    shim.task.resume(Context::default(), &resume).await.unwrap();
    shim.start_exec("x").await.unwrap();
    assert_eq!(shim.wait_exec("x").await.unwrap(), 0);
}

async fn many_at_once(bench: Bench) {
    let shim = sleeping(&bench).await;
    let ids: Vec<String> = (0..100).map(|number| format!("x{number}")).collect();
    for (number, id) in ids.iter().enumerate() {
        shim.add(&bench, id, &["/bin/sh", "-c", &format!("exit {number}")], false).await.unwrap();
        shim.start_exec(id).await.unwrap();
    }
    for (number, id) in ids.iter().enumerate() {
        assert_eq!(shim.wait_exec(id).await.unwrap() as usize, number);
        shim.delete_exec(id).await.unwrap();
    }
    let children = format!("/proc/{0}/task/{0}/children", bench.shim_pid());
    until(|| std::fs::read_to_string(&children).unwrap().split_whitespace().count() == 1).await;
}
