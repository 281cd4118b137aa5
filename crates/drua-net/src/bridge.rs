//! A network's bridge on the host.

use rustix::io::Errno;

use crate::config::{MacAddress, NetworkConfig};
use crate::netlink::{Link, Route, route};
use crate::{NetError, sysctl};

/// What the aliases of all instances' interfaces begin with.
const ANY_MARK: &str = "drua:";

/// Makes sure that the network's bridge exists with its addresses and is up; returns its index.
///
/// A bridge that somebody else made is used as it is and stays when the network goes. A bridge made here does not survive
/// an error.
pub(crate) fn ensure(route: &mut Route, network: &NetworkConfig, mark: &str) -> Result<u32, NetError> {
    let created = match route.link(&network.bridge)? {
        Some(link) => {
            usable(&link, network, mark)?;
            false
        }
        None => {
            create(route, network, mark)?;
            true
        }
    };
    let configured = configure(route, network);
    if configured.is_err() && created {
        remove(route, network, mark)?;
    }
    configured
}

/// Removes the network's bridge if it is ours; one that is gone is fine.
pub(crate) fn remove(route: &mut Route, network: &NetworkConfig, mark: &str) -> Result<(), NetError> {
    let Some(link) = route.link(&network.bridge)?.filter(|link| link.alias == mark) else { return Ok(()) };
    match route.apply(vec![route::delete_link(&link.name, link.index)]) {
        Err(error) if !error.is(Errno::NODEV) => Err(error.into()),
        _ => Ok(()),
    }
}

fn usable(link: &Link, network: &NetworkConfig, mark: &str) -> Result<(), NetError> {
    if link.kind != "bridge" {
        return Err(NetError::NotABridge { interface: network.bridge.clone() });
    }
    if link.alias.starts_with(ANY_MARK) && link.alias != mark {
        return Err(NetError::Foreign { interface: network.bridge.clone(), owner: link.alias.clone() });
    }
    Ok(())
}

fn create(route: &mut Route, network: &NetworkConfig, mark: &str) -> Result<(), NetError> {
    let mac = MacAddress::for_ipv4(network.gateway_v4().unwrap_or(std::net::Ipv4Addr::UNSPECIFIED));
    let created = route.apply(vec![
        route::create_bridge(&network.bridge, mac, network.mtu),
        route::claim(&network.bridge, mark, network.mtu),
    ]);
    if created.is_err() {
        remove(route, network, mark)?;
    }
    Ok(created?)
}

fn configure(route: &mut Route, network: &NetworkConfig) -> Result<u32, NetError> {
    let name = &network.bridge;
    let ipv6 = network.subnets.iter().any(|subnet| subnet.net.addr().is_ipv6());
    sysctl::set(&format!("net/ipv6/conf/{name}/disable_ipv6"), if ipv6 { "0" } else { "1" })?;
    // A container that plays router must not become the host's (CVE-2020-13401).
    sysctl::set(&format!("net/ipv6/conf/{name}/accept_ra"), "0")?;
    // Connections from 127.0.0.1 to published ports come back this way; see `crate::nft` for why that is safe.
    sysctl::set(&format!("net/ipv4/conf/{name}/route_localnet"), "1")?;
    if !network.internal {
        sysctl::set("net/ipv4/ip_forward", "1")?;
        if ipv6 {
            forward_ipv6()?;
        }
    }
    let Some(link) = route.link(name)? else { return Err(NetError::NoInterface { interface: name.clone() }) };
    let mut requests: Vec<_> = network
        .subnets
        .iter()
        .map(|subnet| route::add_address(name.as_str(), link.index, subnet.gateway_net()))
        .collect();
    requests.push(route::bring_up(name.as_str(), link.index));
    route.apply(requests)?;
    Ok(link.index)
}

/// Makes the host forward IPv6. A forwarding host stops to listen to its own router (accept_ra = 1), and would lose its
/// address or its way out some minutes later; so interfaces that listen are told to go on all the same (accept_ra = 2).
fn forward_ipv6() -> Result<(), NetError> {
    let interfaces = fs_err::read_dir("/proc/sys/net/ipv6/conf").into_iter().flatten().flatten();
    for name in interfaces.filter_map(|entry| entry.file_name().into_string().ok()) {
        let accept_ra = format!("net/ipv6/conf/{name}/accept_ra");
        if sysctl::is(&accept_ra, "1") && !sysctl::is(&format!("net/ipv6/conf/{name}/forwarding"), "1") {
            sysctl::set(&accept_ra, "2")?;
        }
    }
    sysctl::set("net/ipv6/conf/all/forwarding", "1")
}
