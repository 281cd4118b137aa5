//! What can go wrong with a sandbox.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use drua_sys::fork::ForkError;
use drua_types::{Classify, ErrorKind, exit};
use serde::{Deserialize, Serialize};

use crate::cgroup::CgroupError;
use crate::seccomp::CompileError;

/// Why a workload could not begin. The texts are runc's, which Docker's clients look for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
pub enum StartError {
    /// No such command in `PATH` (exit code 127).
    #[error("exec: \"{command}\": executable file not found in $PATH")]
    NotInPath {
        /// The command.
        command: String,
    },
    /// The path does not exist, or its interpreter does not (127).
    #[error("exec: \"{command}\": stat {command}: no such file or directory")]
    NotFound {
        /// The command.
        command: String,
    },
    /// The file may not be executed (126).
    #[error("exec: \"{command}\": permission denied")]
    PermissionDenied {
        /// The command.
        command: String,
    },
    /// The path is a directory (126).
    #[error("exec: \"{command}\": is a directory")]
    IsDirectory {
        /// The command.
        command: String,
    },
    /// `execve` itself failed (127 when a file is missing, else 126).
    #[error("exec {command}: {reason}")]
    Exec {
        /// The file.
        command: String,
        /// The operating system's words.
        reason: String,
        /// Whether something does not exist: the interpreter, mostly.
        missing: bool,
    },
    /// The working directory cannot be entered (127 when it does not exist, else 126).
    #[error("chdir to cwd (\"{cwd}\") set in config.json failed: {reason}")]
    Cwd {
        /// The directory.
        cwd: String,
        /// The operating system's words.
        reason: String,
        /// Whether it does not exist.
        missing: bool,
    },
    /// The workload cannot be run: a Wasm module that does not compile, for instance (126).
    #[error("{0}")]
    Workload(String),
    /// The process could not be confined; nothing has run (125).
    #[error("cannot confine the container: {0}")]
    Confine(String),
}

impl StartError {
    /// The exit code that stands for this failure: 127 not found, 126 not runnable, 125 our fault.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::NotInPath { .. }
            | Self::NotFound { .. }
            | Self::Exec { missing: true, .. }
            | Self::Cwd { missing: true, .. } => exit::NOT_FOUND,
            Self::PermissionDenied { .. }
            | Self::IsDirectory { .. }
            | Self::Exec { missing: false, .. }
            | Self::Cwd { missing: false, .. }
            | Self::Workload(_) => exit::NOT_EXECUTABLE,
            Self::Confine(_) => exit::ENGINE,
        }
    }
}

impl Classify for StartError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Confine(_) => ErrorKind::Internal,
            Self::NotInPath { .. }
            | Self::NotFound { .. }
            | Self::PermissionDenied { .. }
            | Self::IsDirectory { .. }
            | Self::Exec { .. }
            | Self::Cwd { .. }
            | Self::Workload(_) => ErrorKind::Invalid,
        }
    }
}

/// Why a container could not be created. Nothing is left of it.
#[derive(Debug, thiserror::Error)]
pub enum CreateError {
    /// The id cannot name a file or a cgroup.
    #[error("invalid container id `{0}`")]
    InvalidId(String),
    /// The specification lacks something or contradicts itself.
    #[error("invalid specification: {0}")]
    Spec(String),
    /// A file or directory of the sandbox's own could not be made.
    #[error("cannot {action} `{path}`")]
    State {
        /// What was attempted.
        action: &'static str,
        /// On which file.
        path: PathBuf,
        /// Why not.
        #[source]
        err: io::Error,
    },
    /// An operation on a file descriptor of the sandbox's own failed.
    #[error("cannot {action}")]
    Setup {
        /// What was attempted.
        action: &'static str,
        /// Why not.
        #[source]
        err: io::Error,
    },
    /// The calling process has more than one thread.
    #[error("cannot create a container from a process that has {0} threads")]
    Threads(usize),
    /// The seccomp profile cannot be compiled.
    #[error("cannot compile the seccomp profile")]
    Seccomp(#[from] CompileError),
    /// The container's environment could not be set up: the text names the step and its cause.
    #[error("unable to start container process: {0}")]
    Container(String),
    /// The command cannot be run.
    #[error("unable to start container process: {0}")]
    Start(StartError),
}

impl CreateError {
    /// The exit code for a command that cannot be run; `None` when something else went wrong.
    pub fn exit_code(&self) -> Option<u8> {
        match self {
            Self::Start(error) => Some(error.exit_code()),
            Self::InvalidId(_)
            | Self::Spec(_)
            | Self::State { .. }
            | Self::Setup { .. }
            | Self::Threads(_)
            | Self::Seccomp(_)
            | Self::Container(_) => None,
        }
    }
}

impl Classify for CreateError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::InvalidId(_) | Self::Spec(_) | Self::Seccomp(_) => ErrorKind::Invalid,
            Self::Start(error) => error.kind(),
            Self::State { .. } | Self::Setup { .. } | Self::Threads(_) | Self::Container(_) => ErrorKind::Internal,
        }
    }
}

/// Why a process could not be started in a running container. None is left.
#[derive(Debug, thiserror::Error)]
pub enum ExecError {
    /// The container's init has ended.
    #[error("cannot exec in a container that is not running")]
    NotRunning,
    /// The specification or the process lacks something or contradicts itself.
    #[error("invalid specification: {0}")]
    Spec(String),
    /// The calling process has more than one thread, or cannot be cloned.
    #[error(transparent)]
    Clone(#[from] ForkError),
    /// The seccomp profile cannot be compiled.
    #[error("cannot compile the seccomp profile")]
    Seccomp(#[from] CompileError),
    /// The container's cgroup cannot be entered.
    #[error(transparent)]
    Cgroup(#[from] CgroupError),
    /// An operation of the caller's own failed.
    #[error("cannot {action}")]
    Setup {
        /// What was attempted.
        action: &'static str,
        /// Why not.
        #[source]
        err: io::Error,
    },
    /// It neither ran nor failed in time: the container's file system hangs, or the container is frozen.
    #[error("unable to start container process: it did not begin within {} s", .0.as_secs())]
    Timeout(Duration),
    /// The command cannot be run.
    #[error("unable to start container process: {0}")]
    Start(StartError),
}

impl ExecError {
    /// The exit code for a command that cannot be run; `None` when something else went wrong.
    pub fn exit_code(&self) -> Option<u8> {
        match self {
            Self::Start(error) => Some(error.exit_code()),
            Self::NotRunning
            | Self::Spec(_)
            | Self::Clone(_)
            | Self::Seccomp(_)
            | Self::Cgroup(_)
            | Self::Setup { .. }
            | Self::Timeout(_) => None,
        }
    }
}

impl Classify for ExecError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::NotRunning => ErrorKind::Conflict,
            Self::Spec(_) | Self::Seccomp(_) => ErrorKind::Invalid,
            Self::Start(error) => error.kind(),
            Self::Cgroup(error) => error.kind(),
            Self::Timeout(_) => ErrorKind::Unavailable,
            Self::Clone(_) | Self::Setup { .. } => ErrorKind::Internal,
        }
    }
}

/// Why an operation on a created container failed.
#[derive(Debug, thiserror::Error)]
pub enum SandboxError {
    /// The start signal could not be given: the init is gone.
    #[error("cannot start container process {pid}")]
    Start {
        /// Its init.
        pid: u32,
        /// Why not.
        #[source]
        err: io::Error,
    },
    /// The workload did not begin.
    #[error("unable to start container process: {0}")]
    Workload(StartError),
    /// It was started before.
    #[error("container process {0} has been started already")]
    AlreadyStarted(u32),
    /// A signal could not be sent. The process is gone when [`Classify::kind`] is `NotFound`.
    #[error("cannot send signal {signal} to process {pid}")]
    Kill {
        /// The signal's number.
        signal: i32,
        /// Its addressee.
        pid: u32,
        /// Why not.
        #[source]
        err: io::Error,
    },
    /// An operation on the cgroup failed.
    #[error(transparent)]
    Cgroup(#[from] CgroupError),
}

impl Classify for SandboxError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Workload(error) => error.kind(),
            Self::AlreadyStarted(_) => ErrorKind::Conflict,
            Self::Kill { err, .. } if err.raw_os_error() == Some(nix::libc::ESRCH) => ErrorKind::NotFound,
            Self::Start { .. } | Self::Kill { .. } => ErrorKind::Internal,
            Self::Cgroup(error) => error.kind(),
        }
    }
}

/// What is left of a container after an attempt to delete it: every failure, not only the first.
#[derive(Debug, thiserror::Error)]
#[error("cannot delete everything of the container: {}", .0.join("; "))]
pub struct DeleteError(pub Vec<String>);

impl Classify for DeleteError {
    fn kind(&self) -> ErrorKind {
        ErrorKind::Internal
    }
}
