//! Fills in what the file leaves out: names, the default network, environment values. Drops what no service uses.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use crate::decode::{Decoded, Places};
use crate::diagnostic::{Report, Span};
use crate::dotenv;
use crate::environment::Environment;
use crate::loader::{Loader, reason};
use crate::model::{Condition, Dependency, EnvFile, MountKind, Project, Service};
use crate::names::{ProjectName, ServiceName};

/// The network of services that name none.
const DEFAULT_NETWORK: &str = "default";

/// What normalising needs besides the file.
pub(crate) struct Context<'a> {
    pub(crate) name: ProjectName,
    pub(crate) environment: &'a Environment,
    /// The project folder; files below it are shown by their relative path.
    pub(crate) base: &'a Path,
    /// Profiles that are on; `*` is all of them.
    pub(crate) profiles: BTreeSet<String>,
    pub(crate) loader: &'a dyn Loader,
    pub(crate) read_env_files: bool,
    pub(crate) resolve_paths: bool,
}

/// Makes a project of decoded files; its paths are the caller's to fill in.
pub(crate) fn normalize(decoded: Decoded, cx: &Context<'_>, report: &mut Report) -> (Project, Places) {
    let Decoded {
        services: all, mut networks, mut volumes, mut secrets, mut configs, models, extensions, places, ..
    } = decoded;
    let mut services = BTreeMap::new();
    let mut disabled = BTreeMap::new();
    let mut uses_default = false;
    for (name, mut service) in all {
        imply(&mut service, cx);
        uses_default |= service.networks.contains_key(DEFAULT_NETWORK);
        if is_enabled(&service, &cx.profiles) {
            services.insert(name.clone(), complete(&name, service, cx, &places, report));
        } else {
            disabled.insert(name, service);
        }
    }
    if uses_default {
        networks.entry(DEFAULT_NETWORK.to_owned()).or_default();
    }
    for (key, network) in networks.iter_mut().filter(|(_, network)| network.name.is_empty()) {
        network.name = full_name(&cx.name, key, network.external);
    }
    for (key, volume) in volumes.iter_mut().filter(|(_, volume)| volume.name.is_empty()) {
        volume.name = full_name(&cx.name, key, volume.external);
    }
    for (key, file) in secrets.iter_mut().chain(&mut configs) {
        if file.name.is_empty() {
            file.name = full_name(&cx.name, key, file.external);
        }
        file.value = file.environment.as_deref().and_then(|name| cx.environment.get(name)).map(str::to_owned);
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
        secrets,
        configs,
        models,
        extensions,
        environment: BTreeMap::new(),
    };
    (project, places)
}

fn is_enabled(service: &Service, profiles: &BTreeSet<String>) -> bool {
    service.profiles.is_empty()
        || profiles.contains("*")
        || service.profiles.iter().any(|profile| profiles.contains(profile))
}

/// Adds what follows from other attributes.
fn imply(service: &mut Service, cx: &Context<'_>) {
    if let Some(build) = &mut service.build {
        let here = || if cx.resolve_paths { cx.base.to_string_lossy().into_owned() } else { ".".to_owned() };
        build.context.get_or_insert_with(here);
        if build.dockerfile.is_none() && build.dockerfile_inline.is_none() {
            build.dockerfile = Some("Dockerfile".to_owned());
        }
    }
    if service.networks.is_empty() && service.network_mode.is_none() && service.provider.is_none() {
        service.networks.insert(DEFAULT_NETWORK.to_owned(), None);
    }
    // Docker Compose makes the two agree, and hashes and prints what comes of it.
    if let (Some(scale), Some(deploy)) = (service.scale, &mut service.deploy) {
        deploy.replicas.get_or_insert(scale);
    }
    let depend = |restart| Dependency { condition: Condition::Started, restart, required: true };
    let mut implied = Vec::new();
    for link in &service.links {
        implied.push((link.split(':').next().unwrap_or_default().to_owned(), depend(true)));
    }
    let mode = service.network_mode.as_ref().map(ToString::to_string);
    for namespace in [&mode, &service.ipc, &service.pid, &service.uts, &service.cgroup].into_iter().flatten() {
        implied.extend(namespace.strip_prefix("service:").map(|name| (name.to_owned(), depend(true))));
    }
    for source in service.volumes_from.iter().filter(|source| !source.starts_with("container:")) {
        implied.push((source.split(':').next().unwrap_or_default().to_owned(), depend(false)));
    }
    for (name, dependency) in implied {
        if let Ok(name) = name.parse::<ServiceName>() {
            service.depends_on.entry(name).or_insert(dependency);
        }
    }
    if let Some(image) = &service.image {
        for step in service.pre_start.iter_mut().filter(|step| step.image.is_none()) {
            step.image = Some(image.clone());
        }
    }
}

/// Reads what is in other files, and resolves what is passed through.
fn complete(
    name: &ServiceName,
    mut service: Service,
    cx: &Context<'_>,
    places: &Places,
    report: &mut Report,
) -> Service {
    if let Some(build) = &mut service.build {
        let args = std::mem::take(&mut build.args).into_iter();
        let resolved = args.map(|(name, value)| {
            let value = value.or_else(|| cx.environment.get(&name).map(str::to_owned));
            (name, value)
        });
        build.args = resolved.filter(|(_, value)| value.is_some()).collect();
    }
    for (name, value) in service.environment.iter_mut().filter(|(_, value)| value.is_none()) {
        // When it is not set here, it hides `env_file`'s as well.
        *value = cx.environment.get(name).map(str::to_owned);
    }
    if !cx.read_env_files {
        return service;
    }
    let mut labels = BTreeMap::new();
    for path in &service.label_file {
        let at = places.get(&format!("services.{name}.label_file"));
        let file = EnvFile { path: path.clone(), required: true, format: None };
        let outer = |name: &str| cx.environment.get(name).map(str::to_owned);
        labels.extend(read_env_file(&file, "label_file", at, &outer, cx, report));
    }
    labels.extend(std::mem::take(&mut service.labels));
    service.labels = labels;

    let mut environment: BTreeMap<String, Option<String>> = BTreeMap::new();
    for file in std::mem::take(&mut service.env_file) {
        let at = places.get(&format!("services.{name}.env_file#{}", file.path));
        let outer = |name: &str| {
            let own = || service.environment.get(name).cloned().flatten();
            let earlier = || environment.get(name).cloned().flatten();
            cx.environment.get(name).map(str::to_owned).or_else(own).or_else(earlier)
        };
        let values = read_env_file(&file, "env_file", at, &outer, cx, report);
        environment.extend(values.into_iter().map(|(name, value)| (name, Some(value))));
    }
    environment.extend(std::mem::take(&mut service.environment));
    service.environment = environment;
    service
}

fn read_env_file(
    file: &EnvFile,
    what: &str,
    at: Span,
    outer: &dyn Fn(&str) -> Option<String>,
    cx: &Context<'_>,
    report: &mut Report,
) -> BTreeMap<String, String> {
    let path = Path::new(&file.path);
    let bytes = match cx.loader.read(path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound && !file.required => return BTreeMap::new(),
        Err(error) => {
            let why = reason(&error);
            report.error(at, format!("cannot read {what} `{}`: {why}", file.path));
            return BTreeMap::new();
        }
    };
    let Ok(text) = String::from_utf8(bytes) else {
        report.error(at, format!("{what} `{}` is not UTF-8 text", file.path));
        return BTreeMap::new();
    };
    if file.format.is_some() {
        return raw_lines(&text);
    }
    let number = report.add_file(path.strip_prefix(cx.base).unwrap_or(path), &text);
    dotenv::parse(number, &text, outer, report)
}

/// `format: raw`: everything after the first `=` is the value.
fn raw_lines(text: &str) -> BTreeMap<String, String> {
    let lines = text.lines().filter(|line| !line.trim_start().starts_with('#'));
    let pairs = lines.filter_map(|line| line.split_once('='));
    pairs.map(|(name, value)| (name.trim().to_owned(), value.to_owned())).collect()
}

impl Project {
    /// Drops networks, volumes and so on that no active service uses.
    pub fn drop_unused(&mut self) {
        drop_unused(self);
    }
}

/// Drops networks, volumes and so on that no active service uses; they are neither created nor shown.
pub(crate) fn drop_unused(project: &mut Project) {
    let services: Vec<&Service> = project.services.values().collect();
    let set = |keys: Vec<&str>| keys.into_iter().map(str::to_owned).collect::<BTreeSet<String>>();
    let networks = set(services.iter().flat_map(|service| service.networks.keys().map(String::as_str)).collect());
    let volumes = set(services
        .iter()
        .flat_map(|service| &service.volumes)
        .filter(|mount| mount.kind == MountKind::Volume)
        .filter_map(|mount| mount.source.as_deref())
        .collect());
    let of_builds = services.iter().filter_map(|service| service.build.as_ref()).flat_map(|build| &build.secrets);
    let of_services = services.iter().flat_map(|service| &service.secrets);
    let secrets = set(of_builds.chain(of_services).filter_map(|reference| reference.source.as_deref()).collect());
    let of_services = services.iter().flat_map(|service| &service.configs);
    let configs = set(of_services.filter_map(|reference| reference.source.as_deref()).collect());
    let models = set(services.iter().flat_map(|service| service.models.keys().map(String::as_str)).collect());
    project.networks.retain(|key, _| networks.contains(key));
    project.volumes.retain(|key, _| volumes.contains(key));
    project.secrets.retain(|key, _| secrets.contains(key));
    project.configs.retain(|key, _| configs.contains(key));
    project.models.retain(|key, _| models.contains(key));
}

fn full_name(project: &ProjectName, key: &str, external: bool) -> String {
    if external { key.to_owned() } else { format!("{project}_{key}") }
}
