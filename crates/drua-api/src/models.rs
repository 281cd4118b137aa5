//! Docker's wire types: `bollard-stubs`' generated ones, and our own where those do not fit API 1.50.
//!
//! The generated types follow API 1.53, a superset with these differences that matter to us:
//! - `EventMessage` has neither the legacy `status`, `id`, `from` nor tolerance for new types: use [`Event`].
//! - `SystemDataUsageResponse` is the 1.52 shape: use [`DiskUsage`].
//! - `NetworkSettings` lacks the legacy top-level fields (`Bridge`, `IPAddress`, `Gateway`, …) which clients below 1.52
//!   may read: use [`LegacyNetworkSettings`] on top of it.
//! - Options are skipped when `None`; where a client indexes a field (docker-py: `HostConfig.LogConfig.Type`), fill it.

use std::collections::BTreeMap;

pub use bollard_stubs::models::*;
use serde::{Deserialize, Serialize};

/// One entry of `GET /events`, as API 1.50 has it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// Legacy copy of the action, for containers and images.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub status: String,
    /// Legacy copy of the actor's id, for containers and images.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub id: String,
    /// Legacy: the image that a container was made from.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub from: String,
    /// `container`, `image`, `network`, `volume`, `daemon`, …
    #[serde(rename = "Type")]
    pub kind: String,
    /// `create`, `start`, `die`, …
    #[serde(rename = "Action")]
    pub action: String,
    /// What it happened to.
    #[serde(rename = "Actor")]
    pub actor: Actor,
    /// `local` or `swarm`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub scope: String,
    /// Seconds since the epoch.
    #[serde(default)]
    pub time: i64,
    /// Nanoseconds since the epoch.
    #[serde(default, rename = "timeNano")]
    pub time_nano: i64,
}

/// What an [`Event`] happened to.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Actor {
    /// The object's id (a volume's name).
    #[serde(rename = "ID", default)]
    pub id: String,
    /// Labels, names, exit codes.
    #[serde(rename = "Attributes", default)]
    pub attributes: BTreeMap<String, String>,
}

/// `GET /system/df`, as API 1.50 has it.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct DiskUsage {
    /// Bytes of all image layers, each counted once.
    pub layers_size: i64,
    /// All images, with their number of containers.
    pub images: Option<Vec<ImageSummary>>,
    /// All containers, with their sizes.
    pub containers: Option<Vec<ContainerSummary>>,
    /// All volumes, with their usage.
    pub volumes: Option<Vec<Volume>>,
    /// Build cache records.
    pub build_cache: Option<Vec<BuildCache>>,
}

/// A container's `NetworkSettings` with the top-level fields that API 1.52 dropped; they describe the default bridge.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct LegacyNetworkSettings {
    /// The name of the default bridge's interface.
    #[serde(rename = "Bridge")]
    pub bridge: String,
    /// Always false.
    #[serde(rename = "HairpinMode")]
    pub hairpin_mode: bool,
    /// Endpoint on the default bridge.
    #[serde(rename = "EndpointID")]
    pub endpoint_id: String,
    /// Gateway on the default bridge.
    #[serde(rename = "Gateway")]
    pub gateway: String,
    /// Address on the default bridge, without its prefix length.
    #[serde(rename = "IPAddress")]
    pub ip_address: String,
    /// Prefix length on the default bridge.
    #[serde(rename = "IPPrefixLen")]
    pub ip_prefix_len: i64,
    /// MAC address on the default bridge.
    #[serde(rename = "MacAddress")]
    pub mac_address: String,
    /// The present fields.
    #[serde(flatten)]
    pub current: NetworkSettings,
}

/// One object of a progress stream (`POST /images/create`, `/images/load`, `/build`).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Progress {
    /// The layer or tag that the line is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// What is being done.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<String>,
    /// A ready-made progress bar.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub progress: Option<String>,
    /// Text to print as it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stream: Option<String>,
    /// Why it failed; the last object of the stream then.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// What is for programs: what was pushed, what was built.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub aux: Option<serde_json::Value>,
    /// How far it is.
    #[serde(rename = "progressDetail", skip_serializing_if = "Option::is_none")]
    pub progress_detail: Option<ProgressAmount>,
}

/// How far a [`Progress`] is, in bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ProgressAmount {
    /// Done so far.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub current: Option<i64>,
    /// In all, where known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub total: Option<i64>,
}

/// The answer to `POST /auth`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct LoginAnswer {
    /// `Login Succeeded`.
    pub status: String,
    /// To be kept instead of the password, where it is not empty.
    pub identity_token: Option<String>,
}
