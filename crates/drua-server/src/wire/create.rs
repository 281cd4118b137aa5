//! `POST /containers/create`: Docker's body → what the engine creates.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use drua_api::models;
use drua_engine::container::{
    Config, Device, HealthCheck, HostConfig, LogDriver, MountKind, MountRequest, NetworkMode, NsMode, PublishRequest,
    Resources, RestartPolicy, Seccomp, Ulimit,
};
use drua_engine::{CreateContainer, EndpointRequest, Engine};
use drua_types::{Platform, Port};
use serde_json::{Value, json};

use crate::http::Failure;

type Result<T> = std::result::Result<T, Failure>;

/// Reads the body. `name` and `platform` come from the query.
pub(crate) fn container(
    engine: &Engine,
    name: Option<&str>,
    platform: Option<&str>,
    body: Value,
) -> Result<CreateContainer> {
    let mut echo = body.get("HostConfig").cloned().filter(Value::is_object).unwrap_or_else(|| json!({}));
    let request: models::ContainerCreateBody = serde_json::from_value(body)
        .map_err(|error| Failure::invalid(format!("invalid container configuration: {error}")))?;
    let platform = platform.map(str::parse::<Platform>).transpose().map_err(Failure::invalid)?;
    let host = request.host_config.clone().unwrap_or_default();
    refuse_unsupported(&host)?;
    let mut warnings = Vec::new();
    if host.oom_kill_disable == Some(true) && !oom_killer_can_be_disabled() {
        warnings.push("Your kernel does not support OomKillDisable. OomKillDisable discarded.".to_owned());
    }
    if host.memory_swappiness.is_some_and(|percent| percent != -1) {
        warnings.push("Setting memory swappiness is not supported. Memory swappiness discarded.".to_owned());
    }
    let host = host_config(engine, host)?;
    materialise(&mut echo, &host);
    let endpoints = request.networking_config.clone().and_then(|config| config.endpoints_config).unwrap_or_default();
    let mut networks = BTreeMap::new();
    for (network, settings) in endpoints {
        let endpoint = endpoint(settings)?;
        if !endpoint.links.is_empty() {
            warnings.push(format!("Links are not supported: those on network {network} are discarded."));
        }
        networks.insert(network, endpoint);
    }
    Ok(CreateContainer {
        name: name.map(str::to_owned),
        platform,
        entrypoint_given: request.entrypoint.is_some(),
        config: config(request)?,
        host,
        echo,
        networks,
        warnings,
    })
}

/// Says no to what would otherwise be accepted and ignored. Clients send the whole structure, so empty, zero and `false`
/// ask for nothing.
fn refuse_unsupported(host: &models::HostConfig) -> Result<()> {
    fn items<T>(list: &Option<Vec<T>>) -> bool {
        list.as_ref().is_some_and(|list| !list.is_empty())
    }
    let text = |text: &Option<String>, harmless: &[&str]| {
        text.as_deref().is_some_and(|text| !text.is_empty() && !harmless.contains(&text))
    };
    let number = |number: Option<i64>| number.is_some_and(|number| number != 0);
    let asked = [
        ("Links", items(&host.links)),
        ("DeviceRequests", items(&host.device_requests)),
        ("UsernsMode", text(&host.userns_mode, &["host"])),
        ("StorageOpt", host.storage_opt.as_ref().is_some_and(|options| !options.is_empty())),
        ("VolumeDriver", text(&host.volume_driver, &["local"])),
        ("CgroupParent", text(&host.cgroup_parent, &[])),
        ("Cgroup", text(&host.cgroup, &[])),
        ("CpuRealtimePeriod", number(host.cpu_realtime_period)),
        ("CpuRealtimeRuntime", number(host.cpu_realtime_runtime)),
        ("BlkioWeightDevice", items(&host.blkio_weight_device)),
        ("BlkioDeviceReadBps", items(&host.blkio_device_read_bps)),
        ("BlkioDeviceWriteBps", items(&host.blkio_device_write_bps)),
        ("BlkioDeviceReadIOps", items(&host.blkio_device_read_iops)),
        ("BlkioDeviceWriteIOps", items(&host.blkio_device_write_iops)),
    ];
    match asked.iter().find(|(_, set)| *set) {
        Some((field, _)) => Err(unsupported(format!("the option `{field}`"))),
        None => Ok(()),
    }
}

fn unsupported(what: String) -> Failure {
    drua_engine::Error::Unsupported(what).into()
}

/// Only cgroup v1 can.
fn oom_killer_can_be_disabled() -> bool {
    !std::path::Path::new("/sys/fs/cgroup/cgroup.controllers").exists()
}

/// The defaults that inspect shows although the client left them out.
fn materialise(echo: &mut Value, host: &HostConfig) {
    let log = |driver: LogDriver| match driver {
        LogDriver::JsonFile => "json-file",
        LogDriver::Local => "local",
        LogDriver::None => "none",
    };
    let is_empty = |value: &Value| value.is_null() || *value == json!("") || *value == json!(0);
    let mut default = |key: &str, value: Value| {
        let slot = &mut echo[key];
        if is_empty(slot) {
            *slot = value;
        }
    };
    default("ShmSize", json!(64 << 20));
    default("Runtime", json!("drua"));
    default("NetworkMode", json!("bridge"));
    default("IpcMode", json!("private"));
    default("CgroupnsMode", json!("private"));
    default("RestartPolicy", json!({ "Name": "no", "MaximumRetryCount": 0 }));
    if echo["RestartPolicy"]["Name"] == json!("") {
        echo["RestartPolicy"]["Name"] = json!("no");
    }
    if echo["NetworkMode"] == json!("default") {
        echo["NetworkMode"] = json!("bridge");
    }
    if !echo["LogConfig"].is_object() {
        echo["LogConfig"] = json!({});
    }
    echo["LogConfig"]["Type"] = json!(log(host.log.driver));
    if !echo["LogConfig"]["Config"].is_object() {
        echo["LogConfig"]["Config"] = json!({});
    }
    let (masked, readonly) = (&host.masked_paths, &host.readonly_paths);
    if masked.is_none() && !host.privileged {
        echo["MaskedPaths"] = json!(drua_engine::DEFAULT_MASKED_PATHS);
    }
    if readonly.is_none() && !host.privileged {
        echo["ReadonlyPaths"] = json!(drua_engine::DEFAULT_READONLY_PATHS);
    }
}

pub(crate) fn config(request: models::ContainerCreateBody) -> Result<Config> {
    let mut exposed_ports = BTreeSet::new();
    for port in request.exposed_ports.unwrap_or_default() {
        exposed_ports.insert(port.parse().map_err(Failure::invalid)?);
    }
    let signal = request.stop_signal.filter(|signal| !signal.is_empty());
    Ok(Config {
        image: request.image.unwrap_or_default(),
        hostname: request.hostname.unwrap_or_default(),
        domainname: request.domainname.unwrap_or_default(),
        user: request.user.unwrap_or_default(),
        attach: [request.attach_stdin, request.attach_stdout, request.attach_stderr].map(Option::unwrap_or_default),
        tty: request.tty.unwrap_or_default(),
        open_stdin: request.open_stdin.unwrap_or_default(),
        stdin_once: request.stdin_once.unwrap_or_default(),
        env: request.env.unwrap_or_default(),
        cmd: request.cmd.unwrap_or_default(),
        // `[""]` is how clients say "no entrypoint at all".
        entrypoint: request.entrypoint.unwrap_or_default().into_iter().filter(|word| !word.is_empty()).collect(),
        working_dir: request.working_dir.unwrap_or_default(),
        labels: request.labels.unwrap_or_default().into_iter().collect(),
        exposed_ports,
        volumes: request.volumes.unwrap_or_default().into_iter().collect(),
        stop_signal: signal.map(|signal| signal.parse()).transpose().map_err(Failure::invalid)?,
        stop_timeout: request.stop_timeout,
        healthcheck: request.healthcheck.map(healthcheck).transpose()?,
        shell: request.shell.unwrap_or_default(),
        on_build: Vec::new(),
    })
}

fn healthcheck(check: models::HealthConfig) -> Result<HealthCheck> {
    let duration = |what: &str, nanos: Option<i64>| match nanos.unwrap_or(0) {
        0 => Ok(Duration::ZERO),
        nanos if nanos < 1_000_000 => Err(Failure::invalid(format!("{what} in Healthcheck cannot be less than 1ms"))),
        nanos => Ok(Duration::from_nanos(nanos.unsigned_abs())),
    };
    Ok(HealthCheck {
        test: check.test.unwrap_or_default(),
        interval: duration("Interval", check.interval)?,
        timeout: duration("Timeout", check.timeout)?,
        start_period: duration("StartPeriod", check.start_period)?,
        start_interval: duration("StartInterval", check.start_interval)?,
        retries: u32::try_from(check.retries.unwrap_or(0))
            .map_err(|_| Failure::invalid("Retries in Healthcheck cannot be negative"))?,
    })
}

fn host_config(engine: &Engine, host: models::HostConfig) -> Result<HostConfig> {
    let mut mounts = Vec::new();
    for bind in host.binds.unwrap_or_default() {
        mounts.push(bind_mount(&bind)?);
    }
    for mount in host.mounts.unwrap_or_default() {
        mounts.push(long_mount(mount)?);
    }
    for (destination, options) in host.tmpfs.unwrap_or_default() {
        let options = options.split(',').filter(|option| !option.is_empty()).map(str::to_owned).collect();
        mounts.push(MountRequest { tmpfs_options: options, ..mount_request(MountKind::Tmpfs, None, &destination) });
    }
    let options = host.security_opt.unwrap_or_default();
    let (seccomp, no_new_privileges) = security_options(&options)?;
    let resources = Resources {
        memory: host.memory.filter(|bytes| *bytes > 0),
        memory_reservation: host.memory_reservation.filter(|bytes| *bytes > 0),
        memory_swap: host.memory_swap.filter(|bytes| *bytes != 0),
        nano_cpus: host.nano_cpus.filter(|nanos| *nanos > 0),
        cpu_shares: host.cpu_shares.filter(|shares| *shares > 0).map(i64::unsigned_abs),
        cpu_period: host.cpu_period.filter(|period| *period > 0).map(i64::unsigned_abs),
        cpu_quota: host.cpu_quota.filter(|quota| *quota != 0),
        cpuset_cpus: host.cpuset_cpus.unwrap_or_default(),
        cpuset_mems: host.cpuset_mems.unwrap_or_default(),
        pids: host.pids_limit.filter(|limit| *limit > 0),
        blkio_weight: blkio_weight(host.blkio_weight)?,
        oom_kill_disable: host.oom_kill_disable.unwrap_or_default() && oom_killer_can_be_disabled(),
    };
    let ulimit = |limit: models::ResourcesUlimits| Ulimit {
        name: limit.name.unwrap_or_default(),
        soft: limit.soft.unwrap_or(0),
        hard: limit.hard.unwrap_or(0),
    };
    let device = |device: models::DeviceMapping| Device {
        host_path: device.path_on_host.unwrap_or_default().into(),
        container_path: device.path_in_container.unwrap_or_default().into(),
        permissions: device.cgroup_permissions.filter(|text| !text.is_empty()).unwrap_or_else(|| "rwm".to_owned()),
    };
    let addresses: Vec<String> = host.dns.unwrap_or_default();
    Ok(HostConfig {
        network_mode: network_mode(engine, host.network_mode.as_deref().unwrap_or_default())?,
        mounts,
        volumes_from: host.volumes_from.unwrap_or_default(),
        publish: publish(host.port_bindings.unwrap_or_default())?,
        publish_all: host.publish_all_ports.unwrap_or_default(),
        restart: restart_policy(host.restart_policy)?,
        auto_remove: host.auto_remove.unwrap_or_default(),
        privileged: host.privileged.unwrap_or_default(),
        cap_add: host.cap_add.unwrap_or_default(),
        cap_drop: host.cap_drop.unwrap_or_default(),
        readonly_rootfs: host.readonly_rootfs.unwrap_or_default(),
        masked_paths: host.masked_paths,
        readonly_paths: host.readonly_paths,
        seccomp,
        no_new_privileges,
        resources,
        ulimits: host.ulimits.unwrap_or_default().into_iter().map(ulimit).collect(),
        sysctls: host.sysctls.unwrap_or_default().into_iter().collect(),
        shm_size: host.shm_size.filter(|bytes| *bytes > 0).map(i64::unsigned_abs),
        dns: addresses.iter().map(|text| address(text)).collect::<Result<_>>()?,
        dns_search: host.dns_search.unwrap_or_default(),
        dns_options: host.dns_options.unwrap_or_default(),
        extra_hosts: host.extra_hosts.unwrap_or_default(),
        init: host.init.unwrap_or_default(),
        runtime: host.runtime.unwrap_or_default(),
        log: super::log_options::parse(host.log_config)?,
        pid_mode: ns_mode(engine, "PID", host.pid_mode.as_deref())?,
        ipc_mode: ns_mode(engine, "IPC", host.ipc_mode.as_deref())?,
        uts_host: match host.uts_mode.as_deref().unwrap_or_default() {
            "" | "private" => false,
            "host" => true,
            other => return Err(Failure::invalid(format!("invalid UTS mode: {other}"))),
        },
        cgroupns_host: host.cgroupns_mode.is_some_and(|mode| mode.to_string() == "host"),
        device_cgroup_rules: host.device_cgroup_rules.unwrap_or_default(),
        devices: host.devices.unwrap_or_default().into_iter().map(device).collect(),
        oom_score_adj: host.oom_score_adj.and_then(|value| i32::try_from(value).ok()).filter(|value| *value != 0),
        group_add: host.group_add.unwrap_or_default(),
        annotations: annotations(host.annotations.unwrap_or_default())?,
    })
}

/// What annotations a user may give: not those by which the engine talks to the shim, but for how a Wasm guest runs.
fn annotations(given: HashMap<String, String>) -> Result<BTreeMap<String, String>> {
    let ours = |key: &str| key.starts_with("dev.drua.") && !key.starts_with(drua_types::annotations::WASM_PREFIX);
    if let Some(key) = given.keys().find(|key| key.is_empty() || ours(key)) {
        return Err(Failure::invalid(format!("invalid annotation: `{key}` is not for users")));
    }
    let list = |key: &str| given.get(key).map(String::as_str).unwrap_or_default();
    let (allow, deny) = (list(drua_types::annotations::WASM_ALLOW), list(drua_types::annotations::WASM_DENY));
    drua_types::grants::Grants::parse(allow, deny).map_err(|error| Failure::invalid(error.to_string()))?;
    Ok(given.into_iter().collect())
}

fn blkio_weight(weight: Option<u16>) -> Result<Option<u16>> {
    match weight.unwrap_or(0) {
        0 => Ok(None),
        weight @ 10..=1000 => Ok(Some(weight)),
        _ => Err(Failure::invalid("Range of blkio weight is from 10 to 1000")),
    }
}

fn address(text: &str) -> Result<IpAddr> {
    text.parse().map_err(|_| Failure::invalid(format!("invalid IP address: {text}")))
}

fn mount_request(kind: MountKind, source: Option<String>, destination: &str) -> MountRequest {
    MountRequest {
        kind,
        source,
        destination: PathBuf::from(destination),
        read_only: false,
        propagation: String::new(),
        create_source: true,
        no_copy: false,
        subpath: None,
        tmpfs_options: Vec::new(),
        mode: String::new(),
    }
}

/// `source:destination[:options]`, where a source without a leading slash is a volume; or a destination alone.
fn bind_mount(bind: &str) -> Result<MountRequest> {
    let invalid = || Failure::invalid(format!("invalid volume specification: '{bind}'"));
    let parts: Vec<&str> = bind.split(':').collect();
    let (source, destination, mode) = match parts.as_slice() {
        [destination] => (None, *destination, ""),
        [source, destination] => (Some(*source), *destination, ""),
        [source, destination, mode] => (Some(*source), *destination, *mode),
        _ => return Err(invalid()),
    };
    if destination.is_empty() || source == Some("") {
        return Err(invalid());
    }
    let kind = if source.is_some_and(|source| source.starts_with('/')) { MountKind::Bind } else { MountKind::Volume };
    let mut mount = mount_request(kind, source.map(str::to_owned), destination);
    mount.mode = mode.to_owned();
    for option in mode.split(',').filter(|option| !option.is_empty()) {
        match option {
            "ro" => mount.read_only = true,
            "rw" | "z" | "Z" | "cached" | "delegated" | "consistent" => {}
            "nocopy" => mount.no_copy = true,
            "private" | "rprivate" | "shared" | "rshared" | "slave" | "rslave" => {
                option.clone_into(&mut mount.propagation);
            }
            _ => return Err(Failure::invalid(format!("invalid mode: {mode}"))),
        }
    }
    Ok(mount)
}

fn long_mount(mount: models::Mount) -> Result<MountRequest> {
    use models::MountType as Kind;
    let kind = match mount.typ {
        Some(Kind::BIND) => MountKind::Bind,
        Some(Kind::VOLUME) => MountKind::Volume,
        Some(Kind::TMPFS) => MountKind::Tmpfs,
        Some(Kind::IMAGE) => MountKind::Image,
        other => {
            let name = other.map(|kind| kind.to_string()).unwrap_or_default();
            return Err(Failure::invalid(format!("mount type `{name}` is not supported yet")));
        }
    };
    let source = mount.source.filter(|source| !source.is_empty());
    let mut request = mount_request(kind, source, &mount.target.unwrap_or_default());
    request.read_only = mount.read_only.unwrap_or_default();
    if let Some(bind) = mount.bind_options {
        request.propagation = bind.propagation.map(|propagation| propagation.to_string()).unwrap_or_default();
        request.create_source = bind.create_mountpoint.unwrap_or_default();
    } else {
        request.create_source = kind != MountKind::Bind;
    }
    if let Some(volume) = mount.volume_options {
        let driver = volume.driver_config.unwrap_or_default();
        if driver.name.as_deref().is_some_and(|name| !matches!(name, "" | "local"))
            || driver.options.is_some_and(|options| !options.is_empty())
        {
            return Err(unsupported("the mount option `VolumeOptions.DriverConfig`".to_owned()));
        }
        if volume.labels.is_some_and(|labels| !labels.is_empty()) {
            return Err(unsupported("the mount option `VolumeOptions.Labels`".to_owned()));
        }
        request.no_copy = volume.no_copy.unwrap_or_default();
        // Refused by the engine, before it creates the volume.
        request.subpath = volume.subpath.filter(|path| !path.is_empty()).map(PathBuf::from);
    }
    if let Some(image) = mount.image_options {
        request.subpath = image.subpath.filter(|path| !path.is_empty()).map(PathBuf::from);
    }
    if let Some(tmpfs) = mount.tmpfs_options {
        request.tmpfs_options.extend(tmpfs.size_bytes.filter(|size| *size > 0).map(|size| format!("size={size}")));
        request.tmpfs_options.extend(tmpfs.mode.map(|mode| format!("mode={mode:o}")));
    }
    Ok(request)
}

/// `--security-opt`: what concerns seccomp and privileges; labels of LSMs that are not there are accepted as `disable`.
fn security_options(options: &[String]) -> Result<(Seccomp, bool)> {
    let (mut seccomp, mut no_new_privileges) = (Seccomp::Default, false);
    for option in options {
        let (key, value) = option.split_once(['=', ':']).unwrap_or((option, ""));
        match (key, value) {
            ("no-new-privileges", "" | "true") => no_new_privileges = true,
            ("no-new-privileges", "false") => no_new_privileges = false,
            ("seccomp", "unconfined") => seccomp = Seccomp::Unconfined,
            ("seccomp", "builtin" | "") => seccomp = Seccomp::Default,
            ("seccomp", profile) => seccomp = Seccomp::Custom(profile.to_owned()),
            ("apparmor", "unconfined") | ("label", "disable") | ("systempaths", "unconfined") => {}
            _ => return Err(Failure::invalid(format!("invalid --security-opt 2: {option:?}"))),
        }
    }
    Ok((seccomp, no_new_privileges))
}

fn network_mode(engine: &Engine, mode: &str) -> Result<NetworkMode> {
    Ok(match mode {
        "" | "default" | "bridge" => NetworkMode::Default,
        "none" => NetworkMode::None,
        "host" => NetworkMode::Host,
        other => match other.strip_prefix("container:") {
            // Not 404, which would make clients pull the image.
            Some(name) => NetworkMode::Container(engine.container(name).map_err(Failure::invalid)?.id.clone()),
            None => NetworkMode::Named(other.to_owned()),
        },
    })
}

fn ns_mode(engine: &Engine, what: &str, mode: Option<&str>) -> Result<NsMode> {
    Ok(match mode.unwrap_or_default() {
        "" | "private" | "shareable" => NsMode::Private,
        "host" => NsMode::Host,
        other => match other.strip_prefix("container:") {
            Some(name) => NsMode::Container(engine.container(name).map_err(Failure::invalid)?.id.clone()),
            None => return Err(Failure::invalid(format!("invalid {what} mode: {other}"))),
        },
    })
}

fn publish(bindings: models::PortMap) -> Result<Vec<PublishRequest>> {
    let mut requests = Vec::new();
    for (port, bindings) in bindings {
        let port: Port = port.parse().map_err(Failure::invalid)?;
        for binding in bindings.unwrap_or_default() {
            let host_ip = binding.host_ip.filter(|text| !text.is_empty()).map(|text| address(&text)).transpose()?;
            let host_ports = binding.host_port.unwrap_or_default();
            let range = |text: &str| -> Option<(u16, u16)> {
                match text.split_once('-') {
                    _ if text.is_empty() => Some((0, 0)),
                    None => text.parse().ok().map(|port| (port, port)),
                    Some((first, last)) => Some((first.parse().ok()?, last.parse().ok()?)).filter(|(a, b)| a <= b),
                }
            };
            let host_ports = range(&host_ports)
                .ok_or_else(|| Failure::invalid(format!("invalid port specification: {host_ports}")))?;
            requests.push(PublishRequest { port, host_ip, host_ports });
        }
    }
    // The map has no order; explicit ports first, so that a free one is never taken from under them.
    requests.sort_by_key(|request| (request.host_ports.0 == 0, request.port, request.host_ports));
    Ok(requests)
}

pub(crate) fn restart_policy(policy: Option<models::RestartPolicy>) -> Result<RestartPolicy> {
    use models::RestartPolicyNameEnum as Name;
    let policy = policy.unwrap_or_default();
    let retries = policy.maximum_retry_count.unwrap_or(0);
    let count = u32::try_from(retries).map_err(|_| Failure::invalid("maximum retry count cannot be negative"))?;
    let name = policy.name.unwrap_or(Name::EMPTY);
    if count > 0 && name != Name::ON_FAILURE {
        return Err(Failure::invalid("maximum retry count can only be used with 'on-failure'"));
    }
    Ok(match name {
        Name::EMPTY | Name::NO => RestartPolicy::No,
        Name::ALWAYS => RestartPolicy::Always,
        Name::UNLESS_STOPPED => RestartPolicy::UnlessStopped,
        Name::ON_FAILURE => RestartPolicy::OnFailure(count),
    })
}

/// What the client wants of a network.
pub(crate) fn endpoint(settings: models::EndpointSettings) -> Result<EndpointRequest> {
    let ipam = settings.ipam_config.unwrap_or_default();
    if ipam.link_local_ips.is_some_and(|addresses| !addresses.is_empty()) {
        return Err(unsupported("the endpoint option `LinkLocalIPs`".to_owned()));
    }
    let ipv4 = ipam.ipv4_address.filter(|text| !text.is_empty());
    let ipv4 = ipv4.map(|text| text.parse().map_err(|_| Failure::invalid(format!("invalid IPv4 address: {text}"))));
    let ipv6 = ipam.ipv6_address.filter(|text| !text.is_empty());
    let ipv6 = ipv6.map(|text| text.parse().map_err(|_| Failure::invalid(format!("invalid IPv6 address: {text}"))));
    Ok(EndpointRequest {
        network: None,
        aliases: settings.aliases.unwrap_or_default(),
        ipv4: ipv4.transpose()?,
        ipv6: ipv6.transpose()?,
        mac: settings.mac_address.filter(|text| !text.is_empty()),
        links: settings.links.unwrap_or_default(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn refused(host: Value) -> bool {
        let host: models::HostConfig = serde_json::from_value(host).expect("a host configuration");
        let mounts = host.mounts.clone().unwrap_or_default();
        refuse_unsupported(&host).is_err()
            || super::super::log_options::parse(host.log_config).is_err()
            || blkio_weight(host.blkio_weight).is_err()
            || mounts.into_iter().any(|mount| long_mount(mount).is_err())
    }

    #[test]
    fn what_is_not_carried_out_is_refused() {
        for host in [
            json!({ "Links": ["db:db"] }),
            json!({ "DeviceRequests": [{ "Count": -1, "Capabilities": [["gpu"]] }] }),
            json!({ "UsernsMode": "private" }),
            json!({ "StorageOpt": { "size": "10G" } }),
            json!({ "VolumeDriver": "nfs" }),
            json!({ "CgroupParent": "/x" }),
            json!({ "CpuRealtimeRuntime": 1000 }),
            json!({ "BlkioWeight": 5 }),
            json!({ "BlkioDeviceReadBps": [{ "Path": "/dev/sda", "Rate": 1 }] }),
            json!({ "LogConfig": { "Type": "json-file", "Config": { "mode": "fast" } } }),
            json!({ "Mounts": [{ "Type": "volume", "Target": "/x", "VolumeOptions": { "Labels": { "a": "b" } } }] }),
            json!({ "Mounts": [{ "Type": "volume", "Target": "/x", "VolumeOptions": { "DriverConfig": { "Name": "nfs" } } }] }),
        ] {
            assert!(refused(host.clone()), "{host}");
        }
    }

    /// As `docker run` and Compose send it: everything, mostly empty.
    #[test]
    fn empty_fields_ask_for_nothing() {
        let host = r#"{
            "Binds": null, "ContainerIDFile": "", "LogConfig": { "Type": "", "Config": {} }, "NetworkMode": "default",
            "PortBindings": {}, "RestartPolicy": { "Name": "no", "MaximumRetryCount": 0 }, "AutoRemove": false,
            "VolumeDriver": "", "VolumesFrom": null, "ConsoleSize": [0, 0], "CapAdd": null, "CapDrop": null,
            "CgroupnsMode": "", "Dns": [], "DnsOptions": [], "DnsSearch": [], "ExtraHosts": null, "GroupAdd": null,
            "IpcMode": "", "Cgroup": "", "Links": null, "OomScoreAdj": 0, "PidMode": "", "Privileged": false,
            "UTSMode": "", "UsernsMode": "", "ShmSize": 0, "Isolation": "", "CpuShares": 0, "Memory": 0, "NanoCpus": 0,
            "CgroupParent": "", "BlkioWeight": 0, "BlkioWeightDevice": [], "BlkioDeviceReadBps": [],
            "BlkioDeviceWriteBps": [], "BlkioDeviceReadIOps": [], "BlkioDeviceWriteIOps": [], "CpuPeriod": 0,
            "CpuQuota": 0, "CpuRealtimePeriod": 0, "CpuRealtimeRuntime": 0, "CpusetCpus": "", "CpusetMems": "",
            "Devices": [], "DeviceCgroupRules": null, "DeviceRequests": null, "MemoryReservation": 0, "MemorySwap": 0,
            "MemorySwappiness": -1, "OomKillDisable": false, "PidsLimit": 0, "Ulimits": [], "CpuCount": 0,
            "CpuPercent": 0, "IOMaximumIOps": 0, "IOMaximumBandwidth": 0, "StorageOpt": {}, "MaskedPaths": null,
            "Mounts": [{ "Type": "volume", "Source": "v", "Target": "/v", "VolumeOptions": { "Labels": null } }]
        }"#;
        assert!(!refused(serde_json::from_str(host).expect("JSON")));
    }
}
