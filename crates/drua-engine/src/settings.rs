use std::collections::BTreeMap;

use crate::container::Ulimit;
use crate::runtimes::Runtime;

/// What a daemon takes where a container says nothing, and what it says about itself. May change while it runs.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Settings {
    /// Labels of the daemon, `key=value`, for `docker info`.
    pub labels: Vec<String>,
    /// Whether it logs everything.
    pub debug: bool,
    /// Log driver of containers that name none; empty is `json-file`.
    pub log_driver: String,
    /// Options of that driver.
    pub log_options: BTreeMap<String, String>,
    /// Runtime of containers that name none; empty is drua's own.
    pub default_runtime: String,
    /// Runtimes besides drua's own, by name.
    pub runtimes: BTreeMap<String, Runtime>,
    /// Limits of processes that containers do not set themselves.
    pub ulimits: Vec<Ulimit>,
    /// Bytes of /dev/shm.
    pub shm_size: Option<u64>,
    /// Whether containers run with an init.
    pub init: bool,
    /// Whether `--ipc` is `shareable` where a container says nothing.
    pub ipc_shareable: bool,
    /// Whether `--cgroupns` is `host` where a container says nothing.
    pub cgroupns_host: bool,
    /// Name servers of containers that name none.
    pub dns: Vec<String>,
    /// Resolver options, the same way.
    pub dns_options: Vec<String>,
    /// Search domains, the same way.
    pub dns_search: Vec<String>,
    /// Registries that may be asked without TLS, as hosts or networks.
    pub insecure_registries: Vec<String>,
    /// Registries to ask before Docker Hub.
    pub registry_mirrors: Vec<String>,
}
