//! Subnets for networks and addresses for endpoints, as a pure value that its owner keeps.
//!
//! Does not look at the host: the caller says which subnets are taken there ([`crate::Host::occupied_subnets`]). Nothing is
//! stored either; after a restart the owner registers its networks and reserves the addresses that are in use.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr};

use drua_types::{Classify, ErrorKind, Hint, NetworkId};
use ipnet::{IpNet, Ipv4Net};

use crate::config::Subnet;

/// Largest pool and subnet are /8; the smallest subnet with a gateway and a container is /30.
const SMALLEST_SUBNET: u8 = 30;

/// A subnet or an address cannot be had. Texts are Docker's where clients match them.
#[derive(Debug, Clone, thiserror::Error, PartialEq, Eq)]
pub enum IpamError {
    /// The subnet asked for overlaps another network's.
    #[error("invalid pool request: Pool overlaps with other one on this address space")]
    Overlap {
        /// The subnet asked for.
        subnet: IpNet,
        /// What it overlaps.
        other: IpNet,
    },
    /// No subnet was asked for and none is left.
    #[error("all predefined address pools have been fully subnetted")]
    PoolsExhausted,
    /// The subnet cannot be used.
    #[error("invalid subnet {subnet}: {reason}")]
    InvalidSubnet {
        /// The subnet asked for.
        subnet: IpNet,
        /// Why not.
        reason: &'static str,
    },
    /// The range that addresses shall come from is not in the subnet.
    #[error("no matching subnet for range {range}")]
    RangeOutside {
        /// The range.
        range: IpNet,
    },
    /// The gateway is not in the subnet.
    #[error("no matching subnet for gateway {gateway}")]
    GatewayOutside {
        /// The gateway.
        gateway: IpAddr,
    },
    /// Every address is in use.
    #[error("no available IPv4 addresses on this network's address pools: {network}")]
    AddressesExhausted {
        /// The network.
        network: NetworkId,
    },
    /// The address asked for is in use.
    #[error("Address already in use")]
    AddressInUse {
        /// The address.
        address: IpAddr,
    },
    /// The address asked for is in no subnet of the network.
    #[error("Invalid address {address}: It does not belong to any of this network's subnets")]
    AddressOutside {
        /// The address.
        address: IpAddr,
    },
    /// The network is not registered.
    #[error("network {network} has no address space")]
    UnknownNetwork {
        /// The network.
        network: NetworkId,
    },
}

impl Classify for IpamError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Overlap { .. } | Self::AddressInUse { .. } => ErrorKind::Denied,
            Self::PoolsExhausted
            | Self::InvalidSubnet { .. }
            | Self::RangeOutside { .. }
            | Self::GatewayOutside { .. }
            | Self::AddressOutside { .. } => ErrorKind::Invalid,
            Self::AddressesExhausted { .. } => ErrorKind::Unavailable,
            Self::UnknownNetwork { .. } => ErrorKind::NotFound,
        }
    }
}

impl Hint for IpamError {
    fn hints(&self) -> Vec<String> {
        match self {
            Self::Overlap { other, .. } => vec![format!("choose a `--subnet` that does not overlap {other}")],
            Self::PoolsExhausted => {
                vec!["remove unused networks with `drua network prune`, or give a `--subnet`".to_owned()]
            }
            Self::InvalidSubnet { .. }
            | Self::RangeOutside { .. }
            | Self::GatewayOutside { .. }
            | Self::AddressesExhausted { .. }
            | Self::AddressInUse { .. }
            | Self::AddressOutside { .. }
            | Self::UnknownNetwork { .. } => Vec::new(),
        }
    }
}

/// A block of addresses that is cut into subnets for networks that ask for none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pool {
    /// The block.
    pub base: Ipv4Net,
    /// Prefix length of the subnets.
    pub size: u8,
}

/// Docker's pools (172.17.0.0/16 to 172.31.0.0/16, then 192.168.0.0/16 in /20), 31 networks, and one of ours for 256 more.
pub fn default_pools() -> Vec<Pool> {
    let pool = |a, b, prefix, size| Pool { base: Ipv4Net::new_assert(Ipv4Addr::new(a, b, 0, 0), prefix), size };
    let mut pools: Vec<Pool> = (17..=31).map(|second| pool(172, second, 16, 16)).collect();
    pools.push(pool(192, 168, 16, 20));
    pools.push(pool(10, 201, 16, 24));
    pools
}

/// What a network asks for; everything is optional.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SubnetRequest {
    /// This subnet, instead of one from the pools.
    pub subnet: Option<IpNet>,
    /// Addresses that are given out unasked come from here.
    pub range: Option<IpNet>,
    /// The host's address, instead of the first one.
    pub gateway: Option<IpAddr>,
}

/// The address spaces of all networks.
#[derive(Debug, Clone)]
pub struct Ipam {
    pools: Vec<Pool>,
    networks: BTreeMap<NetworkId, Vec<Space>>,
}

/// One subnet and what is in use of it. IPv4 only so far; an IPv6 subnet is refused.
#[derive(Debug, Clone)]
struct Space {
    net: Ipv4Net,
    range: Ipv4Net,
    gateway: Ipv4Addr,
    used: BTreeSet<Ipv4Addr>,
}

impl Ipam {
    /// Starts with no networks.
    pub fn new(pools: Vec<Pool>) -> Self {
        Self { pools, networks: BTreeMap::new() }
    }

    /// Gives a network its subnets. With no request at all, it gets one from the pools.
    ///
    /// Subnets in `occupied`, the host's own, are never chosen from the pools; asked for by name they are allowed, as they
    /// are by Docker.
    ///
    /// # Errors
    /// [`IpamError`]; nothing is changed then.
    pub fn add_network(
        &mut self,
        network: &NetworkId,
        requests: &[SubnetRequest],
        occupied: &[IpNet],
    ) -> Result<Vec<Subnet>, IpamError> {
        let requests = if requests.is_empty() { &[SubnetRequest::default()] } else { requests };
        let mut spaces: Vec<Space> = Vec::new();
        for request in requests {
            let taken = |net: Ipv4Net| {
                let mine = spaces.iter().chain(self.networks.values().flatten());
                mine.map(|space| space.net).find(|other| overlap(*other, net))
            };
            let net = match request.subnet {
                Some(subnet) => explicit(subnet, taken)?,
                None => self.choose(occupied, taken).ok_or(IpamError::PoolsExhausted)?,
            };
            spaces.push(Space::new(net, request)?);
        }
        let subnets = spaces.iter().map(Space::subnet).collect();
        self.networks.insert(network.clone(), spaces);
        Ok(subnets)
    }

    /// Forgets a network and all its addresses.
    pub fn remove_network(&mut self, network: &NetworkId) {
        self.networks.remove(network);
    }

    /// Takes an address of a network: `wanted`, or the lowest free one. The result has the subnet's prefix length.
    ///
    /// # Errors
    /// [`IpamError::AddressesExhausted`], [`IpamError::AddressInUse`], [`IpamError::AddressOutside`],
    /// [`IpamError::UnknownNetwork`].
    pub fn allocate(&mut self, network: &NetworkId, wanted: Option<IpAddr>) -> Result<IpNet, IpamError> {
        let spaces =
            self.networks.get_mut(network).ok_or_else(|| IpamError::UnknownNetwork { network: network.clone() })?;
        match wanted {
            None => spaces
                .iter_mut()
                .find_map(Space::allocate)
                .ok_or_else(|| IpamError::AddressesExhausted { network: network.clone() }),
            Some(address) => {
                let found = spaces.iter_mut().find_map(|space| space.reserve(address));
                found.unwrap_or(Err(IpamError::AddressOutside { address }))
            }
        }
    }

    /// Gives an address back; one that is free already is fine.
    pub fn release(&mut self, network: &NetworkId, address: IpAddr) {
        let IpAddr::V4(address) = address else { return };
        for space in self.networks.get_mut(network).into_iter().flatten() {
            space.used.remove(&address);
        }
    }

    fn choose(&self, occupied: &[IpNet], taken: impl Fn(Ipv4Net) -> Option<Ipv4Net>) -> Option<Ipv4Net> {
        let on_host =
            |net: Ipv4Net| occupied.iter().any(|other| matches!(other, IpNet::V4(other) if overlap(*other, net)));
        self.pools
            .iter()
            .flat_map(|pool| pool.base.subnets(pool.size).into_iter().flatten())
            .find(|net| taken(*net).is_none() && !on_host(*net))
    }
}

impl Default for Ipam {
    fn default() -> Self {
        Self::new(default_pools())
    }
}

impl Space {
    fn new(net: Ipv4Net, request: &SubnetRequest) -> Result<Self, IpamError> {
        let range = match request.range {
            None => net,
            Some(IpNet::V4(range)) if net.contains(&range.trunc()) => range.trunc(),
            Some(range) => return Err(IpamError::RangeOutside { range }),
        };
        let gateway = match request.gateway {
            None => range.hosts().next().unwrap_or(net.network()),
            Some(IpAddr::V4(gateway)) if net.contains(&gateway) => gateway,
            Some(gateway) => return Err(IpamError::GatewayOutside { gateway }),
        };
        Ok(Self { net, range, gateway, used: BTreeSet::new() })
    }

    fn subnet(&self) -> Subnet {
        Subnet { net: self.net.into(), gateway: self.gateway.into() }
    }

    fn with_prefix(&self, address: Ipv4Addr) -> IpNet {
        IpNet::V4(Ipv4Net::new_assert(address, self.net.prefix_len()))
    }

    fn usable(&self, address: Ipv4Addr) -> bool {
        address != self.net.network() && address != self.net.broadcast() && address != self.gateway
    }

    /// The lowest free address of the range: a walk along the used ones until there is a gap.
    fn allocate(&mut self) -> Option<IpNet> {
        let last = u32::from(self.range.broadcast());
        let mut candidate = u32::from(self.range.network());
        let mut used = self.used.range(self.range.network()..=self.range.broadcast()).map(|used| u32::from(*used));
        let mut next_used = used.next();
        loop {
            if next_used == Some(candidate) {
                next_used = used.next();
            } else if self.usable(candidate.into()) {
                break;
            }
            candidate = candidate.checked_add(1).filter(|candidate| *candidate <= last)?;
        }
        let address = candidate.into();
        self.used.insert(address);
        Some(self.with_prefix(address))
    }

    /// `None` when the address is not of this subnet.
    fn reserve(&mut self, wanted: IpAddr) -> Option<Result<IpNet, IpamError>> {
        let IpAddr::V4(address) = wanted else { return None };
        if !self.net.contains(&address) {
            return None;
        }
        let free = self.usable(address) && self.used.insert(address);
        Some(if free { Ok(self.with_prefix(address)) } else { Err(IpamError::AddressInUse { address: wanted }) })
    }
}

fn explicit(subnet: IpNet, taken: impl Fn(Ipv4Net) -> Option<Ipv4Net>) -> Result<Ipv4Net, IpamError> {
    let invalid = |reason| Err(IpamError::InvalidSubnet { subnet, reason });
    let IpNet::V4(net) = subnet else { return invalid("IPv6 networks are not supported yet") };
    if net.trunc() != net {
        return invalid("it has host bits set");
    }
    if !(8..=SMALLEST_SUBNET).contains(&net.prefix_len()) {
        return invalid("the prefix length must be between 8 and 30");
    }
    let address = net.network();
    if address.is_loopback() || address.is_multicast() || address.octets()[0] == 0 || address.octets()[0] >= 240 {
        return invalid("it is not for hosts");
    }
    match taken(net) {
        Some(other) => Err(IpamError::Overlap { subnet, other: other.into() }),
        None => Ok(net),
    }
}

fn overlap(a: Ipv4Net, b: Ipv4Net) -> bool {
    a.contains(&b.network()) || b.contains(&a.network())
}

#[cfg(test)]
mod tests;
