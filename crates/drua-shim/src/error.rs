//! Why a request to the task service failed.

use std::io;
use std::path::PathBuf;

use drua_runtime::sandbox::{CreateError, DeleteError, ExecError, SandboxError};
use drua_types::{Classify, ErrorKind};
use drua_wasm::PrepareError;

use crate::bridge::ForeignError;
use crate::io::IoError;
use crate::rootfs::RootfsError;
use crate::sockets::BindError;
use crate::state::{Rejected, State};

/// Why a request to the task service failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TaskError {
    #[error("container {0} not found")]
    NoContainer(String),
    #[error("exec process {exec_id} of container {id} not found")]
    NoExec { id: String, exec_id: String },
    /// containerd's word for a signal that comes too late.
    #[error("process already finished")]
    Finished,
    #[error("cannot make the working directory")]
    Cwd {
        #[source]
        err: io::Error,
    },
    #[error(transparent)]
    Rejected(#[from] Rejected),
    #[error("{0} is not supported yet")]
    Unsupported(&'static str),
    #[error("{0} is no signal")]
    Signal(u32),
    #[error("cannot read the specification `{path}`")]
    ReadSpec {
        path: PathBuf,
        #[source]
        err: io::Error,
    },
    #[error("cannot understand the {what}")]
    Parse {
        what: &'static str,
        #[source]
        err: serde_json::Error,
    },
    #[error(transparent)]
    Rootfs(#[from] RootfsError),
    #[error(transparent)]
    Io(#[from] IoError),
    #[error(transparent)]
    Listen(#[from] BindError),
    #[error("unable to start container process")]
    Wasm(#[from] PrepareError),
    #[error(transparent)]
    Create(#[from] CreateError),
    /// In the words that Docker's clients know.
    #[error("OCI runtime exec failed: exec failed: {0}")]
    Exec(ExecError),
    #[error("exec {0} exists already")]
    ExecExists(String),
    #[error("the container has {0} execs already: delete those that have ended")]
    TooManyExecs(usize),
    #[error("cannot {action} an exec process that is {state}")]
    ExecRejected { action: &'static str, state: State },
    #[error("nothing can be executed in a WebAssembly container: it has one guest and no other processes")]
    ExecWasm,
    #[error(transparent)]
    Sandbox(#[from] SandboxError),
    #[error(transparent)]
    Delete(#[from] DeleteError),
    #[error("cannot watch container process {pid}")]
    Watch {
        pid: u32,
        #[source]
        err: io::Error,
    },
    #[error("container process {0} does not die")]
    Undead(u32),
    #[error(transparent)]
    Foreign(#[from] ForeignError),
    #[error("the shim is shutting down")]
    ShuttingDown,
}

impl From<ExecError> for TaskError {
    fn from(error: ExecError) -> Self {
        Self::Exec(error)
    }
}

impl Classify for TaskError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::NoContainer(_) | Self::NoExec { .. } | Self::Finished => ErrorKind::NotFound,
            Self::Rejected(_) | Self::ExecRejected { .. } => ErrorKind::Conflict,
            Self::ExecExists(_) => ErrorKind::NotModified,
            Self::TooManyExecs(_) => ErrorKind::Unavailable,
            Self::ExecWasm => ErrorKind::Unsupported,
            Self::Exec(error) => error.kind(),
            Self::Unsupported(_) => ErrorKind::Unsupported,
            Self::Signal(_) | Self::Parse { .. } | Self::Cwd { .. } => ErrorKind::Invalid,
            Self::ReadSpec { err, .. } if err.kind() == io::ErrorKind::NotFound => ErrorKind::NotFound,
            Self::ReadSpec { .. } | Self::Listen(_) | Self::Watch { .. } => ErrorKind::Internal,
            Self::Undead(_) | Self::ShuttingDown => ErrorKind::Unavailable,
            Self::Rootfs(error) => error.kind(),
            Self::Io(error) => error.kind(),
            Self::Wasm(error) => error.kind(),
            Self::Create(error) => error.kind(),
            Self::Sandbox(error) => error.kind(),
            Self::Delete(error) => error.kind(),
            Self::Foreign(error) => error.kind(),
        }
    }
}
