//! The changing part of the table as values, and their form in the kernel.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, SocketAddrV4};

use drua_types::Protocol;
use ipnet::{IpNet, Ipv4Net};

use crate::config::{EndpointConfig, InterfaceName, NetworkConfig};

/// One element of one of the table's sets and maps.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Element {
    /// This interface is a bridge of ours.
    Bridge(InterfaceName),
    /// This bridge has no way out.
    Internal(InterfaceName),
    /// Containers on this bridge may talk to each other.
    Icc(InterfaceName),
    /// This subnet hides behind the host's address.
    Masquerade(Ipv4Net),
    /// A published port.
    Port {
        /// The host's address; `None` is every one.
        host: Option<Ipv4Addr>,
        /// Transport protocol.
        protocol: Protocol,
        /// The host's port.
        port: u16,
        /// Where it leads.
        target: SocketAddrV4,
    },
}

/// The sets and maps, in the order in which they are created.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Set {
    Bridges,
    Internal,
    Icc,
    Masquerade,
    Ports,
    PortsAt,
}

impl Set {
    pub(crate) const ALL: [Self; 6] =
        [Self::Bridges, Self::Internal, Self::Icc, Self::Masquerade, Self::Ports, Self::PortsAt];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Bridges => "bridges",
            Self::Internal => "internal",
            Self::Icc => "icc",
            Self::Masquerade => "masquerade",
            Self::Ports => "ports",
            Self::PortsAt => "ports_at",
        }
    }
}

/// One entry as the kernel holds it; an interval is two of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) key: Vec<u8>,
    pub(crate) data: Option<Vec<u8>>,
    pub(crate) interval_end: bool,
}

impl Element {
    /// The set that it belongs to.
    pub(crate) fn set(&self) -> Set {
        match self {
            Self::Bridge(_) => Set::Bridges,
            Self::Internal(_) => Set::Internal,
            Self::Icc(_) => Set::Icc,
            Self::Masquerade(_) => Set::Masquerade,
            Self::Port { host: None, .. } => Set::Ports,
            Self::Port { host: Some(_), .. } => Set::PortsAt,
        }
    }

    /// Its form in the kernel. Parts of a concatenation are padded to four bytes.
    pub(crate) fn entries(&self) -> Vec<Entry> {
        let simple = |key: Vec<u8>| vec![Entry { key, data: None, interval_end: false }];
        match self {
            Self::Bridge(name) | Self::Internal(name) => simple(padded(name).to_vec()),
            Self::Icc(name) => simple([padded(name), padded(name)].concat()),
            Self::Masquerade(net) => {
                let mut entries = simple(net.network().octets().to_vec());
                if let Some(after) = u32::from(net.broadcast()).checked_add(1) {
                    entries.push(Entry { key: after.to_be_bytes().to_vec(), data: None, interval_end: true });
                }
                entries
            }
            Self::Port { host, protocol, port, target } => {
                let mut key = host.map(|host| host.octets().to_vec()).unwrap_or_default();
                key.extend([number(*protocol), 0, 0, 0]);
                key.extend(padded_port(*port));
                let data = [target.ip().octets(), padded_port(target.port())].concat();
                vec![Entry { key, data: Some(data), interval_end: false }]
            }
        }
    }

    /// Reads back what a set holds; entries that are not of our making are left out.
    pub(crate) fn from_entries(set: Set, entries: &[Entry]) -> Vec<Self> {
        let one = |entry: &Entry| Self::from_entry(set, entry);
        match set {
            Set::Masquerade => intervals(entries).into_iter().map(Self::Masquerade).collect(),
            Set::Bridges | Set::Internal | Set::Icc | Set::Ports | Set::PortsAt => {
                entries.iter().filter_map(one).collect()
            }
        }
    }

    fn from_entry(set: Set, entry: &Entry) -> Option<Self> {
        match set {
            Set::Bridges => interface(&entry.key).map(Self::Bridge),
            Set::Internal => interface(&entry.key).map(Self::Internal),
            Set::Icc => interface(entry.key.get(..16)?).map(Self::Icc),
            Set::Ports => port_entry(None, &entry.key, entry.data.as_ref()?),
            Set::PortsAt => port_entry(Some(address(&entry.key)?), entry.key.get(4..)?, entry.data.as_ref()?),
            Set::Masquerade => None,
        }
    }
}

/// What a network needs in the table.
pub(crate) fn of_network(network: &NetworkConfig) -> BTreeSet<Element> {
    let mut elements = BTreeSet::from([Element::Bridge(network.bridge.clone())]);
    if network.internal {
        elements.insert(Element::Internal(network.bridge.clone()));
    }
    if network.icc {
        elements.insert(Element::Icc(network.bridge.clone()));
    }
    if network.masquerade && !network.internal {
        elements.extend(network.subnets.iter().filter_map(|subnet| match subnet.net {
            IpNet::V4(net) => Some(Element::Masquerade(net.trunc())),
            IpNet::V6(_) => None,
        }));
    }
    elements
}

/// What an endpoint's published ports need in the table.
pub(crate) fn of_endpoint(endpoint: &EndpointConfig) -> BTreeSet<Element> {
    let Some(container) = endpoint.ipv4() else { return BTreeSet::new() };
    let element = |published: &crate::config::PublishedPort| {
        let host = match published.host_ip {
            IpAddr::V4(host) => (!host.is_unspecified()).then_some(host),
            // A port published at an IPv6 address is held, but there is no way from there to an IPv4 container.
            IpAddr::V6(_) => return None,
        };
        let port = published.container_port;
        let target = SocketAddrV4::new(container, port.number);
        Some(Element::Port { host, protocol: port.protocol, port: published.host_port, target })
    };
    endpoint.publish.iter().filter_map(element).collect()
}

/// How to come from one set of elements to another: what to remove, then what to add.
pub(crate) fn plan(current: &BTreeSet<Element>, desired: &BTreeSet<Element>) -> (Vec<Element>, Vec<Element>) {
    (current.difference(desired).cloned().collect(), desired.difference(current).cloned().collect())
}

fn padded(name: &InterfaceName) -> [u8; 16] {
    let mut bytes = [0; 16];
    bytes[..name.as_str().len()].copy_from_slice(name.as_str().as_bytes());
    bytes
}

fn padded_port(port: u16) -> [u8; 4] {
    let [high, low] = port.to_be_bytes();
    [high, low, 0, 0]
}

fn number(protocol: Protocol) -> u8 {
    match protocol {
        Protocol::Tcp => 6,
        Protocol::Udp => 17,
        Protocol::Sctp => 132,
    }
}

fn interface(key: &[u8]) -> Option<InterfaceName> {
    std::str::from_utf8(key.split(|&byte| byte == 0).next()?).ok()?.parse().ok()
}

fn address(bytes: &[u8]) -> Option<Ipv4Addr> {
    Some(<[u8; 4]>::try_from(bytes.get(..4)?).ok()?.into())
}

fn port_at(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes(bytes.get(at..at + 2)?.try_into().ok()?))
}

fn port_entry(host: Option<Ipv4Addr>, key: &[u8], data: &[u8]) -> Option<Element> {
    let protocol =
        [Protocol::Tcp, Protocol::Udp, Protocol::Sctp].into_iter().find(|p| Some(&number(*p)) == key.first())?;
    let target = SocketAddrV4::new(address(data)?, port_at(data, 4)?);
    Some(Element::Port { host, protocol, port: port_at(key, 4)?, target })
}

/// Pairs the starts and ends of intervals, each of which is a CIDR block.
fn intervals(entries: &[Entry]) -> Vec<Ipv4Net> {
    let mut bounds: Vec<(u32, bool)> =
        entries.iter().filter_map(|entry| Some((u32::from(address(&entry.key)?), entry.interval_end))).collect();
    // Where one block ends and the next begins, the end comes first.
    bounds.sort_by_key(|&(at, end)| (at, !end));
    let mut nets = Vec::new();
    let mut start = None;
    for (at, end) in bounds.into_iter().chain([(0, true)]) {
        match (end, start.take()) {
            (false, _) => start = Some(at),
            (true, Some(first)) => nets.extend(block(first, at.wrapping_sub(1))),
            (true, None) => {}
        }
    }
    nets
}

fn block(first: u32, last: u32) -> Option<Ipv4Net> {
    let prefix = last.checked_sub(first)?.leading_zeros();
    let net = Ipv4Net::new(first.into(), u8::try_from(prefix).ok()?).ok()?;
    (u32::from(net.network()) == first && u32::from(net.broadcast()) == last).then_some(net)
}
