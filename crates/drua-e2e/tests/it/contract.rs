//! The contract of the API for what goes wrong: a status and `{"message": …}`, at every version, whatever is sent.

use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use drua_e2e::Daemon;
use serde_json::Value;

use crate::support::{busybox, daemon};

/// Sends one request as it is and reads the answer: status and body.
fn raw(daemon: &Daemon, request: &[u8]) -> (u16, String) {
    let mut stream = UnixStream::connect(daemon.dir().join("run/drua.sock")).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    stream.set_write_timeout(Some(Duration::from_secs(30))).unwrap();
    // The answer may come before everything has been sent.
    let _ = stream.write_all(request);
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    let text = String::from_utf8_lossy(&answer).into_owned();
    let status = text.split(' ').nth(1).and_then(|code| code.parse().ok()).unwrap_or(0);
    (status, text.split_once("\r\n\r\n").map(|(_, body)| body.to_owned()).unwrap_or_default())
}

fn request(method: &str, path: &str, content_type: &str, body: &str) -> Vec<u8> {
    let length = body.len();
    format!(
        "{method} {path} HTTP/1.1\r\nHost: d\r\nConnection: close\r\nContent-Type: {content_type}\r\nContent-Length: {length}\r\n\r\n{body}"
    )
    .into_bytes()
}

const JSON: &str = "application/json";

#[test]
fn errors_have_dockers_status_and_shape_at_every_version() {
    let Some(daemon) = busybox() else { return };
    daemon.docker(["run", "-d", "--name", "up", "-v", "used:/u", "busybox", "sleep", "1000"]).run().ok();
    daemon.docker(["create", "--name", "down", "busybox", "true"]).run().ok();
    let mut cases: Vec<(u16, &str, String, &str, &str)> = vec![
        (404, "GET", "/nope".into(), "", "page not found"),
        (404, "PATCH", "/containers/json".into(), "", "page not found"),
        (404, "GET", "/networks/nobody".into(), "", "not found"),
        (404, "DELETE", "/networks/nobody".into(), "", "not found"),
        (404, "GET", "/volumes/nobody".into(), "", "no such volume"),
        (404, "DELETE", "/volumes/nobody".into(), "", "no such volume"),
        (409, "DELETE", "/volumes/used".into(), "", "volume is in use"),
        (404, "GET", "/images/nobody/json".into(), "", "No such image"),
        (404, "GET", "/images/nobody/history".into(), "", "No such image"),
        (404, "POST", "/images/nobody/tag?repo=x".into(), "", "No such image"),
        (404, "DELETE", "/images/nobody".into(), "", "No such image"),
        (404, "POST", "/containers/create".into(), r#"{"Image":"nobody:1","Cmd":["x"]}"#, "No such image: nobody:1"),
        (400, "POST", "/containers/create".into(), "", "config cannot be empty"),
        (400, "POST", "/containers/create".into(), r#"{"Image":"busybox"} {}"#, ""),
        (400, "POST", "/containers/create".into(), r#"{"Image":"busybox","Cmd":7}"#, ""),
        (400, "POST", "/containers/create".into(), r#"{"Image":["busybox"]}"#, ""),
        (400, "POST", "/containers/create".into(), "[]", ""),
        (400, "POST", "/containers/create".into(), "{", ""),
        (400, "POST", "/containers/create?name=-x".into(), r#"{"Image":"busybox"}"#, "Invalid container name"),
        (400, "POST", "/containers/create?name=a%2Fb".into(), r#"{"Image":"busybox"}"#, "Invalid container name"),
        (400, "POST", "/containers/create?name=%00".into(), r#"{"Image":"busybox"}"#, "Invalid container name"),
        (409, "POST", "/containers/create?name=up".into(), r#"{"Image":"busybox"}"#, "is already in use by container"),
        (400, "POST", "/containers/create?platform=x".into(), r#"{"Image":"busybox"}"#, ""),
        (409, "DELETE", "/containers/up".into(), "", "container is running"),
        (409, "POST", "/containers/down/kill".into(), "", "is not running"),
        (400, "POST", "/containers/up/kill?signal=NOPE".into(), "", ""),
        (409, "POST", "/containers/down/pause".into(), "", "is not running"),
        (409, "POST", "/containers/up/unpause".into(), "", "is not paused"),
        (400, "POST", "/containers/up/rename".into(), "", "may be empty"),
        (409, "POST", "/containers/up/rename?name=down".into(), "", "already in use"),
        (400, "POST", "/containers/up/wait?condition=x".into(), "", "invalid condition"),
        (400, "POST", "/containers/up/stop?t=x".into(), "", ""),
        (400, "GET", "/containers/json?filters=x".into(), "", "invalid filter"),
        (400, "GET", "/containers/json?filters=%7B%22nope%22%3A%5B%22x%22%5D%7D".into(), "", "invalid filter 'nope'"),
        (400, "GET", "/images/json?filters=%7B%22nope%22%3A%5B%22x%22%5D%7D".into(), "", "invalid filter 'nope'"),
        (400, "GET", "/networks?filters=%7B%22nope%22%3A%5B%22x%22%5D%7D".into(), "", "invalid filter 'nope'"),
        (400, "GET", "/volumes?filters=%7B%22nope%22%3A%5B%22x%22%5D%7D".into(), "", "invalid filter 'nope'"),
        (400, "GET", "/events?filters=%7B%22nope%22%3A%5B%22x%22%5D%7D".into(), "", "invalid filter 'nope'"),
        (400, "POST", "/containers/prune?filters=%7B%22name%22%3A%5B%22x%22%5D%7D".into(), "", "invalid filter 'name'"),
        (400, "POST", "/volumes/prune?filters=%7B%22name%22%3A%5B%22x%22%5D%7D".into(), "", "invalid filter 'name'"),
        (400, "POST", "/volumes/create".into(), r#"{"Name":"../x"}"#, ""),
        (400, "POST", "/volumes/create".into(), r#"{"Name":"x","DriverOpts":{"a":"b"}}"#, "invalid option"),
        (404, "POST", "/volumes/create".into(), r#"{"Name":"x","Driver":"nope"}"#, "plugin \"nope\" not found"),
        (403, "DELETE", "/networks/bridge".into(), "", ""),
        (400, "GET", "/containers/up/archive".into(), "", "path"),
        (404, "GET", "/containers/up/archive?path=/nope".into(), "", "Could not find the file /nope"),
        (400, "PUT", "/containers/up/archive?path=/bin/sh".into(), "", "extraction point is not a directory"),
        (400, "POST", "/commit".into(), "", "container"),
        (404, "POST", "/commit?container=nobody".into(), "", "No such container"),
        (400, "POST", "/commit?container=down&changes=NOPE+1".into(), "", "is not a valid change command"),
        (503, "GET", "/services".into(), "", "not a swarm manager"),
        (503, "GET", "/nodes".into(), "", "not a swarm manager"),
        (503, "GET", "/tasks".into(), "", "not a swarm manager"),
        (503, "GET", "/secrets".into(), "", "not a swarm manager"),
        (503, "GET", "/configs".into(), "", "not a swarm manager"),
        (503, "GET", "/swarm".into(), "", "not a swarm manager"),
        (503, "POST", "/swarm/leave".into(), "", "not part of a swarm"),
        (503, "PUT", "/volumes/used".into(), "", "not a swarm manager"),
    ];
    for verb in ["start", "stop", "kill", "restart", "pause", "unpause", "wait", "resize?h=1&w=1", "rename?name=xy"] {
        cases.push((404, "POST", format!("/containers/nobody/{verb}"), "", "No such container: nobody"));
    }
    for verb in ["json", "top", "logs?stdout=1", "changes", "export", "archive?path=/"] {
        cases.push((404, "GET", format!("/containers/nobody/{verb}"), "", "No such container: nobody"));
    }
    for version in ["", "/v1.24", "/v1.40", "/v1.50"] {
        for (status, method, path, body, expect) in &cases {
            let (got, answer) = raw(&daemon, &request(method, &format!("{version}{path}"), JSON, body));
            let context = format!("{method} {version}{path} {body}: {got} {answer}");
            assert_eq!(got, *status, "{context}");
            let answer: Value = serde_json::from_str(&answer).unwrap_or_else(|error| panic!("{context}: {error}"));
            let message = answer["message"].as_str().unwrap_or_else(|| panic!("no message: {context}"));
            assert!(message.contains(expect), "expected `{expect}`: {context}");
        }
    }
    for (path, expect) in [
        ("/v1.23/containers/json", "client version 1.23 is too old. Minimum supported API version is 1.24"),
        ("/v1.99/containers/json", "client version 1.99 is too new. Maximum supported API version is 1.50"),
    ] {
        let (status, answer) = raw(&daemon, &request("GET", path, JSON, ""));
        assert!(status == 400 && answer.contains(expect), "{path}: {status} {answer}");
    }
    // Nothing of all that has changed anything.
    assert_eq!(daemon.docker(["ps", "-aq"]).run().ok().lines().count(), 2);
}

#[test]
fn bodies_have_types_and_limits() {
    let Some(daemon) = daemon() else { return };
    let (status, answer) = raw(&daemon, &request("POST", "/containers/create", "text/plain", "{}"));
    assert!(status == 400 && answer.contains("unsupported Content-Type"), "{answer}");
    let big = "x".repeat(100 << 20);
    let body = format!("{{\"Image\":\"{big}\"}}");
    let begin = Instant::now();
    let (status, _) = raw(&daemon, &request("POST", "/containers/create", JSON, &body));
    // It may have been cut off before it has read the answer.
    assert!(matches!(status, 0 | 400 | 413), "{status}");
    assert!(begin.elapsed() < Duration::from_secs(30));
    let deep = "[".repeat(100_000);
    let (status, _) = raw(&daemon, &request("POST", "/containers/create", JSON, &deep));
    assert_eq!(status, 400);
    for garbage in [&b"\x16\x03\x01\x02\x00"[..], b"GET\r\n\r\n", b"GET / HTTP/9\r\n\r\n", b"\0\0\0\0\r\n\r\n"] {
        let (status, _) = raw(&daemon, garbage);
        assert!(matches!(status, 0 | 400), "{garbage:?}: {status}");
    }
    // Headers without end, and a path as long as a book.
    let long = format!("GET /{} HTTP/1.1\r\nHost: d\r\nConnection: close\r\n\r\n", "a".repeat(1 << 20));
    let (status, _) = raw(&daemon, long.as_bytes());
    assert!(matches!(status, 0 | 400 | 404 | 414 | 431), "{status}");
    assert_eq!(daemon.api("GET", "/_ping", "").unwrap().status, 200);
}

#[test]
fn slow_and_vanishing_clients_hurt_nobody() {
    let Some(daemon) = busybox() else { return };
    daemon.docker(["run", "-d", "--name", "box", "busybox", "sleep", "1000"]).run().ok();
    let socket = daemon.dir().join("run/drua.sock");
    let mut idle = Vec::new();
    for index in 0..200 {
        let mut stream = UnixStream::connect(&socket).unwrap();
        let text: &[u8] = match index % 5 {
            0 => b"GET /events HTTP/1.1\r\nHost: d\r\n\r\n",
            1 => b"GET /containers/box/logs?follow=1&stdout=1 HTTP/1.1\r\nHost: d\r\n\r\n",
            2 => b"POST /containers/create HTTP/1.1\r\nHost: d\r\nContent-Type: application/json\r\nContent-Length: 99\r\n\r\n{",
            3 => b"PUT /containers/box/archive?path=/tmp HTTP/1.1\r\nHost: d\r\nContent-Length: 9999\r\n\r\nabc",
            _ => b"GET /containers/box/export HTTP/1.1\r\nHost: d\r\n\r\n",
        };
        stream.write_all(text).unwrap();
        idle.push(stream);
    }
    let begin = Instant::now();
    daemon.docker(["ps"]).run().ok();
    daemon.docker(["run", "--rm", "busybox", "true"]).run().ok();
    assert!(begin.elapsed() < Duration::from_secs(20), "{:?}", begin.elapsed());
    drop(idle);
    let files = || std::fs::read_dir(format!("/proc/{}/fd", daemon.pid())).map_or(0, Iterator::count);
    drua_e2e::wait::until("the daemon to close what nobody uses", Duration::from_secs(60), || files() < 100);
    daemon.docker(["rm", "-f", "box"]).run().ok();
}
