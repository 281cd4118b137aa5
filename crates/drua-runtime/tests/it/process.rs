//! What the process in the container sees of itself.

use std::fs;
use std::io::{Read as _, Write as _};
use std::sync::Arc;

use drua_runtime::sandbox::{ExecWorkload, Stdio};
use drua_runtime::spec::{ContainerSpec, MountSource, MountSpec, Namespace, Propagation, build};
use drua_runtime::users::ResolvedUser;

use crate::fixture::{Fixture, Output, host, wait};

pub(crate) fn exit_codes() {
    let fixture = Fixture::new();
    for (script, code) in [("true", 0), ("false", 1), ("exit 42", 42), ("kill -9 $$; sleep 1", 0), ("kill -TERM $$", 0)]
    {
        // PID 1 does not get signals that it has no handler for, not even SIGKILL, from inside its namespace.
        assert_eq!(fixture.run(&fixture.sh(script)).code, code, "{script}");
    }
    let out = fixture.run(&fixture.sh("echo out; echo err >&2; exit 3"));
    assert_eq!(out, Output { code: 3, stdout: "out\n".to_owned(), stderr: "err\n".to_owned() });
}

pub(crate) fn environment_user_and_directory() {
    let fixture = Fixture::new();
    let mut spec = fixture.sh("id -u; id -g; id -G; pwd; echo $HOME $HOSTNAME $FOO; hostname; umask; grep -c . /proc/self/status >/dev/null && cat /proc/1/cmdline | tr '\\0' ' '");
    spec.user = ResolvedUser { uid: 1000, gid: 1001, additional_gids: vec![20, 1001], home: "/home/me".to_owned() };
    spec.env = vec!["FOO=a b".to_owned()];
    spec.cwd = "/tmp".to_owned();
    fs::create_dir_all(fixture.rootfs().join("tmp")).expect("a directory");
    let out = fixture.run(&spec);
    let mut lines = out.stdout.lines();
    let expect = ["1000", "1001", "1001 20", "/tmp", "/home/me box a b", "box", "0022"];
    for wanted in expect {
        assert_eq!(lines.next(), Some(wanted), "{out:?}");
    }
    assert!(lines.next().is_some_and(|line| line.starts_with("sh -c id")), "{out:?}");
}

pub(crate) fn terminal() {
    let fixture = Fixture::new();
    let mut spec =
        fixture.sh("test -t 0 && test -t 2 && tty; echo $TERM; read line; echo got $line; ls -l /dev/console");
    spec.tty = true;
    spec.user = ResolvedUser { uid: 1000, gid: 1000, additional_gids: vec![1000], home: "/".to_owned() };
    let built = build(&spec, &host()).expect("valid");
    let mut sandbox = fixture.create_raw(built, Stdio::Terminal, Arc::new(ExecWorkload)).expect("create");
    let mut console = fs::File::from(sandbox.take_console().expect("a terminal"));
    assert!(sandbox.take_console().is_none());
    sandbox.start().expect("start");
    console.write_all(b"hello\n").expect("write");
    let mut text = Vec::new();
    let mut buffer = [0; 1024];
    // A terminal whose other side is closed reads as EIO.
    while let Ok(count @ 1..) = console.read(&mut buffer) {
        text.extend_from_slice(&buffer[..count]);
    }
    assert_eq!(wait(sandbox.pid()), 0);
    sandbox.delete().expect("delete");
    let text = String::from_utf8_lossy(&text);
    for wanted in ["/dev/pts/0", "xterm", "got hello", "/dev/console"] {
        assert!(text.contains(wanted), "{wanted} in {text:?}");
    }
    assert!(text.contains("1000"), "the terminal belongs to the user: {text:?}");
}

pub(crate) fn mounts() {
    let fixture = Fixture::new();
    let source = fixture.directory.path().join("source");
    fs::create_dir(&source).expect("a directory");
    fs::write(source.join("file"), "content").expect("a file");
    let bind = |destination: &str, readonly, source: &std::path::Path| MountSpec {
        destination: destination.to_owned(),
        source: MountSource::Bind { source: source.to_owned(), propagation: Propagation::RPrivate, recursive: true },
        readonly,
        options: Vec::new(),
    };
    let mut spec =
        fixture.sh("cat /ro/file /deep/er/file; touch /ro/x 2>/dev/null || echo ro; touch /rw/x && echo rw; \
         df -k /t | tail -1 | awk '{print $2}'; stat -c %a /t; df -k /dev/shm | tail -1 | awk '{print $2}'; \
         grep ' /rw ' /proc/self/mountinfo | grep -c -e shared: -e master:");
    spec.shm_size = Some(1 << 20);
    spec.mounts = vec![
        bind("/ro", true, &source),
        bind("/rw", false, &source),
        bind("/deep/er/file", true, &source.join("file")),
        MountSpec {
            destination: "/t".to_owned(),
            source: MountSource::Tmpfs { size: Some(2 << 20) },
            readonly: false,
            options: vec!["mode=1700".to_owned()],
        },
    ];
    let out = fixture.run(&spec);
    assert_eq!(out.stdout, "contentcontentro\nrw\n2048\n1700\n1024\n0\n", "{out:?}");
    assert!(source.join("x").exists());
}

pub(crate) fn namespaces() {
    let fixture = Fixture::new();
    let script = "for n in net pid ipc uts mnt cgroup; do readlink /proc/self/ns/$n; done; cat /proc/sys/net/ipv4/ip_unprivileged_port_start";
    let of_host = |name: &str| fs::read_link(format!("/proc/self/ns/{name}")).expect("a link").display().to_string();
    let private = fixture.run(&fixture.sh(script)).stdout;
    for (line, name) in private.lines().zip(["net", "pid", "ipc", "uts", "mnt", "cgroup"]) {
        assert_ne!(line, of_host(name));
    }
    assert!(private.ends_with("\n0\n"), "ports below 1024 are free: {private}");

    let shared = ContainerSpec {
        network: Namespace::Path("/proc/self/ns/net".into()),
        sysctls: Default::default(),
        ..crate::fixture::host_network(fixture.sh(script))
    };
    let shared = ContainerSpec {
        network: Namespace::Host,
        pid: Namespace::Host,
        ipc: Namespace::Host,
        uts: Namespace::Host,
        cgroupns: Some(Namespace::Host),
        ..shared
    };
    let shared = fixture.run(&shared);
    for (line, name) in shared.stdout.lines().zip(["net", "pid", "ipc", "uts"]) {
        assert_eq!(line, of_host(name), "{name}: {shared:?}");
    }
}

pub(crate) fn standard_streams_belong_to_the_user() {
    let fixture = Fixture::new();
    let mut spec = fixture.sh("echo again > /dev/stdout; echo more > /proc/self/fd/2");
    spec.user = ResolvedUser { uid: 1000, gid: 1000, additional_gids: vec![1000], home: "/".to_owned() };
    let out = fixture.run(&spec);
    assert_eq!(out, Output { code: 0, stdout: "again\n".to_owned(), stderr: "more\n".to_owned() });
}
