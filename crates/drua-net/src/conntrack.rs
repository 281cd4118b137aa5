//! Forgets what the kernel remembers of UDP flows to a port that is published or unpublished.
//!
//! The kernel decides about address translation at a flow's first packet. A client that keeps sending from one port, as
//! resolvers and log shippers do, would go on to reach nobody, or the container that had the port before (moby#8795).
//! TCP needs nothing: its connections end with their server.

use std::collections::BTreeSet;
use std::net::IpAddr;

use drua_types::Protocol;
use rustix::io::Errno;

use crate::config::EndpointConfig;
use crate::netlink::{Family, Message, NetlinkError, Request, Route, Socket, attributes, flags};

/// `NFNL_SUBSYS_CTNETLINK` with `IPCTNL_MSG_CT_GET` and `_DELETE` (linux/netfilter/nfnetlink_conntrack.h).
const GET: u16 = 1 << 8 | 1;
const DELETE: u16 = 1 << 8 | 2;
const TUPLE_ORIG: u16 = 1;
const TUPLE_REPLY: u16 = 2;
const UDP: u8 = 17;

/// One way of a flow.
#[derive(Debug, PartialEq, Eq)]
struct Tuple {
    protocol: u8,
    source: IpAddr,
    destination: IpAddr,
    destination_port: u16,
}

/// Forgets the flows to the endpoint's published UDP ports.
pub(crate) fn forget(route: &mut Route, endpoint: &EndpointConfig) -> Result<(), NetlinkError> {
    let udp = endpoint.publish.iter().filter(|port| port.container_port.protocol == Protocol::Udp);
    let ports: BTreeSet<u16> = udp.map(|port| port.host_port).collect();
    if ports.is_empty() {
        return Ok(());
    }
    let local: BTreeSet<IpAddr> = route.addresses()?.into_iter().map(|(_, net)| net.addr()).collect();
    let container: Vec<IpAddr> = endpoint.addresses.iter().map(ipnet::IpNet::addr).collect();
    let mut socket = Socket::open(Family::Netfilter)?;
    let message = Message::new(GET, flags::DUMP).fixed(&[0; 4]);
    let flows = socket.query(Request { attempted: "list tracked connections".to_owned(), message })?;
    let stale = flows.iter().filter_map(|(_, body)| {
        let raw = |wanted| attributes(body.get(4..)?).find(|(kind, _)| *kind == wanted).map(|(_, value)| value);
        let (original, reply) = (tuple(raw(TUPLE_ORIG)?)?, tuple(raw(TUPLE_REPLY)?)?);
        let to_port = original.protocol == UDP && ports.contains(&original.destination_port);
        let concerned = local.contains(&original.destination) || container.contains(&reply.source);
        (to_port && concerned).then_some((*body.first()?, raw(TUPLE_ORIG)?))
    });
    let requests = stale.map(|(family, original)| Request {
        attempted: "forget a tracked connection".to_owned(),
        message: Message::new(DELETE, 0).fixed(&[family, 0, 0, 0]).nest(TUPLE_ORIG, |nest| nest.fixed(original)),
    });
    match socket.apply(requests.collect()) {
        // It has ended by itself.
        Err(error) if error.is(Errno::NOENT) => Ok(()),
        result => result,
    }
}

/// Reads a tuple: addresses, protocol, ports.
fn tuple(nest: &[u8]) -> Option<Tuple> {
    let find = |nest, wanted: &[u16]| attributes(nest).find(|(kind, _)| wanted.contains(kind)).map(|(_, value)| value);
    let (addresses, protocol) = (find(nest, &[1])?, find(nest, &[2])?);
    // CTA_IP_V4_SRC, _V4_DST, _V6_SRC, _V6_DST are 1 to 4.
    Some(Tuple {
        protocol: *find(protocol, &[1])?.first()?,
        source: ip(find(addresses, &[1, 3])?)?,
        destination: ip(find(addresses, &[2, 4])?)?,
        destination_port: u16::from_be_bytes(find(protocol, &[3])?.try_into().ok()?),
    })
}

fn ip(value: &[u8]) -> Option<IpAddr> {
    match value.len() {
        4 => Some(<[u8; 4]>::try_from(value).ok()?.into()),
        16 => Some(<[u8; 16]>::try_from(value).ok()?.into()),
        _ => None,
    }
}
