//! What networks and endpoints shall look like: plain data that the engine fills in and keeps.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;
use std::str::FromStr;

use drua_types::{ContainerId, NetworkId, Port};
use ipnet::IpNet;

/// The text cannot name a network interface.
#[derive(Debug, Clone, thiserror::Error, PartialEq, Eq)]
#[error("`{0}` cannot name a network interface: expected 1 to 15 characters without slash, colon, quote or space")]
pub struct InvalidInterfaceName(String);

/// A network interface's name: 1 to 15 bytes (`IFNAMSIZ`).
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct InterfaceName(String);

impl InterfaceName {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for InterfaceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for InterfaceName {
    type Err = InvalidInterfaceName;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        // Stricter than the kernel, since names also become parts of /proc paths.
        let fits = |byte: u8| byte.is_ascii_graphic() && !matches!(byte, b'/' | b':' | b'"' | b'%' | b'\\');
        if (1..=15).contains(&text.len()) && text.bytes().all(fits) && !matches!(text, "." | ".." | "all" | "default") {
            Ok(Self(text.to_owned()))
        } else {
            Err(InvalidInterfaceName(text.chars().take(40).collect()))
        }
    }
}

/// The text is not an Ethernet address.
#[derive(Debug, Clone, thiserror::Error, PartialEq, Eq)]
#[error("`{0}` is not a MAC address: expected `aa:bb:cc:dd:ee:ff`")]
pub struct InvalidMacAddress(String);

/// An Ethernet address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct MacAddress([u8; 6]);

impl MacAddress {
    /// The address that Docker derives from an IPv4 address: `02:42` and its four bytes.
    ///
    /// An address that returns to the pool comes back with the same MAC, so nobody's neighbour table goes stale.
    pub fn for_ipv4(address: Ipv4Addr) -> Self {
        let [a, b, c, d] = address.octets();
        Self([0x02, 0x42, a, b, c, d])
    }

    /// The six bytes.
    pub fn octets(self) -> [u8; 6] {
        self.0
    }
}

impl fmt::Display for MacAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}

impl FromStr for MacAddress {
    type Err = InvalidMacAddress;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let invalid = || InvalidMacAddress(text.chars().take(40).collect());
        let parts: Vec<u8> = text
            .split([':', '-'])
            .map(|part| (part.len() == 2).then(|| u8::from_str_radix(part, 16).ok()).flatten())
            .collect::<Option<_>>()
            .ok_or_else(invalid)?;
        parts.try_into().map(Self).map_err(|_| invalid())
    }
}

/// A subnet of a network.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Subnet {
    /// The addresses, for example `172.18.0.0/16`.
    pub net: IpNet,
    /// The host's address in it, which the bridge has.
    pub gateway: IpAddr,
}

impl Subnet {
    /// The gateway with the subnet's prefix length, as an interface has it.
    pub(crate) fn gateway_net(&self) -> IpNet {
        IpNet::new(self.gateway, self.net.prefix_len()).unwrap_or(self.net)
    }
}

/// A bridge network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NetworkConfig {
    /// The network.
    pub id: NetworkId,
    /// Its bridge; [`crate::Host::bridge_name`] has the usual name.
    pub bridge: InterfaceName,
    /// Its subnets, at most one of each address family.
    pub subnets: Vec<Subnet>,
    /// No way out and no way in, except between its containers and the host.
    pub internal: bool,
    /// Whether connections to the outside have the host's address.
    pub masquerade: bool,
    /// Whether its containers reach each other.
    pub icc: bool,
    /// Largest packet in bytes; Docker's default is 1500.
    pub mtu: u32,
}

impl NetworkConfig {
    /// The host's IPv4 address in the network.
    pub(crate) fn gateway_v4(&self) -> Option<Ipv4Addr> {
        self.subnets.iter().find_map(|subnet| match subnet.gateway {
            IpAddr::V4(address) => Some(address),
            IpAddr::V6(_) => None,
        })
    }
}

/// A port of a container that is reachable at the host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PublishedPort {
    /// The host's address; unspecified means every address of that family.
    pub host_ip: IpAddr,
    /// The host's port, 1–65535.
    pub host_port: u16,
    /// The container's port, whose protocol is also the host's.
    pub container_port: Port,
}

/// A container's place in a network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EndpointConfig {
    /// The network.
    pub network: NetworkId,
    /// The container.
    pub container: ContainerId,
    /// Where the container's network namespace is pinned.
    pub netns: PathBuf,
    /// The interface in the container, `eth0` for the first one.
    pub ifname: InterfaceName,
    /// Its hardware address.
    pub mac: MacAddress,
    /// Its addresses with their subnets' prefix length, for example `172.18.0.2/16`.
    pub addresses: Vec<IpNet>,
    /// Whether the container's way out is through this network; of no effect in an internal one.
    pub default_route: bool,
    /// Ports to publish through this endpoint; one endpoint of a container at most has any.
    pub publish: Vec<PublishedPort>,
}
