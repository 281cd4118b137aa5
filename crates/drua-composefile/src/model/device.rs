use serde::Serialize;

use super::value::{Labels, omit};

/// A device of the host in the container.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Device {
    /// The host's path, or a CDI name.
    pub source: String,
    /// The container's path.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub target: String,
    /// `rwm` or a part of it.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub permissions: String,
}

/// Devices asked for by capability.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct DeviceRequest {
    /// What they must be able to do.
    #[serde(skip_serializing_if = "omit")]
    pub capabilities: Vec<String>,
    /// Whose they are.
    #[serde(skip_serializing_if = "omit")]
    pub driver: Option<String>,
    /// How many; −1 is all.
    #[serde(skip_serializing_if = "omit")]
    pub count: i64,
    /// Which ones.
    #[serde(skip_serializing_if = "omit")]
    pub device_ids: Vec<String>,
    /// The driver's options.
    #[serde(skip_serializing_if = "omit")]
    pub options: Labels,
}
