//! From a container's record to its OCI bundle: `config.json` in the bundle directory.

use std::collections::BTreeMap;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::DirBuilderExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use drua_runtime::spec::{
    self, ContainerSpec, DeviceKind, DeviceMapping, HostFacts, MountSource, MountSpec, Namespace, Propagation,
    SeccompMode,
};
use drua_runtime::users;
use drua_types::{ByteSize, annotations};

use super::{
    Config, Container, Device, HostConfig, Hull, LogDriver, MountKind, MountPoint, NetworkMode, NsMode, Resources,
    Seccomp, host_files,
};
use crate::config::EngineConfig;
use crate::engine::Shared;
use crate::{Error, Result, layered};

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

/// Makes the bundle directory afresh and writes its `config.json`.
pub(super) fn write_bundle(shared: &Shared, container: &Container) -> Result<()> {
    let bundle = shared.config.bundle(&container.id);
    let _ = fs_err::remove_dir_all(&bundle);
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(bundle.join("rootfs"))
        .map_err(Error::io("create", &bundle))?;
    let host = HostFacts::read().map_err(|error| Error::Spec(Box::new(error)))?;
    let spec = container_spec(shared, container)?;
    let spec = spec::build(&spec, &host).map_err(|error| Error::Spec(Box::new(error)))?;
    let path = bundle.join("config.json");
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
    spec.devices = host.devices.iter().map(device).collect::<Result<_>>()?;
    spec.device_cgroup_rules = host.device_cgroup_rules.clone();
    spec.mounts = mounts(&shared.config, container);
    spec.shm_size = host.shm_size;
    namespaces(shared, container, &mut spec)?;
    spec.sysctls = sysctls(host);
    spec.ulimits = host.ulimits.iter().map(ulimit).collect();
    spec.resources = resources(&host.resources);
    spec.oom_score_adj = host.oom_score_adj;
    spec.no_new_privileges = host.no_new_privileges;
    spec.seccomp = match &host.seccomp {
        Seccomp::Default => SeccompMode::Default,
        Seccomp::Unconfined => SeccompMode::Unconfined,
        Seccomp::Custom(profile) => SeccompMode::Custom(profile.clone()),
    };
    spec.cgroup_parent = Some(shared.config.cgroup_parent.clone());
    let notes = [
        (annotations::STATE_DIR, dir.display().to_string()),
        (annotations::AOT_CACHE, shared.config.aot_cache().display().to_string()),
        (annotations::STDIN_ONCE, config.stdin_once.to_string()),
    ];
    // Ours come last: no user's takes the place of one.
    spec.annotations = host.annotations.clone();
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
    mounts.extend(container.mounts.iter().map(mount));
    mounts
}

fn mount(mount: &MountPoint) -> MountSpec {
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
            MountSource::Bind { source: mount.source.clone(), propagation, recursive: true }
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
    MountSpec { destination: mount.destination.display().to_string(), source, readonly: !mount.writable, options }
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
    spec.ipc = mode(&host.ipc_mode, "ipc")?;
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

fn resources(resources: &Resources) -> spec::Resources {
    let text = |text: &str| Some(text.to_owned()).filter(|text| !text.is_empty());
    spec::Resources {
        memory: resources.memory,
        memory_reservation: resources.memory_reservation,
        memory_swap: resources.memory_swap,
        nano_cpus: resources.nano_cpus.and_then(|nanos| u64::try_from(nanos).ok()),
        cpu_shares: resources.cpu_shares,
        cpu_period: resources.cpu_period,
        cpu_quota: resources.cpu_quota,
        cpuset_cpus: text(&resources.cpuset_cpus),
        cpuset_mems: text(&resources.cpuset_mems),
        pids_limit: resources.pids,
        blkio_weight: resources.blkio_weight,
        oom_kill_disable: resources.oom_kill_disable,
    }
}

/// The limits alone, for a container that runs.
pub(super) fn limits(limits: &Resources) -> Result<drua_runtime::oci::LinuxResources> {
    let host = HostFacts::read().map_err(|error| Error::Spec(Box::new(error)))?;
    spec::resources(&resources(limits), &host).map_err(|error| Error::Spec(Box::new(error)))
}

/// Looks up a device's type and numbers on the host.
fn device(device: &Device) -> Result<DeviceMapping> {
    use std::os::unix::fs::FileTypeExt as _;
    let metadata = std::fs::metadata(&device.host_path).map_err(Error::io("look up device", &device.host_path))?;
    let kind = match metadata.file_type() {
        kind if kind.is_char_device() => DeviceKind::Char,
        kind if kind.is_block_device() => DeviceKind::Block,
        _ => return Err(Error::Invalid(format!("`{}` is not a device node", device.host_path.display()))),
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
