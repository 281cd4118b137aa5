//! What running containers cost: exec, start and stop, listings of many, parallel starts, events, logs, statistics.
//!
//! Everything over the API itself, so that no client's own time is in the figures; exec by the CLIs too, for the peers.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use drua_e2e::{Daemon, http};
use serde_json::{Value, json};

use super::succeed;
use super::table::Row;
use crate::steps;

/// How many containers a long listing has.
const MANY: usize = 1000;
/// How many start at once, and how many listen to events.
const CROWD: usize = 100;
/// What a container logs for the throughput.
const LOG_BYTES: u64 = 200_000_000;
/// The container that execs go to, here and in the peers.
pub(super) const TARGET: &str = "bench-target";

/// A daemon's API, a connection for each request.
#[derive(Clone)]
pub(super) struct Api {
    socket: PathBuf,
    who: &'static str,
}

impl Api {
    pub(super) fn new(socket: PathBuf, who: &'static str) -> Self {
        Self { socket, who }
    }

    fn call(&self, method: &str, path: &str, body: &Value) -> Result<String> {
        let body = if body.is_null() { String::new() } else { body.to_string() };
        let answer = http::unix(&self.socket, method, path, &body)?;
        ensure!(answer.status < 400, "{method} {path}: {} {}", answer.status, answer.body);
        Ok(answer.body)
    }

    fn json(&self, method: &str, path: &str, body: &Value) -> Result<Value> {
        Ok(serde_json::from_str(&self.call(method, path, body)?)?)
    }

    fn create(&self, body: &Value) -> Result<String> {
        let created = self.json("POST", "/containers/create", body)?;
        created["Id"].as_str().map(str::to_owned).context("no id")
    }

    /// A stream whose headers have come.
    fn stream(&self, path: &str) -> Result<BufReader<UnixStream>> {
        let mut stream = UnixStream::connect(&self.socket)?;
        stream.set_read_timeout(Some(Duration::from_secs(60)))?;
        write!(stream, "GET {path} HTTP/1.1\r\nHost: d\r\n\r\n")?;
        let mut reader = BufReader::new(stream);
        let mut line = String::new();
        while line != "\r\n" {
            line.clear();
            ensure!(reader.read_line(&mut line)? > 0, "{path}: the stream has ended");
        }
        Ok(reader)
    }
}

/// Starts the container that execs go to.
pub(super) fn start_target(daemon: &Daemon) -> Result<()> {
    let run = ["run", "-d", "--name", TARGET, "--network", "none", "bench/linux", "/bin/sleep", "100000"];
    succeed(daemon.drua(run)).map(drop)
}

/// All measurements of a daemon in which [`TARGET`] runs. Only drua has the Wasm image.
pub(super) fn measure(api: &Api, rounds: usize) -> Result<Vec<Row>> {
    steps::say(&format!("living containers, {}", api.who));
    let mut rows = vec![exec(api, rounds)?];
    rows.extend(start_and_stop(api, rounds)?);
    rows.push(stats(api, rounds)?);
    rows.push(events(api, rounds)?);
    rows.extend(logs(api, rounds)?);
    let crowd = rounds.min(5);
    rows.push(parallel_starts(api, "100 parallel starts, Linux", "bench/linux", crowd)?);
    if api.call("GET", "/images/bench/wasm/json", &Value::Null).is_ok() {
        rows.push(parallel_starts(api, "100 parallel starts, Wasm", "bench/wasm", crowd)?);
    }
    rows.extend(many(api, rounds)?);
    Ok(rows)
}

fn repeat(rounds: usize, mut work: impl FnMut() -> Result<Duration>) -> Result<Vec<Duration>> {
    work()?;
    (0..rounds).map(|_| work()).collect()
}

fn timed(work: impl FnOnce() -> Result<()>) -> Result<Duration> {
    let start = Instant::now();
    work()?;
    Ok(start.elapsed())
}

fn exec(api: &Api, rounds: usize) -> Result<Row> {
    let times = repeat(rounds, || {
        timed(|| {
            let body = json!({ "Cmd": ["/bin/true"], "AttachStdout": true });
            let exec = api.json("POST", &format!("/containers/{TARGET}/exec"), &body)?;
            let id = exec["Id"].as_str().context("no id")?;
            api.call("POST", &format!("/exec/{id}/start"), &json!({ "Detach": false }))?;
            let end = api.json("GET", &format!("/exec/{id}/json"), &Value::Null)?;
            ensure!(end["ExitCode"] == 0, "{end}");
            Ok(())
        })
    })?;
    Ok(Row::times("exec true, three API calls", api.who, times))
}

fn sleeper() -> Value {
    json!({ "Image": "bench/linux", "Cmd": ["/bin/sleep", "100000"], "HostConfig": { "NetworkMode": "none" } })
}

fn start_and_stop(api: &Api, rounds: usize) -> Result<[Row; 2]> {
    let (mut starts, mut stops) = (Vec::new(), Vec::new());
    for round in 0..=rounds {
        let id = api.create(&sleeper())?;
        let start = timed(|| api.call("POST", &format!("/containers/{id}/start"), &Value::Null).map(drop))?;
        let stop = timed(|| api.call("POST", &format!("/containers/{id}/stop?signal=KILL"), &Value::Null).map(drop))?;
        api.call("DELETE", &format!("/containers/{id}?force=1"), &Value::Null)?;
        if round > 0 {
            starts.push(start);
            stops.push(stop);
        }
    }
    Ok([Row::times("start, Linux, no network", api.who, starts), Row::times("stop with SIGKILL", api.who, stops)])
}

fn stats(api: &Api, rounds: usize) -> Result<Row> {
    let path = format!("/containers/{TARGET}/stats?stream=0&one-shot=1");
    let times = repeat(rounds, || timed(|| api.call("GET", &path, &Value::Null).map(drop)))?;
    Ok(Row::times("stats of one container, one reading", api.who, times))
}

/// From a change to the moment when the last of a hundred listeners has heard of it.
fn events(api: &Api, rounds: usize) -> Result<Row> {
    let mut listeners: Vec<_> = (0..CROWD)
        .map(|_| api.stream("/events?filters=%7B%22event%22%3A%5B%22rename%22%5D%7D"))
        .collect::<Result<_>>()?;
    let mut times = Vec::new();
    for round in 0..=rounds {
        let (old, new) = if round % 2 == 0 { (TARGET, "bench-other") } else { ("bench-other", TARGET) };
        let taken = timed(|| {
            api.call("POST", &format!("/containers/{old}/rename?name={new}"), &Value::Null)?;
            for listener in &mut listeners {
                let mut line = String::new();
                while !line.contains("\"rename\"") {
                    line.clear();
                    ensure!(listener.read_line(&mut line)? > 0, "a listener was dropped");
                }
            }
            Ok(())
        })?;
        if round > 0 {
            times.push(taken);
        }
    }
    if rounds.is_multiple_of(2) {
        api.call("POST", &format!("/containers/bench-other/rename?name={TARGET}"), &Value::Null)?;
    }
    Ok(Row::times("an event to 100 listeners", api.who, times))
}

fn logs(api: &Api, rounds: usize) -> Result<Vec<Row>> {
    let script =
        format!("yes 0123456789012345678901234567890123456789012345678901234567890123456789 | head -c {LOG_BYTES}");
    let body = json!({
        "Image": "bench/linux", "Cmd": ["/bin/busybox", "sh", "-c", script],
        "HostConfig": { "NetworkMode": "none", "LogConfig": { "Type": "json-file", "Config": { "max-size": "500m" } } },
    });
    let id = api.create(&body)?;
    let written = timed(|| {
        api.call("POST", &format!("/containers/{id}/start"), &Value::Null)?;
        api.call("POST", &format!("/containers/{id}/wait"), &Value::Null).map(drop)
    })?;
    let read = timed(|| {
        let mut stream = api.stream(&format!("/containers/{id}/logs?stdout=1"))?;
        let mut chunk = vec![0; 1 << 20];
        let (mut total, mut count) = (0, stream.read(&mut chunk)?);
        while count > 0 && total < LOG_BYTES {
            total += count as u64;
            count = stream.read(&mut chunk)?;
        }
        Ok(())
    })?;
    api.call("DELETE", &format!("/containers/{id}?force=1"), &Value::Null)?;
    let rate = |taken: Duration| format!("{:.0} MB/s", LOG_BYTES as f64 / 1e6 / taken.as_secs_f64());
    Ok(vec![
        Row::text("log throughput, written by a container", api.who, rate(written)),
        Row::text("log throughput, read by a client", api.who, rate(read)),
        follow_latency(api, rounds)?,
    ])
}

/// From a container's write to the follower's read. The container echoes what it reads from an attached client.
fn follow_latency(api: &Api, rounds: usize) -> Result<Row> {
    let body = json!({
        "Image": "bench/linux", "Cmd": ["/bin/busybox", "cat"], "OpenStdin": true, "Tty": false,
        "HostConfig": { "NetworkMode": "none" },
    });
    let id = api.create(&body)?;
    api.call("POST", &format!("/containers/{id}/start"), &Value::Null)?;
    let mut input = UnixStream::connect(&api.socket)?;
    write!(
        input,
        "POST /containers/{id}/attach?stream=1&stdin=1 HTTP/1.1\r\nHost: d\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n"
    )?;
    let mut head = BufReader::new(input.try_clone()?);
    let mut line = String::new();
    while line != "\r\n" {
        line.clear();
        ensure!(head.read_line(&mut line)? > 0, "attach was refused");
    }
    let mut follower = api.stream(&format!("/containers/{id}/logs?follow=1&stdout=1"))?;
    let times = repeat(rounds, || {
        timed(|| {
            input.write_all(b"tick\n")?;
            let mut bytes = Vec::new();
            while !bytes.ends_with(b"tick\n") {
                bytes.clear();
                ensure!(follower.read_until(b'\n', &mut bytes)? > 0, "the follower was dropped");
            }
            Ok(())
        })
    })?;
    api.call("DELETE", &format!("/containers/{id}?force=1"), &Value::Null)?;
    Ok(Row::times("stdin → container → log → follower", api.who, times))
}

fn parallel_starts(api: &Api, work: &str, image: &str, rounds: usize) -> Result<Row> {
    let mut times = Vec::new();
    for round in 0..=rounds {
        let body = json!({ "Image": image, "HostConfig": { "NetworkMode": "none" } });
        let ids = (0..CROWD).map(|_| api.create(&body)).collect::<Result<Vec<_>>>()?;
        let taken = timed(|| {
            let starts: Vec<_> = ids
                .iter()
                .map(|id| {
                    let (api, path) = (api.clone(), format!("/containers/{id}/start"));
                    std::thread::spawn(move || api.call("POST", &path, &Value::Null).map(drop))
                })
                .collect();
            starts.into_iter().try_for_each(|start| start.join().unwrap_or_else(|_| anyhow::bail!("a thread panicked")))
        })?;
        for id in &ids {
            api.call("DELETE", &format!("/containers/{id}?force=1"), &Value::Null)?;
        }
        if round > 0 {
            times.push(taken);
        }
    }
    Ok(Row::times(work, api.who, times))
}

fn many(api: &Api, rounds: usize) -> Result<[Row; 2]> {
    let ids = (0..MANY).map(|_| api.create(&sleeper())).collect::<Result<Vec<_>>>()?;
    let list = repeat(rounds, || {
        // Whoever reads the answer takes his own time.
        timed(|| api.call("GET", "/containers/json?all=1", &Value::Null).map(drop))
    })?;
    let listed = api.json("GET", "/containers/json?all=1", &Value::Null)?;
    ensure!(listed.as_array().is_some_and(|list| list.len() >= MANY), "some are missing");
    let inspect = repeat(rounds, || {
        timed(|| api.call("GET", &format!("/containers/{}/json", ids[MANY / 2]), &Value::Null).map(drop))
    })?;
    for id in &ids {
        api.call("DELETE", &format!("/containers/{id}"), &Value::Null)?;
    }
    Ok([Row::times("ps -a of 1000 containers", api.who, list), Row::times("inspect among 1000", api.who, inspect)])
}
