//! More processes in a running container.

use std::fs;
use std::io::{self, Read as _, Write as _};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::time::{Duration, Instant};

use drua_runtime::oci::{BoxBuilder, Capability, PosixRlimitBuilder, PosixRlimitType, Process, Spec, User};
use drua_runtime::sandbox::{ExecError, ExecOptions, Execution, Stdio, exec};
use drua_runtime::spec::{ContainerSpec, build};
use drua_types::Signal;

use crate::fixture::{Fixture, Output, Running, UnifiedCgroups, host, status, wait};

/// A container that runs, with what it was made from.
struct Target {
    running: Running,
    spec: Spec,
}

impl Target {
    fn of(fixture: &Fixture, spec: &ContainerSpec) -> Self {
        let built = build(spec, &host()).expect("valid");
        let mut running = fixture.create(spec);
        running.sandbox.start().expect("start");
        Self { running, spec: built }
    }

    fn sleeping(fixture: &Fixture) -> Self {
        Self::of(fixture, &fixture.spec(&["sleep", "1000"]))
    }

    /// The container's own process, with another command.
    fn process(&self, args: &[&str]) -> Process {
        let mut process = self.spec.process().clone().expect("a process");
        process.set_args(Some(args.iter().map(|arg| (*arg).to_owned()).collect()));
        process
    }

    fn sh(&self, script: &str) -> Process {
        self.process(&["sh", "-c", script])
    }

    fn exec(&self, process: Process, stdio: Stdio) -> Result<Execution, ExecError> {
        let sandbox = &self.running.sandbox;
        let (id, pid, init) = ("c1", sandbox.pid(), sandbox.pidfd());
        exec(ExecOptions { id, pid, init, spec: &self.spec, process, stdio })
    }

    #[track_caller]
    fn run(&self, process: Process) -> Output {
        let (stdio, mut stdout, mut stderr) = pipes();
        let execution = self.exec(process, stdio).unwrap_or_else(|error| panic!("exec: {error}"));
        let mut output = Output { code: 0, stdout: String::new(), stderr: String::new() };
        stdout.read_to_string(&mut output.stdout).expect("text");
        stderr.read_to_string(&mut output.stderr).expect("text");
        output.code = wait(execution.pid);
        output
    }

    #[track_caller]
    fn fail(&self, process: Process) -> ExecError {
        let error = self.exec(process, pipes().0).expect_err("an error");
        assert_eq!(self.running.sandbox.cgroup().pids().expect("pids"), [self.running.sandbox.pid()], "{error}");
        error
    }

    fn end(self) {
        self.running.sandbox.kill(Signal::KILL).expect("kill");
        assert_eq!(self.running.finish().code, 137);
    }
}

fn pipes() -> (Stdio, io::PipeReader, io::PipeReader) {
    let (stdout, stdout_writer) = io::pipe().expect("a pipe");
    let (stderr, stderr_writer) = io::pipe().expect("a pipe");
    let stdin: OwnedFd = fs::File::open("/dev/null").expect("/dev/null").into();
    (Stdio::Fds { stdin, stdout: stdout_writer.into(), stderr: stderr_writer.into() }, stdout, stderr)
}

pub(crate) fn a_process_joins_the_container() {
    let fixture = Fixture::new();
    let target = Target::sleeping(&fixture);
    let names = ["cgroup", "ipc", "mnt", "net", "pid", "uts"];
    let script = "for n in cgroup ipc mnt net pid uts; do for p in self 1; do readlink /proc/$p/ns/$n; done | uniq | wc -l; done; \
                  hostname; cat /proc/self/cgroup /proc/1/cgroup | sort -u | cut -d: -f3 | sort -u; tr '\\0' ' ' < /proc/1/cmdline; \
                  cat /proc/$$/sessionid >/dev/null 2>&1; cut -d' ' -f4,6 /proc/$$/stat; echo $$";
    let out = target.run(target.sh(script));
    let lines: Vec<&str> = out.stdout.lines().collect();
    assert_eq!(&lines[..names.len()], ["1"; 6], "the namespaces are the init's: {out:?}");
    assert_eq!(&lines[6..8], ["box", "/"], "{out:?}");
    let own: u32 = lines.last().expect("a pid").parse().expect("a number");
    assert!(own > 1 && own < 100, "the pid is the container's: {out:?}");
    assert!(out.stdout.contains(&format!("sleep 1000 0 {own}\n")), "no parent, its own session: {out:?}");

    let (stdio, _stdout, _stderr) = pipes();
    let execution = target.exec(target.process(&["sleep", "1000"]), stdio).expect("exec");
    let pids = target.running.sandbox.cgroup().pids().expect("pids");
    assert_eq!(pids.len(), 2);
    assert!(pids.contains(&execution.pid), "the caller's view of the pid, in the container's cgroup");
    assert_eq!(status(execution.pid, "PPid"), std::process::id().to_string(), "a child of the caller");
    drua_sys::pidfd::send_signal(&execution.pidfd, Signal::KILL.number()).expect("kill");
    assert_eq!(wait(execution.pid), 137);
    target.end();
}

pub(crate) fn it_is_confined_like_everything_in_the_container() {
    let fixture = Fixture::new();
    let mut spec = fixture.spec(&["sleep", "1000"]);
    spec.oom_score_adj = Some(321);
    spec.no_new_privileges = true;
    let target = Target::of(&fixture, &spec);
    let out = target.run(target.sh(
        "grep -E '^(Cap|Seccomp:|NoNewPrivs|Groups)' /proc/self/status; cat /proc/self/oom_score_adj; wc -c < /proc/keys; umask; \
         unshare -m true; mount -t tmpfs none /mnt; cat /proc/1/environ > /dev/null && echo seen",
    ));
    let init = fs::read_to_string(format!("/proc/{}/status", target.running.sandbox.pid())).expect("status");
    for field in ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb", "Seccomp", "NoNewPrivs"] {
        let of_init = init.lines().find(|line| line.starts_with(&format!("{field}:"))).expect("the field");
        assert!(out.stdout.contains(of_init), "{of_init} in {out:?}");
    }
    assert!(out.stdout.ends_with("321\n0\n0022\nseen\n"), "{out:?}");
    assert_eq!(out.stderr.matches("not permitted").count() + out.stderr.matches("denied").count(), 2, "{out:?}");
    target.end();
}

pub(crate) fn user_directory_environment_and_limits() {
    let fixture = Fixture::new();
    fs::create_dir_all(fixture.rootfs().join("srv/app")).expect("a directory");
    fs::write(fixture.rootfs().join("etc/passwd"), "me:x:1000:1001::/home/me:/bin/sh\n").expect("a file");
    let target = Target::sleeping(&fixture);
    let mut process = target.sh("id -u; id -g; id -G; pwd; echo $HOME $FOO; ulimit -n; echo x > /dev/stdout");
    let mut user = User::default();
    user.set_uid(1000).set_gid(1001).set_additional_gids(Some(vec![20, 1001]));
    let limit = PosixRlimitBuilder::default().typ(PosixRlimitType::RlimitNofile).soft(77_u64).hard(99_u64).build();
    process
        .set_user(user)
        .set_cwd("/srv/app".into())
        .set_env(Some(vec!["PATH=/bin".to_owned(), "FOO=bar".to_owned()]))
        .set_rlimits(Some(vec![limit.expect("complete")]));
    let out = target.run(process);
    assert_eq!(out.stdout, "1000\n1001\n1001 20\n/srv/app\n/home/me bar\n77\nx\n", "{out:?}");
    target.end();
}

pub(crate) fn a_privileged_process_has_all_capabilities() {
    let fixture = Fixture::new();
    let target = Target::sleeping(&fixture);
    let mut process =
        target.sh("grep CapEff /proc/self/status; mkdir -p /mnt && mount -t tmpfs none /mnt && echo mounted");
    let all = host().capabilities;
    assert!(all.contains(&Capability::SysAdmin));
    let mut sets = process.capabilities().clone().expect("capabilities");
    sets.set_bounding(Some(all.clone())).set_effective(Some(all.clone())).set_permitted(Some(all));
    process.set_capabilities(Some(sets));
    let out = target.run(process);
    // The seccomp filter stays the container's, as with runc.
    let own = status(std::process::id(), "CapBnd");
    assert!(out.stdout.starts_with(&format!("CapEff:\t{own}")), "all that there is, {own}: {out:?}");
    assert!(!out.stdout.contains("mounted"), "{out:?}");
    target.end();
}

pub(crate) fn failures_have_runcs_words() {
    let fixture = Fixture::new();
    let rootfs = fixture.rootfs();
    fs::write(rootfs.join("plain"), "text").expect("a file");
    fs::write(rootfs.join("script"), "#!/no/interpreter\n").expect("a file");
    fs::set_permissions(rootfs.join("script"), fs::Permissions::from_mode(0o755)).expect("its mode");
    symlink("/proc/self/fd", rootfs.join("fds")).expect("a link");
    let target = Target::sleeping(&fixture);
    let commands = [
        ("nope", "exec: \"nope\": executable file not found in $PATH", 127),
        ("/plain", "exec: \"/plain\": permission denied", 126),
        ("/bin", "exec: \"/bin\": is a directory", 126),
        ("/none", "exec: \"/none\": stat /none: no such file or directory", 127),
        ("/script", "exec /script: no such file or directory", 127),
    ];
    for (command, text, code) in commands {
        let error = target.fail(target.process(&[command]));
        assert_eq!(error.to_string(), format!("unable to start container process: {text}"));
        assert_eq!(error.exit_code(), Some(code), "{error}");
    }
    for (cwd, reason, code) in [("/nope", "no such file or directory", 127), ("/plain", "not a directory", 126)] {
        let mut process = target.process(&["true"]);
        process.set_cwd(cwd.into());
        let error = target.fail(process);
        let text =
            format!("unable to start container process: chdir to cwd (\"{cwd}\") set in config.json failed: {reason}");
        assert_eq!((error.to_string(), error.exit_code()), (text, Some(code)));
    }
    // No descriptor of the caller's leads out (CVE-2024-21626).
    let _outside = fs::File::open("/").expect("a directory");
    for fd in 3..20 {
        for cwd in [format!("/proc/self/fd/{fd}"), format!("/fds/{fd}")] {
            let mut process = target.process(&["true"]);
            process.set_cwd(cwd.into());
            target.fail(process);
        }
    }
    target.running.sandbox.kill(Signal::KILL).expect("kill");
    let pid = target.running.sandbox.pid();
    let deadline = Instant::now() + Duration::from_secs(10);
    let error = loop {
        match target.exec(target.process(&["true"]), pipes().0) {
            Err(error) => break error,
            Ok(execution) => drop(wait(execution.pid)),
        }
        assert!(Instant::now() < deadline, "process {pid} does not die");
    };
    assert!(matches!(error, ExecError::NotRunning | ExecError::Clone(_) | ExecError::Start(_)), "{error:?}");
    assert_eq!(target.running.finish().code, 137);
}

pub(crate) fn a_terminal_is_the_controlling_one() {
    let fixture = Fixture::new();
    let target = Target::sleeping(&fixture);
    let mut process =
        target.sh("tty; stty size; read line; echo got $line; : > /dev/tty && echo controlled; stat -c %u $(tty)");
    let size = BoxBuilder::default().height(33_u64).width(111_u64).build().expect("complete");
    process.set_terminal(Some(true)).set_console_size(Some(size));
    process.user_mut().set_uid(1000).set_gid(1000);
    let execution = target.exec(process, Stdio::Terminal).expect("exec");
    let mut console = fs::File::from(execution.console.expect("a terminal"));
    console.write_all(b"hello\n").expect("write");
    let (mut text, mut buffer) = (Vec::new(), [0; 1024]);
    // A terminal whose other side is closed reads as EIO.
    while let Ok(count @ 1..) = console.read(&mut buffer) {
        text.extend_from_slice(&buffer[..count]);
    }
    assert_eq!(wait(execution.pid), 0);
    let text = String::from_utf8_lossy(&text);
    for wanted in ["/dev/pts/0", "33 111", "got hello", "controlled", "1000"] {
        assert!(text.contains(wanted), "{wanted} in {text:?}");
    }
    let error = target.exec(target.process(&["true"]), Stdio::Terminal).expect_err("no terminal");
    assert!(matches!(error, ExecError::Spec(_)), "{error:?}");
    target.end();
}

pub(crate) fn nothing_of_the_creator_gets_in() {
    let fixture = Fixture::new();
    // The init looks for processes that come and go, and tries to read what they execute and what they have open.
    let spy = "while :; do for p in /proc/[0-9]*; do \
                 case $(readlink $p/exe 2>/dev/null) in */bin/*|'') ;; *) echo saw $(readlink $p/exe);; esac; \
               done; done";
    let target = Target::of(&fixture, &fixture.sh(spy));
    let secret = fs::File::open(fixture.directory.path()).expect("a descriptor without close-on-exec would do harm");
    for _ in 0..30 {
        let out = target.run(target.sh("ls /proc/self/fd | wc -l; readlink /proc/self/exe; env | grep -c CARGO"));
        // Three standard ones, and the one that lists them.
        // The applets are links of one kind or the other.
        let stdout = out.stdout.replace("/bin/readlink", "/bin/busybox");
        assert_eq!(stdout, "4\n/bin/busybox\n0\n", "{out:?}");
    }
    drop(secret);
    target.running.sandbox.kill(Signal::KILL).expect("kill");
    let out = target.running.finish();
    assert_eq!(out.stdout, "", "the container saw our binary");
}

pub(crate) fn it_works_with_cgroup_v2() {
    let _layout = UnifiedCgroups::enter();
    let fixture = Fixture::new();
    let target = Target::sleeping(&fixture);
    let (stdio, _stdout, _stderr) = pipes();
    let execution = target.exec(target.process(&["sleep", "1000"]), stdio).expect("exec");
    assert!(target.running.sandbox.cgroup().pids().expect("pids").contains(&execution.pid));
    drua_sys::pidfd::send_signal(&execution.pidfd, Signal::KILL.number()).expect("kill");
    assert_eq!(wait(execution.pid), 137);
    target.end();
}

#[expect(clippy::print_stderr, reason = "a test may say what it measured")]
pub(crate) fn the_caller_stays_where_it_is() {
    let fixture = Fixture::new();
    let target = Target::sleeping(&fixture);
    let namespaces = || {
        let names = ["cgroup", "ipc", "mnt", "net", "pid", "pid_for_children", "uts"];
        names.map(|name| fs::read_link(format!("/proc/self/ns/{name}")).ok())
    };
    let open = || fs::read_dir("/proc/self/fd").expect("fds").count();
    target.run(target.process(&["true"]));
    let (before, fds) = (namespaces(), open());
    let mut times = Vec::new();
    for _ in 0..50 {
        let begin = Instant::now();
        assert_eq!(target.run(target.process(&["true"])).code, 0);
        times.push(begin.elapsed());
        target.fail(target.process(&["nope"]));
    }
    times.sort_unstable();
    eprintln!("exec true: min {:?}, median {:?}", times[0], times[times.len() / 2]);
    assert_eq!((namespaces(), open()), (before, fds));
    target.end();
    assert_eq!(fixture.run(&fixture.spec(&["true"])).code, 0, "new containers get their own namespaces");
}
