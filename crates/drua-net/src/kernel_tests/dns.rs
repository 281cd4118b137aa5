//! The embedded DNS server from inside containers.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream, UdpSocket};
use std::path::Path;

use drua_types::NetworkName;
use hickory_proto::op::{Message, MessageType, OpCode, Query, ResponseCode};
use hickory_proto::rr::rdata::A;
use hickory_proto::rr::{Name, RData, Record, RecordType};

use super::world::{address, udp_exchange, world};
use crate::dns::{DnsServer, DnsSockets, Zone, ZoneEndpoint};
use crate::netns;

const SERVER: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::new(127, 0, 0, 11)), 53);

fn question(name: &str) -> Vec<u8> {
    let mut message = Message::new(4711, MessageType::Query, OpCode::Query);
    message.metadata.recursion_desired = true;
    message.add_query(Query::query(Name::from_ascii(name).unwrap(), RecordType::A));
    message.to_vec().unwrap()
}

fn read(bytes: &[u8]) -> Result<Vec<String>, ResponseCode> {
    let message = Message::from_vec(bytes).unwrap();
    assert_eq!(message.metadata.id, 4711);
    match message.metadata.response_code {
        ResponseCode::NoError => {
            let records = message.answers.iter().map(|record| record.data.to_string());
            Ok(records.collect())
        }
        code => Err(code),
    }
}

fn by_udp(netns: &Path, name: &str) -> Result<Vec<String>, ResponseCode> {
    read(&udp_exchange(Some(netns), SERVER, &question(name)).unwrap())
}

fn by_tcp(netns: &Path, name: &str) -> Result<Vec<String>, ResponseCode> {
    let mut stream = netns::enter(netns, || TcpStream::connect(SERVER)).unwrap().unwrap();
    let question = question(name);
    stream.write_all(&u16::try_from(question.len()).unwrap().to_be_bytes()).unwrap();
    stream.write_all(&question).unwrap();
    let mut len = [0; 2];
    stream.read_exact(&mut len).unwrap();
    let mut answer = vec![0; usize::from(u16::from_be_bytes(len))];
    stream.read_exact(&mut answer).unwrap();
    read(&answer)
}

/// Answers one question with 192.0.2.7, after a forged answer that must not count.
fn upstream() -> (SocketAddr, std::thread::JoinHandle<Vec<u8>>) {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let at = socket.local_addr().unwrap();
    let thread = std::thread::spawn(move || {
        let mut buffer = [0; 512];
        let (len, peer) = socket.recv_from(&mut buffer).unwrap();
        let mut message = Message::from_vec(&buffer[..len]).unwrap().into_response();
        let name = message.queries[0].name().clone();
        message.add_answer(Record::from_rdata(name.clone(), 5, RData::A(A(Ipv4Addr::new(6, 6, 6, 6)))));
        message.metadata.id ^= 1;
        socket.send_to(&message.to_vec().unwrap(), peer).unwrap();
        message.metadata.id ^= 1;
        message.answers = vec![Record::from_rdata(name, 5, RData::A(A(Ipv4Addr::new(192, 0, 2, 7))))];
        socket.send_to(&message.to_vec().unwrap(), peer).unwrap();
        buffer[..len].to_vec()
    });
    (at, thread)
}

#[test]
fn names_are_found_over_udp_and_tcp_and_the_rest_is_forwarded() {
    world(|world| {
        let (network, endpoints) = world.populated(90, 2);
        let internal = crate::NetworkConfig { internal: true, ..world.network(91) };
        world.host.create_network(&internal).unwrap();
        let hidden = world.endpoint(&internal, 2);
        world.host.attach(&hidden).unwrap();

        let mut zone = Zone::default();
        zone.add_network(&network.id, &"app".parse::<NetworkName>().unwrap());
        zone.add_network(&internal.id, &"hidden".parse::<NetworkName>().unwrap());
        for (endpoint, name, is_internal) in
            [(&endpoints[0], "web", false), (&endpoints[1], "db", false), (&hidden, "vault", true)]
        {
            zone.add_endpoint(&ZoneEndpoint {
                container: &endpoint.container,
                network: &endpoint.network,
                addresses: &[address(endpoint)],
                name,
                aliases: &[format!("{name}.service")],
                internal: is_internal,
            });
        }

        let (at, upstream) = upstream();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let server = DnsServer::new(runtime.handle().clone(), vec![at]);
        server.set_zone(zone);
        for endpoint in endpoints.iter().chain([&hidden]) {
            server.serve(&endpoint.container, DnsSockets::bind(&endpoint.netns).unwrap()).unwrap();
        }
        let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
        std::thread::scope(|scope| {
            scope.spawn(|| runtime.block_on(stopped));
            let web = &endpoints[0].netns;
            for ask in [by_udp, by_tcp] {
                assert_eq!(ask(web, "db."), Ok(vec!["10.90.0.3".to_owned()]));
                assert_eq!(ask(web, "DB.service."), Ok(vec!["10.90.0.3".to_owned()]));
                assert_eq!(ask(web, "db.app."), Ok(vec!["10.90.0.3".to_owned()]));
                assert_eq!(ask(&hidden.netns, "vault."), Ok(vec!["10.91.0.2".to_owned()]));
                assert_eq!(ask(&hidden.netns, "secret.example."), Err(ResponseCode::NXDomain));
            }
            assert_eq!(by_udp(web, "vault.example."), Ok(vec!["192.0.2.7".to_owned()]));
            // Nothing but that one question came to the upstream server, under an id of our own.
            let asked = upstream.join().unwrap();
            assert_eq!(asked[2..], question("vault.example.")[2..]);

            server.stop(&endpoints[1].container);
            super::world::eventually("the sockets are closed", || DnsSockets::bind(&endpoints[1].netns).is_ok());
            stop.send(()).unwrap();
        });
    });
}

#[test]
fn a_silent_host_is_a_server_failure() {
    world(|world| {
        let (network, endpoints) = world.populated(92, 1);
        let mut zone = Zone::default();
        zone.add_network(&network.id, &"app".parse::<NetworkName>().unwrap());
        zone.add_endpoint(&ZoneEndpoint {
            container: &endpoints[0].container,
            network: &network.id,
            addresses: &[address(&endpoints[0])],
            name: "web",
            aliases: &[],
            internal: false,
        });
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        // Nobody listens there: the host refuses at once.
        let closed = UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let server = DnsServer::new(runtime.handle().clone(), vec![closed]);
        server.set_zone(zone);
        server.serve(&endpoints[0].container, DnsSockets::bind(&endpoints[0].netns).unwrap()).unwrap();
        let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
        std::thread::scope(|scope| {
            scope.spawn(|| runtime.block_on(stopped));
            assert_eq!(by_udp(&endpoints[0].netns, "example.com."), Err(ResponseCode::ServFail));
            stop.send(()).unwrap();
        });
    });
}
