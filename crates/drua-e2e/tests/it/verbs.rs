//! `drua` itself: the same verbs, its own formats, its errors with hints, and starting the daemon by itself.

use drua_e2e::{Cmd, binary, guest};

use crate::support::{busybox, daemon, load, wasm_image};

#[test]
fn run_is_dockers_run() {
    let Some(daemon) = busybox() else { return };
    load(&daemon, &wasm_image("app", &guest::module(guest::HELLO)));
    daemon.drua(["run", "--rm", "busybox", "sh", "-c", "echo out; exit 3"]).run().prints("out\n").exits(3);
    daemon.drua(["run", "--rm", "app"]).run().prints("Hello from Wasm\n").exits(0);
    daemon.drua(["run", "--rm", "-i", "busybox", "cat"]).input("in\n").run().prints("in\n").exits(0);
    daemon.drua(["run", "--rm", "busybox", "nope"]).run().exits(127).complains("executable file not found");
    daemon.drua(["run", "--rm", "nosuchimage:1"]).run().exits(125).complains("nosuchimage:1");
    daemon.drua(["run", "--no-such-flag"]).run().exits(125);
    daemon.drua(["ps", "--no-such-flag"]).run().exits(2);
}

#[test]
fn the_verbs_agree_with_docker() {
    let Some(daemon) = busybox() else { return };
    let id =
        daemon.drua(["run", "-d", "--name", "box", "busybox", "sh", "-c", "echo hi; sleep 1000"]).run().ok().to_owned();
    assert_eq!(daemon.docker(["ps", "-q", "--no-trunc"]).run().ok(), id);
    daemon.drua(["logs", "box"]).run().prints("hi\n").ok();
    let json = daemon.drua(["inspect", "box"]).run();
    let json: serde_json::Value = serde_json::from_str(json.ok()).unwrap();
    assert_eq!(json[0]["Id"], id);
    daemon.drua(["stop", "-t", "1", "box"]).run().prints("box\n").ok();
    daemon.drua(["wait", "box"]).run().prints("137\n").ok();
    daemon.drua(["rm", "box"]).run().prints("box\n").ok();
    daemon.drua(["volume", "create", "vol"]).run().prints("vol\n").ok();
    daemon.drua(["volume", "ls", "-q"]).run().prints("vol\n").ok();
    daemon.drua(["network", "create", "net"]).run().ok();
    daemon.drua(["network", "rm", "net"]).run().ok();
    daemon.drua(["tag", "busybox", "two:2"]).run().ok();
    daemon.drua(["rmi", "two:2"]).run().ok();
    daemon.drua(["version"]).run().ok();
    daemon.drua(["info"]).run().ok();
}

#[test]
fn lists_have_three_formats() {
    let Some(daemon) = busybox() else { return };
    daemon.drua(["run", "-d", "--name", "box", "busybox", "sleep", "1000"]).run().ok();
    let table = daemon.drua(["ps"]).run();
    assert!(table.ok().starts_with("CONTAINER ID"), "{table}");
    let json = daemon.drua(["ps", "--format", "json"]).run();
    let _: serde_json::Value = serde_json::from_str(json.ok().lines().next().unwrap()).unwrap();
    daemon.drua(["ps", "--format", "{{.Names}}"]).run().prints("box\n").ok();
    assert_eq!(table.stderr, "");
}

#[test]
fn failures_have_one_shape() {
    let Some(daemon) = daemon() else { return };
    let run = daemon.drua(["logs", "nobody"]).run();
    run.exits(1).complains("error: ").complains("No such container: nobody");
    assert_eq!(run.stdout, "");
}

/// In namespaces of its own, so that the default directories and names are free and everything ends with the test.
#[test]
fn the_first_command_starts_the_daemon() {
    let Some(unshare) = binary::on_path("unshare") else { return };
    let script =
        "set -e; ip link set lo up; mount -t tmpfs t /run; mkdir -p /var/lib/drua; mount -t tmpfs t /var/lib/drua
        \"$DRUA\" ps; \"$DRUA\" load -q -i \"$IMAGE\"; \"$DRUA\" run --rm app";
    let dir = tempfile::tempdir().unwrap();
    let image = dir.path().join("app.tar");
    wasm_image("app", &guest::module(guest::HELLO)).save(&image).unwrap();
    let run = Cmd::new(unshare)
        .args(["--mount", "--net", "--pid", "--fork", "--kill-child", "--mount-proc", "--propagation", "private"])
        .args(["sh", "-c", script])
        .env("DRUA", binary::drua().unwrap())
        .env("IMAGE", image)
        .env("HOME", dir.path())
        .run();
    assert!(run.ok().ends_with("Hello from Wasm"), "{run}");
    assert!(run.stdout.starts_with("CONTAINER ID"), "{run}");
}
