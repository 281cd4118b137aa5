//! Starts the daemon when the first command finds none.
//!
//! ```text
//! drua ps ── connect /run/drua/drua.sock: nobody ──► /proc/self/exe daemon --detached (log: /var/log/drua.log)
//!    └──────────── ping until it answers, it exits, or the deadline passes ────┘
//! ```
//! Two commands may do so at once: the second daemon finds the first one's lock and exits, and both commands are content
//! with whichever daemon answers.

use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::Context as _;
use drua_api::Client;
use tokio::time::{Instant, MissedTickBehavior, interval};

use crate::daemon::DaemonArgs;
use crate::failure::Failure;
use crate::ui::Printer;

/// A daemon that needs longer than this does not start any more.
const DEADLINE: Duration = Duration::from_secs(20);
/// How often it is asked.
const POLL: Duration = Duration::from_millis(2);
/// How much of the log's end is shown when it fails.
const LOG_TAIL_BYTES: u64 = 2000;

/// Whether an error from the socket means that no daemon is there.
pub(crate) fn would_help(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused)
}

/// Starts a daemon with default settings, and waits until it answers.
pub(crate) async fn start(client: &Client, ui: &Printer) -> Result<(), Failure> {
    if !rustix::process::geteuid().is_root() {
        let text = format!("no drua daemon is running at {}, and only root can start one", client.host());
        return Err(
            Failure::message(text).hint("start it with `sudo drua daemon`, or point DRUA_HOST at one that runs")
        );
    }
    let (log, log_path) = open_log().context("cannot open a log file for the daemon")?;
    let log_start = log.metadata().map_or(0, |metadata| metadata.len());
    let mut daemon = spawn(log).context("cannot start the drua daemon")?;
    if wait_until_ready(client, &mut daemon).await? {
        ui.note(&format!("started the drua daemon (log: {})", log_path.display()));
        return Ok(());
    }
    let tail = read_tail(&log_path, log_start).unwrap_or_default();
    let failure = match tail.trim() {
        "" => Failure::message("the drua daemon did not start"),
        tail => Failure::new(anyhow::Error::msg(tail.to_owned()).context("the drua daemon did not start")),
    };
    Err(failure
        .hint(format!("the daemon's log is `{}`; `drua daemon` in a terminal shows it live", log_path.display())))
}

fn spawn(log: File) -> io::Result<Child> {
    Command::new("/proc/self/exe")
        .arg0("drua")
        .args(["daemon", DaemonArgs::DETACHED_FLAG])
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log)
        .current_dir("/")
        .spawn()
}

/// Whether the daemon, ours or another one, answers before the deadline.
async fn wait_until_ready(client: &Client, daemon: &mut Child) -> Result<bool, Failure> {
    let deadline = Instant::now() + DEADLINE;
    let mut poll = interval(POLL);
    poll.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        poll.tick().await;
        // Asked in this order, so that a daemon which lost the race against another one does not count as a failure.
        let exited = daemon.try_wait().context("cannot watch the drua daemon")?.is_some();
        if client.ping().await.is_ok() {
            return Ok(true);
        }
        if exited || Instant::now() > deadline {
            return Ok(false);
        }
    }
}

fn open_log() -> io::Result<(File, PathBuf)> {
    let open = |path: &Path| fs_err::OpenOptions::new().create(true).append(true).open(path).map(File::from);
    let usual = PathBuf::from("/var/log/drua.log");
    match open(&usual) {
        Ok(file) => Ok((file, usual)),
        Err(_) => {
            let data_root = Path::new(DaemonArgs::DEFAULT_DATA_ROOT);
            fs_err::create_dir_all(data_root)?;
            let fallback = data_root.join("daemon.log");
            open(&fallback).map(|file| (file, fallback))
        }
    }
}

/// What the daemon wrote since it was started, or the end of it.
fn read_tail(path: &Path, start: u64) -> io::Result<String> {
    let mut file = fs_err::File::open(path)?;
    let end = file.metadata()?.len();
    file.seek(SeekFrom::Start(start.max(end.saturating_sub(LOG_TAIL_BYTES))))?;
    let mut text = Vec::new();
    file.take(LOG_TAIL_BYTES).read_to_end(&mut text)?;
    Ok(String::from_utf8_lossy(&text).into_owned())
}
