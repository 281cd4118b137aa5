//! Containers, images, networks and volumes: what they are, what may happen to them, and what is remembered.
//!
//! The engine does not know HTTP, does not link a Wasm engine and never forks a container itself: a workload is reached
//! through containerd's shim v2 protocol only (module [`shim`]).
//!
//! ```text
//!  Engine ── Registry (ids, names → handles; dumb data behind a lock that nobody holds while waiting)
//!    │
//!    ├─ one actor task a container ── owns its record, fed by `Command`s; publishes `Arc<Container>` snapshots (watch)
//!    ├─ networks, volumes, images  ── short synchronous work on tokio's blocking pool (`blocking`)
//!    ├─ Db                         ── SQLite: what must survive a restart
//!    └─ EventBus                   ── what clients hear
//! ```
//!
//! Listing reads snapshots and so never waits for a stuck container (moby#18848, moby#30605).

mod blocking;
mod config;
pub mod container;

mod create;
mod db;
mod engine;
mod error;
mod events;
mod execs;
mod files;
mod foreign;
mod image_mount;
mod images;
mod import_url;
mod layered;
mod log_changes;
mod logs;
mod names;
mod network;
mod open_files;
mod precompile;
mod pull;
mod pull_layers;
mod push;
mod recover;
mod registry;
mod runtimes;
mod settings;
mod shim;
mod shim_pool;
mod stats;
mod volume;
mod volume_mount;

pub use config::{DEFAULT_DATA_ROOT, DEFAULT_EXEC_ROOT, EngineConfig};
pub use container::{Container, State, Status};
pub use create::{CreateContainer, Created};
pub use engine::{Engine, RemoveContainer, WaitCondition, Waited};
pub use error::{Error, Result};
pub use events::{Event, EventBus, Scope};
pub use execs::{ExecSession, StartExec};
pub use files::{Change, ChangeKind, Commit, ContainerFiles, FilesError, PathStat};
pub use import_url::ImportEvent;
pub use logs::LogQuery;
pub use open_files::raise as raise_open_files;
pub use pull::{LayerStep, PullEvent, PullImage};
pub use push::{BlobStep, PushEvent, PushImage};
pub use registry::Distribution;
pub use runtimes::{RESERVED as RESERVED_RUNTIMES, Runtime, check as check_runtime, installed as installed_shims};
pub use settings::Settings;
pub use shim::{AttachStreams, Attached};
/// How records of a container's log look, and which of them to read.
pub mod log {
    pub use drua_runtime::logs::{Entry, LogPosition, ReadOptions, Stream, Tail};
}
pub use drua_net::{Family, SubnetRequest};
pub use drua_registry::{Credentials, Login, Proxies, SearchResult, SearchResults, Settings as RegistrySettings};
/// What [`Sample`] is made of.
pub use drua_runtime::cgroup as usage;
pub use drua_runtime::spec::{DEFAULT_MASKED_PATHS, DEFAULT_READONLY_PATHS};
pub use network::{CreateNetwork, Endpoint, EndpointRequest, Ipv6Endpoint, Network, PREDEFINED, Published};
pub use stats::{Interface, Sample, Sampler};
pub use volume::{CreateVolume, Volume};

/// Removes a directory with everything below it, however deep a container has made it; one that is gone is fine.
pub(crate) fn remove_dir(dir: &std::path::Path) -> Result<()> {
    let (Some(parent), Some(name)) = (dir.parent(), dir.file_name()) else {
        return Err(Error::Invalid(format!("`{}` has no parent directory", dir.display())));
    };
    let removed = fs_err::File::open(parent)
        .and_then(|parent| drua_sys::root_fs::remove_tree(std::os::fd::AsFd::as_fd(parent.file()), name));
    match removed {
        Err(source) if source.kind() != std::io::ErrorKind::NotFound => {
            Err(Error::Io { action: "remove", path: dir.to_owned(), source })
        }
        _ => Ok(()),
    }
}

/// Locks a mutex whose critical sections cannot leave the data half-changed, so that a panic elsewhere does no harm.
pub(crate) fn lock<T>(mutex: &std::sync::Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}
