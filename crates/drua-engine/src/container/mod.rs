//! One container: what was asked for ([`Config`], [`HostConfig`]), what is known about it ([`Container`]), what state it
//! is in ([`State`]) and the task that owns it ([`actor`]).

pub(crate) mod actor;
mod config;
pub(crate) mod exec;
pub(crate) mod health;
mod host_files;
pub(crate) mod host_mounts;
mod links;
pub mod log_attributes;
mod probe;
mod spec;
mod state;
pub mod step;

use std::collections::BTreeMap;
use std::path::PathBuf;

use drua_types::{ContainerId, ContainerName, Digest, Flavor, Platform};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

pub use config::{
    Config, Device, DeviceLimit, HealthCheck, HostConfig, IpcMode, LogConfig, LogDriver, MountKind, MountRequest,
    NetworkMode, NsMode, PublishRequest, ReadOnlyDepth, Resources, RestartPolicy, Seccomp, Ulimit, VolumeSpec,
};
pub use exec::{Exec, ExecConfig, ExecState};
pub use health::{HealthState, ProbeResult};
pub(crate) use state::{Event as StateEvent, next};
pub use state::{Health, Rejected, State, Status};

use crate::network::{Endpoint, EndpointRequest};

/// Which of the two hulls carries a container.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Hull {
    /// A Linux process (unless its file turns out to be WebAssembly, which the shim sees).
    Linux,
    /// A WebAssembly guest of the given flavour.
    Wasm(Flavor),
}

/// A mount as it was resolved at create time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MountPoint {
    /// Bind, volume, tmpfs or image.
    pub kind: MountKind,
    /// Volume name, for volumes; image id, for images.
    pub name: Option<String>,
    /// Path on the host; empty for tmpfs.
    pub source: PathBuf,
    /// Absolute path in the container.
    pub destination: PathBuf,
    /// Whether the container may write.
    pub writable: bool,
    /// Bind propagation, for example `rprivate`.
    pub propagation: String,
    /// Mode string as given (`ro,z`), for inspect.
    pub mode: String,
    /// Options of a tmpfs.
    pub tmpfs_options: Vec<String>,
    /// Whether the volume was made for this container alone and goes with `rm -v`.
    pub anonymous: bool,
    /// Whether an empty volume must not be filled from the image.
    pub no_copy: bool,
    /// Directories that make an image's root filesystem, topmost first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub lowers: Vec<PathBuf>,
    /// Whether a bind leaves out what is mounted below its source.
    #[serde(default)]
    pub non_recursive: bool,
    /// How far a read-only bind goes.
    #[serde(default)]
    pub read_only_depth: ReadOnlyDepth,
    /// Path within the volume.
    #[serde(default)]
    pub subpath: Option<PathBuf>,
}

/// An immutable picture of a container; a new one replaces it whenever something changes.
///
/// It is also the record on disk (as JSON in the state database, versioned there).
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Container {
    /// Identity.
    pub id: ContainerId,
    /// Name without slash.
    pub name: ContainerName,
    /// When it was created.
    pub created: Timestamp,
    /// Image id (digest of its top-level descriptor).
    pub image: Digest,
    /// Digest of the image's manifest for this platform.
    pub manifest: Digest,
    /// Platform of the image.
    pub platform: Platform,
    /// Which hull.
    pub hull: Hull,
    /// What to run; merged with the image's configuration.
    pub config: Config,
    /// How to run it.
    pub host: HostConfig,
    /// The client's own `HostConfig`, given back by inspect. Opaque to the engine.
    pub echo: serde_json::Value,
    /// Where the image's Wasm layer is in the root filesystem, for images that have one instead of files.
    #[serde(default)]
    pub wasm_module: Option<PathBuf>,
    /// Resolved mounts.
    pub mounts: Vec<MountPoint>,
    /// What the client wants of each network, by network name.
    pub requests: BTreeMap<String, EndpointRequest>,
    /// Live endpoints, by network name; empty while stopped but for their names and ids.
    pub endpoints: BTreeMap<String, Endpoint>,
    /// Ports published while running.
    #[serde(default)]
    pub published: Vec<crate::network::Published>,
    /// Overlay lower directories, topmost first.
    pub layers: Vec<PathBuf>,
    /// State of its process.
    pub state: State,
    /// How often the restart policy has restarted it.
    pub restart_count: u32,
    /// Whether the user stopped it, so that the restart policy leaves it alone.
    pub manually_stopped: bool,
    /// How well it is; `None` without a health check, and before the first start.
    #[serde(default)]
    pub health: Option<HealthState>,
    /// Counts exits and failed starts, so that `wait --condition next-exit` cannot miss one.
    pub exits: u64,
    /// Set in the last snapshot that is ever published.
    #[serde(default)]
    pub removed: bool,
}

impl Container {
    /// Path of the json-file log.
    pub fn log_path(&self, config: &crate::EngineConfig) -> PathBuf {
        config.container_dir(&self.id).join("json.log")
    }

    /// The command line: entrypoint and arguments.
    pub fn args(&self) -> Vec<String> {
        self.config.entrypoint.iter().chain(&self.config.cmd).cloned().collect()
    }

    /// Attributes of its events: its labels, `image` and `name`.
    pub(crate) fn event_attributes(&self) -> BTreeMap<String, String> {
        let mut attributes = self.config.labels.clone();
        attributes.insert("image".to_owned(), self.config.image.clone());
        attributes.insert("name".to_owned(), self.name.to_string());
        attributes
    }
}
