//! `HostConfig`: how the container runs on this host.

use drua_api::models;
use drua_engine::container::{Device, HostConfig, Ulimit};
use drua_engine::{Engine, Settings};

use super::resources::resources;
use super::{Result, mounts, network, security, unsupported};
use crate::http::Failure;

/// The daemon's settings where the container says nothing.
fn defaults(host: &mut models::HostConfig, settings: &Settings) {
    let shares = host.network_mode.as_deref().is_some_and(|mode| mode.starts_with("container:"));
    let set = |list: &mut Option<Vec<String>>, default: &[String]| {
        if list.as_ref().is_none_or(Vec::is_empty) && !shares {
            *list = Some(default.to_vec());
        }
    };
    set(&mut host.dns, &settings.dns);
    set(&mut host.dns_options, &settings.dns_options);
    set(&mut host.dns_search, &settings.dns_search);
    let blank = |text: &Option<String>| text.as_deref().unwrap_or_default().is_empty();
    if blank(&host.runtime) && !settings.default_runtime.is_empty() {
        host.runtime = Some(settings.default_runtime.clone());
    }
    if blank(&host.ipc_mode) && settings.ipc_shareable {
        host.ipc_mode = Some("shareable".to_owned());
    }
    if host.cgroupns_mode.is_none_or(|mode| mode == models::HostConfigCgroupnsModeEnum::EMPTY) && settings.cgroupns_host
    {
        host.cgroupns_mode = Some(models::HostConfigCgroupnsModeEnum::HOST);
    }
    if host.shm_size.unwrap_or(0) == 0 {
        host.shm_size = settings.shm_size.and_then(|bytes| i64::try_from(bytes).ok());
    }
    host.init = Some(host.init.unwrap_or(settings.init));
    let log = host.log_config.get_or_insert_default();
    if blank(&log.typ) && !settings.log_driver.is_empty() {
        log.typ = Some(settings.log_driver.clone());
    }
    let own = settings.log_driver.as_str();
    if log.typ.as_deref().unwrap_or_default() == own || (own.is_empty() && log.typ.as_deref() == Some("json-file")) {
        let options = log.config.get_or_insert_default();
        for (key, value) in &settings.log_options {
            options.entry(key.clone()).or_insert_with(|| value.clone());
        }
    }
    let ulimits = host.ulimits.get_or_insert_default();
    for limit in &settings.ulimits {
        if !ulimits.iter().any(|own| own.name.as_deref() == Some(&limit.name)) {
            ulimits.push(models::ResourcesUlimits {
                name: Some(limit.name.clone()),
                soft: Some(limit.soft),
                hard: Some(limit.hard),
            });
        }
    }
}

/// Refuses what cannot be done.
pub(super) fn verify(host: &models::HostConfig) -> Result<()> {
    refuse_unsupported(host)?;
    check(host)
}

/// Says no to what would otherwise be accepted and ignored. Clients send the whole structure, so empty, zero and `false`
/// ask for nothing.
fn refuse_unsupported(host: &models::HostConfig) -> Result<()> {
    let text = |text: &Option<String>, harmless: &[&str]| {
        text.as_deref().filter(|text| !text.is_empty() && !harmless.contains(text)).map(str::to_owned)
    };
    if let Some(request) = host.device_requests.iter().flatten().next() {
        return Err(Failure::invalid(device_request(request)));
    }
    if let Some(mode) = text(&host.userns_mode, &["host"]) {
        return Err(Failure::invalid(format!("invalid user namespace mode: {mode}")));
    }
    if let Some(isolation) =
        host.isolation.map(|isolation| isolation.to_string()).filter(|i| !i.is_empty() && i != "default")
    {
        return Err(Failure::invalid(format!("invalid isolation '{isolation}' on linux")));
    }
    if let Some(option) = host.storage_opt.iter().flatten().next() {
        return Err(Failure::invalid(format!(
            "--storage-opt {}={} is not supported: the writable layers of containers share the data root's space",
            option.0, option.1
        )));
    }
    let windows = [
        ("CpuCount", host.cpu_count),
        ("CpuPercent", host.cpu_percent),
        ("IOMaximumIOps", host.io_maximum_iops),
        ("IOMaximumBandwidth", host.io_maximum_bandwidth),
    ];
    if let Some((field, _)) = windows.iter().find(|(_, value)| value.is_some_and(|value| value != 0)) {
        return Err(Failure::invalid(format!("invalid option: {field} is for Windows containers")));
    }
    match text(&host.cgroup, &[]) {
        Some(_) => Err(unsupported("the option `Cgroup`".to_owned())),
        None => Ok(()),
    }
}

/// Why a device driver's devices are not there.
fn device_request(request: &models::DeviceRequest) -> String {
    let driver = request.driver.clone().unwrap_or_default();
    let capabilities: Vec<String> = request.capabilities.iter().flatten().map(|all| all.join(",")).collect();
    match driver.as_str() {
        "cdi" => format!(
            "CDI device injection failed: unresolvable CDI devices {}: there are no CDI specifications in /etc/cdi or /var/run/cdi",
            request.device_ids.clone().unwrap_or_default().join(", ")
        ),
        _ => format!(
            "could not select device driver \"{driver}\" with capabilities: [[{}]]: pass devices by path instead, for example `--device /dev/dri`",
            capabilities.join("] [")
        ),
    }
}

fn check(host: &models::HostConfig) -> Result<()> {
    if host.shm_size.is_some_and(|bytes| bytes < 0) {
        return Err(Failure::invalid("SHM size can not be less than 0"));
    }
    if let Some(score) = host.oom_score_adj.filter(|score| !(-1000..=1000).contains(score)) {
        return Err(Failure::invalid(format!("Invalid value {score}, range for oom score adj is [-1000, 1000]")));
    }
    let parent = host.cgroup_parent.as_deref().unwrap_or_default();
    if parent.split('/').any(|part| part == "..") || parent.contains(|c: char| c.is_control()) {
        return Err(Failure::invalid(format!("invalid cgroup parent: {parent:?}")));
    }
    if parent.ends_with(".slice") {
        return Err(Failure::invalid(
            "cgroup-parent for the cgroupfs driver is a path such as \"/group\", not a systemd slice",
        ));
    }
    annotations(host)?;
    for key in host.sysctls.iter().flatten().map(|(key, _)| key) {
        sysctl(key, host)?;
    }
    for rule in host.device_cgroup_rules.iter().flatten() {
        if !is_device_rule(rule) {
            return Err(Failure::invalid(format!("invalid device cgroup rule format: '{rule}'")));
        }
    }
    for device in host.devices.iter().flatten() {
        let access = device.cgroup_permissions.as_deref().unwrap_or("rwm");
        if access.bytes().any(|byte| !b"rwm".contains(&byte)) {
            return Err(Failure::invalid(format!("invalid device mode: {access}")));
        }
    }
    Ok(())
}

/// What annotations a user may give: not those by which the engine talks to the shim, but for how a Wasm guest runs.
fn annotations(host: &models::HostConfig) -> Result<()> {
    let Some(given) = &host.annotations else { return Ok(()) };
    let ours = |key: &str| key.starts_with("dev.drua.") && !key.starts_with(drua_types::annotations::WASM_PREFIX);
    if let Some(key) = given.keys().find(|key| key.is_empty() || ours(key)) {
        return Err(Failure::invalid(format!("invalid annotation: `{key}` is not for users")));
    }
    let list = |key: &str| given.get(key).map(String::as_str).unwrap_or_default();
    let (allow, deny) = (list(drua_types::annotations::WASM_ALLOW), list(drua_types::annotations::WASM_DENY));
    drua_types::grants::Grants::parse(allow, deny).map_err(|error| Failure::invalid(error.to_string()))?;
    Ok(())
}

/// Only what the kernel keeps apart for each container (runc, `libcontainer/configs/validate`).
fn sysctl(key: &str, host: &models::HostConfig) -> Result<()> {
    const IPC: [&str; 8] = [
        "kernel.msgmax",
        "kernel.msgmnb",
        "kernel.msgmni",
        "kernel.sem",
        "kernel.shmall",
        "kernel.shmmax",
        "kernel.shmmni",
        "kernel.shm_rmid_forced",
    ];
    let is = |mode: &Option<String>, wanted: &str| mode.as_deref() == Some(wanted);
    let dotted = key.replace('/', ".");
    let malformed = key.is_empty() || key.contains("..") || key.contains(|c: char| c.is_whitespace() || c.is_control());
    let refusal = if malformed {
        "is not a kernel parameter"
    } else if IPC.contains(&dotted.as_str()) || dotted.starts_with("fs.mqueue.") {
        if !is(&host.ipc_mode, "host") {
            return Ok(());
        }
        "is not allowed in the host's IPC namespace"
    } else if dotted.starts_with("net.") {
        if !is(&host.network_mode, "host") {
            return Ok(());
        }
        "is not allowed in host network namespace"
    } else if matches!(dotted.as_str(), "kernel.domainname" | "kernel.hostname") {
        if dotted == "kernel.domainname" && !is(&host.uts_mode, "host") {
            return Ok(());
        }
        "is not allowed as it conflicts with the option for the host name"
    } else {
        "is not in a separate kernel namespace"
    };
    Err(Failure::invalid(format!("sysctl '{key}' {refusal}")))
}

/// `c 189:* rwm`
fn is_device_rule(rule: &str) -> bool {
    let words: Vec<&str> = rule.split(' ').collect();
    let [kind, numbers, access] = words.as_slice() else { return false };
    let number = |text: &str| text == "*" || text.parse::<u32>().is_ok();
    matches!(*kind, "a" | "b" | "c")
        && numbers.split_once(':').is_some_and(|(major, minor)| number(major) && number(minor))
        && (1..=3).contains(&access.len())
        && access.bytes().all(|byte| b"rwm".contains(&byte))
}

pub(super) fn host_config(
    engine: &Engine,
    mut host: models::HostConfig,
    warnings: &mut Vec<String>,
) -> Result<HostConfig> {
    defaults(&mut host, &engine.settings());
    verify(&host)?;
    let resources = resources(&host, warnings)?;
    let mut requests = Vec::new();
    for bind in host.binds.unwrap_or_default() {
        requests.push(mounts::bind(&bind)?);
    }
    for mount in host.mounts.unwrap_or_default() {
        requests.push(mounts::long(mount)?);
    }
    for (destination, options) in host.tmpfs.unwrap_or_default() {
        requests.push(mounts::tmpfs(&destination, &options)?);
    }
    let options = host.security_opt.unwrap_or_default();
    let security = security::options(&options, warnings)?;
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
        network_mode: network::network_mode(engine, host.network_mode.as_deref().unwrap_or_default())?,
        mounts: requests,
        volumes_from: host.volumes_from.unwrap_or_default(),
        publish: network::publish(host.port_bindings.unwrap_or_default())?,
        publish_all: host.publish_all_ports.unwrap_or_default(),
        restart: super::restart_policy(host.restart_policy)?,
        auto_remove: host.auto_remove.unwrap_or_default(),
        privileged: host.privileged.unwrap_or_default(),
        cap_add: host.cap_add.unwrap_or_default(),
        cap_drop: host.cap_drop.unwrap_or_default(),
        readonly_rootfs: host.readonly_rootfs.unwrap_or_default(),
        masked_paths: security.masked(host.masked_paths),
        readonly_paths: security.readonly(host.readonly_paths),
        seccomp: security.seccomp,
        no_new_privileges: security.no_new_privileges,
        resources,
        ulimits: host.ulimits.unwrap_or_default().into_iter().map(ulimit).collect(),
        sysctls: host.sysctls.unwrap_or_default().into_iter().collect(),
        shm_size: host.shm_size.filter(|bytes| *bytes > 0).map(i64::unsigned_abs),
        dns: addresses.iter().map(|text| network::address(text)).collect::<Result<_>>()?,
        dns_search: host.dns_search.unwrap_or_default(),
        dns_options: host.dns_options.unwrap_or_default(),
        extra_hosts: network::extra_hosts(host.extra_hosts.unwrap_or_default())?,
        init: host.init.unwrap_or_default(),
        runtime: host.runtime.unwrap_or_default(),
        log: crate::wire::log_options::parse(host.log_config)?,
        pid_mode: network::ns_mode(engine, "PID", host.pid_mode.as_deref())?,
        ipc_mode: network::ipc_mode(engine, host.ipc_mode.as_deref())?,
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
        cgroup_parent: host.cgroup_parent.unwrap_or_default(),
        annotations: host.annotations.unwrap_or_default().into_iter().collect(),
        volume_driver: host.volume_driver.unwrap_or_default(),
        links: host.links.unwrap_or_default(),
    })
}
