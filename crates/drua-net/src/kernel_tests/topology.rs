//! Who reaches whom.

use std::time::{Duration, Instant};

use drua_types::Protocol;

use super::world::{
    OUTSIDE, Server, UPLINK, address, answer, eventually, host_answer, no_answer, no_connection, publish, world,
};
use crate::netlink::Route;
use crate::{Unplug, netns};

#[test]
fn containers_reach_each_other_the_host_and_the_outside() {
    world(|world| {
        let (network, endpoints) = world.populated(50, 2);
        let [a, b] = endpoints.as_slice() else { panic!("two") };
        let _b = Server::start(&b.netns, 80, "b");
        let _outside = Server::start(&world.outside, 80, "outside");
        assert_eq!(answer(&a.netns, address(b), 80), "b 10.50.0.2");
        assert_eq!(host_answer(address(b), 80), "b 10.50.0.1");
        assert_eq!(answer(&a.netns, OUTSIDE, 80), format!("outside {UPLINK}"));
        assert_eq!(world.host.create_network(&network).ok(), Some(()), "creating it again is fine");
    });
}

#[test]
fn the_first_packet_is_not_lost() {
    world(|world| {
        let network = world.network(62);
        world.host.create_network(&network).unwrap();
        let _outside = Server::start(&world.outside, 80, "outside");
        for host in 2..22 {
            let endpoint = world.endpoint(&network, host);
            world.host.attach(&endpoint).unwrap();
            let started = Instant::now();
            if host % 2 == 0 {
                answer(&endpoint.netns, OUTSIDE, 80);
            } else {
                let _server = Server::start(&endpoint.netns, 80, "inside");
                host_answer(address(&endpoint), 80);
            }
            // It would be sent again after a second.
            assert!(started.elapsed() < Duration::from_millis(800), "{:?} for {host}", started.elapsed());
        }
    });
}

#[test]
fn networks_are_isolated_and_the_outside_does_not_get_in() {
    world(|world| {
        let (_, one) = world.populated(51, 1);
        let (_, two) = world.populated(52, 1);
        let _server = Server::start(&two[0].netns, 80, "two");
        no_answer(&one[0].netns, address(&two[0]), 80);
        no_answer(&world.outside, address(&two[0]), 80);
        assert_eq!(host_answer(address(&two[0]), 80), "two 10.52.0.1");
    });
}

#[test]
fn without_icc_only_the_outside_is_reached() {
    world(|world| {
        let network = crate::NetworkConfig { icc: false, ..world.network(53) };
        world.host.create_network(&network).unwrap();
        let (a, b) = (world.endpoint(&network, 2), world.endpoint(&network, 3));
        world.host.attach(&a).unwrap();
        world.host.attach(&b).unwrap();
        let _b = Server::start(&b.netns, 80, "b");
        let _outside = Server::start(&world.outside, 80, "outside");
        no_answer(&a.netns, address(&b), 80);
        assert_eq!(answer(&a.netns, OUTSIDE, 80), format!("outside {UPLINK}"));
    });
}

#[test]
fn internal_networks_have_no_way_out() {
    world(|world| {
        let network = crate::NetworkConfig { internal: true, ..world.network(54) };
        world.host.create_network(&network).unwrap();
        let (a, mut b) = (world.endpoint(&network, 2), world.endpoint(&network, 3));
        b.publish = vec![publish("0.0.0.0", 8080, 80, Protocol::Tcp)];
        world.host.attach(&a).unwrap();
        world.host.attach(&b).unwrap();
        // Another network makes the host forward packets.
        world.populated(61, 0);
        let _b = Server::start(&b.netns, 80, "b");
        let _outside = Server::start(&world.outside, 80, "outside");
        assert_eq!(answer(&a.netns, address(&b), 80), "b 10.54.0.2");
        no_answer(&world.outside, UPLINK, 8080);
        no_answer(&a.netns, OUTSIDE, 80);
        no_answer(&world.outside, address(&b), 80);
        // Not even for a container that gives itself a route.
        let by_force = crate::NetworkConfig { internal: false, ..network.clone() };
        crate::endpoint::take_default_route(&a, &by_force).unwrap();
        no_answer(&a.netns, OUTSIDE, 80);
    });
}

#[test]
fn the_hosts_loopback_is_not_for_containers() {
    world(|world| {
        let (_, endpoints) = world.populated(55, 1);
        let _listener = std::net::TcpListener::bind("127.0.0.1:7000").unwrap();
        // The container sends packets for 127.0.0.1 to the gateway.
        netns::enter(&endpoints[0].netns, || {
            crate::sysctl::set("net/ipv4/conf/eth0/route_localnet", "1").unwrap();
            let mut route = Route::open().unwrap();
            let lo = route.link(&"lo".parse().unwrap()).unwrap().unwrap();
            route.apply(vec![crate::netlink::route::delete_address(lo.index, "127.0.0.1/8".parse().unwrap())]).unwrap();
        })
        .unwrap();
        no_connection(&endpoints[0].netns, "127.0.0.1", 7000);
    });
}

#[test]
fn a_second_network_and_a_moved_default_route() {
    world(|world| {
        let (_, first) = world.populated(56, 1);
        let (_, second) = world.populated(57, 1);
        let _peer = Server::start(&second[0].netns, 80, "peer");
        let _outside = Server::start(&world.outside, 80, "outside");
        let mut also = world.endpoint(&world.network(57), 9);
        also.network = second[0].network.clone();
        also.container = first[0].container.clone();
        also.netns = first[0].netns.clone();
        also.ifname = "eth1".parse().unwrap();
        also.default_route = false;
        no_answer(&also.netns, address(&second[0]), 80);
        world.host.attach(&also).unwrap();
        assert_eq!(answer(&also.netns, address(&second[0]), 80), "peer 10.57.0.9");
        assert!(world.host.detach(&first[0], Unplug::Now).is_empty());
        world.host.set_default_route(&also).unwrap();
        assert_eq!(answer(&also.netns, OUTSIDE, 80), format!("outside {UPLINK}"));
    });
}

#[test]
fn detaching_leaves_nothing() {
    world(|world| {
        let (network, endpoints) = world.populated(58, 2);
        let names: Vec<_> = endpoints.iter().map(|endpoint| world.host.veth_name(endpoint)).collect();
        let mut route = Route::open().unwrap();
        assert!(world.host.detach(&endpoints[0], Unplug::Now).is_empty());
        assert_eq!(route.link(&names[0]).unwrap(), None);
        assert!(world.host.detach(&endpoints[1], Unplug::Lazily).is_empty());

        // The address may be given to another container at once, although the old pair still lingers.
        let mut heir = world.endpoint(&network, 3);
        heir.mac = endpoints[1].mac;
        world.host.attach(&heir).unwrap();
        let _heir = Server::start(&heir.netns, 80, "heir");
        assert_eq!(host_answer(address(&heir), 80), "heir 10.58.0.1");
        eventually("the pair is deleted", || route.link(&names[1]).unwrap().is_none());

        assert!(world.host.detach(&heir, Unplug::Now).is_empty());
        assert!(world.host.detach(&heir, Unplug::Now).is_empty(), "what is gone is fine");
        assert!(world.host.remove_network(&network).is_empty());
        assert_eq!(route.link(&network.bridge).unwrap(), None);
        let left: Vec<_> = route.links().unwrap().into_iter().map(|link| link.name).collect();
        assert_eq!(left, ["lo", "uplink0", "up0"]);
    });
}

#[test]
fn a_container_that_restarts_at_once_gets_its_place_back() {
    world(|world| {
        let (_, endpoints) = world.populated(59, 1);
        let mut endpoint = endpoints[0].clone();
        assert!(world.host.detach(&endpoint, Unplug::Lazily).is_empty());
        let fresh = endpoint.netns.with_extension("again");
        netns::create(&fresh).unwrap();
        endpoint.netns = fresh;
        world.host.attach(&endpoint).unwrap();
        let _server = Server::start(&endpoint.netns, 80, "again");
        assert_eq!(host_answer(address(&endpoint), 80), "again 10.59.0.1");
        netns::remove(&endpoints[0].netns).unwrap();
        let mut route = Route::open().unwrap();
        eventually("the former pair is deleted", || {
            !route.links().unwrap().iter().any(|link| link.name.starts_with("dead"))
        });
        assert_eq!(host_answer(address(&endpoint), 80), "again 10.59.0.1");
    });
}

#[test]
fn a_failed_attachment_leaves_nothing() {
    world(|world| {
        let network = world.network(60);
        let mut endpoint = world.endpoint(&network, 2);
        assert!(matches!(world.host.attach(&endpoint), Err(crate::NetError::UnknownNetwork { .. })));
        world.host.create_network(&network).unwrap();
        endpoint.netns = endpoint.netns.with_extension("missing");
        assert!(matches!(world.host.attach(&endpoint), Err(crate::NetError::NoNamespace { .. })));
        let mut route = Route::open().unwrap();
        assert_eq!(route.link(&world.host.veth_name(&endpoint)).unwrap(), None);
    });
}
