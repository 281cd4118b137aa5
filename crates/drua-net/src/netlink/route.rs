//! Links, addresses and routes: the part of rtnetlink(7) that bridges and veths need.

use std::net::{IpAddr, Ipv4Addr};
use std::os::fd::{AsRawFd, BorrowedFd};
use std::time::Duration;

use ipnet::IpNet;
use rustix::io::Errno;

use super::wire::{string, u32_at};
use super::{Family, Message, NetlinkError, Request, Socket, attributes, flags};
use crate::config::{InterfaceName, MacAddress};

const NEW_LINK: u16 = 16;
const DEL_LINK: u16 = 17;
const GET_LINK: u16 = 18;
const SET_LINK: u16 = 19;
const NEW_ADDR: u16 = 20;
const GET_ADDR: u16 = 22;
const NEW_ROUTE: u16 = 24;
const GET_ROUTE: u16 = 26;

/// `IFLA_*` of linux/if_link.h.
mod ifla {
    pub(super) const ADDRESS: u16 = 1;
    pub(super) const IFNAME: u16 = 3;
    pub(super) const MTU: u16 = 4;
    pub(super) const MASTER: u16 = 10;
    pub(super) const OPERSTATE: u16 = 16;
    pub(super) const LINKINFO: u16 = 18;
    pub(super) const IFALIAS: u16 = 20;
    pub(super) const GROUP: u16 = 27;
    pub(super) const NET_NS_FD: u16 = 28;
    pub(super) const EXT_MASK: u16 = 29;
    pub(super) const INFO_KIND: u16 = 1;
    pub(super) const INFO_DATA: u16 = 2;
    pub(super) const INFO_SLAVE_KIND: u16 = 4;
    pub(super) const INFO_SLAVE_DATA: u16 = 5;
    pub(super) const VETH_INFO_PEER: u16 = 1;
    pub(super) const BRPORT_STATE: u16 = 1;
    pub(super) const BRPORT_MODE: u16 = 4;
    pub(super) const BRPORT_FLUSH: u16 = 24;
    pub(super) const BRPORT_ISOLATED: u16 = 33;
}

const IFF_UP: u32 = 1;
/// `RTEXT_FILTER_SKIP_STATS`: nobody here reads counters.
const SKIP_STATS: u32 = 8;
const IFA_ADDRESS: u16 = 1;
const IFA_LOCAL: u16 = 2;
const IFA_BROADCAST: u16 = 4;
/// `IFA_F_NODAD`: addresses are ours to give, nobody else can have them.
const IFA_F_NODAD: u8 = 2;
const RTA_DST: u16 = 1;
const RTA_OIF: u16 = 4;
const RTA_GATEWAY: u16 = 5;
const TABLE_MAIN: u8 = 254;
const AF_INET: u8 = 2;
const AF_INET6: u8 = 10;

/// What the kernel says about an interface.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Link {
    pub(crate) index: u32,
    pub(crate) name: String,
    pub(crate) alias: String,
    pub(crate) master: Option<u32>,
    pub(crate) kind: String,
    pub(crate) up: bool,
    /// Packets pass: it is up, and so is the other end.
    pub(crate) running: bool,
}

/// Both ends of a veth pair that is to be made.
#[derive(Debug)]
pub(crate) struct NewVeth<'a> {
    pub(crate) name: &'a InterfaceName,
    pub(crate) bridge: u32,
    pub(crate) mtu: u32,
    pub(crate) peer_name: &'a InterfaceName,
    pub(crate) peer_mac: MacAddress,
    pub(crate) peer_netns: BorrowedFd<'a>,
}

/// How a bridge treats a port.
#[derive(Debug, Clone, Copy)]
pub(crate) struct PortFlags {
    /// Frames may leave by the port they came from: a container that reaches itself by its published port.
    pub(crate) hairpin: bool,
    /// Isolated ports exchange nothing with each other, only with the host.
    pub(crate) isolated: bool,
}

/// rtnetlink in one network namespace.
#[derive(Debug)]
pub(crate) struct Route(Socket);

impl Route {
    /// Opens rtnetlink in the calling thread's network namespace.
    pub(crate) fn open() -> Result<Self, NetlinkError> {
        Socket::open(Family::Route).map(Self)
    }

    /// Applies requests in one system call; all are tried, and the first refusal is the error.
    pub(crate) fn apply(&mut self, requests: Vec<Request>) -> Result<(), NetlinkError> {
        self.0.apply(requests)
    }

    /// The interface with this name.
    pub(crate) fn link(&mut self, name: &InterfaceName) -> Result<Option<Link>, NetlinkError> {
        let message = link_message(GET_LINK, 0, 0, 0).str(ifla::IFNAME, name.as_str()).u32(ifla::EXT_MASK, SKIP_STATS);
        let request = Request { attempted: format!("look up interface `{name}`"), message };
        match self.0.query(request) {
            Ok(answers) => Ok(answers.iter().find_map(|(_, body)| parse_link(body))),
            Err(error) if error.is(Errno::NODEV) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Waits until packets pass an interface that was just brought up, if that is soon.
    ///
    /// The kernel does the last step, with which a bridge port starts to forward, in the background; a packet sent before
    /// is lost and sent again after a second. Looking at the interface makes the kernel do it at once (since 6.4).
    pub(crate) fn settle(&mut self, name: &InterfaceName) -> Result<(), NetlinkError> {
        const TRIES: usize = 20;
        const PAUSE: Duration = Duration::from_millis(1);
        for _ in 0..TRIES {
            if self.link(name)?.is_none_or(|link| link.running) {
                return Ok(());
            }
            std::thread::sleep(PAUSE);
        }
        tracing::debug!(interface = %name, "the interface is not running yet");
        Ok(())
    }

    /// Every interface.
    pub(crate) fn links(&mut self) -> Result<Vec<Link>, NetlinkError> {
        let message = link_message(GET_LINK, flags::DUMP, 0, 0).u32(ifla::EXT_MASK, SKIP_STATS);
        let answers = self.0.query(Request { attempted: "list interfaces".to_owned(), message })?;
        Ok(answers.iter().filter_map(|(_, body)| parse_link(body)).collect())
    }

    /// Every address as (interface index, address with its prefix length).
    pub(crate) fn addresses(&mut self) -> Result<Vec<(u32, IpNet)>, NetlinkError> {
        let message = Message::new(GET_ADDR, flags::DUMP).fixed(&[0; 8]);
        let answers = self.0.query(Request { attempted: "list addresses".to_owned(), message })?;
        Ok(answers.iter().filter_map(|(_, body)| parse_address(body)).collect())
    }

    /// Destinations of the main table's routes, the default route left out.
    pub(crate) fn destinations(&mut self) -> Result<Vec<IpNet>, NetlinkError> {
        let message = Message::new(GET_ROUTE, flags::DUMP).fixed(&[0; 12]);
        let answers = self.0.query(Request { attempted: "list routes".to_owned(), message })?;
        Ok(answers.iter().filter_map(|(_, body)| parse_destination(body)).collect())
    }

    /// Brings `lo` up; it is always interface 1.
    pub(crate) fn loopback_up(&mut self) -> Result<(), NetlinkError> {
        let message = link_message(SET_LINK, 0, 1, IFF_UP);
        self.apply(vec![Request { attempted: "bring `lo` up".to_owned(), message }])
    }
}

/// Creates a bridge, down. Its address is fixed, so that it does not change with its ports.
pub(crate) fn create_bridge(name: &InterfaceName, mac: MacAddress, mtu: u32) -> Request {
    let message = link_message(NEW_LINK, flags::CREATE | flags::EXCL, 0, 0)
        .str(ifla::IFNAME, name.as_str())
        .attr(ifla::ADDRESS, &mac.octets())
        .u32(ifla::MTU, mtu)
        .nest(ifla::LINKINFO, |info| info.str(ifla::INFO_KIND, "bridge"));
    Request { attempted: format!("create bridge `{name}`"), message }
}

/// Marks an interface as ours and brings it up.
pub(crate) fn claim(name: &InterfaceName, alias: &str, mtu: u32) -> Request {
    let message = link_message(SET_LINK, 0, 0, IFF_UP)
        .str(ifla::IFNAME, name.as_str())
        .str(ifla::IFALIAS, alias)
        .u32(ifla::MTU, mtu);
    Request { attempted: format!("bring interface `{name}` up"), message }
}

/// Creates a veth pair with one end on a bridge and the other, down, in a container's namespace.
pub(crate) fn create_veth(veth: &NewVeth<'_>) -> Request {
    let NewVeth { name, peer_name, .. } = veth;
    let namespace = veth.peer_netns.as_raw_fd().to_ne_bytes();
    let message = link_message(NEW_LINK, flags::CREATE | flags::EXCL, 0, 0)
        .str(ifla::IFNAME, name.as_str())
        .u32(ifla::MTU, veth.mtu)
        .u32(ifla::MASTER, veth.bridge)
        .nest(ifla::LINKINFO, |info| {
            info.str(ifla::INFO_KIND, "veth").nest(ifla::INFO_DATA, |data| {
                data.nest(ifla::VETH_INFO_PEER, |peer| {
                    peer.fixed(&link_header(0, 0))
                        .str(ifla::IFNAME, peer_name.as_str())
                        .attr(ifla::ADDRESS, &veth.peer_mac.octets())
                        .u32(ifla::MTU, veth.mtu)
                        .attr(ifla::NET_NS_FD, &namespace)
                })
            })
        });
    Request { attempted: format!("create veth `{name}` with peer `{peer_name}`"), message }
}

/// Makes an interface a port of a bridge.
pub(crate) fn enslave(name: &InterfaceName, bridge: u32) -> Request {
    let message = link_message(SET_LINK, 0, 0, 0).str(ifla::IFNAME, name.as_str()).u32(ifla::MASTER, bridge);
    Request { attempted: format!("attach `{name}` to its bridge"), message }
}

/// Sets a bridge port's flags, marks it as ours and brings it up.
pub(crate) fn configure_port(name: &InterfaceName, alias: &str, port: PortFlags) -> Request {
    let message = link_message(NEW_LINK, 0, 0, IFF_UP).str(ifla::IFNAME, name.as_str()).str(ifla::IFALIAS, alias).nest(
        ifla::LINKINFO,
        |info| {
            info.str(ifla::INFO_SLAVE_KIND, "bridge").nest(ifla::INFO_SLAVE_DATA, |data| {
                data.attr(ifla::BRPORT_MODE, &[u8::from(port.hairpin)])
                    .attr(ifla::BRPORT_ISOLATED, &[u8::from(port.isolated)])
            })
        },
    );
    Request { attempted: format!("configure bridge port `{name}`"), message }
}

/// Cuts a bridge port off at once: nothing passes, and the bridge forgets which addresses were behind it.
pub(crate) fn block_port(name: &str, index: u32) -> Request {
    const DISABLED: u8 = 0;
    let message = link_message(NEW_LINK, 0, index, 0).nest(ifla::LINKINFO, |info| {
        info.str(ifla::INFO_SLAVE_KIND, "bridge").nest(ifla::INFO_SLAVE_DATA, |data| {
            data.attr(ifla::BRPORT_STATE, &[DISABLED]).attr(ifla::BRPORT_FLUSH, &[])
        })
    });
    Request { attempted: format!("cut off bridge port `{name}`"), message }
}

/// Renames an interface. Kernels before 6.2 refuse while it is up.
pub(crate) fn rename(index: u32, from: &str, to: &InterfaceName) -> Request {
    let message = link_message(SET_LINK, 0, index, 0).str(ifla::IFNAME, to.as_str());
    Request { attempted: format!("rename interface `{from}` to `{to}`"), message }
}

/// Brings an interface up.
pub(crate) fn bring_up(name: &str, index: u32) -> Request {
    Request { attempted: format!("bring interface `{name}` up"), message: link_message(SET_LINK, 0, index, IFF_UP) }
}

/// Gives an interface an address; one that it has already is fine.
pub(crate) fn add_address(interface: &str, index: u32, address: IpNet) -> Request {
    let family = family_of(address.addr());
    let mut header = [family, address.prefix_len(), IFA_F_NODAD, 0, 0, 0, 0, 0];
    header[4..8].copy_from_slice(&index.to_ne_bytes());
    let octets = octets(address.addr());
    let mut message = Message::new(NEW_ADDR, flags::CREATE | flags::REPLACE)
        .fixed(&header)
        .attr(IFA_LOCAL, &octets)
        .attr(IFA_ADDRESS, &octets);
    if let IpNet::V4(net) = address
        && net.prefix_len() < 31
    {
        message = message.attr(IFA_BROADCAST, &net.broadcast().octets());
    }
    Request { attempted: format!("give `{interface}` the address {address}"), message }
}

/// Takes an address from an interface.
#[cfg(test)]
pub(crate) fn delete_address(index: u32, address: IpNet) -> Request {
    const DEL_ADDR: u16 = 21;
    let mut header = [family_of(address.addr()), address.prefix_len(), 0, 0, 0, 0, 0, 0];
    header[4..8].copy_from_slice(&index.to_ne_bytes());
    let message = Message::new(DEL_ADDR, 0).fixed(&header).attr(IFA_LOCAL, &octets(address.addr()));
    Request { attempted: format!("take {address} away"), message }
}

/// Sets the default route of one address family.
pub(crate) fn default_route(interface: &str, index: u32, gateway: IpAddr) -> Request {
    /// `RTPROT_BOOT`, `RT_SCOPE_UNIVERSE`, `RTN_UNICAST`.
    const BOOT: u8 = 3;
    const UNICAST: u8 = 1;
    let mut header = [0u8; 12];
    header[0] = family_of(gateway);
    header[4] = TABLE_MAIN;
    header[5] = BOOT;
    header[7] = UNICAST;
    let message = Message::new(NEW_ROUTE, flags::CREATE | flags::REPLACE)
        .fixed(&header)
        .attr(RTA_GATEWAY, &octets(gateway))
        .u32(RTA_OIF, index);
    Request { attempted: format!("set the default route to {gateway} by `{interface}`"), message }
}

/// Deletes an interface by its index, which the kernel does not give out again soon, as it does names.
pub(crate) fn delete_link(name: &str, index: u32) -> Request {
    Request { attempted: format!("delete interface `{name}`"), message: link_message(DEL_LINK, 0, index, 0) }
}

/// Moves an interface to a group.
pub(crate) fn set_group(name: &str, index: u32, group: u32) -> Request {
    let message = link_message(SET_LINK, 0, index, 0).u32(ifla::GROUP, group);
    Request { attempted: format!("mark interface `{name}` for deletion"), message }
}

/// Deletes every interface of a group; the kernel waits once for all of them.
pub(crate) fn delete_group(group: u32) -> Request {
    let message = link_message(DEL_LINK, 0, 0, 0).u32(ifla::GROUP, group);
    Request { attempted: format!("delete the interfaces of group {group}"), message }
}

fn link_message(kind: u16, flags: u16, index: u32, up: u32) -> Message {
    Message::new(kind, flags).fixed(&link_header(index, up))
}

/// `ifinfomsg`: family and type unspecified, index, flags and the mask of flags to change.
fn link_header(index: u32, up: u32) -> [u8; 16] {
    let mut header = [0; 16];
    header[4..8].copy_from_slice(&index.to_ne_bytes());
    header[8..12].copy_from_slice(&up.to_ne_bytes());
    header[12..16].copy_from_slice(&up.to_ne_bytes());
    header
}

fn parse_link(body: &[u8]) -> Option<Link> {
    /// `IF_OPER_*`: bridges without a state of their own are unknown.
    const UNKNOWN: u8 = 0;
    const UP: u8 = 6;
    let index = u32_at(body, 4)?;
    let up = u32_at(body, 8)? & IFF_UP != 0;
    let mut link = Link {
        index,
        name: String::new(),
        alias: String::new(),
        master: None,
        kind: String::new(),
        up,
        running: false,
    };
    for (kind, value) in attributes(body.get(16..)?) {
        match kind {
            ifla::IFNAME => link.name = string(value),
            ifla::IFALIAS => link.alias = string(value),
            ifla::OPERSTATE => link.running = matches!(value, [UNKNOWN | UP]),
            ifla::MASTER => link.master = u32_at(value, 0),
            ifla::LINKINFO => {
                let info = attributes(value).find(|(kind, _)| *kind == ifla::INFO_KIND);
                link.kind = info.map(|(_, value)| string(value)).unwrap_or_default();
            }
            _ => {}
        }
    }
    Some(link)
}

fn parse_address(body: &[u8]) -> Option<(u32, IpNet)> {
    let (prefix, index) = (*body.get(1)?, u32_at(body, 4)?);
    let attribute = |wanted| attributes(body.get(8..)?).find(|(kind, _)| *kind == wanted).map(|(_, value)| value);
    let address = ip(attribute(IFA_LOCAL).or_else(|| attribute(IFA_ADDRESS))?)?;
    Some((index, IpNet::new(address, prefix).ok()?))
}

fn parse_destination(body: &[u8]) -> Option<IpNet> {
    let (prefix, table) = (*body.get(1)?, *body.get(4)?);
    if table != TABLE_MAIN || prefix == 0 {
        return None;
    }
    let (_, value) = attributes(body.get(12..)?).find(|(kind, _)| *kind == RTA_DST)?;
    IpNet::new(ip(value)?, prefix).ok()
}

fn family_of(address: IpAddr) -> u8 {
    if address.is_ipv4() { AF_INET } else { AF_INET6 }
}

fn octets(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    }
}

fn ip(value: &[u8]) -> Option<IpAddr> {
    match value.len() {
        4 => Some(Ipv4Addr::from(<[u8; 4]>::try_from(value).ok()?).into()),
        16 => Some(std::net::Ipv6Addr::from(<[u8; 16]>::try_from(value).ok()?).into()),
        _ => None,
    }
}
