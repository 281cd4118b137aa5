//! `io.sock`: what attached clients see and say.

use containerd_shim_protos::api;
use containerd_shim_protos::ttrpc::context::Context;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::bench::{Bench, frame, frames, read_until, until};

crate::tests![
    two_clients_see_the_same,
    the_end_of_input_is_passed_on_once,
    input_stays_open_for_the_next_client,
    a_terminal_has_a_size,
    a_late_client_gets_the_rest_and_knows_where_the_log_ended,
];

async fn two_clients_see_the_same(bench: Bench) {
    let shim = bench.create(&bench.shell("echo one; echo two >&2; echo three")).await;
    let (first, second) = (bench.attach(false).await, bench.attach(false).await);
    shim.start().await.unwrap();
    let expect = ("one\nthree\n".to_owned(), "two\n".to_owned());
    assert_eq!(frames(first).await, expect);
    assert_eq!(frames(second).await, expect);
    assert_eq!(shim.wait().await.unwrap(), 0);
    assert_eq!(bench.log().len(), 3);
}

async fn the_end_of_input_is_passed_on_once(bench: Bench) {
    let mut spec = bench.spec(&["/bin/cat"]);
    spec.annotations.insert("dev.drua.stdin-once".to_owned(), "true".to_owned());
    let shim = bench.create(&spec).await;
    let watcher = bench.attach(false).await;
    let mut client = bench.attach(true).await;
    shim.start().await.unwrap();
    let text = "x".repeat(300_000);
    let (mut reading, mut writing) = client.split();
    let write = async {
        writing.write_all(text.as_bytes()).await.unwrap();
        writing.shutdown().await.unwrap();
    };
    let (((), (stdout, _)), (watched, _)) =
        tokio::join!(async { tokio::join!(write, frames(&mut reading)) }, frames(watcher));
    assert!(stdout == text && watched == text, "all of it, and the connection ends with the container");
    assert_eq!(shim.wait().await.unwrap(), 0);
}

async fn input_stays_open_for_the_next_client(bench: Bench) {
    let shim = bench.create(&bench.shell("read a; echo $a; read b; echo $b; cat; echo end")).await;
    shim.start().await.unwrap();
    let mut first = bench.attach(true).await;
    first.write_all(b"one\n").await.unwrap();
    assert_eq!(read_until(&mut first, "one\n").await, "one\n");
    first.shutdown().await.unwrap();
    drop(first);
    let mut second = bench.attach(true).await;
    second.write_all(b"two\n").await.unwrap();
    assert_eq!(read_until(&mut second, "two\n").await, "two\n");
    shim.close_stdin().await.unwrap();
    assert_eq!(frames(second).await.0, "end\n");
    assert_eq!(shim.wait().await.unwrap(), 0);
}

async fn a_terminal_has_a_size(bench: Bench) {
    let mut spec = bench.shell("tty; read line; stty size; exit 4");
    spec.tty = true;
    let shim = bench.create(&spec).await;
    let mut client = bench.attach(true).await;
    shim.start().await.unwrap();
    assert_eq!(read_until(&mut client, "\n").await, "/dev/pts/0\r\n");
    let mut resize = api::ResizePtyRequest::new();
    (resize.id, resize.width, resize.height) = (bench.id.clone(), 101, 37);
    shim.task.resize_pty(Context::default(), &resize).await.unwrap();
    client.write_all(b"go\n").await.unwrap();
    let (stdout, stderr) = frames(client).await;
    assert_eq!((stdout.as_str(), stderr.as_str()), ("go\r\n37 101\r\n", ""));
    assert_eq!(shim.wait().await.unwrap(), 4);
    assert_eq!(bench.log().last().unwrap().log, "37 101\r\n");
}

async fn a_late_client_gets_the_rest_and_knows_where_the_log_ended(bench: Bench) {
    let shim = bench.create(&bench.shell("echo early; printf half; read line; echo -way; echo late")).await;
    shim.start().await.unwrap();
    until(|| !bench.log().is_empty()).await;
    let mut early = bench.attach(false).await;
    let mut stream = tokio::net::UnixStream::connect(bench.bundle().join("io.sock")).await.unwrap();
    stream.write_all(b"{\"version\":1,\"stdout\":true}\n").await.unwrap();
    let mut answer = vec![0; 256];
    let length = stream.read(&mut answer).await.unwrap();
    let answer: serde_json::Value = serde_json::from_slice(&answer[..length]).unwrap();
    let position = usize::try_from(answer["log"]["bytes"].as_u64().unwrap()).unwrap();
    shim.close_stdin().await.unwrap();
    let mut live = String::new();
    while let Some((_, payload)) = frame(&mut stream).await {
        live.push_str(std::str::from_utf8(&payload).unwrap());
    }
    shim.wait().await.unwrap();
    let replay = &bench.log_text()[..position];
    let replayed: String = replay
        .lines()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap()["log"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(replayed + &live, "early\nhalf-way\nlate\n", "no gap and nothing twice");
    assert!(frame(&mut early).await.is_some());
}
