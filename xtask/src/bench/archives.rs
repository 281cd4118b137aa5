//! `load` and `save` of a large image, beside what else does it here; what it takes on disk and in memory.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result};
use drua_e2e::{Cmd, Daemon, Image, Rootfs, binary};
use serde_json::json;

use super::{memory, peers::Dockerd, table::Row, timed};
use crate::steps;

/// Each takes seconds.
const MAX_ROUNDS: usize = 5;
const LAYERS: usize = 4;
const FILES: usize = 1000;
const FILE_BYTES: usize = 64 << 10;
const NAME: &str = "bench/large:latest";

/// Somebody who loads and saves. The first command makes the image be gone; its result does not count.
struct Subject {
    who: &'static str,
    forget: Box<dyn Fn() -> Cmd>,
    load: Box<dyn Fn() -> Cmd>,
    save: Option<Box<dyn Fn() -> Cmd>>,
}

/// Measures them one after the other in every round.
pub(super) fn rows(daemon: &Daemon, dockerd: Option<&Dockerd>, rounds: usize) -> Result<Vec<Row>> {
    let dir = daemon.dir().join("archives");
    fs_err::create_dir_all(&dir)?;
    let archive = dir.join("large.tar");
    large_image().save(&archive)?;
    let bytes = fs_err::metadata(&archive)?.len();
    let before = memory::field(daemon.pid(), "status", "VmHWM:")?;
    let subjects = subjects(daemon, dockerd, &dir, &archive);
    let mut times = vec![(Vec::new(), Vec::new()); subjects.len()];
    for round in 0..=rounds.min(MAX_ROUNDS) {
        steps::say(&format!("archives: round {round} of {}", rounds.min(MAX_ROUNDS)));
        for (subject, (loads, saves)) in subjects.iter().zip(&mut times) {
            let _ = timed((subject.forget)());
            let load = timed((subject.load)()).with_context(|| format!("{}: load", subject.who))?;
            let save = subject.save.as_ref().map(|save| timed(save())).transpose();
            let save: Option<Duration> = save.with_context(|| format!("{}: save", subject.who))?;
            if round > 0 {
                loads.push(load);
                saves.extend(save);
            }
        }
    }
    let megabytes = bytes >> 20;
    let (load, save) = (
        format!("load, {megabytes} MiB in {LAYERS} layers of {FILES} files"),
        format!("save, {megabytes} MiB in {LAYERS} layers"),
    );
    let mut rows = Vec::new();
    for (subject, (loads, saves)) in subjects.iter().zip(times) {
        rows.push(Row::times(&load, subject.who, loads));
        if !saves.is_empty() {
            rows.push(Row::times(&save, subject.who, saves));
        }
    }
    let data = daemon.dir().join("data");
    let disk = disk_kibibytes(&data.join("content"))? + disk_kibibytes(&data.join("layers"))?;
    rows.push(Row::kibibytes("that image and two small ones on disk", disk));
    rows.push(Row::kibibytes("daemon's peak memory before it", before));
    rows.push(Row::kibibytes("daemon's peak memory after it", memory::field(daemon.pid(), "status", "VmHWM:")?));
    super::succeed(daemon.drua(["rmi", NAME]))?;
    Ok(rows)
}

fn subjects(daemon: &Daemon, dockerd: Option<&Dockerd>, dir: &Path, archive: &Path) -> Vec<Subject> {
    let text = |path: &Path| path.to_string_lossy().into_owned();
    let (input, output) = (text(archive), text(&dir.join("saved.tar")));
    let drua = |args: &'static [&'static str], file: Option<&str>| -> Box<dyn Fn() -> Cmd> {
        let (options, file) = (daemon.options.clone(), file.map(str::to_owned));
        Box::new(move || options.drua(args.iter().copied()).args(file.iter()))
    };
    let mut subjects = vec![Subject {
        who: "drua",
        forget: drua(&["rmi", NAME], None),
        load: drua(&["load", "-q", "-i"], Some(&input)),
        save: Some(drua(&["save", NAME, "-o"], Some(&output))),
    }];
    if let Some(dockerd) = dockerd {
        let docker = |args: &'static [&'static str], file: Option<&str>| -> Box<dyn Fn() -> Cmd> {
            let (host, file) = (dockerd.host().to_owned(), file.map(str::to_owned));
            Box::new(move || super::peers::docker(&host).args(args).args(file.iter()))
        };
        subjects.push(Subject {
            who: "docker (dockerd)",
            forget: docker(&["rmi", NAME], None),
            load: docker(&["load", "-q", "-i"], Some(&input)),
            save: Some(docker(&["save", NAME, "-o"], Some(&output))),
        });
    }
    if let Some(podman) = binary::on_path("podman") {
        let root = text(&dir.join("podman"));
        let podman = |args: &'static [&'static str], file: Option<&str>| -> Box<dyn Fn() -> Cmd> {
            let (program, root, file) = (podman.clone(), root.clone(), file.map(str::to_owned));
            Box::new(move || Cmd::new(&program).args(["--root", &root]).args(args).args(file.iter()))
        };
        subjects.push(Subject {
            who: "podman",
            forget: podman(&["rmi", "-f", NAME], None),
            load: podman(&["load", "-q", "-i"], Some(&input)),
            save: Some(podman(&["save", NAME, "-o"], Some(&output))),
        });
    }
    match binary::on_path("skopeo") {
        Some(skopeo) => {
            let layout = dir.join("skopeo");
            let target = format!("oci:{}:large", layout.display());
            let source = format!("oci-archive:{input}");
            let forget: PathBuf = layout;
            subjects.push(Subject {
                who: "skopeo copy (verifies, unpacks nothing)",
                forget: Box::new(move || Cmd::new("rm").arg("-rf").arg(&forget)),
                load: Box::new(move || {
                    Cmd::new(&skopeo).args(["--insecure-policy", "copy", "-q"]).arg(&source).arg(&target)
                }),
                save: None,
            });
        }
        None => steps::say("without skopeo: not installed"),
    }
    subjects
}

/// Text that neither repeats nor is random, in many files of one size.
fn large_image() -> Image {
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    let mut next = move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    let mut image = Image::linux(NAME).config("Cmd", json!(["/none"]));
    for layer in 0..LAYERS {
        let mut rootfs = Rootfs::new();
        for file in 0..FILES {
            let mut content = String::with_capacity(FILE_BYTES + 20);
            while content.len() < FILE_BYTES {
                content.extend(format!("{:x} ", next() & 0xffff).chars());
            }
            rootfs = rootfs.file(&format!("layer{layer}/{}/{file}", file % 50), 0o644, &content);
        }
        image = image.rootfs(rootfs);
    }
    image
}

pub(super) fn disk_kibibytes(dir: &Path) -> Result<u64> {
    let text = steps::capture("du", &["-sk", &dir.to_string_lossy()], dir)?;
    text.split_whitespace().next().and_then(|number| number.parse().ok()).context("du prints a number first")
}
