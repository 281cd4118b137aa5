//! Image configurations as they are found: strict ones, Docker's with its own fields, Wasm artifacts' that lack most.

use std::time::Duration;

use drua_types::Platform;
use oci_spec::image::ImageConfiguration;
use serde::Deserialize;
use serde_json::{Map, Value, json};

/// Docker's health check, `HEALTHCHECK` in a Dockerfile. Zero durations mean Docker's defaults and are `None` here.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Healthcheck {
    /// `["CMD", …]`, `["CMD-SHELL", command]`, `["NONE"]`, or empty to inherit.
    pub test: Vec<String>,
    /// Time between checks.
    pub interval: Option<Duration>,
    /// Time that one check may take.
    pub timeout: Option<Duration>,
    /// Time to start up, in which failures do not count.
    pub start_period: Option<Duration>,
    /// Time between checks while starting up.
    pub start_interval: Option<Duration>,
    /// Failures in a row that make a container unhealthy.
    pub retries: Option<u32>,
}

/// What Docker adds to OCI's image configuration.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DockerFields {
    /// The image's health check.
    pub healthcheck: Option<Healthcheck>,
    /// The shell of shell-form commands; empty for `/bin/sh -c`.
    pub shell: Vec<String>,
    /// Instructions for images built on this one.
    pub on_build: Vec<String>,
    /// The message of `docker commit` or `docker import`.
    pub comment: String,
    /// The engine that wrote the configuration.
    pub docker_version: String,
}

/// A configuration and what it says about the platform.
#[derive(Debug)]
pub(crate) struct ParsedConfig {
    pub(crate) configuration: ImageConfiguration,
    pub(crate) docker: DockerFields,
    pub(crate) platform: Platform,
}

/// Reads a configuration. Missing platform fields come from `fallback`; a missing rootfs is one without layers.
///
/// Wasm artifacts (`application/vnd.wasm.config.v0+json`), Spin's and OCI's empty configuration pass through here too.
pub(crate) fn parse(bytes: &[u8], fallback: &Platform) -> Result<ParsedConfig, serde_json::Error> {
    let mut fields: Map<String, Value> = serde_json::from_slice(bytes)?;
    // Go writes `null` for empty lists and maps; our types want them absent.
    fields.values_mut().for_each(drop_nulls);
    fields.retain(|_, value| !value.is_null());
    let mut default = |key: &str, value: Value| {
        if fields.get(key).is_none_or(|present| present == "") {
            fields.insert(key.to_owned(), value);
        }
    };
    default("os", json!(fallback.os()));
    default("architecture", json!(fallback.architecture()));
    default("rootfs", json!({}));
    if let Some(Value::Object(rootfs)) = fields.get_mut("rootfs") {
        rootfs.entry("type").or_insert(json!("layers"));
        rootfs.entry("diff_ids").or_insert(json!([]));
    }
    let docker = DockerWire::deserialize(Value::Object(fields.clone()))?.into();
    let mut configuration: ImageConfiguration = serde_json::from_value(Value::Object(fields))?;
    sort_maps(&mut configuration);
    let text = |value: &dyn std::fmt::Display| value.to_string();
    let platform = Platform::new(
        &text(configuration.os()),
        &text(configuration.architecture()),
        configuration.variant().as_deref(),
    );
    Ok(ParsedConfig { configuration, docker, platform })
}

fn drop_nulls(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            fields.values_mut().for_each(drop_nulls);
            fields.retain(|_, value| !value.is_null());
        }
        Value::Array(items) => items.iter_mut().for_each(drop_nulls),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// oci-spec reads Go's sets through a hash map; give them an order that stays.
fn sort_maps(configuration: &mut ImageConfiguration) {
    let Some(mut config) = configuration.config().clone() else { return };
    let sorted = |names: &Option<Vec<String>>| {
        let mut names = names.clone()?;
        names.sort();
        Some(names)
    };
    let (ports, volumes) = (sorted(config.exposed_ports()), sorted(config.volumes()));
    config.set_exposed_ports(ports).set_volumes(volumes);
    configuration.set_config(Some(config));
}

#[derive(Deserialize)]
struct DockerWire {
    #[serde(default)]
    config: DockerConfigWire,
    #[serde(default)]
    comment: String,
    #[serde(default)]
    docker_version: String,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct DockerConfigWire {
    healthcheck: Option<HealthcheckWire>,
    shell: Vec<String>,
    on_build: Vec<String>,
}

/// Durations are nanoseconds.
#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct HealthcheckWire {
    test: Vec<String>,
    interval: i64,
    timeout: i64,
    start_period: i64,
    start_interval: i64,
    retries: i64,
}

impl From<DockerWire> for DockerFields {
    fn from(wire: DockerWire) -> Self {
        let duration = |nanos: i64| u64::try_from(nanos).ok().filter(|n| *n > 0).map(Duration::from_nanos);
        let healthcheck = wire.config.healthcheck.map(|check| Healthcheck {
            interval: duration(check.interval),
            timeout: duration(check.timeout),
            start_period: duration(check.start_period),
            start_interval: duration(check.start_interval),
            retries: u32::try_from(check.retries).ok().filter(|retries| *retries > 0),
            test: check.test,
        });
        Self {
            healthcheck,
            shell: wire.config.shell,
            on_build: wire.config.on_build,
            comment: wire.comment,
            docker_version: wire.docker_version,
        }
    }
}
