//! What the builder needs done by others.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use drua_types::{Classify, ErrorKind, Platform};

/// Which of a command's streams some output came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stream {
    /// Standard output.
    Out,
    /// Standard error.
    Err,
}

/// A step could not be run at all.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct PortError {
    /// Why.
    pub message: String,
    /// What kind of failure it is.
    pub kind: ErrorKind,
}

impl Classify for PortError {
    fn kind(&self) -> ErrorKind {
        self.kind
    }
}

/// Runs the commands of RUN, confined as containers are.
pub trait StepRunner: Send + Sync {
    /// Runs a command to its end and hands on what it writes. Ends it when `cancel` says so.
    ///
    /// # Errors
    /// When it cannot be started; an exit code that is not 0 is no error.
    fn run(&self, step: &RunStep, output: &mut dyn FnMut(Stream, &[u8]), cancel: &Cancel) -> Result<Exit, PortError>;
}

/// Brings images from elsewhere.
pub trait ImageSource: Send + Sync {
    /// Makes sure that the newest version of an image is in the store.
    ///
    /// # Errors
    /// When the registry does not have it or cannot be reached.
    fn pull(&self, name: &str, platform: &Platform, cancel: &Cancel) -> Result<(), PortError>;
}

/// How a command ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Exit {
    /// Exit code, or 128 and the signal's number.
    pub code: u32,
    /// Whether the kernel killed it for want of memory.
    pub out_of_memory: bool,
}

/// The network of a command.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub enum Network {
    /// The default bridge.
    #[default]
    Bridge,
    /// Loopback only.
    None,
    /// The host's.
    Host,
    /// A network by name.
    Named(String),
}

/// A command to run.
#[derive(Debug, Clone)]
pub struct RunStep {
    /// Directories of the root filesystem, topmost first.
    pub lowers: Vec<PathBuf>,
    /// Takes the changes.
    pub upper: PathBuf,
    /// Overlay's work directory, beside `upper`.
    pub work: PathBuf,
    /// The command line.
    pub args: Vec<String>,
    /// `KEY=value`
    pub env: Vec<String>,
    /// Working directory, absolute.
    pub cwd: String,
    /// `user[:group]`; empty is root.
    pub user: String,
    /// Network.
    pub network: Network,
    /// What is mounted, in order.
    pub mounts: Vec<StepMount>,
    /// All capabilities and no filter.
    pub insecure: bool,
    /// Options of the whole build.
    pub options: RunOptions,
}

/// Options of a build that concern every command.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct RunOptions {
    /// `host:address`
    pub extra_hosts: Vec<String>,
    /// Size of /dev/shm in bytes.
    pub shm_size: Option<u64>,
    /// Name, soft and hard limit.
    pub ulimits: Vec<(String, i64, i64)>,
    /// Bytes of memory.
    pub memory: Option<i64>,
    /// Memory and swap, bytes; -1 is unlimited.
    pub memory_swap: Option<i64>,
    /// Relative CPU weight.
    pub cpu_shares: Option<u64>,
    /// CPU period in µs.
    pub cpu_period: Option<u64>,
    /// CPU quota in µs.
    pub cpu_quota: Option<i64>,
    /// CPUs to run on.
    pub cpuset_cpus: String,
    /// Memory nodes to use.
    pub cpuset_mems: String,
    /// Host name, default `buildkitsandbox`.
    pub hostname: String,
}

/// A mount of a command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StepMount {
    /// Absolute path in the root filesystem.
    pub target: String,
    /// What is there.
    pub content: MountContent,
    /// Whether the command cannot write.
    pub readonly: bool,
}

/// What is mounted.
#[derive(Clone, PartialEq, Eq)]
pub enum MountContent {
    /// A file or directory of the host.
    Path(PathBuf),
    /// Memory.
    Tmpfs {
        /// Bytes at most.
        size: Option<u64>,
    },
    /// A file that must never reach a disk.
    Secret {
        /// Its content.
        bytes: Vec<u8>,
        /// Its permissions.
        mode: u32,
        /// User and group.
        owner: (u32, u32),
    },
}

impl std::fmt::Debug for MountContent {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Path(path) => f.debug_tuple("Path").field(path).finish(),
            Self::Tmpfs { size } => f.debug_struct("Tmpfs").field("size", size).finish(),
            Self::Secret { .. } => f.write_str("Secret"),
        }
    }
}

type Callback = Box<dyn FnOnce() + Send>;

/// Lets somebody end a build.
#[derive(Clone, Default)]
pub struct Cancel {
    state: Arc<Mutex<CancelState>>,
}

#[derive(Default)]
struct CancelState {
    canceled: bool,
    callbacks: Vec<Callback>,
}

impl std::fmt::Debug for Cancel {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Cancel").field("canceled", &self.is_canceled()).finish_non_exhaustive()
    }
}

impl Cancel {
    /// Ends the build; calls everybody who wants to know.
    pub fn cancel(&self) {
        let callbacks = {
            let mut state = self.lock();
            state.canceled = true;
            std::mem::take(&mut state.callbacks)
        };
        callbacks.into_iter().for_each(|callback| callback());
    }

    /// Whether the build shall end.
    pub fn is_canceled(&self) -> bool {
        self.lock().canceled
    }

    /// Calls `callback` when the build is canceled, at once when it is already.
    pub fn on_cancel(&self, callback: impl FnOnce() + Send + 'static) {
        let mut state = self.lock();
        if !state.canceled {
            return state.callbacks.push(Box::new(callback));
        }
        drop(state);
        callback();
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, CancelState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
