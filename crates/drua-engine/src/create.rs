//! Creating a container: merge with the image's configuration, resolve mounts, choose the hull, remember.

use std::collections::BTreeMap;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use drua_store::{Image, Lease};
use drua_types::wasm::{self, ImageFacts};
use drua_types::{ContainerId, ContainerName, Flavor, Platform, Port};
use jiff::Timestamp;

use crate::container::{
    Config, Container, HealthCheck, HostConfig, Hull, IpcMode, MountKind, MountPoint, MountRequest, NetworkMode, State,
};
use crate::container::{actor, health};
use crate::engine::{Engine, Shared};
use crate::events::Scope;
use crate::network::{EndpointRequest, PREDEFINED};
use crate::runtimes::{self, Choice};
use crate::volume::CreateVolume;
use crate::{Error, Result, blocking, names};

/// How many random names are tried before the short id becomes the name.
const NAME_TRIES: usize = 6;
/// The search path of a container whose image sets none, as Docker's.
const DEFAULT_PATH: &str = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// Docker's lower bound; less does not even start a shell.
const MIN_MEMORY_BYTES: i64 = 6 << 20;

/// What to create.
#[derive(Debug, Clone, Default)]
pub struct CreateContainer {
    /// Its name; `None` makes one up.
    pub name: Option<String>,
    /// Which of the image's platforms.
    pub platform: Option<Platform>,
    /// What to run. `None` for lists that the client left out: the image's are taken.
    pub config: Config,
    /// Whether the client gave an entrypoint, even an empty one, which also drops the image's command.
    pub entrypoint_given: bool,
    /// How to run it.
    pub host: HostConfig,
    /// The client's `HostConfig`, for inspect.
    pub echo: serde_json::Value,
    /// What it wants of each network, by the name the client used.
    pub networks: BTreeMap<String, EndpointRequest>,
    /// What the client should know already, before [`Created::warnings`] of the engine's own.
    pub warnings: Vec<String>,
}

/// A container was created.
#[derive(Debug, Clone)]
pub struct Created {
    /// Its id.
    pub id: ContainerId,
    /// What the client should know.
    pub warnings: Vec<String>,
}

impl Engine {
    /// Creates a container.
    ///
    /// # Errors
    /// The image's [`drua_store::LookupError`] (the only cause of "not found": clients then pull);
    /// [`Error::NameInUse`]; [`Error::Invalid`] for contradictions in the request; [`Error::BindSourceMissing`].
    pub async fn create(&self, request: CreateContainer) -> Result<Created> {
        blocking::beside(drua_runtime::cgroup::expect_joins);
        let shared = self.shared.clone();
        // The leases go after the container can be seen as the images' user.
        let (container, warnings, _leases) = blocking::run(move || create(&shared, request)).await?;
        let id = container.id.clone();
        self.shared.events.publish(Scope::Container, "create", id.as_str(), container.event_attributes());
        let handle = actor::spawn(self.shared.clone(), container, None);
        self.shared.registry.insert(id.clone(), handle);
        Ok(Created { id, warnings })
    }
}

fn create(shared: &Arc<Shared>, request: CreateContainer) -> Result<(Container, Vec<String>, Vec<Lease>)> {
    if request.config.image.is_empty() {
        return Err(Error::NoImage);
    }
    let (image, lease) = shared.store.acquire(&request.config.image, request.platform.as_ref())?;
    let mut warnings = request.warnings;
    if request.platform.is_none() && !image.platform.runs_here() {
        warnings.push(format!(
            "The requested image's platform ({}) does not match the detected host platform ({}) and no specific platform was requested",
            image.platform,
            Platform::host()
        ));
    }
    let mut config = merge(request.config, request.entrypoint_given, &image);
    let hull = choose_hull(shared, &request.host, &image, &config)?;
    check(&config, &request.host)?;
    check_ipc(shared, &request.host.ipc_mode)?;
    config.healthcheck = health::merge(config.healthcheck.take(), image.docker.healthcheck.as_ref().map(own_check));
    let check = health::Check::parse(&config);
    if matches!(hull, Hull::Wasm(_)) && check.is_some_and(|check| check.into_question().is_none()) {
        let warning = "A WebAssembly container has no other processes, so its health check cannot be run and it has no health status. Make the check a URL: --health-cmd http://localhost:8080/, or tcp://localhost:8080.";
        warnings.push(warning.to_owned());
    }
    let layers = shared.store.layers(&image).map_err(Error::image("unpack the image"))?;
    let id = ContainerId::random();
    if config.hostname.is_empty() {
        config.hostname = match request.host.network_mode {
            NetworkMode::Host => hostname(),
            _ => id.short().to_owned(),
        };
    }
    let requests = network_requests(shared, &request.host.network_mode, request.networks)?;
    let name = take_name(shared, request.name.as_deref(), &id)?;
    let undo = Undo { shared, name: &name, dir: shared.config.container_dir(&id), armed: true };
    let mut leases = vec![lease];
    let mounts = resolve_mounts(shared, &config, &request.host, &layers, &mut leases)?;
    make_dirs(&undo.dir)?;
    let container = Container {
        id,
        name: name.clone(),
        created: Timestamp::now(),
        image: image.id.clone(),
        manifest: image.manifest_digest.clone(),
        platform: image.platform.clone(),
        hull,
        config,
        host: request.host,
        echo: request.echo,
        wasm_module: image.wasm_module.clone(),
        mounts,
        requests,
        endpoints: BTreeMap::new(),
        published: Vec::new(),
        layers,
        state: State::default(),
        restart_count: 0,
        manually_stopped: false,
        health: None,
        exits: 0,
        removed: false,
    };
    shared.save(&container)?;
    undo.disarm();
    Ok((container, warnings, leases))
}

/// Gives the name back and removes the directory unless creation succeeded.
struct Undo<'a> {
    shared: &'a Shared,
    name: &'a ContainerName,
    dir: PathBuf,
    armed: bool,
}

impl Undo<'_> {
    fn disarm(mut self) {
        self.armed = false;
    }
}

impl Drop for Undo<'_> {
    fn drop(&mut self) {
        if self.armed {
            self.shared.registry.release(self.name);
            // Nothing is there yet, or only empty directories.
            let _ = fs_err::remove_dir_all(&self.dir);
        }
    }
}

/// Rules 1–4 of the recognition order (ARCHITECTURE.md); rule 5, the file's magic, is the shim's. `config` is the merged one.
fn choose_hull(shared: &Shared, host: &HostConfig, image: &Image, config: &Config) -> Result<Hull> {
    let runtime = host.runtime.as_str();
    let asked = match runtimes::choose(runtime, &shared.settings().runtimes)? {
        Choice::Foreign(_) if host.init => {
            let message = format!("the runtime {runtime} has no init: leave out --init, or use the runtime drua");
            return Err(Error::Invalid(message));
        }
        // An explicit Linux runtime: the user knows better than the image.
        Choice::Foreign(_) => return Ok(Hull::Linux),
        Choice::Own(None) if !matches!(runtime, "" | "drua") => return Ok(Hull::Linux),
        Choice::Own(asked) => asked,
    };
    fn pairs(map: &BTreeMap<String, String>) -> Vec<(&str, &str)> {
        map.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect()
    }
    let layer_media_types: Vec<&str> = image.layers.iter().map(|layer| layer.media_type.as_str()).collect();
    let flavor = wasm::detect(&ImageFacts {
        runtime: asked,
        config_media_type: Some(&image.config_media_type),
        layer_media_types: &layer_media_types,
        platform: Some(&image.platform),
        annotations: &pairs(&image.annotations),
        labels: &pairs(&config.labels),
        entrypoint: config.entrypoint.iter().chain(&config.cmd).map(String::as_str).next(),
    });
    match flavor {
        Some(flavor @ (Flavor::Spin | Flavor::Slight)) => {
            Err(Error::Unsupported(format!("the runtime {}", flavor.runtime_name())))
        }
        Some(flavor) => Ok(Hull::Wasm(flavor)),
        None => Ok(Hull::Linux),
    }
}

/// The client's configuration over the image's (moby daemon/commit.go `merge`).
fn merge(mut config: Config, entrypoint_given: bool, image: &Image) -> Config {
    let base = image.config.config().clone().unwrap_or_default();
    if config.user.is_empty() {
        config.user = base.user().clone().unwrap_or_default();
    }
    if config.working_dir.is_empty() {
        config.working_dir = base.working_dir().clone().unwrap_or_default();
    }
    if !entrypoint_given {
        if config.cmd.is_empty() {
            config.cmd = base.cmd().clone().unwrap_or_default();
        }
        config.entrypoint = base.entrypoint().clone().unwrap_or_default();
    }
    if config.entrypoint.is_empty()
        && let Some(module) = &image.wasm_module
    {
        // A bare Wasm artefact has no configuration: the module is the command.
        config.entrypoint = vec![module.display().to_string()];
    }
    if config.shell.is_empty() {
        config.shell.clone_from(&image.docker.shell);
    }
    config.env = merge_env(base.env().clone().unwrap_or_default(), config.env);
    for (key, value) in base.labels().clone().unwrap_or_default() {
        config.labels.entry(key).or_insert(value);
    }
    let exposed = base.exposed_ports().clone().unwrap_or_default();
    config.exposed_ports.extend(exposed.iter().filter_map(|port| port.parse::<Port>().ok()));
    config.volumes.extend(base.volumes().clone().unwrap_or_default());
    if config.stop_signal.is_none() {
        config.stop_signal = base.stop_signal().as_deref().and_then(|signal| signal.parse().ok());
    }
    config
}

/// The image's health check in the engine's words.
fn own_check(check: &drua_store::Healthcheck) -> HealthCheck {
    HealthCheck {
        test: check.test.clone(),
        interval: check.interval.unwrap_or_default(),
        timeout: check.timeout.unwrap_or_default(),
        start_period: check.start_period.unwrap_or_default(),
        start_interval: check.start_interval.unwrap_or_default(),
        retries: check.retries.unwrap_or_default(),
    }
}

/// Later settings win; the order of first mention stays. An entry without `=` removes the variable.
pub(crate) fn merge_env(base: Vec<String>, over: Vec<String>) -> Vec<String> {
    fn key(entry: &str) -> &str {
        entry.split_once('=').map_or(entry, |(key, _)| key)
    }
    let mut merged: Vec<String> = Vec::with_capacity(base.len() + over.len() + 1);
    for entry in base.into_iter().chain(over) {
        let position = merged.iter().position(|known| key(known) == key(&entry));
        match (position, entry.contains('=')) {
            (Some(position), true) => merged[position] = entry,
            (None, true) => merged.push(entry),
            (Some(position), false) => drop(merged.remove(position)),
            (None, false) => {}
        }
    }
    if !merged.iter().any(|entry| key(entry) == "PATH") {
        merged.insert(0, DEFAULT_PATH.to_owned());
    }
    merged
}

/// Contradictions that Docker refuses at create time, in its words.
fn check(config: &Config, host: &HostConfig) -> Result<()> {
    let invalid = |message: &str| Err(Error::Invalid(message.to_owned()));
    if config.cmd.is_empty() && config.entrypoint.is_empty() {
        return Err(Error::NoCommand);
    }
    if !config.working_dir.is_empty() && !config.working_dir.starts_with('/') {
        let dir = &config.working_dir;
        return Err(Error::Invalid(format!(
            "the working directory '{dir}' is invalid, it needs to be an absolute path"
        )));
    }
    if host.resources.memory.is_some_and(|bytes| bytes > 0 && bytes < MIN_MEMORY_BYTES) {
        return invalid("Minimum memory limit allowed is 6MB");
    }
    if let (Some(memory), Some(swap)) = (host.resources.memory, host.resources.memory_swap)
        && swap > 0
        && swap < memory
    {
        return invalid("Minimum memoryswap limit should be larger than memory limit, see usage");
    }
    if host.resources.nano_cpus.is_some() && (host.resources.cpu_period.is_some() || host.resources.cpu_quota.is_some())
    {
        return invalid("Conflicting options: Nano CPUs and CPU Period cannot both be set");
    }
    if host.auto_remove && host.restart != crate::container::RestartPolicy::No {
        return invalid("can't create 'AutoRemove' container with restart policy");
    }
    check_network(config, host)
}

/// Only who offers its IPC namespace shares it.
fn check_ipc(shared: &Shared, mode: &IpcMode) -> Result<()> {
    let IpcMode::Container(id) = mode else { return Ok(()) };
    let other = shared.registry.find(id.as_str()).map_err(|error| Error::Invalid(error.to_string()))?.snapshot();
    match other.host.ipc_mode {
        IpcMode::Shareable => Ok(()),
        _ => Err(Error::Invalid(format!(
            "can't join IPC of container {id}: non-shareable IPC (hint: use IpcMode:shareable for the donor container)"
        ))),
    }
}

/// Options that say something about a network that is somebody else's.
fn check_network(config: &Config, host: &HostConfig) -> Result<()> {
    let shares = matches!(host.network_mode, NetworkMode::Container(_));
    let is_host = host.network_mode == NetworkMode::Host;
    let refused = [
        (shares && !config.hostname.is_empty(), "hostname and the network mode"),
        (host.uts_host && !config.hostname.is_empty(), "hostname and the UTS mode"),
        (shares && !host.dns.is_empty(), "dns and the network mode"),
        (shares && !host.extra_hosts.is_empty(), "custom host-to-IP mapping and the network mode"),
        (
            shares && (!host.publish.is_empty() || host.publish_all),
            "port publishing and the container type network mode",
        ),
        (
            shares && !host.links.is_empty(),
            "container type network can't be used with links. This would result in undefined behavior",
        ),
        (
            is_host && !host.links.is_empty(),
            "host type networking can't be used with links. This would result in undefined behavior",
        ),
    ];
    match refused.iter().find(|(is, _)| *is) {
        Some((_, what)) => Err(Error::Invalid(format!("conflicting options: {what}"))),
        None => Ok(()),
    }
}

fn hostname() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

/// Settles which networks the container joins: the mode's, then those named besides.
fn network_requests(
    shared: &Shared,
    mode: &NetworkMode,
    asked: BTreeMap<String, EndpointRequest>,
) -> Result<BTreeMap<String, EndpointRequest>> {
    let primary = match mode {
        NetworkMode::Default => "bridge",
        NetworkMode::Named(name) => name.as_str(),
        NetworkMode::None | NetworkMode::Host | NetworkMode::Container(_) => {
            return Ok(BTreeMap::new());
        }
    };
    let mut requests: BTreeMap<String, EndpointRequest> = BTreeMap::new();
    // An unknown network fails at start, with 404: at create that status would make clients pull the image.
    let canonical = |name: &str| match shared.networks.find(name) {
        Ok(network) => network.name.to_string(),
        Err(_) => name.to_owned(),
    };
    for (name, request) in asked {
        let name = if name == "default" { primary } else { name.as_str() };
        let name = canonical(name);
        let wants_address = request.ipv4.is_some() || !request.aliases.is_empty();
        if name == PREDEFINED[0] && request.ipv4.is_some() && wants_address {
            let message = "user specified IP address is supported on user defined networks only".to_owned();
            return Err(Error::Invalid(message));
        }
        requests.insert(name, request);
    }
    requests.entry(canonical(primary)).or_default();
    for (name, request) in &mut requests {
        request.network = shared.networks.find(name).ok().map(|network| network.id.clone());
    }
    Ok(requests)
}

fn take_name(shared: &Shared, wanted: Option<&str>, id: &ContainerId) -> Result<ContainerName> {
    if let Some(wanted) = wanted.map(|name| name.strip_prefix('/').unwrap_or(name)).filter(|name| !name.is_empty()) {
        let name = wanted.parse().map_err(|error: drua_types::InvalidName| Error::Invalid(error.to_string()))?;
        shared.registry.reserve(&name, id)?;
        return Ok(name);
    }
    for attempt in 0..NAME_TRIES {
        let name = names::random(attempt).parse().expect("the lists hold valid names only");
        if shared.registry.reserve(&name, id).is_ok() {
            return Ok(name);
        }
    }
    let name = id.short().parse().expect("12 hexadecimal digits are a valid name");
    shared.registry.reserve(&name, id)?;
    Ok(name)
}

fn make_dirs(dir: &Path) -> Result<()> {
    use std::os::unix::fs::DirBuilderExt as _;
    for (path, mode) in [(dir.to_owned(), 0o710), (dir.join("upper"), 0o755), (dir.join("work"), 0o700)] {
        std::fs::DirBuilder::new().mode(mode).create(&path).map_err(Error::io("create", &path))?;
    }
    Ok(())
}

/// Turns requests and the image's `VOLUME`s into mounts: makes volumes and missing `-v` sources, fills new volumes.
fn resolve_mounts(
    shared: &Arc<Shared>,
    config: &Config,
    host: &HostConfig,
    layers: &[PathBuf],
    leases: &mut Vec<Lease>,
) -> Result<Vec<MountPoint>> {
    let mut mounts: Vec<MountPoint> = Vec::new();
    for request in &host.mounts {
        let destination = clean(&request.destination)?;
        if mounts.iter().any(|mount| mount.destination == destination) {
            return Err(Error::Invalid(format!("Duplicate mount point: {}", destination.display())));
        }
        mounts.push(match request.kind {
            MountKind::Image => {
                let (mount, lease) = crate::image_mount::resolve(shared, request, destination)?;
                leases.push(lease);
                mount
            }
            MountKind::Bind | MountKind::Volume | MountKind::Tmpfs => {
                resolve_mount(shared, request, destination, layers, &host.volume_driver)?
            }
        });
    }
    for from in &host.volumes_from {
        for mount in mounts_of(shared, from)? {
            // What is said for this container wins.
            if !mounts.iter().any(|own| own.destination == mount.destination) {
                mounts.push(mount);
            }
        }
    }
    for path in &config.volumes {
        let destination = clean(Path::new(path))?;
        if !mounts.iter().any(|mount| mount.destination == destination) {
            let request = MountRequest::volume(destination.clone());
            mounts.push(resolve_mount(shared, &request, destination, layers, &host.volume_driver)?);
        }
    }
    // Outer directories first, so that inner ones are mounted on top of them.
    mounts.sort_by_key(|mount| mount.destination.components().count());
    Ok(mounts)
}

/// Mounts of another container, for `--volumes-from name[:ro|rw]`. Unknown containers are no 404: clients would pull.
fn mounts_of(shared: &Shared, from: &str) -> Result<Vec<MountPoint>> {
    let (name, mode) = from.split_once(':').unwrap_or((from, "rw"));
    let writable = match mode {
        "" | "rw" | "z" | "Z" | "rw,z" | "rw,Z" => true,
        "ro" | "ro,z" | "ro,Z" => false,
        _ => return Err(Error::Invalid(format!("invalid mode for volumes-from: {mode}"))),
    };
    let other = shared.registry.find(name).map_err(|error| Error::Invalid(error.to_string()))?.snapshot();
    let shared_ones = other.mounts.iter().filter(|mount| mount.kind != MountKind::Tmpfs);
    Ok(shared_ones.map(|mount| MountPoint { writable: mount.writable && writable, ..mount.clone() }).collect())
}

/// The path without `.`, `..` and doubled slashes; absolute and not the root.
fn clean(path: &Path) -> Result<PathBuf> {
    let mut clean = PathBuf::from("/");
    for component in path.components() {
        match component {
            Component::RootDir | Component::CurDir => {}
            Component::ParentDir => drop(clean.pop()),
            Component::Normal(name) => clean.push(name),
            Component::Prefix(_) => unreachable!("Unix paths have no prefix"),
        }
    }
    if !path.is_absolute() {
        let message = format!("invalid mount path: '{}' mount path must be absolute", path.display());
        return Err(Error::Invalid(message));
    }
    if clean == Path::new("/") {
        return Err(Error::Invalid("invalid specification: destination can't be '/'".to_owned()));
    }
    Ok(clean)
}

fn resolve_mount(
    shared: &Arc<Shared>,
    request: &MountRequest,
    destination: PathBuf,
    layers: &[PathBuf],
    volume_driver: &str,
) -> Result<MountPoint> {
    let mut mount = MountPoint {
        kind: request.kind,
        name: None,
        source: PathBuf::new(),
        destination,
        writable: !request.read_only,
        propagation: request.propagation.clone(),
        mode: request.mode.clone(),
        tmpfs_options: request.tmpfs_options.clone(),
        anonymous: false,
        no_copy: request.no_copy,
        lowers: Vec::new(),
        non_recursive: request.non_recursive,
        read_only_depth: request.read_only_depth,
        subpath: request.subpath.clone(),
    };
    match request.kind {
        // An image is not mounted by its path.
        MountKind::Tmpfs | MountKind::Image => {}
        MountKind::Bind => {
            mount.source = PathBuf::from(request.source.as_deref().unwrap_or_default());
            if !mount.source.is_absolute() {
                let message = format!("invalid mount path: '{}' mount path must be absolute", mount.source.display());
                return Err(Error::Invalid(message));
            }
            if !mount.source.exists() {
                if !request.create_source {
                    return Err(Error::BindSourceMissing(mount.source));
                }
                fs_err::create_dir_all(&mount.source).map_err(Error::io("create", &mount.source))?;
            }
            if mount.propagation.is_empty() {
                mount.propagation = "rprivate".to_owned();
            }
        }
        MountKind::Volume => {
            let driver = if request.volume.driver.is_empty() { volume_driver } else { &request.volume.driver };
            let wanted = CreateVolume {
                name: request.source.clone(),
                driver: driver.to_owned(),
                labels: request.volume.labels.clone(),
                options: request.volume.options.clone(),
            };
            let engine = Engine { shared: shared.clone() };
            // A driver that is not there is no 404: clients would pull the image.
            let volume = engine.create_volume(wanted).map_err(|error| match error {
                Error::NotFound(message) => Error::Invalid(message),
                error => error,
            })?;
            mount.anonymous = request.source.as_deref().unwrap_or_default().is_empty();
            mount.name = Some(volume.name.to_string());
            mount.source = volume.mountpoint.clone();
            if !request.no_copy && request.subpath.is_none() {
                let user = format!("create {}", mount.destination.display());
                shared.volumes.hold(&volume, &user)?;
                let _filling = crate::lock(&shared.volumes.filling);
                let filled = crate::layered::fill_volume(&volume.mountpoint, &mount.destination, layers);
                shared.volumes.let_go(&volume, &user);
                filled?;
            }
        }
    }
    Ok(mount)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn env(base: &[&str], over: &[&str], expect: &[&str]) {
        let own = |list: &[&str]| list.iter().map(|&entry| entry.to_owned()).collect();
        assert_eq!(merge_env(own(base), own(over)), expect);
    }

    #[test]
    fn environments_merge_as_in_docker() {
        env(&["PATH=/bin", "A=1"], &["A=2", "B="], &["PATH=/bin", "A=2", "B="]);
        env(&[], &["A=1"], &[DEFAULT_PATH, "A=1"]);
        env(&["PATH=/bin", "A=1"], &["A"], &["PATH=/bin"]);
    }

    #[test]
    fn mount_destinations_are_cleaned() {
        assert_eq!(clean(Path::new("/a/../b/./c//")).expect("clean"), Path::new("/b/c"));
        assert!(clean(Path::new("relative")).is_err());
        assert!(clean(Path::new("/a/..")).is_err());
    }
}
