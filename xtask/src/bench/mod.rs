//! Measures drua beside its peers, in one run.
//!
//! Every round runs each subject once, in reverse order every other round, after one round that does not count. Peers
//! that are not installed are left out. The table goes to stdout and into docs/performance.md.

mod archives;
mod builds;
mod compose;
mod init;
pub(crate) mod lint;
mod living;
mod memory;
mod peers;
mod pull;
mod table;

use std::{
    path::Path,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail, ensure};
use drua_e2e::{Cmd, Daemon, Image, Rootfs, binary, guest};
use rustix::process::geteuid;
use serde_json::json;

use crate::{demo::images, steps};
use peers::Subject;
use table::Row;

/// How many rounds count.
pub(crate) const DEFAULT_ROUNDS: usize = 30;
const IDLE_CONTAINERS: usize = 5;

/// Measures `drua init` alone and prints it; needs neither root nor a daemon.
pub(crate) fn init_only(rounds: usize) -> Result<()> {
    steps::print(&table::render(&init::rows(rounds)?, rounds)?);
    Ok(())
}

/// Runs every measurement.
pub(crate) fn run(rounds: usize) -> Result<()> {
    ensure!(geteuid().is_root(), "containers need root: use `make bench`");
    ensure!(rounds > 0, "at least one round");
    images::build()?;
    let mut daemon = Daemon::start()?;
    let dir = daemon.dir().to_owned();
    load_images(&daemon, &dir)?;
    living::start_target(&daemon)?;
    let mut subjects = drua_subjects(&daemon)?;
    let dockerd = peers::Dockerd::start(&dir)?;
    subjects.extend(peers::subjects(&dir, dockerd.as_ref())?);
    subjects.extend(builds::subjects(&daemon, dockerd.as_ref().map(peers::Dockerd::host))?);
    let mut rows = interleave(&subjects, rounds)?;
    rows.extend(living_rows(&daemon, dockerd.as_ref(), rounds)?);
    rows.extend(compose::rows(&daemon, rounds)?);
    rows.extend(memory::idle(&daemon, IDLE_CONTAINERS)?);
    rows.extend(init::rows(rounds)?);
    rows.push(cold_start(&mut daemon, rounds)?);
    let text = table::render(&rows, rounds)?;
    steps::print(&text);
    table::write(&binary::workspace().join("docs/performance.md"), table::Section::Main, &text)
}

/// How many rounds of pulls and pushes count: each moves a gigabyte some ten times.
pub(crate) const IMAGE_ROUNDS: usize = 3;

/// Runs the measurements of images alone: pulls, pushes, archives.
pub(crate) fn images(rounds: usize) -> Result<()> {
    ensure!(geteuid().is_root(), "unpacking layers needs root: use `make bench`");
    ensure!(rounds > 0, "at least one round");
    images::build()?;
    let daemon = Daemon::start()?;
    let dir = daemon.dir().to_owned();
    load_images(&daemon, &dir)?;
    let dockerd = peers::Dockerd::start_for_images(&dir)?;
    let mut rows = pull::rows(&daemon, dockerd.as_ref(), rounds)?;
    rows.extend(archives::rows(&daemon, dockerd.as_ref(), rounds)?);
    let text = table::render(&rows, rounds)?;
    steps::print(&text);
    table::write(&binary::workspace().join("docs/performance.md"), table::Section::Images, &text)
}

/// The part of [`run`] that measures living containers alone. Prints the table and writes nothing.
pub(crate) fn run_living(rounds: usize) -> Result<()> {
    ensure!(geteuid().is_root(), "containers need root");
    if busybox().is_err() {
        images::build()?;
    }
    let daemon = Daemon::start()?;
    let dir = daemon.dir().to_owned();
    load_images(&daemon, &dir)?;
    living::start_target(&daemon)?;
    let dockerd = peers::Dockerd::start(&dir)?;
    let rows = living_rows(&daemon, dockerd.as_ref(), rounds)?;
    steps::print(&table::render(&rows, rounds)?);
    Ok(())
}

fn living_rows(daemon: &Daemon, dockerd: Option<&peers::Dockerd>, rounds: usize) -> Result<Vec<Row>> {
    let mut rows = living::measure(&living::Api::new(daemon.options.socket(), "drua"), rounds)?;
    if let Some(dockerd) = dockerd {
        let socket = dockerd.host().trim_start_matches("unix://").into();
        rows.extend(living::measure(&living::Api::new(socket, "docker (dockerd)"), rounds)?);
    }
    Ok(rows)
}

/// The images: a Wasm module that greets, and one static Linux binary.
fn load_images(daemon: &Daemon, dir: &Path) -> Result<()> {
    let module = guest::module(guest::HELLO);
    fs_err::write(dir.join("hello.wasm"), &module)?;
    let rootfs = Rootfs::new().file("hello.wasm", 0o755, module);
    let wasm = Image::wasi("bench/wasm:latest").rootfs(rootfs).config("Entrypoint", json!(["/hello.wasm"]));
    for image in [wasm, linux_image()?] {
        succeed(daemon.drua(["load", "--quiet"]).input(image.to_bytes()))?;
    }
    Ok(())
}

fn linux_image() -> Result<Image> {
    let rootfs = Rootfs::new().file("bin/busybox", 0o755, busybox()?);
    let rootfs = rootfs.symlink("bin/true", "busybox").symlink("bin/sleep", "busybox");
    Ok(Image::linux("bench/linux:latest").rootfs(rootfs).config("Cmd", json!(["/bin/true"])))
}

/// Debian's static busybox, which the demo's images staged.
fn busybox() -> Result<Vec<u8>> {
    Ok(fs_err::read(images::dir().join("busybox/root/usr/bin/busybox"))?)
}

fn drua_subjects(daemon: &Daemon) -> Result<Vec<Subject>> {
    let run = |work: &'static str, options: &[&str]| {
        let args: Vec<String> = ["run", "--rm"].iter().chain(options).map(|arg| (*arg).to_owned()).collect();
        let options = daemon.options.clone();
        Subject::new(work, "drua", move || options.drua(args.iter().map(String::as_str)))
    };
    let (ps, exec) = (daemon.options.clone(), daemon.options.clone());
    let mut subjects = vec![
        run("run --rm, Wasm hello, no network", &["--network", "none", "bench/wasm"]),
        run("run --rm, Wasm hello, bridge", &["bench/wasm"]),
        run("run --rm, Linux true, no network", &["--network", "none", "bench/linux"]),
        run("run --rm, Linux true, bridge", &["bench/linux"]),
        run("run --rm, Linux true, -p", &["-p", "127.0.0.1::80", "bench/linux"]),
        Subject::new("ps", "drua", move || ps.drua(["ps"])),
        Subject::new("exec true", "drua", move || exec.drua(["exec", living::TARGET, "/bin/true"])),
    ];
    if binary::on_path("docker").is_some() {
        for (work, options) in [
            ("run --rm, Wasm hello, no network", ["--network", "none", "bench/wasm"].as_slice()),
            ("run --rm, Linux true, no network", &["--network", "none", "bench/linux"]),
            ("run --rm, Linux true, bridge", &["bench/linux"]),
            ("exec true", &[]),
        ] {
            let args: Vec<&'static str> = match work {
                "exec true" => vec!["exec", living::TARGET, "/bin/true"],
                _ => ["run", "--rm"].iter().chain(options).copied().collect(),
            };
            let daemon = daemon.options.clone();
            subjects.push(Subject::new(work, "drua by the docker CLI", move || daemon.docker(args.iter().copied())));
        }
    }
    Ok(subjects)
}

fn interleave(subjects: &[Subject], rounds: usize) -> Result<Vec<Row>> {
    let mut times = vec![Vec::with_capacity(rounds); subjects.len()];
    for round in 0..=rounds {
        steps::say(&format!("round {round} of {rounds}"));
        let mut order: Vec<usize> = (0..subjects.len()).collect();
        if round % 2 == 1 {
            order.reverse();
        }
        for index in order {
            let taken = subjects[index].measure()?;
            if round > 0 {
                times[index].push(taken);
            }
        }
    }
    let rows = subjects.iter().zip(times);
    Ok(rows.map(|(subject, times)| Row::times(subject.work, &subject.who, times)).collect())
}

/// From the start of the daemon's process to its first answer, over a data root with images.
fn cold_start(daemon: &mut Daemon, rounds: usize) -> Result<Row> {
    let mut times = Vec::new();
    for round in 0..=rounds {
        daemon.stop();
        let start = Instant::now();
        daemon.restart()?;
        if round > 0 {
            times.push(start.elapsed());
        }
    }
    Ok(Row::times("daemon: start to first /_ping", "drua", times))
}

/// Runs a command that must succeed.
fn succeed(command: Cmd) -> Result<String> {
    let run = command.limit(Duration::from_secs(120)).try_run()?;
    if run.code() == Some(0) { Ok(run.stdout) } else { bail!("{run}") }
}

/// Runs a command that must succeed, and says how long it took.
fn timed(command: Cmd) -> Result<Duration> {
    let start = Instant::now();
    succeed(command).context("a measured command failed")?;
    Ok(start.elapsed())
}
