//! The changing part of the table as values, and their form in the kernel.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};

use drua_types::Protocol;
use ipnet::IpNet;

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
    Masquerade(IpNet),
    /// A published port.
    Port {
        /// The host's address, of the target's family; `None` is every one.
        host: Option<IpAddr>,
        /// Transport protocol.
        protocol: Protocol,
        /// The host's port.
        port: u16,
        /// Where it leads.
        target: SocketAddr,
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
    Masquerade6,
    Ports6,
    PortsAt6,
}

impl Set {
    pub(crate) const ALL: [Self; 9] = [
        Self::Bridges,
        Self::Internal,
        Self::Icc,
        Self::Masquerade,
        Self::Ports,
        Self::PortsAt,
        Self::Masquerade6,
        Self::Ports6,
        Self::PortsAt6,
    ];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Bridges => "bridges",
            Self::Internal => "internal",
            Self::Icc => "icc",
            Self::Masquerade => "masquerade",
            Self::Ports => "ports",
            Self::PortsAt => "ports_at",
            Self::Masquerade6 => "masquerade6",
            Self::Ports6 => "ports6",
            Self::PortsAt6 => "ports_at6",
        }
    }

    /// Length in bytes of the addresses in it; 0 where there are none.
    pub(crate) fn address_len(self) -> u32 {
        match self {
            Self::Bridges | Self::Internal | Self::Icc => 0,
            Self::Masquerade | Self::Ports | Self::PortsAt => 4,
            Self::Masquerade6 | Self::Ports6 | Self::PortsAt6 => 16,
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
            Self::Masquerade(IpNet::V4(_)) => Set::Masquerade,
            Self::Masquerade(IpNet::V6(_)) => Set::Masquerade6,
            Self::Port { host: None, target: SocketAddr::V4(_), .. } => Set::Ports,
            Self::Port { host: Some(_), target: SocketAddr::V4(_), .. } => Set::PortsAt,
            Self::Port { host: None, target: SocketAddr::V6(_), .. } => Set::Ports6,
            Self::Port { host: Some(_), target: SocketAddr::V6(_), .. } => Set::PortsAt6,
        }
    }

    /// Its form in the kernel. Parts of a concatenation are padded to four bytes.
    pub(crate) fn entries(&self) -> Vec<Entry> {
        let simple = |key: Vec<u8>| vec![Entry { key, data: None, interval_end: false }];
        match self {
            Self::Bridge(name) | Self::Internal(name) => simple(padded(name).to_vec()),
            Self::Icc(name) => simple([padded(name), padded(name)].concat()),
            Self::Masquerade(net) => {
                let (first, last) = (octets(net.network()), octets(net.broadcast()));
                let mut entries = simple(first);
                entries.extend(following(last).map(|key| Entry { key, data: None, interval_end: true }));
                entries
            }
            Self::Port { host, protocol, port, target } => {
                let mut key = host.map(octets).unwrap_or_default();
                key.extend([number(*protocol), 0, 0, 0]);
                key.extend(padded_port(*port));
                let data = [octets(target.ip()), padded_port(target.port()).to_vec()].concat();
                vec![Entry { key, data: Some(data), interval_end: false }]
            }
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
        elements.extend(network.subnets.iter().map(|subnet| Element::Masquerade(subnet.net.trunc())));
    }
    elements
}

/// What an endpoint's published ports need in the table. A port leads to the container's address of its own family; without
/// one it is only held.
pub(crate) fn of_endpoint(endpoint: &EndpointConfig) -> BTreeSet<Element> {
    let element = |published: &crate::config::PublishedPort| {
        let same_family = |address: &IpAddr| address.is_ipv4() == published.host_ip.is_ipv4();
        let container = endpoint.addresses.iter().map(IpNet::addr).find(same_family)?;
        let port = published.container_port;
        Some(Element::Port {
            host: Some(published.host_ip).filter(|host| !host.is_unspecified()),
            protocol: port.protocol,
            port: published.host_port,
            target: SocketAddr::new(container, port.number),
        })
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

pub(super) fn number(protocol: Protocol) -> u8 {
    match protocol {
        Protocol::Tcp => 6,
        Protocol::Udp => 17,
        Protocol::Sctp => 132,
    }
}

pub(super) fn octets(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    }
}

/// The address after this one; `None` after the last of all.
pub(super) fn following(mut octets: Vec<u8>) -> Option<Vec<u8>> {
    for octet in octets.iter_mut().rev() {
        *octet = octet.wrapping_add(1);
        if *octet != 0 {
            return Some(octets);
        }
    }
    None
}
