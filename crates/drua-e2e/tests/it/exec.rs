//! `docker exec`: streams, terminals, users, failures, and what happens when somebody goes away.

use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use drua_e2e::{Cmd, Daemon, guest, wait};
use serde_json::Value;

use crate::support::{SOON, busybox, inspect, load, now, python_client, wait_for_log, wait_for_status, wasm_image};

/// A daemon with a container `box` that sleeps.
#[track_caller]
fn sleeping() -> Option<Daemon> {
    let daemon = busybox()?;
    daemon.docker(["run", "-d", "--name", "box", "busybox", "sleep", "1000"]).run().ok();
    Some(daemon)
}

#[track_caller]
fn json(daemon: &Daemon, method: &str, path: &str, body: &str) -> (u16, Value) {
    let answer = daemon.api(method, path, body).unwrap();
    (answer.status, serde_json::from_str(&answer.body).unwrap_or_default())
}

/// Prepares an exec over the API.
#[track_caller]
fn create(daemon: &Daemon, body: &str) -> String {
    let (status, answer) = json(daemon, "POST", "/containers/box/exec", body);
    assert_eq!(status, 201, "{answer}");
    answer["Id"].as_str().unwrap().to_owned()
}

#[test]
fn commands_run_beside_what_runs() {
    let Some(daemon) = sleeping() else { return };
    let run = daemon.docker(["exec", "box", "sh", "-c", "echo out; echo err >&2; exit 7"]).run();
    run.exits(7).prints("out\n").complains("err\n");
    daemon.docker(["exec", "-i", "box", "sh", "-c", "cat; echo end"]).input("in\n").run().prints("in\nend\n").exits(0);
    daemon
        .docker(["exec", "-w", "/tmp", "-e", "A=1", "-e", "PATH=/bin", "box", "sh", "-c", "pwd; echo $A $PATH $HOME"])
        .run()
        .prints("/tmp\n1 /bin /root\n")
        .exits(0);
    let ids = daemon.docker(["exec", "-u", "1234:56", "box", "sh", "-c", "id -u; id -g"]).run();
    ids.prints("1234\n56\n").exits(0);
    let capabilities = |options: &[&str]| {
        let run = daemon.docker(["exec"]).args(options).args(["box", "grep", "CapEff", "/proc/self/status"]).run();
        u64::from_str_radix(run.ok().rsplit('\t').next().unwrap(), 16).unwrap()
    };
    let (ordinary, privileged) = (capabilities(&[]), capabilities(&["--privileged"]));
    assert!(privileged & !ordinary != 0 && ordinary & !privileged == 0, "{ordinary:x} {privileged:x}");
    let pid = inspect(&daemon, "box", "{{.State.Pid}}");
    daemon.docker(["exec", "-d", "box", "sh", "-c", "echo done > /flag"]).run().prints("").exits(0);
    let flag = format!("/proc/{pid}/root/flag");
    wait::until("the detached command", SOON, || fs_err::read_to_string(&flag).is_ok_and(|text| text == "done\n"));
}

#[test]
fn drua_execs_too() {
    let Some(daemon) = sleeping() else { return };
    let run = daemon.drua(["exec", "-i", "-w", "/", "box", "sh", "-c", "cat; echo err >&2; exit 3"]).input("x").run();
    run.exits(3).prints("x").complains("err\n");
    daemon.drua(["exec", "-d", "box", "true"]).run().prints("").exits(0);
    daemon.drua(["exec", "box", "nope"]).run().exits(127);
}

#[test]
fn names_of_users_are_the_images() {
    let Some(daemon) = sleeping() else { return };
    let script = "echo 'web:x:33:34::/srv:/bin/sh' >> /etc/passwd; echo 'extra:x:77:web' >> /etc/group";
    daemon.docker(["exec", "box", "sh", "-c", script]).run().exits(0);
    let run = daemon.docker(["exec", "-u", "web", "box", "sh", "-c", "id -u; id -g; id -G; echo $HOME"]).run();
    run.prints("33\n34\n34 77\n/srv\n").exits(0);
    let run = daemon.docker(["exec", "-u", "nobodyatall", "box", "true"]).run();
    assert_eq!(run.code(), Some(126), "{run}");
    assert!(format!("{}{}", run.stdout, run.stderr).contains("unable to find user nobodyatall"), "{run}");
}

#[test]
fn what_cannot_be_run_has_dockers_codes() {
    let Some(daemon) = sleeping() else { return };
    for (command, code, words) in [("nope", 127, "executable file not found in $PATH"), ("/etc", 126, "is a directory")]
    {
        let run = daemon.docker(["exec", "box", command]).run();
        run.exits(code);
        assert!(format!("{}{}", run.stdout, run.stderr).contains(words), "{run}");
    }
    let run = daemon.docker(["exec", "-w", "/no/where", "box", "true"]).run();
    assert!(matches!(run.code(), Some(126 | 127)), "{run}");
}

#[test]
fn the_state_of_the_container_counts() {
    let Some(daemon) = sleeping() else { return };
    let id = create(&daemon, r#"{"Cmd":["true"]}"#);
    let post = |path: &str, body: &str| json(&daemon, "POST", path, body);
    assert_eq!(post("/containers/box/exec", "{}").0, 400);
    assert_eq!(post("/containers/nobody/exec", r#"{"Cmd":["true"]}"#).0, 404);
    assert_eq!(post("/exec/0123/start", "{}").0, 404);
    assert_eq!(json(&daemon, "GET", "/exec/0123/json", "").0, 404);
    daemon.docker(["pause", "box"]).run().ok();
    let (status, answer) = post("/containers/box/exec", r#"{"Cmd":["true"]}"#);
    assert_eq!(status, 409);
    assert!(answer["message"].as_str().unwrap().contains("is paused, unpause the container before exec"), "{answer}");
    assert_eq!(post(&format!("/exec/{id}/start"), r#"{"Detach":true}"#).0, 409);
    daemon.docker(["unpause", "box"]).run().ok();
    assert_eq!(post(&format!("/exec/{id}/start"), r#"{"Detach":true}"#).0, 200);
    let (status, answer) = post(&format!("/exec/{id}/start"), r#"{"Detach":true}"#);
    assert_eq!(status, 409, "{answer}");
    let id = create(&daemon, r#"{"Cmd":["true"]}"#);
    daemon.docker(["kill", "box"]).run().ok();
    wait_for_status(&daemon, "box", "exited");
    let (status, answer) = post("/containers/box/exec", r#"{"Cmd":["true"]}"#);
    assert_eq!(status, 409);
    assert!(answer["message"].as_str().unwrap().ends_with("is not running"), "{answer}");
    assert_eq!(post(&format!("/exec/{id}/start"), r#"{"Detach":true}"#).0, 409);
    daemon.docker(["rm", "box"]).run().ok();
    assert_eq!(post(&format!("/exec/{id}/start"), "{}").0, 404);
    assert_eq!(json(&daemon, "GET", &format!("/exec/{id}/json"), "").0, 404);
}

#[test]
fn the_exit_code_is_final_when_the_stream_ends() {
    let Some(daemon) = sleeping() else { return };
    for round in 0..20 {
        let body = format!(r#"{{"AttachStdout":true,"Cmd":["sh","-c","echo {round}; exit {round}"]}}"#);
        let id = create(&daemon, &body);
        let (_, before) = json(&daemon, "GET", &format!("/exec/{id}/json"), "");
        assert_eq!((&before["Running"], &before["ExitCode"]), (&false.into(), &Value::Null));
        // Without an upgrade the answer is a plain 200 with the same frames.
        let answer = daemon.api("POST", &format!("/exec/{id}/start"), r#"{"Detach":false}"#).unwrap();
        assert_eq!((answer.status, answer.body.get(8..)), (200, Some(format!("{round}\n").as_str())));
        let (_, after) = json(&daemon, "GET", &format!("/exec/{id}/json"), "");
        assert_eq!((&after["Running"], &after["ExitCode"]), (&false.into(), &round.into()), "{after}");
        assert!(after["Pid"].as_u64().is_some_and(|pid| pid > 1));
    }
}

#[test]
fn an_upgraded_stream_has_a_half_close() {
    let Some(daemon) = sleeping() else { return };
    let body = r#"{"AttachStdin":true,"AttachStdout":true,"AttachStderr":true,"Cmd":["sh","-c","cat; echo end"]}"#;
    let id = create(&daemon, body);
    let mut stream = UnixStream::connect(daemon.options.socket()).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    let request = format!(
        "POST /v1.41/exec/{id}/start HTTP/1.1\r\nHost: d\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\
         Content-Type: application/json\r\nContent-Length: 16\r\n\r\n{{\"Detach\":false}}"
    );
    stream.write_all(request.as_bytes()).unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).unwrap();
        head.push(byte[0]);
    }
    let head = String::from_utf8(head).unwrap().to_lowercase();
    assert!(head.starts_with("http/1.1 101 "), "{head}");
    // Before 1.42 there was one name for both forms.
    assert!(head.contains("application/vnd.docker.raw-stream"), "{head}");
    stream.write_all(b"input\n").unwrap();
    stream.shutdown(std::net::Shutdown::Write).unwrap();
    let mut output = Vec::new();
    stream.read_to_end(&mut output).unwrap();
    let text = String::from_utf8_lossy(&output).into_owned();
    assert!(text.contains("input\n") && text.ends_with("end\n"), "{text:?}");
}

const TERMINAL: &str = r#"
import os, pty, select, sys, time, fcntl, struct, termios
def run(args, steps):
    pid, fd = pty.fork()
    if pid == 0:
        os.execvp(args[0], args)
    fcntl.ioctl(fd, termios.TIOCSWINSZ, struct.pack("HHHH", 33, 111, 0, 0))
    out, deadline = b"", time.time() + 40
    for expect, send in steps:
        while expect.encode() not in out:
            assert time.time() < deadline, (expect, out)
            if select.select([fd], [], [], 1)[0]:
                try:
                    data = os.read(fd, 65536)
                except OSError:
                    data = b""
                assert data, (expect, out)
                out += data
        os.write(fd, send)
    while True:
        try:
            data = os.read(fd, 65536)
        except OSError:
            break
        if not data:
            break
        out += data
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), out.decode()
program = sys.argv[1]
code, out = run([program, "exec", "-it", "box", "sh"], [("/ #", b"tty; stty size; exit 5\n")])
assert code == 5, (code, out)
assert "/dev/pts/" in out and "33 111" in out, out
code, out = run([program, "exec", "-it", "box", "sh"], [("/ #", b"\x10\x11")])
assert "read escape sequence" in out, (code, out)
code, out = run([program, "exec", "-it", "--detach-keys", "ctrl-a,x", "box", "sh"], [("/ #", b"\x01x")])
assert "read escape sequence" in out, (code, out)
print("all well")
"#;

#[test]
fn a_terminal_has_a_size_and_keys_to_leave_it() {
    let Some(python) = python_client("python") else { return };
    let Some(daemon) = sleeping() else { return };
    for program in [drua_e2e::binary::on_path("docker").unwrap(), drua_e2e::binary::drua().unwrap()] {
        let run = Cmd::new(&python).args(["-c", TERMINAL]).arg(program).env("TERM", "xterm");
        run.env("DOCKER_HOST", daemon.options.host()).env("HOME", daemon.dir()).run().prints("all well\n").exits(0);
    }
}

#[test]
fn the_end_of_the_container_is_the_end_of_its_execs() {
    let Some(daemon) = sleeping() else { return };
    let session = daemon.docker(["exec", "box", "sh", "-c", "echo up; sleep 1000"]).session();
    session.wait_for("up\n");
    let ids = inspect(&daemon, "box", "{{len .ExecIDs}}");
    assert_eq!(ids, "1");
    daemon.docker(["kill", "box"]).run().ok();
    session.finish().exits(137);
}

#[test]
fn events_name_the_command() {
    let Some(daemon) = sleeping() else { return };
    let since = now();
    daemon.docker(["exec", "box", "sh", "-c", "exit 3"]).run().exits(3);
    let events = || {
        let format = "{{.Action}}|{{index .Actor.Attributes \"execID\"}}|{{index .Actor.Attributes \"exitCode\"}}";
        let run = daemon.docker(["events", "--since", &since, "--until", &now(), "--format", format]).run();
        run.ok().lines().map(str::to_owned).collect::<Vec<_>>()
    };
    wait::until("the last event", SOON, || events().len() >= 3);
    let events = events();
    let id = events[0].split('|').nth(1).unwrap().to_owned();
    assert_eq!(id.len(), 64);
    let expected = [
        format!("exec_create: sh -c exit 3|{id}|"),
        format!("exec_start: sh -c exit 3|{id}|"),
        format!("exec_die|{id}|3"),
    ];
    assert_eq!(events, expected);
    let filter = ["events", "--since", &since, "--until", &now(), "--filter", "event=exec_create", "--format", "x"];
    assert_eq!(daemon.docker(filter).run().ok(), "x");
}

#[test]
fn a_hundred_at_once() {
    let Some(daemon) = sleeping() else { return };
    let sessions: Vec<_> = (0..100)
        .map(|number| {
            let id = create(
                &daemon,
                &format!(r#"{{"AttachStdout":true,"Cmd":["sh","-c","echo {number}; exit {number}"]}}"#),
            );
            let socket = daemon.options.socket();
            std::thread::spawn(move || {
                let path = format!("/exec/{id}/start");
                let answer = drua_e2e::http::unix(&socket, "POST", &path, r#"{"Detach":false}"#).unwrap();
                let end = drua_e2e::http::unix(&socket, "GET", &format!("/exec/{id}/json"), "").unwrap();
                let end: Value = serde_json::from_str(&end.body).unwrap();
                (answer.body.get(8..).unwrap_or_default().to_owned(), end["ExitCode"].clone())
            })
        })
        .collect();
    for (number, session) in sessions.into_iter().enumerate() {
        assert_eq!(session.join().unwrap(), (format!("{number}\n"), Value::from(number)));
    }
    wait::until("no exec to be left", SOON, || inspect(&daemon, "box", "{{len .ExecIDs}}") == "0");
}

#[test]
fn a_client_that_vanishes_is_no_harm() {
    let Some(daemon) = sleeping() else { return };
    for _ in 0..3 {
        let session = daemon.docker(["exec", "-i", "box", "sh", "-c", "echo up; cat"]).session();
        session.wait_for("up\n");
        session.kill();
    }
    // `cat` has met the end of its input.
    wait::until("the execs to end", SOON, || inspect(&daemon, "box", "{{len .ExecIDs}}") == "0");
    // A request that is never finished.
    let mut half = UnixStream::connect(daemon.options.socket()).unwrap();
    half.write_all(b"POST /exec/x/start HTTP/1.1\r\nHost: d\r\nContent-Le").unwrap();
    daemon.docker(["exec", "box", "true"]).run().exits(0);
}

#[test]
fn execs_survive_the_daemon() {
    let Some(mut daemon) = sleeping() else { return };
    let start = |daemon: &Daemon, script: &str| {
        let id = create(daemon, &format!(r#"{{"Cmd":["sh","-c","{script}"]}}"#));
        assert_eq!(json(daemon, "POST", &format!("/exec/{id}/start"), r#"{"Detach":true}"#).0, 200);
        id
    };
    let runs = start(&daemon, "until [ -e /go ]; do usleep 10000; done; exit 9");
    let ends = start(&daemon, "until [ -e /gone ]; do usleep 10000; done; exit 4");
    let waits = create(&daemon, r#"{"Cmd":["true"]}"#);
    let root = format!("/proc/{}/root", inspect(&daemon, "box", "{{.State.Pid}}"));
    daemon.kill();
    fs_err::write(format!("{root}/gone"), "").unwrap();
    daemon.restart().unwrap();
    let exec = |id: &str| json(&daemon, "GET", &format!("/exec/{id}/json"), "").1;
    assert_eq!(exec(&runs)["Running"], true);
    wait::until("the exit code of the one that ended", SOON, || exec(&ends)["ExitCode"] == 4);
    fs_err::write(format!("{root}/go"), "").unwrap();
    wait::until("the exit code of the one that ran on", SOON, || exec(&runs)["ExitCode"] == 9);
    assert_eq!(json(&daemon, "POST", &format!("/exec/{waits}/start"), r#"{"Detach":true}"#).0, 200);
}

#[test]
fn a_wasm_container_says_what_works_instead() {
    let Some(daemon) = busybox() else { return };
    load(&daemon, &wasm_image("app", &guest::http().unwrap()));
    daemon.docker(["run", "-d", "--name", "light", "--platform", "wasi/wasm", "app"]).run().ok();
    let run = daemon.docker(["exec", "light", "sh"]).run();
    assert_ne!(run.code(), Some(0));
    run.complains("it is WebAssembly").complains("docker logs light");
}

#[test]
fn attach_replays_without_a_seam() {
    let Some(daemon) = busybox() else { return };
    let script =
        "i=0; while [ $i -lt 3000 ]; do echo $i; i=$((i+1)); done; until [ -e /go ]; do usleep 10000; done; echo last";
    daemon.docker(["run", "-dt", "--name", "box", "busybox", "sh", "-c", script]).run().ok();
    wait_for_log(&daemon, "box", "100\r\n");
    let socket = daemon.options.socket();
    let path = "/containers/box/attach?logs=1&stream=1&stdout=1&stderr=1";
    let client = std::thread::spawn(move || drua_e2e::http::unix(&socket, "POST", path, "").unwrap());
    wait_for_log(&daemon, "box", "2999\r\n");
    let pid = inspect(&daemon, "box", "{{.State.Pid}}");
    fs_err::write(format!("/proc/{pid}/root/go"), "").unwrap();
    let body = client.join().unwrap().body;
    let lines: Vec<&str> = body.lines().collect();
    let expected: Vec<String> = (0..3000).map(|number| number.to_string()).chain(["last".to_owned()]).collect();
    assert_eq!(lines, expected, "a line is missing or doubled");
}
