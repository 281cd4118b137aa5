use serde::Serialize;

use super::device::DeviceRequest;
use super::value::{Bytes, Cpus, Duration, Extensions, Labels, omit};

/// Deployment. What only Swarm acts upon is kept for `config` and the hash.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Deploy {
    /// `replicated`, `global` and so on.
    #[serde(skip_serializing_if = "omit")]
    pub mode: Option<String>,
    /// How many containers.
    #[serde(skip_serializing_if = "omit")]
    pub replicas: Option<u32>,
    /// Labels of the Swarm service.
    #[serde(skip_serializing_if = "omit")]
    pub labels: Labels,
    /// How Swarm updates.
    #[serde(skip_serializing_if = "omit")]
    pub update_config: Option<UpdateConfig>,
    /// How Swarm rolls back.
    #[serde(skip_serializing_if = "omit")]
    pub rollback_config: Option<UpdateConfig>,
    /// Limits and reservations.
    pub resources: Resources,
    /// When containers are restarted.
    #[serde(skip_serializing_if = "omit")]
    pub restart_policy: Option<RestartPolicy>,
    /// Where Swarm runs it.
    pub placement: Placement,
    /// `vip` or `dnsrr`.
    #[serde(skip_serializing_if = "omit")]
    pub endpoint_mode: Option<String>,
    /// `x-` keys.
    #[serde(skip)]
    pub extensions: Extensions,
}

/// How Swarm updates or rolls back.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct UpdateConfig {
    /// How many at once.
    #[serde(skip_serializing_if = "omit")]
    pub parallelism: Option<u64>,
    /// Time between them.
    #[serde(skip_serializing_if = "omit")]
    pub delay: Option<Duration>,
    /// What follows a failure.
    #[serde(skip_serializing_if = "omit")]
    pub failure_action: Option<String>,
    /// How long a new one is watched.
    #[serde(skip_serializing_if = "omit")]
    pub monitor: Option<Duration>,
    /// Failures that are borne.
    #[serde(skip_serializing_if = "omit")]
    pub max_failure_ratio: Option<Cpus>,
    /// `start-first` or `stop-first`.
    #[serde(skip_serializing_if = "omit")]
    pub order: Option<String>,
}

/// Limits and reservations.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Resources {
    /// At most.
    #[serde(skip_serializing_if = "omit")]
    pub limits: Option<Resource>,
    /// At least.
    #[serde(skip_serializing_if = "omit")]
    pub reservations: Option<Resource>,
}

/// One side of [`Resources`].
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Resource {
    /// CPUs.
    #[serde(skip_serializing_if = "omit")]
    pub cpus: Option<Cpus>,
    /// Memory.
    #[serde(skip_serializing_if = "omit")]
    pub memory: Option<Bytes>,
    /// Processes.
    #[serde(skip_serializing_if = "omit")]
    pub pids: i64,
    /// Devices, by capability.
    #[serde(skip_serializing_if = "omit")]
    pub devices: Vec<DeviceRequest>,
    /// Swarm's own resources.
    #[serde(skip_serializing_if = "omit")]
    pub generic_resources: Vec<GenericResource>,
}

/// A resource that Swarm counts.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct GenericResource {
    /// What and how many.
    #[serde(skip_serializing_if = "omit")]
    pub discrete_resource_spec: Option<DiscreteResource>,
}

/// What and how many.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct DiscreteResource {
    /// For example `gpu`.
    pub kind: String,
    /// How many.
    pub value: i64,
}

/// When containers are restarted.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct RestartPolicy {
    /// `none`, `on-failure` or `any`.
    #[serde(skip_serializing_if = "omit")]
    pub condition: Option<String>,
    /// Time before a restart.
    #[serde(skip_serializing_if = "omit")]
    pub delay: Option<Duration>,
    /// How many times.
    #[serde(skip_serializing_if = "omit")]
    pub max_attempts: Option<u64>,
    /// How long until a restart counts as one that worked.
    #[serde(skip_serializing_if = "omit")]
    pub window: Option<Duration>,
}

/// Where Swarm runs it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Placement {
    /// Conditions on nodes.
    #[serde(skip_serializing_if = "omit")]
    pub constraints: Vec<String>,
    /// How to spread.
    #[serde(skip_serializing_if = "omit")]
    pub preferences: Vec<Preference>,
    /// At most so many on one node.
    #[serde(skip_serializing_if = "omit")]
    pub max_replicas_per_node: u64,
}

/// How to spread.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Preference {
    /// By this label.
    #[serde(skip_serializing_if = "omit")]
    pub spread: Option<String>,
}

/// Limits of block devices.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Blkio {
    /// Share of the block devices, 10–1000.
    #[serde(skip_serializing_if = "omit")]
    pub weight: u64,
    /// The share of single devices.
    #[serde(skip_serializing_if = "omit")]
    pub weight_device: Vec<WeightDevice>,
    /// Bytes read a second.
    #[serde(skip_serializing_if = "omit")]
    pub device_read_bps: Vec<ThrottleDevice>,
    /// Reads a second.
    #[serde(skip_serializing_if = "omit")]
    pub device_read_iops: Vec<ThrottleDevice>,
    /// Bytes written a second.
    #[serde(skip_serializing_if = "omit")]
    pub device_write_bps: Vec<ThrottleDevice>,
    /// Writes a second.
    #[serde(skip_serializing_if = "omit")]
    pub device_write_iops: Vec<ThrottleDevice>,
}

/// The share of a device. Its names in JSON are compose-go's.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct WeightDevice {
    /// The device.
    pub path: String,
    /// 10–1000.
    pub weight: u64,
}

/// The limit of a device. Its names in JSON are compose-go's.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct ThrottleDevice {
    /// The device.
    pub path: String,
    /// Bytes or operations a second.
    pub rate: Bytes,
}

/// Where containers log to.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Logging {
    /// The driver; the engine's default when absent.
    #[serde(skip_serializing_if = "omit")]
    pub driver: Option<String>,
    /// Its options.
    #[serde(skip_serializing_if = "omit")]
    pub options: Labels,
}

/// A program outside of the engine that is the service.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Provider {
    /// The program: a plugin of the docker CLI, or one on the path.
    #[serde(rename = "type")]
    pub kind: String,
    /// Its options.
    #[serde(skip_serializing_if = "omit")]
    pub options: std::collections::BTreeMap<String, Vec<String>>,
}

/// Credentials of a Windows container.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct CredentialSpec {
    /// A config.
    #[serde(skip_serializing_if = "omit")]
    pub config: Option<String>,
    /// A file.
    #[serde(skip_serializing_if = "omit")]
    pub file: Option<String>,
    /// A key of the registry.
    #[serde(skip_serializing_if = "omit")]
    pub registry: Option<String>,
}

/// A file with environment variables.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct EnvFile {
    /// Absolute.
    pub path: String,
    /// Whether it must be there.
    #[serde(skip_serializing_if = "Clone::clone")]
    pub required: bool,
    /// `raw`: values are taken as they are.
    #[serde(skip_serializing_if = "omit")]
    pub format: Option<String>,
}
