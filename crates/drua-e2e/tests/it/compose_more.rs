//! Compose beyond `up` and `down`: taking over, one-off runs, secrets, exit codes, watch.

use std::time::Duration;

use drua_e2e::{Cmd, Daemon, wait};

use crate::support::{SOON, busybox, inspect, python_client};

fn write(daemon: &Daemon, name: &str, text: &str) -> String {
    let path = daemon.dir().join(name);
    fs_err::create_dir_all(path.parent().unwrap()).unwrap();
    fs_err::write(&path, text).unwrap();
    path.to_string_lossy().into_owned()
}

fn compose<'a>(daemon: &Daemon, file: &'a str, args: impl IntoIterator<Item = &'a str>) -> Cmd {
    daemon.drua(["compose", "-f", file]).args(args).env("XDG_STATE_HOME", daemon.dir())
}

const TWO: &str = "\
name: two
services:
  db: {image: busybox, command: sleep 1000, networks: [back], volumes: [\"data:/data\"]}
  web: {image: busybox, command: sleep 1000, depends_on: [db], networks: [back, front], environment: {A: b}}
networks: {front: , back: }
volumes: {data: }
";

#[test]
fn docker_compose_takes_over_and_gives_back() {
    let Some(daemon) = busybox() else { return };
    let Some(theirs) = python_client("docker-compose") else { return };
    let file = write(&daemon, "compose.yaml", TWO);
    let ids = || daemon.docker(["ps", "-q", "--no-trunc"]).run().ok().to_owned();
    compose(&daemon, &file, ["up", "-d"]).run().ok();
    let ours = ids();
    let other =
        |args: &[&str]| Cmd::new(&theirs).env("DOCKER_HOST", daemon.options.host()).args(["-f", &file]).args(args);
    other(&["up", "-d"]).run().ok();
    assert_eq!(ids(), ours, "Docker Compose finds nothing to change in what drua has made");
    other(&["up", "-d", "--force-recreate"]).run().ok();
    let made_by_them = ids();
    assert_ne!(made_by_them, ours);
    compose(&daemon, &file, ["up", "-d"]).run().ok();
    assert_eq!(ids(), made_by_them, "drua finds nothing to change in what Docker Compose has made");
    other(&["down", "-v"]).run().ok();
    assert_eq!(daemon.docker(["ps", "-aq"]).run().ok(), "");
}

#[test]
fn secrets_and_configs_of_every_source() {
    let Some(daemon) = busybox() else { return };
    write(&daemon, "secret.txt", "from a file");
    let file = write(
        &daemon,
        "compose.yaml",
        "services:\n  a:\n    image: busybox\n    command: [sh, -c, 'cat /run/secrets/f /run/secrets/e /c /etc/app.conf; ls -ln /c']\n\
         \x20   secrets: [f, e]\n    configs: [c, {source: d, target: /etc/app.conf, mode: 0400, uid: \"7\"}]\n\
         secrets: {f: {file: ./secret.txt}, e: {environment: TOKEN}}\n\
         configs: {c: {content: \"[content]\"}, d: {environment: TOKEN}}\n",
    );
    let run = compose(&daemon, &file, ["run", "--rm", "-T", "a"]).env("TOKEN", "[token]").run();
    assert!(run.ok().starts_with("from a file[token][content][token]"), "{run}");
    let missing = compose(&daemon, &file, ["up", "-d"]).run();
    missing.exits(1).complains("`TOKEN` is not set");
}

#[test]
fn run_is_one_off_and_has_the_exit_code() {
    let Some(daemon) = busybox() else { return };
    let file = write(&daemon, "compose.yaml", TWO);
    let run = compose(&daemon, &file, ["run", "--rm", "-T", "-e", "X=y", "web", "sh", "-c", "echo $X$A; exit 7"]).run();
    run.exits(7).prints("yb\n");
    let names = daemon.docker(["ps", "-a", "--format", "{{.Names}}"]).run();
    assert_eq!(names.ok(), "two-db-1", "its dependency runs, and it is gone");
    compose(&daemon, &file, ["down", "-v", "--remove-orphans"]).run().ok();
}

#[test]
fn the_exit_code_of_a_service_ends_everything() {
    let Some(daemon) = busybox() else { return };
    let text = "services:\n  a: {image: busybox, command: [sh, -c, 'sleep 1; exit 5']}\n  b: {image: busybox, command: sleep 1000, stop_grace_period: 0s}\n";
    let file = write(&daemon, "compose.yaml", text);
    let up = compose(&daemon, &file, ["up", "--exit-code-from", "a"]).run();
    up.exits(5);
    assert_eq!(daemon.docker(["ps", "-q"]).run().ok(), "");
    compose(&daemon, &file, ["down"]).run().ok();
}

#[test]
fn scale_pause_port_ls_and_images() {
    let Some(daemon) = busybox() else { return };
    let file = write(
        &daemon,
        "compose.yaml",
        "name: many\nservices:\n  a: {image: busybox, command: sleep 1000, stop_grace_period: 0s, ports: [\"127.0.0.1::80\"]}\n",
    );
    compose(&daemon, &file, ["up", "-d"]).run().ok();
    let port = compose(&daemon, &file, ["port", "a", "80"]).run();
    assert!(port.ok().starts_with("127.0.0.1:"), "{port}");
    compose(&daemon, &file, ["scale", "a=3"]).run().ok();
    let ls = compose(&daemon, &file, ["ls", "--format", "{{.Name}} {{.Status}}"]).run();
    assert!(ls.ok().contains("many running(3)"), "{ls}");
    compose(&daemon, &file, ["pause"]).run().ok();
    assert_eq!(inspect(&daemon, "many-a-2", "{{.State.Paused}}"), "true");
    compose(&daemon, &file, ["unpause"]).run().ok();
    let images = compose(&daemon, &file, ["images", "-q"]).run();
    assert!(images.ok().starts_with("sha256:"), "{images}");
    compose(&daemon, &file, ["down"]).run().ok();
    assert_eq!(daemon.docker(["ps", "-aq"]).run().ok(), "");
}

#[test]
fn a_namespace_is_shared_with_another_service() {
    let Some(daemon) = busybox() else { return };
    let text = "services:\n  a: {image: busybox, command: httpd -f -p 80 -h /etc, stop_grace_period: 0s}\n  b: {image: busybox, network_mode: \"service:a\", command: sleep 1000, stop_grace_period: 0s}\n";
    let file = write(&daemon, "compose.yaml", text);
    let up = compose(&daemon, &file, ["up", "-d"]).run();
    if up.stderr.contains("not supported") {
        // The engine cannot share network namespaces yet; it says so instead of doing something else.
        return;
    }
    up.ok();
    let ids = daemon.docker(["ps", "-q"]).run().ok().to_owned();
    compose(&daemon, &file, ["up", "-d"]).run().ok();
    assert_eq!(daemon.docker(["ps", "-q"]).run().ok(), ids, "nothing changed");
    compose(&daemon, &file, ["down"]).run().ok();
}

#[test]
fn watch_follows_edits() {
    let Some(daemon) = busybox() else { return };
    write(&daemon, "src/index.txt", "one");
    write(&daemon, "src/node_modules/big.txt", "ignored");
    let text = "name: dev\nservices:\n  web:\n    image: busybox\n    command: sleep 1000\n    stop_grace_period: 0s\n    develop:\n      watch:\n        - {action: sync, path: ./src, target: /app, ignore: [node_modules/], initial_sync: true}\n";
    let file = write(&daemon, "compose.yaml", text);
    compose(&daemon, &file, ["up", "-d"]).run().ok();
    let watch = compose(&daemon, &file, ["watch", "--no-up", "-d"]).run();
    watch.ok();
    let copied = || {
        let target = daemon.dir().join("copied");
        let _ = fs_err::remove_dir_all(&target);
        let run = daemon.docker(["cp", "dev-web-1:/app", &target.to_string_lossy()]).run();
        run.code() == Some(0)
    };
    let has = |name: &str, text: &str| {
        copied() && fs_err::read_to_string(daemon.dir().join("copied").join(name)).is_ok_and(|found| found == text)
    };
    wait::until("the first sync", SOON, || has("index.txt", "one"));
    write(&daemon, "src/index.txt", "two");
    wait::until("an edit", SOON, || has("index.txt", "two"));
    write(&daemon, "src/deep/er/new.txt", "three");
    wait::until("a new folder", SOON, || has("deep/er/new.txt", "three"));
    fs_err::remove_file(daemon.dir().join("src/index.txt")).unwrap();
    wait::until("a delete, without `rm` in sight", SOON, || {
        copied() && !daemon.dir().join("copied/index.txt").exists()
    });
    assert!(!daemon.dir().join("copied/node_modules").exists());
    compose(&daemon, &file, ["watch", "status"]).run().ok();
    compose(&daemon, &file, ["watch", "stop"]).run().ok();
    wait::until("the watch to end", Duration::from_secs(20), || {
        compose(&daemon, &file, ["watch", "status"]).run().code() == Some(1)
    });
    // What changes while nobody watches is found at the start of the next watch.
    write(&daemon, "src/later.txt", "four");
    compose(&daemon, &file, ["watch", "--no-up", "-d"]).run().ok();
    wait::until("what was missed", SOON, || has("later.txt", "four"));
    compose(&daemon, &file, ["watch", "stop"]).run().ok();
    compose(&daemon, &file, ["down"]).run().ok();
}

#[test]
fn watch_says_what_is_wrong() {
    let Some(daemon) = busybox() else { return };
    let none = write(&daemon, "compose.yaml", "services:\n  a: {image: busybox}\n");
    compose(&daemon, &none, ["watch", "--no-up"]).run().exits(1).complains("anything to watch");
    let text = "services:\n  a: {image: busybox, develop: {watch: [{action: sync, path: ./nowhere, target: /x}]}}\n";
    let missing = write(&daemon, "compose.yaml", text);
    compose(&daemon, &missing, ["watch", "--no-up"]).run().exits(1).complains("nowhere");
}

#[test]
fn it_is_the_docker_clis_plugin() {
    let Some(daemon) = busybox() else { return };
    let config = daemon.dir().join("docker-config");
    fs_err::create_dir_all(config.join("cli-plugins")).unwrap();
    std::os::unix::fs::symlink(drua_e2e::binary::drua().unwrap(), config.join("cli-plugins/docker-compose")).unwrap();
    let run = daemon.docker(["compose", "version", "--short"]).env("DOCKER_CONFIG", &config).run();
    run.ok();
}
