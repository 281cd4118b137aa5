use proptest::prelude::*;

use super::*;

fn net(text: &str) -> IpNet {
    text.parse().expect("a subnet")
}

const V4: &[Family] = &[Family::V4];
const BOTH: &[Family] = &[Family::V4, Family::V6];

fn ip(text: &str) -> IpAddr {
    text.parse().expect("an address")
}

fn request(subnet: &str) -> SubnetRequest {
    SubnetRequest { subnet: Some(net(subnet)), ..SubnetRequest::default() }
}

#[test]
fn networks_get_dockers_subnets_in_order_and_then_ours() {
    let mut ipam = Ipam::default();
    let mut subnets = Vec::new();
    let error = loop {
        match ipam.add_network(&NetworkId::random(), &[], V4, &[]) {
            Ok(one) => subnets.push(one[0]),
            Err(error) => break error,
        }
    };
    assert_eq!(subnets[0], Subnet { net: net("172.17.0.0/16"), gateway: "172.17.0.1".parse().unwrap() });
    assert_eq!(subnets[14].net, net("172.31.0.0/16"));
    assert_eq!(subnets[15].net, net("192.168.0.0/20"));
    assert_eq!(subnets[31].net, net("10.201.0.0/24"));
    assert_eq!(subnets.len(), 31 + 256);
    assert_eq!(error.to_string(), "all predefined address pools have been fully subnetted");
}

#[test]
fn the_hosts_own_subnets_are_avoided() {
    let mut ipam = Ipam::default();
    let occupied = [net("172.17.0.0/16"), net("172.18.4.0/24"), net("172.16.0.0/12").trunc()];
    let chosen = ipam.add_network(&NetworkId::random(), &[], V4, &occupied[..2]).unwrap();
    assert_eq!(chosen[0].net, net("172.19.0.0/16"));
    let chosen = ipam.add_network(&NetworkId::random(), &[], V4, &occupied).unwrap();
    assert_eq!(chosen[0].net, net("192.168.0.0/20"));
}

#[test]
fn overlaps_are_refused_in_dockers_words() {
    let mut ipam = Ipam::default();
    ipam.add_network(&NetworkId::random(), &[request("10.1.0.0/16")], V4, &[]).unwrap();
    let error = ipam.add_network(&NetworkId::random(), &[request("10.1.2.0/24")], V4, &[]).unwrap_err();
    assert!(error.to_string().contains("Pool overlaps with other one on this address space"), "{error}");
    assert_eq!(error.kind(), ErrorKind::Denied);
}

#[test]
fn subnets_that_cannot_work_are_refused() {
    let mut ipam = Ipam::default();
    for bad in [
        "10.0.0.1/16",
        "10.0.0.0/31",
        "127.0.0.0/8",
        "224.0.0.0/8",
        "0.0.0.0/8",
        "fe80::/64",
        "ff02::/64",
        "fd00::1/64",
        "fd00::/127",
    ] {
        let error = ipam.add_network(&NetworkId::random(), &[request(bad)], V4, &[]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid, "{bad}");
    }
    let outside = SubnetRequest { gateway: Some("10.9.0.1".parse().unwrap()), ..request("10.0.0.0/24") };
    assert!(ipam.add_network(&NetworkId::random(), &[outside], V4, &[]).is_err());
}

#[test]
fn ranges_gateways_and_fixed_addresses() {
    let mut ipam = Ipam::default();
    let id = NetworkId::random();
    let wanted = SubnetRequest {
        range: Some(net("10.0.0.8/30")),
        gateway: Some("10.0.0.9".parse().unwrap()),
        ..request("10.0.0.0/24")
    };
    ipam.add_network(&id, &[wanted], V4, &[]).unwrap();
    let mut next = || ipam.allocate(&id, &[]).map(|nets| nets[0].to_string());
    assert_eq!([next(), next(), next()].map(Result::unwrap), ["10.0.0.8/24", "10.0.0.10/24", "10.0.0.11/24"]);
    assert!(matches!(next(), Err(IpamError::AddressesExhausted { .. })));
    assert!(ipam.allocate(&id, &[ip("10.0.0.77")]).is_ok());
    let error = ipam.allocate(&id, &[ip("10.0.0.77")]).unwrap_err();
    assert_eq!(error.to_string(), "Address already in use");
    for reserved in ["10.0.0.0", "10.0.0.255", "10.0.0.9"] {
        assert!(ipam.allocate(&id, &[ip(reserved)]).is_err(), "{reserved}");
    }
    let error = ipam.allocate(&id, &[ip("10.0.1.1")]).unwrap_err();
    assert!(matches!(error, IpamError::AddressOutside { .. }));
}

#[test]
fn ipv6_comes_from_a_unique_local_prefix_or_as_asked() {
    let mut ipam = Ipam::default();
    let id = NetworkId::random();
    let subnets = ipam.add_network(&id, &[], BOTH, &[]).unwrap();
    let [v4, v6] = subnets.as_slice() else { panic!("{subnets:?}") };
    assert_eq!(v4.net, net("172.17.0.0/16"));
    assert!(net("fd00::/8").contains(&v6.net) && v6.net.prefix_len() == 64, "{v6:?}");
    assert!(v6.gateway.to_string().ends_with("::1"), "{v6:?}");
    let first = ipam.allocate(&id, &[]).unwrap();
    assert_eq!(first[0].to_string(), "172.17.0.2/16");
    assert!(first[1].to_string().ends_with("::2/64"), "{first:?}");

    let id = NetworkId::random();
    let subnets = ipam.add_network(&id, &[request("2001:db8:1::/64")], BOTH, &[]).unwrap();
    assert_eq!(
        subnets.iter().map(|subnet| subnet.net).collect::<Vec<_>>(),
        [net("172.18.0.0/16"), net("2001:db8:1::/64")]
    );
    let fixed = ipam.allocate(&id, &[ip("2001:db8:1::77")]).unwrap();
    assert_eq!(fixed[1].to_string(), "2001:db8:1::77/64");
    // Nothing is kept of an allocation that fails half-way.
    let error = ipam.allocate(&id, &[ip("172.18.0.9"), ip("2001:db8:1::77")]).unwrap_err();
    assert_eq!(error.to_string(), "Address already in use");
    assert!(ipam.allocate(&id, &[ip("172.18.0.9")]).is_ok());
    assert!(matches!(ipam.allocate(&id, &[ip("fd77::1")]), Err(IpamError::AddressOutside { .. })));

    let pool = Pool { base: net("2001:db8:ff00::/40"), size: 64 };
    let mut ipam = Ipam::new([default_pools(), vec![pool]].concat());
    let subnets = ipam.add_network(&NetworkId::random(), &[], BOTH, &[net("2001:db8:ff00::/64")]).unwrap();
    assert_eq!(subnets[1].net, net("2001:db8:ff00:1::/64"));
}

proptest! {
    /// No address is given twice, reserved ones never, and what is released is given again.
    #[test]
    fn addresses_are_unique_and_return(prefix in 24u8..=30, steps in proptest::collection::vec(any::<(bool, u8)>(), 1..300)) {
        let mut ipam = Ipam::default();
        let id = NetworkId::random();
        let subnet = net(&format!("10.3.0.0/{prefix}"));
        let gateway = ipam.add_network(&id, &[request(&subnet.to_string())], V4, &[]).unwrap()[0].gateway;
        let capacity = (1usize << (32 - prefix)) - 3;
        let mut held: Vec<IpAddr> = Vec::new();
        for (take, pick) in steps {
            if take {
                match ipam.allocate(&id, &[]) {
                    Ok(addresses) => {
                        let address = addresses[0].addr();
                        prop_assert!(subnet.contains(&address) && address != gateway);
                        prop_assert!(address != subnet.network() && address != subnet.broadcast());
                        prop_assert!(!held.contains(&address));
                        held.push(address);
                    }
                    Err(_) => prop_assert_eq!(held.len(), capacity),
                }
            } else if !held.is_empty() {
                let address = held.swap_remove(usize::from(pick) % held.len());
                ipam.release(&id, address);
            }
        }
    }

    /// Subnets never overlap each other or the host's, whoever asks for what.
    #[test]
    fn subnets_are_disjoint(
        wanted in proptest::collection::vec(proptest::option::of((0u8..4, 0u8..4, 14u8..=24)), 1..20),
        host in proptest::collection::vec((17u8..=31, 12u8..=24), 0..4),
    ) {
        let occupied: Vec<IpNet> =
            host.into_iter().map(|(b, prefix)| net(&format!("172.{b}.0.0/{prefix}")).trunc()).collect();
        let mut ipam = Ipam::default();
        let mut all: Vec<IpNet> = Vec::new();
        for ask in wanted {
            let requests: Vec<SubnetRequest> = ask
                .map(|(b, c, prefix)| request(&net(&format!("10.{b}.{c}.0/{prefix}")).trunc().to_string()))
                .into_iter()
                .collect();
            let Ok(subnets) = ipam.add_network(&NetworkId::random(), &requests, V4, &occupied) else { continue };
            let subnet = subnets[0].net;
            prop_assert!(all.iter().all(|other| !overlap(*other, subnet)));
            if requests.is_empty() {
                prop_assert!(!occupied.iter().any(|other| overlap(*other, subnet)));
            }
            all.push(subnet);
        }
    }
}
