//! Container networks: bridges, addresses, published ports, names.
//!
//! The engine says what networks and endpoints there shall be ([`NetworkConfig`], [`EndpointConfig`]); [`Host`] makes it so
//! with netlink alone, without `ip`, `nft` or `iptables`. [`Ipam`] chooses subnets and addresses, [`dns`] answers
//! containers' questions for names, [`netns`] makes their namespaces.
//!
//! Does not know containers' lives, images or HTTP, and stores nothing: after a restart the engine says again what there
//! shall be, and [`Host::reconcile`] compares that with the kernel.
//!
//! Pure: `ipam`, `nft::elements`, `reconcile::plan`, `dns::zone`, `dns::answer`. Needs CAP_NET_ADMIN, and CAP_SYS_ADMIN for
//! namespaces.

mod bridge;
mod config;
mod conntrack;
pub mod dns;
mod endpoint;
mod error;
mod host;
mod ipam;
mod names;
mod netlink;
pub mod netns;
mod nft;
mod ports;
mod reaper;
mod reconcile;
mod sysctl;

pub use config::{
    EndpointConfig, InterfaceName, InvalidInterfaceName, InvalidMacAddress, MacAddress, NetworkConfig, PublishedPort,
    Subnet,
};
pub use error::NetError;
pub use host::{Host, HostConfig, Unplug};
pub use ipam::{Family, Ipam, IpamError, Pool, SubnetRequest, default_pools};
pub use netlink::NetlinkError;
pub use ports::{HostPorts, PortError, PortRequest};
pub use reconcile::{Problem, Subject};

#[cfg(test)]
mod kernel_tests;
