use std::path::PathBuf;

use drua_types::{Classify, ContainerId, ErrorKind};

/// The result of an engine operation.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why an engine operation failed. Texts that Docker's clients match are Docker's.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "each variant's message says what it means")]
pub enum Error {
    #[error("No such container: {0}")]
    NoSuchContainer(String),
    #[error("multiple IDs found with provided prefix: {0}")]
    AmbiguousId(String),
    #[error(
        "Conflict. The container name \"/{name}\" is already in use by container \"{holder}\". You have to remove (or rename) that container to be able to reuse that name."
    )]
    NameInUse { name: String, holder: ContainerId },
    #[error("container {0} is already running")]
    AlreadyRunning(ContainerId),
    #[error("container {0} is already stopped")]
    AlreadyStopped(ContainerId),
    #[error("cannot kill container: {name}: container {id} is not running")]
    KillNotRunning { name: String, id: ContainerId },
    #[error("container {0} is not running")]
    NotRunning(ContainerId),
    #[error("container {0} is paused")]
    Paused(ContainerId),
    #[error("container {0} is not paused")]
    NotPaused(ContainerId),
    #[error("cannot start a paused container, try unpause instead")]
    StartPaused,
    #[error("container {0} is marked for removal and cannot be started")]
    MarkedForRemoval(ContainerId),
    #[error("removal of container {0} is already in progress")]
    RemovalInProgress(String),
    #[error(
        "cannot remove container \"/{0}\": container is running: stop the container before removing or force remove"
    )]
    RemoveRunning(String),
    #[error("cannot remove container \"/{0}\": container is paused and must be unpaused first")]
    RemovePaused(String),
    #[error("container {0} is paused, unpause the container before attach")]
    AttachPaused(ContainerId),
    #[error("container {0} is restarting, wait until the container is running")]
    AttachRestarting(ContainerId),
    #[error("Container {0} is paused, unpause the container before exec")]
    ExecPaused(ContainerId),
    #[error(
        "cannot exec in container {name}: it is WebAssembly, one guest without other processes; what works: `docker logs {name}` and `docker attach {name}` for its output, `docker cp` for its files, or a new container with another module on the same volumes"
    )]
    ExecWasm { name: String },
    /// The command of an exec could not be run; the text is the runtime's.
    #[error("{0}")]
    Exec(String),
    #[error("No command specified")]
    NoCommand,
    #[error("invalid reference format")]
    NoImage,
    #[error("{0}")]
    Invalid(String),
    #[error("{0}")]
    Conflict(String),
    #[error("{0}")]
    Denied(String),
    #[error("{0}")]
    NotFound(String),
    #[error("{0} is not supported yet")]
    Unsupported(String),
    #[error("invalid mount config for type \"bind\": bind source path does not exist: {}", .0.display())]
    BindSourceMissing(PathBuf),
    #[error("network {0} not found")]
    NoSuchNetwork(String),
    #[error("get {0}: no such volume")]
    NoSuchVolume(String),
    #[error("remove {name}: volume is in use - [{users}]")]
    VolumeInUse { name: String, users: String },
    #[error(transparent)]
    ImageLookup(#[from] drua_store::LookupError),
    #[error("cannot {action}")]
    Image {
        action: &'static str,
        kind: ErrorKind,
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A registry, or the way to it, failed; the message says what was attempted.
    #[error("{message}")]
    Registry {
        message: String,
        kind: ErrorKind,
        #[source]
        source: Box<drua_registry::RegistryError>,
    },
    /// The container's command could not be run; the text is the runtime's.
    #[error("failed to create task for container: {0}")]
    Task(String),
    #[error("failed to set up container networking: {message}")]
    Network { message: String, kind: ErrorKind },
    #[error("cannot reach the shim of container {id}: {message}")]
    Shim { id: ContainerId, message: String },
    #[error("cannot {action} `{}`", path.display())]
    Io {
        action: &'static str,
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    #[error("cannot {action} in the state database")]
    Database {
        action: &'static str,
        #[source]
        source: rusqlite::Error,
    },
    #[error("cannot read a stored {what}: it was written by another version or is damaged")]
    Record {
        what: &'static str,
        #[source]
        source: serde_json::Error,
    },
    #[error("cannot build the runtime specification")]
    Spec(#[source] Box<dyn std::error::Error + Send + Sync>),
    #[error(transparent)]
    Files(#[from] crate::files::FilesError),
    #[error("an internal task panicked: {0}")]
    Panicked(String),
    #[error("the daemon is shutting down")]
    ShuttingDown,
}

impl Error {
    /// Wraps an I/O error with what was attempted on what; made for `map_err`.
    pub(crate) fn io(action: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { action, path, source }
    }

    /// Wraps an error of the store; made for `map_err`.
    pub(crate) fn image<E>(action: &'static str) -> impl FnOnce(E) -> Self
    where
        E: Classify + std::error::Error + Send + Sync + 'static,
    {
        move |source| Self::Image { action, kind: source.kind(), source: Box::new(source) }
    }

    /// Whether a registry does not accept who we are.
    pub fn is_unauthorized(&self) -> bool {
        matches!(self, Self::Registry { source, .. } if source.is_unauthorized())
    }

    /// The exit code that Docker records when a start failed with this error: 127 not found, 126 not executable,
    /// otherwise 128 (moby daemon/start.go).
    pub(crate) fn start_exit_code(&self) -> u32 {
        let text = self.to_string();
        let any = |needles: &[&str]| needles.iter().any(|needle| text.contains(needle));
        if any(&["executable file not found", "no such file or directory", "not a directory"]) {
            127
        } else if any(&["permission denied", "is a directory"]) {
            126
        } else {
            128
        }
    }
}

impl Classify for Error {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::NoSuchContainer(_) | Self::NoSuchNetwork(_) | Self::NoSuchVolume(_) | Self::NotFound(_) => {
                ErrorKind::NotFound
            }
            Self::NameInUse { .. }
            | Self::KillNotRunning { .. }
            | Self::NotRunning(_)
            | Self::Paused(_)
            | Self::NotPaused(_)
            | Self::StartPaused
            | Self::MarkedForRemoval(_)
            | Self::RemovalInProgress(_)
            | Self::RemoveRunning(_)
            | Self::RemovePaused(_)
            | Self::ExecPaused(_)
            | Self::AttachPaused(_)
            | Self::AttachRestarting(_)
            | Self::VolumeInUse { .. }
            | Self::Conflict(_) => ErrorKind::Conflict,
            Self::AlreadyRunning(_) | Self::AlreadyStopped(_) => ErrorKind::NotModified,
            Self::AmbiguousId(_) | Self::NoCommand | Self::NoImage | Self::Invalid(_) | Self::BindSourceMissing(_) => {
                ErrorKind::Invalid
            }
            Self::Task(_) | Self::Exec(_) if self.start_exit_code() != 128 => ErrorKind::Invalid,
            Self::Denied(_) => ErrorKind::Denied,
            Self::ExecWasm { .. } | Self::Unsupported(_) => ErrorKind::Unsupported,
            Self::ImageLookup(source) => source.kind(),
            Self::Files(source) => source.kind(),
            Self::Image { kind, .. } | Self::Network { kind, .. } | Self::Registry { kind, .. } => *kind,
            Self::ShuttingDown => ErrorKind::Unavailable,
            Self::Task(_)
            | Self::Exec(_)
            | Self::Shim { .. }
            | Self::Io { .. }
            | Self::Database { .. }
            | Self::Record { .. }
            | Self::Spec(_)
            | Self::Panicked(_) => ErrorKind::Internal,
        }
    }
}
