//! One container as processes of this machine.
//!
//! ```text
//!              create()                    start()               exit
//!   (nothing) ─────────► created ────────────────────► running ──────► stopped ── delete() ─► (nothing)
//!                         │  init exists, is confined,   ▲   │            ▲
//!                         │  waits for the signal        │   ├─ pause()   │
//!                         └────────── kill() ────────────┼───┼────────────┘
//!                                              resume() ─┴─ paused
//! ```
//!
//! The init is cloned straight into its namespaces, and prepares them itself (`init`): nothing stands between it and its
//! creator. Two pipes join them, both close-on-exec: one for the start signal, whose end without a signal ends the init;
//! one for what the init has to say. First that it is ready, or which step failed, on what, and why; the end of that pipe
//! tells [`Sandbox::start`] that the workload has begun.
//!
//! [`exec`](exec()) starts further processes in a container that runs.
//!
//! Nothing is kept on disk: the caller remembers pid and cgroup, which is all that [`destroy`] takes.
//!
//! Needs root, and Linux 5.14. `create` and `exec` clone and go on to run Rust code in the child, so the process must have
//! one thread.

mod create;
mod credentials;
mod delete;
mod error;
mod exec;
mod init;
mod join;
mod mounts;
mod namespaces;
mod options;
mod prepare;
mod process;
mod reaper;
mod report;
mod rootfs;
mod terminal;
mod workload;

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::PathBuf;
use std::sync::Arc;

use oci_spec::runtime::{LinuxResources, Spec};

pub use create::create;
pub use delete::destroy;
pub use error::{CreateError, DeleteError, ExecError, SandboxError, StartError};
pub use exec::ExecWorkload;
pub use join::{ExecOptions, Execution, exec};
pub use reaper::InitWorkload;
pub use workload::{StartSignal, Workload};

use crate::cgroup::Cgroup;
use report::Report;

/// What [`create`] needs to know.
#[derive(Debug)]
pub struct CreateOptions {
    /// The container's id: letters, digits, `_`, `+`, `-`, `.`.
    pub id: String,
    /// The OCI bundle; a relative root path in the specification starts here.
    pub bundle: PathBuf,
    /// `<bundle>/runtime` by convention. Nothing is kept there; what an earlier version left is removed with the container.
    pub state_dir: PathBuf,
    /// What to run, as in the bundle's `config.json`.
    pub spec: Spec,
    /// Standard input, output and error.
    pub stdio: Stdio,
    /// Who runs in the container's init.
    pub workload: Arc<dyn Workload>,
}

/// Standard input, output and error of the container.
#[derive(Debug)]
pub enum Stdio {
    /// Three open files.
    Fds {
        /// Becomes file descriptor 0.
        stdin: OwnedFd,
        /// Becomes file descriptor 1.
        stdout: OwnedFd,
        /// Becomes file descriptor 2.
        stderr: OwnedFd,
    },
    /// A pseudo-terminal of the container's own devpts; its master is [`Sandbox::take_console`].
    Terminal,
}

/// A created container. Dropping it changes nothing about the container.
#[derive(Debug)]
pub struct Sandbox {
    pid: u32,
    pidfd: OwnedFd,
    console: Option<OwnedFd>,
    state_dir: PathBuf,
    cgroup: Cgroup,
    /// Until it is started: what the init says, and where the start signal goes.
    waiting: Option<(Report, OwnedFd)>,
}

impl Sandbox {
    /// The init's process id, as this process sees it. Init is a child of the process that called [`create`].
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// Refers to the init; becomes readable when it exits, and never means another process.
    pub fn pidfd(&self) -> BorrowedFd<'_> {
        self.pidfd.as_fd()
    }

    /// The terminal's master, once, if the container has a terminal.
    pub fn take_console(&mut self) -> Option<OwnedFd> {
        self.console.take()
    }

    /// The container's cgroup: statistics, pids, freezer.
    pub fn cgroup(&self) -> &Cgroup {
        &self.cgroup
    }

    /// Changes the limits of a created or running container. Fields that are `None` keep their value.
    pub fn update(&self, resources: &LinuxResources) -> Result<(), SandboxError> {
        Ok(self.cgroup.apply(resources)?)
    }
}
