use std::net::IpAddr;

use drua_types::{ContainerId, NetworkId};
use hickory_proto::op::{Edns, Message, MessageType, OpCode, Query, ResponseCode};
use hickory_proto::rr::{Name, RData, RecordType};
use proptest::prelude::*;

use super::answer::{Decision, Transport, decide};
use super::forward::answers;
use super::resolv_conf::HostResolver;
use super::zone::{Zone, ZoneEndpoint};

struct World {
    zone: Zone,
    web: ContainerId,
    inner: ContainerId,
}

fn ips(list: &[&str]) -> Vec<IpAddr> {
    list.iter().map(|ip| ip.parse().unwrap()).collect()
}

/// `web` and two `db`s on `front`; `inner` on the internal `back`.
fn world() -> World {
    let (front, back) = (NetworkId::random(), NetworkId::random());
    let (web, inner) = (ContainerId::random(), ContainerId::random());
    let mut zone = Zone::default();
    zone.add_network(&front, &"front".parse().unwrap());
    zone.add_network(&back, &"back".parse().unwrap());
    let mut add = |container: &ContainerId, network, name, aliases: &[&str], addresses: &[&str], internal| {
        let aliases: Vec<String> = aliases.iter().map(|a| (*a).to_owned()).collect();
        let addresses = ips(addresses);
        let endpoint = ZoneEndpoint { container, network, addresses: &addresses, name, aliases: &aliases, internal };
        zone.add_endpoint(&endpoint);
    };
    add(&web, &front, "Web", &["www"], &["172.18.0.2"], false);
    add(&ContainerId::random(), &front, "db-1", &["db"], &["172.18.0.3"], false);
    add(&ContainerId::random(), &front, "db-2", &["db"], &["172.18.0.4", "fd00::4"], false);
    add(&inner, &back, "inner", &[], &["172.19.0.2"], true);
    World { zone, web, inner }
}

fn question(name: &str, kind: RecordType, edns: bool) -> Vec<u8> {
    let mut message = Message::new(7, MessageType::Query, OpCode::Query);
    message.metadata.recursion_desired = true;
    message.add_query(Query::query(Name::from_ascii(name).unwrap(), kind));
    if edns {
        let mut edns = Edns::new();
        edns.set_max_payload(4096);
        message.set_edns(edns);
    }
    message.to_vec().unwrap()
}

fn answer(world: &World, who: &ContainerId, name: &str, kind: RecordType, turn: usize) -> Option<Message> {
    match decide(&world.zone, who, &question(name, kind, false), Transport::Udp, turn) {
        Decision::Reply(bytes) => Some(Message::from_vec(&bytes).unwrap()),
        Decision::Forward => None,
        Decision::Ignore => panic!("a question must not be ignored"),
    }
}

#[track_caller]
fn check(world: &World, who: &ContainerId, name: &str, kind: RecordType, expect: Option<&[&str]>) {
    let got = answer(world, who, name, kind, 0).map(|message| {
        assert_eq!(message.metadata.response_code, ResponseCode::NoError);
        let data = message.answers.iter().map(|record| {
            assert_eq!(record.ttl, 600);
            match &record.data {
                RData::A(ip) => ip.0.to_string(),
                RData::AAAA(ip) => ip.0.to_string(),
                RData::PTR(name) => name.0.to_ascii(),
                other => panic!("unexpected record {other:?}"),
            }
        });
        data.collect::<Vec<_>>()
    });
    assert_eq!(got.as_deref(), expect.map(|e| e.iter().map(|s| (*s).to_owned()).collect::<Vec<_>>()).as_deref());
}

#[test]
fn names_aliases_ids_and_networks() {
    use RecordType::{A, AAAA, MX, PTR, TXT};
    let world = world();
    let web = &world.web;
    check(&world, web, "web.", A, Some(&["172.18.0.2"]));
    check(&world, web, "WEB.", A, Some(&["172.18.0.2"]));
    check(&world, web, "www.front.", A, Some(&["172.18.0.2"]));
    check(&world, web, &format!("{}.", web.short()), A, Some(&["172.18.0.2"]));
    check(&world, web, "db.", A, Some(&["172.18.0.3", "172.18.0.4"]));
    check(&world, web, "db.", AAAA, Some(&["fd00::4"]));
    check(&world, web, "2.0.18.172.in-addr.arpa.", PTR, Some(&["web.front."]));
    // What is known has no other records, rather than being asked for outside.
    check(&world, web, "web.", AAAA, Some(&[]));
    check(&world, web, "web.", MX, Some(&[]));
    check(&world, web, "www.", TXT, Some(&[]));
    // Other networks' names are as unknown as any.
    check(&world, web, "inner.", A, None);
    check(&world, web, "inner.back.", A, None);
    check(&world, web, "2.0.19.172.in-addr.arpa.", PTR, None);
    check(&world, web, "example.com.", A, None);
}

#[test]
fn addresses_take_turns() {
    let world = world();
    let first = |turn| answer(&world, &world.web, "db.", RecordType::A, turn).unwrap().answers[0].data.clone();
    assert_ne!(first(0), first(1));
    assert_eq!(first(0), first(2));
}

#[test]
fn internal_containers_and_strangers_ask_nobody() {
    let world = world();
    for who in [&world.inner, &ContainerId::random()] {
        for name in ["web.", "example.com.", "x.y.front."] {
            let message = answer(&world, who, name, RecordType::A, 0).expect("never forwarded");
            assert_eq!(message.metadata.response_code, ResponseCode::NXDomain, "{name}");
        }
    }
    check(&world, &world.inner, "inner.", RecordType::A, Some(&["172.19.0.2"]));
}

#[test]
fn long_answers_are_cut_over_udp_only() {
    let mut world = world();
    let network = NetworkId::random();
    world.zone.add_network(&network, &"many".parse().unwrap());
    let addresses: Vec<IpAddr> = (0..60u8).map(|n| IpAddr::from([10, 0, 0, n])).collect();
    world.zone.add_endpoint(&ZoneEndpoint {
        container: &world.web,
        network: &network,
        addresses: &addresses,
        name: "many",
        aliases: &[],
        internal: false,
    });
    let ask = |transport, edns| {
        let packet = question("many.", RecordType::A, edns);
        let Decision::Reply(bytes) = decide(&world.zone, &world.web, &packet, transport, 0) else { panic!() };
        let message = Message::from_vec(&bytes).unwrap();
        assert_eq!(message.edns.is_some(), edns);
        (message.metadata.truncation, message.answers.len(), bytes.len())
    };
    let (cut, count, len) = ask(Transport::Udp, false);
    assert!(cut && count == 0 && len <= 512);
    assert!(!ask(Transport::Udp, true).0);
    assert_eq!(ask(Transport::Tcp, false).1, 60);
}

#[test]
fn only_questions_are_answered() {
    let world = world();
    let decide = |packet: &[u8]| decide(&world.zone, &world.web, packet, Transport::Udp, 0);
    let mut response = question("web.", RecordType::A, false);
    response[2] |= 0x80;
    assert_eq!(decide(&response), Decision::Ignore);
    assert_eq!(decide(b""), Decision::Ignore);
    assert_eq!(decide(b"short"), Decision::Ignore);
    let mut update = question("web.", RecordType::A, false);
    update[2] |= 4 << 3;
    let Decision::Reply(bytes) = decide(&update) else { panic!("answered") };
    assert_eq!(Message::from_vec(&bytes).unwrap().metadata.response_code, ResponseCode::NotImp);
    let mut cut = question("web.", RecordType::A, false);
    cut.truncate(20);
    let Decision::Reply(bytes) = decide(&cut) else { panic!("answered") };
    assert_eq!(Message::from_vec(&bytes).unwrap().metadata.response_code, ResponseCode::FormErr);
}

#[test]
fn name_servers_of_host_and_container() {
    #[track_caller]
    fn check(host: &str, systemd: &str, upstreams: &[&str], container: &[&str]) {
        let resolver = HostResolver::parse(host, systemd);
        let text = resolver.upstreams().iter().map(ToString::to_string).collect::<Vec<_>>();
        assert_eq!(text, upstreams);
        assert_eq!(resolver.for_container(), ips(container));
    }
    let stub = "# x\nnameserver 127.0.0.53\nsearch a.example b.example\noptions edns0 trust-ad\n";
    check(stub, "", &["127.0.0.53:53"], &["8.8.8.8", "8.8.4.4"]);
    let systemd = "nameserver 10.0.0.1 ; dhcp\nnameserver fd00::1";
    check(stub, systemd, &["10.0.0.1:53", "[fd00::1]:53"], &["10.0.0.1", "fd00::1"]);
    check("nameserver\t9.9.9.9\nnameserver ::1", systemd, &["9.9.9.9:53"], &["9.9.9.9"]);
    check("", "", &[], &["8.8.8.8", "8.8.4.4"]);
}

#[test]
fn search_and_options_of_the_host() {
    let resolver =
        HostResolver::parse("domain a.example\nsearch\tb.example c.example\noptions edns0\noptions\tndots:2", "");
    assert_eq!(resolver.search, ["b.example", "c.example"]);
    assert_eq!(resolver.options, ["edns0", "ndots:2"]);
    assert_eq!(HostResolver::parse("search b\ndomain a", "").search, ["a"]);
    assert!(HostResolver::parse("search .", "").search.is_empty());
}

proptest! {
    #[test]
    fn garbage_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..600), udp in any::<bool>()) {
        let world = world();
        let transport = if udp { Transport::Udp } else { Transport::Tcp };
        if let Decision::Reply(reply) = decide(&world.zone, &world.web, &bytes, transport, usize::MAX) {
            prop_assert_eq!(&reply[..2], &bytes[..2]);
            prop_assert!(!udp || reply.len() <= 1232);
        }
        answers(&bytes, &bytes);
    }

    /// Closer to the real thing: a question with some bytes changed.
    #[test]
    fn damaged_questions_never_panic(
        changes in proptest::collection::vec((0usize..60, any::<u8>()), 0..8),
        cut in 0usize..60,
        edns in any::<bool>(),
    ) {
        let world = world();
        let mut packet = question("db.front.", RecordType::A, edns);
        for (at, value) in changes {
            let len = packet.len();
            packet[at % len] = value;
        }
        packet.truncate(packet.len().saturating_sub(cut % 20));
        decide(&world.zone, &world.inner, &packet, Transport::Udp, 3);
        answers(&packet, &packet);
    }
}
