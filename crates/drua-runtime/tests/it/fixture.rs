//! A bundle with busybox, and what runs in it.

use std::fs;
use std::io::{self, Read as _};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use drua_runtime::cgroup::Cgroup;
use drua_runtime::oci::Spec;
use drua_runtime::sandbox::{self, CreateError, CreateOptions, ExecWorkload, Sandbox, Stdio, Workload};
use drua_runtime::spec::{ContainerSpec, HostFacts, Namespace, build};
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sched::{CloneFlags, setns, unshare};
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::Pid;
use tempfile::TempDir;

use crate::busybox;

/// Removes its cgroups when dropped; the directory goes by itself.
pub(crate) struct Fixture {
    pub(crate) directory: TempDir,
    pub(crate) parent: String,
}

/// What a container left behind.
#[derive(Debug, PartialEq)]
pub(crate) struct Output {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

/// A created container with the read ends of its output.
pub(crate) struct Running {
    pub(crate) sandbox: Sandbox,
    stdout: io::PipeReader,
    stderr: io::PipeReader,
}

impl Fixture {
    pub(crate) fn new() -> Self {
        let directory = tempfile::Builder::new().prefix("drua-runtime-").tempdir().expect("a temporary directory");
        let unique = directory.path().file_name().expect("a name").to_str().expect("UTF-8");
        let parent = format!("/{unique}");
        let fixture = Self { parent, directory };
        busybox::unpack(&fixture.rootfs());
        fixture
    }

    pub(crate) fn bundle(&self) -> PathBuf {
        self.directory.path().to_owned()
    }

    pub(crate) fn rootfs(&self) -> PathBuf {
        self.directory.path().join("rootfs")
    }

    pub(crate) fn state_dir(&self) -> PathBuf {
        self.directory.path().join("runtime")
    }

    /// A container without a network that runs `args`.
    pub(crate) fn spec(&self, args: &[&str]) -> ContainerSpec {
        let args = args.iter().map(|arg| (*arg).to_owned()).collect();
        ContainerSpec {
            cgroup_parent: Some(self.parent.clone()),
            hostname: Some("box".to_owned()),
            ..ContainerSpec::new("c1", args)
        }
    }

    pub(crate) fn sh(&self, script: &str) -> ContainerSpec {
        self.spec(&["sh", "-c", script])
    }

    pub(crate) fn create(&self, spec: &ContainerSpec) -> Running {
        self.try_create(spec).unwrap_or_else(|error| panic!("create: {}", drua_types::error_chain(&error)))
    }

    pub(crate) fn try_create(&self, spec: &ContainerSpec) -> Result<Running, CreateError> {
        self.try_create_with(spec, Arc::new(ExecWorkload))
    }

    pub(crate) fn try_create_with(
        &self,
        spec: &ContainerSpec,
        workload: Arc<dyn Workload>,
    ) -> Result<Running, CreateError> {
        let spec = build(spec, &host()).expect("a valid specification");
        let (stdout, stdout_writer) = io::pipe().expect("a pipe");
        let (stderr, stderr_writer) = io::pipe().expect("a pipe");
        let stdin: OwnedFd = fs::File::open("/dev/null").expect("/dev/null").into();
        let stdio = Stdio::Fds { stdin, stdout: stdout_writer.into(), stderr: stderr_writer.into() };
        Ok(Running { sandbox: self.create_raw(spec, stdio, workload)?, stdout, stderr })
    }

    pub(crate) fn create_raw(
        &self,
        spec: Spec,
        stdio: Stdio,
        workload: Arc<dyn Workload>,
    ) -> Result<Sandbox, CreateError> {
        sandbox::create(CreateOptions {
            id: "c1".to_owned(),
            bundle: self.bundle(),
            state_dir: self.state_dir(),
            spec,
            stdio,
            workload,
        })
    }

    /// Create, start, wait, delete.
    #[track_caller]
    pub(crate) fn run(&self, spec: &ContainerSpec) -> Output {
        let mut running = self.create(spec);
        running.sandbox.start().unwrap_or_else(|error| panic!("start: {error}"));
        running.finish()
    }

    pub(crate) fn cgroup_exists(&self) -> bool {
        let root = Path::new("/sys/fs/cgroup");
        let mut places = vec![root.to_owned()];
        places.extend(fs::read_dir(root).expect("cgroups").map(|entry| entry.expect("an entry").path()));
        places.iter().any(|place| place.join(self.parent.trim_start_matches('/')).join("c1").exists())
    }
}

impl Drop for Fixture {
    fn drop(&mut self) {
        let removed = Cgroup::open(Path::new(&self.parent)).and_then(|cgroup| cgroup.remove());
        if !std::thread::panicking() {
            removed.expect("the test's cgroups can be removed");
        }
    }
}

/// Until dropped, this process sees the host as one with cgroup v2 only: a mount namespace without the rest.
pub(crate) struct UnifiedCgroups {
    outside: fs::File,
}

impl UnifiedCgroups {
    pub(crate) fn enter() -> Self {
        let outside = fs::File::open("/proc/self/ns/mnt").expect("a mount namespace");
        unshare(CloneFlags::CLONE_NEWNS).expect("a mount namespace of our own");
        let entered = Self { outside };
        let (none, cgroups) = (None::<&str>, "/sys/fs/cgroup");
        mount(none, "/", none, MsFlags::MS_PRIVATE | MsFlags::MS_REC, none).expect("private mounts");
        umount2(cgroups, MntFlags::MNT_DETACH).expect("no cgroups");
        mount(Some("cgroup2"), cgroups, Some("cgroup2"), MsFlags::empty(), none).expect("cgroup v2");
        entered
    }
}

impl Drop for UnifiedCgroups {
    fn drop(&mut self) {
        // Entering a mount namespace also changes to its root directory.
        let directory = std::env::current_dir().expect("a working directory");
        setns(&self.outside, CloneFlags::CLONE_NEWNS).expect("back in the host's mount namespace");
        std::env::set_current_dir(directory).expect("the old working directory");
    }
}

impl Running {
    /// Reads all output, waits for the init and deletes the container.
    #[track_caller]
    pub(crate) fn finish(mut self) -> Output {
        let (mut stdout, mut stderr) = (String::new(), String::new());
        self.stdout.read_to_string(&mut stdout).expect("text");
        self.stderr.read_to_string(&mut stderr).expect("text");
        let code = wait(self.sandbox.pid());
        self.sandbox.delete().expect("delete");
        Output { code, stdout, stderr }
    }
}

pub(crate) fn host() -> HostFacts {
    HostFacts::read().expect("facts about this host")
}

/// The exit code as a shell reports it.
pub(crate) fn wait(pid: u32) -> i32 {
    match waitpid(Pid::from_raw(pid.cast_signed()), None).expect("a child") {
        WaitStatus::Exited(_, code) => code,
        WaitStatus::Signaled(_, signal, _) => 128 + signal as i32,
        other => panic!("unexpected {other:?}"),
    }
}

#[track_caller]
pub(crate) fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(10);
    while !condition() {
        assert!(Instant::now() < deadline, "not in time: {what}");
        std::thread::yield_now();
    }
}

/// One field of `/proc/<pid>/status`.
pub(crate) fn status(pid: u32, field: &str) -> String {
    let text = fs::read_to_string(format!("/proc/{pid}/status")).expect("a process");
    let line = text.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
    line.unwrap_or_else(|| panic!("no {field}")).trim().to_owned()
}

pub(crate) fn host_network(spec: ContainerSpec) -> ContainerSpec {
    ContainerSpec { network: Namespace::Host, ..spec }
}
