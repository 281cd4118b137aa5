//! A shim that is loaded and waits for its container: executing the binary takes several milliseconds, which nobody has to
//! wait for.
//!
//! The parked process knows nothing yet; it ends by itself when the daemon does, since its input is a pipe from here.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::Mutex;

use drua_types::ContainerId;

use crate::{Error, Result};

/// At most one parked shim.
#[derive(Debug)]
pub(crate) struct ShimPool {
    program: PathBuf,
    /// Named on the parked process's command line, so that people and tests see whose it is.
    bundles: PathBuf,
    parked: Mutex<Option<Child>>,
}

impl ShimPool {
    pub(crate) fn new(program: PathBuf, bundles: PathBuf) -> Self {
        Self { program, bundles, parked: Mutex::default() }
    }

    /// Has a shim ready for the next start. Blocking, briefly; a failure shows when the shim is needed.
    pub(crate) fn refill(&self) {
        let mut parked = crate::lock(&self.parked);
        if parked.is_none() {
            let mut command = self.command();
            command.arg("-bundle").arg(&self.bundles).arg("park").stdin(Stdio::piped());
            *parked = command.spawn().ok();
        }
    }

    /// Runs `start` for a bundle: with the parked shim, or else from nothing. Blocking.
    pub(crate) fn start(&self, id: &ContainerId, bundle: &Path) -> Result<Output> {
        let parked = crate::lock(&self.parked).take();
        match parked.map(|shim| unpark(shim, id, bundle)) {
            Some(Ok(output)) if output.status.success() => Ok(output),
            // It has died meanwhile, or says why it cannot: a fresh one says it again.
            _ => self.run("start", id, bundle),
        }
    }

    /// Runs one action of the shim program in the bundle, as containerd does. No event socket is named: `Wait` says all
    /// that the engine wants to know, also after a restart, which events do not.
    pub(crate) fn run(&self, action: &str, id: &ContainerId, bundle: &Path) -> Result<Output> {
        let mut command = self.command();
        command.args(["-id", id.as_str(), "-bundle"]).arg(bundle).arg(action);
        command.current_dir(bundle).stdin(Stdio::null());
        command.output().map_err(Error::io("run the shim", &self.program))
    }

    fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        command
            .args(["shim", "-namespace", "drua"])
            .env_clear()
            .env("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }
}

/// Tells a parked shim its container and collects what it prints.
fn unpark(mut shim: Child, id: &ContainerId, bundle: &Path) -> std::io::Result<Output> {
    let line = format!("{id} {}\n", bundle.display());
    let told = shim.stdin.take().map_or(Ok(()), |mut stdin| stdin.write_all(line.as_bytes()));
    let output = shim.wait_with_output();
    told.and(output)
}
