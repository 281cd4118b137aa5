//! `docker run` of Linux containers: flags, exit codes, streams, and the sandbox.

use drua_e2e::{Image, Rootfs, binary};
use serde_json::json;

use crate::support::{busybox, docker_cli, inspect, load, skip, wait_for_log};

#[test]
fn exit_codes_pass_through() {
    let Some(daemon) = busybox() else { return };
    daemon.docker(["run", "--rm", "busybox", "true"]).run().exits(0);
    daemon.docker(["run", "--rm", "busybox", "sh", "-c", "exit 42"]).run().exits(42);
}

#[test]
fn commands_that_cannot_run_have_their_own_codes() {
    let Some(daemon) = busybox() else { return };
    let run = daemon.docker(["run", "--rm", "busybox", "nope"]).run();
    run.exits(127).complains("executable file not found in $PATH");
    daemon.docker(["run", "--rm", "busybox", "/etc/passwd"]).run().exits(126).complains("permission denied");
    // Docker's CLI before version 23 exits with 125 here.
    daemon.docker(["run", "--rm", "busybox", "/etc"]).run().complains("is a directory");
    daemon.drua(["run", "--rm", "busybox", "/etc"]).run().exits(126);
    daemon.docker(["run", "--rm", "busybox", "/no/such/file"]).run().exits(127).complains("no such file or directory");
    daemon.docker(["run", "--rm", "--network", "nowhere", "busybox", "true"]).run().exits(125);
    assert_eq!(daemon.docker(["ps", "-aq"]).run().ok(), "", "--rm removes what could not start");
}

#[test]
fn streams_stay_apart() {
    let Some(daemon) = busybox() else { return };
    let run = daemon.docker(["run", "--rm", "busybox", "sh", "-c", "echo out; echo err >&2"]).run();
    run.exits(0).prints("out\n");
    assert_eq!(run.stderr, "err\n");
}

#[test]
fn much_output_arrives_complete() {
    let Some(daemon) = busybox() else { return };
    let run = daemon.docker(["run", "--rm", "busybox", "seq", "200000"]).run();
    assert_eq!(run.ok().lines().count(), 200_000);
    assert!(run.stdout.ends_with("\n199999\n200000\n"));
}

#[test]
fn stdin_is_passed_and_closed() {
    let Some(daemon) = busybox() else { return };
    daemon.docker(["run", "--rm", "-i", "busybox", "cat"]).input("one\ntwo\n").run().prints("one\ntwo\n").exits(0);
    let big = "0123456789abcdef".repeat(64 * 1024);
    let run = daemon.docker(["run", "--rm", "-i", "busybox", "sh", "-c", "cat | wc -c"]).input(big).run();
    assert_eq!(run.ok(), "1048576");
    daemon.docker(["run", "--rm", "busybox", "cat"]).run().prints("").exits(0);
}

#[test]
fn a_terminal_is_a_terminal() {
    let Some(daemon) = busybox() else { return };
    let run = daemon.docker(["run", "--rm", "-t", "busybox", "sh", "-c", "tty; echo $TERM; echo err >&2"]).run();
    run.exits(0).prints("/dev/pts/0\r\nxterm\r\nerr\r\n");
}

/// Waits for the terminal's size, which arrives after the start.
const INSIDE: &str = r#"until [ "$(stty size)" = "31 97" ]; do usleep 10000; done; stty size; read x; echo got $x"#;

#[test]
fn an_interactive_terminal_echoes_and_ends() {
    let Some(daemon) = busybox() else { return };
    let Some(script) = binary::on_path("script").or_else(|| skip("no `script` on PATH")) else { return };
    let docker = docker_cli().unwrap();
    let line = format!("stty cols 97 rows 31; {} run --rm -it busybox sh -c '{INSIDE}'", docker.display());
    let run = drua_e2e::Cmd::new(script)
        .env("DOCKER_HOST", daemon.options.host())
        .env("HOME", daemon.dir())
        .args(["-qec", &line, "/dev/null"])
        .input("something\n")
        .run();
    assert!(run.ok().contains("got something"), "{run}");
    assert!(run.stdout.contains("31 97"), "{run}");
}

#[test]
fn environment_directory_user_and_entrypoint() {
    let Some(daemon) = busybox() else { return };
    let run =
        daemon.docker(["run", "--rm", "-e", "COLOR=blue", "-w", "/tmp/new", "busybox", "sh", "-c", "echo $COLOR; pwd"]);
    run.run().prints("blue\n/tmp/new\n").exits(0);
    daemon.docker(["run", "--rm", "-u", "1234:5678", "busybox", "id", "-u"]).run().prints("1234\n").exits(0);
    daemon.docker(["run", "--rm", "-u", "www-data", "busybox", "id", "-un"]).run().prints("www-data\n").exits(0);
    daemon.docker(["run", "--rm", "--entrypoint", "/bin/echo", "busybox", "hi"]).run().prints("hi\n").exits(0);
    daemon.docker(["run", "--rm", "-u", "ghost", "busybox", "true"]).run().exits(125).complains("ghost");
}

#[test]
fn environment_has_dockers_defaults() {
    let Some(daemon) = busybox() else { return };
    let run = daemon.docker(["run", "--rm", "-h", "myhost", "busybox", "env"]).run();
    let lines: Vec<&str> = run.ok().lines().collect();
    assert!(lines.contains(&"HOSTNAME=myhost"), "{run}");
    assert!(lines.contains(&"HOME=/root"), "{run}");
    assert!(lines.iter().any(|line| line.starts_with("PATH=/usr/local/sbin:")), "{run}");
}

#[test]
fn the_default_sandbox_is_dockers() {
    let Some(daemon) = busybox() else { return };
    let run = daemon.docker(["run", "--rm", "busybox", "grep", "-E", "^(CapEff|Seccomp):", "/proc/self/status"]).run();
    assert_eq!(run.ok(), "CapEff:\t00000000a80425fb\nSeccomp:\t2");
    daemon.docker(["run", "--rm", "busybox", "sh", "-c", "echo $$"]).run().prints("1\n").exits(0);
    let masked = "cat /proc/keys /proc/timer_list 2>/dev/null | wc -c; echo 1 > /proc/sys/kernel/panic; mount -t tmpfs x /tmp; ls /dev/mem";
    let run = daemon.docker(["run", "--rm", "busybox", "sh", "-c", masked]).run();
    assert!(run.stdout.starts_with("0\n"), "{run}");
    run.complains("Read-only file system").complains("ermission denied").complains("/dev/mem: No such file");
    let run = daemon.docker([
        "run",
        "--rm",
        "busybox",
        "sh",
        "-c",
        "ls /proc/self/ns >/dev/null && ls -d /proc/[0-9]* | wc -l",
    ]);
    assert!(run.run().ok().parse::<u32>().unwrap() <= 4, "other processes are visible");
}

#[test]
fn privileged_and_capabilities() {
    let Some(daemon) = busybox() else { return };
    let status = ["busybox", "grep", "CapEff", "/proc/self/status"];
    let run = daemon.docker(["run", "--rm", "--cap-drop", "ALL", "--cap-add", "NET_BIND_SERVICE"]).args(status).run();
    assert_eq!(run.ok(), "CapEff:\t0000000000000400");
    let own = fs_err::read_to_string("/proc/self/status").unwrap();
    let all = fs_err::read_to_string("/proc/sys/kernel/cap_last_cap").unwrap().trim().parse::<u32>().unwrap();
    if !own.contains(&format!("CapBnd:\t{:016x}", (1_u64 << (all + 1)) - 1)) {
        return; // A daemon cannot give what it does not have.
    }
    let run = daemon.docker(["run", "--rm", "--privileged", "busybox", "mount", "-t", "tmpfs", "x", "/tmp"]);
    run.run().exits(0);
}

#[test]
fn resource_limits_reach_the_cgroup() {
    let Some(daemon) = busybox() else { return };
    daemon
        .docker(["run", "-d", "--name", "small", "-m", "64m", "--pids-limit", "50", "busybox", "sleep", "1000"])
        .run()
        .ok();
    let pid = inspect(&daemon, "small", "{{.State.Pid}}");
    let cgroups = fs_err::read_to_string(format!("/proc/{pid}/cgroup")).unwrap();
    let path_of = |controller: &str| {
        let line = cgroups.lines().find(|line| line.contains(&format!(":{controller}:"))).or(cgroups.lines().last());
        line.and_then(|line| line.rsplit(':').next()).unwrap().to_owned()
    };
    let read = |v1: String, v2: String| fs_err::read_to_string(&v1).or_else(|_| fs_err::read_to_string(&v2)).unwrap();
    let memory = path_of("memory");
    let limit = read(
        format!("/sys/fs/cgroup/memory{memory}/memory.limit_in_bytes"),
        format!("/sys/fs/cgroup{memory}/memory.max"),
    );
    assert_eq!(limit.trim(), "67108864");
    let pids = path_of("pids");
    let limit = read(format!("/sys/fs/cgroup/pids{pids}/pids.max"), format!("/sys/fs/cgroup{pids}/pids.max"));
    assert_eq!(limit.trim(), "50");
}

#[test]
fn too_much_memory_is_an_oom_kill() {
    let Some(daemon) = busybox() else { return };
    let fill = ["run", "--name", "hungry", "-m", "32m", "--memory-swap", "32m", "busybox"];
    let run = daemon.docker(fill).args(["dd", "if=/dev/zero", "of=/dev/null", "bs=200M", "count=1"]).run();
    run.exits(137);
    assert_eq!(inspect(&daemon, "hungry", "{{.State.OOMKilled}}"), "true");
}

#[test]
fn files_of_an_image_have_their_owners_and_modes() {
    let Some(daemon) = busybox() else { return };
    let rootfs = Rootfs::new().owned_dir("data", 0o750, 1234).file("bin/tool", 0o4755, "x").symlink("l", "data");
    load(&daemon, &Image::linux("modes:1").rootfs(rootfs).config("Cmd", json!(["/bin/tool"])));
    daemon.docker(["create", "--name", "box", "modes:1"]).run().ok();
    daemon.docker(["run", "-d", "--name", "keeper", "busybox", "sleep", "1000"]).run().ok();
    assert_eq!(inspect(&daemon, "box", "{{json .Config.Cmd}}"), r#"["/bin/tool"]"#);
}

#[test]
fn detached_containers_print_their_id() {
    let Some(daemon) = busybox() else { return };
    let run = daemon.docker(["run", "-d", "--name", "bg", "busybox", "sh", "-c", "echo started; sleep 1000"]).run();
    let id = run.ok();
    assert_eq!(id.len(), 64);
    assert_eq!(inspect(&daemon, "bg", "{{.Id}} {{.State.Running}}"), format!("{id} true"));
    wait_for_log(&daemon, "bg", "started");
}

#[test]
fn a_writable_layer_is_the_containers_own() {
    let Some(daemon) = busybox() else { return };
    daemon.docker(["run", "--name", "first", "busybox", "touch", "/mark"]).run().ok();
    daemon.docker(["run", "--rm", "busybox", "ls", "/mark"]).run().exits(1);
    daemon.docker(["start", "first"]).run().ok();
    daemon.docker(["run", "--rm", "--read-only", "busybox", "touch", "/mark"]).run().exits(1).complains("Read-only");
}

#[test]
fn an_init_passes_signals_on_and_reaps_orphans() {
    let Some(daemon) = busybox() else { return };
    // `sleep` has no handler for SIGTERM: as PID 1 it would not hear it.
    daemon.docker(["run", "-d", "--init", "--name", "box", "busybox", "sleep", "1000"]).run().ok();
    daemon.docker(["stop", "-t", "60", "box"]).run().ok();
    assert_eq!(inspect(&daemon, "box", "{{.State.ExitCode}}"), "143");
    // An orphan that has just ended is a zombie for a moment; one that stays is nobody's.
    let orphans = "for i in 1 2 3 4 5 6 7 8 9 10; do sh -c 'true & exec true'; done; tries=0; \
                   while ps -o stat | grep -q Z; do tries=$((tries + 1)); [ $tries -lt 500 ] || exit 1; done; echo reaped";
    daemon.docker(["run", "--rm", "--init", "busybox", "sh", "-c", orphans]).run().prints("reaped\n").exits(0);
    daemon.docker(["run", "--rm", "--init", "busybox", "nope"]).run().exits(127).complains("executable file not found");
    daemon.docker(["run", "--rm", "--init", "busybox", "sh", "-c", "exit 7"]).run().exits(7);
}
