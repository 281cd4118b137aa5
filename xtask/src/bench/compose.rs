//! Compose beside Docker's own on the same daemon: a project's life, a heavy file, and how fast an edit arrives.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use drua_e2e::{Cmd, Daemon, binary};

use super::table::Row;
use crate::steps;

/// Sizes of the projects that are brought up and down, in services.
const SIZES: [usize; 3] = [1, 10, 50];
/// How many edits are timed.
const EDITS: usize = 200;
/// How many edits Docker's Compose is timed with: each takes it half a second by design.
const THEIR_EDITS: usize = 20;
/// How long an edit may take.
const LIMIT: Duration = Duration::from_secs(30);

/// One of the two programs.
struct Program {
    who: &'static str,
    command: Box<dyn Fn(&[&str]) -> Cmd>,
    edits: usize,
}

fn programs(daemon: &Daemon) -> Vec<Program> {
    let options = daemon.options.clone();
    let ours = move |args: &[&str]| {
        let state = options.root.join("state");
        options.drua(["compose"]).args(args).env("XDG_STATE_HOME", state)
    };
    let mut programs = vec![Program { who: "drua compose", command: Box::new(ours), edits: EDITS }];
    let theirs = binary::target_dir().join("e2e/venv/bin/docker-compose");
    if theirs.exists() {
        let host = daemon.options.host();
        let command = move |args: &[&str]| Cmd::new(&theirs).env("DOCKER_HOST", &host).args(args);
        programs.push(Program { who: "docker-compose", command: Box::new(command), edits: THEIR_EDITS });
    }
    programs
}

/// Measures everything; `rounds` projects of each size.
pub(super) fn rows(daemon: &Daemon, rounds: usize) -> Result<Vec<Row>> {
    let dir = daemon.dir().join("compose");
    let programs = programs(daemon);
    let mut rows = Vec::new();
    for size in SIZES {
        steps::say(&format!("compose with {size} services"));
        rows.extend(life(&programs, &dir.join(format!("p{size}")), size, rounds.min(if size > 10 { 5 } else { 10 }))?);
    }
    rows.extend(heavy(&programs, &dir.join("heavy"), rounds)?);
    for program in &programs {
        steps::say(&format!("{} watch", program.who));
        rows.push(watch(daemon, program, &dir.join("watch"))?);
    }
    Ok(rows)
}

fn timed(cmd: Cmd) -> Result<Duration> {
    let started = Instant::now();
    let run = cmd.limit(Duration::from_secs(300)).try_run()?;
    ensure!(run.code() == Some(0), "{run}");
    Ok(started.elapsed())
}

fn write(dir: &Path, text: &str) -> Result<PathBuf> {
    fs_err::create_dir_all(dir)?;
    let path = dir.join("compose.yaml");
    fs_err::write(&path, text)?;
    Ok(path)
}

/// `up`, `up` again, `ps` and `down`, the programs taking turns.
fn life(programs: &[Program], dir: &Path, size: usize, rounds: usize) -> Result<Vec<Row>> {
    const STEPS: [(&str, &[&str]); 4] =
        [("up", &["up", "-d"]), ("up again", &["up", "-d"]), ("ps", &["ps"]), ("down", &["down", "-t", "0"])];
    let mut text = String::from("services:\n");
    for number in 0..size {
        let _ = writeln!(
            text,
            "  s{number}: {{image: bench/linux, command: [/bin/sleep, \"1000\"], stop_grace_period: 0s}}"
        );
    }
    let file = write(dir, &text)?;
    let file = file.to_string_lossy();
    let mut times = vec![vec![Vec::new(); STEPS.len()]; programs.len()];
    for round in 0..=rounds {
        for (program, times) in programs.iter().zip(&mut times) {
            for ((_, step), times) in STEPS.iter().zip(times) {
                let args: Vec<&str> = ["-f", &*file].iter().chain(*step).copied().collect();
                let taken = timed((program.command)(&args))?;
                if round > 0 {
                    times.push(taken);
                }
            }
        }
    }
    let mut rows = Vec::new();
    for (index, (step, _)) in STEPS.iter().enumerate() {
        for (program, times) in programs.iter().zip(&mut times) {
            let work = format!("compose {step}, {size} services");
            rows.push(Row::times(&work, program.who, std::mem::take(&mut times[index])));
        }
    }
    Ok(rows)
}

/// `config` of a file with 200 services that merge anchors and variables.
fn heavy(programs: &[Program], dir: &Path, rounds: usize) -> Result<Vec<Row>> {
    let mut text = String::from(
        "x-base: &base\n  restart: always\n  environment: &env {A: \"${HOME:-x}\", B: \"2\"}\nservices:\n",
    );
    for number in 0..200 {
        let _ = writeln!(
            text,
            "  s{number}:\n    <<: *base\n    image: \"i:${{TAG:-{number}}}\"\n    environment: {{<<: *env, N: \"{number}\"}}\n    \
             ports: [\"{}:80\"]\n    volumes: [\"./v{number}:/v\", \"data:/data\"]\n    labels: [\"n={number}\"]",
            20_000 + number
        );
    }
    text.push_str("volumes: {data: }\n");
    let file = write(dir, &text)?;
    let args = ["-f", &*file.to_string_lossy(), "config", "--quiet"];
    let mut times = vec![Vec::new(); programs.len()];
    for round in 0..=rounds {
        for (program, times) in programs.iter().zip(&mut times) {
            let taken = timed((program.command)(&args))?;
            if round > 0 {
                times.push(taken);
            }
        }
    }
    let rows = programs.iter().zip(times);
    Ok(rows.map(|(program, times)| Row::times("compose config, 200 services", program.who, times)).collect())
}

/// From the end of writing a file to its contents in the container, read through the container's root.
fn watch(daemon: &Daemon, program: &Program, dir: &Path) -> Result<Row> {
    let text = "name: edits\nservices:\n  web:\n    image: bench/linux\n    command: [/bin/sleep, \"1000\"]\n    stop_grace_period: 0s\n    \
                develop: {watch: [{action: sync, path: ./src, target: /app}]}\n";
    fs_err::create_dir_all(dir.join("src"))?;
    let source = dir.join("src/file.txt");
    fs_err::write(&source, "0")?;
    let file = write(dir, text)?;
    let file = file.to_string_lossy();
    timed((program.command)(&["-f", &file, "up", "-d"]))?;
    let inspect = daemon.drua(["inspect", "-f", "{{.State.Pid}}", "edits-web-1"]).try_run()?;
    let pid: u32 = inspect.stdout.trim().parse().with_context(|| format!("{inspect}"))?;
    let copied = PathBuf::from(format!("/proc/{pid}/root/app/file.txt"));
    let session = (program.command)(&["-f", &file, "watch", "--no-up"]).limit(Duration::from_secs(600)).session();
    let mut times = Vec::new();
    for number in 0..=program.edits {
        let contents = format!("edit {number}\n").repeat(50);
        let written = Instant::now();
        loop {
            // The first one also waits for the watch to begin: it is written until it arrives, and does not count.
            if number == 0 || written.elapsed() < Duration::from_millis(1) {
                fs_err::write(&source, &contents)?;
            }
            let started = Instant::now();
            let pause = if number == 0 { Duration::from_millis(900) } else { LIMIT };
            while started.elapsed() < pause && fs_err::read_to_string(&copied).map_or(true, |found| found != contents) {
                std::thread::sleep(Duration::from_micros(200));
            }
            if fs_err::read_to_string(&copied).is_ok_and(|found| found == contents) {
                if number > 0 {
                    times.push(started.elapsed());
                }
                break;
            }
            ensure!(written.elapsed() < LIMIT, "{}: an edit did not arrive", program.who);
        }
    }
    session.kill();
    timed((program.command)(&["-f", &file, "down", "-t", "0"]))?;
    Ok(Row::times("compose watch: save → readable in the container", program.who, times))
}
