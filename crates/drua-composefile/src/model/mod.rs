//! The normalised project: long forms, absolute paths, full names.
//!
//! Serialisation is Compose's canonical JSON. The order of fields in [`Service`] and below is compose-go's, since Docker
//! Compose hashes a service in that order.

mod build;
mod deploy;
mod device;
mod file;
mod network;
mod service;
mod storage;
mod value;

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::Serialize;

pub use build::{Build, Develop, Hook, SshKey, WatchAction, WatchRule};
pub use deploy::{
    Blkio, CredentialSpec, Deploy, DiscreteResource, EnvFile, GenericResource, Logging, Placement, Preference,
    Provider, Resource, Resources, RestartPolicy, ThrottleDevice, UpdateConfig, WeightDevice,
};
pub use device::{Device, DeviceRequest};
pub use file::{FileObject, FileReference, Model, ModelUse};
pub use network::{Ipam, IpamPool, Network, PortMapping, ServiceNetwork};
pub use service::{
    Command, Condition, Dependency, Environment, ExtraHosts, Healthcheck, NetworkMode, Restart, Service, Ulimit,
};
pub use storage::{BindOptions, ImageOptions, Mount, MountKind, TmpfsOptions, Volume, VolumeOptions};
pub use value::{Bytes, Cpus, Duration, Extensions, FileMode, Labels};

use crate::names::{ProjectName, ServiceName};

/// A complete project.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Project {
    /// The project's name.
    pub name: ProjectName,
    /// The folder that relative paths are relative to.
    #[serde(skip)]
    pub working_dir: PathBuf,
    /// The compose files it was read from, absolute.
    #[serde(skip)]
    pub config_files: Vec<PathBuf>,
    /// The `.env` files that were read.
    #[serde(skip)]
    pub environment_files: Vec<PathBuf>,
    /// Active services.
    pub services: BTreeMap<ServiceName, Service>,
    /// Services that no active profile enables.
    #[serde(skip)]
    pub disabled: BTreeMap<ServiceName, Service>,
    /// Networks that active services use, by key.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub networks: BTreeMap<String, Network>,
    /// Volumes that active services use, by key.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub volumes: BTreeMap<String, Volume>,
    /// Secrets that active services use, by key.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub secrets: BTreeMap<String, FileObject>,
    /// Configs that active services use, by key.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub configs: BTreeMap<String, FileObject>,
    /// Models that active services use, by key.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub models: BTreeMap<String, Model>,
    /// `x-` keys.
    #[serde(skip)]
    pub extensions: Extensions,
    /// The variables that interpolation sees: the process environment over `.env`.
    #[serde(skip)]
    pub environment: BTreeMap<String, String>,
}
