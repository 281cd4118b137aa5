use std::collections::BTreeMap;

use serde::Serialize;

use super::value::{Bytes, Extensions, Labels, is_false};

/// A volume of the project.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Volume {
    /// The engine's name of it, `<project>_<key>` unless given.
    pub name: String,
    /// The driver; the engine's default when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub driver: Option<String>,
    /// Options of the driver.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub driver_opts: Labels,
    /// It exists already and is not ours to create or remove.
    #[serde(skip_serializing_if = "is_false")]
    pub external: bool,
    /// Labels.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: Labels,
    /// `x-` keys.
    #[serde(skip)]
    pub extensions: Extensions,
}

/// What kind of thing is mounted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum MountKind {
    /// A path of the host.
    Bind,
    /// A named volume, or an anonymous one when there is no source.
    Volume,
    /// Memory.
    Tmpfs,
    /// What an image contains.
    Image,
    /// A pipe of Windows.
    #[serde(rename = "npipe")]
    NamedPipe,
    /// A volume of a Swarm.
    Cluster,
}

/// Something mounted into a service's containers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Mount {
    /// What kind of thing is mounted.
    #[serde(rename = "type")]
    pub kind: MountKind,
    /// An absolute path, or the key of a volume.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// The path in the container.
    pub target: String,
    /// Mounted read-only.
    #[serde(skip_serializing_if = "is_false")]
    pub read_only: bool,
    /// Accepted and without meaning on Linux.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub consistency: Option<String>,
    /// Options of a bind mount.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bind: Option<BindOptions>,
    /// Options of a volume.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub volume: Option<VolumeOptions>,
    /// Options of a tmpfs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tmpfs: Option<TmpfsOptions>,
    /// Options of an image mount.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub image: Option<ImageOptions>,
}

/// Options of an image mount.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct ImageOptions {
    /// Mount this path within the image.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subpath: Option<String>,
}

/// Options of a bind mount.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct BindOptions {
    /// `z` or `Z`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub selinux: Option<String>,
    /// One of `[r]private`, `[r]shared`, `[r]slave`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub propagation: Option<String>,
    /// A missing source is created as a folder. Default true.
    #[serde(skip_serializing_if = "Clone::clone")]
    pub create_host_path: bool,
    /// `enabled`, `disabled`, `writable` or `readonly`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub recursive: Option<String>,
}

impl Default for BindOptions {
    fn default() -> Self {
        Self { selinux: None, propagation: None, create_host_path: true, recursive: None }
    }
}

/// Options of a mounted volume.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct VolumeOptions {
    /// Labels of an anonymous volume.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: Labels,
    /// An empty volume is not filled with what the image has at the target.
    #[serde(skip_serializing_if = "is_false")]
    pub nocopy: bool,
    /// Mount this path within the volume.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subpath: Option<String>,
}

/// Options of a tmpfs.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct TmpfsOptions {
    /// Its largest size.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub size: Option<Bytes>,
    /// Permission bits.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mode: Option<u32>,
}
