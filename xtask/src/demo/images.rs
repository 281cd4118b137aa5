//! The images of the demo: built from what the machine's package registries have, into `target/demo`.
//!
//! Needs no root and no daemon. What has been built is kept until its sources change.

use std::{
    path::{Path, PathBuf},
    time::SystemTime,
};

use anyhow::{Context as _, Result};
use drua_e2e::{Image, Rootfs, binary, guest};
use serde_json::json;

use super::debian;
use crate::steps;

/// componentize-py makes the counter; its bindings change between releases, so one is named.
const COMPONENTIZE: &str = "componentize-py==0.25.1";

/// Where images and what they are made of stand.
pub(crate) fn dir() -> PathBuf {
    binary::target_dir().join("demo")
}

/// The archives that the demo loads.
pub(crate) fn archives() -> Vec<PathBuf> {
    ["hello-linux", "hello-wasm", "redis", "counter"].map(archive).to_vec()
}

fn archive(name: &str) -> PathBuf {
    dir().join(format!("{name}.tar"))
}

/// Writes one archive.
type Builder = fn(&Path) -> Result<()>;

/// Builds every image that is missing or older than its sources.
pub(crate) fn build() -> Result<()> {
    let examples = binary::workspace().join("examples");
    let recipe = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/demo");
    let builders: [(&str, Builder, PathBuf); 5] = [
        ("hello-linux", hello_linux, recipe.clone()),
        ("hello-wasm", hello_wasm, examples.join("hello")),
        ("redis", redis, recipe.clone()),
        ("counter", counter, examples.join("side-by-side/counter")),
        ("busybox", busybox, recipe),
    ];
    for (name, builder, sources) in builders {
        let archive = archive(name);
        if modified(&archive)? < modified(&sources)? {
            steps::say(&format!("building image {name}"));
            builder(&archive).with_context(|| format!("cannot build the image `{name}`"))?;
        }
    }
    Ok(())
}

fn hello_linux(archive: &Path) -> Result<()> {
    let staging = debian::stage(&["busybox-static"], &dir().join("busybox"))?;
    let rootfs = debian::add_static(debian::base(), &staging, "usr/bin/busybox")?;
    let applets = ["sh", "uname", "cat", "ls", "wget", "sleep", "true"];
    let rootfs = applets.iter().fold(rootfs, |rootfs, name| rootfs.symlink(&format!("usr/bin/{name}"), "busybox"));
    let script = r#"echo "Hello from the large hull ($(uname -s) $(uname -m), process $$)""#;
    Image::linux("demo/hello-linux:latest").rootfs(rootfs).config("Cmd", json!(["sh", "-c", script])).save(archive)
}

fn hello_wasm(archive: &Path) -> Result<()> {
    let text = fs_err::read_to_string(binary::workspace().join("examples/hello/hello.wat"))?;
    let rootfs = Rootfs::new().file("hello.wasm", 0o755, guest::module(&text));
    Image::wasi("demo/hello-wasm:latest").rootfs(rootfs).config("Entrypoint", json!(["/hello.wasm"])).save(archive)
}

fn redis(archive: &Path) -> Result<()> {
    const REDIS: u64 = 999;
    let staging = debian::stage(&["redis-server", "redis-tools"], &dir().join("redis"))?;
    let rootfs = debian::add_dynamic(debian::base(), &staging, &["usr/bin/redis-server", "usr/bin/redis-cli"])?;
    let rootfs = rootfs.owned_dir("data", 0o755, REDIS);
    let command = ["redis-server", "--bind", "0.0.0.0", "--protected-mode", "no", "--appendonly", "yes"];
    Image::linux("demo/redis:latest")
        .rootfs(rootfs)
        .config("Cmd", json!(command))
        .config("User", json!(format!("{REDIS}:{REDIS}")))
        .config("WorkingDir", json!("/data"))
        .config("Volumes", json!({ "/data": {} }))
        .config("ExposedPorts", json!({ "6379/tcp": {} }))
        .save(archive)
}

/// Not for the demo: what the end-to-end tests run where there is no official busybox image.
fn busybox(archive: &Path) -> Result<()> {
    let staging = debian::stage(&["busybox"], &dir().join("busybox-shared"))?;
    let rootfs = debian::add_dynamic(debian::base(), &staging, &["usr/bin/busybox"])?;
    let applets = steps::capture(staging.join("usr/bin/busybox"), &["--list"], binary::workspace())?;
    let applets = applets.lines().filter(|name| *name != "busybox");
    let rootfs = applets.fold(rootfs, |rootfs, name| rootfs.symlink(&format!("usr/bin/{name}"), "busybox"));
    let rootfs = rootfs.file("etc/group", 0o644, "root:x:0:\nwww-data:x:33:\n").dir("root", 0o700);
    Image::linux("debian/busybox:latest").rootfs(rootfs).config("Cmd", json!(["sh"])).save(archive)
}

fn counter(archive: &Path) -> Result<()> {
    let component = componentize()?;
    let rootfs = Rootfs::new().file("counter.wasm", 0o755, fs_err::read(component)?);
    Image::wasi("demo/counter:latest")
        .rootfs(rootfs)
        .config("Entrypoint", json!(["/counter.wasm"]))
        .config("ExposedPorts", json!({ "8080/tcp": {} }))
        .save(archive)
}

/// Turns the Python program into a component. The WIT packages of WASI come from the `wasmtime-wasi-http` crate that
/// drua is built with.
fn componentize() -> Result<PathBuf> {
    let source = binary::workspace().join("examples/side-by-side/counter");
    let work = dir().join("counter");
    if work.exists() {
        fs_err::remove_dir_all(&work)?;
    }
    guest::copy_dir(&source, &work)?;
    let deps = guest::wit_deps()?;
    guest::copy_dir(&deps, &work.join("wit/deps"))?;
    let world = fs_err::read_to_string(source.join("world.wit"))?.replace("VERSION", &guest::wasi_version(&deps)?);
    fs_err::write(work.join("wit/world.wit"), world)?;
    let program = python_tool(COMPONENTIZE, "componentize-py")?;
    let args = ["-q", "-d", "wit", "-w", "counter", "componentize", "app", "-o", "counter.wasm"];
    steps::capture(program, &args, &work)?;
    Ok(work.join("counter.wasm"))
}

/// Installs a Python package into the demo's own virtual environment and returns one of its programs.
pub(crate) fn python_tool(package: &str, program: &str) -> Result<PathBuf> {
    let venv = dir().join("venv");
    let path = venv.join("bin").join(program);
    if !path.exists() {
        steps::say(&format!("installing {package} into {}", venv.display()));
        steps::capture("python3", &["-m", "venv", &venv.to_string_lossy()], binary::workspace())?;
        steps::capture(venv.join("bin/pip"), &["install", "--quiet", package], binary::workspace())?;
    }
    Ok(path)
}

/// When a file, or the newest file of a directory, was changed; the beginning of time when there is none.
fn modified(path: &Path) -> Result<SystemTime> {
    if !path.exists() {
        return Ok(SystemTime::UNIX_EPOCH);
    }
    let mut newest = fs_err::metadata(path)?.modified()?;
    if path.is_dir() {
        for entry in fs_err::read_dir(path)? {
            newest = newest.max(entry?.metadata()?.modified()?);
        }
    }
    Ok(newest)
}
