//! One drua daemon with directories, a socket, a bridge and addresses of its own.

use std::{
    collections::BTreeMap,
    fs::{File, TryLockError},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use anyhow::{Context as _, Result, bail, ensure};
use rustix::process::{Pid, Signal, kill_process};

use crate::{
    binary,
    command::Cmd,
    http,
    residue::{Residue, Traces},
    wait,
};

/// How long a daemon may take to answer its first ping.
const START_LIMIT: Duration = Duration::from_secs(20);
/// How long it may take to end after SIGTERM.
const STOP_LIMIT: Duration = Duration::from_secs(20);
/// Names a `dockerd` to run the tests against instead of drua.
const ORACLE: &str = "DRUA_E2E_ORACLE";
/// How many daemons may run at once on one machine.
const SLOTS: u8 = 120;

/// Whether tests run against Docker's own daemon.
#[must_use]
pub fn is_oracle() -> bool {
    std::env::var_os(ORACLE).is_some()
}

/// Where a daemon keeps its things and how they are named.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Parent of its data root (`data`) and exec root (`run`).
    pub root: PathBuf,
    /// What the names of its interfaces begin with: at most 3 letters or digits. Its nftables table and its cgroup are
    /// called `drua-` and this.
    pub prefix: String,
    /// Where its networks' addresses come from, such as `10.80.0.0/16`.
    pub pool: String,
    /// More for its command line.
    pub flags: Vec<std::ffi::OsString>,
    /// More of its environment.
    pub environment: BTreeMap<String, String>,
}

impl Options {
    /// The unix socket.
    #[must_use]
    pub fn socket(&self) -> PathBuf {
        self.root.join("run/drua.sock")
    }

    /// `unix://` and the socket, for `DOCKER_HOST`.
    #[must_use]
    pub fn host(&self) -> String {
        format!("unix://{}", self.socket().display())
    }

    /// The names by which its traces are found.
    #[must_use]
    pub fn traces(&self) -> Traces {
        Traces { root: self.root.clone(), prefix: self.prefix.clone(), cgroup: self.cgroup() }
    }

    fn cgroup(&self) -> String {
        format!("/drua-{}", self.prefix)
    }

    /// The command that starts this daemon.
    #[must_use]
    pub fn command(&self, program: &Path) -> Command {
        if let Some(dockerd) = std::env::var_os(ORACLE) {
            return self.oracle(Path::new(&dockerd));
        }
        let mut command = Command::new(program);
        command.arg("daemon").arg("--data-root").arg(self.root.join("data"));
        command.arg("--exec-root").arg(self.root.join("run"));
        command.args(["--host", &self.host()]);
        command.args(["--bridge", &format!("{}0", self.prefix), "--network-prefix", &self.prefix]);
        command.args(["--default-address-pool", &format!("base={},size=24", self.pool)]);
        command.args(["--cgroup-parent", &self.cgroup()]);
        command.args(&self.flags).envs(&self.environment);
        command
    }

    /// The command that starts Docker's own daemon instead, to see whether a test is right about Docker. It has one
    /// bridge a network namespace, so such tests run one at a time.
    fn oracle(&self, dockerd: &Path) -> Command {
        let mut command = Command::new(dockerd);
        command.arg("--data-root").arg(self.root.join("data"));
        command.arg("--exec-root").arg(self.root.join("run/docker"));
        command.arg("--pidfile").arg(self.root.join("pid"));
        command.args(["--host", &self.host(), "--storage-driver", "overlay2", "--bip", "10.252.0.1/24"]);
        command.args(["--default-address-pool", &format!("base={},size=24", self.pool)]);
        command
    }

    /// Runs the genuine docker CLI against this daemon, with an empty configuration.
    ///
    /// # Panics
    ///
    /// When there is no docker CLI; tests ask [`binary::on_path`] first.
    #[must_use]
    pub fn docker<'a>(&self, args: impl IntoIterator<Item = &'a str>) -> Cmd {
        let docker = binary::on_path("docker").expect("a docker CLI is on PATH");
        let home = self.root.join("home");
        Cmd::new(docker).env("DOCKER_HOST", self.host()).env("HOME", home).args(args)
    }

    /// Runs `drua` against this daemon.
    ///
    /// # Panics
    ///
    /// When it has not been built.
    #[must_use]
    pub fn drua<'a>(&self, args: impl IntoIterator<Item = &'a str>) -> Cmd {
        let program = binary::drua().expect("drua has been built");
        Cmd::new(program).env("DRUA_HOST", self.host()).env("HOME", self.root.join("home")).args(args)
    }
}

/// A running daemon of its own. Dropping it removes its containers, ends it and clears what is left.
#[derive(Debug)]
pub struct Daemon {
    /// Its directories and names.
    pub options: Options,
    child: Option<Child>,
    // Both are held for their `Drop`: the directories vanish and the slot is free again.
    _root: tempfile::TempDir,
    _slot: File,
}

impl Daemon {
    /// Starts a daemon with new, empty directories and waits until it answers.
    ///
    /// # Errors
    ///
    /// When drua has not been built, or the daemon does not answer in time; then the error carries its log.
    pub fn start() -> Result<Self> {
        Self::start_with(|_| ())
    }

    /// As [`Daemon::start`], after `adjust` has changed the options.
    ///
    /// # Errors
    ///
    /// As [`Daemon::start`].
    pub fn start_with(adjust: impl FnOnce(&mut Options)) -> Result<Self> {
        let (number, slot) = claim_slot()?;
        let root = tempfile::Builder::new().prefix("drua-e2e-").tempdir()?;
        let mut options = Options {
            root: root.path().to_owned(),
            prefix: prefix(number),
            pool: format!("10.{}.0.0/16", u16::from(number) + 100),
            flags: Vec::new(),
            environment: BTreeMap::new(),
        };
        for dir in ["home", "run"] {
            fs_err::create_dir_all(options.root.join(dir))?;
        }
        // A run that was stopped half-way may have left this slot's interfaces and tables behind.
        Residue::find(&options.traces()).clear();
        adjust(&mut options);
        let mut daemon = Self { options, child: None, _root: root, _slot: slot };
        daemon.restart()?;
        Ok(daemon)
    }

    /// Starts the daemon again over the same directories, after [`Daemon::kill`] or [`Daemon::stop`].
    ///
    /// # Errors
    ///
    /// When it does not answer in time.
    pub fn restart(&mut self) -> Result<()> {
        ensure!(self.child.is_none(), "the daemon runs already");
        let log = fs_err::OpenOptions::new().create(true).append(true).open(self.log_path())?;
        let (log, _) = log.into_parts();
        let mut command = self.options.command(&binary::drua()?);
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        command.env("DRUA_LOG", "debug").env_remove("DRUA_HOST").env_remove("DOCKER_HOST");
        let mut child = command.spawn().context("cannot start the daemon")?;
        let socket = self.options.socket();
        let answered = wait::poll(START_LIMIT, || match child.try_wait() {
            Ok(Some(status)) => Some(Err(status)),
            _ => http::unix(&socket, "GET", "/_ping", "").is_ok_and(|answer| answer.status == 200).then_some(Ok(())),
        });
        match answered {
            Some(Ok(())) => {
                self.child = Some(child);
                Ok(())
            }
            Some(Err(status)) => bail!("the daemon ended with {status}\n{}", self.log()),
            None => {
                drop(child.kill());
                drop(child.wait());
                bail!("the daemon did not answer within {START_LIMIT:?}\n{}", self.log())
            }
        }
    }

    /// Ends the daemon at once, as `kill -9` does. Its containers run on.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            drop(child.kill());
            drop(child.wait());
        }
    }

    /// Ends the daemon with SIGTERM and waits.
    pub fn stop(&mut self) {
        let Some(mut child) = self.child.take() else { return };
        if let Some(pid) = Pid::from_raw(child.id().cast_signed()) {
            let _ = kill_process(pid, Signal::TERM);
        }
        if wait::poll(STOP_LIMIT, || child.try_wait().ok().flatten()).is_none() {
            drop(child.kill());
            drop(child.wait());
        }
    }

    /// The daemon's process id.
    ///
    /// # Panics
    ///
    /// When it does not run.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.as_ref().expect("the daemon runs").id()
    }

    /// A directory that vanishes with the daemon, for files of the test.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.options.root
    }

    /// Runs the genuine docker CLI against this daemon.
    #[must_use]
    pub fn docker<'a>(&self, args: impl IntoIterator<Item = &'a str>) -> Cmd {
        self.options.docker(args)
    }

    /// Runs `drua` against this daemon.
    #[must_use]
    pub fn drua<'a>(&self, args: impl IntoIterator<Item = &'a str>) -> Cmd {
        self.options.drua(args)
    }

    /// Sends one request to the API.
    ///
    /// # Errors
    ///
    /// When the daemon does not answer.
    pub fn api(&self, method: &str, path: &str, body: &str) -> Result<http::Response> {
        http::unix(&self.options.socket(), method, path, body)
    }

    /// What the daemon has logged so far.
    #[must_use]
    pub fn log(&self) -> String {
        fs_err::read_to_string(self.log_path()).unwrap_or_default()
    }

    fn log_path(&self) -> PathBuf {
        self.options.root.join("daemon.log")
    }

    fn remove_containers(&self) {
        let Ok(list) = self.api("GET", "/containers/json?all=1", "") else { return };
        let Ok(serde_json::Value::Array(containers)) = serde_json::from_str(&list.body) else { return };
        for id in containers.iter().filter_map(|container| container["Id"].as_str()) {
            drop(self.api("DELETE", &format!("/containers/{id}?force=1&v=1"), ""));
        }
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprint_log(&self.log());
        }
        if self.child.is_some() {
            self.remove_containers();
        }
        self.stop();
        Residue::find(&self.options.traces()).clear();
    }
}

/// Shows the end of the daemon's log when a test fails, since its directory is about to vanish.
#[expect(clippy::print_stderr, reason = "a failing test's output is for the reader")]
fn eprint_log(log: &str) {
    let lines: Vec<&str> = log.lines().collect();
    let tail = &lines[lines.len().saturating_sub(60)..];
    eprintln!("--- the daemon's log, its last {} lines\n{}", tail.len(), tail.join("\n"));
}

/// `e` and two digits: no name that the kernel or udev gives begins so.
fn prefix(number: u8) -> String {
    format!("e{number:02x}")
}

/// Claims a number that no other test process uses, by a lock that ends with the process.
fn claim_slot() -> Result<(u8, File)> {
    let dir = std::env::temp_dir().join("drua-e2e-slots");
    fs_err::create_dir_all(&dir)?;
    for number in 0..SLOTS {
        let file = fs_err::OpenOptions::new().create(true).append(true).open(dir.join(number.to_string()))?;
        let (file, _) = file.into_parts();
        match file.try_lock() {
            Ok(()) => return Ok((number, file)),
            Err(TryLockError::WouldBlock) => {}
            Err(TryLockError::Error(err)) => return Err(err).context("cannot lock a slot"),
        }
    }
    bail!("{SLOTS} daemons run already")
}
