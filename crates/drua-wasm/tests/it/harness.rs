//! Directories, guests and deadlines.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, Command, ExitCode, Output, Stdio};
use std::time::{Duration, Instant};

use drua_wasm::{Compiler, Prepare, Prepared, Settings, WasmRun, prepare};
use tempfile::TempDir;
use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};

/// Nothing here takes longer unless it hangs.
pub(crate) const DEADLINE: Duration = Duration::from_secs(30);

/// In a guest's environment: run it as user 1000.
pub(crate) const UNPRIVILEGED: &str = "TEST_UNPRIVILEGED=1";

/// A container's root and an AOT cache.
pub(crate) struct Fixture {
    directory: TempDir,
    /// Runs the guest as PID 1 of a PID namespace, where unhandled signals are ignored, with its own `/proc`.
    pub(crate) as_init: bool,
}

impl Fixture {
    /// `module` is WebAssembly text or binary and becomes `/app.wasm`.
    pub(crate) fn new(module: impl AsRef<[u8]>) -> Self {
        let fixture = Self::empty();
        let binary = wat::parse_bytes(module.as_ref()).expect("a valid fixture");
        fs::write(fixture.root().join("app.wasm"), binary).expect("writing the module");
        fixture
    }

    pub(crate) fn empty() -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let fixture = Self { directory, as_init: false };
        fs::create_dir_all(fixture.root().join("etc")).expect("creating the root");
        fixture
    }

    pub(crate) fn root(&self) -> PathBuf {
        self.directory.path().join("root")
    }

    pub(crate) fn aot(&self) -> PathBuf {
        self.directory.path().join("aot")
    }

    pub(crate) fn module(&self) -> PathBuf {
        self.root().join("app.wasm")
    }

    /// The guest as a command to start.
    pub(crate) fn command(&self, args: &[&str], env: &[&str]) -> Command {
        let this = std::env::current_exe().expect("the test binary");
        let mut command = if self.as_init {
            let mut unshare = Command::new("unshare");
            fs::create_dir_all(self.root().join("proc")).expect("creating a mount point");
            let mount = format!("--mount-proc={}", self.root().join("proc").display());
            unshare.args(["--pid", "--fork", "--kill-child", &mount]).arg(this);
            unshare
        } else {
            Command::new(this)
        };
        command.arg("guest").arg(self.root()).arg(self.aot()).args(env).arg("--").args(args);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    pub(crate) fn run(&self, args: &[&str]) -> Output {
        finish(self.command(args, &[]).spawn().expect("starting the guest"))
    }
}

/// The role of a container's init: prepares `/app.wasm` of a root, enters the root, and is the guest. `<root> <aot> NAME=value… -- args…`
#[expect(clippy::exit, reason = "as an init process, it ends with threads of the guest still running")]
pub(crate) fn guest_main(args: &[String]) -> ExitCode {
    let split = args.iter().position(|arg| arg == "--").expect("a separator");
    let (root, aot, env) = (Path::new(&args[0]), Path::new(&args[1]), &args[2..split]);
    let args = &args[split + 1..];
    let prepared = match prepare_at(&root.join("app.wasm"), aot, &args[0]) {
        Ok(prepared) => prepared,
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "prepare: {}", drua_types::error_chain(&error));
            return ExitCode::from(125);
        }
    };
    rustix::process::chroot(root).expect("entering the root");
    rustix::process::chdir("/").expect("entering the root");
    if env.iter().any(|entry| entry == UNPRIVILEGED) {
        rustix::thread::set_thread_gid(rustix::process::Gid::from_raw(1000)).expect("dropping the group");
        rustix::thread::set_thread_uid(rustix::process::Uid::from_raw(1000)).expect("dropping the user");
    }
    let mut settings = Settings::of_annotations(|key| {
        env.iter().find_map(|entry| entry.strip_prefix("TEST_ANNOTATION_")?.strip_prefix(key)?.strip_prefix('='))
    })
    .expect("valid annotations");
    settings.memory = env.iter().find_map(|entry| entry.strip_prefix("TEST_MEMORY=")?.parse().ok());
    let run = WasmRun { prepared, args: args.to_vec(), env: env.to_vec(), cwd: "/".into(), settings };
    std::process::exit(run.run())
}

/// Makes a component of a core module in text form and the only world of its interface description.
pub(crate) fn component(text: &str, wit: &str) -> Vec<u8> {
    let mut module = wat::parse_str(text).expect("valid text");
    let mut resolve = wit_parser::Resolve::default();
    let package = resolve.push_str("fixture.wit", wit).expect("valid WIT");
    let world = resolve.select_world(&[package], None).expect("a world");
    embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8).expect("embedding");
    ComponentEncoder::default().module(&module).expect("a module").validate(true).encode().expect("a component")
}

/// What the shim does: open, prepare.
pub(crate) fn prepare_at(module: &Path, aot: &Path, entrypoint: &str) -> Result<Prepared, drua_wasm::PrepareError> {
    let module = File::open(module).expect("opening the module");
    prepare(Prepare { module, flavor: None, entrypoint, aot_dir: aot, compiler: &Compiler::this_binary() })
}

/// The output of a child that ends by itself.
pub(crate) fn finish(mut child: Child) -> Output {
    // Both pipes are read while waiting, or a guest that writes much would never end.
    let stdout = child.stdout.take().map(drain);
    let stderr = child.stderr.take().map(drain);
    let status = wait(&mut child);
    let join = |reader: Option<std::thread::JoinHandle<Vec<u8>>>| {
        reader.map(|reader| reader.join().expect("the reader")).unwrap_or_default()
    };
    Output { status, stdout: join(stdout), stderr: join(stderr) }
}

fn drain(mut pipe: impl Read + Send + 'static) -> std::thread::JoinHandle<Vec<u8>> {
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        let _ = pipe.read_to_end(&mut bytes);
        bytes
    })
}

/// Waits for a child, and ends it when it takes too long.
pub(crate) fn wait(child: &mut Child) -> std::process::ExitStatus {
    let pid = rustix::process::Pid::from_child(child);
    let pidfd = rustix::process::pidfd_open(pid, rustix::process::PidfdFlags::empty()).expect("a pidfd");
    let timeout = rustix::event::Timespec { tv_sec: DEADLINE.as_secs().cast_signed(), tv_nsec: 0 };
    let mut fds = [rustix::event::PollFd::new(&pidfd, rustix::event::PollFlags::IN)];
    if rustix::event::poll(&mut fds, Some(&timeout)).expect("poll") == 0 {
        child.kill().expect("ending a guest that hangs");
        panic!("the guest did not end");
    }
    child.wait().expect("waiting")
}

/// Asks for a condition until it holds.
#[track_caller]
pub(crate) fn eventually<T>(what: &str, mut condition: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + DEADLINE;
    loop {
        if let Some(value) = condition() {
            return value;
        }
        assert!(Instant::now() < deadline, "{what}: not within {DEADLINE:?}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// The lines of a child's stderr, one by one.
pub(crate) struct Lines(BufReader<ChildStderr>);

impl Lines {
    pub(crate) fn of(child: &mut Child) -> Self {
        Self(BufReader::new(child.stderr.take().expect("a piped stderr")))
    }

    #[track_caller]
    pub(crate) fn next(&mut self) -> String {
        let mut line = String::new();
        self.0.read_line(&mut line).expect("reading stderr");
        assert!(!line.is_empty(), "stderr has ended");
        line.trim_end().to_owned()
    }
}
