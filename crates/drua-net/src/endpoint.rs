//! A container's place in a network: a veth pair from the bridge into the container's namespace.
//!
//! One message makes the pair with its inner end already in the container's namespace, named and addressed; a second one
//! makes the outer end a configured bridge port. Inside, a helper thread gives the address and the default route.

use std::os::fd::AsFd;

use fs_err::File;
use rustix::io::Errno;

use crate::config::{EndpointConfig, InterfaceName, NetworkConfig};
use crate::netlink::{NewVeth, PortFlags, Route, route};
use crate::{NetError, netns, sysctl};

/// The outer end of an endpoint: its name, and the mark that says whose it is.
#[derive(Debug)]
pub(crate) struct OuterEnd {
    pub(crate) name: InterfaceName,
    pub(crate) mark: String,
}

/// Creates the pair and attaches it to the bridge. The inner end is still down.
pub(crate) fn plug(
    route: &mut Route,
    outer: &OuterEnd,
    endpoint: &EndpointConfig,
    network: &NetworkConfig,
) -> Result<(), NetError> {
    let missing = || NetError::NoInterface { interface: network.bridge.clone() };
    let bridge = route.link(&network.bridge)?.ok_or_else(missing)?.index;
    make_way(route, outer)?;
    let no_namespace = |_| NetError::NoNamespace { path: endpoint.netns.clone() };
    let namespace = File::open(&endpoint.netns).map_err(no_namespace)?;
    let plugged = route.apply(vec![
        route::create_veth(&NewVeth {
            name: &outer.name,
            bridge,
            mtu: network.mtu,
            peer_name: &endpoint.ifname,
            peer_mac: endpoint.mac,
            peer_netns: namespace.file().as_fd(),
        }),
        route::configure_port(&outer.name, &outer.mark, port_flags(endpoint, network)),
    ]);
    if plugged.is_err() {
        unplug(route, outer)?;
    }
    Ok(plugged?)
}

/// Waits until packets pass from the bridge to the configured inner end.
pub(crate) fn settle(route: &mut Route, outer: &OuterEnd, network: &NetworkConfig) -> Result<(), NetError> {
    route.settle(&outer.name)?;
    Ok(route.settle(&network.bridge)?)
}

/// Attaches an existing outer end to the network's bridge, for example after the bridge was made anew.
pub(crate) fn replug(
    route: &mut Route,
    outer: &OuterEnd,
    endpoint: &EndpointConfig,
    network: &NetworkConfig,
) -> Result<(), NetError> {
    let missing = || NetError::NoInterface { interface: network.bridge.clone() };
    let bridge = route.link(&network.bridge)?.ok_or_else(missing)?.index;
    Ok(route.apply(vec![
        route::enslave(&outer.name, bridge),
        route::configure_port(&outer.name, &outer.mark, port_flags(endpoint, network)),
    ])?)
}

/// Deletes the pair if it is ours; one that is gone is fine. Takes the kernel about 20 ms.
pub(crate) fn unplug(route: &mut Route, outer: &OuterEnd) -> Result<(), NetError> {
    let Some(link) = route.link(&outer.name)?.filter(|link| link.alias == outer.mark) else { return Ok(()) };
    match route.apply(vec![route::delete_link(&link.name, link.index)]) {
        Err(error) if !error.is(Errno::NODEV) => Err(error.into()),
        _ => Ok(()),
    }
}

/// Gives the inner end its addresses, brings it up, and sets the default route if the endpoint has it.
pub(crate) fn configure(endpoint: &EndpointConfig, network: &NetworkConfig) -> Result<(), NetError> {
    netns::enter(&endpoint.netns, || {
        // A network without IPv6 must not have it by accident (CVE-2024-32473).
        let ipv6 = endpoint.addresses.iter().any(|net| net.addr().is_ipv6());
        sysctl::set(&format!("net/ipv6/conf/{}/disable_ipv6", endpoint.ifname), if ipv6 { "0" } else { "1" })?;
        // Its router is the host, which does not advertise itself; whoever does is a neighbour.
        sysctl::set(&format!("net/ipv6/conf/{}/accept_ra", endpoint.ifname), "0")?;
        let mut route = Route::open()?;
        let (name, index) = inner_end(&mut route, endpoint)?;
        let mut requests = vec![route::bring_up(name, index)];
        requests.extend(endpoint.addresses.iter().map(|&address| route::add_address(name, index, address)));
        route.apply(requests)?;
        route.settle(&endpoint.ifname)?;
        if endpoint.default_route { set_default_route(&mut route, endpoint, network) } else { Ok(()) }
    })?
}

/// Makes the endpoint the container's way out.
pub(crate) fn take_default_route(endpoint: &EndpointConfig, network: &NetworkConfig) -> Result<(), NetError> {
    netns::enter(&endpoint.netns, || set_default_route(&mut Route::open()?, endpoint, network))?
}

fn set_default_route(route: &mut Route, endpoint: &EndpointConfig, network: &NetworkConfig) -> Result<(), NetError> {
    if network.internal {
        return Ok(());
    }
    let (name, index) = inner_end(route, endpoint)?;
    let reachable = |gateway: &std::net::IpAddr| endpoint.addresses.iter().any(|net| net.contains(gateway));
    let gateways = network.subnets.iter().map(|subnet| subnet.gateway).filter(reachable);
    Ok(route.apply(gateways.map(|gateway| route::default_route(name, index, gateway)).collect())?)
}

fn inner_end<'a>(route: &mut Route, endpoint: &'a EndpointConfig) -> Result<(&'a str, u32), NetError> {
    let missing = || NetError::NoInterface { interface: endpoint.ifname.clone() };
    Ok((endpoint.ifname.as_str(), route.link(&endpoint.ifname)?.ok_or_else(missing)?.index))
}

fn port_flags(endpoint: &EndpointConfig, network: &NetworkConfig) -> PortFlags {
    // With br_netfilter, a container's packet to its own published port turns round within the bridge. Other ports stay
    // without, since they would get back their own broadcasts.
    PortFlags { hairpin: !endpoint.publish.is_empty(), isolated: !network.icc }
}

/// A container that starts again at once may find its former pair, which waits to be deleted, under its name.
fn make_way(route: &mut Route, outer: &OuterEnd) -> Result<(), NetError> {
    let Some(link) = route.link(&outer.name)? else { return Ok(()) };
    if link.alias != outer.mark {
        return Err(NetError::Foreign { interface: outer.name.clone(), owner: link.alias });
    }
    let aside = format!("dead{}", link.index).parse().expect("four letters and at most ten digits");
    match route.apply(vec![route::rename(link.index, &link.name, &aside)]) {
        Ok(()) => Ok(()),
        Err(_) => unplug(route, outer),
    }
}
