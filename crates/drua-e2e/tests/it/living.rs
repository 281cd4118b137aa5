//! What goes on while containers run: health checks, statistics, limits that change, restarts, followers.

use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use drua_e2e::{Cmd, Daemon, wait};
use serde_json::Value;

use crate::support::{SOON, busybox, events, inspect, now, python_client, wait_for_log, wait_for_status};

const SLEEP: [&str; 2] = ["sleep", "1000"];

#[track_caller]
fn get(daemon: &Daemon, path: &str) -> Value {
    let answer = daemon.api("GET", path, "").unwrap();
    assert_eq!(answer.status, 200, "{}", answer.body);
    serde_json::from_str(&answer.body).unwrap()
}

#[track_caller]
fn health(daemon: &Daemon) -> Value {
    get(daemon, "/containers/box/json")["State"]["Health"].clone()
}

#[track_caller]
fn wait_for_health(daemon: &Daemon, status: &str) {
    wait::until(&format!("`box` to be {status}"), SOON, || health(daemon)["Status"] == status);
}

#[test]
fn health_follows_the_probe() {
    let Some(daemon) = busybox() else { return };
    let since = now();
    let check = ["--health-cmd", "echo probing; test -e /well", "--health-interval", "200ms", "--health-retries", "2"];
    daemon.docker(["run", "-d", "--name", "box"]).args(check).arg("busybox").args(SLEEP).run().ok();
    assert!(daemon.docker(["ps", "--format", "{{.Status}}"]).run().ok().ends_with("(health: starting)"));
    wait_for_health(&daemon, "unhealthy");
    let unhealthy = health(&daemon);
    assert!(unhealthy["FailingStreak"].as_u64().is_some_and(|streak| streak >= 2), "{unhealthy}");
    let first = &unhealthy["Log"][0];
    assert_eq!((&first["ExitCode"], &first["Output"]), (&1.into(), &"probing\n".into()), "{unhealthy}");
    daemon.docker(["exec", "box", "touch", "/well"]).run().exits(0);
    wait_for_health(&daemon, "healthy");
    assert!(daemon.docker(["ps", "--format", "{{.Status}}"]).run().ok().ends_with("(healthy)"));
    assert_eq!(daemon.docker(["ps", "-q", "--filter", "health=healthy"]).run().ok().lines().count(), 1);
    assert_eq!(daemon.docker(["ps", "-q", "--filter", "health=starting"]).run().ok(), "");
    wait::until("five results", SOON, || health(&daemon)["Log"].as_array().is_some_and(|log| log.len() == 5));
    let seen = events(&daemon, &since);
    let verdicts: Vec<&String> = seen.iter().filter(|event| event.contains("health_status")).collect();
    assert_eq!(verdicts, ["container health_status: unhealthy", "container health_status: healthy"]);
    daemon.docker(["stop", "-t", "0", "box"]).run().ok();
    assert_eq!(health(&daemon)["Status"], "unhealthy");
}

#[test]
fn a_probe_that_hangs_is_ended() {
    let Some(daemon) = busybox() else { return };
    let check = [
        "--health-cmd",
        "echo begun; sleep 1000",
        "--health-interval",
        "100ms",
        "--health-timeout",
        "500ms",
        "--health-retries",
        "1",
    ];
    daemon.docker(["run", "-d", "--name", "box"]).args(check).arg("busybox").args(SLEEP).run().ok();
    wait_for_health(&daemon, "unhealthy");
    let result = health(&daemon)["Log"][0].clone();
    assert_eq!(result["ExitCode"], -1);
    assert!(result["Output"].as_str().unwrap().starts_with("Health check exceeded timeout (500ms)"), "{result}");
    let processes = || daemon.docker(["top", "box"]).run().ok().lines().count();
    // The title, the container's own, and at most one probe with its child.
    assert!(processes() <= 4, "probes pile up");
}

#[test]
fn failures_do_not_count_in_the_start_period() {
    let Some(daemon) = busybox() else { return };
    let check = [
        "--health-cmd",
        "test -e /well",
        "--health-interval",
        "1h",
        "--health-start-period",
        "1h",
        "--health-start-interval",
        "100ms",
        "--health-retries",
        "1",
    ];
    daemon.docker(["run", "-d", "--name", "box"]).args(check).arg("busybox").args(SLEEP).run().ok();
    wait::until("some failures", SOON, || health(&daemon)["Log"].as_array().is_some_and(|log| log.len() >= 3));
    let state = health(&daemon);
    assert_eq!((&state["Status"], &state["FailingStreak"]), (&"starting".into(), &0.into()));
    daemon.docker(["exec", "box", "touch", "/well"]).run().exits(0);
    wait_for_health(&daemon, "healthy");
}

#[test]
fn health_survives_the_daemon() {
    let Some(mut daemon) = busybox() else { return };
    let check = [
        "--health-cmd",
        "test -e /well || sleep 2; test -e /well",
        "--health-interval",
        "200ms",
        "--health-retries",
        "1",
    ];
    daemon.docker(["run", "-d", "--name", "box"]).args(check).arg("busybox").args(SLEEP).run().ok();
    wait_for_health(&daemon, "unhealthy");
    // In the midst of a probe, most likely.
    daemon.kill();
    daemon.restart().unwrap();
    assert_eq!(health(&daemon)["Status"], "unhealthy");
    daemon.docker(["exec", "box", "touch", "/well"]).run().exits(0);
    wait_for_health(&daemon, "healthy");
}

#[test]
fn images_bring_their_health_check() {
    let Some(daemon) = busybox() else { return };
    daemon.docker(["create", "--name", "plain", "--no-healthcheck", "busybox", "true"]).run().ok();
    assert_eq!(get(&daemon, "/containers/plain/json")["State"]["Health"], Value::Null);
    assert_eq!(get(&daemon, "/containers/plain/json")["Config"]["Healthcheck"]["Test"][0], "NONE");
    let (status, _) = {
        let body = r#"{"Image":"busybox","Healthcheck":{"Test":["CMD","true"],"Interval":1}}"#;
        let answer = daemon.api("POST", "/containers/create", body).unwrap();
        (answer.status, answer.body)
    };
    assert_eq!(status, 400, "an interval of one nanosecond");
}

#[test]
fn statistics_grow() {
    let Some(daemon) = busybox() else { return };
    let busy = "while :; do :; done";
    daemon
        .docker(["run", "-d", "--name", "box", "-m", "64m", "--pids-limit", "50", "busybox", "sh", "-c", busy])
        .run()
        .ok();
    let one_shot = get(&daemon, "/containers/box/stats?stream=0&one-shot=1");
    assert_eq!(one_shot["precpu_stats"]["cpu_usage"]["total_usage"], 0);
    let both = get(&daemon, "/containers/box/stats?stream=0");
    let usage = |stats: &Value| stats["cpu_usage"]["total_usage"].as_u64().unwrap();
    assert!(usage(&both["cpu_stats"]) > usage(&both["precpu_stats"]) && usage(&both["precpu_stats"]) > 0, "{both}");
    assert!(both["cpu_stats"]["system_cpu_usage"].as_u64() > both["precpu_stats"]["system_cpu_usage"].as_u64());
    assert!(both["cpu_stats"]["online_cpus"].as_u64().is_some_and(|cpus| cpus > 0));
    assert_eq!(both["memory_stats"]["limit"], 64 << 20);
    assert!(both["memory_stats"]["usage"].as_u64().is_some_and(|bytes| bytes > 0), "{both}");
    assert_eq!((&both["pids_stats"]["current"], &both["pids_stats"]["limit"]), (&1.into(), &50.into()));
    assert!(both["networks"]["eth0"]["rx_bytes"].is_u64() && both["name"] == "/box", "{both}");
    for client in [
        daemon.docker(["stats", "--no-stream", "--format", "{{.Name}} {{.CPUPerc}} {{.MemUsage}} {{.PIDs}}", "box"]),
        daemon.drua(["stats", "--no-stream", "--format", "{{.Name}} {{.CPUPerc}} {{.MemUsage}} {{.PIDs}}", "box"]),
    ] {
        let run = client.run();
        let words: Vec<&str> = run.ok().split_whitespace().collect();
        assert!(words[1].trim_end_matches('%').parse::<f64>().unwrap() > 0.0, "{run}");
        assert_eq!((words[0], words[4], words[5]), ("box", "64MiB", "1"), "{run}");
    }
    daemon.docker(["kill", "box"]).run().ok();
    wait_for_status(&daemon, "box", "exited");
    let stopped = get(&daemon, "/containers/box/stats?stream=0");
    assert_eq!((&stopped["read"], &stopped["memory_stats"]), (&"0001-01-01T00:00:00Z".into(), &serde_json::json!({})));
}

#[test]
fn top_takes_options_of_ps() {
    let Some(daemon) = busybox() else { return };
    daemon.docker(["run", "-d", "--name", "box", "busybox", "sh", "-c", "sleep 1000; true"]).run().ok();
    wait::until("the child", SOON, || get(&daemon, "/containers/box/top")["Processes"].as_array().unwrap().len() == 2);
    if drua_e2e::binary::on_path("ps").is_some() {
        let table = get(&daemon, "/containers/box/top?ps_args=-o+pid,args");
        assert_eq!(table["Titles"], serde_json::json!(["PID", "COMMAND"]));
        let commands: Vec<&str> =
            table["Processes"].as_array().unwrap().iter().map(|row| row[1].as_str().unwrap()).collect();
        assert_eq!(commands, ["sh -c sleep 1000; true", "sleep 1000"]);
        let answer = daemon.api("GET", "/containers/box/top?ps_args=-o+args", "").unwrap();
        assert_eq!(answer.status, 400, "{}", answer.body);
        // Words, not a shell's.
        let answer = daemon.api("GET", "/containers/box/top?ps_args=;touch+/tmp/drua-e2e-top", "").unwrap();
        assert_eq!(answer.status, 400, "{}", answer.body);
    }
    daemon.docker(["stop", "-t", "0", "box"]).run().ok();
    assert_eq!(daemon.api("GET", "/containers/box/top", "").unwrap().status, 409);
}

#[test]
fn limits_change_while_it_runs() {
    let Some(daemon) = busybox() else { return };
    daemon.docker(["run", "-d", "--name", "box", "-m", "64m", "busybox"]).args(SLEEP).run().ok();
    let since = now();
    daemon
        .docker(["update", "-m", "128m", "--memory-swap", "256m", "--pids-limit", "33", "--cpus", "0.5", "box"])
        .run()
        .prints("box\n")
        .ok();
    let stats = get(&daemon, "/containers/box/stats?stream=0&one-shot=1");
    assert_eq!(stats["memory_stats"]["limit"], 128 << 20);
    assert_eq!(stats["pids_stats"]["limit"], 33);
    assert_eq!(inspect(&daemon, "box", "{{.HostConfig.Memory}} {{.HostConfig.NanoCpus}}"), "134217728 500000000");
    assert!(events(&daemon, &since).contains(&"container update".to_owned()));
    daemon.drua(["update", "--restart", "on-failure:3", "--memory", "100m", "box"]).run().prints("box\n").ok();
    assert_eq!(
        inspect(
            &daemon,
            "box",
            "{{.HostConfig.RestartPolicy.Name}} {{.HostConfig.RestartPolicy.MaximumRetryCount}} {{.HostConfig.Memory}}"
        ),
        "on-failure 3 104857600"
    );
    daemon.docker(["update", "-m", "1m", "box"]).run().exits(1).complains("Minimum memory limit allowed is 6MB");
    daemon.docker(["update", "-m", "1g", "box"]).run().exits(1).complains("memoryswap");
    daemon.docker(["stop", "-t", "0", "box"]).run().ok();
    daemon.docker(["update", "-m", "32m", "--memory-swap", "32m", "box"]).run().ok();
    daemon.docker(["start", "box"]).run().ok();
    assert_eq!(get(&daemon, "/containers/box/stats?stream=0&one-shot=1")["memory_stats"]["limit"], 32 << 20);
}

#[test]
fn restarts_back_off() {
    let Some(daemon) = busybox() else { return };
    let since = now();
    let begin = Instant::now();
    daemon.docker(["run", "-d", "--name", "box", "--restart", "on-failure:4", "busybox", "false"]).run().ok();
    wait::until("four restarts", SOON, || inspect(&daemon, "box", "{{.RestartCount}} {{.State.Status}}") == "4 exited");
    // 100, 200, 400 and 800 ms.
    assert!(begin.elapsed() >= Duration::from_millis(1500), "{:?}", begin.elapsed());
    let seen = events(&daemon, &since);
    let count = |event: &str| seen.iter().filter(|seen| *seen == event).count();
    assert_eq!((count("container die"), count("container start"), count("container restart")), (5, 5, 0), "{seen:?}");
    daemon.docker(["start", "box"]).run().ok();
    wait::until("the count to begin anew", SOON, || {
        inspect(&daemon, "box", "{{.RestartCount}} {{.State.Status}}") == "4 exited"
    });
    daemon.docker(["run", "-d", "--name", "always", "--restart", "always", "busybox", "false"]).run().ok();
    wait_for_status(&daemon, "always", "restarting");
    daemon.docker(["stop", "always"]).run().ok();
    assert_eq!(inspect(&daemon, "always", "{{.State.Status}}"), "exited");
}

#[test]
fn unless_stopped_remembers_who_stopped_it() {
    let Some(mut daemon) = busybox() else { return };
    for name in ["stopped", "running"] {
        daemon.docker(["run", "-d", "--name", name, "--restart", "unless-stopped", "busybox"]).args(SLEEP).run().ok();
    }
    daemon.docker(["stop", "-t", "0", "stopped"]).run().ok();
    let init = inspect(&daemon, "running", "{{.State.Pid}}");
    daemon.kill();
    let pid = rustix::process::Pid::from_raw(init.parse().unwrap()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
    daemon.restart().unwrap();
    wait::until("the restart", SOON, || {
        let state = inspect(&daemon, "running", "{{.State.Status}} {{.State.Pid}}");
        state.starts_with("running ") && state != format!("running {init}")
    });
    assert_eq!(inspect(&daemon, "stopped", "{{.State.Status}}"), "exited");
}

#[test]
fn waits_end_as_they_should() {
    let Some(daemon) = busybox() else { return };
    daemon
        .docker(["create", "--name", "box", "busybox", "sh", "-c", "until [ -e /go ]; do usleep 10000; done; exit 6"])
        .run()
        .ok();
    let wait_for = |condition: &str| {
        let (socket, path) = (daemon.options.socket(), format!("/containers/box/wait?condition={condition}"));
        std::thread::spawn(move || drua_e2e::http::unix(&socket, "POST", &path, "").unwrap().body)
    };
    let code = |body: String| serde_json::from_str::<Value>(&body).unwrap()["StatusCode"].clone();
    assert_eq!(code(wait_for("not-running").join().unwrap()), 0, "it was never started");
    let (next, removed) = (wait_for("next-exit"), wait_for("removed"));
    daemon.docker(["start", "box"]).run().ok();
    let stopped = wait_for("not-running");
    let pid = inspect(&daemon, "box", "{{.State.Pid}}");
    fs_err::write(format!("/proc/{pid}/root/go"), "").unwrap();
    // Those that came too late for the exit are answered by the state.
    assert_eq!(code(stopped.join().unwrap()), 6);
    daemon.docker(["rm", "-f", "box"]).run().ok();
    for waiter in [next, removed] {
        let code = code(waiter.join().unwrap());
        assert!(code == 6 || code == 0, "{code}");
    }
    assert_eq!(daemon.api("POST", "/containers/box/wait?condition=nonsense", "").unwrap().status, 400);
    assert_eq!(daemon.api("POST", "/containers/box/wait", "").unwrap().status, 404);
}

#[test]
fn followers_cost_one_watch() {
    let Some(daemon) = busybox() else { return };
    let script = "until [ -e /go ]; do usleep 20000; done; echo last";
    daemon.docker(["run", "-d", "--name", "box", "busybox", "sh", "-c", script]).run().ok();
    let mut followers: Vec<UnixStream> = (0..300)
        .map(|_| {
            let mut stream = UnixStream::connect(daemon.options.socket()).unwrap();
            stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
            let request = "GET /containers/box/logs?follow=1&stdout=1 HTTP/1.1\r\nHost: d\r\nConnection: close\r\n\r\n";
            stream.write_all(request.as_bytes()).unwrap();
            let mut status = [0; 12];
            stream.read_exact(&mut status).unwrap();
            assert_eq!(&status, b"HTTP/1.1 200", "headers come before any output");
            stream
        })
        .collect();
    let pid = inspect(&daemon, "box", "{{.State.Pid}}");
    fs_err::write(format!("/proc/{pid}/root/go"), "").unwrap();
    for follower in &mut followers {
        let mut rest = String::new();
        follower.read_to_string(&mut rest).unwrap();
        assert!(rest.contains("last\n"), "{rest:?}");
    }
    daemon.docker(["ps"]).run().ok();
}

#[test]
fn a_follower_leaves_at_its_time() {
    let Some(daemon) = busybox() else { return };
    daemon.docker(["run", "-d", "--name", "box", "busybox", "sh", "-c", "echo first; sleep 1000"]).run().ok();
    wait_for_log(&daemon, "box", "first\n");
    let begin = Instant::now();
    daemon.docker(["logs", "-f", "--until", "1s", "box"]).run().exits(0);
    assert!(begin.elapsed() < Duration::from_secs(40));
}

#[test]
fn a_websocket_attaches() {
    let Some(daemon) = busybox() else { return };
    daemon.docker(["run", "-di", "--name", "box", "busybox", "sh", "-c", "read x; echo got $x"]).run().ok();
    let mut stream = UnixStream::connect(daemon.options.socket()).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    let request = "GET /v1.50/containers/box/attach/ws?stream=1&stdin=1&stdout=1 HTTP/1.1\r\nHost: d\r\nUpgrade: websocket\r\n\
                   Connection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n";
    stream.write_all(request.as_bytes()).unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).unwrap();
        head.push(byte[0]);
    }
    let head = String::from_utf8(head).unwrap();
    assert!(head.starts_with("HTTP/1.1 101 ") && head.contains("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="), "{head}");
    // A masked binary frame, its mask all zero.
    stream.write_all(b"\x82\x86\0\0\0\0hello\n").unwrap();
    let mut answer = vec![0; 12];
    stream.read_exact(&mut answer).unwrap();
    assert_eq!(answer, b"\x82\x0agot hello\n");
    let mut end = Vec::new();
    stream.read_to_end(&mut end).unwrap();
    assert_eq!(end, b"\x88\x02\x03\xe8", "a normal close");
    assert_eq!(daemon.api("GET", "/containers/box/attach/ws", "").unwrap().status, 400);
}

const DOCKER_PY: &str = r#"
import docker
client = docker.from_env()
check = {"test": ["CMD", "true"], "interval": 100_000_000}
box = client.containers.run("busybox", ["sleep", "1000"], detach=True, name="box", healthcheck=check)
for number in range(30):
    code, output = box.exec_run(["sh", "-c", f"echo {number}; exit 3"])
    assert (code, output) == (3, f"{number}\n".encode()), (code, output)
code, (out, err) = box.exec_run(["sh", "-c", "echo out; echo err >&2"], demux=True)
assert (out, err) == (b"out\n", b"err\n"), (out, err)
code, stream = box.exec_run(["sh", "-c", "echo a; echo b"], stream=True)
assert b"".join(stream) == b"a\nb\n"
id = client.api.exec_create(box.id, ["cat"], stdin=True)["Id"]
sock = client.api.exec_start(id, socket=True)._sock
sock.sendall(b"text")
import socket
sock.shutdown(socket.SHUT_WR)
data = b""
while chunk := sock.recv(4096):
    data += chunk
assert data.endswith(b"text"), data
assert client.api.exec_inspect(id)["ExitCode"] == 0
stats = box.stats(stream=False)
assert stats["precpu_stats"]["system_cpu_usage"] < stats["cpu_stats"]["system_cpu_usage"]
for sample in box.stats(decode=True):
    assert sample["name"] == "/box"
    break
assert "PID" in box.top()["Titles"]
assert box.top(ps_args="-o pid,args")["Processes"][0][1] == "sleep 1000"
box.update(mem_limit="64m", memswap_limit="64m")
box.pause(); box.reload(); assert box.status == "paused"
try:
    box.exec_run(["true"])
    raise SystemExit("no error")
except docker.errors.APIError as error:
    assert error.status_code == 409, error
box.unpause(); box.rename("other"); box.reload(); assert box.name == "other"
assert box.health in ("starting", "healthy"), box.health
box.remove(force=True)
print("all well")
"#;

#[test]
fn docker_py_lives_with_it() {
    let Some(python) = python_client("python") else { return };
    let Some(daemon) = busybox() else { return };
    let run = Cmd::new(python).args(["-c", DOCKER_PY]).env("DOCKER_HOST", daemon.options.host()).run();
    run.exits(0).prints("all well\n");
}
