//! Running a command to its end, with input, a deadline and everything it printed.

use std::{
    ffi::OsStr,
    fmt,
    io::{Read, Write},
    os::unix::process::ExitStatusExt as _,
    path::Path,
    process::{Child, Command, ExitStatus, Stdio},
    sync::{Arc, Mutex},
    thread::{self, JoinHandle},
    time::Duration,
};

use anyhow::{Context, Result};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, pidfd_open};

use crate::wait;

/// How long a command may take unless told otherwise.
const LIMIT: Duration = Duration::from_secs(60);

/// A command that is about to run.
#[derive(Debug)]
pub struct Cmd {
    inner: Command,
    input: Option<Vec<u8>>,
    limit: Duration,
    line: String,
}

impl Cmd {
    /// A command that inherits nothing but `PATH` and what Cargo and Python need.
    #[must_use]
    pub fn new(program: impl AsRef<OsStr>) -> Self {
        let program = program.as_ref();
        let name = Path::new(program).file_name().unwrap_or(program);
        let mut inner = Command::new(program);
        inner.env_clear();
        for key in ["PATH", "LANG", "TMPDIR"] {
            if let Some(value) = std::env::var_os(key) {
                inner.env(key, value);
            }
        }
        Self { inner, input: None, limit: LIMIT, line: name.to_string_lossy().into_owned() }
    }

    /// Adds one argument.
    #[must_use]
    pub fn arg(mut self, arg: impl AsRef<OsStr>) -> Self {
        self.line.push(' ');
        self.line.push_str(&arg.as_ref().to_string_lossy());
        self.inner.arg(arg);
        self
    }

    /// Adds arguments.
    #[must_use]
    pub fn args<A: AsRef<OsStr>>(self, args: impl IntoIterator<Item = A>) -> Self {
        args.into_iter().fold(self, Self::arg)
    }

    /// Sets an environment variable.
    #[must_use]
    pub fn env(mut self, key: &str, value: impl AsRef<OsStr>) -> Self {
        self.inner.env(key, value);
        self
    }

    /// Sets the working directory.
    #[must_use]
    pub fn dir(mut self, dir: &Path) -> Self {
        self.inner.current_dir(dir);
        self
    }

    /// Gives the command this input, then end of file. Without it, stdin is `/dev/null`.
    #[must_use]
    pub fn input(mut self, input: impl Into<Vec<u8>>) -> Self {
        self.input = Some(input.into());
        self
    }

    /// Changes the deadline of one minute.
    #[must_use]
    pub fn limit(mut self, limit: Duration) -> Self {
        self.limit = limit;
        self
    }

    /// Starts the command and talks to it while it runs.
    ///
    /// # Panics
    ///
    /// When it cannot be started.
    #[track_caller]
    #[must_use]
    pub fn session(mut self) -> Session {
        self.inner.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        match self.inner.spawn() {
            Ok(child) => Session::new(self.line, self.limit, child),
            Err(err) => panic!("cannot start `{}`: {err}", self.line),
        }
    }

    /// Runs the command to its end.
    ///
    /// # Errors
    ///
    /// When it cannot be started. A command past its deadline is killed, and that is a [`Run`] too.
    pub fn try_run(mut self) -> Result<Run> {
        let stdin = if self.input.is_some() { Stdio::piped() } else { Stdio::null() };
        self.inner.stdin(stdin).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = self.inner.spawn().with_context(|| format!("cannot start `{}`", self.line))?;
        let writer = self.input.take().zip(child.stdin.take()).map(|(bytes, mut stdin)| {
            // A command that does not want its input closes the pipe; that is its right.
            thread::spawn(move || drop(stdin.write_all(&bytes)))
        });
        let mut session = Session::new(self.line, self.limit, child);
        let status = session.wait();
        session.end();
        if let Some(writer) = writer {
            drop(writer.join());
        }
        let (stdout, stderr) = (session.stdout.rest(), session.stderr.rest());
        Ok(Run { line: session.line.clone(), status, stdout, stderr })
    }

    /// Runs the command to its end.
    ///
    /// # Panics
    ///
    /// When it cannot be started.
    #[track_caller]
    #[must_use]
    pub fn run(self) -> Run {
        match self.try_run() {
            Ok(run) => run,
            Err(err) => panic!("{err:#}"),
        }
    }
}

/// A command that runs while the test does something else. Dropping it kills it.
#[derive(Debug)]
pub struct Session {
    line: String,
    limit: Duration,
    child: Child,
    stdout: Output,
    stderr: Output,
}

impl Session {
    fn new(line: String, limit: Duration, mut child: Child) -> Self {
        let stdout = Output::of(child.stdout.take());
        let stderr = Output::of(child.stderr.take());
        Self { line, limit, child, stdout, stderr }
    }

    /// Writes to the command's stdin.
    ///
    /// # Panics
    ///
    /// When the command no longer reads.
    #[track_caller]
    pub fn type_in(&mut self, text: &str) {
        let stdin = self.child.stdin.as_mut().expect("stdin is open until it is closed");
        stdin.write_all(text.as_bytes()).expect("the command reads its stdin");
    }

    /// Closes the command's stdin.
    pub fn close_stdin(&mut self) {
        drop(self.child.stdin.take());
    }

    /// Waits until the command has printed this on stdout.
    ///
    /// # Panics
    ///
    /// When it has not within its limit.
    #[track_caller]
    pub fn wait_for(&self, text: &str) {
        let came = wait::poll(self.limit, || self.stdout.so_far().contains(text).then_some(()));
        assert!(
            came.is_some(),
            "`{}` has not printed {text:?}\n--- stdout\n{}\n--- stderr\n{}",
            self.line,
            self.stdout.so_far(),
            self.stderr.so_far()
        );
    }

    /// Kills the command, as a terminal that is closed does.
    pub fn kill(mut self) {
        self.end();
    }

    /// Waits for the command's end.
    #[must_use]
    pub fn finish(mut self) -> Run {
        self.close_stdin();
        let status = self.wait();
        self.end();
        Run { line: self.line.clone(), status, stdout: self.stdout.rest(), stderr: self.stderr.rest() }
    }

    /// Waits for the end within the limit, to the microsecond: benchmarks rest on it.
    fn wait(&mut self) -> Option<ExitStatus> {
        let pid = Pid::from_raw(self.child.id().cast_signed())?;
        let process = pidfd_open(pid, PidfdFlags::empty()).ok()?;
        let limit = Timespec::try_from(self.limit).ok()?;
        // A signal that interrupts the wait is as good as the deadline; nothing here installs a handler.
        poll(&mut [PollFd::new(&process, PollFlags::IN)], Some(&limit)).ok()?;
        self.child.try_wait().ok().flatten()
    }

    fn end(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.end();
    }
}

/// What a pipe has brought so far.
#[derive(Debug)]
struct Output {
    bytes: Arc<Mutex<Vec<u8>>>,
    reader: Option<JoinHandle<()>>,
}

impl Output {
    fn of(pipe: Option<impl Read + Send + 'static>) -> Self {
        let bytes = Arc::new(Mutex::new(Vec::new()));
        let shared = Arc::clone(&bytes);
        let reader = pipe.map(|mut pipe| {
            thread::spawn(move || {
                let mut piece = [0; 65536];
                while let Ok(count @ 1..) = pipe.read(&mut piece) {
                    shared.lock().expect("no reader panics").extend_from_slice(&piece[..count]);
                }
            })
        });
        Self { bytes, reader }
    }

    fn so_far(&self) -> String {
        String::from_utf8_lossy(&self.bytes.lock().expect("no reader panics")).into_owned()
    }

    /// Everything, once the command has ended.
    fn rest(&mut self) -> String {
        if let Some(reader) = self.reader.take() {
            // A grandchild may hold the pipe open; then what came is what there is.
            let _ = wait::poll(Duration::from_secs(5), || reader.is_finished().then_some(()));
        }
        self.so_far()
    }
}

/// What a command printed and how it ended.
#[derive(Debug)]
pub struct Run {
    line: String,
    status: Option<ExitStatus>,
    /// Everything on stdout.
    pub stdout: String,
    /// Everything on stderr.
    pub stderr: String,
}

impl Run {
    /// The exit code, 128 + n after signal n, and `None` past the deadline.
    #[must_use]
    pub fn code(&self) -> Option<i32> {
        self.status.and_then(|status| status.code().or_else(|| status.signal().map(|signal| 128 + signal)))
    }

    /// Expects success and returns stdout without white space around it.
    #[track_caller]
    pub fn ok(&self) -> &str {
        assert!(self.code() == Some(0), "expected success\n{self}");
        self.stdout.trim()
    }

    /// Expects this exit code.
    #[track_caller]
    pub fn exits(&self, code: i32) -> &Self {
        assert!(self.code() == Some(code), "expected exit code {code}\n{self}");
        self
    }

    /// Expects exactly this on stdout.
    #[track_caller]
    pub fn prints(&self, expected: &str) -> &Self {
        assert!(self.stdout == expected, "expected on stdout {expected:?}\n{self}");
        self
    }

    /// Expects stderr to contain this.
    #[track_caller]
    pub fn complains(&self, expected: &str) -> &Self {
        assert!(self.stderr.contains(expected), "expected on stderr {expected:?}\n{self}");
        self
    }
}

impl fmt::Display for Run {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let end = self.code().map_or_else(|| "was killed at its deadline".to_owned(), |code| format!("exited {code}"));
        write!(f, "`{}` {end}\n--- stdout\n{}\n--- stderr\n{}", self.line, self.stdout, self.stderr)
    }
}
