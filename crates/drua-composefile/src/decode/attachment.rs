//! A service's `networks` and `extra_hosts`.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::{Decoder, Field, Fields};
use crate::model::{ExtraHosts, ServiceNetwork};

pub(super) fn networks(cx: &mut Decoder<'_>, field: &Field<'_>) -> BTreeMap<String, Option<ServiceNetwork>> {
    let mut networks = BTreeMap::new();
    if let Some(items) = field.items() {
        for item in items {
            if let Some(key) = cx.string(&item) {
                cx.place(&format!("{}.{key}", field.path), item.node.span);
                networks.insert(key, None);
            }
        }
    } else if let Some(entries) = field.entries() {
        for (key, entry) in entries.filter(|(key, _)| !key.starts_with("x-")) {
            cx.place(&entry.path, entry.key_span);
            let options = if entry.node.is_null() { None } else { attachment(cx, &entry) };
            networks.insert(key.to_owned(), options);
        }
    } else {
        cx.expected(field, "a list or a mapping");
    }
    networks
}

fn attachment(cx: &mut Decoder<'_>, field: &Field<'_>) -> Option<ServiceNetwork> {
    let mut fields = Fields::open(cx, field)?;
    let attachment = ServiceNetwork {
        aliases: fields.take("aliases").map(|field| cx.string_set(&field)).unwrap_or_default(),
        driver_opts: fields.labels(cx, "driver_opts"),
        gw_priority: fields.take("gw_priority").and_then(|field| cx.integer(&field)).unwrap_or_default(),
        interface_name: fields.string(cx, "interface_name"),
        ipv4_address: fields.take("ipv4_address").and_then(|field| cx.parsed::<Ipv4Addr>(&field)),
        ipv6_address: fields.take("ipv6_address").and_then(|field| cx.parsed::<Ipv6Addr>(&field)),
        link_local_ips: fields.strings(cx, "link_local_ips"),
        mac_address: fields.take("mac_address").and_then(|field| cx.string(&field)),
        priority: fields.take("priority").and_then(|field| cx.integer(&field)).unwrap_or_default(),
    };
    fields.finish(cx);
    Some(attachment)
}

/// A mapping of hosts to an address or several, or a list of `host=address`; `host:address` is the older spelling.
pub(super) fn extra_hosts(cx: &mut Decoder<'_>, field: &Field<'_>) -> ExtraHosts {
    let mut hosts: BTreeMap<String, Vec<String>> = BTreeMap::new();
    if let Some(entries) = field.entries() {
        for (host, entry) in entries {
            for address in cx.string_or_strings(&entry) {
                add_host(cx, &entry, &mut hosts, host, &address);
            }
        }
    } else if let Some(items) = field.items() {
        for item in items {
            let Some(text) = cx.string(&item) else { continue };
            match text.split_once('=').or_else(|| text.split_once(':')) {
                Some((host, address)) if !host.is_empty() => add_host(cx, &item, &mut hosts, host, address),
                _ => cx.invalid(&item, format!("`{text}` is not `host=address`")),
            }
        }
    } else {
        cx.expected(field, "a mapping or a list");
    }
    ExtraHosts(hosts)
}

fn add_host(
    cx: &mut Decoder<'_>,
    field: &Field<'_>,
    hosts: &mut BTreeMap<String, Vec<String>>,
    host: &str,
    address: &str,
) {
    let address = address.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(address);
    // The engine replaces `host-gateway` by the host's address.
    if address != "host-gateway" && address.parse::<IpAddr>().is_err() {
        cx.invalid(field, format!("`{address}` is not an address"));
        return;
    }
    let addresses = hosts.entry(host.to_owned()).or_default();
    if !addresses.iter().any(|known| known == address) {
        addresses.push(address.to_owned());
    }
}
