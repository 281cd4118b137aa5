//! Coming back to a host that is not as it was left.

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};

use drua_types::Protocol;
use proptest::prelude::*;

use super::world::{OUTSIDE, Server, UPLINK, address, answer, eventually, host_answer, publish, world};
use crate::netlink::{Route, route};
use crate::nft::{Element, Firewall, of_network};
use crate::{Host, HostConfig, NetError, Subject};

const CONFIG: fn() -> HostConfig = || HostConfig { table: "drua-test".to_owned(), iface_prefix: "t".to_owned() };

#[test]
fn a_new_daemon_keeps_connections_and_repairs_the_rest() {
    world(|world| {
        let (network, mut endpoints) = world.populated(80, 1);
        let mut web = world.endpoint(&network, 9);
        web.publish = vec![publish("0.0.0.0", 8080, 80, Protocol::Tcp)];
        world.host.attach(&web).unwrap();
        endpoints.push(web.clone());
        let (stale_network, stale) = world.populated(81, 1);
        let networks = [network.clone()];

        // A connection through the published port stays open over all of this.
        let listener = crate::netns::enter(&web.netns, || TcpListener::bind("0.0.0.0:80")).unwrap().unwrap();
        let mut client = TcpStream::connect((UPLINK, 8080)).unwrap();
        let (mut served, _) = listener.accept().unwrap();
        let mut talk = || {
            client.write_all(b"ping").unwrap();
            let mut buffer = [0; 4];
            served.read_exact(&mut buffer).unwrap();
            assert_eq!(&buffer, b"ping");
        };
        talk();

        // The old daemon's sockets are still there: its ports are taken, which is a problem and nothing worse.
        let host = Host::open(CONFIG()).unwrap();
        let problems = host.reconcile(&networks, &endpoints);
        assert!(matches!(problems.as_slice(), [crate::Problem { error: NetError::Port(_), .. }]), "{problems:?}");
        talk();

        world.host.release_ports(&web.publish);
        let problems = host.reconcile(&networks, &endpoints);
        assert!(problems.is_empty(), "{problems:?}");
        talk();
        drop(listener);
        let _server = Server::start(&web.netns, 80, "web");
        assert_eq!(answer(&world.outside, UPLINK, 8080), format!("web {OUTSIDE}"));
        let mut route = Route::open().unwrap();
        assert_eq!(route.link(&stale_network.bridge).unwrap(), None);
        assert_eq!(route.link(&world.host.veth_name(&stale[0])).unwrap(), None);

        // Everything of ours on the host is lost but the containers.
        let bridge = route.link(&network.bridge).unwrap().unwrap();
        route.apply(vec![route::delete_link(&bridge.name, bridge.index)]).unwrap();
        Firewall::open("drua-test").unwrap().delete().unwrap();
        let problems = host.reconcile(&networks, &endpoints);
        assert!(problems.is_empty(), "{problems:?}");
        assert_eq!(host_answer("127.0.0.1", 8080), "web 10.80.0.1");
        assert_eq!(answer(&endpoints[0].netns, address(&web), 80), "web 10.80.0.2");

        // And one container has lost its interface.
        assert!(world.host.detach(&endpoints[0], crate::Unplug::Now).is_empty());
        assert!(host.reconcile(&networks, &endpoints).is_empty());
        assert_eq!(answer(&endpoints[0].netns, address(&web), 80), "web 10.80.0.2");
    });
}

#[test]
fn problems_name_what_they_are_about() {
    world(|world| {
        let (network, mut endpoints) = world.populated(82, 1);
        let mut gone = world.endpoint(&network, 7);
        gone.netns = gone.netns.with_extension("gone");
        endpoints.push(gone.clone());
        let problems = world.host.reconcile(std::slice::from_ref(&network), &endpoints);
        let [problem] = problems.as_slice() else { panic!("{problems:?}") };
        let subject = Subject::Endpoint { container: gone.container, network: network.id };
        assert_eq!(problem.subject, subject);
        assert!(matches!(problem.error, NetError::NoNamespace { .. }));
    });
}

#[test]
fn instances_leave_each_other_alone() {
    world(|world| {
        let (network, endpoints) = world.populated(83, 1);
        let other = Host::open(HostConfig { table: "drua-test-2".to_owned(), iface_prefix: "u".to_owned() }).unwrap();
        assert!(matches!(other.create_network(&network), Err(NetError::Foreign { .. })));
        let mine = crate::NetworkConfig { bridge: other.default_bridge_name(), ..world.network(84) };
        other.create_network(&mine).unwrap();
        assert!(other.reconcile(&[], &[]).is_empty());
        assert!(other.cleanup().is_empty());
        let mut route = Route::open().unwrap();
        assert_eq!(route.link(&mine.bridge).unwrap(), None);
        let _server = Server::start(&endpoints[0].netns, 80, "mine");
        assert_eq!(host_answer(address(&endpoints[0]), 80), "mine 10.83.0.1");

        assert!(world.host.cleanup().is_empty());
        let left: Vec<_> = route.links().unwrap().into_iter().map(|link| link.name).collect();
        assert_eq!(left, ["lo", "uplink0", "up0"]);
        assert_eq!(Firewall::open("drua-test").unwrap().observe().unwrap(), None);
    });
}

#[test]
fn a_flushed_firewall_is_noticed_and_rebuilt() {
    world(|world| {
        let (network, _) = world.populated(85, 0);
        let mut observer = Firewall::open("drua-test").unwrap();
        let wanted = of_network(&network);
        assert_eq!(observer.observe().unwrap().as_ref(), Some(&wanted));
        // Without the watch nothing would say so before the next change.
        for _ in 0..3 {
            observer.delete().unwrap();
            eventually("the table is back", || observer.observe().unwrap().as_ref() == Some(&wanted));
        }
        let rules = || std::process::Command::new("nft").args(["list", "table", "inet", "drua-test"]).output().unwrap();
        let before = String::from_utf8(rules().stdout).unwrap();
        for damage in ["flush ruleset", "flush chain inet drua-test forward", "flush set inet drua-test bridges"] {
            let nft = std::process::Command::new("nft").args(damage.split(' ')).output().unwrap();
            assert!(nft.status.success(), "{nft:?}");
            eventually(damage, || String::from_utf8(rules().stdout).unwrap() == before);
        }
        // What others do to others is none of our business.
        let mut other = Firewall::open("drua-other").unwrap();
        other.replace(BTreeSet::new()).unwrap();
        other.delete().unwrap();
        assert_eq!(observer.observe().unwrap().as_ref(), Some(&wanted));
    });
}

#[test]
fn occupied_subnets_are_the_hosts() {
    world(|world| {
        world.populated(87, 0);
        let occupied: Vec<String> = world.host.occupied_subnets().unwrap().iter().map(ToString::to_string).collect();
        assert!(
            occupied.contains(&"10.87.0.0/24".to_owned()) && occupied.contains(&"10.99.0.0/24".to_owned()),
            "{occupied:?}"
        );
        assert!(!occupied.iter().any(|net| net.starts_with("127.") || net == "0.0.0.0/0"), "{occupied:?}");
    });
}

fn element() -> impl Strategy<Value = Element> {
    let name = || prop_oneof![Just("br-a"), Just("br-bcdefghijklm"), Just("c")].prop_map(|n| n.parse().unwrap());
    let protocol = prop_oneof![Just(Protocol::Tcp), Just(Protocol::Udp), Just(Protocol::Sctp)];
    let of_host = |v6: bool, n: u8| -> std::net::IpAddr {
        if v6 { format!("2001:db8::{n}").parse().unwrap() } else { [192, 0, 2, n].into() }
    };
    let host = proptest::option::of(0u8..3);
    prop_oneof![
        name().prop_map(Element::Bridge),
        name().prop_map(Element::Internal),
        name().prop_map(Element::Icc),
        // Neighbours, so that one interval ends where the next begins.
        (0u8..8).prop_map(|n| Element::Masquerade(format!("10.{n}.0.0/16").parse().unwrap())),
        (0u8..8).prop_map(|n| Element::Masquerade(format!("fd00:{n}::/32").parse().unwrap())),
        (any::<bool>(), host, protocol, 1u16..4, 1u8..4).prop_map(move |(v6, host, protocol, port, to)| {
            let target = std::net::SocketAddr::new(of_host(v6, to), 80);
            Element::Port { host: host.map(|host| of_host(v6, host)), protocol, port, target }
        }),
    ]
}

/// A port leads to one place.
fn consistent(elements: Vec<Element>) -> BTreeSet<Element> {
    let mut keys = BTreeSet::new();
    elements.into_iter().filter(|e| keys.insert((e.set(), e.entries()[0].key.clone()))).collect()
}

/// Whatever the changes, the kernel holds what was asked for, read back from the kernel.
#[test]
fn any_sequence_of_changes_arrives_in_the_kernel() {
    world(|_| {
        let mut runner = proptest::test_runner::TestRunner::new(ProptestConfig::with_cases(60));
        let steps = proptest::collection::vec(proptest::collection::vec(element(), 0..12), 1..8);
        let result = runner.run(&steps, |steps| {
            let mut firewall = Firewall::open("drua-prop").unwrap();
            firewall.replace(BTreeSet::new()).unwrap();
            let mut expected = BTreeSet::new();
            for elements in steps {
                let elements = consistent(elements);
                // In one transaction: some ports go, some come, some lead elsewhere.
                firewall.remove(&expected.difference(&elements).cloned().collect()).unwrap();
                firewall.add(&elements).unwrap();
                expected = elements;
                prop_assert_eq!(firewall.observe().unwrap(), Some(expected.clone()));
                firewall.repair().unwrap();
                prop_assert_eq!(firewall.observe().unwrap(), Some(expected.clone()));
            }
            Ok(())
        });
        result.unwrap();
    });
}

#[test]
fn thousands_of_ports_are_one_transaction() {
    world(|_| {
        let port = |number| Element::Port {
            host: None,
            protocol: Protocol::Tcp,
            port: number,
            target: std::net::SocketAddr::new(std::net::Ipv4Addr::from([10, 0, 0, 2]).into(), number),
        };
        let mut firewall = Firewall::open("drua-many").unwrap();
        let all: BTreeSet<Element> = (1..=20_000).map(port).collect();
        firewall.add(&all).unwrap();
        assert_eq!(firewall.observe().unwrap(), Some(all.clone()));
        firewall.remove(&all.iter().skip(1).cloned().collect()).unwrap();
        assert_eq!(firewall.observe().unwrap(), Some(BTreeSet::from([port(1)])));
    });
}

#[test]
fn more_networks_than_dockers_pools_have() {
    world(|world| {
        let mut ipam = crate::Ipam::default();
        let occupied = world.host.occupied_subnets().unwrap();
        let networks: Vec<_> = (0..40)
            .map(|_| {
                let mut network = world.network(1);
                network.subnets = ipam.add_network(&network.id, &[], &[crate::Family::V4], &occupied).unwrap();
                world.host.create_network(&network).unwrap();
                network
            })
            .collect();
        let _outside = Server::start(&world.outside, 80, "outside");
        let last = &networks[39];
        let mut endpoint = world.endpoint(last, 2);
        endpoint.addresses = ipam.allocate(&last.id, &[]).unwrap();
        world.host.attach(&endpoint).unwrap();
        assert_eq!(answer(&endpoint.netns, OUTSIDE, 80), format!("outside {UPLINK}"));
        assert!(world.host.reconcile(&networks[39..], &[endpoint.clone()]).is_empty());
        assert_eq!(answer(&endpoint.netns, OUTSIDE, 80), format!("outside {UPLINK}"));
        let bridges = Route::open().unwrap().links().unwrap().iter().filter(|link| link.kind == "bridge").count();
        assert_eq!(bridges, 2, "the last network's and the uplink's");
    });
}
