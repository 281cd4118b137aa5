//! From a command line to the body that the API gets.

use clap::Parser as _;
use serde_json::{Value, json};

use crate::commands::run_request;

/// The part of the request that says something.
#[track_caller]
fn body(args: &[&str]) -> Value {
    let request = run_request(args).expect("a valid command line");
    serde_json::to_value(&request.body).expect("JSON")
}

#[track_caller]
fn fails(args: &[&str], expect: &str) {
    let error = run_request(args).expect_err("a mistake");
    assert!(format!("{error:#}").contains(expect), "{args:?}: {error:#}");
}

#[test]
fn everything_after_the_image_is_the_command() {
    let body = body(&["--rm", "busybox", "ls", "-d", "--name", "x", "--", "-v"]);
    assert_eq!(body["Image"], "busybox");
    assert_eq!(body["Cmd"], json!(["ls", "-d", "--name", "x", "--", "-v"]));
    assert_eq!(body["HostConfig"]["AutoRemove"], true);
    let body = self::body(&["busybox", "-d"]);
    assert_eq!((&body["Cmd"], &body["AttachStdout"]), (&json!(["-d"]), &json!(true)), "even right after the image");
}

#[test]
fn streams_are_as_docker_sends_them() {
    let flags = |args: &[&str]| {
        let body = body(args);
        ["AttachStdin", "AttachStdout", "AttachStderr", "Tty", "OpenStdin", "StdinOnce"]
            .map(|key| body[key] == json!(true))
    };
    assert_eq!(flags(&["x"]), [false, true, true, false, false, false]);
    assert_eq!(flags(&["-it", "x"]), [true, true, true, true, true, true]);
    assert_eq!(flags(&["-d", "-i", "x"]), [false, false, false, false, true, false]);
    assert_eq!(flags(&["-a", "stderr", "x"]), [false, false, true, false, false, false]);
}

#[test]
fn a_full_command_line() {
    let request = run_request(&[
        "--name",
        "w",
        "-p",
        "127.0.0.1:8080:80",
        "-e",
        "A=1",
        "-v",
        "vol:/y",
        "-v",
        "/anon",
        "--tmpfs",
        "/t:size=64m",
        "--network",
        "n1",
        "--network-alias",
        "q",
        "--ip",
        "10.0.0.2",
        "--memory",
        "64m",
        "--cpus",
        "1.5",
        "--ulimit",
        "nofile=10:20",
        "--sysctl",
        "net.a=1",
        "--health-cmd",
        "curl x",
        "--health-interval",
        "5s",
        "--restart",
        "on-failure:3",
        "--add-host",
        "a:1.2.3.4",
        "--dns",
        "1.1.1.1",
        "--init",
        "--label",
        "x=y",
        "-h",
        "hn",
        "--stop-timeout",
        "3",
        "--stop-signal",
        "TERM",
        "--platform",
        "wasi/wasm",
        "--runtime",
        "io.containerd.wasmtime.v1",
        "--entrypoint",
        "",
        "--cap-add",
        "net_admin",
        "--cap-drop",
        "ALL",
        "-w",
        "/w",
        "-u",
        "1:2",
        "--read-only",
        "--security-opt",
        "systempaths=unconfined",
        "nginx",
        "echo",
        "hi",
    ])
    .expect("a valid command line");
    assert_eq!((request.name.as_deref(), request.platform.as_deref()), (Some("w"), Some("wasi/wasm")));
    insta::assert_json_snapshot!(request.body);
}

#[test]
fn the_default_network_is_named_as_docker_names_it() {
    let body = body(&["x"]);
    assert_eq!(body["HostConfig"]["NetworkMode"], "default");
    assert_eq!(body["NetworkingConfig"]["EndpointsConfig"], json!({"default": {}}));
}

#[test]
fn contradictions_are_refused() {
    fails(&["--rm", "--restart", "always", "x"], "cannot specify both --restart and --rm");
    fails(&["--network", "a", "--network", "host", "x"], "cannot attach both");
    fails(&["--network", "a", "--network", "a", "x"], "specified multiple times");
    fails(&["-a", "stdwhat", "x"], "valid streams are STDIN, STDOUT and STDERR");
    fails(&["--no-healthcheck", "--health-cmd", "y", "x"], "--no-healthcheck conflicts");
    fails(&["--cpus", "1.5.5", "x"], "not a number of CPUs");
    fails(&["--add-host", "x", "y"], "bad format for add-host");
    fails(&["--cgroupns", "both", "y"], "invalid cgroup namespace mode");
}

#[test]
fn the_daemon_has_its_own_command_line() {
    let words = ["drua", "daemon", "--data-root", "/d", "--exec-root", "/r"].map(Into::into);
    assert!(crate::DaemonArgs::is_daemon(&words));
    let args = crate::DaemonArgs::parse(&words).expect("valid");
    assert!(args.given.iter().any(|flag| flag == "exec-root"), "{:?}", args.given);
    assert!(!args.detached && args.data_root.ends_with("d"));
    assert!(crate::cli::Cli::try_parse_from(["drua", "daemon", "--nope"]).is_err());
}
