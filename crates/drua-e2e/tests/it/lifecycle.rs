//! ps, logs, attach, stop, kill, wait, rm, inspect, events.

use std::time::{Duration, Instant};

use drua_e2e::guest;

use crate::support::{SOON, busybox, events, inspect, load, now, wait_for_log, wait_for_status, wasm_image};
use drua_e2e::wait;

const SLEEP: [&str; 2] = ["sleep", "1000"];

#[test]
fn ps_lists_running_and_all() {
    let Some(daemon) = busybox() else { return };
    daemon.docker(["run", "-d", "--name", "up", "busybox"]).args(SLEEP).run().ok();
    daemon.docker(["run", "--name", "down", "busybox", "sh", "-c", "exit 3"]).run().exits(3);
    daemon.docker(["create", "--name", "new", "busybox", "true"]).run().ok();
    assert_eq!(daemon.docker(["ps", "--format", "{{.Names}}"]).run().ok(), "up");
    let all = daemon.docker(["ps", "-a", "--format", "{{.Names}}|{{.Image}}|{{.Command}}|{{.Status}}"]).run();
    let lines: Vec<&str> = all.ok().lines().collect();
    assert_eq!(lines[0], r#"new|busybox|"true"|Created"#);
    assert!(lines[1].starts_with(r#"down|busybox|"sh -c 'exit 3'"|Exited (3) "#), "{all}");
    assert!(lines[2].starts_with(r#"up|busybox|"sleep 1000"|Up "#), "{all}");
    let filtered = daemon.docker(["ps", "-a", "--filter", "status=exited", "--format", "{{.Names}}"]).run();
    assert_eq!(filtered.ok(), "down");
    let filtered = daemon.docker(["ps", "-a", "--filter", "name=^/n", "--format", "{{.Names}}"]).run();
    assert_eq!(filtered.ok(), "new");
}

#[test]
fn logs_can_be_cut_stamped_and_followed() {
    let Some(daemon) = busybox() else { return };
    daemon.docker(["run", "--name", "box", "busybox", "sh", "-c", "seq 5; echo err >&2"]).run().ok();
    let logs = daemon.docker(["logs", "box"]).run();
    logs.prints("1\n2\n3\n4\n5\n");
    assert_eq!(logs.stderr, "err\n");
    let tail = daemon.docker(["logs", "--tail", "2", "box"]).run();
    assert_eq!(format!("{}{}", tail.stdout, tail.stderr).lines().count(), 2);
    let stamped = daemon.docker(["logs", "-t", "--tail", "all", "box"]).run();
    let line = stamped.stdout.lines().next().unwrap().to_owned();
    let (time, text) = line.split_once(' ').unwrap();
    assert_eq!((time.len(), &time[10..11], &time[29..], text), (30, "T", "Z", "1"), "{line}");
    let script = "echo first; until [ -e /go ]; do usleep 10000; done; echo last";
    daemon.docker(["run", "-d", "--name", "talker", "busybox", "sh", "-c", script]).run().ok();
    let follower = daemon.docker(["logs", "-f", "talker"]).session();
    follower.wait_for("first\n");
    let pid = inspect(&daemon, "talker", "{{.State.Pid}}");
    fs_err::write(format!("/proc/{pid}/root/go"), "").unwrap();
    follower.finish().prints("first\nlast\n").exits(0);
}

#[test]
fn long_lines_stay_whole() {
    let Some(daemon) = busybox() else { return };
    let script = "head -c 100000 /dev/zero | tr '\\0' x; echo";
    let run = daemon.docker(["run", "--name", "box", "busybox", "sh", "-c", script]).run();
    assert_eq!(run.stdout.len(), 100_001);
    assert_eq!(daemon.docker(["logs", "box"]).run().stdout, run.stdout);
}

#[test]
fn attach_sees_output_and_feeds_input() {
    let Some(daemon) = busybox() else { return };
    daemon
        .docker([
            "run",
            "-d",
            "-i",
            "--name",
            "box",
            "busybox",
            "sh",
            "-c",
            "while read x; do [ $x = quit ] && exit 4; echo got $x; done",
        ])
        .run()
        .ok();
    let mut attached = daemon.docker(["attach", "box"]).session();
    attached.type_in("one\n");
    attached.wait_for("got one\n");
    attached.type_in("quit\n");
    attached.finish().exits(4);
    wait_for_status(&daemon, "box", "exited");
    assert_eq!(daemon.docker(["logs", "box"]).run().ok(), "got one");
}

#[test]
fn a_vanished_client_does_not_hurt_the_container() {
    let Some(daemon) = busybox() else { return };
    daemon
        .docker(["run", "-d", "--name", "box", "busybox", "sh", "-c", "while :; do echo tick; usleep 10000; done"])
        .run()
        .ok();
    let attached = daemon.docker(["attach", "--no-stdin", "--sig-proxy=false", "box"]).session();
    attached.wait_for("tick\n");
    attached.kill();
    let before = daemon.docker(["logs", "box"]).run().stdout.len();
    wait::until("more output", SOON, || daemon.docker(["logs", "box"]).run().stdout.len() > before);
    assert_eq!(inspect(&daemon, "box", "{{.State.Running}}"), "true");
}

#[test]
fn stop_asks_then_insists() {
    let Some(daemon) = busybox() else { return };
    let polite = "trap 'echo bye; exit 5' TERM; echo ready; while :; do usleep 10000; done";
    daemon.docker(["run", "-d", "--name", "polite", "busybox", "sh", "-c", polite]).run().ok();
    wait_for_log(&daemon, "polite", "ready");
    daemon.docker(["stop", "polite"]).run().prints("polite\n").ok();
    assert_eq!(inspect(&daemon, "polite", "{{.State.ExitCode}}"), "5");
    assert!(daemon.docker(["logs", "polite"]).run().ok().ends_with("bye"));
    daemon.docker(["run", "-d", "--name", "deaf", "busybox"]).args(SLEEP).run().ok();
    let start = Instant::now();
    daemon.docker(["stop", "-t", "1", "deaf"]).run().ok();
    let taken = start.elapsed();
    assert!(taken >= Duration::from_secs(1) && taken < Duration::from_secs(8), "{taken:?}");
    assert_eq!(inspect(&daemon, "deaf", "{{.State.ExitCode}}"), "137");
    daemon.docker(["stop", "deaf"]).run().ok();
}

#[test]
fn kill_sends_any_signal() {
    let Some(daemon) = busybox() else { return };
    let script = "trap 'echo usr1' USR1; echo ready; while :; do usleep 10000; done";
    daemon.docker(["run", "-d", "--name", "box", "busybox", "sh", "-c", script]).run().ok();
    wait_for_log(&daemon, "box", "ready");
    daemon.docker(["kill", "-s", "USR1", "box"]).run().ok();
    wait_for_log(&daemon, "box", "usr1");
    daemon.docker(["kill", "-s", "NOPE", "box"]).run().exits(1);
    daemon.docker(["kill", "box"]).run().ok();
    wait_for_status(&daemon, "box", "exited");
    assert_eq!(inspect(&daemon, "box", "{{.State.ExitCode}}"), "137");
    daemon.docker(["kill", "box"]).run().exits(1).complains("is not running");
}

#[test]
fn wait_reports_the_exit_code() {
    let Some(daemon) = busybox() else { return };
    daemon
        .docker([
            "run",
            "-d",
            "--name",
            "box",
            "busybox",
            "sh",
            "-c",
            "until [ -e /go ]; do usleep 10000; done; exit 9",
        ])
        .run()
        .ok();
    let waiter = daemon.docker(["wait", "box"]).session();
    let pid = inspect(&daemon, "box", "{{.State.Pid}}");
    fs_err::write(format!("/proc/{pid}/root/go"), "").unwrap();
    waiter.finish().prints("9\n").exits(0);
    daemon.docker(["wait", "box"]).run().prints("9\n").ok();
}

#[test]
fn rm_wants_force_for_a_running_container() {
    let Some(daemon) = busybox() else { return };
    daemon.docker(["run", "-d", "--name", "box", "busybox"]).args(SLEEP).run().ok();
    let refusal = "stop the container before removing or force remove";
    daemon.docker(["rm", "box"]).run().exits(1).complains(refusal);
    daemon.docker(["rm", "-f", "box"]).run().prints("box\n").ok();
    daemon.docker(["rm", "box"]).run().exits(1).complains("No such container: box");
    assert!(!fs_err::read_dir(daemon.dir().join("data/containers")).unwrap().any(|_| true), "files are left");
}

#[test]
fn names_are_unique() {
    let Some(daemon) = busybox() else { return };
    daemon.docker(["create", "--name", "taken", "busybox"]).run().ok();
    let run = daemon.docker(["run", "--name", "taken", "busybox"]).run();
    run.exits(125).complains("Conflict. The container name \"/taken\" is already in use by container");
    daemon.docker(["create", "--name", "-bad-", "busybox"]).run().exits(1);
    daemon.docker(["rename", "taken", "free"]).run().ok();
    daemon.docker(["create", "--name", "taken", "busybox"]).run().ok();
}

#[test]
fn a_container_starts_again() {
    let Some(daemon) = busybox() else { return };
    daemon
        .docker(["run", "--name", "box", "busybox", "sh", "-c", "echo run >> /count; wc -l < /count"])
        .run()
        .prints("1\n")
        .ok();
    daemon.docker(["start", "-a", "box"]).run().prints("2\n").ok();
    daemon.docker(["restart", "box"]).run().ok();
    wait_for_status(&daemon, "box", "exited");
    assert_eq!(daemon.docker(["logs", "box"]).run().ok(), "1\n2\n3");
}

#[test]
fn inspect_has_what_clients_read() {
    let Some(daemon) = busybox() else { return };
    daemon.docker(["run", "-d", "--name", "box", "-l", "k=v", "-p", "127.0.0.1::80", "busybox"]).args(SLEEP).run().ok();
    let run = daemon.docker(["inspect", "box"]).run();
    let json: serde_json::Value = serde_json::from_str(run.ok()).unwrap();
    let container = &json[0];
    assert_eq!(container["Name"], "/box");
    assert_eq!(container["State"]["Status"], "running");
    assert_eq!(container["State"]["FinishedAt"], "0001-01-01T00:00:00Z");
    assert_eq!(container["Config"]["Labels"]["k"], "v");
    assert_eq!(container["HostConfig"]["LogConfig"]["Type"], "json-file");
    assert_eq!(container["HostConfig"]["ShmSize"], 67_108_864);
    assert!(
        container["NetworkSettings"]["Networks"]["bridge"]["IPAddress"]
            .as_str()
            .is_some_and(|ip| ip.starts_with("10."))
    );
    assert!(container["NetworkSettings"]["Ports"]["80/tcp"][0]["HostPort"].is_string());
    for key in ["Id", "Created", "Path", "Args", "Image", "ResolvConfPath", "HostsPath", "LogPath", "Mounts", "Driver"]
    {
        assert!(!container[key].is_null(), "`{key}` is missing");
    }
    let id = container["Id"].as_str().unwrap();
    assert_eq!(inspect(&daemon, &id[..6], "{{.Name}}"), "/box");
}

#[test]
fn events_tell_the_story_in_order() {
    let Some(daemon) = busybox() else { return };
    load(&daemon, &wasm_image("app", &guest::module(guest::EXIT)));
    for (options, code) in [(vec!["busybox", "true"], 0), (vec!["--platform", "wasi/wasm", "app"], 42)] {
        let since = now();
        daemon.docker(["run", "--rm"]).args(options).run().exits(code);
        let expected = [
            "container create",
            "container attach",
            "network connect",
            "container start",
            "container die",
            "network disconnect",
            "container destroy",
        ];
        wait::until("the last event", SOON, || events(&daemon, &since).contains(&"container destroy".to_owned()));
        assert_eq!(events(&daemon, &since), expected);
    }
}

#[test]
fn pause_and_unpause() {
    let Some(daemon) = busybox() else { return };
    daemon.docker(["run", "-d", "--name", "box", "busybox"]).args(SLEEP).run().ok();
    daemon.docker(["pause", "box"]).run().ok();
    assert!(daemon.docker(["ps", "--format", "{{.Status}}"]).run().ok().ends_with("(Paused)"));
    daemon.docker(["unpause", "box"]).run().ok();
    assert_eq!(inspect(&daemon, "box", "{{.State.Status}}"), "running");
}

#[test]
fn restart_policies_restart() {
    let Some(daemon) = busybox() else { return };
    daemon.docker(["run", "-d", "--name", "box", "--restart", "on-failure:2", "busybox", "false"]).run().ok();
    wait::until("two restarts", SOON, || inspect(&daemon, "box", "{{.RestartCount}} {{.State.Status}}") == "2 exited");
}
