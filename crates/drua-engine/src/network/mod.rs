//! Networks as clients know them: names, subnets, who is where. The kernel's side is `drua-net`'s.
//!
//! Addresses, ports and namespaces belong to running containers only; what a container asks of its networks is in its
//! record and becomes endpoints at each start.

mod endpoints;
mod live;
mod table;
mod verbs;

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::{Arc, Mutex, RwLock};

use drua_net::dns::DnsServer;
use drua_net::{Host, Ipam, SubnetRequest};
use drua_types::{Classify, ContainerId, NetworkId, NetworkName, Port, error_chain};
use ipnet::IpNet;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::Error;

/// The networks that always exist, and the drivers behind them.
pub const PREDEFINED: [&str; 3] = ["bridge", "host", "none"];

/// A network.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Network {
    /// Identity.
    pub id: NetworkId,
    /// Name, unique.
    pub name: NetworkName,
    /// `bridge`, `host` or `null`.
    pub driver: String,
    /// When it was made.
    pub created: Timestamp,
    /// Subnets with the host's address in each; none for `host` and `none`.
    pub subnets: Vec<(IpNet, IpAddr)>,
    /// Part of the subnet from which addresses are given out, as asked for.
    pub ip_range: Option<IpNet>,
    /// Whether its containers have IPv6 addresses besides the IPv4 ones.
    #[serde(default)]
    pub ipv6: bool,
    /// No way out and no way in.
    pub internal: bool,
    /// As asked for; of no effect without swarm.
    pub attachable: bool,
    /// Driver options, as given.
    pub options: BTreeMap<String, String>,
    /// Labels.
    pub labels: BTreeMap<String, String>,
}

/// What to create.
#[derive(Debug, Clone, Default)]
pub struct CreateNetwork {
    /// Its name.
    pub name: String,
    /// Driver; empty is `bridge`.
    pub driver: String,
    /// Subnets, with optional range and gateway; a family that none is of gets one from the pools.
    pub subnets: Vec<SubnetRequest>,
    /// Whether its containers have IPv6 addresses, too; without, IPv6 subnets are passed over, as by Docker.
    pub ipv6: bool,
    /// No way out and no way in.
    pub internal: bool,
    /// As asked for.
    pub attachable: bool,
    /// Driver options.
    pub options: BTreeMap<String, String>,
    /// Labels.
    pub labels: BTreeMap<String, String>,
}

/// What a container asks of a network.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct EndpointRequest {
    /// The network, as soon as it is known.
    pub network: Option<NetworkId>,
    /// Names besides the container's own.
    pub aliases: Vec<String>,
    /// A fixed IPv4 address.
    pub ipv4: Option<Ipv4Addr>,
    /// A fixed IPv6 address.
    pub ipv6: Option<Ipv6Addr>,
    /// A fixed hardware address.
    pub mac: Option<String>,
    /// Legacy links (`container:alias`).
    pub links: Vec<String>,
    /// The network with the highest one carries the default route.
    pub gw_priority: i64,
    /// Name of the interface in the container; `None` is `eth` and the next free number.
    pub ifname: Option<String>,
}

/// A running container's place in a network.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Endpoint {
    /// Identity, 64 hexadecimal digits.
    pub id: String,
    /// The network.
    pub network: NetworkId,
    /// The interface in the container.
    pub ifname: String,
    /// Its IPv4 address.
    pub address: IpAddr,
    /// Length of the subnet's prefix.
    pub prefix_len: u8,
    /// The way out, where there is one.
    pub gateway: Option<IpAddr>,
    /// What it has of IPv6.
    #[serde(default)]
    pub ipv6: Option<Ipv6Endpoint>,
    /// Hardware address.
    pub mac: String,
    /// Names by which others on the network find it.
    pub dns_names: Vec<String>,
    /// Whether it carries the default route, and with it the published ports.
    pub default_route: bool,
}

/// The IPv6 side of an endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ipv6Endpoint {
    /// Its address.
    pub address: Ipv6Addr,
    /// Length of the subnet's prefix.
    pub prefix_len: u8,
    /// The way out, where there is one.
    pub gateway: Option<Ipv6Addr>,
}

impl Endpoint {
    /// Its addresses, IPv4 first.
    pub fn addresses(&self) -> Vec<IpAddr> {
        [self.address].into_iter().chain(self.ipv6.map(|ipv6| ipv6.address.into())).collect()
    }
}

/// A port that is reachable at the host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Published {
    /// The container's port.
    pub port: Port,
    /// Address on the host.
    pub host_ip: IpAddr,
    /// Port on the host.
    pub host_port: u16,
}

/// What [`Networks::attach`] made.
#[derive(Debug, Default)]
pub(crate) struct Attached {
    pub(crate) endpoints: BTreeMap<String, Endpoint>,
    pub(crate) published: Vec<Published>,
}

/// All networks and who is on them.
#[derive(Debug)]
pub(crate) struct Networks {
    host: Host,
    dns: DnsServer,
    ipam: Mutex<Ipam>,
    networks: Mutex<BTreeMap<NetworkId, Arc<Network>>>,
    /// Held while a network is made, so that two of one name cannot be.
    making: Mutex<()>,
    /// Read while a container is put on its networks, written while a network goes: nobody is put on what is going.
    attaching: RwLock<()>,
    /// Running containers with endpoints, for the zone that the resolver answers from.
    live: Mutex<BTreeMap<ContainerId, Live>>,
}

#[derive(Debug, Clone)]
struct Live {
    name: String,
    endpoints: Vec<Endpoint>,
}

/// Wraps an error of `drua-net` or one of its parts.
fn failed<E: Classify + std::error::Error>(error: E) -> Error {
    Error::Network { kind: error.kind(), message: error_chain(&error) }
}
