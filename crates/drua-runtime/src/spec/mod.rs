//! A container in drua's words, and its translation into an OCI runtime specification.
//!
//! [`ContainerSpec`] is plain data that the engine fills from an API request and an image; [`build`] is a pure function
//! that adds what Docker adds: 14 capabilities, masked and read-only paths, device nodes, `/proc`, `/sys`, `/dev/*`
//! mounts and the device allow list. What the host can do comes in as [`HostFacts`].
//!
//! Not here: resolving user names (see [`crate::users`]), choosing networks, reading images.

mod build;
mod capabilities;
mod devices;
mod host;
mod linux;
mod mounts;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::path::PathBuf;

use drua_types::{Classify, ErrorKind};

pub use build::build;
pub(crate) use capabilities::parse as parse_capability;
pub use capabilities::{Capability, DEFAULT_CAPABILITIES, InvalidCapability};
pub(crate) use devices::standard_rules as standard_device_rules;
pub use host::{CgroupLayout, HostFacts, ReadHostError};
pub use linux::resources;
pub use mounts::{DEFAULT_MASKED_PATHS, DEFAULT_READONLY_PATHS};

use crate::users::ResolvedUser;

/// `PATH` of a container whose image and request set none.
pub const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// Size of `/dev/shm` where nothing else is asked for: 64 MiB.
pub const DEFAULT_SHM_SIZE: u64 = 64 << 20;
/// The cgroup below which containers get theirs.
pub const DEFAULT_CGROUP_PARENT: &str = "/drua";

/// Everything that decides how a container's process is set up.
///
/// `None` and empty mean Docker's default throughout. Start from [`ContainerSpec::new`].
#[derive(Debug, Clone, PartialEq)]
pub struct ContainerSpec {
    /// The container's id: names its cgroup.
    pub id: String,
    /// Entrypoint and command, joined. Must not be empty.
    pub args: Vec<String>,
    /// `KEY=value`; `PATH`, `HOSTNAME`, `HOME` and, with a terminal, `TERM` are added where missing.
    pub env: Vec<String>,
    /// Absolute working directory; empty means `/`.
    pub cwd: String,
    /// Who runs it, already resolved against the container's passwd and group files.
    pub user: ResolvedUser,
    /// Allocate a pseudo-terminal.
    pub tty: bool,
    /// Absolute path of the root file system, or a path relative to the bundle. Default `rootfs`.
    pub rootfs: PathBuf,
    /// Mount the root file system read-only.
    pub readonly_rootfs: bool,
    /// Host name inside the UTS namespace; ignored when the host's is shared.
    pub hostname: Option<String>,
    /// NIS domain name.
    pub domainname: Option<String>,
    /// All capabilities, all devices, nothing masked, no seccomp.
    pub privileged: bool,
    /// Capabilities to add: `NET_ADMIN`, `CAP_NET_ADMIN`, any case, or `ALL`.
    pub cap_add: Vec<String>,
    /// Capabilities to drop, same spelling.
    pub cap_drop: Vec<String>,
    /// Paths to hide; `None` is Docker's list, an empty list hides nothing.
    pub masked_paths: Option<Vec<String>>,
    /// Paths to make read-only; `None` is Docker's list, an empty list none.
    pub readonly_paths: Option<Vec<String>>,
    /// Devices of the host to pass in.
    pub devices: Vec<DeviceMapping>,
    /// Extra device cgroup rules, for example `c 189:* rwm`.
    pub device_cgroup_rules: Vec<String>,
    /// Bind mounts, volumes and tmpfs, besides the standard ones. A mount on a standard destination replaces it.
    pub mounts: Vec<MountSpec>,
    /// Size of `/dev/shm` in bytes. Default [`DEFAULT_SHM_SIZE`].
    pub shm_size: Option<u64>,
    /// The network namespace.
    pub network: Namespace,
    /// The pid namespace.
    pub pid: Namespace,
    /// The IPC namespace. With [`Namespace::Host`] the host's `/dev/shm` and `/dev/mqueue` are mounted.
    pub ipc: Namespace,
    /// Where `/dev/shm` comes from.
    pub shm: Shm,
    /// The UTS namespace.
    pub uts: Namespace,
    /// The cgroup namespace. `None` is private, for privileged containers on cgroup v1 the host's, as Docker does.
    pub cgroupns: Option<Namespace>,
    /// Kernel parameters, for example `net.core.somaxconn`.
    pub sysctls: BTreeMap<String, String>,
    /// Resource limits of the process.
    pub ulimits: Vec<Ulimit>,
    /// Resource limits of the cgroup.
    pub resources: Resources,
    /// OOM score adjustment, −1000 to 1000.
    pub oom_score_adj: Option<i32>,
    /// Whether exec may never grant more rights (`--security-opt no-new-privileges`).
    pub no_new_privileges: bool,
    /// System call filter.
    pub seccomp: SeccompMode,
    /// Parent of the container's cgroup. Default [`DEFAULT_CGROUP_PARENT`].
    pub cgroup_parent: Option<String>,
    /// Annotations, passed on as they are.
    pub annotations: BTreeMap<String, String>,
}

impl ContainerSpec {
    /// A container with Docker's defaults that runs `args` as root.
    pub fn new(id: &str, args: Vec<String>) -> Self {
        Self {
            id: id.to_owned(),
            args,
            env: Vec::new(),
            cwd: String::new(),
            user: ResolvedUser::root(),
            tty: false,
            rootfs: PathBuf::from("rootfs"),
            readonly_rootfs: false,
            hostname: None,
            domainname: None,
            privileged: false,
            cap_add: Vec::new(),
            cap_drop: Vec::new(),
            masked_paths: None,
            readonly_paths: None,
            devices: Vec::new(),
            device_cgroup_rules: Vec::new(),
            mounts: Vec::new(),
            shm_size: None,
            network: Namespace::Private,
            pid: Namespace::Private,
            ipc: Namespace::Private,
            shm: Shm::Own,
            uts: Namespace::Private,
            cgroupns: None,
            sysctls: BTreeMap::new(),
            ulimits: Vec::new(),
            resources: Resources::default(),
            oom_score_adj: None,
            no_new_privileges: false,
            seccomp: SeccompMode::Default,
            cgroup_parent: None,
            annotations: BTreeMap::new(),
        }
    }

    /// The container's cgroup, absolute within each hierarchy: `<parent>/<id>`.
    pub fn cgroup_path(&self) -> PathBuf {
        let parent = self.cgroup_parent.as_deref().unwrap_or(DEFAULT_CGROUP_PARENT);
        PathBuf::from("/").join(parent.trim_start_matches('/')).join(&self.id)
    }
}

/// Where a container's `/dev/shm` comes from.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Shm {
    /// A tmpfs of its own.
    #[default]
    Own,
    /// There is none.
    None,
    /// A tmpfs of the host that several containers share.
    Shared(PathBuf),
}

/// Where a namespace comes from.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Namespace {
    /// A new one.
    #[default]
    Private,
    /// The host's (the shim's).
    Host,
    /// An existing one, by its path, for example `/run/drua/netns/…` or `/proc/<pid>/ns/ipc`.
    Path(PathBuf),
}

/// A mount inside the container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MountSpec {
    /// Absolute path inside the container.
    pub destination: String,
    /// What is mounted.
    pub source: MountSource,
    /// Mount it read-only.
    pub readonly: bool,
    /// Further mount options as in fstab, for example `nosuid` or, for tmpfs, `mode=1777`.
    pub options: Vec<String>,
}

/// What is mounted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MountSource {
    /// A directory or file of the host: bind mounts and volumes alike.
    Bind {
        /// Absolute path on the host; must exist.
        source: PathBuf,
        /// Propagation of mounts between host and container.
        propagation: Propagation,
        /// With everything mounted below it.
        recursive: bool,
    },
    /// A fresh tmpfs.
    Tmpfs {
        /// Its size in bytes; the kernel's default is half the memory.
        size: Option<u64>,
    },
    /// Unpacked layers of an image, merged by overlayfs and always read-only.
    Image {
        /// Absolute paths of directories, topmost first; at least two, which is what overlayfs needs without an upper one.
        lowers: Vec<PathBuf>,
    },
}

/// Mount propagation, by its name in fstab.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Propagation {
    /// `rprivate`, Docker's default.
    #[default]
    RPrivate,
    /// `private`.
    Private,
    /// `rshared`.
    RShared,
    /// `shared`.
    Shared,
    /// `rslave`.
    RSlave,
    /// `slave`.
    Slave,
}

impl Propagation {
    /// The mount option.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::RPrivate => "rprivate",
            Self::Private => "private",
            Self::RShared => "rshared",
            Self::Shared => "shared",
            Self::RSlave => "rslave",
            Self::Slave => "slave",
        }
    }
}

/// A device of the host inside the container. The engine has looked up type and numbers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeviceMapping {
    /// Path inside the container, below `/dev`.
    pub path: PathBuf,
    /// Block or character device.
    pub kind: DeviceKind,
    /// Major number.
    pub major: i64,
    /// Minor number.
    pub minor: i64,
    /// Permission bits of the node.
    pub file_mode: u32,
    /// Owner of the node.
    pub uid: u32,
    /// Group of the node.
    pub gid: u32,
    /// What the device cgroup allows: any of `r`, `w` and `m`.
    pub access: String,
}

/// Block or character.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeviceKind {
    /// A block device.
    Block,
    /// A character device.
    Char,
}

/// One resource limit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ulimit {
    /// Docker's name without the prefix: `nofile`, `nproc`, `core` …
    pub name: String,
    /// Soft limit; −1 is unlimited.
    pub soft: i64,
    /// Hard limit; −1 is unlimited.
    pub hard: i64,
}

/// Limits of the cgroup, in Docker's words. `None` is unlimited.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Resources {
    /// Memory limit in bytes.
    pub memory: Option<i64>,
    /// Soft memory limit in bytes.
    pub memory_reservation: Option<i64>,
    /// Memory plus swap in bytes; −1 is unlimited swap. Default twice the memory, as Docker does.
    pub memory_swap: Option<i64>,
    /// Do not kill on out of memory (cgroup v1 only).
    pub oom_kill_disable: bool,
    /// Relative CPU weight, 2–262144, 1024 is normal.
    pub cpu_shares: Option<u64>,
    /// CPU quota in µs per period.
    pub cpu_quota: Option<i64>,
    /// CPU period in µs.
    pub cpu_period: Option<u64>,
    /// CPUs in units of 10⁻⁹; excludes quota and period.
    pub nano_cpus: Option<u64>,
    /// CPUs to run on: `0-3`, `0,1`.
    pub cpuset_cpus: Option<String>,
    /// Memory nodes: `0-1`.
    pub cpuset_mems: Option<String>,
    /// Number of processes and threads.
    pub pids_limit: Option<i64>,
    /// Block I/O weight, 10–1000.
    pub blkio_weight: Option<u16>,
    /// Weights of single devices: major, minor, weight.
    pub blkio_weight_devices: Vec<(i64, i64, u16)>,
    /// Limits of single devices (major, minor, limit): bytes a second read and written, operations a second read and
    /// written.
    pub blkio_throttle: [Vec<(i64, i64, u64)>; 4],
    /// Tendency to swap, 0–100 (cgroup v1 only).
    pub memory_swappiness: Option<u64>,
    /// Real-time scheduling period in µs (cgroup v1 only).
    pub cpu_rt_period: Option<u64>,
    /// Real-time scheduling time a period in µs (cgroup v1 only).
    pub cpu_rt_runtime: Option<i64>,
}

/// Which system calls are allowed.
#[derive(Debug, Clone, PartialEq, Default)]
pub enum SeccompMode {
    /// Docker's profile for the container's capabilities; none when privileged.
    #[default]
    Default,
    /// Everything.
    Unconfined,
    /// A profile in Docker's JSON format, as its text.
    Custom(String),
}

/// A [`ContainerSpec`] that cannot be carried out.
#[derive(Debug, thiserror::Error)]
pub enum SpecError {
    /// There is nothing to run.
    #[error("no command specified")]
    NoCommand,
    /// A capability that no kernel knows.
    #[error("invalid capability in container specification")]
    Capability(#[from] InvalidCapability),
    /// A device cgroup rule that is not `<a|b|c> <major|*>:<minor|*> <rwm>`.
    #[error("invalid device cgroup rule format: '{0}'")]
    DeviceRule(String),
    /// A resource limit that no kernel knows.
    #[error("invalid ulimit type: {0}")]
    Ulimit(String),
    /// The custom seccomp profile cannot be used.
    #[error("cannot use the seccomp profile")]
    Seccomp(#[from] crate::seccomp::ProfileError),
    /// A path that has to be absolute is not.
    #[error("{what} `{path}` is not an absolute path")]
    NotAbsolute {
        /// Which path.
        what: &'static str,
        /// Its value.
        path: String,
    },
    /// `NanoCpus` together with a quota or a period.
    #[error("conflicting options: nano CPUs and CPU quota or period cannot both be set")]
    CpuConflict,
}

impl Classify for SpecError {
    fn kind(&self) -> ErrorKind {
        ErrorKind::Invalid
    }
}
