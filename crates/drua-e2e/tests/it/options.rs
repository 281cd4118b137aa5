//! What `docker run` can ask for: carried out, warned about or refused, and shown by inspect.

use serde_json::{Value, json};

use crate::support::{busybox, inspect, wait_for_status};

/// What a container with these options prints.
#[track_caller]
fn prints(daemon: &drua_e2e::Daemon, options: &[&str], script: &str, expect: &str) {
    let end = ["busybox", "sh", "-c", script];
    let args = ["run", "--rm"].iter().chain(options).chain(&end);
    let run = daemon.docker(args.copied()).run();
    assert_eq!(run.ok(), expect, "{options:?}");
}

#[test]
fn options_are_effective() {
    let Some(daemon) = busybox() else { return };
    let host = daemon.dir().join("bound");
    std::fs::create_dir_all(host.join("sub")).unwrap();
    std::fs::write(host.join("file"), "of the host\n").unwrap();
    let bind = format!("type=bind,source={},target=/b", host.display());
    for (options, script, expect) in [
        (&["--oom-score-adj", "500"][..], "cat /proc/self/oom_score_adj", "500"),
        (&["--sysctl", "net.core.somaxconn=77"], "cat /proc/sys/net/core/somaxconn", "77"),
        (&["--ulimit", "nofile=99:100"], "ulimit -n; ulimit -Hn", "99\n100"),
        (&["--shm-size", "8m"], "df -k /dev/shm | tail -1 | awk '{print $2}'", "8192"),
        (&["--domainname", "example.org", "-h", "me"], "hostname; cat /proc/sys/kernel/domainname", "me\nexample.org"),
        (&["--add-host", "a.b:10.1.2.3"], "grep -c '10.1.2.3.a.b' /etc/hosts", "1"),
        (
            &["--dns", "10.9.9.9", "--dns-search", "x.y", "--dns-option", "ndots:3"],
            "cat /etc/resolv.conf",
            "nameserver 10.9.9.9\nsearch x.y\noptions ndots:3",
        ),
        (&["--ipc", "none"], "grep -c /dev/shm /proc/mounts", "0"),
        (
            &["--tmpfs", "/t:size=1m,mode=700,exec"],
            "stat -c %a /t; grep ' /t ' /proc/mounts | grep -c noexec",
            "700\n0",
        ),
        (&["--mount", &bind, "--read-only"], "cat /b/file; touch /x 2>/dev/null || echo ro", "of the host\nro"),
        (&["--mount", &format!("{bind},readonly")], "touch /b/x 2>/dev/null || echo ro", "ro"),
        (&["--device", "/dev/full:/dev/voll:r"], "test -c /dev/voll && echo there", "there"),
        (&["--annotation", "a=b", "--label", "k=v"], "echo fine", "fine"),
        (&["--group-add", "2000", "-u", "1000:1001"], "id -u; id -g; id -G", "1000\n1001\n1001 2000"),
        (&["--memory-swappiness", "-1", "--pids-limit", "50"], "echo fine", "fine"),
    ] {
        let end = ["busybox", "sh", "-c", script];
        let args = ["run", "--rm"].iter().chain(options).chain(&end);
        let run = daemon.docker(args.copied()).run();
        assert_eq!(run.stdout.trim_end(), expect, "{options:?} {run}");
    }
    prints(&daemon, &["--privileged"], "test -c /dev/loop-control -o -c /dev/kmsg -o -c /dev/fuse && echo all", "all");
}

#[test]
fn contradictions_are_refused() {
    let Some(daemon) = busybox() else { return };
    daemon.docker(["create", "--name", "other", "busybox", "true"]).run().ok();
    for (options, expect) in [
        (&["--gpus", "all"][..], "could not select device driver"),
        (&["--storage-opt", "size=1g"], "not supported"),
        (&["--userns", "private"], "invalid"),
        (&["--isolation", "hyperv"], "invalid isolation"),
        (&["--cpuset-cpus", "4000"], "Requested CPUs are not available"),
        (&["--oom-score-adj", "1001"], "range for oom score adj"),
        (&["--sysctl", "kernel.panic=1"], "kernel.panic"),
        (&["--net", "container:other", "-h", "x"], "hostname and the network mode"),
        (&["--net", "container:other", "--dns", "1.1.1.1"], "dns and the network mode"),
        (&["--net", "container:other", "--add-host", "a:1.1.1.1"], "custom host-to-IP mapping"),
        (&["--net", "container:other", "-p", "80"], "port publishing and the container type network mode"),
        (&["--net", "container:nobody"], "No such container"),
        (&["--ipc", "container:other"], "non-shareable IPC"),
        (&["--volumes-from", "nobody"], "No such container: nobody"),
        (&["--log-driver", "asdf"], "no log driver named 'asdf' is registered"),
        (&["--device", "/dev/nope"], "error gathering device information"),
        (&["--runtime", "nope"], "unknown or invalid runtime name: nope"),
    ] {
        let args = ["run", "--rm"].iter().chain(options).chain(&["busybox", "true"]);
        let run = daemon.docker(args.copied()).run();
        assert!(matches!(run.code(), Some(125..=127)) && run.stderr.contains(expect), "{options:?}: {run}");
        assert!(!run.stderr.contains("Unable to find image"), "{options:?}: {run}");
    }
}

#[test]
fn warnings_are_dockers() {
    let Some(daemon) = busybox() else { return };
    let body = json!({
        "Image": "busybox",
        "Cmd": "true",
        "HostConfig": { "SecurityOpt": ["apparmor=mine"], "OomKillDisable": true },
    });
    let response = daemon.api("POST", "/containers/create", &body.to_string()).unwrap();
    assert_eq!(response.status, 201, "{response:?}");
    let answer: Value = serde_json::from_str(&response.body).unwrap();
    let warnings = answer["Warnings"].to_string();
    assert!(warnings.contains("AppArmor profiles are not applied"), "{warnings}");
    assert!(warnings.contains("OOM killer is disabled") || warnings.contains("OomKillDisable discarded"), "{warnings}");
}

#[test]
fn volumes_from_and_their_parts() {
    let Some(daemon) = busybox() else { return };
    daemon
        .docker(["run", "-d", "--name", "donor", "-v", "data:/data", "-v", "/anon", "busybox", "sleep", "1000"])
        .run()
        .ok();
    daemon
        .docker([
            "run",
            "--rm",
            "-v",
            "data:/d",
            "busybox",
            "sh",
            "-c",
            "mkdir -p /d/a/b; echo in > /d/a/b/f; ln -s / /d/up",
        ])
        .run()
        .ok();
    prints(&daemon, &["--volumes-from", "donor"], "cat /data/a/b/f; test -d /anon && echo anon", "in\nanon");
    prints(&daemon, &["--volumes-from", "donor:ro"], "touch /data/x 2>/dev/null || echo ro", "ro");
    let part = "type=volume,source=data,target=/part,volume-subpath=a/b";
    prints(&daemon, &["--mount", part], "cat /part/f; touch /part/made", "in");
    prints(&daemon, &["-v", "data:/d"], "ls /d/a/b", "f\nmade");
    let file = "type=volume,source=data,target=/one,volume-subpath=a/b/f";
    prints(&daemon, &["--mount", file], "cat /one", "in");
    // A link in a volume leads to the volume's own root, not to the host's.
    let up = "type=volume,source=data,target=/up,volume-subpath=up";
    prints(&daemon, &["--mount", up], "ls /up", "a\nup");
    let missing = "type=volume,source=data,target=/x,volume-subpath=nope";
    let run = daemon.docker(["run", "--rm", "--mount", missing, "busybox", "true"]).run();
    assert!(run.code() != Some(0) && run.stderr.contains("cannot access path nope"), "{run}");
    let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap();
    let own = daemon.dir().join("run/mnt");
    assert!(!mounts.contains(&*own.to_string_lossy()), "parts of volumes stay mounted");
}

#[test]
fn volumes_with_driver_options_are_file_systems() {
    let Some(daemon) = busybox() else { return };
    let opts = ["--opt", "type=tmpfs", "--opt", "device=tmpfs", "--opt", "o=size=1m,uid=1000"];
    let args = ["volume", "create"].iter().chain(&opts).chain(&["ram"]);
    daemon.docker(args.copied()).run().prints("ram\n").ok();
    daemon.docker(["run", "-d", "--name", "one", "-v", "ram:/r", "busybox", "sleep", "1000"]).run().ok();
    daemon.docker(["run", "--rm", "-v", "ram:/r", "busybox", "touch", "/r/shared"]).run().ok();
    daemon.docker(["cp", "one:/r/shared", "-"]).run().ok();
    prints(&daemon, &["-v", "ram:/r"], "stat -c %u /r; df -k /r | tail -1 | awk '{print $2}'", "1000\n1024");
    daemon.docker(["rm", "-f", "one"]).run().ok();
    prints(&daemon, &["-v", "ram:/r"], "ls /r", "");
    let dir = daemon.dir().join("device");
    std::fs::create_dir(&dir).unwrap();
    let device = format!("device={}", dir.display());
    daemon.docker(["volume", "create", "--opt", "type=none", "--opt", "o=bind", "--opt", &device, "bound"]).run().ok();
    prints(&daemon, &["-v", "bound:/b"], "echo x > /b/made", "");
    assert!(dir.join("made").exists());
    daemon.docker(["volume", "rm", "bound", "ram"]).run().ok();
    assert!(dir.join("made").exists(), "removing the volume leaves the device alone");
    for (opts, expect) in [
        (&["--opt", "nope=1"][..], "invalid option: \"nope\""),
        (&["--opt", "type=tmpfs"], "missing required option: \"device\""),
    ] {
        let args = ["volume", "create"].iter().chain(opts).chain(&["bad"]);
        daemon.docker(args.copied()).run().exits(1).complains(expect);
    }
}

#[test]
fn namespaces_are_shared() {
    let Some(daemon) = busybox() else { return };
    daemon.docker(["run", "-d", "--name", "donor", "--ipc", "shareable", "busybox", "sleep", "1000"]).run().ok();
    wait_for_status(&daemon, "donor", "running");
    prints(&daemon, &["--ipc", "container:donor"], "touch /dev/shm/seen", "");
    daemon.docker(["cp", "donor:/dev/shm/seen", "-"]).run().ok();
    prints(&daemon, &["--pid", "container:donor"], "ps | grep -c 'sleep 100[0]'", "1");
    prints(&daemon, &["--net", "container:donor"], "hostname -i >/dev/null; grep -c localhost /etc/hosts", "2");
    prints(
        &daemon,
        &["--uts", "host"],
        "test \"$(hostname)\" = \"$(cat /proc/sys/kernel/hostname)\" && echo same",
        "same",
    );
    assert_eq!(inspect(&daemon, "donor", "{{.HostConfig.IpcMode}}"), "shareable");
}

#[test]
fn links_are_names_in_hosts() {
    let Some(daemon) = busybox() else { return };
    daemon.docker(["run", "-d", "--name", "db", "busybox", "sleep", "1000"]).run().ok();
    prints(&daemon, &["--link", "db:database"], "grep -c 'database.*db' /etc/hosts", "1");
    daemon.docker(["stop", "-t", "0", "db"]).run().ok();
    let run = daemon.docker(["run", "--rm", "--link", "db", "busybox", "true"]).run();
    run.exits(125).complains("Cannot link to a non running container");
}

#[test]
fn inspect_shows_every_field_of_the_host_configuration() {
    let Some(daemon) = busybox() else { return };
    daemon.docker(["create", "--name", "box", "-m", "64m", "--cap-add", "NET_ADMIN", "busybox", "true"]).run().ok();
    let host: Value = serde_json::from_str(&inspect(&daemon, "box", "{{json .HostConfig}}")).unwrap();
    for (key, expect) in [
        ("Memory", json!(64 << 20)),
        ("MemorySwap", json!(128 << 20)),
        ("ShmSize", json!(64 << 20)),
        ("IpcMode", json!("private")),
        ("PidsLimit", Value::Null),
        ("Devices", json!([])),
        ("Dns", json!([])),
        ("OomKillDisable", Value::Null),
        ("ReadonlyRootfs", json!(false)),
        ("CapAdd", json!(["CAP_NET_ADMIN"])),
        ("Isolation", json!("")),
    ] {
        assert_eq!(host.get(key), Some(&expect), "{key}");
    }
}
