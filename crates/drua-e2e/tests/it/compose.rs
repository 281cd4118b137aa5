//! `drua compose`, and compose files that are wrong.

use drua_e2e::{Cmd, Daemon, guest, http, wait};

use crate::support::{SOON, busybox, load, wasm_image};

const PROJECT: &str = "\
name: pair
services:
  heavy:
    image: busybox
    command: [sh, -c, 'echo $$GREETING > /data/index.html; echo heavy is up; exec httpd -f -p 80 -h /data']
    environment:
      GREETING: hello from linux
    volumes:
      - data:/data
  light:
    image: app
    platform: wasi/wasm
    ports:
      - \"127.0.0.1:PORT:8080\"
    depends_on:
      - heavy
volumes:
  data:
";

fn write(daemon: &Daemon, text: &str) -> String {
    let path = daemon.dir().join("compose.yaml");
    fs_err::write(&path, text).unwrap();
    path.to_string_lossy().into_owned()
}

fn compose<'a>(daemon: &Daemon, file: &'a str, args: impl IntoIterator<Item = &'a str>) -> Cmd {
    daemon.drua(["compose", "-f", file]).args(args)
}

/// A port that was free a moment ago.
fn free_port() -> String {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port().to_string()
}

#[test]
fn up_ps_logs_down() {
    let Some(daemon) = busybox() else { return };
    load(&daemon, &wasm_image("app", &guest::http().unwrap()));
    let port = free_port();
    let file = write(&daemon, &PROJECT.replace("PORT", &port));
    let up = compose(&daemon, &file, ["up", "-d"]).run();
    up.exits(0).prints("");
    wait::until("the Wasm service", SOON, || {
        http::get(&format!("127.0.0.1:{port}"), "/").is_ok_and(|answer| answer.body == "Hello from Wasm\n")
    });
    let names = daemon.docker(["ps", "--format", "{{.Names}}"]).run();
    let mut names: Vec<&str> = names.ok().lines().collect();
    names.sort_unstable();
    assert_eq!(names, ["pair-heavy-1", "pair-light-1"]);
    let ps = compose(&daemon, &file, ["ps"]).run();
    assert!(ps.ok().contains("pair-heavy-1") && ps.stdout.contains("pair-light-1"), "{ps}");
    let logs = compose(&daemon, &file, ["logs"]).run();
    assert!(logs.ok().contains("heavy is up"), "{logs}");
    let get = ["run", "--rm", "--network", "pair_default", "busybox", "wget", "-qO-", "http://heavy/"];
    daemon.docker(get).run().prints("hello from linux\n").ok();
    let ids = daemon.docker(["ps", "-q"]).run().ok().to_owned();
    compose(&daemon, &file, ["up", "-d"]).run().ok();
    assert_eq!(daemon.docker(["ps", "-q"]).run().ok(), ids, "nothing changed, so nothing is made anew");
    compose(&daemon, &file, ["down"]).run().ok();
    assert_eq!(daemon.docker(["ps", "-aq"]).run().ok(), "");
    assert_eq!(daemon.docker(["network", "ls", "-q", "-f", "name=pair_default"]).run().ok(), "");
    assert_eq!(daemon.docker(["volume", "ls", "-q"]).run().ok(), "pair_data");
    compose(&daemon, &file, ["down", "-v"]).run().ok();
    assert_eq!(daemon.docker(["volume", "ls", "-q"]).run().ok(), "");
}

#[test]
fn a_changed_service_is_made_anew() {
    let Some(daemon) = busybox() else { return };
    let text = "services:\n  one:\n    image: busybox\n    command: sleep 1000\n  two:\n    image: busybox\n    command: sleep 1000\n";
    let file = write(&daemon, text);
    let id = |service: &str| compose(&daemon, &file, ["ps", "-q", service]).run().ok().to_owned();
    compose(&daemon, &file, ["up", "-d"]).run().ok();
    let (one, two) = (id("one"), id("two"));
    write(&daemon, &text.replacen("sleep 1000", "sleep 2000", 1));
    compose(&daemon, &file, ["up", "-d"]).run().ok();
    assert_ne!(id("one"), one);
    assert_eq!(id("two"), two);
    compose(&daemon, &file, ["down"]).run().ok();
}

#[track_caller]
fn refuses(text: &str, complaints: &[&str]) {
    let Some(daemon) = busybox() else { return };
    let file = write(&daemon, text);
    let run = compose(&daemon, &file, ["up", "-d"]).run();
    assert!(run.code().is_some_and(|code| code != 0), "{run}");
    for complaint in complaints {
        run.complains(complaint);
    }
    assert_eq!(daemon.docker(["ps", "-aq"]).run().ok(), "", "nothing is made of a wrong file");
}

#[test]
fn a_typo_is_shown_with_line_and_column() {
    refuses("services:\n  web:\n    image: busybox\n    comand: sleep 1\n", &["compose.yaml:4:5", "comand", "command"]);
}

#[test]
fn bad_yaml_is_shown_with_its_line() {
    refuses("services:\n  web:\n    image: [busybox\n", &["compose.yaml:"]);
}

#[test]
fn a_cycle_is_named() {
    let text =
        "services:\n  a:\n    image: busybox\n    depends_on: [b]\n  b:\n    image: busybox\n    depends_on: [a]\n";
    refuses(text, &["a", "b", "cycle"]);
}

#[test]
fn an_undefined_network_is_named() {
    refuses("services:\n  a:\n    image: busybox\n    networks: [nowhere]\n", &["nowhere"]);
}

#[test]
fn an_undefined_dependency_is_named() {
    refuses("services:\n  a:\n    image: busybox\n    depends_on: [ghost]\n", &["ghost"]);
}
