//! Networks, names and ports.

use std::net::IpAddr;

use drua_api::models;
use drua_engine::container::{IpcMode, NetworkMode, NsMode, PublishRequest};
use drua_engine::{EndpointRequest, Engine};
use drua_types::Port;

use super::{Result, unsupported};
use crate::http::Failure;

pub(super) fn address(text: &str) -> Result<IpAddr> {
    text.parse().map_err(|_| Failure::invalid(format!("invalid IP address: {text}")))
}

/// `name:address` lines; the address may be the word `host-gateway`.
pub(super) fn extra_hosts(lines: Vec<String>) -> Result<Vec<String>> {
    for line in &lines {
        let parts = line.split_once([':', '=']).filter(|(name, _)| !name.is_empty());
        let Some((_, value)) = parts else {
            return Err(Failure::invalid(format!("bad format for add-host: {line:?}")));
        };
        let bare = value.trim_start_matches('[').trim_end_matches(']');
        if value != "host-gateway" && bare.parse::<IpAddr>().is_err() {
            return Err(Failure::invalid(format!("invalid IP address in add-host: {value:?}")));
        }
    }
    Ok(lines)
}

pub(super) fn network_mode(engine: &Engine, mode: &str) -> Result<NetworkMode> {
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

pub(super) fn ns_mode(engine: &Engine, what: &str, mode: Option<&str>) -> Result<NsMode> {
    Ok(match mode.unwrap_or_default() {
        "" | "private" | "shareable" => NsMode::Private,
        "host" => NsMode::Host,
        other => match other.strip_prefix("container:") {
            Some(name) => NsMode::Container(engine.container(name).map_err(Failure::invalid)?.id.clone()),
            None => return Err(Failure::invalid(format!("invalid {what} mode: {other}"))),
        },
    })
}

/// `none`, `private`, `shareable`, `host` or `container:<name>`.
pub(super) fn ipc_mode(engine: &Engine, mode: Option<&str>) -> Result<IpcMode> {
    Ok(match mode.unwrap_or_default() {
        "" | "private" => IpcMode::Private,
        "none" => IpcMode::None,
        "shareable" => IpcMode::Shareable,
        "host" => IpcMode::Host,
        other => match other.strip_prefix("container:") {
            Some(name) => IpcMode::Container(engine.container(name).map_err(Failure::invalid)?.id.clone()),
            None => return Err(Failure::invalid(format!("invalid IPC mode: {other}"))),
        },
    })
}

pub(super) fn publish(bindings: models::PortMap) -> Result<Vec<PublishRequest>> {
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

/// Names the interface in the container.
const IFNAME: &str = "com.docker.network.endpoint.ifname";

/// What the kernel takes (`dev_valid_name`), except for names that are taken or would be numbered by it.
fn is_interface_name(name: &str) -> bool {
    let odd = |byte: u8| byte <= b' ' || matches!(byte, b'/' | b':' | b'%' | 0x7f..);
    !matches!(name, "" | "." | ".." | "lo") && name.len() <= 15 && !name.bytes().any(odd)
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
    let mut ifname = None;
    for (option, value) in settings.driver_opts.unwrap_or_default() {
        match option.as_str() {
            IFNAME if is_interface_name(&value) => ifname = Some(value),
            IFNAME => return Err(Failure::invalid(format!("invalid interface name: {value:?}"))),
            other => return Err(unsupported(format!("the endpoint's driver option `{other}`"))),
        }
    }
    Ok(EndpointRequest {
        network: None,
        gw_priority: settings.gw_priority.unwrap_or_default(),
        ifname,
        aliases: settings.aliases.unwrap_or_default(),
        ipv4: ipv4.transpose()?,
        ipv6: ipv6.transpose()?,
        mac: settings.mac_address.filter(|text| !text.is_empty()),
        links: settings.links.unwrap_or_default(),
    })
}
