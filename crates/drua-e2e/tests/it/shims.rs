//! Containers that somebody else's shim runs: containerd's own for runc.

use drua_e2e::{Daemon, binary, wait};
use serde_json::json;

use crate::support::{SOON, daemon, inspect, load_busybox, skip, wait_for_log};

const RUNC: &str = "io.containerd.runc.v2";

/// A daemon that knows runc by three names, and the path of that.
fn with_runc() -> Option<Daemon> {
    let Some(shim) = binary::on_path("containerd-shim-runc-v2") else {
        return skip("no containerd-shim-runc-v2 on PATH");
    };
    let Some(runc) = binary::on_path("runc") else { return skip("no runc on PATH") };
    let runtimes = json!({ "runtimes": {
        "mine": { "path": runc, "runtimeArgs": ["--debug"] },
        "typed": { "runtimeType": RUNC, "options": { "BinaryName": runc } },
        "path": { "runtimeType": shim },
    } });
    crate::support::docker_cli()?;
    let started = Daemon::start_with(|options| {
        let file = options.root.join("daemon.json");
        std::fs::write(&file, runtimes.to_string()).unwrap();
        options.flags.extend(["--config-file".into(), file.into()]);
    });
    let daemon = started.unwrap_or_else(|error| panic!("{error:#}"));
    load_busybox(&daemon);
    Some(daemon)
}

fn run(daemon: &Daemon, options: &[&str]) -> drua_e2e::Run {
    daemon.docker(["run", "--runtime", RUNC].into_iter().chain(options.iter().copied())).run()
}

#[test]
fn their_containers_run_under_all_names() {
    let Some(daemon) = with_runc() else { return };
    for name in [RUNC, "mine", "typed", "path"] {
        let script = "echo out; echo err >&2; cat; exit 3";
        let run =
            daemon.docker(["run", "--rm", "-i", "--runtime", name, "busybox", "sh", "-c", script]).input("in\n").run();
        run.exits(3).prints("out\nin\n").complains("err");
    }
    run(&daemon, &["--rm", "busybox", "nope"]).exits(127).complains("executable file not found");
    run(&daemon, &["--rm", "-t", "busybox", "sh", "-c", "test -t 1 && stty size"]).exits(0);
    let output = run(&daemon, &["--rm", "busybox", "sh", "-c", "seq 200000"]);
    assert_eq!(output.ok().lines().count(), 200_000);
    run(&daemon, &["--rm", "--init", "busybox"]).exits(125).complains("has no init");
    let unknown = daemon.docker(["run", "--rm", "--runtime", "io.containerd.nope.v1", "busybox"]).run();
    unknown.exits(125).complains("unknown or invalid runtime name: io.containerd.nope.v1");
    assert!(daemon.docker(["info", "-f", "{{json .Runtimes}}"]).run().ok().contains("\"mine\""));
}

#[test]
fn their_containers_live_as_ours_do() {
    let Some(mut daemon) = with_runc() else { return };
    let script = "trap 'exit 7' TERM; echo up; while true; do sleep 0.1; done";
    run(&daemon, &["-d", "--name", "box", "-p", "127.0.0.1::80", "-m", "64m", "busybox", "sh", "-c", script]).ok();
    wait_for_log(&daemon, "box", "up");
    let docker = |args: &[&str]| daemon.docker(args.iter().copied()).run();
    docker(&["exec", "box", "sh", "-c", "echo hi; exit 5"]).exits(5).prints("hi\n");
    daemon.docker(["exec", "-i", "box", "cat"]).input("through\n").run().prints("through\n").exits(0);
    docker(&["exec", "-t", "box", "sh", "-c", "test -t 0 && test -t 1"]).exits(0);
    docker(&["exec", "box", "nope"]).exits(127);
    assert!(docker(&["top", "box"]).ok().contains("sleep"));
    assert!(docker(&["stats", "--no-stream", "--format", "{{.MemUsage}}", "box"]).ok().ends_with("64MiB"));
    docker(&["update", "-m", "96m", "--memory-swap", "192m", "box"]).ok();
    docker(&["pause", "box"]).ok();
    assert_eq!(inspect(&daemon, "box", "{{.State.Status}}"), "paused");
    docker(&["unpause", "box"]).ok();
    docker(&["cp", "box:/etc/hostname", "-"]).ok();
    daemon.kill();
    daemon.restart().unwrap();
    let docker = |args: &[&str]| daemon.docker(args.iter().copied()).run();
    assert_eq!(inspect(&daemon, "box", "{{.State.Status}}"), "running");
    docker(&["exec", "box", "echo", "again"]).prints("again\n").exits(0);
    docker(&["stop", "box"]).ok();
    assert_eq!(inspect(&daemon, "box", "{{.State.ExitCode}}"), "7");
    docker(&["start", "box"]).ok();
    wait::until("the second run's words", SOON, || docker(&["logs", "box"]).ok().lines().count() == 2);
    docker(&["rm", "-f", "box"]).ok();
}

#[test]
fn memory_that_runs_out_is_seen() {
    let Some(daemon) = with_runc() else { return };
    let script = "x=$(head -c 100000000 /dev/zero | tr '\\0' x)";
    run(&daemon, &["--name", "greedy", "-m", "16m", "--memory-swap", "16m", "busybox", "sh", "-c", script]).exits(137);
    assert_eq!(inspect(&daemon, "greedy", "{{.State.OOMKilled}}"), "true");
    daemon.docker(["rm", "-f", "greedy"]).run().ok();
}

#[test]
fn names_of_runtimes_are_checked_at_start() {
    let Some(daemon) = daemon() else { return };
    let file = daemon.dir().join("check.json");
    for (runtimes, words) in [
        (json!({ "runc": { "path": "/usr/bin/runc" } }), "the name `runc` is drua's own"),
        (json!({ "x": {} }), "`x` needs a `path` or a `runtimeType`"),
        (json!({ "x": { "path": "bin/x" } }), "is no absolute path"),
        (json!({ "x": { "runtimeType": "io.containerd.nope.v1" } }), "containerd-shim-nope-v1"),
    ] {
        std::fs::write(&file, json!({ "runtimes": runtimes }).to_string()).unwrap();
        daemon.drua(["daemon", "--validate", "--config-file", file.to_str().unwrap()]).run().exits(1).complains(words);
    }
}
