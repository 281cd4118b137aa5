//! Health checks: when to probe, what a result means, and the probe itself, an exec that nobody but us sees.
//!
//! ```text
//!   start ──► starting ── a success ──► healthy ◄─── a success ───┐
//!                │                        │                        │
//!                └── `retries` failures ──┴── in a row ──► unhealthy
//!                    (those in the start period do not count while `starting`)
//! ```
//!
//! The actor owns the state; a task of its own probes and reports. The status is saved when it changes, so it survives the
//! daemon; a probe that was under way when a daemon died is ended by the next one.

use std::time::Duration;

use drua_types::error_chain;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use tokio::io::AsyncReadExt as _;
use tokio::net::UnixStream;

use super::exec::{ExecConfig, process};
use super::probe::Probe;
use super::{Config, Container, Health, HealthCheck, Hull};
use crate::engine::Shared;
use crate::shim::{AttachStreams, Shim};
use crate::{Error, Result, blocking};

const DEFAULT_INTERVAL: Duration = Duration::from_secs(30);
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(30);
const DEFAULT_START_INTERVAL: Duration = Duration::from_secs(5);
const DEFAULT_RETRIES: u32 = 3;
/// How many results are kept.
const MAX_RESULTS: usize = 5;
/// How much of a probe's output is kept.
const MAX_OUTPUT_BYTES: usize = 4096;
/// The shim's name for the one probe that there may be at a time.
const PROBE_ID: &str = "health";

/// How well a container with a health check is, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HealthState {
    /// The verdict.
    pub status: Health,
    /// Failures in a row.
    pub failing_streak: u32,
    /// The last results, oldest first, at most five.
    pub log: Vec<ProbeResult>,
}

/// What came of one probe.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProbeResult {
    /// When it began.
    pub start: Timestamp,
    /// When it ended.
    pub end: Timestamp,
    /// The exit code; -1 when it took too long or could not be run.
    pub exit_code: i32,
    /// The first 4096 bytes of its output.
    pub output: String,
}

/// A health check with its defaults filled in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Check {
    args: Vec<String>,
    /// What to ask where nothing can be executed.
    question: Option<Probe>,
    interval: Duration,
    timeout: Duration,
    start_period: Duration,
    start_interval: Duration,
    retries: u32,
}

impl HealthState {
    /// Of a container that has just been started.
    pub(crate) fn starting() -> Self {
        Self { status: Health::Starting, failing_streak: 0, log: Vec::new() }
    }

    /// The state after a probe. `in_start_period` says when the probe began.
    pub(crate) fn after(&self, result: ProbeResult, retries: u32, in_start_period: bool) -> Self {
        let (mut status, mut failing_streak) = (self.status, self.failing_streak);
        if result.exit_code == 0 {
            (status, failing_streak) = (Health::Healthy, 0);
        } else if status != Health::Starting || !in_start_period {
            failing_streak = failing_streak.saturating_add(1);
            if failing_streak >= retries {
                status = Health::Unhealthy;
            }
        }
        let mut log = self.log.clone();
        log.push(result);
        let excess = log.len().saturating_sub(MAX_RESULTS);
        log.drain(..excess);
        Self { status, failing_streak, log }
    }
}

impl Check {
    /// What a container's configuration asks for; `None` without a check, or where nothing can be executed.
    pub(crate) fn of(container: &Container) -> Option<Self> {
        let check = Self::parse(&container.config)?;
        match container.hull {
            Hull::Linux => Some(check),
            Hull::Wasm(_) => check.into_question(),
        }
    }

    /// The check as a question that needs no program, if it can be one.
    pub(crate) fn into_question(self) -> Option<Self> {
        let question = Some(Probe::parse(&self.args)?);
        Some(Self { question, ..self })
    }

    /// What a configuration asks for, wherever it runs.
    pub(crate) fn parse(config: &Config) -> Option<Self> {
        let check = config.healthcheck.as_ref()?;
        let (kind, rest) = check.test.split_first()?;
        let args = match kind.as_str() {
            "CMD" => rest.to_vec(),
            "CMD-SHELL" => {
                let shell = ["/bin/sh".to_owned(), "-c".to_owned()];
                let shell = if config.shell.is_empty() { shell.to_vec() } else { config.shell.clone() };
                shell.into_iter().chain(rest.iter().cloned()).collect()
            }
            _ => return None,
        };
        let or = |given: Duration, default: Duration| if given.is_zero() { default } else { given };
        (!args.is_empty()).then(|| Self {
            args,
            question: None,
            interval: or(check.interval, DEFAULT_INTERVAL),
            timeout: or(check.timeout, DEFAULT_TIMEOUT),
            start_period: check.start_period,
            start_interval: or(check.start_interval, DEFAULT_START_INTERVAL),
            retries: if check.retries == 0 { DEFAULT_RETRIES } else { check.retries },
        })
    }

    /// Failures in a row that mean unhealthy.
    pub(crate) fn retries(&self) -> u32 {
        self.retries
    }

    /// Whether failures at `at` do not count yet for a container that was started at `started`.
    pub(crate) fn in_start_period(&self, started: Option<Timestamp>, at: Timestamp) -> bool {
        let since = started.and_then(|started| Duration::try_from(at.duration_since(started)).ok());
        since.is_none_or(|since| since < self.start_period)
    }

    /// How long to wait before the next probe.
    pub(crate) fn pause(&self, status: Health, started: Option<Timestamp>, now: Timestamp) -> Duration {
        if status == Health::Starting && self.in_start_period(started, now) {
            return self.start_interval.min(self.interval);
        }
        self.interval
    }
}

/// The client's check over the image's: fields that the client left out are inherited.
pub(crate) fn merge(own: Option<HealthCheck>, image: Option<HealthCheck>) -> Option<HealthCheck> {
    let (mut own, base) = match (own, image) {
        (Some(own), Some(base)) => (own, base),
        (own, image) => return own.or(image).filter(|check| !check.test.is_empty()),
    };
    if own.test.is_empty() {
        own.test = base.test;
    }
    let inherit = |own: &mut Duration, base: Duration| {
        if own.is_zero() {
            *own = base;
        }
    };
    inherit(&mut own.interval, base.interval);
    inherit(&mut own.timeout, base.timeout);
    inherit(&mut own.start_period, base.start_period);
    inherit(&mut own.start_interval, base.start_interval);
    if own.retries == 0 {
        own.retries = base.retries;
    }
    Some(own)
}

/// Ends a probe that an earlier daemon has left behind.
pub(crate) async fn clear(shim: &Shim) {
    if shim.exec_state(PROBE_ID).await.is_ok() {
        end(shim).await;
    }
}

/// Runs one probe. Whatever goes wrong is a failed probe.
pub(crate) async fn probe(shared: &Shared, shim: &Shim, container: &Container, check: &Check) -> ProbeResult {
    let start = Timestamp::now();
    if let Some(question) = &check.question {
        let (exit_code, output) = ask(question.clone(), container, check.timeout).await;
        return ProbeResult { start, end: Timestamp::now(), exit_code, output };
    }
    let id = drua_types::ContainerId::random().to_string();
    super::exec::announce(shared, container, "exec_create", &check.args, &id);
    let mut output = Vec::new();
    let run = run(shared, shim, container, check, &id, &mut output);
    let ended = tokio::time::timeout(check.timeout, run).await;
    let text = |output: &[u8]| String::from_utf8_lossy(output).into_owned();
    let (exit_code, output) = match ended {
        Ok(Ok(code)) => (i32::try_from(code).unwrap_or(-1), text(&output)),
        Ok(Err(error)) => (-1, error_chain(&error)),
        Err(_elapsed) => {
            let said = if output.is_empty() { String::new() } else { format!(": {}", text(&output)) };
            (-1, format!("Health check exceeded timeout ({:?}){said}", check.timeout))
        }
    };
    end(shim).await;
    super::exec::announce_end(shared, container, &id, exit_code);
    ProbeResult { start, end: Timestamp::now(), exit_code, output }
}

/// Asks from within the container's network.
async fn ask(question: Probe, container: &Container, patience: Duration) -> (i32, String) {
    let netns = format!("/proc/{}/ns/net", container.state.pid);
    let asked = blocking::run(move || question.run(netns.as_ref(), patience));
    match tokio::time::timeout(patience, asked).await {
        Ok(Ok((code, output))) => (i32::try_from(code).unwrap_or(-1), output),
        Ok(Err(error)) => (-1, error_chain(&error)),
        Err(_elapsed) => (-1, format!("Health check exceeded timeout ({patience:?})")),
    }
}

/// Kills the probe where it still runs, and has the shim forget it.
async fn end(shim: &Shim) {
    // Both fail for one that has ended, or was never begun.
    if shim.delete_exec(PROBE_ID).await.is_err() && shim.kill_exec(PROBE_ID, drua_types::Signal::KILL).await.is_ok() {
        let _ = tokio::time::timeout(Duration::from_secs(10), shim.wait_exec(PROBE_ID)).await;
        let _ = shim.delete_exec(PROBE_ID).await;
    }
}

async fn run(
    shared: &Shared,
    shim: &Shim,
    container: &Container,
    check: &Check,
    id: &str,
    output: &mut Vec<u8>,
) -> Result<u32> {
    let exec = ExecConfig { cmd: check.args.clone(), attach: [false, true, true], ..ExecConfig::default() };
    let (config, of) = (shared.config.clone(), container.clone());
    let process = blocking::run(move || process(&config, &of, &exec, None)).await?;
    shim.exec(PROBE_ID, &process, false, false).await?;
    let attached = shim.attach(AttachStreams::new(false, true, true), Some(PROBE_ID)).await?;
    shim.start_exec(PROBE_ID).await?;
    super::exec::announce(shared, container, "exec_start", &check.args, id);
    collect(attached.stream, output).await.map_err(|source| Error::Io {
        action: "read the output of the health check of",
        path: container.id.as_str().into(),
        source,
    })?;
    Ok(shim.wait_exec(PROBE_ID).await?.code)
}

/// Reads frames to their end; keeps the beginning.
async fn collect(mut stream: UnixStream, output: &mut Vec<u8>) -> std::io::Result<()> {
    let mut header = [0; 8];
    loop {
        match stream.read_exact(&mut header).await {
            Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => return Ok(()),
            result => result?,
        };
        let length = u64::from(u32::from_be_bytes([header[4], header[5], header[6], header[7]]));
        let mut frame = (&mut stream).take(length);
        let mut chunk = [0; 4096];
        while let count @ 1.. = frame.read(&mut chunk).await? {
            let room = MAX_OUTPUT_BYTES - output.len();
            output.extend_from_slice(&chunk[..count.min(room)]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn result(exit_code: i32) -> ProbeResult {
        let at = Timestamp::UNIX_EPOCH;
        ProbeResult { start: at, end: at, exit_code, output: String::new() }
    }

    #[track_caller]
    fn check(results: &[(i32, bool)], status: Health, streak: u32) {
        let mut state = HealthState::starting();
        for (code, early) in results {
            state = state.after(result(*code), 3, *early);
        }
        assert_eq!((state.status, state.failing_streak), (status, streak), "{results:?}");
        assert_eq!(state.log.len(), results.len().min(MAX_RESULTS));
    }

    #[test]
    fn results_become_a_verdict() {
        use Health::{Healthy, Starting, Unhealthy};
        check(&[], Starting, 0);
        check(&[(0, true)], Healthy, 0);
        check(&[(1, false), (1, false)], Starting, 2);
        check(&[(1, false), (1, false), (-1, false)], Unhealthy, 3);
        check(&[(1, true), (1, true), (1, true), (1, true)], Starting, 0);
        check(&[(0, true), (1, true), (1, true), (1, true)], Unhealthy, 3);
        check(&[(1, false), (1, false), (1, false), (0, false)], Healthy, 0);
        check(&[(0, false), (1, false), (0, false), (1, false), (1, false), (0, false), (1, false)], Healthy, 1);
    }

    #[test]
    fn fields_are_inherited_one_by_one() {
        let seconds = Duration::from_secs;
        let image = HealthCheck {
            test: vec!["CMD".to_owned(), "image".to_owned()],
            interval: seconds(7),
            retries: 9,
            ..HealthCheck::default()
        };
        let own = HealthCheck { interval: seconds(1), ..HealthCheck::default() };
        let merged = merge(Some(own), Some(image.clone())).expect("a check");
        assert_eq!((merged.interval, merged.retries, &merged.test), (seconds(1), 9, &image.test));
        assert_eq!(merge(None, Some(image.clone())), Some(image));
        assert_eq!(merge(Some(HealthCheck::default()), None), None);
    }

    #[test]
    fn a_configuration_becomes_a_check() {
        let parse = |test: &[&str]| {
            let test = test.iter().map(|&word| word.to_owned()).collect();
            let healthcheck =
                Some(HealthCheck { test, start_period: Duration::from_secs(60), ..HealthCheck::default() });
            Check::parse(&Config { healthcheck, ..Config::default() })
        };
        assert_eq!(parse(&["NONE"]), None);
        assert_eq!(parse(&[]), None);
        let shell = parse(&["CMD-SHELL", "exit 1"]).expect("a check");
        assert_eq!(shell.args, ["/bin/sh", "-c", "exit 1"]);
        let at = |second| Timestamp::from_second(second).expect("a time");
        assert_eq!(shell.pause(Health::Starting, Some(at(0)), at(10)), DEFAULT_START_INTERVAL);
        assert_eq!(shell.pause(Health::Starting, Some(at(0)), at(60)), DEFAULT_INTERVAL);
        assert_eq!(shell.pause(Health::Healthy, Some(at(0)), at(10)), DEFAULT_INTERVAL);
    }
}
