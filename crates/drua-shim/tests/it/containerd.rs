//! What containerd does differently from our engine: FIFOs, events, long bundle paths.

use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use containerd_shim_protos::api::{Empty, ForwardRequest};
use containerd_shim_protos::events::task::TaskExit;
use containerd_shim_protos::protobuf::Message;
use containerd_shim_protos::shim_async::{Events, create_events};
use containerd_shim_protos::ttrpc::Result;
use containerd_shim_protos::ttrpc::asynchronous::{Server, TtrpcContext};
use rustix::fs::{CWD, FileType, Mode, mknodat};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::unix::pipe;

use crate::bench::{Bench, until};

crate::tests![
    fifos_carry_stdio,
    files_are_appended_to,
    events_are_published,
    a_long_bundle_path,
    without_options_it_names_itself
];

async fn fifos_carry_stdio(bench: Bench) {
    let fifo = |name: &str| {
        mknodat(CWD, bench.path(name), FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
        bench.path(name)
    };
    let (stdin, stdout, stderr) = (fifo("in"), fifo("out"), fifo("err"));
    let shim = bench.start_shim(&bench.shell("cat; echo oops >&2; exit 2")).await;
    let mut request = bench.create_request();
    request.stdin = stdin.display().to_string();
    request.stdout = stdout.display().to_string();
    request.stderr = format!("fifo://{}", stderr.display());
    let mut out = pipe::OpenOptions::new().open_receiver(&stdout).unwrap();
    let mut err = pipe::OpenOptions::new().open_receiver(&stderr).unwrap();
    shim.create(&request).await.unwrap();
    shim.start().await.unwrap();
    let mut input = pipe::OpenOptions::new().open_sender(&stdin).unwrap();
    input.write_all(b"through\n").await.unwrap();
    drop(input);
    let (mut output, mut errors) = (String::new(), String::new());
    assert_eq!(shim.wait().await.unwrap(), 2);
    out.read_to_string(&mut output).await.unwrap();
    err.read_to_string(&mut errors).await.unwrap();
    assert_eq!((output.as_str(), errors.as_str()), ("through\n", "oops\n"));
}

async fn files_are_appended_to(bench: Bench) {
    std::fs::write(bench.path("log"), "before\n").unwrap();
    let shim = bench.start_shim(&bench.shell("echo after; echo lost >&2")).await;
    let mut request = bench.create_request();
    request.stdout = format!("file://{}", bench.path("log").display());
    request.stderr = String::new();
    shim.create(&request).await.unwrap();
    assert_eq!(shim.run().await, 0);
    assert_eq!(std::fs::read_to_string(bench.path("log")).unwrap(), "before\nafter\n");
}

/// A daemon that takes notes.
#[derive(Default)]
struct Notes(Mutex<Vec<(String, ForwardRequest)>>);

#[async_trait]
impl Events for Notes {
    async fn forward(&self, _: &TtrpcContext, request: ForwardRequest) -> Result<Empty> {
        self.0.lock().unwrap().push((request.envelope.topic.clone(), request));
        Ok(Empty::new())
    }
}

async fn events_are_published(bench: Bench) {
    let notes = Arc::new(Notes::default());
    let address = format!("unix://{}", bench.path("events.sock").display());
    let mut daemon = Server::new().bind(&address).unwrap().register_service(create_events(Arc::clone(&notes) as _));
    daemon.start().await.unwrap();
    let shim = bench.create(&bench.shell("exit 9")).await;
    assert_eq!(shim.run().await, 9);
    shim.delete().await.unwrap();
    shim.shutdown().await.unwrap();
    until(|| notes.0.lock().unwrap().len() == 4).await;
    let notes = notes.0.lock().unwrap();
    let topics: Vec<&str> = notes.iter().map(|(topic, _)| topic.as_str()).collect();
    assert_eq!(topics, ["/tasks/create", "/tasks/start", "/tasks/exit", "/tasks/delete"]);
    let envelope = &notes[2].1.envelope;
    assert_eq!((envelope.namespace.as_str(), envelope.event.type_url.as_str()), ("drua", "containerd.events.TaskExit"));
    let exit = TaskExit::parse_from_bytes(&envelope.event.value).unwrap();
    assert_eq!((exit.container_id.as_str(), exit.id.as_str(), exit.exit_status), (&*bench.id, &*bench.id, 9));
}

async fn a_long_bundle_path(mut bench: Bench) {
    bench.set_bundle(&format!("io.containerd.runtime.v2.task/k8s.io/{}", "b".repeat(64)));
    let shim = bench.create(&bench.shell("echo $0")).await;
    assert!(shim.address.starts_with(&format!("unix://{}", bench.path("s").display())), "{}", shim.address);
    assert_eq!(std::fs::read_to_string(bench.bundle().join("address")).unwrap(), shim.address);
    assert_eq!(shim.run().await, 0);
    shim.delete().await.unwrap();
    shim.shutdown().await.unwrap();
    assert_eq!(std::fs::read_dir(bench.path("s")).unwrap().count(), 0, "no socket stays behind");
}

async fn without_options_it_names_itself(bench: Bench) {
    let version = bench.shim_action("-v");
    assert!(version.status.success() && version.stdout.starts_with(b"io.containerd.drua.v1:\n"));
    assert!(bench.shim_action("-info").status.success());
    let nonsense = bench.shim_action("stop");
    assert_eq!(nonsense.status.code(), Some(2));
    assert_eq!(
        String::from_utf8_lossy(&nonsense.stderr),
        "error: unknown action `stop`: expected `start` or `delete`\n"
    );
}
