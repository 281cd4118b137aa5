//! A container's files, for `docker cp`, `export`, `diff` and `commit`.
//!
//! ```text
//!  running   /proc/<pid>/root           what the container sees, tmpfs and live mounts included
//!  stopped   overlay + volumes + binds  mounted in a mount namespace that nobody is in ([`root`])
//!  diff, commit   the overlay's upper directory
//! ```
//!
//! All paths are resolved by the kernel in the container's root (`openat2(RESOLVE_IN_ROOT)`), on descriptors; what is done
//! there is `drua_store::live`'s. While somebody works in the root of a stopped container it cannot be started or removed:
//! an overlay must not be mounted twice ([`Leases`]).

mod archive;
mod changes;
mod commit;
mod root;

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, Weak};

use drua_types::{Classify, ContainerId, ErrorKind};
use tokio::sync::{OwnedRwLockReadGuard, OwnedRwLockWriteGuard, RwLock};

pub use archive::PathStat;
pub use changes::{Change, ChangeKind};
pub use commit::Commit;
pub use root::ContainerFiles;

/// Why a container's files could not be read or written. Texts that Docker's clients match are Docker's.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "each variant's message says what it means")]
pub enum FilesError {
    #[error("Could not find the file {path} in container {container}")]
    NoSuchFile { path: String, container: String },
    #[error("extraction point is not a directory")]
    NotADirectory,
    #[error("container rootfs is marked read-only")]
    ReadOnlyRootfs,
    #[error("mounted volume is marked read-only")]
    ReadOnlyVolume,
    #[error("`{0}` is in a file system of the kernel: nothing is copied there")]
    KernelFs(String),
    #[error("invalid path `{0}`: it has a NUL byte")]
    BadPath(String),
    #[error("the container has stopped or restarted meanwhile: try again")]
    Moved,
    #[error("cannot {action} `{}`", path.display())]
    Io {
        action: &'static str,
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    #[error("cannot copy out of the container")]
    Pack(#[from] drua_store::live::PackError),
    #[error("cannot copy into the container")]
    Extract(#[from] drua_store::ApplyError),
}

impl Classify for FilesError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::NoSuchFile { .. } => ErrorKind::NotFound,
            Self::NotADirectory
            | Self::ReadOnlyRootfs
            | Self::ReadOnlyVolume
            | Self::KernelFs(_)
            | Self::BadPath(_) => ErrorKind::Invalid,
            Self::Moved => ErrorKind::Conflict,
            Self::Io { .. } => ErrorKind::Internal,
            Self::Pack(source) => source.kind(),
            Self::Extract(source) => source.kind(),
        }
    }
}

/// Who uses the files of stopped containers: many readers of one root, or the one who starts or removes it.
#[derive(Debug, Default)]
pub(crate) struct Leases(Mutex<HashMap<ContainerId, Weak<RwLock<()>>>>);

impl Leases {
    fn of(&self, id: &ContainerId) -> Arc<RwLock<()>> {
        let mut leases = crate::lock(&self.0);
        if let Some(lease) = leases.get(id).and_then(Weak::upgrade) {
            return lease;
        }
        leases.retain(|_, lease| lease.strong_count() > 0);
        let lease = Arc::new(RwLock::new(()));
        leases.insert(id.clone(), Arc::downgrade(&lease));
        lease
    }

    /// Keeps the container from being started or removed.
    pub(crate) async fn share(&self, id: &ContainerId) -> OwnedRwLockReadGuard<()> {
        self.of(id).read_owned().await
    }

    /// Waits until nobody is in the container's files, and keeps everybody out.
    pub(crate) async fn own(&self, id: &ContainerId) -> OwnedRwLockWriteGuard<()> {
        self.of(id).write_owned().await
    }
}
