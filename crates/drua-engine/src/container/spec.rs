//! From a container's record to its OCI bundle: `config.json` in the bundle directory.

use std::collections::BTreeMap;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::DirBuilderExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use drua_runtime::spec::{
    self, ContainerSpec, DeviceKind, DeviceMapping, HostFacts, MountSource, MountSpec, Namespace, Propagation,
    SeccompMode, Shm,
};
use drua_runtime::users;
use drua_types::{ByteSize, ForeignShim, annotations};

use super::{
    Config, Container, Device, DeviceLimit, HostConfig, Hull, IpcMode, LogDriver, MountKind, MountPoint, NetworkMode,
    NsMode, ReadOnlyDepth, Resources, Seccomp, host_files, host_mounts, links,
};
use crate::config::EngineConfig;
use crate::engine::Shared;
use crate::{Error, Result, layered, runtimes};

/// Where the shim writes output: Docker's json-file with its limits, or nowhere.
pub(super) fn output_uri(config: &EngineConfig, container: &Container) -> String {
    let log = &container.host.log;
    match log.driver {
        LogDriver::JsonFile | LogDriver::Local => {
            let mut uri = format!(
                "drua-log://{}?max-size={}&max-file={}",
                percent_encoded(container.log_path(config).as_os_str().as_bytes()),
                log.max_size.bytes(),
                log.max_file
            );
            for (key, value) in super::log_attributes::of(container) {
                uri.push_str("&attr=");
                uri.push_str(&percent_encoded(format!("{key}={value}").as_bytes()));
            }
            uri
        }
        LogDriver::None => String::new(),
    }
}

/// Bytes for a URI: every byte that could mean something else there as `%XX` (RFC 3986 §2.1).
fn percent_encoded(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    let mut text = String::new();
    for &byte in bytes {
        if byte.is_ascii_alphanumeric() || b"/-._~".contains(&byte) {
            text.push(char::from(byte));
        } else {
            let _ = write!(text, "%{byte:02X}");
        }
    }
    text
}

/// Makes the bundle directory afresh, with what a shim looks for when it starts.
pub(super) fn make_bundle(shared: &Shared, container: &Container) -> Result<()> {
    let bundle = shared.config.bundle(&container.id);
    let _ = fs_err::remove_dir_all(&bundle);
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(bundle.join("rootfs"))
        .map_err(Error::io("create", &bundle))?;
    let Some(foreign) = runtimes::foreign(shared, container)? else { return Ok(()) };
    let path = bundle.join(ForeignShim::FILE);
    let json = serde_json::to_vec(&foreign.pack(&bundle)?);
    let json = json.map_err(|source| Error::Record { what: "runtime", source })?;
    fs_err::write(&path, json).map_err(Error::io("write", &path))
}

/// Writes the bundle's `config.json`.
pub(super) fn write_spec(shared: &Shared, container: &Container) -> Result<()> {
    let host = HostFacts::read().map_err(|error| Error::Spec(Box::new(error)))?;
    let spec = container_spec(shared, container)?;
    let spec = spec::build(&spec, &host).map_err(|error| Error::Spec(Box::new(error)))?;
    let path = shared.config.bundle(&container.id).join("config.json");
    let json = serde_json::to_vec(&spec).map_err(|source| Error::Record { what: "runtime specification", source })?;
    fs_err::write(&path, json).map_err(Error::io("write", &path))
}

fn container_spec(shared: &Shared, container: &Container) -> Result<ContainerSpec> {
    let (config, host) = (&container.config, &container.host);
    let dir = shared.config.container_dir(&container.id);
    let mut spec = ContainerSpec::new(container.id.as_str(), container.args());
    let mut layers = vec![dir.join("upper")];
    layers.extend(container.layers.iter().cloned());
    let file = |path| layered::read(&layers, path, users::MAX_FILE_BYTES as u64);
    spec.user = users::resolve(&config.user, &host.group_add, &file("/etc/passwd"), &file("/etc/group"))
        .map_err(|error| Error::Invalid(error.to_string()))?;
    spec.env = environment(config, &spec.user.home);
    // The container's own variables win.
    let linked = links::environment(shared, container)?;
    let own: Vec<String> = std::mem::take(&mut spec.env);
    let is_own = |variable: &str| own.iter().any(|known| known.split('=').next() == variable.split('=').next());
    spec.env = linked.into_iter().filter(|variable| !is_own(variable)).chain(own.iter().cloned()).collect();
    spec.cwd = if config.working_dir.is_empty() { "/".to_owned() } else { config.working_dir.clone() };
    spec.tty = config.tty;
    spec.hostname = (!host.uts_host).then(|| config.hostname.clone());
    spec.domainname = Some(config.domainname.clone()).filter(|domain| !domain.is_empty());
    spec.readonly_rootfs = host.readonly_rootfs;
    spec.privileged = host.privileged;
    spec.cap_add = host.cap_add.clone();
    spec.cap_drop = host.cap_drop.clone();
    spec.masked_paths = host.masked_paths.clone();
    spec.readonly_paths = host.readonly_paths.clone();
    spec.devices = devices(host)?;
    spec.device_cgroup_rules = host.device_cgroup_rules.clone();
    spec.mounts = mounts(&shared.config, container);
    spec.shm_size = host.shm_size;
    namespaces(shared, container, &mut spec)?;
    spec.sysctls = sysctls(host);
    spec.ulimits = host.ulimits.iter().map(ulimit).collect();
    spec.resources = resources(&host.resources)?;
    let foreign = runtimes::foreign(shared, container)?;
    // Other shims hand their own score down.
    spec.oom_score_adj = host.oom_score_adj.or(foreign.map(|_| 0));
    spec.no_new_privileges = host.no_new_privileges;
    spec.seccomp = match &host.seccomp {
        Seccomp::Default => SeccompMode::Default,
        Seccomp::Unconfined => SeccompMode::Unconfined,
        Seccomp::Custom(profile) => SeccompMode::Custom(profile.clone()),
    };
    let parent = if host.cgroup_parent.is_empty() { &shared.config.cgroup_parent } else { &host.cgroup_parent };
    spec.cgroup_parent = Some(parent.clone());
    let notes = [
        (annotations::STATE_DIR, dir.display().to_string()),
        (annotations::AOT_CACHE, shared.config.aot_cache().display().to_string()),
        (annotations::STDIN_ONCE, config.stdin_once.to_string()),
    ];
    spec.annotations = host.annotations.clone();
    // Ours win: they say what the shim does on this host.
    spec.annotations.extend(notes.map(|(key, value)| (key.to_owned(), value)));
    if let Hull::Wasm(flavor) = container.hull {
        spec.annotations.insert(annotations::FLAVOR.to_owned(), flavor.to_string());
    }
    if let Some(module) = &container.wasm_module {
        spec.annotations.insert(annotations::MODULE.to_owned(), module.display().to_string());
    }
    if host.init {
        spec.annotations.insert(annotations::INIT.to_owned(), "true".to_owned());
    }
    Ok(spec)
}

/// The configured environment with `HOSTNAME`, `TERM` and `HOME` where they are missing, as Docker adds them.
pub(super) fn environment(config: &Config, home: &str) -> Vec<String> {
    let mut env = config.env.clone();
    let has = |env: &[String], key: &str| env.iter().any(|entry| entry.split('=').next() == Some(key));
    if !has(&env, "HOSTNAME") {
        let at = 1.min(env.len());
        env.insert(at, format!("HOSTNAME={}", config.hostname));
    }
    if config.tty && !has(&env, "TERM") {
        env.push("TERM=xterm".to_owned());
    }
    if !has(&env, "HOME") {
        env.push(format!("HOME={home}"));
    }
    env
}

fn mounts(config: &EngineConfig, container: &Container) -> Vec<MountSpec> {
    let dir = config.container_dir(&container.id);
    let taken = |destination: &str| container.mounts.iter().any(|mount| mount.destination == Path::new(destination));
    let mut mounts: Vec<MountSpec> = Vec::new();
    // Who shares a network shares its names.
    let dir = match &container.host.network_mode {
        NetworkMode::Container(other) => config.container_dir(other),
        _ => dir,
    };
    for name in host_files::NAMES {
        let destination = format!("/etc/{name}");
        if !taken(&destination) {
            mounts.push(MountSpec {
                destination,
                source: MountSource::Bind {
                    source: dir.join(name),
                    propagation: Propagation::RPrivate,
                    recursive: true,
                },
                readonly: false,
                options: Vec::new(),
            });
        }
    }
    mounts.extend(
        container
            .mounts
            .iter()
            .enumerate()
            .map(|(index, point)| mount(point, host_mounts::source(config, container, index))),
    );
    mounts
}

fn mount(mount: &MountPoint, source: PathBuf) -> MountSpec {
    let mut options = mount.tmpfs_options.clone();
    let source = match mount.kind {
        MountKind::Bind | MountKind::Volume => {
            let propagation = match mount.propagation.as_str() {
                "private" => Propagation::Private,
                "rshared" => Propagation::RShared,
                "shared" => Propagation::Shared,
                "rslave" => Propagation::RSlave,
                "slave" => Propagation::Slave,
                _ => Propagation::RPrivate,
            };
            MountSource::Bind { source, propagation, recursive: !mount.non_recursive }
        }
        MountKind::Image => MountSource::Image { lowers: mount.lowers.clone() },
        MountKind::Tmpfs => {
            let mut size = None;
            options.retain(|option| match option.strip_prefix("size=").map(str::parse::<ByteSize>) {
                Some(Ok(bytes)) => {
                    size = Some(bytes.bytes());
                    false
                }
                _ => true,
            });
            MountSource::Tmpfs { size }
        }
    };
    let top_only = mount.read_only_depth == ReadOnlyDepth::Top;
    if !mount.writable && top_only {
        // Without the runtime's own handling, which would go down to the mounts below.
        options.push("ro".to_owned());
    }
    let readonly = !mount.writable && !top_only;
    MountSpec { destination: mount.destination.display().to_string(), source, readonly, options }
}

fn namespaces(shared: &Shared, container: &Container, spec: &mut ContainerSpec) -> Result<()> {
    let host = &container.host;
    let of = |id: &drua_types::ContainerId, kind: &str| -> Result<Namespace> {
        let other = shared.registry.find(id.as_str())?.snapshot();
        match other.state.pid {
            0 => Err(Error::NotRunning(other.id.clone())),
            pid => Ok(Namespace::Path(PathBuf::from(format!("/proc/{pid}/ns/{kind}")))),
        }
    };
    let mode = |mode: &NsMode, kind: &str| match mode {
        NsMode::Private => Ok(Namespace::Private),
        NsMode::Host => Ok(Namespace::Host),
        NsMode::Container(id) => of(id, kind),
    };
    spec.network = match &host.network_mode {
        NetworkMode::Host => Namespace::Host,
        NetworkMode::Container(id) => of(id, "net")?,
        NetworkMode::None | NetworkMode::Default | NetworkMode::Named(_) => {
            Namespace::Path(shared.config.netns(&container.id))
        }
    };
    spec.pid = mode(&host.pid_mode, "pid")?;
    (spec.ipc, spec.shm) = match &host.ipc_mode {
        IpcMode::Private => (Namespace::Private, Shm::Own),
        IpcMode::Shareable => (Namespace::Private, Shm::Shared(host_mounts::shm(&shared.config, &container.id))),
        IpcMode::None => (Namespace::Private, Shm::None),
        IpcMode::Host => (Namespace::Host, Shm::Own),
        IpcMode::Container(id) => (of(id, "ipc")?, Shm::Shared(host_mounts::shm(&shared.config, id))),
    };
    if host.uts_host {
        spec.uts = Namespace::Host;
    }
    if host.cgroupns_host {
        spec.cgroupns = Some(Namespace::Host);
    }
    Ok(())
}

/// Docker's two conveniences for private network namespaces, unless overridden: ping and low ports without privilege.
fn sysctls(host: &HostConfig) -> BTreeMap<String, String> {
    let mut sysctls = BTreeMap::new();
    if !matches!(host.network_mode, NetworkMode::Host | NetworkMode::Container(_)) {
        sysctls.insert("net.ipv4.ip_unprivileged_port_start".to_owned(), "0".to_owned());
        sysctls.insert("net.ipv4.ping_group_range".to_owned(), "0 2147483647".to_owned());
    }
    sysctls.extend(host.sysctls.clone());
    sysctls
}

pub(super) fn ulimit(limit: &super::Ulimit) -> spec::Ulimit {
    spec::Ulimit { name: limit.name.clone(), soft: limit.soft, hard: limit.hard }
}

fn resources(resources: &Resources) -> Result<spec::Resources> {
    let text = |text: &str| Some(text.to_owned()).filter(|text| !text.is_empty());
    let [read_bps, write_bps, read_iops, write_iops] =
        resources.blkio_throttle.each_ref().map(|limits| limits.iter().map(block_device).collect::<Result<Vec<_>>>());
    let weights = resources.blkio_weight_devices.iter().map(block_device).collect::<Result<Vec<_>>>()?;
    let weight = |(major, minor, weight): (i64, i64, u64)| (major, minor, u16::try_from(weight).unwrap_or(u16::MAX));
    Ok(spec::Resources {
        memory: resources.memory,
        memory_reservation: resources.memory_reservation,
        memory_swap: resources.memory_swap,
        memory_swappiness: resources.memory_swappiness,
        nano_cpus: resources.nano_cpus.and_then(|nanos| u64::try_from(nanos).ok()),
        cpu_shares: resources.cpu_shares,
        cpu_period: resources.cpu_period,
        cpu_quota: resources.cpu_quota,
        cpu_rt_period: resources.cpu_rt_period,
        cpu_rt_runtime: resources.cpu_rt_runtime,
        cpuset_cpus: text(&resources.cpuset_cpus),
        cpuset_mems: text(&resources.cpuset_mems),
        pids_limit: resources.pids,
        blkio_weight: resources.blkio_weight,
        blkio_weight_devices: weights.into_iter().map(weight).collect(),
        blkio_throttle: [read_bps?, write_bps?, read_iops?, write_iops?],
        oom_kill_disable: resources.oom_kill_disable,
    })
}

fn block_device(limit: &DeviceLimit) -> Result<(i64, i64, u64)> {
    use std::os::unix::fs::FileTypeExt as _;
    let path = &limit.path;
    let found = std::fs::metadata(path).map_err(Error::io("look up the block device", path))?;
    if !found.file_type().is_block_device() {
        return Err(Error::Invalid(format!("`{}` is not a block device", path.display())));
    }
    let (major, minor) = (rustix::fs::major(found.rdev()), rustix::fs::minor(found.rdev()));
    Ok((i64::from(major), i64::from(minor), limit.limit))
}

/// Most devices that a directory gives.
const MAX_DEVICES: usize = 4096;

/// The devices that were asked for; a directory stands for all below it. A privileged container has all of the host's.
fn devices(host: &HostConfig) -> Result<Vec<DeviceMapping>> {
    let mut devices = Vec::new();
    if host.privileged {
        let all = Device { host_path: "/dev".into(), container_path: "/dev".into(), permissions: "rwm".to_owned() };
        below(&all, &mut devices);
        return Ok(devices);
    }
    for asked in &host.devices {
        if asked.host_path.is_dir() {
            below(asked, &mut devices);
        } else {
            devices.push(device(asked)?);
        }
    }
    Ok(devices)
}

/// Devices in a directory and below. What is no device, or vanishes, is left out, as is what every container has.
fn below(dir: &Device, devices: &mut Vec<DeviceMapping>) {
    // Besides the directories that are mounted, the runtime makes the standard nodes itself.
    const NOT_OURS: [&str; 15] = [
        "pts",
        "shm",
        "fd",
        "mqueue",
        ".lxc",
        ".udev",
        "hugepages",
        "null",
        "zero",
        "full",
        "random",
        "urandom",
        "tty",
        "console",
        "ptmx",
    ];
    for entry in std::fs::read_dir(&dir.host_path).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let inner = Device {
            host_path: entry.path(),
            container_path: dir.container_path.join(&name),
            permissions: dir.permissions.clone(),
        };
        // Links are not followed: the device that they mean is there under its own name.
        let Some(kind) = entry.file_type().ok().filter(|kind| !kind.is_symlink()) else { continue };
        if devices.len() >= MAX_DEVICES
            || NOT_OURS.iter().any(|other| name == *other)
            || inner.container_path == Path::new("/dev/console")
        {
            continue;
        }
        if kind.is_dir() {
            below(&inner, devices);
        } else if let Ok(found) = device(&inner) {
            devices.push(found);
        }
    }
}

/// The limits alone, for a container that runs.
pub(super) fn limits(limits: &Resources) -> Result<drua_runtime::oci::LinuxResources> {
    let host = HostFacts::read().map_err(|error| Error::Spec(Box::new(error)))?;
    spec::resources(&resources(limits)?, &host).map_err(|error| Error::Spec(Box::new(error)))
}

/// Looks up a device's type and numbers on the host.
fn device(device: &Device) -> Result<DeviceMapping> {
    use std::os::unix::fs::FileTypeExt as _;
    let path = device.host_path.display();
    let metadata = std::fs::metadata(&device.host_path).map_err(|error| {
        let cause = if error.kind() == std::io::ErrorKind::NotFound {
            "no such file or directory".to_owned()
        } else {
            error.to_string()
        };
        Error::Invalid(format!("error gathering device information while adding custom device \"{path}\": {cause}"))
    })?;
    let kind = match metadata.file_type() {
        kind if kind.is_char_device() => DeviceKind::Char,
        kind if kind.is_block_device() => DeviceKind::Block,
        _ => {
            return Err(Error::Invalid(format!(
                "error gathering device information while adding custom device \"{path}\": not a device node"
            )));
        }
    };
    Ok(DeviceMapping {
        path: device.container_path.clone(),
        kind,
        major: i64::from(rustix::fs::major(metadata.rdev())),
        minor: i64::from(rustix::fs::minor(metadata.rdev())),
        file_mode: metadata.mode() & 0o777,
        uid: metadata.uid(),
        gid: metadata.gid(),
        access: device.permissions.clone(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_in_uris_are_encoded() {
        assert_eq!(percent_encoded(b"/var/lib/drua-1/a_b.json"), "/var/lib/drua-1/a_b.json");
        assert_eq!(percent_encoded("/a b?c=1&d%#é".as_bytes()), "/a%20b%3Fc%3D1%26d%25%23%C3%A9");
    }
}
