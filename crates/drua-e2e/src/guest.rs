//! Wasm guests made from text, without a Wasm toolchain.
//!
//! Core modules for WASI preview 1 come from `fixtures/*.wat`. [`component`] wraps one into a `wasi:cli/run` component
//! with the adapter that the Bytecode Alliance ships as a crate; [`http`] makes a `wasi:http/incoming-handler` component
//! against the WIT folder of the `wasmtime-wasi-http` crate that the workspace is built with.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result, ensure};
use wasi_preview1_component_adapter_provider as adapter;
use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};
use wit_parser::Resolve;

use crate::binary;

/// Prints `Hello from Wasm`.
pub const HELLO: &str = include_str!("../fixtures/hello.wat");
/// Ends with exit code 42.
pub const EXIT: &str = include_str!("../fixtures/exit.wat");
/// Executes `unreachable`.
pub const TRAP: &str = include_str!("../fixtures/trap.wat");
/// Prints `looping`, then loops for ever.
pub const LOOP: &str = include_str!("../fixtures/loop.wat");
/// Copies stdin to stdout.
pub const CAT: &str = include_str!("../fixtures/cat.wat");
/// Prints its arguments and its environment, one a line.
pub const ARGS: &str = include_str!("../fixtures/args.wat");
/// Imports a function that nobody grants.
pub const GREEDY: &str = include_str!("../fixtures/greedy.wat");
/// Copies `/data/in` to `/data/out`; ends with 1 when it cannot.
pub const COPY: &str = include_str!("../fixtures/copy.wat");
const HTTP: &str = include_str!("../fixtures/http.wat");

/// Assembles a core module.
///
/// # Panics
///
/// When the text is no module.
#[must_use]
pub fn module(text: &str) -> Vec<u8> {
    wat::parse_str(text).expect("the fixture is a valid module")
}

/// A core module for WASI preview 1, as a component that exports `wasi:cli/run`.
///
/// # Errors
///
/// When the module cannot be adapted.
pub fn component(text: &str) -> Result<Vec<u8>> {
    let name = adapter::WASI_SNAPSHOT_PREVIEW1_ADAPTER_NAME;
    ComponentEncoder::default()
        .module(&module(text))
        .and_then(|encoder| encoder.adapter(name, adapter::WASI_SNAPSHOT_PREVIEW1_COMMAND_ADAPTER))
        .and_then(|mut encoder| encoder.encode())
        .map_err(|err| anyhow::anyhow!("{err:#}"))
        .context("cannot make a component of the module")
}

/// A component that exports `wasi:http/incoming-handler` and answers every request with `Hello from Wasm`.
///
/// # Errors
///
/// When the WIT folder cannot be found or the component cannot be made.
pub fn http() -> Result<Vec<u8>> {
    let deps = wit_deps()?;
    let version = wasi_version(&deps)?;
    let dir = tempfile::tempdir()?;
    copy_dir(&deps, &dir.path().join("deps"))?;
    let world = format!("package test:http;\nworld guest {{ include wasi:http/proxy@{version}; }}\n");
    fs_err::write(dir.path().join("world.wit"), world)?;
    encode_http(dir.path(), &HTTP.replace("@VERSION", &format!("@{version}")))
        .map_err(|err| anyhow::anyhow!("{err:#}"))
        .context("cannot make the HTTP component")
}

fn encode_http(wit: &Path, text: &str) -> Result<Vec<u8>> {
    let mut resolve = Resolve::default();
    let (package, _) = resolve.push_dir(wit)?;
    let world = resolve.select_world(&[package], Some("guest"))?;
    let mut core = module(text);
    embed_component_metadata(&mut core, &resolve, world, StringEncoding::UTF8)?;
    ComponentEncoder::default().validate(true).module(&core)?.encode()
}

/// The WIT packages of WASI 0.2, as the `wasmtime-wasi-http` crate in this workspace carries them.
///
/// # Errors
///
/// When `cargo metadata` does not know that crate.
pub fn wit_deps() -> Result<PathBuf> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo)
        .args(["metadata", "--format-version", "1"])
        .current_dir(binary::workspace())
        .output()
        .context("cannot run `cargo metadata`")?;
    ensure!(output.status.success(), "`cargo metadata` failed: {}", String::from_utf8_lossy(&output.stderr));
    let metadata: serde_json::Value = serde_json::from_slice(&output.stdout)?;
    let packages = metadata["packages"].as_array().context("`cargo metadata` lists no packages")?;
    let package = packages.iter().find(|package| package["name"] == "wasmtime-wasi-http");
    let manifest = package.and_then(|package| package["manifest_path"].as_str());
    let manifest = Path::new(manifest.context("the workspace does not use `wasmtime-wasi-http`")?);
    Ok(manifest.with_file_name("wit").join("deps"))
}

/// The version of WASI in a folder of WIT packages, such as `0.2.12`.
///
/// # Errors
///
/// When there is no `http.wit` that names its version.
pub fn wasi_version(deps: &Path) -> Result<String> {
    let text = fs_err::read_to_string(deps.join("http.wit"))?;
    let version = text.lines().find_map(|line| line.strip_prefix("package wasi:http@")?.strip_suffix(';'));
    Ok(version.context("`http.wit` does not name its version")?.to_owned())
}

/// Copies the files of one directory, without its subdirectories.
///
/// # Errors
///
/// When a file cannot be read or written.
pub fn copy_dir(from: &Path, to: &Path) -> Result<()> {
    fs_err::create_dir_all(to)?;
    for entry in fs_err::read_dir(from)? {
        let entry = entry?;
        if entry.file_type()?.is_file() {
            fs_err::copy(entry.path(), to.join(entry.file_name()))?;
        }
    }
    Ok(())
}
