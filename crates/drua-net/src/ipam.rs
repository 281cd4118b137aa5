//! Subnets for networks and addresses for endpoints, as a pure value that its owner keeps.
//!
//! Does not look at the host: the caller says which subnets are taken there ([`crate::Host::occupied_subnets`]). Nothing is
//! stored either; after a restart the owner registers its networks and reserves the addresses that are in use.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use drua_types::{Classify, ErrorKind, Hint, NetworkId};
use ipnet::{IpNet, Ipv4Net, Ipv6Net};

use crate::config::Subnet;

/// Prefix lengths that a subnet may have: the largest pool is a /8; the smallest subnet with a gateway and a container is a
/// /30, or a /126.
const V4_LENGTHS: std::ops::RangeInclusive<u8> = 8..=30;
const V6_LENGTHS: std::ops::RangeInclusive<u8> = 8..=126;
/// What a network with IPv6 gets from its unique local prefix (RFC 4193 §3.1 leaves 16 bits for subnets).
const ULA_SUBNET: u8 = 64;

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
    #[error("no available {family} addresses on this network's address pools: {network}")]
    AddressesExhausted {
        /// `IPv4` or `IPv6`.
        family: Family,
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

/// An address family.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Family {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

impl Family {
    /// The family of an address.
    pub fn of(address: IpAddr) -> Self {
        if address.is_ipv4() { Self::V4 } else { Self::V6 }
    }

    fn bits(self) -> u8 {
        match self {
            Self::V4 => 32,
            Self::V6 => 128,
        }
    }
}

impl std::fmt::Display for Family {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::V4 => "IPv4",
            Self::V6 => "IPv6",
        })
    }
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
    pub base: IpNet,
    /// Prefix length of the subnets.
    pub size: u8,
}

/// Docker's pools (172.17.0.0/16 to 172.31.0.0/16, then 192.168.0.0/16 in /20), 31 networks, and one of ours for 256 more.
pub fn default_pools() -> Vec<Pool> {
    let pool =
        |a, b, prefix, size| Pool { base: IpNet::V4(Ipv4Net::new_assert(Ipv4Addr::new(a, b, 0, 0), prefix)), size };
    let mut pools: Vec<Pool> = (17..=31).map(|second| pool(172, second, 16, 16)).collect();
    pools.push(pool(192, 168, 16, 20));
    pools.push(pool(10, 201, 16, 24));
    pools
}

/// One subnet that a network asks for; everything is optional.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SubnetRequest {
    /// This subnet, instead of one from the pools.
    pub subnet: Option<IpNet>,
    /// Addresses that are given out unasked come from here.
    pub range: Option<IpNet>,
    /// The host's address, instead of the first one.
    pub gateway: Option<IpAddr>,
}

impl SubnetRequest {
    /// The family of what is asked for; IPv4 where nothing says so.
    pub fn family(&self) -> Family {
        let address = self.subnet.or(self.range).map(|net| net.addr()).or(self.gateway);
        address.map_or(Family::V4, Family::of)
    }
}

/// The address spaces of all networks.
#[derive(Debug, Clone)]
pub struct Ipam {
    pools: Vec<Pool>,
    networks: BTreeMap<NetworkId, Vec<Space>>,
}

/// One subnet and what is in use of it.
#[derive(Debug, Clone)]
struct Space {
    net: IpNet,
    range: IpNet,
    gateway: IpAddr,
    used: BTreeSet<IpAddr>,
}

impl Ipam {
    /// Starts with no networks.
    pub fn new(pools: Vec<Pool>) -> Self {
        Self { pools, networks: BTreeMap::new() }
    }

    /// Gives a network a subnet for each request, and one from the pools for each family in `families` that no request is
    /// of. IPv6 without a pool of its own takes a unique local prefix at random (RFC 4193 §3.2).
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
        families: &[Family],
        occupied: &[IpNet],
    ) -> Result<Vec<Subnet>, IpamError> {
        let mut spaces: Vec<Space> = Vec::new();
        let missing = families.iter().filter(|family| requests.iter().all(|request| request.family() != **family));
        let unasked = missing.map(|&family| (family, SubnetRequest::default()));
        let mut wanted: Vec<(Family, SubnetRequest)> =
            requests.iter().map(|request| (request.family(), *request)).chain(unasked).collect();
        wanted.sort_by_key(|(family, _)| family.bits());
        for (family, request) in &wanted {
            let taken = |net: IpNet| {
                let mine = spaces.iter().chain(self.networks.values().flatten());
                mine.map(|space| space.net).find(|other| overlap(*other, net))
            };
            let net = match request.subnet {
                Some(subnet) => explicit(subnet, taken)?,
                None => self.choose(*family, occupied, taken).ok_or(IpamError::PoolsExhausted)?,
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

    /// Takes one address of each family that a network has: those in `wanted`, else the lowest free one. Each has its
    /// subnet's prefix length; IPv4 comes first.
    ///
    /// # Errors
    /// [`IpamError::AddressesExhausted`], [`IpamError::AddressInUse`], [`IpamError::AddressOutside`],
    /// [`IpamError::UnknownNetwork`]; nothing is taken then.
    pub fn allocate(&mut self, network: &NetworkId, wanted: &[IpAddr]) -> Result<Vec<IpNet>, IpamError> {
        let spaces =
            self.networks.get_mut(network).ok_or_else(|| IpamError::UnknownNetwork { network: network.clone() })?;
        let mut taken: Vec<IpNet> = Vec::new();
        let outside = wanted.iter().find(|address| spaces.iter().all(|space| !space.net.contains(*address)));
        let mut result = outside.map_or(Ok(()), |&address| Err(IpamError::AddressOutside { address }));
        for family in [Family::V4, Family::V6] {
            if result.is_err() || spaces.iter().all(|space| space.family() != family) {
                continue;
            }
            let mut of_family = spaces.iter_mut().filter(|space| space.family() == family);
            let address = match wanted.iter().find(|address| Family::of(**address) == family) {
                Some(&address) => of_family
                    .find_map(|space| space.reserve(address))
                    .unwrap_or(Err(IpamError::AddressOutside { address })),
                None => of_family
                    .find_map(Space::allocate)
                    .ok_or_else(|| IpamError::AddressesExhausted { family, network: network.clone() }),
            };
            match address {
                Ok(address) => taken.push(address),
                Err(error) => result = Err(error),
            }
        }
        if let Err(error) = result {
            taken.iter().for_each(|net| self.release(network, net.addr()));
            return Err(error);
        }
        Ok(taken)
    }

    /// Gives an address back; one that is free already is fine.
    pub fn release(&mut self, network: &NetworkId, address: IpAddr) {
        for space in self.networks.get_mut(network).into_iter().flatten() {
            space.used.remove(&address);
        }
    }

    fn choose(&self, family: Family, occupied: &[IpNet], taken: impl Fn(IpNet) -> Option<IpNet>) -> Option<IpNet> {
        let free = |net: &IpNet| taken(*net).is_none() && !occupied.iter().any(|other| overlap(*other, *net));
        let mut pools = self.pools.iter().filter(|pool| Family::of(pool.base.addr()) == family).peekable();
        if family == Family::V6 && pools.peek().is_none() {
            return std::iter::repeat_with(unique_local).find(free);
        }
        pools.flat_map(|pool| pool.base.subnets(pool.size).into_iter().flatten()).find(free)
    }
}

impl Default for Ipam {
    fn default() -> Self {
        Self::new(default_pools())
    }
}

impl Space {
    fn new(net: IpNet, request: &SubnetRequest) -> Result<Self, IpamError> {
        let range = match request.range {
            None => net,
            Some(range) if net.contains(&range.trunc()) => range.trunc(),
            Some(range) => return Err(IpamError::RangeOutside { range }),
        };
        let gateway = match request.gateway {
            // The first address of all is the subnet's own name, and in IPv6 every router's (RFC 4291 §2.6.1).
            None if range.network() == net.network() => from_number(number(net.network()) + 1, net.addr().is_ipv4()),
            None => range.network(),
            Some(gateway) if net.contains(&gateway) => gateway,
            Some(gateway) => return Err(IpamError::GatewayOutside { gateway }),
        };
        Ok(Self { net, range, gateway, used: BTreeSet::new() })
    }

    fn family(&self) -> Family {
        Family::of(self.net.addr())
    }

    fn subnet(&self) -> Subnet {
        Subnet { net: self.net, gateway: self.gateway }
    }

    fn with_prefix(&self, address: IpAddr) -> IpNet {
        IpNet::new_assert(address, self.net.prefix_len())
    }

    fn usable(&self, address: IpAddr) -> bool {
        let broadcast = self.family() == Family::V4 && address == self.net.broadcast();
        address != self.net.network() && !broadcast && address != self.gateway
    }

    /// The lowest free address of the range: a walk along the used ones until there is a gap.
    fn allocate(&mut self) -> Option<IpNet> {
        let (first, last) = (self.range.network(), self.range.broadcast());
        let mut candidate = number(first);
        let mut used = self.used.range(first..=last).map(|used| number(*used));
        let mut next_used = used.next();
        loop {
            if next_used == Some(candidate) {
                next_used = used.next();
            } else if self.usable(from_number(candidate, first.is_ipv4())) {
                break;
            }
            candidate = candidate.checked_add(1).filter(|candidate| *candidate <= number(last))?;
        }
        let address = from_number(candidate, first.is_ipv4());
        self.used.insert(address);
        Some(self.with_prefix(address))
    }

    /// `None` when the address is not of this subnet.
    fn reserve(&mut self, address: IpAddr) -> Option<Result<IpNet, IpamError>> {
        if !self.net.contains(&address) {
            return None;
        }
        let free = self.usable(address) && self.used.insert(address);
        Some(if free { Ok(self.with_prefix(address)) } else { Err(IpamError::AddressInUse { address }) })
    }
}

/// Addresses of both families as numbers, to count on.
fn number(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => u32::from(address).into(),
        IpAddr::V6(address) => address.into(),
    }
}

fn from_number(number: u128, v4: bool) -> IpAddr {
    match u32::try_from(number) {
        Ok(number) if v4 => Ipv4Addr::from(number).into(),
        _ => Ipv6Addr::from(number).into(),
    }
}

/// A subnet of `fd00::/8` with 40 random bits, which nobody else has by chance.
fn unique_local() -> IpNet {
    const PREFIX: u128 = 0xfd << 120;
    let global = u128::from(rand::random::<u64>() & 0xff_ffff_ffff) << 80;
    IpNet::V6(Ipv6Net::new_assert((PREFIX | global).into(), ULA_SUBNET))
}

fn explicit(subnet: IpNet, taken: impl Fn(IpNet) -> Option<IpNet>) -> Result<IpNet, IpamError> {
    let invalid = |reason| Err(IpamError::InvalidSubnet { subnet, reason });
    if subnet.trunc() != subnet {
        return invalid("it has host bits set");
    }
    let unusable = match subnet {
        IpNet::V4(net) if !V4_LENGTHS.contains(&net.prefix_len()) => {
            return invalid("the prefix length must be between 8 and 30");
        }
        IpNet::V6(net) if !V6_LENGTHS.contains(&net.prefix_len()) => {
            return invalid("the prefix length must be between 8 and 126");
        }
        IpNet::V4(net) => {
            let first = net.network();
            first.is_loopback() || first.is_multicast() || first.octets()[0] == 0 || first.octets()[0] >= 240
        }
        IpNet::V6(net) => {
            let first = net.network();
            // fe80::/10: every interface has addresses of its own there.
            first.is_unspecified() || first.is_loopback() || first.is_multicast() || first.is_unicast_link_local()
        }
    };
    if unusable {
        return invalid("it is not for hosts");
    }
    match taken(subnet) {
        Some(other) => Err(IpamError::Overlap { subnet, other }),
        None => Ok(subnet),
    }
}

/// Subnets of different families never overlap.
fn overlap(a: IpNet, b: IpNet) -> bool {
    a.contains(&b.network()) || b.contains(&a.network())
}

#[cfg(test)]
mod tests;
