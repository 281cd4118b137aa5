use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::ops::RangeInclusive;

use anyhow::{Context as _, bail};
use drua_api::models::PortBinding;
use drua_types::Protocol;

/// Published and exposed ports: `80/tcp` to where it is published.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Published {
    pub(crate) exposed: BTreeSet<String>,
    pub(crate) bindings: BTreeMap<String, Vec<PortBinding>>,
}

/// Reads `--publish` and `--expose` values.
pub(crate) fn published(publish: &[String], expose: &[String]) -> anyhow::Result<Published> {
    let mut result = Published::default();
    for text in publish {
        publish_one(text, &mut result).with_context(|| format!("bad port `{text}`"))?;
    }
    for text in expose {
        if text.contains(':') {
            bail!("invalid port format for --expose: {text}");
        }
        let (ports, protocol) = container_ports(text).with_context(|| format!("bad port `{text}`"))?;
        result.exposed.extend(ports.map(|port| format!("{port}/{protocol}")));
    }
    Ok(result)
}

/// `[[ip:][host port or range]:]container port or range[/protocol]`
fn publish_one(text: &str, result: &mut Published) -> anyhow::Result<()> {
    let (ip, host, container) = split(text)?;
    let (container, protocol) = container_ports(container)?;
    let host =
        if host.is_empty() { None } else { Some(range(host).with_context(|| format!("invalid host port: {host}"))?) };
    let span = container.end() - container.start();
    if let Some(host) = &host {
        let host_span = host.end() - host.start();
        // One container port may be published on some free port of a host range; any other mismatch is a mistake.
        if host_span != span && span != 0 {
            bail!("invalid ranges specified for container and host Ports: {} and {}", show(&container), show(host));
        }
    }
    for (offset, port) in (0_u16..).zip(container) {
        let host_port = match &host {
            None => String::new(),
            Some(host) if host.end() - host.start() == span => (host.start() + offset).to_string(),
            Some(host) => show(host),
        };
        let key = format!("{port}/{protocol}");
        let binding = PortBinding { host_ip: Some(ip.to_owned()), host_port: Some(host_port) };
        result.exposed.insert(key.clone());
        result.bindings.entry(key).or_default().push(binding);
    }
    Ok(())
}

/// Address, host part and container part.
fn split(text: &str) -> anyhow::Result<(&str, &str, &str)> {
    let (rest, container) = text.rsplit_once(':').unwrap_or(("", text));
    let (ip, host) = match rest.strip_prefix('[') {
        Some(bracketed) => {
            let (ip, after) = bracketed.split_once(']').context("`]` is missing")?;
            (ip, after.strip_prefix(':').unwrap_or(after))
        }
        None => rest.rsplit_once(':').unwrap_or(("", rest)),
    };
    if !ip.is_empty() && ip.parse::<IpAddr>().is_err() {
        bail!("invalid IP address: {ip}");
    }
    if container.is_empty() {
        bail!("no port specified: {text}<empty>");
    }
    Ok((ip, host, container))
}

fn container_ports(text: &str) -> anyhow::Result<(RangeInclusive<u16>, Protocol)> {
    let (ports, protocol) = text.split_once('/').unwrap_or((text, "tcp"));
    let protocol = protocol.parse().map_err(|_| anyhow::anyhow!("invalid proto: {protocol}"))?;
    Ok((range(ports).with_context(|| format!("invalid containerPort: {ports}"))?, protocol))
}

fn range(text: &str) -> anyhow::Result<RangeInclusive<u16>> {
    let (start, end) = text.split_once('-').unwrap_or((text, text));
    let number = |text: &str| text.parse::<u16>().map_err(|_| anyhow::anyhow!("`{text}` is not a port"));
    let (start, end) = (number(start)?, number(end)?);
    if start > end {
        bail!("the range {start}-{end} ends before it starts");
    }
    Ok(start..=end)
}

fn show(range: &RangeInclusive<u16>) -> String {
    if range.start() == range.end() { range.start().to_string() } else { format!("{}-{}", range.start(), range.end()) }
}
