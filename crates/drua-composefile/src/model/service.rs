use std::collections::BTreeMap;
use std::fmt;

use serde::ser::SerializeMap as _;
use serde::{Serialize, Serializer};

use super::build::{Build, Develop, Hook};
use super::deploy::{Blkio, CredentialSpec, Deploy, EnvFile, Logging, Provider};
use super::device::{Device, DeviceRequest};
use super::file::{FileReference, ModelUse};
use super::network::{PortMapping, ServiceNetwork};
use super::storage::Mount;
use super::value::{Bytes, Cpus, Duration, Extensions, Labels, Omit, is_false, omit};
use crate::names::{ProjectName, ServiceName};

/// Environment variables; `None` passes nothing, for a variable that was to be passed through and is not set.
pub type Environment = BTreeMap<String, Option<String>>;

/// A command as a list of words; `None` is the image's, an empty list is none at all.
pub type Command = Option<Vec<String>>;

/// A service. Attributes are in compose-go's order (see the module documentation of `model`).
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Service {
    /// Profiles that enable it; always enabled when empty.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub profiles: Vec<String>,
    /// Annotations of the runtime specification.
    #[serde(skip_serializing_if = "omit")]
    pub annotations: Labels,
    /// Whether `up` in the foreground shows its output. Default true.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub attach: Option<bool>,
    /// How its image is built.
    #[serde(skip_serializing_if = "omit")]
    pub build: Option<Build>,
    /// What happens during development.
    #[serde(skip_serializing_if = "omit")]
    pub develop: Option<Develop>,
    /// Limits of block devices.
    #[serde(skip_serializing_if = "omit")]
    pub blkio_config: Option<Blkio>,
    /// Capabilities to add.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub cap_add: Vec<String>,
    /// Capabilities to drop.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub cap_drop: Vec<String>,
    /// The cgroup below which the container's own is made.
    #[serde(skip_serializing_if = "omit")]
    pub cgroup_parent: Option<String>,
    /// Cgroup namespace, `host` or `private`.
    #[serde(skip_serializing_if = "omit")]
    pub cgroup: Option<String>,
    /// Number of CPUs (Windows).
    #[serde(skip_serializing_if = "omit")]
    pub cpu_count: i64,
    /// Percentage of the CPUs (Windows).
    #[serde(skip_serializing_if = "omit")]
    pub cpu_percent: Option<Cpus>,
    /// Period of the CPU quota, in microseconds.
    #[serde(skip_serializing_if = "omit")]
    pub cpu_period: i64,
    /// CPU time within a period, in microseconds.
    #[serde(skip_serializing_if = "omit")]
    pub cpu_quota: i64,
    /// Period of real-time scheduling, in microseconds.
    #[serde(skip_serializing_if = "omit")]
    pub cpu_rt_period: i64,
    /// Real-time within a period, in microseconds.
    #[serde(skip_serializing_if = "omit")]
    pub cpu_rt_runtime: i64,
    /// CPU limit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpus: Option<Cpus>,
    /// The CPUs that it may run on, `0-3`.
    #[serde(skip_serializing_if = "omit")]
    pub cpuset: Option<String>,
    /// Weight beside other containers.
    #[serde(skip_serializing_if = "omit")]
    pub cpu_shares: i64,
    /// Replaces the image's CMD.
    pub command: Command,
    /// Configs by key.
    #[serde(skip_serializing_if = "omit")]
    pub configs: Vec<FileReference>,
    /// A fixed container name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub container_name: Option<String>,
    /// Credentials (Windows).
    #[serde(skip_serializing_if = "omit")]
    pub credential_spec: Option<CredentialSpec>,
    /// What has to be there before it.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub depends_on: BTreeMap<ServiceName, Dependency>,
    /// Deployment.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deploy: Option<Deploy>,
    /// Rules of the device cgroup.
    #[serde(skip_serializing_if = "omit")]
    pub device_cgroup_rules: Vec<String>,
    /// Devices of the host.
    #[serde(skip_serializing_if = "omit")]
    pub devices: Vec<Device>,
    /// Name servers.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub dns: Vec<String>,
    /// Resolver options.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub dns_opt: Vec<String>,
    /// Search domains.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub dns_search: Vec<String>,
    /// Domain name.
    #[serde(rename = "domainname", skip_serializing_if = "Option::is_none")]
    pub domain_name: Option<String>,
    /// Replaces the image's ENTRYPOINT.
    pub entrypoint: Command,
    /// A program that is the service, instead of containers.
    #[serde(skip_serializing_if = "omit")]
    pub provider: Option<Provider>,
    /// Environment, `env_file` included.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub environment: Environment,
    /// Environment files; empty once they have been read.
    #[serde(skip_serializing_if = "omit")]
    pub env_file: Vec<EnvFile>,
    /// Ports that are open to other services, `80`, `80-82/udp`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub expose: Vec<String>,
    /// Containers outside of the project, `name[:alias]`.
    #[serde(skip_serializing_if = "omit")]
    pub external_links: Vec<String>,
    /// Further lines of `/etc/hosts`.
    #[serde(skip_serializing_if = "ExtraHosts::is_empty")]
    pub extra_hosts: ExtraHosts,
    /// Further groups.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub group_add: Vec<String>,
    /// GPUs.
    #[serde(skip_serializing_if = "omit")]
    pub gpus: Vec<DeviceRequest>,
    /// Host name; the container's short id when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hostname: Option<String>,
    /// Replaces the image's HEALTHCHECK.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub healthcheck: Option<Healthcheck>,
    /// The image; parses as a [`drua_types::ImageRef`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub image: Option<String>,
    /// Run an init as PID 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub init: Option<bool>,
    /// IPC namespace: `shareable`, `host`, `service:x` and so on.
    #[serde(skip_serializing_if = "omit")]
    pub ipc: Option<String>,
    /// Isolation (Windows).
    #[serde(skip_serializing_if = "omit")]
    pub isolation: Option<String>,
    /// Labels of the containers.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: Labels,
    /// Files that labels were read from.
    #[serde(skip_serializing_if = "omit")]
    pub label_file: Vec<String>,
    /// Services that it reaches by other names, `service[:alias]`.
    #[serde(skip_serializing_if = "omit")]
    pub links: Vec<String>,
    /// Where its containers log to.
    #[serde(skip_serializing_if = "omit")]
    pub logging: Option<Logging>,
    /// Memory limit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mem_limit: Option<Bytes>,
    /// Soft memory limit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mem_reservation: Option<Bytes>,
    /// Memory and swap together; −1 is unlimited.
    #[serde(skip_serializing_if = "omit")]
    pub memswap_limit: Option<Bytes>,
    /// How eagerly its memory is swapped out, 0–100.
    #[serde(skip_serializing_if = "omit")]
    pub mem_swappiness: Option<Bytes>,
    /// A fixed hardware address.
    #[serde(skip_serializing_if = "omit")]
    pub mac_address: Option<String>,
    /// AI models by key.
    #[serde(skip_serializing_if = "omit")]
    pub models: BTreeMap<String, Option<ModelUse>>,
    /// A network namespace other than that of a network.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub network_mode: Option<NetworkMode>,
    /// Networks by key.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub networks: BTreeMap<String, Option<ServiceNetwork>>,
    /// The kernel does not kill it for want of memory.
    #[serde(skip_serializing_if = "omit")]
    pub oom_kill_disable: bool,
    /// How likely the kernel kills it, −1000–1000.
    #[serde(skip_serializing_if = "omit")]
    pub oom_score_adj: i64,
    /// PID namespace: `host`, `service:x`, `container:x`.
    #[serde(skip_serializing_if = "omit")]
    pub pid: Option<String>,
    /// Process limit; −1 is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pids_limit: Option<i64>,
    /// Platform of the image, `wasi/wasm`; parses as a [`drua_types::Platform`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub platform: Option<String>,
    /// Published ports.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub ports: Vec<PortMapping>,
    /// Everything allowed.
    #[serde(skip_serializing_if = "is_false")]
    pub privileged: bool,
    /// `missing` or `never`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pull_policy: Option<String>,
    /// When `pull_policy: refresh` pulls again.
    #[serde(skip_serializing_if = "omit")]
    pub pull_refresh_after: Option<String>,
    /// The root file system is read-only.
    #[serde(skip_serializing_if = "is_false")]
    pub read_only: bool,
    /// Restart policy.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub restart: Option<Restart>,
    /// Runtime, passed to the engine as it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub runtime: Option<String>,
    /// How many containers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scale: Option<u32>,
    /// Secrets by key.
    #[serde(skip_serializing_if = "omit")]
    pub secrets: Vec<FileReference>,
    /// Security options.
    #[serde(skip_serializing_if = "omit")]
    pub security_opt: Vec<String>,
    /// Size of `/dev/shm`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shm_size: Option<Bytes>,
    /// Keep stdin open.
    #[serde(skip_serializing_if = "is_false")]
    pub stdin_open: bool,
    /// How long stopping waits before it kills; 10 seconds when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stop_grace_period: Option<Duration>,
    /// The signal that asks it to stop; parses as a [`drua_types::Signal`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stop_signal: Option<String>,
    /// Options of the storage driver.
    #[serde(skip_serializing_if = "omit")]
    pub storage_opt: Labels,
    /// Kernel parameters.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub sysctls: Labels,
    /// Mounted memory, `/path[:options]`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tmpfs: Vec<String>,
    /// Allocate a terminal.
    #[serde(skip_serializing_if = "is_false")]
    pub tty: bool,
    /// Resource limits of processes.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub ulimits: BTreeMap<String, Ulimit>,
    /// The container may talk to the engine.
    #[serde(skip_serializing_if = "omit")]
    pub use_api_socket: bool,
    /// `user[:group]`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// User namespace, `host`.
    #[serde(skip_serializing_if = "omit")]
    pub userns_mode: Option<String>,
    /// UTS namespace, `host`.
    #[serde(skip_serializing_if = "omit")]
    pub uts: Option<String>,
    /// Mounts.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub volumes: Vec<Mount>,
    /// Services and `container:`s whose mounts it takes over.
    #[serde(skip_serializing_if = "omit")]
    pub volumes_from: Vec<String>,
    /// Working directory.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub working_dir: Option<String>,
    /// Steps that run to their end in containers of their own before a container starts.
    #[serde(skip_serializing_if = "omit")]
    pub pre_start: Vec<Hook>,
    /// Commands in a container that has started.
    #[serde(skip_serializing_if = "omit")]
    pub post_start: Vec<Hook>,
    /// Commands in a container that is about to be stopped.
    #[serde(skip_serializing_if = "omit")]
    pub pre_stop: Vec<Hook>,
    /// `x-` keys.
    #[serde(skip)]
    pub extensions: Extensions,
}

impl Service {
    /// Its image; where it names none, the one that is built for it.
    pub fn image_name(&self, project: &ProjectName, name: &ServiceName) -> String {
        self.image.clone().unwrap_or_else(|| format!("{project}-{name}"))
    }

    /// How many containers are wanted: `scale`, else `deploy.replicas`, else one.
    pub fn replicas(&self) -> u32 {
        self.scale.or(self.deploy.as_ref().and_then(|deploy| deploy.replicas)).unwrap_or(1)
    }

    /// Keys of its networks in the order they are attached: highest priority first, then by name.
    pub fn networks_by_priority(&self) -> Vec<&str> {
        let priority =
            |key: &str| self.networks.get(key).and_then(Option::as_ref).map_or(0, |network| network.priority);
        let mut keys: Vec<&str> = self.networks.keys().map(String::as_str).collect();
        keys.sort_by_key(|key| (std::cmp::Reverse(priority(key)), *key));
        keys
    }
}

/// What must have become of a dependency.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub enum Condition {
    /// Its containers have been started.
    #[serde(rename = "service_started")]
    Started,
    /// Its containers are healthy.
    #[serde(rename = "service_healthy")]
    Healthy,
    /// Its containers have exited with status 0.
    #[serde(rename = "service_completed_successfully")]
    CompletedSuccessfully,
}

impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Started => "service_started",
            Self::Healthy => "service_healthy",
            Self::CompletedSuccessfully => "service_completed_successfully",
        })
    }
}

/// A dependency on another service.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Dependency {
    /// What it waits for.
    pub condition: Condition,
    /// Restart when the dependency is recreated or restarted.
    #[serde(skip_serializing_if = "is_false")]
    pub restart: bool,
    /// When false, a missing or failing dependency is only warned about.
    pub required: bool,
}

/// Addresses by host name; serialises as a list of `host=address`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ExtraHosts(pub BTreeMap<String, Vec<String>>);

impl ExtraHosts {
    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Every pair of host and address.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0
            .iter()
            .flat_map(|(host, addresses)| addresses.iter().map(move |address| (host.as_str(), address.as_str())))
    }
}

impl Omit for ExtraHosts {
    fn is_omitted(&self) -> bool {
        self.0.is_empty()
    }
}

impl Serialize for ExtraHosts {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut list: Vec<String> = self.iter().map(|(host, address)| format!("{host}={address}")).collect();
        list.sort();
        serializer.collect_seq(list)
    }
}

/// How the engine finds out whether a container is healthy.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Healthcheck {
    /// `["CMD", …]`, `["CMD-SHELL", command]` or `["NONE"]`; the image's when empty.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub test: Vec<String>,
    /// How long one check may take.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timeout: Option<Duration>,
    /// Time between checks.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub interval: Option<Duration>,
    /// How many failures in a row make it unhealthy.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retries: Option<u64>,
    /// Failures in this time after the start do not count.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub start_period: Option<Duration>,
    /// Time between checks in the start period.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub start_interval: Option<Duration>,
    /// Switches the image's check off.
    #[serde(skip_serializing_if = "is_false")]
    pub disable: bool,
}

/// A network namespace other than that of a network of the project; serialises as it was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NetworkMode {
    /// Loopback only.
    None,
    /// The host's.
    Host,
    /// The engine's default bridge.
    Bridge,
    /// That of another service's container.
    Service(ServiceName),
    /// That of another container.
    Container(String),
    /// A network of the engine by its name.
    Named(String),
}

impl fmt::Display for NetworkMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => f.write_str("none"),
            Self::Host => f.write_str("host"),
            Self::Bridge => f.write_str("bridge"),
            Self::Service(name) => write!(f, "service:{name}"),
            Self::Container(name) => write!(f, "container:{name}"),
            Self::Named(name) => f.write_str(name),
        }
    }
}

impl Serialize for NetworkMode {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// When the engine restarts a container.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Restart {
    /// Never.
    No,
    /// Whenever it stops.
    Always,
    /// When it fails, at most so many times.
    OnFailure(Option<u32>),
    /// Whenever it stops by itself.
    UnlessStopped,
}

impl fmt::Display for Restart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::No => f.write_str("no"),
            Self::Always => f.write_str("always"),
            Self::OnFailure(None) => f.write_str("on-failure"),
            Self::OnFailure(Some(times)) => write!(f, "on-failure:{times}"),
            Self::UnlessStopped => f.write_str("unless-stopped"),
        }
    }
}

impl Serialize for Restart {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// A limit of `setrlimit(2)`; −1 is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ulimit {
    /// Soft and hard alike.
    Single(i64),
    /// Each on its own.
    Range {
        /// What processes start with.
        soft: i64,
        /// What they may raise it to.
        hard: i64,
    },
}

impl Serialize for Ulimit {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match *self {
            Self::Single(limit) => serializer.serialize_i64(limit),
            Self::Range { soft, hard } => {
                let mut map = serializer.serialize_map(Some(2))?;
                map.serialize_entry("soft", &soft)?;
                map.serialize_entry("hard", &hard)?;
                map.end()
            }
        }
    }
}
