//! Containers as Docker lists and inspects them.

use std::borrow::Cow;
use std::collections::BTreeMap;

use drua_engine::container::{HealthCheck, MountKind, MountPoint, NetworkMode};
use drua_engine::{Container, Endpoint, EndpointRequest, EngineConfig, Status};
use drua_types::{ContainerId, Digest, NetworkId};
use jiff::Timestamp;
use serde::Serialize;
use serde_json::{Map, Value, json};

use super::{time, words};

/// An entry of `GET /containers/json`. Typed, unlike what is shown once: there may be a thousand in one answer.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Summary<'a> {
    id: &'a ContainerId,
    names: [String; 1],
    image: Cow<'a, str>,
    #[serde(rename = "ImageID")]
    image_id: &'a Digest,
    command: String,
    created: i64,
    ports: Vec<Value>,
    labels: &'a BTreeMap<String, String>,
    state: &'static str,
    status: String,
    host_config: HostSummary<'a>,
    network_settings: NetworkSummary<'a>,
    mounts: Vec<Value>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct HostSummary<'a> {
    network_mode: Cow<'a, str>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct NetworkSummary<'a> {
    networks: BTreeMap<&'a str, EndpointView<'a>>,
}

/// `image` is the image's name, or its id when it has lost the name.
pub(crate) fn summary<'a>(container: &'a Container, image: Cow<'a, str>, now: Timestamp) -> Summary<'a> {
    Summary {
        id: &container.id,
        names: [format!("/{}", container.name)],
        image,
        image_id: &container.image,
        command: command(&container.args()),
        created: container.created.as_second(),
        ports: ports(container),
        labels: &container.config.labels,
        state: container.state.status.as_str(),
        status: words::status(container, now),
        host_config: HostSummary { network_mode: network_mode(container) },
        network_settings: NetworkSummary { networks: networks(container) },
        mounts: container.mounts.iter().map(mount).collect(),
    }
}

/// The command line as `docker ps` shows it: words with spaces are quoted.
fn command(args: &[String]) -> String {
    let quote =
        |word: &String| if word.contains(' ') { format!("'{}'", word.replace('\'', "'\\''")) } else { word.clone() };
    args.iter().map(quote).collect::<Vec<_>>().join(" ")
}

fn network_mode(container: &Container) -> Cow<'_, str> {
    match &container.host.network_mode {
        NetworkMode::Default => "bridge".into(),
        NetworkMode::None => "none".into(),
        NetworkMode::Host => "host".into(),
        NetworkMode::Container(id) => format!("container:{id}").into(),
        NetworkMode::Named(name) => name.into(),
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

fn networks(container: &Container) -> BTreeMap<&str, EndpointView<'_>> {
    let special = match container.host.network_mode {
        NetworkMode::None => Some("none"),
        NetworkMode::Host => Some("host"),
        NetworkMode::Default | NetworkMode::Container(_) | NetworkMode::Named(_) => None,
    };
    let wanted = container.requests.iter().map(|(name, request)| (name.as_str(), Some(request)));
    let wanted = wanted.chain(special.map(|name| (name, None)));
    wanted.map(|(name, request)| (name, EndpointView::new(request, container.endpoints.get(name)))).collect()
}

/// Docker's `EndpointSettings`: plain addresses, empty strings while there is no endpoint.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "PascalCase")]
struct EndpointView<'a> {
    #[serde(rename = "IPAMConfig")]
    ipam_config: Option<BTreeMap<&'static str, String>>,
    links: Option<&'a [String]>,
    aliases: Option<&'a [String]>,
    mac_address: &'a str,
    driver_opts: Option<BTreeMap<&'static str, &'a str>>,
    gw_priority: i64,
    #[serde(rename = "NetworkID")]
    network_id: &'a str,
    #[serde(rename = "EndpointID")]
    endpoint_id: &'a str,
    gateway: String,
    #[serde(rename = "IPAddress")]
    ip_address: String,
    #[serde(rename = "IPPrefixLen")]
    ip_prefix_len: u8,
    #[serde(rename = "IPv6Gateway")]
    ipv6_gateway: String,
    #[serde(rename = "GlobalIPv6Address")]
    global_ipv6_address: String,
    #[serde(rename = "GlobalIPv6PrefixLen")]
    global_ipv6_prefix_len: u8,
    #[serde(rename = "DNSNames")]
    dns_names: Option<&'a [String]>,
}

impl<'a> EndpointView<'a> {
    fn new(request: Option<&'a EndpointRequest>, live: Option<&'a Endpoint>) -> Self {
        fn text(value: Option<impl ToString>) -> String {
            value.map(|value| value.to_string()).unwrap_or_default()
        }
        let mut view = Self::default();
        if let Some(request) = request {
            let some = |list: &'a [String]| Some(list).filter(|list| !list.is_empty());
            let ipv4 = request.ipv4.map(|address| ("IPv4Address", address.to_string()));
            let ipv6 = request.ipv6.map(|address| ("IPv6Address", address.to_string()));
            let ipam: BTreeMap<_, _> = ipv4.into_iter().chain(ipv6).collect();
            view.ipam_config = Some(ipam).filter(|ipam| !ipam.is_empty());
            view.links = some(&request.links);
            view.aliases = some(&request.aliases);
            let ifname = request.ifname.as_deref();
            view.driver_opts = ifname.map(|name| BTreeMap::from([("com.docker.network.endpoint.ifname", name)]));
            view.gw_priority = request.gw_priority;
            view.network_id = request.network.as_ref().map_or("", NetworkId::as_str);
        }
        if let Some(live) = live {
            view.mac_address = &live.mac;
            view.endpoint_id = &live.id;
            view.gateway = text(live.gateway);
            view.ip_address = live.address.to_string();
            view.ip_prefix_len = live.prefix_len;
            view.ipv6_gateway = text(live.ipv6.and_then(|ipv6| ipv6.gateway));
            view.global_ipv6_address = text(live.ipv6.map(|ipv6| ipv6.address));
            view.global_ipv6_prefix_len = live.ipv6.map_or(0, |ipv6| ipv6.prefix_len);
            view.dns_names = Some(&live.dns_names);
        }
        view
    }
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
