//! One walk through all verbs of the genuine docker CLI, with answers that hold for drua and for Docker's own daemon alike.
//!
//! `cargo xtask oracle` runs these against a `dockerd`; what differs there is a difference of ours.

use drua_e2e::{Daemon, wait};

use crate::support::{SOON, busybox, inspect, now, wait_for_log, wait_for_status};

const SLEEP: [&str; 4] = ["busybox", "sh", "-c", "trap 'exit 7' TERM; echo up; while true; do sleep 0.1; done"];

#[track_caller]
fn ok(daemon: &Daemon, args: &[&str]) -> String {
    daemon.docker(args.iter().copied()).run().ok().to_owned()
}

#[track_caller]
fn fails(daemon: &Daemon, args: &[&str], code: i32, words: &str) {
    daemon.docker(args.iter().copied()).run().exits(code).complains(words);
}

/// Starts a container that sleeps and says `up`.
#[track_caller]
fn sleeper(daemon: &Daemon, name: &str, options: &[&str]) -> String {
    let id = ok(daemon, &[&["run", "-d", "--name", name], options, &SLEEP].concat());
    wait_for_log(daemon, name, "up");
    id
}

#[test]
fn containers_from_create_to_rm() {
    let Some(daemon) = busybox() else { return };
    let d = &daemon;
    let id = ok(d, &["create", "--name", "box", "-e", "A=1", "-l", "x=y", "busybox", "sh", "-c", "echo $A; exit 4"]);
    assert_eq!(id.len(), 64);
    assert_eq!(ok(d, &["ps", "-q"]), "");
    assert_eq!(ok(d, &["ps", "-a", "--format", "{{.Names}} {{.Status}} {{.Label \"x\"}}"]), "box Created y");
    assert_eq!(ok(d, &["start", "box"]), "box");
    assert_eq!(ok(d, &["wait", "box"]), "4");
    assert_eq!(ok(d, &["logs", "box"]), "1");
    d.docker(["start", "-a", "box"]).run().exits(4).prints("1\n");
    assert_eq!(ok(d, &["logs", "--tail", "1", "box"]), "1");
    assert!(ok(d, &["ps", "-a", "--filter", "exited=4", "--format", "{{.Status}}"]).starts_with("Exited (4) "));
    assert_eq!(ok(d, &["rename", "box", "other"]), "");
    assert_eq!(inspect(d, "other", "{{.Name}} {{.State.ExitCode}} {{.Config.Labels.x}}"), "/other 4 y");
    assert_eq!(ok(d, &["rm", "other"]), "other");
    fails(d, &["rm", "other"], 1, "No such container: other");
    fails(d, &["start", "other"], 1, "No such container: other");
    fails(d, &["logs", "other"], 1, "No such container: other");
    fails(d, &["inspect", "other"], 1, "No such object: other");
    fails(d, &["run", "--name", "-bad-", "busybox"], 125, "Invalid container name (-bad-)");
    fails(d, &["run", "busybox", "nope"], 127, "exec: \"nope\": executable file not found in $PATH");
    fails(d, &["run", "busybox", "/etc"], 126, "");
    d.docker(["run", "--rm", "-i", "busybox", "cat"]).input("in\n").run().prints("in\n").exits(0);
    ok(d, &["run", "-d", "--name", "box", "busybox", "sleep", "1000"]);
    assert_eq!(ok(d, &["kill", "box"]), "box");
    assert_eq!(ok(d, &["wait", "box"]), "137");
}

#[test]
fn a_running_container_is_looked_at_and_changed() {
    let Some(daemon) = busybox() else { return };
    let d = &daemon;
    let id = sleeper(d, "box", &["--memory", "64m", "-p", "127.0.0.1::80"]);
    assert_eq!(ok(d, &["ps", "-q", "--no-trunc"]), id);
    assert_eq!(ok(d, &["ps", "-q"]), id[..12]);
    fails(d, &["rm", "box"], 1, "");
    assert!(ok(d, &["top", "box"]).contains("sleep"));
    assert!(ok(d, &["top", "box", "-o", "pid,comm"]).starts_with("PID"));
    assert!(ok(d, &["port", "box"]).starts_with("80/tcp -> 127.0.0.1:"));
    assert_eq!(ok(d, &["stats", "--no-stream", "--format", "{{.Name}}", "box"]), "box");
    assert_eq!(ok(d, &["exec", "box", "echo", "hi"]), "hi");
    assert_eq!(
        ok(d, &["exec", "-e", "A=b", "-w", "/tmp", "-u", "1:2", "box", "sh", "-c", "echo $A $PWD $(id -u):$(id -g)"]),
        "b /tmp 1:2"
    );
    d.docker(["exec", "box", "sh", "-c", "exit 9"]).run().exits(9);
    d.docker(["exec", "-i", "box", "cat"]).input("x").run().prints("x").exits(0);
    // 126 from older ones.
    assert!(matches!(d.docker(["exec", "box", "nope"]).run().code(), Some(126 | 127)));
    d.docker(["exec", "box", "/etc"]).run().exits(126);
    ok(d, &["exec", "-d", "box", "touch", "/made"]);
    wait::until("the detached exec", SOON, || d.docker(["exec", "box", "test", "-e", "/made"]).run().code() == Some(0));
    assert_eq!(ok(d, &["update", "--memory", "96m", "--memory-swap", "192m", "box"]), "box");
    assert_eq!(inspect(d, "box", "{{.HostConfig.Memory}}"), (96 << 20).to_string());
    assert_eq!(ok(d, &["pause", "box"]), "box");
    assert!(ok(d, &["ps", "--format", "{{.Status}}"]).ends_with("(Paused)"));
    fails(d, &["exec", "box", "true"], 1, "is paused, unpause the container before exec");
    assert_eq!(ok(d, &["unpause", "box"]), "box");
    fails(d, &["unpause", "box"], 1, "is not paused");
    assert_eq!(ok(d, &["restart", "-t", "5", "box"]), "box");
    wait::until("the trap", SOON, || ok(d, &["logs", "box"]).lines().count() >= 2);
    assert_eq!(ok(d, &["kill", "-s", "TERM", "box"]), "box");
    wait_for_status(d, "box", "exited");
    fails(d, &["kill", "box"], 1, "is not running");
    assert_eq!(ok(d, &["start", "box"]), "box");
    // Not before the shell has set its trap.
    wait::until("the trap", SOON, || ok(d, &["logs", "box"]).lines().count() >= 3);
    assert_eq!(ok(d, &["stop", "box"]), "box");
    assert_eq!(inspect(d, "box", "{{.State.ExitCode}}"), "7");
    assert_eq!(ok(d, &["stop", "box"]), "box");
    assert_eq!(ok(d, &["rm", "-f", "box"]), "box");
}

#[test]
fn files_go_in_and_out() {
    let Some(daemon) = busybox() else { return };
    let d = &daemon;
    sleeper(d, "box", &[]);
    let (from, back) = (d.dir().join("from"), d.dir().join("back"));
    std::fs::write(&from, "content\n").unwrap();
    let [from, back] = [&from, &back].map(|path| path.to_str().unwrap());
    ok(d, &["cp", from, "box:/tmp/to"]);
    assert_eq!(ok(d, &["exec", "box", "cat", "/tmp/to"]), "content");
    ok(d, &["cp", "box:/tmp/to", back]);
    assert_eq!(std::fs::read_to_string(back).unwrap(), "content\n");
    fails(d, &["cp", "box:/nope", back], 1, "Could not find the file /nope in container box");
    assert!(ok(d, &["diff", "box"]).lines().any(|line| line == "A /tmp/to"));
    let tar = d.dir().join("root.tar");
    ok(d, &["export", "-o", tar.to_str().unwrap(), "box"]);
    let imported = ok(d, &["import", "-c", "CMD [\"cat\", \"/tmp/to\"]", tar.to_str().unwrap(), "imported:1"]);
    assert!(imported.starts_with("sha256:"));
    assert_eq!(ok(d, &["run", "--rm", "imported:1"]), "content");
    let committed = ok(d, &["commit", "-m", "why", "-c", "ENV C=d", "box", "committed:1"]);
    assert!(committed.starts_with("sha256:"));
    assert_eq!(
        ok(d, &["run", "--rm", "--entrypoint", "", "committed:1", "sh", "-c", "cat /tmp/to; echo $C"]),
        "content\nd"
    );
    assert!(ok(d, &["history", "--format", "{{.Comment}}", "committed:1"]).contains("why"));
    ok(d, &["rm", "-f", "box"]);
}

#[test]
fn images_are_named_saved_and_removed() {
    let Some(daemon) = busybox() else { return };
    let d = &daemon;
    ok(d, &["tag", "busybox", "name:tag"]);
    assert_eq!(ok(d, &["images", "-q", "name:tag"]), ok(d, &["images", "-q", "busybox:latest"]));
    let saved = d.dir().join("saved.tar");
    ok(d, &["save", "-o", saved.to_str().unwrap(), "name:tag"]);
    assert_eq!(ok(d, &["rmi", "name:tag"]), "Untagged: name:tag");
    fails(d, &["inspect", "--type", "image", "name:tag"], 1, "");
    assert_eq!(ok(d, &["load", "-q", "-i", saved.to_str().unwrap()]), "Loaded image: name:tag");
    assert_eq!(inspect(d, "name:tag", "{{.Os}}"), "linux");
    assert_eq!(ok(d, &["run", "--rm", "name:tag", "echo", "still"]), "still");
    ok(d, &["create", "--name", "user", "name:tag"]);
    ok(d, &["rmi", "busybox:latest", "busybox:test"]);
    fails(d, &["rmi", "name:tag"], 1, "(must force) - container");
    ok(d, &["rm", "user"]);
    ok(d, &["rmi", "name:tag"]);
    assert_eq!(ok(d, &["images", "-q"]), "");
    fails(d, &["rmi", "name:tag"], 1, "No such image: name:tag");
}

#[test]
fn volumes_and_networks_are_made_and_removed() {
    let Some(daemon) = busybox() else { return };
    let d = &daemon;
    assert_eq!(ok(d, &["volume", "create", "--label", "a=b", "vol"]), "vol");
    assert_eq!(ok(d, &["volume", "ls", "-q", "--filter", "label=a=b"]), "vol");
    assert_eq!(ok(d, &["volume", "inspect", "-f", "{{.Driver}} {{.Scope}}", "vol"]), "local local");
    ok(d, &["run", "--rm", "-v", "vol:/v", "busybox", "sh", "-c", "echo kept > /v/file"]);
    assert_eq!(ok(d, &["run", "--rm", "-v", "vol:/v:ro", "busybox", "cat", "/v/file"]), "kept");
    ok(d, &["create", "--name", "user", "-v", "vol:/v", "busybox"]);
    fails(d, &["volume", "rm", "vol"], 1, "volume is in use");
    ok(d, &["rm", "user"]);
    assert_eq!(ok(d, &["volume", "rm", "vol"]), "vol");
    fails(d, &["volume", "inspect", "vol"], 1, "no such volume");
    let network = ok(d, &["network", "create", "--label", "a=b", "net"]);
    assert_eq!(network.len(), 64);
    assert_eq!(ok(d, &["network", "ls", "--filter", "label=a=b", "--format", "{{.Name}} {{.Driver}}"]), "net bridge");
    fails(d, &["network", "create", "net"], 1, "network with name net already exists");
    sleeper(d, "server", &["--network", "net", "--network-alias", "nick"]);
    sleeper(d, "client", &[]);
    ok(d, &["network", "connect", "net", "client"]);
    for name in ["server", "nick"] {
        ok(d, &["exec", "client", "ping", "-c", "1", "-w", "5", name]);
    }
    fails(d, &["network", "rm", "net"], 1, "has active endpoints");
    ok(d, &["network", "disconnect", "net", "client"]);
    assert_eq!(inspect(d, "client", "{{len .NetworkSettings.Networks}}"), "1");
    ok(d, &["rm", "-f", "server", "client"]);
    assert_eq!(ok(d, &["network", "rm", "net"]), "net");
    fails(d, &["network", "inspect", "net"], 1, "network net not found");
}

#[test]
fn the_daemon_tells_of_itself_and_cleans_up() {
    let Some(daemon) = busybox() else { return };
    let d = &daemon;
    let since = now();
    assert!(ok(d, &["version", "--format", "{{.Server.Version}}"]).contains('.'));
    assert_eq!(ok(d, &["info", "--format", "{{.Containers}} {{.Swarm.LocalNodeState}}"]), "0 inactive");
    ok(d, &["run", "--name", "done", "busybox", "true"]);
    ok(d, &["volume", "create", "unused"]);
    ok(d, &["network", "create", "unused"]);
    let df = ok(d, &["system", "df", "--format", "{{.Type}} {{.TotalCount}}"]);
    assert!(df.lines().any(|line| line == "Containers 1"), "{df}");
    let filter = ["--filter", "type=container", "--filter", "container=done"];
    let times = ["--since", &since, "--until", &now(), "--format", "{{.Action}}"];
    let events = ok(d, &[&["events"], &filter[..], &times].concat());
    assert_eq!(events.lines().collect::<Vec<_>>(), ["create", "attach", "start", "die"]);
    assert!(ok(d, &["container", "prune", "-f"]).starts_with("Deleted Containers:"));
    assert!(ok(d, &["network", "prune", "-f"]).contains("unused"));
    assert!(ok(d, &["system", "prune", "-af", "--volumes"]).contains("Total reclaimed space:"));
    assert_eq!(ok(d, &["images", "-q"]), "");
    fails(d, &["swarm", "leave"], 1, "This node is not part of a swarm");
    fails(d, &["node", "ls"], 1, "This node is not a swarm manager");
}

#[test]
fn a_dockerfile_is_built() {
    let Some(daemon) = busybox() else { return };
    let d = &daemon;
    let context = d.dir().join("context");
    std::fs::create_dir(&context).unwrap();
    std::fs::write(context.join("file"), "copied\n").unwrap();
    let text = "FROM busybox\nARG WHO=nobody\nCOPY file /file\nRUN echo $WHO >> /file\nCMD [\"cat\", \"/file\"]\n";
    std::fs::write(context.join("Dockerfile"), text).unwrap();
    let build = ["build", "-q", "-t", "built", "--build-arg", "WHO=me", context.to_str().unwrap()];
    let run = d.docker(build).env("DOCKER_BUILDKIT", "0").run();
    assert!(run.ok().starts_with("sha256:"), "{run}");
    assert_eq!(ok(d, &["run", "--rm", "built"]), "copied\nme");
    std::fs::write(context.join("Dockerfile"), "FROM busybox\nRUN exit 3\n").unwrap();
    d.docker(["build", context.to_str().unwrap()])
        .env("DOCKER_BUILDKIT", "0")
        .run()
        .exits(3)
        .complains("returned a non-zero code: 3");
}
