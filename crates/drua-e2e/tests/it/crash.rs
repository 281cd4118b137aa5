//! `kill -9` of the daemon: containers of both kinds run on, and a new daemon misses nothing.

use drua_e2e::{guest, http, wait};

use crate::support::{SOON, busybox, events, inspect, load, now, published, wait_for_log, wait_for_status, wasm_image};

/// Counts until the file `/flag/go` appears, then ends with 7.
const COUNT: &str = "i=0; until [ -e /flag/go ]; do echo $i; i=$((i+1)); usleep 5000; done; exit 7";

#[test]
fn containers_of_both_kinds_run_on() {
    let Some(mut daemon) = busybox() else { return };
    load(&daemon, &wasm_image("app", &guest::http().unwrap()));
    daemon.docker(["run", "-d", "--name", "heavy", "busybox", "sleep", "1000"]).run().ok();
    let web = ["run", "-d", "--name", "light", "--platform", "wasi/wasm", "-p", "127.0.0.1::8080", "app"];
    daemon.docker(web).run().ok();
    let address = published(&daemon, "light", "8080/tcp");
    wait::until("the component", SOON, || http::get(&address, "/").is_ok());
    let pids = ["heavy", "light"].map(|name| inspect(&daemon, name, "{{.State.Pid}}"));
    daemon.kill();
    assert_eq!(http::get(&address, "/").unwrap().body, "Hello from Wasm\n");
    daemon.restart().unwrap();
    let after = ["heavy", "light"].map(|name| inspect(&daemon, name, "{{.State.Pid}}"));
    assert_eq!(after, pids);
    assert_eq!(daemon.docker(["ps", "-q"]).run().ok().lines().count(), 2);
    assert_eq!(http::get(&address, "/").unwrap().status, 200);
    daemon.docker(["stop", "-t", "2", "light", "heavy"]).run().ok();
    wait_for_status(&daemon, "light", "exited");
}

#[test]
fn logs_have_no_gap_and_exits_are_reported() {
    let Some(mut daemon) = busybox() else { return };
    let flag = daemon.dir().join("flag");
    fs_err::create_dir(&flag).unwrap();
    let bind = format!("{}:/flag", flag.display());
    daemon.docker(["run", "-d", "--name", "box", "-v", &bind, "busybox", "sh", "-c", COUNT]).run().ok();
    wait_for_log(&daemon, "box", "10\n");
    let since = now();
    daemon.kill();
    let lines = || {
        let dir = fs_err::read_dir(daemon.dir().join("data/containers")).unwrap().next().unwrap().unwrap().path();
        fs_err::read_to_string(dir.join("json.log")).unwrap_or_default().lines().count()
    };
    let before = lines();
    wait::until("output without a daemon", SOON, || lines() > before + 20);
    fs_err::write(flag.join("go"), "").unwrap();
    wait::until("the exit without a daemon", SOON, || {
        let mut dirs = fs_err::read_dir(daemon.dir().join("data/containers")).unwrap();
        dirs.any(|dir| dir.is_ok_and(|dir| dir.path().join("exit.json").exists()))
    });
    daemon.restart().unwrap();
    wait_for_status(&daemon, "box", "exited");
    assert_eq!(inspect(&daemon, "box", "{{.State.ExitCode}}"), "7");
    daemon.docker(["wait", "box"]).run().prints("7\n").ok();
    let run = daemon.docker(["logs", "box"]).run();
    let numbers: Vec<usize> = run.ok().lines().map(|line| line.parse().unwrap()).collect();
    assert_eq!(numbers, (0..numbers.len()).collect::<Vec<_>>(), "the log has a gap");
    assert!(events(&daemon, &since).contains(&"container die".to_owned()), "no die event");
}

#[test]
fn a_follower_can_continue_after_the_restart() {
    let Some(mut daemon) = busybox() else { return };
    let flag = daemon.dir().join("flag");
    fs_err::create_dir(&flag).unwrap();
    let bind = format!("{}:/flag", flag.display());
    daemon.docker(["run", "-d", "--name", "box", "-v", &bind, "busybox", "sh", "-c", COUNT]).run().ok();
    wait_for_log(&daemon, "box", "5\n");
    daemon.kill();
    daemon.restart().unwrap();
    let follower = daemon.docker(["logs", "-f", "box"]).session();
    fs_err::write(flag.join("go"), "").unwrap();
    let run = follower.finish();
    let numbers: Vec<usize> = run.ok().lines().map(|line| line.parse().unwrap()).collect();
    assert_eq!(numbers, (0..numbers.len()).collect::<Vec<_>>());
    wait_for_status(&daemon, "box", "exited");
}

#[test]
fn auto_removal_survives_a_crash() {
    let Some(mut daemon) = busybox() else { return };
    let flag = daemon.dir().join("flag");
    fs_err::create_dir(&flag).unwrap();
    let bind = format!("{}:/flag", flag.display());
    daemon.docker(["run", "-d", "--rm", "--name", "box", "-v", &bind, "busybox", "sh", "-c", COUNT]).run().ok();
    daemon.kill();
    fs_err::write(flag.join("go"), "").unwrap();
    daemon.restart().unwrap();
    wait::until("the removal", SOON, || daemon.docker(["ps", "-aq"]).run().ok().is_empty());
}

#[test]
fn an_orderly_end_leaves_containers_running() {
    let Some(mut daemon) = busybox() else { return };
    daemon.docker(["run", "-d", "--name", "box", "busybox", "sleep", "1000"]).run().ok();
    let pid = inspect(&daemon, "box", "{{.State.Pid}}");
    daemon.stop();
    daemon.restart().unwrap();
    assert_eq!(inspect(&daemon, "box", "{{.State.Pid}}"), pid);
}

#[test]
fn images_volumes_and_networks_survive() {
    let Some(mut daemon) = busybox() else { return };
    daemon.docker(["volume", "create", "vol"]).run().ok();
    daemon.docker(["network", "create", "net"]).run().ok();
    daemon
        .docker(["create", "--name", "box", "--network", "net", "-v", "vol:/vol", "busybox", "echo", "hi"])
        .run()
        .ok();
    daemon.kill();
    daemon.restart().unwrap();
    daemon.docker(["volume", "inspect", "vol"]).run().ok();
    daemon.docker(["network", "inspect", "net"]).run().ok();
    daemon.docker(["start", "-a", "box"]).run().prints("hi\n").exits(0);
}

#[test]
fn a_shim_that_is_killed_is_an_exit() {
    let Some(daemon) = busybox() else { return };
    daemon.docker(["run", "-d", "--name", "box", "busybox", "sleep", "1000"]).run().ok();
    let init = inspect(&daemon, "box", "{{.State.Pid}}");
    let status = fs_err::read_to_string(format!("/proc/{init}/status")).unwrap();
    let shim = status.lines().find_map(|line| line.strip_prefix("PPid:\t")).unwrap();
    let line = fs_err::read_to_string(format!("/proc/{shim}/cmdline")).unwrap();
    assert!(line.contains("shim"), "the container's parent is {line:?}");
    let pid = rustix::process::Pid::from_raw(shim.parse().unwrap()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
    wait_for_status(&daemon, "box", "exited");
    daemon.docker(["rm", "box"]).run().ok();
}
