//! What the caller learns when something goes wrong.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::PathBuf;
use std::sync::Arc;

use drua_runtime::sandbox::{CreateError, ExecWorkload, SandboxError, StartError, Stdio};
use drua_runtime::spec::{ContainerSpec, MountSource, MountSpec, Propagation, build};
use drua_types::error_chain;

use crate::fixture::{Fixture, host};

#[track_caller]
fn check_create(fixture: &Fixture, spec: &ContainerSpec, text: &str, code: u8) {
    let Err(error) = fixture.try_create(spec) else { panic!("{text} expected") };
    assert_eq!(error.exit_code(), Some(code), "{error}");
    assert_eq!(error.to_string(), format!("unable to start container process: {text}"));
    assert!(!fixture.cgroup_exists(), "a cgroup is left");
    assert!(!fixture.state_dir().exists(), "state is left");
}

pub(crate) fn commands_that_cannot_run_are_reported_by_create() {
    let fixture = Fixture::new();
    fs::write(fixture.rootfs().join("plain"), "text").expect("a file");
    symlink("/outside", fixture.rootfs().join("dangling")).expect("a link");
    let cases = [
        ("nope", "exec: \"nope\": executable file not found in $PATH", 127),
        ("", "exec: \"\": executable file not found in $PATH", 127),
        ("/plain", "exec: \"/plain\": permission denied", 126),
        ("/bin", "exec: \"/bin\": is a directory", 126),
        ("/none", "exec: \"/none\": stat /none: no such file or directory", 127),
        ("./none", "exec: \"./none\": stat ./none: no such file or directory", 127),
        ("/dangling", "exec: \"/dangling\": stat /dangling: no such file or directory", 127),
        ("/plain/x", "exec: \"/plain/x\": stat /plain/x: no such file or directory", 127),
    ];
    for (command, text, code) in cases {
        check_create(&fixture, &fixture.spec(&[command]), text, code);
    }
    let mut spec = fixture.spec(&["true"]);
    spec.env = vec!["PATH=/nowhere".to_owned()];
    check_create(&fixture, &spec, "exec: \"true\": executable file not found in $PATH", 127);
    assert_eq!(children(), Vec::<String>::new());
}

pub(crate) fn a_failing_execve_is_reported_by_start() {
    let fixture = Fixture::new();
    for (name, content, text, code) in [
        ("script", "#!/no/interpreter\n", "exec /script: no such file or directory", 127),
        ("garbage", "\u{1}\u{2}", "exec /garbage: exec format error", 126),
    ] {
        let path = fixture.rootfs().join(name);
        fs::write(&path, content).expect("a file");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("permissions");
        let mut running = fixture.create(&fixture.spec(&[&format!("/{name}")]));
        let Err(SandboxError::Workload(error)) = running.sandbox.start() else { panic!("{text} expected") };
        assert_eq!(error.to_string(), text);
        assert_eq!(error.exit_code(), code);
        assert!(matches!(running.sandbox.start(), Err(SandboxError::AlreadyStarted(_))));
        let out = running.finish();
        assert_eq!((out.code, out.stdout.as_str(), out.stderr.as_str()), (code.into(), "", ""));
    }
}

pub(crate) fn setup_failures_name_their_cause_and_leave_nothing() {
    let fixture = Fixture::new();
    let mut bad_mount = fixture.spec(&["true"]);
    bad_mount.mounts = vec![MountSpec {
        destination: "/data".to_owned(),
        source: MountSource::Bind {
            source: "/does/not/exist".into(),
            propagation: Propagation::RPrivate,
            recursive: true,
        },
        readonly: false,
        options: Vec::new(),
    }];
    let mut bad_ipc = fixture.spec(&["true"]);
    bad_ipc.ipc = drua_runtime::spec::Namespace::Path("/does/not/exist".into());
    let mut bad_sysctl = fixture.spec(&["true"]);
    bad_sysctl.sysctls = [("kernel.panic".to_owned(), "1".to_owned())].into();
    let mut bad_limit = fixture.spec(&["true"]);
    bad_limit.resources.cpuset_cpus = Some("900".to_owned());
    let cases = [(bad_mount, "/does/not/exist"), (bad_ipc, "/does/not/exist"), (bad_limit, "900")];
    for (spec, cause) in cases {
        let Err(error) = fixture.try_create(&spec) else { panic!("{cause} expected") };
        let text = error_chain(&error);
        assert!(text.contains(cause), "{cause} in: {text}");
        assert!(matches!(error, CreateError::Container(_)), "{error:?}");
        assert_eq!(children(), Vec::<String>::new(), "{cause}");
        assert!(!fixture.cgroup_exists() && !fixture.state_dir().exists(), "{cause}");
    }
    let Err(error) = fixture.try_create(&bad_sysctl) else { panic!("a sysctl of the host's is refused") };
    assert!(matches!(error, CreateError::Spec(_)), "{error:?}");
    let mut bad_cwd = fixture.spec(&["true"]);
    bad_cwd.cwd = "/bin/busybox".to_owned();
    check_create(&fixture, &bad_cwd, "chdir to cwd (\"/bin/busybox\") set in config.json failed: not a directory", 126);
    assert_eq!(fixture.run(&fixture.spec(&["true"])).code, 0, "the next one works");
}

pub(crate) fn wrong_calls_are_refused() {
    let fixture = Fixture::new();
    let built = build(&fixture.spec(&["true"]), &host()).expect("valid");
    let error = fixture.create_raw(built.clone(), Stdio::Terminal, Arc::new(ExecWorkload)).expect_err("no terminal");
    assert!(matches!(error, CreateError::Spec(_)), "{error:?}");
    let mut no_args = built.clone();
    no_args.set_process(None);
    let error = fixture.create_raw(no_args, Stdio::Terminal, Arc::new(ExecWorkload)).expect_err("no process");
    assert!(matches!(error, CreateError::Spec(_)), "{error:?}");

    let thread = std::thread::spawn(std::thread::park);
    let error = fixture.try_create(&fixture.spec(&["true"])).err();
    thread.thread().unpark();
    thread.join().expect("join");
    assert!(matches!(error, Some(CreateError::Threads(2))), "{error:?}");
    assert_eq!(StartError::Workload("x".to_owned()).exit_code(), 126);
}

/// Names of this process's children.
fn children() -> Vec<String> {
    let own = std::process::id().to_string();
    let pids = fs::read_dir("/proc").expect("/proc").filter_map(|entry| Some(entry.ok()?.path().join("stat")));
    let stats = pids.filter_map(|path: PathBuf| fs::read_to_string(path).ok());
    stats
        .filter(|stat| stat.rsplit(") ").next().and_then(|tail| tail.split(' ').nth(1)) == Some(own.as_str()))
        .collect()
}
