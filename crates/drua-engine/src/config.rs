use std::path::{Path, PathBuf};

use drua_types::ContainerId;
use ipnet::IpNet;

/// Where everything that survives a reboot lives.
pub const DEFAULT_DATA_ROOT: &str = "/var/lib/drua";
/// Where sockets, bundles and network namespaces live; a tmpfs.
pub const DEFAULT_EXEC_ROOT: &str = "/run/drua";

/// Everything that makes one daemon differ from the next on the same machine.
#[derive(Debug, Clone)]
pub struct EngineConfig {
    /// Persistent state, default [`DEFAULT_DATA_ROOT`].
    pub data_root: PathBuf,
    /// Run-time state, default [`DEFAULT_EXEC_ROOT`].
    pub exec_root: PathBuf,
    /// Interface name of the default bridge network, at most 15 characters. Default `drua0`.
    pub bridge: String,
    /// Prefix of the interfaces of user networks and of the firewall table. Default `br-` and `drua`.
    pub network_prefix: Option<String>,
    /// Pools for networks that name no subnet: base network and the prefix length to cut from it.
    /// Empty: Docker's own defaults.
    pub address_pools: Vec<(IpNet, u8)>,
    /// Parent of every container's cgroup. Default `/drua`.
    pub cgroup_parent: String,
    /// How image registries are reached.
    pub registries: drua_registry::Settings,
    /// The program that plays the shim role, this binary.
    pub shim: PathBuf,
}

impl EngineConfig {
    /// `<data-root>/containers/<id>`: writable layer, logs, host files, exit record.
    pub(crate) fn container_dir(&self, id: &ContainerId) -> PathBuf {
        self.data_root.join("containers").join(id.as_str())
    }

    /// `<exec-root>/shim/<first 32 digits>`: the OCI bundle and the shim's sockets. Shortened, since a socket's path has
    /// at most 107 bytes (`unix(7)`).
    pub(crate) fn bundle(&self, id: &ContainerId) -> PathBuf {
        self.exec_root.join("shim").join(&id.as_str()[..32])
    }

    /// `<exec-root>/netns/<first 32 digits>`: the pinned network namespace.
    pub(crate) fn netns(&self, id: &ContainerId) -> PathBuf {
        self.exec_root.join("netns").join(&id.as_str()[..32])
    }

    /// Where named volumes live.
    pub(crate) fn volumes(&self) -> PathBuf {
        self.data_root.join("volumes")
    }

    /// The layer below all images.
    pub(crate) fn mount_points(&self) -> PathBuf {
        self.data_root.join("mount-points")
    }

    /// The compiled-module cache.
    pub(crate) fn aot_cache(&self) -> PathBuf {
        self.data_root.join("aot")
    }

    /// The database of containers, networks, volumes and images.
    pub(crate) fn database(&self) -> PathBuf {
        self.data_root.join("state.db")
    }
}

impl Default for EngineConfig {
    fn default() -> Self {
        Self {
            data_root: DEFAULT_DATA_ROOT.into(),
            exec_root: DEFAULT_EXEC_ROOT.into(),
            bridge: "drua0".to_owned(),
            network_prefix: None,
            address_pools: Vec::new(),
            cgroup_parent: "/drua".to_owned(),
            registries: drua_registry::Settings::default(),
            shim: Path::new("/proc/self/exe").to_owned(),
        }
    }
}
