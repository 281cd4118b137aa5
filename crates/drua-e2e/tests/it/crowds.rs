//! A thousand clients that only listen, and what is left of them in the daemon.

use std::io::{Read as _, Write as _};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use drua_e2e::{Daemon, wait};

use crate::support::{busybox, inspect};

const CROWD: usize = 1000;
/// What a wave may leave behind: the allocator keeps some of what it had.
const LEFT_KIB: u64 = 8 << 10;

/// What the daemon holds: descriptors, threads, KiB of memory.
fn holds(daemon: &Daemon) -> (usize, u64, u64) {
    let files = std::fs::read_dir(format!("/proc/{}/fd", daemon.pid())).unwrap().count();
    let status = std::fs::read_to_string(format!("/proc/{}/status", daemon.pid())).unwrap();
    let number = |key: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(key)).unwrap();
        line.trim().trim_end_matches(" kB").parse().unwrap()
    };
    (files, number("Threads:"), number("VmRSS:"))
}

/// Connects, asks, and reads until the answer's head has come.
fn listener(daemon: &Daemon, request: &str) -> UnixStream {
    let mut stream = UnixStream::connect(daemon.options.socket()).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    stream.write_all(request.as_bytes()).unwrap();
    let mut status = [0; 12];
    stream.read_exact(&mut status).unwrap();
    assert!(status.ends_with(b"200") || status.ends_with(b"101"), "{request}: {}", String::from_utf8_lossy(&status));
    stream
}

fn wave(daemon: &Daemon) -> Vec<UnixStream> {
    let upgrade = "Host: d\r\nConnection: Upgrade\r\nUpgrade: tcp\r\nContent-Length: 0\r\n\r\n";
    let requests = [
        "GET /containers/box/logs?follow=1&stdout=1 HTTP/1.1\r\nHost: d\r\n\r\n".to_owned(),
        "GET /events HTTP/1.1\r\nHost: d\r\n\r\n".to_owned(),
        "POST /containers/box/wait HTTP/1.1\r\nHost: d\r\nContent-Length: 0\r\n\r\n".to_owned(),
        format!("POST /containers/box/attach?stream=1&stdout=1&stdin=1 HTTP/1.1\r\n{upgrade}"),
        "GET /containers/box/stats HTTP/1.1\r\nHost: d\r\n\r\n".to_owned(),
    ];
    (0..CROWD).map(|index| listener(daemon, &requests[index % requests.len()])).collect()
}

#[test]
fn a_thousand_listeners_leave_nothing_behind() {
    let Some(daemon) = busybox() else { return };
    daemon.docker(["run", "-d", "-i", "--name", "box", "busybox", "cat"]).run().ok();
    let (files, threads, _) = holds(&daemon);
    let mut memory = Vec::new();
    for _ in 0..3 {
        let crowd = wave(&daemon);
        assert!(holds(&daemon).0 >= files + CROWD, "all of them are connected");
        // Nobody else notices.
        daemon.docker(["exec", "box", "true"]).run().ok();
        drop(crowd);
        let gone = || holds(&daemon).0 <= files + 8;
        wait::until("the daemon to close what nobody listens to", Duration::from_secs(60), gone);
        memory.push(holds(&daemon).2);
    }
    // The pool of threads ends idle ones after a while, and never has one for each client.
    assert!(holds(&daemon).1 <= threads + 64, "{} threads, {threads} before", holds(&daemon).1);
    assert!(memory[2] <= memory[0] + LEFT_KIB, "memory grows with each wave: {memory:?} KiB");
    daemon.docker(["rm", "-f", "box"]).run().ok();
}

#[test]
fn half_open_upgrades_end_with_their_container() {
    let Some(daemon) = busybox() else { return };
    daemon.docker(["run", "-d", "-i", "--name", "box", "busybox", "cat"]).run().ok();
    let (files, ..) = holds(&daemon);
    let upgrade = "Host: d\r\nConnection: Upgrade\r\nUpgrade: tcp\r\nContent-Length: 0\r\n\r\n";
    let attach = format!("POST /containers/box/attach?stream=1&stdout=1&stdin=1 HTTP/1.1\r\n{upgrade}");
    let half: Vec<UnixStream> = (0..50)
        .map(|_| {
            let stream = listener(&daemon, &attach);
            stream.shutdown(Shutdown::Write).unwrap();
            stream
        })
        .collect();
    // Asked for an upgrade, never to be heard of again; and some that hang up at once.
    for _ in 0..50 {
        let mut stream = UnixStream::connect(daemon.options.socket()).unwrap();
        stream.write_all(attach.as_bytes()).unwrap();
    }
    assert_eq!(inspect(&daemon, "box", "{{.State.Running}}"), "true", "a half-close is not the end of a container");
    daemon.docker(["kill", "box"]).run().ok();
    for mut stream in half {
        let mut rest = Vec::new();
        stream.read_to_end(&mut rest).unwrap();
    }
    wait::until("the daemon to forget them", Duration::from_secs(60), || holds(&daemon).0 <= files + 8);
}
