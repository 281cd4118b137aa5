//! Pulls and pushes over loopback, beside dockerd, podman and skopeo where they are installed, and beside the floors.
//!
//! Two images of made-up files: 10 layers of about 95 MB, and 200 of 300 kB. Their registry is Debian's docker-registry.
//! Some gigabytes of disk are needed, and given back.

use std::{
    cell::RefCell,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    rc::Rc,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use drua_e2e::registry::{Registry, Setup};
use drua_e2e::{Cmd, Daemon, Rootfs, binary};
use serde_json::{Value, json};

use super::peers::Dockerd;
use super::table::Row;
use super::{archives, memory};
use crate::steps;

const LIMIT: Duration = Duration::from_secs(900);
const BIG: &str = "pull 943 MB in 10 layers, nothing here";
const HALF: &str = "pull 943 MB in 10 layers, 5 of them here";
const MANY: &str = "pull 200 layers of 300 kB, nothing here";
const KNOWN: &str = "push 943 MB, all layers known";
const FRESH: &str = "push 943 MB into an empty repository, layers compressed already";
const WASM: &str = "run --rm of a Wasm image that is in a registry";
const DISK: &str = "943 MB image on disk, pulled";
const MEMORY: &str = "peak memory of pulling it";

/// Something to do, and what has to be done before it that does not count.
struct Case {
    work: &'static str,
    who: String,
    prepare: Box<dyn Fn() -> Result<()>>,
    command: Box<dyn Fn() -> Cmd>,
}

/// The measurements; nothing where there is no registry.
pub(super) fn rows(daemon: &Daemon, dockerd: Option<&Dockerd>, rounds: usize) -> Result<Vec<Row>> {
    if Registry::program().is_none() {
        steps::say("without pulls: docker-registry is not installed");
        return Ok(Vec::new());
    }
    let registry = Registry::start(Setup::default())?;
    let dir = daemon.dir().join("pull");
    fs_err::create_dir_all(dir.join("blobs/sha256"))?;
    steps::say("making images for pulls");
    let big = layers(&dir, 10, 1750, 54_000)?;
    let many = layers(&dir, 200, 6, 50_000)?;
    for (name, layers) in [("big", big.as_slice()), ("half", &big[..5]), ("many", many.as_slice())] {
        publish(daemon, &dir, &format!("{}/{name}:1", registry.host()), layers)?;
    }
    let wasm = format!("{}/wasm:1", registry.host());
    succeed(daemon.drua(["tag", "bench/wasm", &wasm]))?;
    succeed(daemon.drua(["push", "-q", &wasm]))?;
    let mut cases = drua_cases(daemon, &registry);
    cases.extend(skopeo_cases(&dir, &registry));
    cases.extend(podman_cases(&dir, &registry));
    cases.extend(docker_cases(&registry, dockerd));
    cases.extend(floors(&dir, &big));
    let mut times = vec![Vec::new(); cases.len()];
    for round in 0..=rounds {
        steps::say(&format!("pulls, round {round} of {rounds}"));
        for (case, times) in cases.iter().zip(&mut times) {
            (case.prepare)().with_context(|| format!("{}: before {}", case.who, case.work))?;
            let start = Instant::now();
            succeed((case.command)()).with_context(|| format!("{}: {}", case.who, case.work))?;
            if round > 0 {
                times.push(start.elapsed());
            }
        }
    }
    let timed = cases.iter().zip(times).filter(|(_, times)| !times.is_empty());
    let mut rows: Vec<Row> = timed.map(|(case, times)| Row::times(case.work, &case.who, times)).collect();
    rows.extend(sizes(daemon, &registry, &dir, dockerd)?);
    fs_err::remove_dir_all(&dir)?;
    Ok(rows)
}

/// Disk and memory, after all rounds: everybody has the one image, but for drua's small ones.
fn sizes(daemon: &Daemon, registry: &Registry, dir: &Path, dockerd: Option<&Dockerd>) -> Result<Vec<Row>> {
    let [big, half, many] = ["big", "half", "many"].map(|image| format!("{}/{image}:1", registry.host()));
    drop(daemon.drua(["rmi", "-f", &big, &half, &many]).try_run()?);
    // The kernel begins to count the peak anew (proc_pid_clear_refs(5)).
    fs_err::write(format!("/proc/{}/clear_refs", daemon.pid()), "5")?;
    succeed(daemon.drua(["pull", "-q", &big]))?;
    let data = daemon.dir().join("data");
    let disk = archives::disk_kibibytes(&data.join("content"))? + archives::disk_kibibytes(&data.join("layers"))?;
    let mut rows = vec![
        Row::kibibytes_of(DISK, "drua (layers, and the blobs as they came)", disk),
        Row::kibibytes_of(MEMORY, "drua", memory::field(daemon.pid(), "status", "VmHWM:")?),
    ];
    if dir.join("podman").is_dir() {
        rows.push(Row::kibibytes_of(DISK, "podman (layers)", archives::disk_kibibytes(&dir.join("podman"))?));
    }
    if let Some(dockerd) = dockerd {
        let layers = archives::disk_kibibytes(&dockerd.data().join("overlay2"))?;
        rows.push(Row::kibibytes_of(DISK, "docker (layers)", layers));
        rows.push(Row::kibibytes_of(MEMORY, "docker (dockerd)", memory::field(dockerd.pid(), "status", "VmHWM:")?));
    }
    Ok(rows)
}

struct MadeLayer {
    diff_id: String,
    digest: String,
    size: u64,
}

/// Layers of files that compress about as well as programs do.
fn layers(dir: &Path, count: usize, files: usize, mean: usize) -> Result<Vec<MadeLayer>> {
    let mut random = Random(0x9e37_79b9_7f4a_7c15 ^ count as u64);
    (0..count).map(|number| layer(dir, &mut random, number, files, mean)).collect()
}

fn layer(dir: &Path, random: &mut Random, number: usize, files: usize, mean: usize) -> Result<MadeLayer> {
    let mut rootfs = Rootfs::new();
    for file in 0..files {
        let length = random.below(2 * mean);
        rootfs = rootfs.file(&format!("usr/l{number}/d{}/f{file}", file % 40), 0o644, random.text(length));
    }
    let tar = dir.join("layer.tar");
    fs_err::write(&tar, rootfs.finish())?;
    let diff_id = digest(&tar)?;
    let packed = dir.join("layer.tar.gz");
    let out = fs_err::File::create(&packed)?.into_parts().0;
    let status = Command::new("gzip").args(["-6", "-n", "-c"]).arg(&tar).stdout(Stdio::from(out)).status()?;
    ensure!(status.success(), "gzip ended with {status}");
    let (digest, size) = (digest(&packed)?, fs_err::metadata(&packed)?.len());
    fs_err::rename(&packed, blob(dir, &digest))?;
    fs_err::remove_file(&tar)?;
    Ok(MadeLayer { diff_id, digest, size })
}

fn blob(dir: &Path, digest: &str) -> PathBuf {
    dir.join("blobs/sha256").join(digest.trim_start_matches("sha256:"))
}

fn digest(path: &Path) -> Result<String> {
    let output = steps::capture("sha256sum", &[&path.to_string_lossy()], Path::new("/"))?;
    Ok(format!("sha256:{}", output.split(' ').next().unwrap_or_default()))
}

fn document(dir: &Path, media_type: &str, value: &Value) -> Result<Value> {
    let text = value.to_string();
    let path = dir.join("document");
    fs_err::write(&path, &text)?;
    let digest = digest(&path)?;
    fs_err::rename(&path, blob(dir, &digest))?;
    Ok(json!({ "mediaType": media_type, "digest": digest, "size": text.len() }))
}

/// Puts an image of these layers into the registry, by drua itself.
fn publish(daemon: &Daemon, dir: &Path, name: &str, layers: &[MadeLayer]) -> Result<()> {
    let architecture = if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" };
    let diff_ids: Vec<&str> = layers.iter().map(|layer| layer.diff_id.as_str()).collect();
    let config = json!({
        "architecture": architecture, "os": "linux", "config": { "Cmd": ["/none"] },
        "rootfs": { "type": "layers", "diff_ids": diff_ids },
    });
    let config = document(dir, "application/vnd.oci.image.config.v1+json", &config)?;
    let tar = "application/vnd.oci.image.layer.v1.tar+gzip";
    let list: Vec<Value> =
        layers.iter().map(|layer| json!({ "mediaType": tar, "digest": layer.digest, "size": layer.size })).collect();
    let media_type = "application/vnd.oci.image.manifest.v1+json";
    let manifest = json!({ "schemaVersion": 2, "mediaType": media_type, "config": config, "layers": list });
    let mut top = document(dir, media_type, &manifest)?;
    top["annotations"] = json!({ "io.containerd.image.name": name });
    let index = json!({ "schemaVersion": 2, "manifests": [top] });
    fs_err::write(dir.join("index.json"), index.to_string())?;
    fs_err::write(dir.join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#)?;
    succeed(daemon.drua(["load", "-q", "-i", &dir.to_string_lossy()]))?;
    succeed(daemon.drua(["push", "-q", name]))?;
    succeed(daemon.drua(["rmi", "-f", name]))
}

fn drua_cases(daemon: &Daemon, registry: &Registry) -> Vec<Case> {
    let name = |image: &str| format!("{}/{image}:1", registry.host());
    let [big, half, many, wasm] = ["big", "half", "many", "wasm"].map(name);
    let case = |work, who: &str, prepare: Vec<Vec<String>>, args: Vec<String>| {
        let (before, options) = (daemon.options.clone(), daemon.options.clone());
        Case {
            work,
            who: who.to_owned(),
            prepare: Box::new(move || {
                // Nothing to remove the first time.
                prepare.iter().try_for_each(|args| {
                    let run = before.drua(args.iter().map(String::as_str)).limit(LIMIT).try_run()?;
                    ensure!(run.code() == Some(0) || args[0] == "rmi", "{run}");
                    Ok(())
                })
            }),
            command: Box::new(move || options.drua(args.iter().map(String::as_str))),
        }
    };
    let words = |args: &[&str]| args.iter().map(|arg| (*arg).to_owned()).collect::<Vec<_>>();
    let clean = words(&["rmi", "-f", &big, &half, &many]);
    let mut half_here =
        case(HALF, "drua", vec![clean.clone(), words(&["pull", "-q", &half])], words(&["pull", "-q", &big]));
    let into_empty = into_empty(daemon, big.clone(), &mut half_here);
    vec![
        case(BIG, "drua", vec![clean.clone()], words(&["pull", "-q", &big])),
        case(KNOWN, "drua", Vec::new(), words(&["push", "-q", &big])),
        into_empty,
        half_here,
        case(MANY, "drua", vec![clean], words(&["pull", "-q", &many])),
        case(
            WASM,
            "drua: pull, compile, run",
            vec![words(&["rmi", "-f", &wasm])],
            words(&["run", "--rm", "-q", "--network", "none", &wasm]),
        ),
        case(WASM, "drua: run, pulled before", Vec::new(), words(&["run", "--rm", "--network", "none", &wasm])),
    ]
}

/// A push into a registry that is new every time; the case that comes next forgets it.
fn into_empty(daemon: &Daemon, image: String, next: &mut Case) -> Case {
    let spare: Rc<RefCell<Option<(Registry, String)>>> = Rc::default();
    let (made, used, gone) = (Rc::clone(&spare), Rc::clone(&spare), spare);
    let (tags, pushes, forgets) = (daemon.options.clone(), daemon.options.clone(), daemon.options.clone());
    let before = std::mem::replace(&mut next.prepare, Box::new(|| Ok(())));
    next.prepare = Box::new(move || {
        if let Some((_, name)) = gone.borrow_mut().take() {
            succeed(forgets.drua(["rmi", &name]))?;
        }
        before()
    });
    Case {
        work: FRESH,
        who: "drua".to_owned(),
        prepare: Box::new(move || {
            let registry = Registry::start(Setup::default())?;
            let name = format!("{}/fresh:1", registry.host());
            succeed(tags.drua(["tag", &image, &name]))?;
            *made.borrow_mut() = Some((registry, name));
            Ok(())
        }),
        command: Box::new(move || {
            let name = used.borrow().as_ref().map(|(_, name)| name.clone()).unwrap_or_default();
            pushes.drua(["push", "-q", &name])
        }),
    }
}

fn skopeo_cases(dir: &Path, registry: &Registry) -> Vec<Case> {
    let Some(skopeo) = binary::on_path("skopeo") else { return Vec::new() };
    let case = |(work, image): (&'static str, &str)| {
        let (target, source) = (dir.join("skopeo"), format!("docker://{}/{image}:1", registry.host()));
        let (to, skopeo) = (format!("oci:{}:x", target.display()), skopeo.clone());
        Case {
            work,
            who: "skopeo copy (download and verify only)".to_owned(),
            prepare: Box::new(move || match fs_err::remove_dir_all(&target) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error.into()),
                _ => Ok(()),
            }),
            command: Box::new(move || {
                Cmd::new(&skopeo).args(["--insecure-policy", "copy", "-q", "--src-tls-verify=false", &source, &to])
            }),
        }
    };
    [(BIG, "big"), (MANY, "many")].map(case).into()
}

fn podman_cases(dir: &Path, registry: &Registry) -> Vec<Case> {
    let Some(program) = binary::on_path("podman") else { return Vec::new() };
    let root = dir.join("podman").to_string_lossy().into_owned();
    let podman = move |args: &[&str]| Cmd::new(&program).args(["--root", &root]).args(args.iter().copied());
    let mut cases = Vec::new();
    for (work, image) in [(MANY, "many"), (BIG, "big")] {
        let name = format!("{}/{image}:1", registry.host());
        let (before, command) = (podman.clone(), podman.clone());
        cases.push(Case {
            work,
            who: "podman".to_owned(),
            prepare: Box::new(move || {
                drop(before(&["rmi", "-f", "--all"]).limit(LIMIT).try_run()?);
                Ok(())
            }),
            command: Box::new(move || command(&["pull", "-q", "--tls-verify=false", &name])),
        });
    }
    let name = format!("{}/big:1", registry.host());
    let command = podman;
    cases.push(Case {
        work: KNOWN,
        who: "podman".to_owned(),
        prepare: Box::new(|| Ok(())),
        command: Box::new(move || command(&["push", "-q", "--tls-verify=false", &name])),
    });
    cases
}

fn docker_cases(registry: &Registry, dockerd: Option<&Dockerd>) -> Vec<Case> {
    let Some(host) = dockerd.map(|dockerd| dockerd.host().to_owned()) else { return Vec::new() };
    let mut cases = Vec::new();
    for (work, image) in [(MANY, "many"), (BIG, "big")] {
        let name = format!("{}/{image}:1", registry.host());
        let [big, many] = ["big", "many"].map(|image| format!("{}/{image}:1", registry.host()));
        let (before, host) = (host.clone(), host.clone());
        cases.push(Case {
            work,
            who: "docker (dockerd)".to_owned(),
            prepare: Box::new(move || {
                // Nothing to remove the first time.
                drop(super::peers::docker(&before).args(["rmi", "-f", &big, &many]).limit(LIMIT).try_run()?);
                Ok(())
            }),
            command: Box::new(move || super::peers::docker(&host).args(["pull", "-q", &name])),
        });
    }
    let name = format!("{}/big:1", registry.host());
    cases.push(Case {
        work: KNOWN,
        who: "docker (dockerd)".to_owned(),
        prepare: Box::new(|| Ok(())),
        command: Box::new(move || super::peers::docker(&host).args(["push", "-q", &name])),
    });
    cases
}

/// What one core needs for the arithmetic alone, and the filesystem for the files.
fn floors(dir: &Path, layers: &[MadeLayer]) -> Vec<Case> {
    let files: Vec<PathBuf> = layers.iter().map(|layer| blob(dir, &layer.digest)).collect();
    let target = dir.join("files");
    let case = |who: &str, command: Box<dyn Fn() -> Cmd>| Case {
        work: BIG,
        who: format!("floor, one core: {who}"),
        prepare: Box::new(|| Ok(())),
        command,
    };
    let (hashed, inflated, created) = (files.clone(), files.clone(), target.clone());
    let mut create = case(
        "17,500 files created and written",
        Box::new(move || {
            Cmd::new("cp").args(["-r", "--reflink=never"]).arg(created.join("from")).arg(created.join("to"))
        }),
    );
    create.prepare = Box::new(move || {
        drop(fs_err::remove_dir_all(target.join("to")));
        if target.join("from").is_dir() {
            return Ok(());
        }
        fs_err::create_dir_all(target.join("from"))?;
        files.iter().try_for_each(|file| {
            let at = |path: &Path| path.to_string_lossy().into_owned();
            steps::capture("tar", &["-C", &at(&target.join("from")), "-xzf", &at(file)], Path::new("/")).map(drop)
        })
    });
    vec![
        case("sha256sum of the blobs", Box::new(move || Cmd::new("sha256sum").args(&hashed))),
        case("gzip -t of the blobs", Box::new(move || Cmd::new("gzip").args(["-t", "-S", ""]).args(&inflated))),
        create,
    ]
}

fn succeed(command: Cmd) -> Result<()> {
    let run = command.limit(LIMIT).try_run()?;
    ensure!(run.code() == Some(0), "{run}");
    Ok(())
}

/// xorshift64*: the same files every time.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    fn below(&mut self, limit: usize) -> usize {
        usize::try_from(self.next() >> 33).unwrap_or(0) % limit.max(1)
    }

    /// Words of eight bytes, most of them from a small vocabulary.
    fn text(&mut self, length: usize) -> Vec<u8> {
        let mut text = Vec::with_capacity(length + 8);
        while text.len() < length {
            let number = self.next();
            let word = if number & 3 == 0 { number } else { (number >> 8 & 0x3ff).wrapping_mul(0x9e37_79b9_7f4a_7c15) };
            text.extend_from_slice(&word.to_le_bytes());
        }
        text.truncate(length);
        text
    }
}
