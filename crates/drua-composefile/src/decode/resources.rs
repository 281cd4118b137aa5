//! Top-level `networks` and `volumes`.

use super::{Decoder, Field, Fields};
use crate::model::{Ipam, IpamPool, Network, Volume};

pub(super) fn network(cx: &mut Decoder<'_>, field: &Field<'_>) -> Network {
    if field.node.is_null() {
        return Network::default();
    }
    let Some(mut fields) = Fields::open(cx, field) else { return Network::default() };
    let (external, name) = external_and_name(cx, &mut fields);
    let mut network = Network {
        name,
        driver: fields.take("driver").and_then(|field| cx.string(&field)),
        driver_opts: fields.take("driver_opts").map(|field| cx.labels(&field)).unwrap_or_default(),
        ipam: fields.take("ipam").map(|field| ipam(cx, &field)).unwrap_or_default(),
        external: false,
        internal: fields.take("internal").and_then(|field| cx.boolean(&field)).unwrap_or(false),
        attachable: fields.take("attachable").and_then(|field| cx.boolean(&field)).unwrap_or(false),
        labels: fields.take("labels").map(|field| cx.labels(&field)).unwrap_or_default(),
        enable_ipv4: fields.take("enable_ipv4").and_then(|field| cx.boolean(&field)),
        enable_ipv6: fields.take("enable_ipv6").and_then(|field| cx.boolean(&field)),
        extensions: fields.extensions(),
    };
    fields.finish(cx);
    if external {
        let plain =
            Network { name: network.name.clone(), extensions: network.extensions.clone(), ..Network::default() };
        refuse_options(cx, field, network == plain);
        network = Network { external: true, ..plain };
    }
    network
}

pub(super) fn volume(cx: &mut Decoder<'_>, field: &Field<'_>) -> Volume {
    if field.node.is_null() {
        return Volume::default();
    }
    let Some(mut fields) = Fields::open(cx, field) else { return Volume::default() };
    let (external, name) = external_and_name(cx, &mut fields);
    let mut volume = Volume {
        name,
        driver: fields.take("driver").and_then(|field| cx.string(&field)),
        driver_opts: fields.take("driver_opts").map(|field| cx.labels(&field)).unwrap_or_default(),
        external: false,
        labels: fields.take("labels").map(|field| cx.labels(&field)).unwrap_or_default(),
        extensions: fields.extensions(),
    };
    fields.finish(cx);
    if external {
        let plain = Volume { name: volume.name.clone(), extensions: volume.extensions.clone(), ..Volume::default() };
        refuse_options(cx, field, volume == plain);
        volume = Volume { external: true, ..plain };
    }
    volume
}

/// `external` is a boolean or, in old files, `{name: …}`.
pub(super) fn external_and_name(cx: &mut Decoder<'_>, fields: &mut Fields<'_>) -> (bool, String) {
    let name = fields.take("name").and_then(|field| cx.string(&field));
    let Some(external) = fields.take("external") else { return (false, name.unwrap_or_default()) };
    if external.entries().is_none() {
        return (cx.boolean(&external).unwrap_or(false), name.unwrap_or_default());
    }
    let Some(mut inner) = Fields::open(cx, &external) else { return (true, name.unwrap_or_default()) };
    let inner_name = inner.take("name").and_then(|field| cx.string(&field));
    inner.finish(cx);
    (true, name.or(inner_name).unwrap_or_default())
}

fn refuse_options(cx: &mut Decoder<'_>, field: &Field<'_>, plain: bool) {
    if !plain {
        let message = format!("`{}` is external, so that it takes no option but `name`", field.path);
        cx.report.error(field.key_span, message);
    }
}

fn ipam(cx: &mut Decoder<'_>, field: &Field<'_>) -> Ipam {
    let Some(mut fields) = Fields::open(cx, field) else { return Ipam::default() };
    let driver = fields.take("driver").and_then(|field| cx.string(&field));
    let mut config = Vec::new();
    if let Some(pools) = fields.take("config") {
        match pools.items() {
            Some(items) => config.extend(items.filter_map(|item| pool(cx, &item))),
            None => cx.expected(&pools, "a list"),
        }
    }
    let options = fields.take("options").map(|field| cx.labels(&field)).unwrap_or_default();
    fields.finish(cx);
    Ipam { driver, config, options }
}

fn pool(cx: &mut Decoder<'_>, field: &Field<'_>) -> Option<IpamPool> {
    let mut fields = Fields::open(cx, field)?;
    let pool = IpamPool {
        subnet: fields.take("subnet").and_then(|field| subnet(cx, &field)),
        gateway: fields.take("gateway").and_then(|field| cx.parsed::<std::net::IpAddr>(&field)),
        ip_range: fields.take("ip_range").and_then(|field| subnet(cx, &field)),
        aux_addresses: fields.take("aux_addresses").map(|field| cx.labels(&field)).unwrap_or_default(),
    };
    fields.finish(cx);
    Some(pool)
}

fn subnet(cx: &mut Decoder<'_>, field: &Field<'_>) -> Option<String> {
    let text = cx.string(field)?;
    let valid = text.split_once('/').is_some_and(|(address, bits)| {
        let most = match address.parse::<std::net::IpAddr>() {
            Ok(std::net::IpAddr::V4(_)) => 32,
            Ok(std::net::IpAddr::V6(_)) => 128,
            Err(_) => return false,
        };
        bits.parse::<u8>().is_ok_and(|bits| bits <= most)
    });
    if !valid {
        cx.invalid(field, format!("`{text}` is not a subnet such as `172.28.0.0/16`"));
        return None;
    }
    Some(text)
}
