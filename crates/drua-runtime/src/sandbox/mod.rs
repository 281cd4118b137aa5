//! One container as processes of this machine: the libcontainer adapter.
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
//! libcontainer (the only place that knows it) makes the namespaces, cgroup, mounts and terminal. What it is not asked to
//! do: capabilities and seccomp, which `init` applies itself right before "created" is reported, because
//! libcontainer is built without libseccomp and because the order matters (a filter without `no_new_privileges` needs
//! CAP_SYS_ADMIN to load). `HOME`, umask, the OOM score and signal dispositions are ours too.
//!
//! A pipe runs from the container's init to its creator: diagnostics and the reason of a failure go through it, and its
//! end of file tells [`Sandbox::start`] that the workload has begun. Its write end is close-on-exec.
//!
//! ```text
//! <state_dir>/                  the caller's choice, `<bundle>/runtime` by convention; removed by delete()
//!     config.json               the specification as libcontainer gets it: no capabilities, no seccomp
//!     init.pid, console.sock    how libcontainer tells us about the init and the terminal
//!     <id>/                     libcontainer's state: state.json, youki_config.json, notify.sock
//! ```
//!
//! Needs root. `create` forks and goes on to run Rust code in the child, so the process must have one thread.

mod create;
mod credentials;
mod delete;
mod diagnostics;
mod error;
mod exec;
mod init;
mod join;
mod paths;
mod prepare;
mod process;
mod reaper;
mod report;
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
    /// Where to keep state until [`Sandbox::delete`]. Created if missing; `<bundle>/runtime` by convention.
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
    id: String,
    state_dir: PathBuf,
    cgroup: Cgroup,
    report: Option<Report>,
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

    fn libcontainer_dir(&self) -> PathBuf {
        self.state_dir.join(&self.id)
    }

    /// Changes the limits of a created or running container. Fields that are `None` keep their value.
    pub fn update(&self, resources: &LinuxResources) -> Result<(), SandboxError> {
        Ok(self.cgroup.apply(resources)?)
    }
}
