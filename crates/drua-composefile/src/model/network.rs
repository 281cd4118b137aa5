use std::collections::BTreeMap;

use drua_types::Protocol;
use serde::Serialize;

use super::value::{Extensions, Labels, is_false, is_zero};

/// A network of the project.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Network {
    /// The engine's name of it, `<project>_<key>` unless given.
    pub name: String,
    /// The driver; the engine's default when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub driver: Option<String>,
    /// Options of the driver.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub driver_opts: Labels,
    /// Address management.
    pub ipam: Ipam,
    /// It exists already and is not ours to create or remove.
    #[serde(skip_serializing_if = "is_false")]
    pub external: bool,
    /// Without a way out.
    #[serde(skip_serializing_if = "is_false")]
    pub internal: bool,
    /// Standalone containers may join.
    #[serde(skip_serializing_if = "is_false")]
    pub attachable: bool,
    /// Labels.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: Labels,
    /// IPv4 addresses are handed out; the engine's default when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub enable_ipv4: Option<bool>,
    /// IPv6 addresses are handed out; the engine's default when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub enable_ipv6: Option<bool>,
    /// `x-` keys.
    #[serde(skip)]
    pub extensions: Extensions,
}

/// Address management of a network.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Ipam {
    /// The driver; the engine's default when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub driver: Option<String>,
    /// Address pools.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub config: Vec<IpamPool>,
    /// Options of the driver.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub options: Labels,
}

/// A pool of addresses.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct IpamPool {
    /// In CIDR form.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subnet: Option<String>,
    /// The gateway's address.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gateway: Option<String>,
    /// The part of the subnet that containers get addresses from, in CIDR form.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ip_range: Option<String>,
    /// Addresses that are taken, by name.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub aux_addresses: Labels,
}

/// How a service is attached to a network.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct ServiceNetwork {
    /// Further names by which the service is found.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub aliases: Vec<String>,
    /// Options of the endpoint.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub driver_opts: Labels,
    /// Which network gives the default route; the highest wins.
    #[serde(skip_serializing_if = "is_zero")]
    pub gw_priority: i64,
    /// The interface's name in the container.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub interface_name: Option<String>,
    /// A fixed address.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ipv4_address: Option<String>,
    /// A fixed address.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ipv6_address: Option<String>,
    /// Further addresses of the link.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub link_local_ips: Vec<String>,
    /// A fixed hardware address.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mac_address: Option<String>,
    /// Which network is attached first; the highest wins.
    #[serde(skip_serializing_if = "is_zero")]
    pub priority: i64,
}

/// A published port.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PortMapping {
    /// A name for people.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// `ingress` or `host`, which is the same here.
    pub mode: String,
    /// The host's address; all of them when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub host_ip: Option<String>,
    /// The container's port.
    pub target: u16,
    /// The host's port, or a range `first-last` to choose from; any free one when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub published: Option<String>,
    /// Transport protocol.
    pub protocol: Protocol,
    /// The application's protocol, for people and tools.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub app_protocol: Option<String>,
}
