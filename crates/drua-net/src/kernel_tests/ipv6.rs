//! Networks with both families.

use std::path::Path;

use drua_types::Protocol;

use super::world::{Server, World, answer, host_answer, no_answer, publish, world};
use crate::config::{EndpointConfig, NetworkConfig, Subnet};
use crate::netlink::{Route, route};
use crate::{Unplug, netns, sysctl};

const UPLINK6: &str = "fd99::1";
const OUTSIDE6: &str = "fd99::2";

/// Gives the way to the outside its IPv6 addresses.
fn outside_has_ipv6(world: &World) {
    let address = |interface: &str, address: &str| {
        let mut route = Route::open().unwrap();
        let index = route.link(&interface.parse().unwrap()).unwrap().unwrap().index;
        let net = format!("{address}/64").parse().unwrap();
        route.apply(vec![route::add_address(interface, index, net)]).unwrap();
        index
    };
    address("uplink0", UPLINK6);
    netns::enter(&world.outside, || {
        let index = address("eth0", OUTSIDE6);
        let way = route::default_route("eth0", index, UPLINK6.parse().unwrap());
        Route::open().unwrap().apply(vec![way]).unwrap();
    })
    .unwrap();
}

/// A network `10.<n>.0.0/24` and `fd00:<n>::/64`.
fn network(world: &World, n: u8) -> NetworkConfig {
    let mut network = world.network(n);
    let net = format!("fd00:{n}::/64").parse().unwrap();
    network.subnets.push(Subnet { net, gateway: format!("fd00:{n}::1").parse().unwrap() });
    world.host.create_network(&network).unwrap();
    network
}

fn endpoint(world: &World, network: &NetworkConfig, n: u8, host: u8) -> EndpointConfig {
    let mut endpoint = world.endpoint(network, host);
    endpoint.addresses.push(format!("fd00:{n}::{host}/64").parse().unwrap());
    endpoint
}

fn serve(netns: &Path, label: &'static str) -> Server {
    Server::start_at(netns, "[::]:80".parse().unwrap(), label)
}

#[test]
fn both_families_reach_each_other_and_the_outside() {
    world(|world| {
        outside_has_ipv6(world);
        let net = network(world, 60);
        let other = network(world, 61);
        let (web, client) = (endpoint(world, &net, 60, 2), endpoint(world, &net, 60, 3));
        let stranger = endpoint(world, &other, 61, 2);
        for endpoint in [&web, &client, &stranger] {
            world.host.attach(endpoint).unwrap();
        }
        let _web = serve(&web.netns, "web");
        let _outside = serve(&world.outside, "outside");
        assert_eq!(answer(&client.netns, "fd00:60::2", 80), "web fd00:60::3");
        assert_eq!(answer(&client.netns, "10.60.0.2", 80), "web ::ffff:10.60.0.3");
        assert_eq!(host_answer("fd00:60::2", 80), "web fd00:60::1");
        assert_eq!(answer(&client.netns, OUTSIDE6, 80), format!("outside {UPLINK6}"), "behind the host's address");
        no_answer(&stranger.netns, "fd00:60::2", 80);
        no_answer(&world.outside, "fd00:60::2", 80);
    });
}

#[test]
fn ports_are_published_in_the_family_of_their_address() {
    world(|world| {
        outside_has_ipv6(world);
        let net = network(world, 62);
        let mut web = endpoint(world, &net, 62, 2);
        web.publish = vec![
            publish("0.0.0.0", 8080, 80, Protocol::Tcp),
            publish("::", 8080, 80, Protocol::Tcp),
            publish(UPLINK6, 8081, 80, Protocol::Tcp),
        ];
        world.host.attach(&web).unwrap();
        let client = endpoint(world, &net, 62, 3);
        world.host.attach(&client).unwrap();
        let _server = serve(&web.netns, "web");
        assert_eq!(answer(&world.outside, UPLINK6, 8080), format!("web {OUTSIDE6}"));
        assert_eq!(answer(&world.outside, UPLINK6, 8081), format!("web {OUTSIDE6}"));
        assert_eq!(host_answer(UPLINK6, 8080), format!("web {UPLINK6}"));
        assert_eq!(host_answer("127.0.0.1", 8080), "web ::ffff:10.62.0.1");
        assert_eq!(answer(&client.netns, UPLINK6, 8080), "web fd00:62::1", "hairpin");
        assert!(world.host.detach(&web, Unplug::Now).is_empty());
        no_answer(&world.outside, UPLINK6, 8080);
    });
}

#[test]
fn an_ipv6_network_keeps_the_hosts_own_router() {
    world(|world| {
        sysctl::set("net/ipv6/conf/uplink0/accept_ra", "1").unwrap();
        let net = network(world, 63);
        assert!(sysctl::is("net/ipv6/conf/all/forwarding", "1"));
        assert!(sysctl::is("net/ipv6/conf/uplink0/accept_ra", "2"));
        // CVE-2020-13401: a container that advertises itself as a router.
        assert!(sysctl::is(&format!("net/ipv6/conf/{}/accept_ra", net.bridge), "0"));
    });
}

#[test]
fn a_network_without_ipv6_has_none_by_accident() {
    world(|world| {
        // CVE-2024-32473.
        let (network, endpoints) = world.populated(64, 1);
        assert!(sysctl::is(&format!("net/ipv6/conf/{}/disable_ipv6", network.bridge), "1"));
        let addresses = netns::enter(&endpoints[0].netns, || Route::open().unwrap().addresses().unwrap()).unwrap();
        assert!(addresses.iter().all(|(_, net)| net.addr().is_ipv4() || net.addr().is_loopback()), "{addresses:?}");
    });
}
