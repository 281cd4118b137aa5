//! Workloads that run on in the container's init instead of executing a program, as Wasm does.

use std::io::Write as _;
use std::os::fd::{AsFd as _, AsRawFd as _, OwnedFd, RawFd};
use std::sync::Arc;

use drua_runtime::oci::Spec;
use drua_runtime::sandbox::{SandboxError, StartError, StartSignal, Workload};
use rustix::net::{AddressFamily, SocketType, socket};

use crate::fixture::Fixture;

type Body = fn(&Guest, &mut StartSignal) -> StartError;

#[derive(Debug)]
struct Guest {
    file: OwnedFd,
    body: Body,
}

impl Workload for Guest {
    fn validate(&self, spec: &Spec) -> Result<(), StartError> {
        let process = spec.process().as_ref().expect("a process");
        match process.args().as_ref().and_then(|args| args.first()).map(String::as_str) {
            Some("invalid") => Err(StartError::Workload("not a module".to_owned())),
            _ => Ok(()),
        }
    }

    fn run(&self, _spec: &Spec, signal: &mut StartSignal) -> StartError {
        (self.body)(self, signal)
    }

    fn keep_fds(&self) -> Vec<RawFd> {
        vec![self.file.as_raw_fd()]
    }
}

fn guest(fixture: &Fixture, body: Body) -> Arc<Guest> {
    let path = fixture.directory.path().join("artifact");
    std::fs::write(&path, "artifact").expect("a file");
    Arc::new(Guest { file: std::fs::File::open(path).expect("a file").into(), body })
}

fn say(text: &str) {
    std::io::stdout().write_all(text.as_bytes()).expect("stdout");
    std::io::stdout().flush().expect("stdout");
}

pub(crate) fn a_workload_runs_in_the_container() {
    let fixture = Fixture::new();
    let guest = guest(&fixture, |guest, signal| {
        signal.started();
        let mut buffer = [0; 8];
        rustix::io::pread(guest.file.as_fd(), &mut buffer, 0).expect("the file is open");
        let open: Vec<String> = std::fs::read_dir("/proc/self/fd")
            .expect("fds")
            .map(|entry| entry.expect("an fd").file_name().to_string_lossy().into_owned())
            .collect();
        say(&format!(
            "{} pid {} root {} fds {}\n",
            String::from_utf8_lossy(&buffer),
            std::process::id(),
            std::path::Path::new("/bin/busybox").exists(),
            open.len()
        ));
        drua_sys::child::exit_now(42)
    });
    let mut running = fixture.try_create_with(&fixture.spec(&["/app.wasm"]), guest.clone()).expect("create");
    running.sandbox.start().expect("start");
    let out = running.finish();
    // Three standard ones, the kept one, and the one that lists them.
    assert_eq!((out.code, out.stdout.as_str()), (42, "artifact pid 1 root true fds 5\n"), "{out:?}");

    let error = fixture.try_create_with(&fixture.spec(&["invalid"]), guest).err().expect("an error");
    assert_eq!(error.to_string(), "unable to start container process: not a module");
}

pub(crate) fn the_default_filter_denies_sockets_to_the_hypervisor() {
    let fixture = Fixture::new();
    let guest = guest(&fixture, |_, _| {
        let mut results = String::new();
        for family in [1, 2, 10, 16, 17, 38, 39, 40, 41] {
            let result = socket(AddressFamily::from_raw(family), SocketType::DGRAM, None);
            let denied = matches!(result, Err(rustix::io::Errno::PERM));
            results.push_str(&family.to_string());
            results.push_str(if denied { "- " } else { " " });
        }
        say(&results);
        drua_sys::child::exit_now(0)
    });
    let mut running = fixture.try_create_with(&fixture.spec(&["x"]), guest).expect("create");
    running.sandbox.start().expect("start");
    assert_eq!(running.finish().stdout, "1 2 10 16 17 38- 39 40- 41 ");
}

pub(crate) fn errors_before_and_after_the_start() {
    let fixture = Fixture::new();
    let before = guest(&fixture, |_, _| StartError::Workload("missing import".to_owned()));
    let mut running = fixture.try_create_with(&fixture.spec(&["x"]), before).expect("create");
    let Err(SandboxError::Workload(error)) = running.sandbox.start() else { panic!("an error expected") };
    assert_eq!(error, StartError::Workload("missing import".to_owned()));
    let out = running.finish();
    assert_eq!((out.code, out.stderr.as_str()), (126, ""));

    let after = guest(&fixture, |_, signal| {
        signal.started();
        StartError::Workload("trap".to_owned())
    });
    let mut running = fixture.try_create_with(&fixture.spec(&["x"]), after).expect("create");
    running.sandbox.start().expect("start");
    let out = running.finish();
    assert_eq!((out.code, out.stderr.as_str()), (126, "trap\n"));
}

pub(crate) fn a_panic_ends_the_container_only() {
    let fixture = Fixture::new();
    let guest = guest(&fixture, |_, _| panic!("the guest's host code is wrong"));
    let mut running = fixture.try_create_with(&fixture.spec(&["x"]), guest).expect("create");
    running.sandbox.start().expect("nobody has said that it failed");
    let out = running.finish();
    assert_eq!(out.code, 125);
    assert!(out.stderr.contains("the guest's host code is wrong"), "{out:?}");
}
