//! Published ports.

use std::net::{TcpListener, UdpSocket};
use std::sync::Arc;

use drua_types::{ContainerId, Port, Protocol};

use super::world::{OUTSIDE, Server, UPLINK, address, answer, host_answer, no_answer, publish, udp_exchange, world};
use crate::{HostPorts, PortError, PortRequest, Unplug, netns, sysctl};

#[test]
fn a_port_is_reachable_from_everywhere() {
    world(|world| {
        let (_, others) = world.populated(71, 1);
        let network = world.network(70);
        world.host.create_network(&network).unwrap();
        let mut web = world.endpoint(&network, 2);
        web.publish = vec![publish("0.0.0.0", 8080, 80, Protocol::Tcp)];
        world.host.attach(&web).unwrap();
        let neighbour = world.endpoint(&network, 3);
        world.host.attach(&neighbour).unwrap();
        let _server = Server::start(&web.netns, 80, "web");

        assert_eq!(host_answer("127.0.0.1", 8080), "web 10.70.0.1");
        assert_eq!(host_answer(UPLINK, 8080), format!("web {UPLINK}"));
        assert_eq!(host_answer("10.70.0.1", 8080), "web 10.70.0.1");
        assert_eq!(answer(&world.outside, UPLINK, 8080), format!("web {OUTSIDE}"));
        assert_eq!(answer(&neighbour.netns, UPLINK, 8080), "web 10.70.0.1", "hairpin by another container");
        assert_eq!(answer(&web.netns, UPLINK, 8080), "web 10.70.0.1", "hairpin to itself");
        assert_eq!(answer(&others[0].netns, UPLINK, 8080), "web 10.70.0.1", "from another network");
        sysctl::set("net/bridge/bridge-nf-call-iptables", "0").unwrap();
        assert_eq!(answer(&web.netns, UPLINK, 8080), "web 10.70.0.1", "hairpin to itself without br_netfilter");
        assert_eq!(answer(&neighbour.netns, UPLINK, 8080), "web 10.70.0.1");

        // The published port does not open the container's own.
        no_answer(&world.outside, address(&web), 80);
        // What is for others stays for others.
        let _outside = Server::start(&world.outside, 8080, "outside");
        assert_eq!(answer(&neighbour.netns, OUTSIDE, 8080), format!("outside {UPLINK}"));

        assert!(world.host.detach(&web, Unplug::Now).is_empty());
        assert!(std::net::TcpStream::connect(("127.0.0.1", 8080)).is_err());
        TcpListener::bind("0.0.0.0:8080").expect("the port is free again");
    });
}

#[test]
fn a_port_at_one_address_is_nowhere_else() {
    world(|world| {
        let network = world.network(72);
        world.host.create_network(&network).unwrap();
        let mut web = world.endpoint(&network, 2);
        web.publish = vec![publish("127.0.0.1", 8080, 80, Protocol::Tcp), publish(UPLINK, 8081, 80, Protocol::Tcp)];
        world.host.attach(&web).unwrap();
        let _server = Server::start(&web.netns, 80, "web");
        assert_eq!(host_answer("127.0.0.1", 8080), "web 10.72.0.1");
        assert_eq!(answer(&world.outside, UPLINK, 8081), format!("web {OUTSIDE}"));
        no_answer(&world.outside, UPLINK, 8080);
        assert!(std::net::TcpStream::connect(("127.0.0.1", 8081)).is_err());
        // moby#45610: a neighbour sends packets for 127.0.0.1 to the host's MAC.
        netns::enter(&world.outside, || {
            use crate::netlink::{Route, route};
            sysctl::set("net/ipv4/conf/eth0/route_localnet", "1").unwrap();
            let mut route = Route::open().unwrap();
            let lo = route.link(&"lo".parse().unwrap()).unwrap().unwrap();
            route.apply(vec![route::delete_address(lo.index, "127.0.0.1/8".parse().unwrap())]).unwrap();
        })
        .unwrap();
        no_answer(&world.outside, "127.0.0.1", 8080);
    });
}

#[test]
fn udp_and_tcp_have_the_same_number() {
    world(|world| {
        let network = world.network(73);
        world.host.create_network(&network).unwrap();
        let mut echo = world.endpoint(&network, 2);
        echo.publish = vec![publish("0.0.0.0", 9000, 7, Protocol::Udp), publish("0.0.0.0", 9000, 80, Protocol::Tcp)];
        world.host.attach(&echo).unwrap();
        let _tcp = Server::start(&echo.netns, 80, "tcp");
        let socket = Arc::new(netns::enter(&echo.netns, || UdpSocket::bind("0.0.0.0:7")).unwrap().unwrap());
        let echoing = Arc::clone(&socket);
        let thread = std::thread::spawn(move || {
            let mut buffer = [0; 100];
            while let Ok((len, peer)) = echoing.recv_from(&mut buffer) {
                if len == 0 {
                    return;
                }
                echoing.send_to(&buffer[..len], peer).unwrap();
            }
        });
        for to in [format!("{UPLINK}:9000"), "127.0.0.1:9000".to_owned()] {
            assert_eq!(udp_exchange(None, to.parse().unwrap(), b"ping").unwrap(), b"ping");
        }
        let to = format!("{UPLINK}:9000").parse().unwrap();
        assert_eq!(udp_exchange(Some(&world.outside), to, b"ping").unwrap(), b"ping");
        assert_eq!(host_answer("127.0.0.1", 9000), "tcp 10.73.0.1");
        UdpSocket::bind("0.0.0.0:0").unwrap().send_to(b"", format!("{}:7", address(&echo))).unwrap();
        thread.join().unwrap();
    });
}

/// Echoes datagrams with a label until it is dropped.
fn label_udp(netns: &std::path::Path, label: &'static [u8]) {
    let socket = netns::enter(netns, || UdpSocket::bind("0.0.0.0:7")).unwrap().unwrap();
    std::thread::spawn(move || {
        let mut buffer = [0; 100];
        while let Ok((_, peer)) = socket.recv_from(&mut buffer) {
            let _ = socket.send_to(label, peer);
        }
    });
}

#[test]
fn a_udp_client_follows_the_port_to_its_new_container() {
    world(|world| {
        let network = world.network(79);
        world.host.create_network(&network).unwrap();
        let publish = |host| {
            let mut endpoint = world.endpoint(&network, host);
            endpoint.publish = vec![publish("0.0.0.0", 9000, 7, Protocol::Udp)];
            world.host.attach(&endpoint).unwrap();
            endpoint
        };
        // One socket throughout, so that it is one flow to the kernel.
        let client = netns::enter(&world.outside, || UdpSocket::bind("0.0.0.0:0")).unwrap().unwrap();
        client.set_read_timeout(Some(std::time::Duration::from_millis(300))).unwrap();
        client.connect((UPLINK, 9000)).unwrap();
        let ask = || {
            let mut buffer = [0; 100];
            client.send(b"?").ok()?;
            client.recv(&mut buffer).ok().map(|len| buffer[..len].to_vec())
        };
        assert_eq!(ask(), None, "nobody is there yet");
        let first = publish(2);
        label_udp(&first.netns, b"first");
        super::world::eventually("the first container answers", || ask().as_deref() == Some(b"first"));
        assert!(world.host.detach(&first, Unplug::Lazily).is_empty());
        let second = publish(3);
        label_udp(&second.netns, b"second");
        super::world::eventually("the second container answers", || ask().as_deref() == Some(b"second"));
    });
}

#[test]
fn taken_ports_are_refused_in_dockers_words() {
    world(|world| {
        let (one, two) = (ContainerId::random(), ContainerId::random());
        let request = |ip: &str, ports| PortRequest {
            host_ip: ip.parse().unwrap(),
            host_ports: ports,
            container_port: Port { number: 80, protocol: Protocol::Tcp },
        };
        let fixed = |port| HostPorts::OneOf(port..=port);
        let lease = |who, ip, ports| world.host.lease_ports(who, &[request(ip, ports)]);

        let held = lease(&one, "0.0.0.0", fixed(8080)).unwrap();
        for ip in ["0.0.0.0", "127.0.0.1"] {
            let error = lease(&two, ip, fixed(8080)).unwrap_err();
            assert_eq!(error.to_string(), format!("Bind for {ip}:8080 failed: port is already allocated"));
        }
        world.host.release_ports(&held);
        lease(&two, "127.0.0.1", fixed(8080)).unwrap();
        assert!(matches!(lease(&one, "0.0.0.0", fixed(8080)), Err(PortError::Allocated { .. })));

        let _program = TcpListener::bind("0.0.0.0:8090").unwrap();
        let error = lease(&one, "0.0.0.0", fixed(8090)).unwrap_err();
        assert_eq!(error.to_string(), "failed to bind host port 0.0.0.0:8090/tcp: address already in use");

        let ranged = lease(&one, "0.0.0.0", HostPorts::OneOf(8090..=8092)).unwrap();
        assert_eq!(ranged[0].host_port, 8091);
        // One request that cannot be met takes the others with it.
        let both = [request("0.0.0.0", fixed(8093)), request("0.0.0.0", fixed(8090))];
        assert!(world.host.lease_ports(&one, &both).is_err());
        TcpListener::bind("0.0.0.0:8093").expect("not held");
        lease(&two, "0.0.0.0", HostPorts::OneOf(8090..=8092)).unwrap();
        let error = lease(&two, "0.0.0.0", HostPorts::OneOf(8090..=8092)).unwrap_err();
        assert!(error.to_string().contains("all ports are allocated"), "{error}");

        let first = lease(&one, "0.0.0.0", HostPorts::Ephemeral).unwrap()[0].host_port;
        let second = lease(&one, "0.0.0.0", HostPorts::Ephemeral).unwrap()[0].host_port;
        assert!(first >= 32768 && second > first);
        assert!(TcpListener::bind(("0.0.0.0", first)).is_err(), "nobody else gets it");
        assert!(lease(&one, "9.9.9.9", fixed(8099)).is_err(), "an address that is not the host's");
    });
}

#[test]
fn a_conflict_at_attach_leaves_nothing() {
    world(|world| {
        let (_, others) = world.populated(74, 1);
        let mut first = world.endpoint(&world.network(74), 10);
        first.network = others[0].network.clone();
        first.publish = vec![publish("0.0.0.0", 8080, 80, Protocol::Tcp)];
        world.host.attach(&first).unwrap();
        let mut second = world.endpoint(&world.network(74), 11);
        second.network = others[0].network.clone();
        second.publish = vec![publish("0.0.0.0", 8081, 80, Protocol::Tcp), publish("0.0.0.0", 8080, 80, Protocol::Tcp)];
        let error = world.host.attach(&second).unwrap_err();
        assert_eq!(error.to_string(), "Bind for 0.0.0.0:8080 failed: port is already allocated");
        TcpListener::bind("0.0.0.0:8081").expect("given back");
        let mut route = crate::netlink::Route::open().unwrap();
        assert_eq!(route.link(&world.host.veth_name(&second)).unwrap(), None);
        let _server = Server::start(&first.netns, 80, "first");
        assert_eq!(host_answer("127.0.0.1", 8080), "first 10.74.0.1");
    });
}

#[test]
fn detaching_again_does_not_hurt_an_heir() {
    world(|world| {
        let network = world.network(75);
        world.host.create_network(&network).unwrap();
        let mut first = world.endpoint(&network, 2);
        first.publish = vec![publish("0.0.0.0", 8080, 80, Protocol::Tcp)];
        world.host.attach(&first).unwrap();
        assert!(world.host.detach(&first, Unplug::Lazily).is_empty());
        // The same address and the same port, so the same rule.
        let mut heir = world.endpoint(&network, 2);
        heir.publish = first.publish.clone();
        world.host.attach(&heir).unwrap();
        assert!(world.host.detach(&first, Unplug::Lazily).is_empty());
        world.host.release_ports_of(&first.container);
        let _server = Server::start(&heir.netns, 80, "heir");
        assert_eq!(host_answer("127.0.0.1", 8080), "heir 10.75.0.1");
        assert!(TcpListener::bind("0.0.0.0:8080").is_err(), "still held");
    });
}
