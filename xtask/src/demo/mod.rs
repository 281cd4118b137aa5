//! The demo: a daemon of its own, `examples/side-by-side` on it, and the proof that both hulls answer.
//!
//! Everything it makes is known by [`ROOT`] and [`PREFIX`], so that [`down`] finds it again whatever happened between.
//! Runs twice without harm.

mod debian;
pub(crate) mod images;
pub(crate) mod toolchains;

use std::{
    os::unix::process::CommandExt as _,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use anyhow::{Context as _, Result, bail, ensure};
use drua_e2e::{Cmd, Options, Run, binary, http, residue::Residue, wait};
use rustix::process::{Pid, Signal, geteuid, kill_process, test_kill_process};

use crate::steps;

const ROOT: &str = "/var/lib/drua-demo";
const PREFIX: &str = "drd";
const POOL: &str = "10.89.0.0/16";
const WEB: &str = "127.0.0.1:8090";
/// The first request waits for the counter's compilation, which takes some ten seconds on two cores.
const FIRST_ANSWER: Duration = Duration::from_secs(120);
const START: Duration = Duration::from_secs(20);

/// Starts everything and proves it.
pub(crate) fn up() -> Result<()> {
    require_root()?;
    let options = options();
    fs_err::create_dir_all(options.root.join("home"))?;
    stop_daemon()?;
    steps::say("starting a daemon of the demo's own");
    start_daemon(&options)?;
    for archive in images::archives() {
        steps::say(&format!("loading {}", archive.display()));
        succeed(options.drua(["load", "--input", &archive.to_string_lossy()]))?;
    }
    steps::say("drua compose -f examples/side-by-side/compose.yaml up -d");
    succeed(compose(&options, &["up", "-d"]).limit(FIRST_ANSWER))?;
    let [first, second] = [visit(FIRST_ANSWER)?, visit(Duration::from_secs(10))?];
    ensure!(second == first + 1, "the counter does not count: {first}, then {second}");
    steps::say(&format!("http://{WEB}/ answered twice: visit {first}, then visit {second}"));
    for image in ["demo/hello-linux", "demo/hello-wasm"] {
        steps::say(&format!("drua run --rm {image}"));
        let run = succeed(options.drua(["run", "--rm", image]))?;
        ensure!(run.stdout.starts_with("Hello from"), "no greeting\n{run}");
        steps::print(run.stdout.trim_end());
    }
    let containers = succeed(options.drua(["ps"]))?;
    steps::print(&closing_words(&options, containers.stdout.trim_end()));
    Ok(())
}

/// Removes everything that [`up`] made.
pub(crate) fn down() -> Result<()> {
    require_root()?;
    let options = options();
    if answers(&options) {
        steps::say("drua compose down -v");
        let run = compose(&options, &["down", "-v"]).try_run()?;
        if run.code() != Some(0) {
            steps::say(&format!("that failed, going on\n{run}"));
        }
    }
    stop_daemon()?;
    Residue::find(&options.traces()).clear();
    let left = Residue::find(&options.traces());
    ensure!(left.is_empty(), "something of the demo is still there:\n{left}");
    if Path::new(ROOT).exists() {
        fs_err::remove_dir_all(ROOT)?;
    }
    steps::say("the demo is gone; its images stay in target/demo");
    Ok(())
}

fn options() -> Options {
    Options { root: PathBuf::from(ROOT), prefix: PREFIX.to_owned(), pool: POOL.to_owned(), ..Options::default() }
}

fn closing_words(options: &Options, containers: &str) -> String {
    let host = options.host();
    format!(
        "\n{containers}\n\n\
         The page:        http://{WEB}/\n\
         As JSON:         curl http://{WEB}/count.json\n\
         With docker:     DOCKER_HOST={host} docker ps\n\
         With drua:       DRUA_HOST={host} target/release/drua ps\n\
         Tear it down:    make demo-down"
    )
}

fn compose(options: &Options, args: &[&str]) -> Cmd {
    let file = binary::workspace().join("examples/side-by-side/compose.yaml");
    options.drua(["compose", "-f", &file.to_string_lossy()]).args(args)
}

fn succeed(command: Cmd) -> Result<Run> {
    let run = command.try_run()?;
    if run.code() == Some(0) { Ok(run) } else { bail!("{run}") }
}

/// Asks the page for its next number.
fn visit(limit: Duration) -> Result<u64> {
    let mut last = "nobody listens".to_owned();
    let count = wait::poll(limit, || match http::get(WEB, "/count.json") {
        Ok(answer) if answer.status == 200 => {
            let json: serde_json::Value = serde_json::from_str(&answer.body).ok()?;
            json["count"].as_u64()
        }
        Ok(answer) => {
            last = format!("{} {}", answer.status, answer.body.trim());
            None
        }
        Err(err) => {
            last = format!("{err:#}");
            None
        }
    });
    count.with_context(|| format!("http://{WEB}/count.json did not answer within {limit:?}: {last}"))
}

fn answers(options: &Options) -> bool {
    http::unix(&options.socket(), "GET", "/_ping", "").is_ok_and(|answer| answer.status == 200)
}

/// Starts the daemon in the background, in a process group of its own.
fn start_daemon(options: &Options) -> Result<()> {
    let log_path = options.root.join("daemon.log");
    let log = fs_err::File::create(&log_path)?.into_parts().0;
    let mut command = options.command(&binary::drua()?);
    command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log).process_group(0);
    let mut child = command.spawn().context("cannot start the daemon")?;
    fs_err::write(pid_file(), child.id().to_string())?;
    let ready = wait::poll(START, || match child.try_wait() {
        Ok(Some(status)) => Some(Err(status)),
        _ => answers(options).then_some(Ok(())),
    });
    match ready {
        Some(Ok(())) => Ok(()),
        Some(Err(status)) => bail!("the daemon ended with {status}; its log is {}", log_path.display()),
        None => bail!("the daemon does not answer; its log is {}", log_path.display()),
    }
}

/// Ends the demo's daemon, if one runs, by the id that it was started with.
fn stop_daemon() -> Result<()> {
    let Some(pid) = running_daemon() else { return Ok(()) };
    steps::say(&format!("ending the daemon (process {})", pid.as_raw_nonzero()));
    kill_process(pid, Signal::TERM)?;
    if wait::poll(START, || test_kill_process(pid).is_err().then_some(())).is_none() {
        kill_process(pid, Signal::KILL)?;
    }
    Ok(())
}

/// The recorded process, if it still is our daemon: ids are used again.
fn running_daemon() -> Option<Pid> {
    let number: i32 = fs_err::read_to_string(pid_file()).ok()?.trim().parse().ok()?;
    let line = fs_err::read(format!("/proc/{number}/cmdline")).ok()?;
    String::from_utf8_lossy(&line).contains(ROOT).then(|| Pid::from_raw(number)).flatten()
}

fn pid_file() -> PathBuf {
    Path::new(ROOT).join("daemon.pid")
}

fn require_root() -> Result<()> {
    ensure!(geteuid().is_root(), "containers need root: use `make demo`, or run this with sudo");
    Ok(())
}
