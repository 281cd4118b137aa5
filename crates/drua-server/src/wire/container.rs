//! Containers as Docker lists and inspects them.

use std::collections::BTreeMap;

use drua_engine::container::{HealthCheck, MountKind, MountPoint, NetworkMode};
use drua_engine::{Container, Endpoint, EngineConfig, Status};
use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::{time, words};

/// An entry of `GET /containers/json`. `image` is the image's name, or its id when it has lost the name.
pub(crate) fn summary(container: &Container, image: &str, now: Timestamp) -> Value {
    json!({
        "Id": container.id,
        "Names": [format!("/{}", container.name)],
        "Image": image,
        "ImageID": container.image,
        "Command": command(&container.args()),
        "Created": container.created.as_second(),
        "Ports": ports(container),
        "Labels": container.config.labels,
        "State": container.state.status.as_str(),
        "Status": words::status(container, now),
        "HostConfig": { "NetworkMode": network_mode(container) },
        "NetworkSettings": { "Networks": networks(container) },
        "Mounts": container.mounts.iter().map(mount).collect::<Vec<_>>(),
    })
}

/// The command line as `docker ps` shows it: words with spaces are quoted.
fn command(args: &[String]) -> String {
    let quote =
        |word: &String| if word.contains(' ') { format!("'{}'", word.replace('\'', "'\\''")) } else { word.clone() };
    args.iter().map(quote).collect::<Vec<_>>().join(" ")
}

fn network_mode(container: &Container) -> String {
    match &container.host.network_mode {
        NetworkMode::Default => "bridge".to_owned(),
        NetworkMode::None => "none".to_owned(),
        NetworkMode::Host => "host".to_owned(),
        NetworkMode::Container(id) => format!("container:{id}"),
        NetworkMode::Named(name) => name.clone(),
    }
}

fn ports(container: &Container) -> Vec<Value> {
    let mut ports: Vec<Value> = container
        .published
        .iter()
        .map(|published| {
            json!({
                "IP": published.host_ip.to_string(),
                "PrivatePort": published.port.number,
                "PublicPort": published.host_port,
                "Type": published.port.protocol.to_string(),
            })
        })
        .collect();
    let is_published = |port| container.published.iter().any(|published| published.port == port);
    let silent = container.config.exposed_ports.iter().filter(|port| !is_published(**port));
    ports.extend(silent.map(|port| json!({ "PrivatePort": port.number, "Type": port.protocol.to_string() })));
    ports
}

fn networks(container: &Container) -> Map<String, Value> {
    let special = match container.host.network_mode {
        NetworkMode::None => Some("none"),
        NetworkMode::Host => Some("host"),
        NetworkMode::Default | NetworkMode::Container(_) | NetworkMode::Named(_) => None,
    };
    let wanted = container.requests.keys().map(String::as_str).chain(special);
    wanted.map(|name| (name.to_owned(), endpoint(container, name))).collect()
}

/// Docker's `EndpointSettings`: plain addresses, empty strings while there is no endpoint.
fn endpoint(container: &Container, name: &str) -> Value {
    let request = container.requests.get(name).cloned().unwrap_or_default();
    let live: Option<&Endpoint> = container.endpoints.get(name);
    let mut ipam = Map::new();
    ipam.extend(request.ipv4.map(|address| ("IPv4Address".to_owned(), json!(address.to_string()))));
    ipam.extend(request.ipv6.map(|address| ("IPv6Address".to_owned(), json!(address.to_string()))));
    let ipv6 = live.and_then(|endpoint| endpoint.ipv6);
    let text = |value: Option<String>| value.unwrap_or_default();
    json!({
        "IPAMConfig": if ipam.is_empty() { Value::Null } else { json!(ipam) },
        "Links": if request.links.is_empty() { Value::Null } else { json!(request.links) },
        "Aliases": if request.aliases.is_empty() { Value::Null } else { json!(request.aliases) },
        "MacAddress": text(live.map(|endpoint| endpoint.mac.clone())),
        "DriverOpts": request.ifname.map(|name| json!({ "com.docker.network.endpoint.ifname": name })),
        "GwPriority": request.gw_priority,
        "NetworkID": text(request.network.map(|id| id.to_string())),
        "EndpointID": text(live.map(|endpoint| endpoint.id.to_string())),
        "Gateway": text(live.and_then(|endpoint| endpoint.gateway).map(|gateway| gateway.to_string())),
        "IPAddress": text(live.map(|endpoint| endpoint.address.to_string())),
        "IPPrefixLen": live.map_or(0, |endpoint| endpoint.prefix_len),
        "IPv6Gateway": text(ipv6.and_then(|ipv6| ipv6.gateway).map(|gateway| gateway.to_string())),
        "GlobalIPv6Address": text(ipv6.map(|ipv6| ipv6.address.to_string())),
        "GlobalIPv6PrefixLen": ipv6.map_or(0, |ipv6| ipv6.prefix_len),
        "DNSNames": live.map(|endpoint| endpoint.dns_names.clone()),
    })
}

fn mount(mount: &MountPoint) -> Value {
    let kind = match mount.kind {
        MountKind::Bind => "bind",
        MountKind::Volume => "volume",
        MountKind::Tmpfs => "tmpfs",
        MountKind::Image => "image",
    };
    let mut value = json!({
        "Type": kind,
        "Source": mount.source,
        "Destination": mount.destination,
        "Mode": mount.mode,
        "RW": mount.writable,
        "Propagation": mount.propagation,
    });
    if let Some(name) = &mount.name {
        value["Name"] = json!(name);
        if mount.kind == MountKind::Volume {
            value["Driver"] = json!("local");
        }
    }
    value
}

/// `GET /containers/{}/json`.
pub(crate) fn inspect(container: &Container, config: &EngineConfig, sizes: Option<(u64, u64)>) -> Value {
    let args = container.args();
    let dir = config.data_root.join("containers").join(container.id.as_str());
    let running = container.state.status != Status::Created;
    let log_path = if running { container.log_path(config).display().to_string() } else { String::new() };
    let mut value = json!({
        "Id": container.id,
        "Created": time(Some(container.created)),
        "Path": args.first(),
        "Args": args.get(1..).unwrap_or_default(),
        "State": state(container),
        "Image": container.image,
        "ResolvConfPath": dir.join("resolv.conf"),
        "HostnamePath": dir.join("hostname"),
        "HostsPath": dir.join("hosts"),
        "LogPath": log_path,
        "Name": format!("/{}", container.name),
        "RestartCount": container.restart_count,
        "Driver": "overlayfs",
        "Platform": container.platform.os(),
        "MountLabel": "",
        "ProcessLabel": "",
        "AppArmorProfile": "",
        "ExecIDs": null,
        "HostConfig": container.echo,
        "GraphDriver": { "Name": "overlayfs", "Data": null },
        "Mounts": container.mounts.iter().map(mount).collect::<Vec<_>>(),
        "Config": config_json(container),
        "NetworkSettings": network_settings(container, config),
        "ImageManifestDescriptor": {
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "digest": container.manifest,
            "size": 0,
            "platform": { "architecture": container.platform.architecture(), "os": container.platform.os() },
        },
    });
    if let Some((writable, total)) = sizes {
        value["SizeRw"] = json!(writable);
        value["SizeRootFs"] = json!(total);
    }
    value
}

fn state(container: &Container) -> Value {
    let state = &container.state;
    let mut value = json!({
        "Status": state.status.as_str(),
        "Running": state.status.is_running(),
        "Paused": state.status == Status::Paused,
        "Restarting": state.status == Status::Restarting,
        "OOMKilled": state.oom_killed,
        "Dead": false,
        "Pid": state.pid,
        "ExitCode": state.exit_code,
        "Error": state.error,
        "StartedAt": time(state.started_at),
        "FinishedAt": time(state.finished_at),
    });
    if let Some(health) = &container.health {
        let results = health.log.iter().map(|result| {
            json!({
                "Start": time(Some(result.start)),
                "End": time(Some(result.end)),
                "ExitCode": result.exit_code,
                "Output": result.output,
            })
        });
        value["Health"] = json!({
            "Status": health.status.as_str(),
            "FailingStreak": health.failing_streak,
            "Log": results.collect::<Vec<_>>(),
        });
    }
    value
}

fn config_json(container: &Container) -> Value {
    let config = &container.config;
    let nullable = |list: &Vec<String>| if list.is_empty() { Value::Null } else { json!(list) };
    let empty_objects =
        |keys: Vec<String>| keys.into_iter().map(|key| (key, json!({}))).collect::<Map<String, Value>>();
    let [stdin, stdout, stderr] = config.attach;
    let mut value = json!({
        "Hostname": config.hostname,
        "Domainname": config.domainname,
        "User": config.user,
        "AttachStdin": stdin,
        "AttachStdout": stdout,
        "AttachStderr": stderr,
        "Tty": config.tty,
        "OpenStdin": config.open_stdin,
        "StdinOnce": config.stdin_once,
        "Env": config.env,
        "Cmd": nullable(&config.cmd),
        "Image": config.image,
        "Volumes": if config.volumes.is_empty() {
            Value::Null
        } else {
            json!(empty_objects(config.volumes.iter().cloned().collect()))
        },
        "WorkingDir": config.working_dir,
        "Entrypoint": nullable(&config.entrypoint),
        "OnBuild": null,
        "Labels": config.labels,
    });
    if !config.exposed_ports.is_empty() {
        value["ExposedPorts"] = json!(empty_objects(config.exposed_ports.iter().map(ToString::to_string).collect()));
    }
    if let Some(signal) = config.stop_signal {
        value["StopSignal"] = json!(signal);
    }
    if let Some(timeout) = config.stop_timeout {
        value["StopTimeout"] = json!(timeout);
    }
    if let Some(check) = &config.healthcheck {
        value["Healthcheck"] = healthcheck(check);
    }
    if !config.shell.is_empty() {
        value["Shell"] = json!(config.shell);
    }
    value
}

fn healthcheck(check: &HealthCheck) -> Value {
    let nanos = |duration: std::time::Duration| u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
    json!({
        "Test": check.test,
        "Interval": nanos(check.interval),
        "Timeout": nanos(check.timeout),
        "StartPeriod": nanos(check.start_period),
        "StartInterval": nanos(check.start_interval),
        "Retries": check.retries,
    })
}

fn network_settings(container: &Container, config: &EngineConfig) -> Value {
    let bridge = container.endpoints.get("bridge");
    let ipv6 = bridge.and_then(|endpoint| endpoint.ipv6);
    let text = |value: Option<String>| value.unwrap_or_default();
    let mut bound: BTreeMap<String, Value> =
        container.config.exposed_ports.iter().map(|port| (port.to_string(), Value::Null)).collect();
    for published in &container.published {
        let binding = json!({ "HostIp": published.host_ip.to_string(), "HostPort": published.host_port.to_string() });
        match bound.entry(published.port.to_string()).or_insert(Value::Null) {
            Value::Array(bindings) => bindings.push(binding),
            slot => *slot = json!([binding]),
        }
    }
    let netns = config.exec_root.join("netns").join(&container.id.as_str()[..32]);
    json!({
        "Bridge": "",
        "SandboxID": container.id,
        "SandboxKey": netns,
        "Ports": bound,
        "HairpinMode": false,
        "LinkLocalIPv6Address": "",
        "LinkLocalIPv6PrefixLen": 0,
        "SecondaryIPAddresses": null,
        "SecondaryIPv6Addresses": null,
        "EndpointID": text(bridge.map(|endpoint| endpoint.id.to_string())),
        "Gateway": text(bridge.and_then(|endpoint| endpoint.gateway).map(|gateway| gateway.to_string())),
        "GlobalIPv6Address": text(ipv6.map(|ipv6| ipv6.address.to_string())),
        "GlobalIPv6PrefixLen": ipv6.map_or(0, |ipv6| ipv6.prefix_len),
        "IPAddress": text(bridge.map(|endpoint| endpoint.address.to_string())),
        "IPPrefixLen": bridge.map_or(0, |endpoint| endpoint.prefix_len),
        "IPv6Gateway": text(ipv6.and_then(|ipv6| ipv6.gateway).map(|gateway| gateway.to_string())),
        "MacAddress": text(bridge.map(|endpoint| endpoint.mac.clone())),
        "Networks": networks(container),
    })
}
