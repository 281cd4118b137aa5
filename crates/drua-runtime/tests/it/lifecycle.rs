//! Signals, the freezer and removal.

use std::path::Path;

use drua_runtime::sandbox::{ExecWorkload, Stdio, destroy};
use drua_runtime::spec::{Namespace, build};
use drua_types::{Classify as _, ErrorKind, Signal};

use crate::fixture::{Fixture, eventually, host, status, wait};

pub(crate) fn kill_pause_and_resume() {
    let fixture = Fixture::new();
    let mut running = fixture.create(&fixture.sh("trap 'exit 9' TERM; while :; do :; done"));
    running.sandbox.start().expect("start");
    // A signal that comes before its handler does nothing to an init.
    let handled = || u64::from_str_radix(&status(running.sandbox.pid(), "SigCgt"), 16).expect("a mask");
    eventually("a handler", || handled() & (1 << (Signal::TERM.number() - 1)) != 0);
    let usage = || std::fs::read_to_string(format!("/proc/{}/stat", running.sandbox.pid())).expect("stat");
    running.sandbox.pause().expect("pause");
    assert!(running.sandbox.cgroup().is_frozen().expect("state"));
    let frozen = usage();
    running.sandbox.kill(Signal::TERM).expect("kill");
    assert_eq!(usage(), frozen, "it does not run");
    running.sandbox.resume().expect("resume");
    let out = running.finish();
    assert_eq!(out.code, 9);

    let mut running = fixture.create(&fixture.spec(&["sleep", "100"]));
    running.sandbox.start().expect("start");
    running.sandbox.pause().expect("pause");
    running.sandbox.kill(Signal::KILL).expect("kill");
    assert_eq!(wait(running.sandbox.pid()), 137, "SIGKILL reaches a paused container");
    let gone = running.sandbox.kill(Signal::TERM).expect_err("it is gone");
    assert_eq!(gone.kind(), ErrorKind::NotFound);
    running.sandbox.delete().expect("delete");
}

pub(crate) fn kill_all_reaches_every_process() {
    let fixture = Fixture::new();
    let mut spec = fixture.sh("for i in 1 2 3 4; do sleep 100 & done; exec sleep 100");
    spec.pid = Namespace::Host;
    let mut running = fixture.create(&spec);
    running.sandbox.start().expect("start");
    eventually("five processes", || running.sandbox.cgroup().pids().expect("pids").len() == 5);
    assert_eq!(running.sandbox.stats().expect("stats").pids.current, 5);
    running.sandbox.kill_all(Signal::KILL).expect("kill");
    assert_eq!(running.sandbox.cgroup().pids().expect("pids"), Vec::<u32>::new());
    assert_eq!(running.finish().code, 137);
}

pub(crate) fn a_created_container_can_be_deleted() {
    let fixture = Fixture::new();
    let running = fixture.create(&fixture.spec(&["sleep", "100"]));
    let pid = running.sandbox.pid();
    assert_eq!(status(pid, "PPid"), std::process::id().to_string());
    running.sandbox.delete().expect("delete");
    assert_eq!(wait(pid), 137);
    assert!(!fixture.cgroup_exists() && !fixture.state_dir().exists());
}

pub(crate) fn destroy_needs_no_sandbox() {
    let fixture = Fixture::new();
    let spec = fixture.sh("sleep 100 & exec sleep 100");
    let mut running = fixture.create(&spec);
    running.sandbox.start().expect("start");
    let pid = running.sandbox.pid();
    drop(running);
    destroy(&fixture.state_dir(), &spec.cgroup_path()).expect("destroy");
    assert_eq!(wait(pid), 137);
    assert!(!fixture.cgroup_exists() && !fixture.state_dir().exists());
    destroy(&fixture.state_dir(), &spec.cgroup_path()).expect("nothing is left to destroy");
    destroy(Path::new("/nowhere/at/all"), Path::new("/drua-test-no-such-cgroup")).expect("nor here");
}

pub(crate) fn paths_may_be_long() {
    let fixture = Fixture::new();
    let state_dir = fixture.directory.path().join("a".repeat(100)).join("b".repeat(100));
    for tty in [false, true] {
        let mut spec = fixture.spec(&["true"]);
        spec.tty = tty;
        let null = || std::fs::File::options().read(true).write(true).open("/dev/null").expect("/dev/null").into();
        let stdio = if tty { Stdio::Terminal } else { Stdio::Fds { stdin: null(), stdout: null(), stderr: null() } };
        let mut sandbox = drua_runtime::sandbox::create(drua_runtime::sandbox::CreateOptions {
            id: "c".repeat(64),
            bundle: fixture.bundle(),
            state_dir: state_dir.clone(),
            spec: build(&spec, &host()).expect("valid"),
            stdio,
            workload: std::sync::Arc::new(ExecWorkload),
        })
        .expect("create");
        sandbox.start().expect("start");
        assert_eq!(wait(sandbox.pid()), 0);
        sandbox.delete().expect("delete");
    }
}
