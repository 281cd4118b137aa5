//! Clients that hang up half, and what is left of them in the daemon.

use std::io::{Read as _, Write as _};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use drua_e2e::{Daemon, wait};

use crate::support::{busybox, inspect};

/// Open descriptors of the daemon.
fn files(daemon: &Daemon) -> usize {
    std::fs::read_dir(format!("/proc/{}/fd", daemon.pid())).unwrap().count()
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

#[test]
fn half_open_upgrades_end_with_their_container() {
    let Some(daemon) = busybox() else { return };
    daemon.docker(["run", "-d", "-i", "--name", "box", "busybox", "cat"]).run().ok();
    let before = files(&daemon);
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
    wait::until("the daemon to forget them", Duration::from_secs(60), || files(&daemon) <= before + 8);
}
