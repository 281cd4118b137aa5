//! The fixed part of the table: sets, chains and rules (drawn in the parent module).

use ipnet::Ipv4Net;

use super::elements::{Element, Set};
use super::expression::{
    Address, Expression, Family, Is, Side, accept, drop_packet, for_this_host, interface, interface_pair,
    known_connection, masquerade, not_from_loopback, source_in, to_published_port, translate, within,
};
use crate::netlink::{Message, Request, flags};

const NFPROTO_INET: u8 = 1;
const SUBSYSTEM: u16 = 10 << 8;
const LIST_ELEM: u16 = 1;
/// Bounds the elements of one message, whose length has 16 bits.
const ELEMENTS_PER_MESSAGE: usize = 400;

/// `NFT_MSG_*`.
#[derive(Debug, Clone, Copy)]
pub(super) enum Kind {
    NewTable = 0,
    DelTable = 2,
    NewChain = 3,
    NewRule = 6,
    NewSet = 9,
    NewElements = 12,
    #[cfg(test)]
    GetElements = 13,
    DelElements = 14,
}

const LOOPBACK: Ipv4Net = Ipv4Net::new_assert(std::net::Ipv4Addr::new(127, 0, 0, 0), 8);

/// A message to nftables about tables of both address families.
pub(super) fn message(kind: Kind, flags: u16) -> Message {
    Message::new(SUBSYSTEM | kind as u16, flags).fixed(&[NFPROTO_INET, 0, 0, 0])
}

/// Creates the table if it is missing.
pub(super) fn add_table(table: &str) -> Request {
    let message = message(Kind::NewTable, flags::CREATE).str(1, table).be32(2, 0);
    Request { attempted: format!("create nftables table `{table}`"), message }
}

/// Deletes the table with everything in it.
pub(super) fn delete_table(table: &str) -> Request {
    Request { attempted: format!("delete nftables table `{table}`"), message: message(Kind::DelTable, 0).str(1, table) }
}

/// Creates sets, chains and rules in an empty table.
pub(super) fn skeleton(table: &str) -> Vec<Request> {
    let mut requests: Vec<Request> = Set::ALL.into_iter().map(|set| add_set(table, set)).collect();
    for chain in chains() {
        requests.push(add_chain(table, &chain));
        requests.extend(chain.rules.into_iter().map(|rule| add_rule(table, chain.name, rule)));
    }
    requests
}

/// Adds or removes elements, grouped into as few messages as possible.
pub(super) fn change_elements(table: &str, kind: Kind, elements: &[Element]) -> Vec<Request> {
    let mut requests = Vec::new();
    for set in Set::ALL {
        let of_set: Vec<&Element> = elements.iter().filter(|element| element.set() == set).collect();
        requests.extend(of_set.chunks(ELEMENTS_PER_MESSAGE).map(|chunk| element_request(table, kind, set, chunk)));
    }
    requests
}

fn element_request(table: &str, kind: Kind, set: Set, elements: &[&Element]) -> Request {
    let (verb, flags) = match kind {
        Kind::NewElements => ("add", flags::CREATE | flags::EXCL),
        _ => ("remove", 0),
    };
    let message = message(kind, flags).str(1, table).str(2, set.name()).nest(3, |list| {
        elements.iter().flat_map(|element| element.entries()).fold(list, |list, entry| {
            list.nest(LIST_ELEM, |element| {
                let mut element = element.nest(1, |key| key.attr(1, &entry.key));
                if let Some(data) = entry.data.as_ref().filter(|_| matches!(kind, Kind::NewElements)) {
                    element = element.nest(2, |value| value.attr(1, data));
                }
                if entry.interval_end { element.be32(3, 1) } else { element }
            })
        })
    });
    let first = elements.first().map(|element| format!("{element:?}")).unwrap_or_default();
    let attempted =
        format!("{verb} {} elements of nftables set `{table}.{}`, first {first}", elements.len(), set.name());
    Request { attempted, message }
}

fn add_set(table: &str, set: Set) -> Request {
    const INTERVAL: u32 = 0x04;
    const MAP: u32 = 0x08;
    // Types matter to `nft list` only, which reads concatenations as six bits each.
    const ADDRESS: u32 = 7;
    const ADDRESS6: u32 = 8;
    const PROTOCOL: u32 = 12;
    const SERVICE: u32 = 13;
    const IFNAME: u32 = 41;
    let (flags, key_type, key_len) = match set {
        Set::Bridges | Set::Internal => (0, IFNAME, 16),
        Set::Icc => (0, IFNAME << 6 | IFNAME, 32),
        Set::Masquerade => (INTERVAL, ADDRESS, 4),
        Set::Masquerade6 => (INTERVAL, ADDRESS6, 16),
        Set::Ports | Set::Ports6 => (MAP, PROTOCOL << 6 | SERVICE, 8),
        Set::PortsAt => (MAP, (ADDRESS << 6 | PROTOCOL) << 6 | SERVICE, 12),
        Set::PortsAt6 => (MAP, (ADDRESS6 << 6 | PROTOCOL) << 6 | SERVICE, 24),
    };
    let mut message = message(Kind::NewSet, flags::CREATE | flags::EXCL)
        .str(1, table)
        .str(2, set.name())
        .be32(3, flags)
        .be32(4, key_type)
        .be32(5, key_len);
    if flags & MAP != 0 {
        let address = if set.address_len() == 4 { ADDRESS } else { ADDRESS6 };
        message = message.be32(6, address << 6 | SERVICE).be32(7, set.address_len() + 4);
    }
    Request {
        attempted: format!("create nftables set `{table}.{}`", set.name()),
        message: message.be32(10, set as u32 + 1),
    }
}

struct Chain {
    name: &'static str,
    kind: &'static str,
    hook: u32,
    priority: i32,
    rules: Vec<Vec<Expression>>,
}

fn chains() -> Vec<Chain> {
    const PREROUTING: u32 = 0;
    const FORWARD: u32 = 2;
    const OUTPUT: u32 = 3;
    const POSTROUTING: u32 = 4;
    let rule = |parts: Vec<Vec<Expression>>| parts.into_iter().flatten().collect::<Vec<_>>();
    let publish = || {
        vec![
            translate(Family::V4, Set::PortsAt),
            rule(vec![for_this_host(), translate(Family::V4, Set::Ports)]),
            translate(Family::V6, Set::PortsAt6),
            rule(vec![for_this_host(), translate(Family::V6, Set::Ports6)]),
        ]
    };
    let to_bridge = || interface(Side::Output, Is::In, Set::Bridges);
    let out = || interface(Side::Output, Is::NotIn, Set::Bridges);
    let hidden = || source_in(Family::V4, Set::Masquerade);
    let hidden6 = || source_in(Family::V6, Set::Masquerade6);
    vec![
        Chain {
            name: "raw",
            kind: "filter",
            hook: PREROUTING,
            priority: -300,
            rules: vec![rule(vec![not_from_loopback(), within(Address::Destination, LOOPBACK), drop_packet()])],
        },
        Chain { name: "prerouting", kind: "nat", hook: PREROUTING, priority: -100, rules: publish() },
        Chain { name: "output", kind: "nat", hook: OUTPUT, priority: -100, rules: publish() },
        Chain {
            name: "postrouting",
            kind: "nat",
            hook: POSTROUTING,
            priority: 100,
            rules: vec![
                rule(vec![out(), hidden(), masquerade()]),
                rule(vec![out(), hidden6(), masquerade()]),
                rule(vec![to_bridge(), hidden(), to_published_port(), masquerade()]),
                rule(vec![to_bridge(), hidden6(), to_published_port(), masquerade()]),
                rule(vec![to_bridge(), within(Address::Source, LOOPBACK), masquerade()]),
            ],
        },
        Chain {
            name: "forward",
            kind: "filter",
            hook: FORWARD,
            priority: 0,
            rules: vec![
                rule(vec![known_connection(), accept()]),
                rule(vec![interface_pair(Set::Icc), accept()]),
                rule(vec![interface(Side::Input, Is::In, Set::Internal), drop_packet()]),
                rule(vec![interface(Side::Output, Is::In, Set::Internal), drop_packet()]),
                rule(vec![to_bridge(), to_published_port(), accept()]),
                rule(vec![to_bridge(), drop_packet()]),
            ],
        },
    ]
}

fn add_chain(table: &str, chain: &Chain) -> Request {
    const ACCEPT: u32 = 1;
    let message = message(Kind::NewChain, flags::CREATE | flags::EXCL)
        .str(1, table)
        .str(3, chain.name)
        .nest(4, |hook| hook.be32(1, chain.hook).be32(2, chain.priority.cast_unsigned()))
        .be32(5, ACCEPT)
        .str(7, chain.kind);
    Request { attempted: format!("create nftables chain `{table}.{}`", chain.name), message }
}

fn add_rule(table: &str, chain: &str, rule: Vec<Expression>) -> Request {
    const APPEND: u16 = 0x800;
    let message = message(Kind::NewRule, flags::CREATE | APPEND).str(1, table).str(2, chain).nest(4, |list| {
        rule.into_iter()
            .fold(list, |list, (name, fill)| list.nest(LIST_ELEM, |expression| expression.str(1, name).nest(2, fill)))
    });
    Request { attempted: format!("add a rule to nftables chain `{table}.{chain}`"), message }
}
