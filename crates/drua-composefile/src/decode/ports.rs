//! `ports` and `expose`.

use std::net::IpAddr;

use drua_types::Protocol;

use super::{Decoder, Field, Fields};
use crate::model::PortMapping;

/// The widest range of ports that one entry may name.
const MAX_RANGE: u16 = 10_000;

/// Inclusive.
type Range = (u16, u16);

pub(super) fn ports(cx: &mut Decoder<'_>, field: &Field<'_>) -> Vec<PortMapping> {
    let Some(items) = field.items() else {
        cx.expected(field, "a list");
        return Vec::new();
    };
    let mut ports: Vec<PortMapping> = Vec::new();
    for item in items {
        let read = if item.entries().is_some() { long(cx, &item).into_iter().collect() } else { short(cx, &item) };
        for port in read {
            if !ports.contains(&port) {
                ports.push(port);
            }
        }
    }
    ports
}

pub(super) fn expose(cx: &mut Decoder<'_>, field: &Field<'_>) -> Vec<String> {
    let Some(items) = field.items() else {
        cx.expected(field, "a list");
        return Vec::new();
    };
    let mut exposed = Vec::new();
    for item in items {
        let Some(text) = cx.scalar_text(&item, "a port") else { continue };
        let (range, protocol) = text.split_once('/').unwrap_or((&text, "tcp"));
        match parse_range(range).and_then(|_| parse_protocol(protocol)) {
            Err(why) => cx.invalid(&item, why),
            Ok(_) if exposed.contains(&text) => {}
            Ok(_) => exposed.push(text),
        }
    }
    exposed
}

fn short(cx: &mut Decoder<'_>, item: &Field<'_>) -> Vec<PortMapping> {
    let Some(text) = cx.scalar_text(item, "a port such as `8080:80`, or a mapping") else { return Vec::new() };
    match parse_short(&text) {
        Ok(ports) => ports,
        Err(why) => {
            let found = cx.report.error(item.node.span, format!("`{}`: `{text}` is not a port: {why}", item.path));
            found.hint("write `[[address:]host port:]container port[/protocol]`, for example `127.0.0.1:8080:80/tcp`");
            Vec::new()
        }
    }
}

fn long(cx: &mut Decoder<'_>, item: &Field<'_>) -> Option<PortMapping> {
    let mut fields = Fields::open(cx, item)?;
    let name = fields.take("name").and_then(|field| cx.string(&field));
    let mode = fields.take("mode").and_then(|field| cx.one_of(&field, &["host", "ingress"]));
    let host_ip = fields.take("host_ip").and_then(|field| cx.parsed::<IpAddr>(&field));
    let target = fields.take("target");
    let target_port = target.as_ref().and_then(|field| cx.integer_as::<u16>(field)).filter(|port| *port > 0);
    let published = fields.take("published").and_then(|field| {
        let text = cx.scalar_text(&field, "a port or a range")?;
        if text.is_empty() {
            return None;
        }
        match parse_range(&text) {
            Ok(_) => Some(text),
            Err(why) => {
                cx.invalid(&field, why);
                None
            }
        }
    });
    let protocol = fields.take("protocol").and_then(|field| {
        let text = cx.one_of(&field, &["tcp", "udp", "sctp"])?;
        text.parse().ok()
    });
    let app_protocol = fields.take("app_protocol").and_then(|field| cx.string(&field));
    fields.finish(cx);
    if target.is_none() {
        cx.report.error(item.node.span, format!("`{}.target`, the container's port, is missing", item.path));
    }
    Some(PortMapping {
        name,
        mode: mode.unwrap_or_else(|| "ingress".to_owned()),
        host_ip,
        target: target_port?,
        published,
        protocol: protocol.unwrap_or(Protocol::Tcp),
        app_protocol,
    })
}

/// `[[address:]host|range:]container|range[/protocol]`. Ranges of equal length are paired one by one; a range of host ports
/// before one container port lets the engine choose.
pub(super) fn parse_short(text: &str) -> Result<Vec<PortMapping>, String> {
    let (rest, protocol) = text.split_once('/').unwrap_or((text, "tcp"));
    let protocol = parse_protocol(protocol)?;
    let (head, container) = match rest.rsplit_once(':') {
        Some((head, container)) => (Some(head), parse_range(container)?),
        None => (None, parse_range(rest)?),
    };
    let (host_ip, host) = match head {
        None => (None, None),
        Some(head) => match head.rsplit_once(':') {
            Some((address, host)) if !head.ends_with(']') => (Some(parse_address(address)?), host_range(host)?),
            _ => (None, host_range(head)?),
        },
    };
    let length = |range: Range| range.1 - range.0;
    let pairs = match host {
        None => (container.0..=container.1).map(|target| (target, None)).collect(),
        Some(host) if length(host) == length(container) => {
            (container.0..=container.1).zip((host.0..=host.1).map(|port| Some(port.to_string()))).collect::<Vec<_>>()
        }
        Some(host) if length(container) == 0 => vec![(container.0, Some(format!("{}-{}", host.0, host.1)))],
        Some(_) => return Err("the two ranges are not of the same length".to_owned()),
    };
    Ok(pairs
        .into_iter()
        .map(|(target, published)| PortMapping {
            name: None,
            mode: "ingress".to_owned(),
            host_ip: host_ip.clone(),
            target,
            published,
            protocol,
            app_protocol: None,
        })
        .collect())
}

fn host_range(text: &str) -> Result<Option<Range>, String> {
    if text.is_empty() { Ok(None) } else { parse_range(text).map(Some) }
}

fn parse_address(text: &str) -> Result<String, String> {
    let inside = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(text);
    match inside.parse::<IpAddr>() {
        Ok(_) => Ok(inside.to_owned()),
        Err(_) => Err(format!("`{text}` is not an address")),
    }
}

fn parse_range(text: &str) -> Result<Range, String> {
    let port = |text: &str| match text.parse::<u16>() {
        Ok(port) if port > 0 && !text.starts_with('+') => Ok(port),
        _ => Err(format!("`{text}` is not a number from 1 to 65535")),
    };
    let (first, last) = match text.split_once('-') {
        Some((first, last)) => (port(first)?, port(last)?),
        None => (port(text)?, port(text)?),
    };
    if last < first || last - first >= MAX_RANGE {
        return Err(format!("`{text}` is not a range of at most {MAX_RANGE} ports"));
    }
    Ok((first, last))
}

fn parse_protocol(text: &str) -> Result<Protocol, String> {
    text.parse().map_err(|_| format!("`{text}` is not a protocol: expected tcp, udp or sctp"))
}
