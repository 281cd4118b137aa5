//! Bad input, dead shims and clients that misbehave.

use std::time::{Duration, Instant};

use containerd_shim_protos::ttrpc::Code;
use containerd_shim_protos::types::task::Status;
use drua_runtime::spec::Namespace;
use rustix::process::{Pid, Signal, kill_process};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;

use crate::bench::{Bench, code, frames, is_alive, until};

crate::tests![
    a_command_that_cannot_run_has_runcs_words,
    a_failed_create_leaves_nothing,
    delete_cleans_up_after_a_dead_shim,
    garbage_does_no_harm,
    a_client_that_does_not_read_is_dropped,
    a_process_that_keeps_the_output_open_does_not_hold_up_the_exit,
    starting_twice_finds_the_same_shim,
];

async fn a_command_that_cannot_run_has_runcs_words(bench: Bench) {
    std::fs::write(bench.path("lower/plain"), "no program").unwrap();
    for (command, words) in [
        ("nope", "exec: \"nope\": executable file not found in $PATH"),
        ("/nope", "exec: \"/nope\": stat /nope: no such file or directory"),
        ("/plain", "exec: \"/plain\": permission denied"),
        ("/bin", "exec: \"/bin\": is a directory"),
    ] {
        let shim = bench.start_shim(&bench.spec(&[command])).await;
        let (status, message) = code(shim.create(&bench.create_request()).await);
        assert_eq!(status, Code::INVALID_ARGUMENT, "{message}");
        assert!(message.contains(words), "{message}");
        shim.shutdown().await.unwrap();
        until(|| !bench.bundle().join("shim.sock").exists()).await;
    }
}

async fn a_failed_create_leaves_nothing(bench: Bench) {
    let shim = bench.start_shim(&bench.spec(&["nope"])).await;
    assert_eq!(code(shim.create(&bench.create_request()).await).0, Code::INVALID_ARGUMENT);
    assert_eq!(code(shim.state().await).0, Code::NOT_FOUND);
    assert_eq!(bench.cgroups(), Vec::<std::path::PathBuf>::new());
    assert!(!bench.bundle().join("io.sock").exists());
    let mut request = bench.create_request();
    request.stdout = "binary:///bin/logger".to_owned();
    assert_eq!(code(shim.create(&request).await).0, Code::UNIMPLEMENTED);
    let mut request = bench.create_request();
    request.rootfs[0].options[0] = "lowerdir=/does/not/exist".to_owned();
    let (status, message) = code(shim.create(&request).await);
    assert_eq!(status, Code::INTERNAL);
    assert!(message.starts_with("cannot mount overlay") && message.ends_with("No such file or directory (os error 2)"));
    std::fs::write(bench.bundle().join("config.json"), "{").unwrap();
    assert_eq!(code(shim.create(&bench.create_request()).await).0, Code::INVALID_ARGUMENT);
    shim.shutdown().await.unwrap();
}

async fn delete_cleans_up_after_a_dead_shim(bench: Bench) {
    let shim = bench.create(&bench.shell("sleep 1000 & while :; do echo x; sleep 1; done")).await;
    let init = shim.start().await.unwrap();
    until(|| !bench.log().is_empty()).await;
    let shim_pid = Pid::from_raw(bench.shim_pid().cast_signed()).unwrap();
    kill_process(shim_pid, Signal::KILL).unwrap();
    until(|| !is_alive(bench.shim_pid())).await;
    for _ in 0..2 {
        let output = bench.shim_action("delete");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let response: containerd_shim_protos::api::DeleteResponse =
            containerd_shim_protos::protobuf::Message::parse_from_bytes(&output.stdout).unwrap();
        assert_eq!((response.pid, response.exit_status), (init, 137));
    }
    assert!(!is_alive(init));
    assert_eq!(bench.cgroups(), Vec::<std::path::PathBuf>::new());
    assert_eq!(bench.exit_record().unwrap()["status"], 137);
    assert!(!bench.bundle().join("runtime").exists() && !bench.bundle().join("shim.sock").exists());
}

async fn garbage_does_no_harm(bench: Bench) {
    let shim = bench.create(&bench.shell("read line; echo fine")).await;
    shim.start().await.unwrap();
    let garbage: Vec<u8> = (0..70_000u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    for socket in ["io.sock", "shim.sock"] {
        let connect = || UnixStream::connect(bench.bundle().join(socket));
        let headers: [&[u8]; 6] = [
            &garbage,
            b"{\"version\":2}\n",
            b"{}\n",
            b"null\n",
            b"\xff\xff\xff\xff\0\0\0\x01\x01\0",
            b"\0\0\0\x04\0\0\0\x02\x07\0abcd",
        ];
        for header in headers {
            let mut stream = connect().await.unwrap();
            // The shim may hang up before it has read all of it.
            let _ = stream.write_all(header).await;
            let _ = stream.shutdown().await;
            let _ = stream.read_to_end(&mut Vec::new()).await;
        }
        // One that never says anything.
        std::mem::forget(connect().await.unwrap());
    }
    assert_eq!(shim.state().await.unwrap().status, Status::RUNNING.into());
    let client = bench.attach(false).await;
    shim.close_stdin().await.unwrap();
    assert_eq!(frames(client).await.0, "fine\n");
}

async fn a_client_that_does_not_read_is_dropped(bench: Bench) {
    let shim = bench.create(&bench.shell("head -c 8000000 /dev/zero | tr '\\0' x; echo; echo done")).await;
    let _idle = bench.attach(false).await;
    let client = bench.attach(false).await;
    let begin = Instant::now();
    shim.start().await.unwrap();
    let (stdout, _) = frames(client).await;
    assert_eq!(stdout.len(), 8_000_001 + 5);
    assert_eq!(shim.wait().await.unwrap(), 0);
    assert!(begin.elapsed() < Duration::from_secs(20), "held up for {:?}", begin.elapsed());
    assert_eq!(bench.log().iter().map(|line| line.log.len()).sum::<usize>(), stdout.len());
}

async fn a_process_that_keeps_the_output_open_does_not_hold_up_the_exit(bench: Bench) {
    let mut spec = bench.shell("sleep 1000 & echo $!; exit 6");
    spec.pid = Namespace::Host;
    let shim = bench.create(&spec).await;
    let begin = Instant::now();
    assert_eq!(shim.run().await, 6);
    assert!(begin.elapsed() < Duration::from_secs(10));
    let sleeper: u32 = bench.log()[0].log.trim().parse().unwrap();
    assert!(is_alive(sleeper));
    shim.delete().await.unwrap();
    until(|| !is_alive(sleeper)).await;
}

async fn starting_twice_finds_the_same_shim(bench: Bench) {
    let shim = bench.create(&bench.shell("read line")).await;
    let pid = bench.shim_pid();
    let output = bench.shim_action("start");
    assert!(output.status.success());
    assert_eq!(String::from_utf8(output.stdout).unwrap().trim(), shim.address);
    assert!(is_alive(pid) && shim.state().await.is_ok());
}
