//! What a client asks of a container, in the engine's own words. Also part of the record on disk.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use drua_types::{ByteSize, ContainerId, Port, Signal};
use serde::{Deserialize, Serialize};

/// What runs in the container.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Config {
    /// The image as the client named it.
    pub image: String,
    /// Host name; default the id's first 12 digits.
    pub hostname: String,
    /// NIS domain name.
    pub domainname: String,
    /// `user[:group]`, names or numbers; empty is root.
    pub user: String,
    /// Attach flags, kept for inspect.
    pub attach: [bool; 3],
    /// Whether there is a pseudo terminal.
    pub tty: bool,
    /// Whether stdin stays open while nobody is attached.
    pub open_stdin: bool,
    /// Whether the first client that closes its end closes the container's stdin.
    pub stdin_once: bool,
    /// `KEY=value`, without duplicates.
    pub env: Vec<String>,
    /// Arguments, or the whole command without an entrypoint.
    pub cmd: Vec<String>,
    /// Entrypoint.
    pub entrypoint: Vec<String>,
    /// Absolute working directory; empty is `/`.
    pub working_dir: String,
    /// Labels of image and container.
    pub labels: BTreeMap<String, String>,
    /// Ports that the image or client exposes.
    pub exposed_ports: BTreeSet<Port>,
    /// Paths that get an anonymous volume.
    pub volumes: BTreeSet<String>,
    /// What `stop` sends first; default SIGTERM.
    pub stop_signal: Option<Signal>,
    /// How long `stop` waits before SIGKILL; default 10 s.
    pub stop_timeout: Option<i64>,
    /// Health check, kept for inspect.
    pub healthcheck: Option<HealthCheck>,
    /// Shell form's shell, kept for inspect.
    pub shell: Vec<String>,
    /// Commands for the next build, kept for inspect.
    pub on_build: Vec<String>,
}

/// How to find out whether a container is well.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct HealthCheck {
    /// `["NONE"]`, `["CMD", …]` or `["CMD-SHELL", line]`; empty inherits.
    pub test: Vec<String>,
    /// Time between probes; zero is 30 s.
    pub interval: Duration,
    /// Time a probe may take; zero is 30 s.
    pub timeout: Duration,
    /// Time in which failures do not count.
    pub start_period: Duration,
    /// Time between probes in the start period; zero is 5 s.
    pub start_interval: Duration,
    /// Failures in a row that mean unhealthy; zero is 3.
    pub retries: u32,
}

/// Which network namespace a container gets.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum NetworkMode {
    /// A namespace of its own on the default bridge.
    #[default]
    Default,
    /// A namespace of its own with loopback only.
    None,
    /// The host's.
    Host,
    /// That of another container.
    Container(ContainerId),
    /// A namespace of its own on a network, by name or id.
    Named(String),
}

/// A namespace that can be private or shared.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum NsMode {
    /// Its own.
    #[default]
    Private,
    /// The host's.
    Host,
    /// That of another container.
    Container(ContainerId),
}

/// Who shares System V IPC and /dev/shm with a container.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum IpcMode {
    /// Nobody.
    #[default]
    Private,
    /// Nobody yet; others may join.
    Shareable,
    /// Nobody, and there is no /dev/shm.
    None,
    /// The host.
    Host,
    /// Another container, which is shareable.
    Container(ContainerId),
}

/// What happens after the process ended.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum RestartPolicy {
    /// Nothing.
    #[default]
    No,
    /// Restart, also after a restart of the daemon.
    Always,
    /// As always, unless the user stopped it.
    UnlessStopped,
    /// Restart after a non-zero exit, at most so often (0: no limit).
    OnFailure(u32),
}

/// What is mounted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum MountKind {
    /// A path of the host.
    Bind,
    /// A volume.
    Volume,
    /// Memory.
    Tmpfs,
    /// The root filesystem of an image, to be read.
    Image,
}

/// How far a read-only bind mount is read-only.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum ReadOnlyDepth {
    /// With everything mounted below, where the kernel can (Linux 5.12).
    #[default]
    Recursive,
    /// Itself only.
    Top,
}

/// A volume's driver as a mount names it, for a volume that is made by the way.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct VolumeSpec {
    /// Driver; empty is `local`.
    pub driver: String,
    /// Its options.
    pub options: BTreeMap<String, String>,
    /// Labels of the volume.
    pub labels: BTreeMap<String, String>,
}

/// A mount as the client asked for it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MountRequest {
    /// What to mount.
    pub kind: MountKind,
    /// Host path (bind), volume name (volume; `None` makes an anonymous one), image (image).
    pub source: Option<String>,
    /// Absolute path in the container.
    pub destination: PathBuf,
    /// Whether the container may only read.
    pub read_only: bool,
    /// Bind propagation; empty is `rprivate`.
    pub propagation: String,
    /// Whether a missing bind source is created as a directory (`-v`) or an error (`--mount`).
    pub create_source: bool,
    /// Whether an empty volume is left empty.
    pub no_copy: bool,
    /// Path within the volume or image.
    pub subpath: Option<PathBuf>,
    /// Options of a tmpfs (`size=64m`, `mode=1777`).
    pub tmpfs_options: Vec<String>,
    /// As given, for inspect.
    pub mode: String,
    /// Whether a bind leaves out what is mounted below its source.
    #[serde(default)]
    pub non_recursive: bool,
    /// How far a read-only bind goes.
    #[serde(default)]
    pub read_only_depth: ReadOnlyDepth,
    /// How a missing volume is made.
    #[serde(default)]
    pub volume: VolumeSpec,
}

impl MountRequest {
    /// A mount of a kind with Docker's defaults.
    pub fn new(kind: MountKind, source: Option<String>, destination: PathBuf) -> Self {
        Self {
            kind,
            source,
            destination,
            read_only: false,
            propagation: String::new(),
            create_source: true,
            no_copy: false,
            subpath: None,
            tmpfs_options: Vec::new(),
            mode: String::new(),
            non_recursive: false,
            read_only_depth: ReadOnlyDepth::default(),
            volume: VolumeSpec::default(),
        }
    }

    /// An anonymous volume.
    pub fn volume(destination: PathBuf) -> Self {
        Self::new(MountKind::Volume, None, destination)
    }
}

/// A port as the client wants it published.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PublishRequest {
    /// The container's port.
    pub port: Port,
    /// Address on the host; `None` is every address.
    pub host_ip: Option<IpAddr>,
    /// First and last acceptable host port; 0 is any free one.
    pub host_ports: (u16, u16),
}

/// Which system calls are allowed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Seccomp {
    /// Docker's default profile.
    #[default]
    Default,
    /// All of them.
    Unconfined,
    /// A profile in Docker's JSON format.
    Custom(String),
}

/// Limits. `None` is unlimited or the kernel's default.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Resources {
    /// Bytes of memory.
    pub memory: Option<i64>,
    /// Soft limit, bytes.
    pub memory_reservation: Option<i64>,
    /// Memory and swap together, bytes; -1 is unlimited swap.
    pub memory_swap: Option<i64>,
    /// CPU quota in billionths of a CPU.
    pub nano_cpus: Option<i64>,
    /// Relative weight; the default is 1024.
    pub cpu_shares: Option<u64>,
    /// CFS period in microseconds.
    pub cpu_period: Option<u64>,
    /// CFS quota in microseconds a period.
    pub cpu_quota: Option<i64>,
    /// CPUs it may run on (`0-2,4`).
    pub cpuset_cpus: String,
    /// Memory nodes it may use.
    pub cpuset_mems: String,
    /// Number of processes and threads.
    pub pids: Option<i64>,
    /// Block I/O weight, 10–1000.
    pub blkio_weight: Option<u16>,
    /// Weights of single devices.
    pub blkio_weight_devices: Vec<DeviceLimit>,
    /// Limits of single devices: bytes a second read and written, operations a second read and written.
    pub blkio_throttle: [Vec<DeviceLimit>; 4],
    /// Tendency to swap, 0–100 (cgroup v1 only).
    pub memory_swappiness: Option<u64>,
    /// Real-time scheduling period in microseconds (cgroup v1 only).
    pub cpu_rt_period: Option<u64>,
    /// Real-time scheduling time a period in microseconds (cgroup v1 only).
    pub cpu_rt_runtime: Option<i64>,
    /// Whether processes wait instead of being killed when memory is out (cgroup v1 only).
    pub oom_kill_disable: bool,
}

/// A number for one block device.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeviceLimit {
    /// The device's path on the host.
    pub path: PathBuf,
    /// Weight, bytes or operations a second.
    pub limit: u64,
}

/// A resource limit (`setrlimit(2)`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ulimit {
    /// Name without `RLIMIT_`, lower case, for example `nofile`.
    pub name: String,
    /// Soft limit; -1 is unlimited.
    pub soft: i64,
    /// Hard limit; -1 is unlimited.
    pub hard: i64,
}

/// A device of the host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Device {
    /// Path on the host.
    pub host_path: PathBuf,
    /// Path in the container.
    pub container_path: PathBuf,
    /// Of `r`, `w`, `m`.
    pub permissions: String,
}

/// Where a container's output is kept.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum LogDriver {
    /// JSON lines, rotated.
    #[default]
    JsonFile,
    /// Accepted under this name; the same files as `json-file`.
    Local,
    /// Nowhere.
    None,
}

/// Log driver and its limits.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogConfig {
    /// Driver.
    pub driver: LogDriver,
    /// Size at which a file is rotated. Default 20 MiB: unbounded logs fill disks (moby#16297).
    pub max_size: ByteSize,
    /// Number of files kept. Default 5.
    pub max_file: u32,
    /// The other options as given: what they add to records is known when the container starts.
    #[serde(default)]
    pub options: BTreeMap<String, String>,
}

impl Default for LogConfig {
    fn default() -> Self {
        Self { driver: LogDriver::default(), max_size: ByteSize(20 << 20), max_file: 5, options: BTreeMap::new() }
    }
}

/// How the container runs on this host.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct HostConfig {
    /// Network namespace.
    pub network_mode: NetworkMode,
    /// Mounts from `-v`, `--mount` and `--tmpfs`.
    pub mounts: Vec<MountRequest>,
    /// Containers whose mounts it gets too (`name[:ro|rw]`).
    pub volumes_from: Vec<String>,
    /// Ports to publish.
    pub publish: Vec<PublishRequest>,
    /// Whether every exposed port is published on a free one.
    pub publish_all: bool,
    /// Restart policy.
    pub restart: RestartPolicy,
    /// Whether it is removed when its process ends.
    pub auto_remove: bool,
    /// Whether it gets all capabilities and devices and no confinement.
    pub privileged: bool,
    /// Capabilities added to the default ones, without `CAP_`; `ALL`.
    pub cap_add: Vec<String>,
    /// Capabilities taken away; `ALL`.
    pub cap_drop: Vec<String>,
    /// Whether the root filesystem is read-only.
    pub readonly_rootfs: bool,
    /// Paths made invisible; `None` is the default set.
    pub masked_paths: Option<Vec<String>>,
    /// Paths made read-only; `None` is the default set.
    pub readonly_paths: Option<Vec<String>>,
    /// System-call filter.
    pub seccomp: Seccomp,
    /// Whether exec cannot gain privileges.
    pub no_new_privileges: bool,
    /// Limits of the cgroup.
    pub resources: Resources,
    /// Limits of the process.
    pub ulimits: Vec<Ulimit>,
    /// Kernel parameters of its namespaces.
    pub sysctls: BTreeMap<String, String>,
    /// Size of /dev/shm in bytes; `None` is 64 MiB.
    pub shm_size: Option<u64>,
    /// Name servers; empty is the embedded one or the host's.
    pub dns: Vec<IpAddr>,
    /// Search domains.
    pub dns_search: Vec<String>,
    /// Resolver options.
    pub dns_options: Vec<String>,
    /// `host:address` lines for /etc/hosts; `host-gateway` is the gateway's address.
    pub extra_hosts: Vec<String>,
    /// Whether drua's own init runs as PID 1.
    pub init: bool,
    /// Runtime name as given; empty is the default.
    pub runtime: String,
    /// Log driver.
    pub log: LogConfig,
    /// PID namespace.
    pub pid_mode: NsMode,
    /// IPC namespace.
    pub ipc_mode: IpcMode,
    /// Whether it shares the host's UTS namespace.
    pub uts_host: bool,
    /// Whether it shares the host's cgroup namespace.
    pub cgroupns_host: bool,
    /// Devices.
    pub devices: Vec<Device>,
    /// Device access besides (`c 189:* rwm`).
    pub device_cgroup_rules: Vec<String>,
    /// Out-of-memory score adjustment, -1000–1000.
    pub oom_score_adj: Option<i32>,
    /// Additional groups, names or numbers.
    pub group_add: Vec<String>,
    /// Parent of the container's cgroup; empty is the daemon's.
    pub cgroup_parent: String,
    /// Annotations for the runtime.
    pub annotations: BTreeMap<String, String>,
    /// Driver of volumes that `-v` makes; empty is `local`.
    pub volume_driver: String,
    /// Legacy links on the default network: `container[:alias]`.
    pub links: Vec<String>,
}
