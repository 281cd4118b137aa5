//! The few nftables expressions that our rules are made of (linux/netfilter/nf_tables.h).
//!
//! A rule is a list of expressions that work on registers: loads, comparisons that end the rule when they fail, and
//! statements. Register 1 takes keys; values that maps return go to register 2. Each is 16 bytes.

use std::net::Ipv4Addr;

use ipnet::Ipv4Net;

use super::elements::Set;
use crate::netlink::Message;

const KEY: u32 = 1;
const VALUE: u32 = 2;
/// What a map returns; apart from the key, since keys and values of IPv6 take more than one 16-byte register.
const TARGET: u32 = 3;
/// 4-byte registers overlay the 16-byte ones from number 8 on.
const KEY_WORDS: u32 = 8;
const TARGET_WORDS: u32 = 16;

/// An address family as netfilter numbers it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Family {
    V4 = 2,
    V6 = 10,
}

impl Family {
    fn address_len(self) -> u32 {
        match self {
            Self::V4 => 4,
            Self::V6 => 16,
        }
    }
}

/// One expression: its name and its attributes.
pub(super) type Expression = (&'static str, Box<dyn FnOnce(Message) -> Message>);

/// Whether a comparison or lookup shall succeed or fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Is {
    In,
    NotIn,
}

/// Which interface a match is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    Input,
    Output,
}

/// Which end of the packet a match is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Address {
    Source,
    Destination,
}

fn expression(name: &'static str, fill: impl FnOnce(Message) -> Message + 'static) -> Expression {
    (name, Box::new(fill))
}

fn meta(key: u32, register: u32) -> Expression {
    expression("meta", move |m| m.be32(1, register).be32(2, key))
}

fn interface_name(side: Side, register: u32) -> Expression {
    const IIFNAME: u32 = 6;
    const OIFNAME: u32 = 7;
    meta(if side == Side::Input { IIFNAME } else { OIFNAME }, register)
}

fn payload(base: u32, offset: u32, len: u32, register: u32) -> Expression {
    expression("payload", move |m| m.be32(1, register).be32(2, base).be32(3, offset).be32(4, len))
}

fn ip_address(which: Address, family: Family, register: u32) -> Expression {
    const NETWORK_HEADER: u32 = 1;
    let offset = match (family, which) {
        (Family::V4, Address::Source) => 12,
        (Family::V4, Address::Destination) => 16,
        (Family::V6, Address::Source) => 8,
        (Family::V6, Address::Destination) => 24,
    };
    payload(NETWORK_HEADER, offset, family.address_len(), register)
}

/// `meta nfproto`: the table sees both families, and an address may only be read from a packet of its own.
fn of_family(family: Family) -> [Expression; 2] {
    const NFPROTO: u32 = 15;
    [meta(NFPROTO, KEY), compare(Is::In, vec![family as u8])]
}

fn compare(is: Is, value: Vec<u8>) -> Expression {
    const EQ: u32 = 0;
    const NEQ: u32 = 1;
    let op = if is == Is::In { EQ } else { NEQ };
    expression("cmp", move |m| m.be32(1, KEY).be32(2, op).nest(3, |data| data.attr(1, &value)))
}

fn mask(value: [u8; 4]) -> Expression {
    expression("bitwise", move |m| {
        m.be32(1, KEY)
            .be32(2, KEY)
            .be32(3, 4)
            .nest(4, |data| data.attr(1, &value))
            .nest(5, |data| data.attr(1, &[0; 4]))
    })
}

fn lookup(is: Is, set: Set) -> Expression {
    const INVERTED: u32 = 1;
    let flags = if is == Is::In { 0 } else { INVERTED };
    expression("lookup", move |m| m.str(1, set.name()).be32(2, KEY).be32(5, flags))
}

/// `iifname`/`oifname` in or not in a set.
pub(super) fn interface(side: Side, is: Is, set: Set) -> Vec<Expression> {
    vec![interface_name(side, KEY), lookup(is, set)]
}

/// `iifname . oifname` in a set.
pub(super) fn interface_pair(set: Set) -> Vec<Expression> {
    vec![interface_name(Side::Input, KEY), interface_name(Side::Output, VALUE), lookup(Is::In, set)]
}

/// `iifname != "lo"`.
pub(super) fn not_from_loopback() -> Vec<Expression> {
    let mut name = [0; 16];
    name[..2].copy_from_slice(b"lo");
    vec![interface_name(Side::Input, KEY), compare(Is::NotIn, name.to_vec())]
}

/// `ip saddr`/`ip daddr` in a network.
pub(super) fn within(which: Address, net: Ipv4Net) -> Vec<Expression> {
    let netmask: Ipv4Addr = net.netmask();
    let mut rule = Vec::from(of_family(Family::V4));
    rule.push(ip_address(which, Family::V4, KEY));
    rule.push(mask(netmask.octets()));
    rule.push(compare(Is::In, net.network().octets().to_vec()));
    rule
}

/// `ip saddr`/`ip6 saddr` in a set.
pub(super) fn source_in(family: Family, set: Set) -> Vec<Expression> {
    let mut rule = Vec::from(of_family(family));
    rule.push(ip_address(Address::Source, family, KEY));
    rule.push(lookup(Is::In, set));
    rule
}

/// `fib daddr type local`: the packet is for one of the host's addresses.
pub(super) fn for_this_host() -> Vec<Expression> {
    const ADDRESS_TYPE: u32 = 3;
    const DESTINATION: u32 = 2;
    const LOCAL: u32 = 2;
    let fib = expression("fib", |m| m.be32(1, KEY).be32(2, ADDRESS_TYPE).be32(3, DESTINATION));
    vec![fib, compare(Is::In, LOCAL.to_ne_bytes().to_vec())]
}

/// `ct state established,related`.
pub(super) fn known_connection() -> Vec<Expression> {
    const STATE: u32 = 0;
    const ESTABLISHED_OR_RELATED: u32 = 2 | 4;
    conntrack(STATE, ESTABLISHED_OR_RELATED)
}

/// `ct status dnat`: the connection came to a published port.
pub(super) fn to_published_port() -> Vec<Expression> {
    const STATUS: u32 = 2;
    const DNAT: u32 = 1 << 5;
    conntrack(STATUS, DNAT)
}

fn conntrack(key: u32, bits: u32) -> Vec<Expression> {
    let load = expression("ct", move |m| m.be32(1, KEY).be32(2, key));
    vec![load, mask(bits.to_ne_bytes()), compare(Is::NotIn, vec![0; 4])]
}

/// `dnat to [ip daddr .] meta l4proto . th dport map @<map>`.
pub(super) fn translate(family: Family, map: Set) -> Vec<Expression> {
    const L4PROTO: u32 = 16;
    const TRANSPORT_HEADER: u32 = 2;
    const DNAT: u32 = 1;
    let words = family.address_len() / 4;
    let mut rule = Vec::from(of_family(family));
    let mut register = KEY_WORDS;
    if matches!(map, Set::PortsAt | Set::PortsAt6) {
        rule.push(ip_address(Address::Destination, family, register));
        register += words;
    }
    rule.push(meta(L4PROTO, register));
    rule.push(payload(TRANSPORT_HEADER, 2, 2, register + 1));
    rule.push(expression("lookup", move |m| m.str(1, map.name()).be32(2, KEY).be32(3, TARGET)));
    let (address, port) = (TARGET_WORDS, TARGET_WORDS + words);
    rule.push(expression("nat", move |m| m.be32(1, DNAT).be32(2, family as u32).be32(3, address).be32(5, port)));
    rule
}

/// `masquerade`.
pub(super) fn masquerade() -> Vec<Expression> {
    vec![expression("masq", |m| m)]
}

/// `accept`.
pub(super) fn accept() -> Vec<Expression> {
    verdict(1)
}

/// `drop`.
pub(super) fn drop_packet() -> Vec<Expression> {
    verdict(0)
}

fn verdict(code: u32) -> Vec<Expression> {
    const VERDICT: u32 = 0;
    let verdict = move |m: Message| m.be32(1, VERDICT).nest(2, |data| data.nest(2, |verdict| verdict.be32(1, code)));
    vec![expression("immediate", verdict)]
}
