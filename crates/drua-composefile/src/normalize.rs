//! Fills in what the file leaves out: names, the default network, environment values. Drops what no service uses.

use std::collections::{BTreeMap, BTreeSet};

use crate::decode::{Decoded, DecodedService, EnvFile, Places};
use crate::diagnostic::Report;
use crate::dotenv;
use crate::environment::Environment;
use crate::loader::{Loader, reason};
use crate::model::{Project, Service};
use crate::names::{ProjectName, ServiceName};

/// The network of services that name none.
const DEFAULT_NETWORK: &str = "default";

/// What normalising needs besides the file.
pub(crate) struct Context<'a> {
    pub(crate) name: ProjectName,
    pub(crate) environment: &'a Environment,
    /// The project folder; files below it are shown by their relative path.
    pub(crate) base: &'a std::path::Path,
    /// Profiles that are on; `*` is all of them.
    pub(crate) profiles: BTreeSet<String>,
    pub(crate) loader: &'a dyn Loader,
}

/// Makes a project of a decoded file; its paths are the caller's to fill in.
pub(crate) fn normalize(decoded: Decoded, cx: &Context<'_>, report: &mut Report) -> (Project, Places) {
    let Decoded { services: all, mut networks, mut volumes, places, .. } = decoded;
    let mut services = BTreeMap::new();
    let mut disabled = BTreeSet::new();
    for (name, decoded) in all {
        if is_enabled(&decoded.service, &cx.profiles) {
            services.insert(name, complete(decoded, cx, report));
        } else {
            disabled.insert(name);
        }
    }
    drop_optional_dependencies(&mut services, &disabled);
    if services.values().any(|service| service.networks.contains_key(DEFAULT_NETWORK)) {
        networks.entry(DEFAULT_NETWORK.to_owned()).or_default();
    }
    for (key, network) in networks.iter_mut().filter(|(_, network)| network.name.is_empty()) {
        network.name = full_name(&cx.name, key, network.external);
    }
    for (key, volume) in volumes.iter_mut().filter(|(_, volume)| volume.name.is_empty()) {
        volume.name = full_name(&cx.name, key, volume.external);
    }
    let project = Project {
        name: cx.name.clone(),
        working_dir: Default::default(),
        config_files: Vec::new(),
        environment_files: Vec::new(),
        services,
        disabled,
        networks,
        volumes,
    };
    (project, places)
}

fn is_enabled(service: &Service, profiles: &BTreeSet<String>) -> bool {
    service.profiles.is_empty()
        || profiles.contains("*")
        || service.profiles.iter().any(|profile| profiles.contains(profile))
}

fn complete(decoded: DecodedService, cx: &Context<'_>, report: &mut Report) -> Service {
    let DecodedService { mut service, env_files } = decoded;
    let mut environment = BTreeMap::new();
    for file in &env_files {
        environment.extend(read_env_file(file, cx, report).into_iter().map(|(name, value)| (name, Some(value))));
    }
    for (name, value) in service.environment {
        // A name without a value passes the variable through; when it is not set here, it hides `env_file`'s as well.
        let value = value.or_else(|| cx.environment.get(&name).map(str::to_owned));
        environment.insert(name, value);
    }
    service.environment = environment;
    if service.networks.is_empty() && service.network_mode.is_none() {
        service.networks.insert(DEFAULT_NETWORK.to_owned(), None);
    }
    service
}

fn read_env_file(file: &EnvFile, cx: &Context<'_>, report: &mut Report) -> BTreeMap<String, String> {
    let bytes = match cx.loader.read(&file.path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound && !file.required => return BTreeMap::new(),
        Err(error) => {
            let why = reason(&error);
            report.error(file.span, format!("cannot read env_file `{}`: {why}", file.path.display()));
            return BTreeMap::new();
        }
    };
    let Ok(text) = String::from_utf8(bytes) else {
        report.error(file.span, format!("env_file `{}` is not UTF-8 text", file.path.display()));
        return BTreeMap::new();
    };
    if file.raw {
        return raw_lines(&text);
    }
    let number = report.add_file(file.path.strip_prefix(cx.base).unwrap_or(&file.path), &text);
    dotenv::parse(number, &text, &|name| cx.environment.get(name).map(str::to_owned), report)
}

/// `format: raw`: everything after the first `=` is the value.
fn raw_lines(text: &str) -> BTreeMap<String, String> {
    let lines = text.lines().filter(|line| !line.trim_start().starts_with('#'));
    let pairs = lines.filter_map(|line| line.split_once('='));
    pairs.map(|(name, value)| (name.trim().to_owned(), value.to_owned())).collect()
}

/// `required: false` onto a disabled service means nothing.
fn drop_optional_dependencies(services: &mut BTreeMap<ServiceName, Service>, disabled: &BTreeSet<ServiceName>) {
    for service in services.values_mut() {
        service.depends_on.retain(|name, dependency| dependency.required || !disabled.contains(name));
    }
}

/// Drops networks and volumes that no active service uses; they are neither created nor shown.
pub(crate) fn drop_unused(project: &mut Project) {
    let services = &project.services;
    let networks: BTreeSet<&str> =
        services.values().flat_map(|service| service.networks.keys().map(String::as_str)).collect();
    let mounts = services.values().flat_map(|service| &service.volumes);
    let volumes: BTreeSet<&str> = mounts.filter_map(|mount| mount.source.as_deref()).collect();
    project.networks.retain(|key, _| networks.contains(key.as_str()));
    project.volumes.retain(|key, _| volumes.contains(key.as_str()));
}

fn full_name(project: &ProjectName, key: &str, external: bool) -> String {
    if external { key.to_owned() } else { format!("{project}_{key}") }
}
