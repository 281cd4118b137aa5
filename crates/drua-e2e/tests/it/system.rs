//! version, info, ping, and the rules that hold for every response.

use drua_e2e::http::Response;

use crate::support::{busybox, daemon};

fn header<'a>(response: &'a Response, name: &str) -> Option<&'a str> {
    let find = |line: &'a String| line.split_once(": ").filter(|(key, _)| key.eq_ignore_ascii_case(name));
    response.headers.iter().find_map(find).map(|(_, value)| value)
}

#[test]
fn version_negotiates_api_1_50() {
    let Some(daemon) = daemon() else { return };
    let format = "{{.Server.APIVersion}} {{.Server.MinAPIVersion}} {{.Server.Os}}";
    assert_eq!(daemon.docker(["version", "-f", format]).run().ok(), "1.50 1.24 linux");
}

#[test]
fn info_names_driver_and_runtimes() {
    let Some(daemon) = daemon() else { return };
    let run = daemon.docker(["info", "-f", "{{.Driver}} {{.Swarm.LocalNodeState}} {{.OSType}}"]).run();
    assert!(run.ok().ends_with("inactive linux"), "{run}");
    let runtimes = daemon.docker(["info", "-f", "{{json .Runtimes}}"]).run();
    assert!(runtimes.ok().contains("io.containerd.wasmtime.v1"), "{runtimes}");
    daemon.docker(["info"]).run().ok();
}

#[test]
fn ping_answers_head_and_get() {
    let Some(daemon) = daemon() else { return };
    let get = daemon.api("GET", "/_ping", "").unwrap();
    assert_eq!((get.status, get.body.as_str()), (200, "OK"));
    assert_eq!(header(&get, "Api-Version"), Some("1.50"));
    assert_eq!(header(&get, "Ostype"), Some("linux"));
    let head = daemon.api("HEAD", "/_ping", "").unwrap();
    assert_eq!(head.status, 200);
    assert!(header(&head, "Builder-Version").is_some(), "{head:?}");
}

#[test]
fn versions_outside_the_range_are_refused() {
    let Some(daemon) = daemon() else { return };
    let old = daemon.api("GET", "/v1.23/info", "").unwrap();
    assert_eq!(old.status, 400);
    assert!(old.body.contains("client version 1.23 is too old. Minimum supported API version is 1.24"), "{old:?}");
    let new = daemon.api("GET", "/v1.99/info", "").unwrap();
    assert_eq!(new.status, 400);
    assert!(new.body.contains("client version 1.99 is too new. Maximum supported API version is 1.50"), "{new:?}");
    assert_eq!(daemon.api("GET", "/v1.24/info", "").unwrap().status, 200);
}

#[test]
fn unknown_pages_are_json_errors() {
    let Some(daemon) = daemon() else { return };
    let answer = daemon.api("GET", "/v1.50/nothing/here", "").unwrap();
    assert_eq!(answer.status, 404);
    assert_eq!(header(&answer, "Content-Type"), Some("application/json"));
    assert_eq!(answer.body.trim(), r#"{"message":"page not found"}"#);
}

#[test]
fn a_body_that_is_no_json_is_refused() {
    let Some(daemon) = busybox() else { return };
    let answer = daemon.api("POST", "/v1.50/containers/create", "{\"Image\": ").unwrap();
    assert_eq!(answer.status, 400, "{answer:?}");
    let answer = daemon.api("POST", "/v1.50/containers/create", "{\"Image\":\"busybox\"} trailing").unwrap();
    assert_eq!(answer.status, 400, "{answer:?}");
}

#[test]
fn unknown_objects_are_404_in_dockers_words() {
    let Some(daemon) = daemon() else { return };
    daemon.docker(["inspect", "nobody"]).run().exits(1).complains("No such object: nobody");
    daemon.docker(["logs", "nobody"]).run().exits(1).complains("No such container: nobody");
    daemon.docker(["rmi", "nobody"]).run().exits(1).complains("No such image: nobody");
    daemon.docker(["network", "rm", "nobody"]).run().exits(1).complains("network nobody not found");
    daemon.docker(["volume", "inspect", "nobody"]).run().exits(1).complains("get nobody: no such volume");
}
