//! Reads back what the kernel holds, for the tests: the counterpart of [`Element::entries`].

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};

use drua_types::Protocol;
use ipnet::IpNet;
use rustix::io::Errno;

use super::elements::{Element, Entry, Set, following, number, octets};
use super::firewall::Firewall;
use super::table::{Kind, message};
use crate::config::InterfaceName;
use crate::netlink::{NetlinkError, Request, attributes, flags};

impl Firewall {
    /// What the kernel holds now, or `None` without a table.
    pub(crate) fn observe(&mut self) -> Result<Option<BTreeSet<Element>>, NetlinkError> {
        let mut elements = BTreeSet::new();
        for set in Set::ALL {
            let attempted = format!("list nftables set `{}.{}`", self.table, set.name());
            let message = message(Kind::GetElements, flags::DUMP).str(1, &self.table).str(2, set.name());
            match self.socket.query(Request { attempted, message }) {
                Ok(answers) => {
                    let entries: Vec<Entry> = answers.iter().flat_map(|(_, body)| parse_entries(body)).collect();
                    elements.extend(Element::from_entries(set, &entries));
                }
                Err(error) if error.is(Errno::NOENT) => return Ok(None),
                Err(error) => return Err(error),
            }
        }
        Ok(Some(elements))
    }
}

impl Element {
    /// Reads back what a set holds; entries that are not of our making are left out.
    fn from_entries(set: Set, entries: &[Entry]) -> Vec<Self> {
        let one = |entry: &Entry| Self::from_entry(set, entry);
        match set {
            Set::Masquerade | Set::Masquerade6 => intervals(entries).into_iter().map(Self::Masquerade).collect(),
            Set::Bridges | Set::Internal | Set::Icc | Set::Ports | Set::PortsAt | Set::Ports6 | Set::PortsAt6 => {
                entries.iter().filter_map(one).collect()
            }
        }
    }

    fn from_entry(set: Set, entry: &Entry) -> Option<Self> {
        match set {
            Set::Bridges => interface(&entry.key).map(Self::Bridge),
            Set::Internal => interface(&entry.key).map(Self::Internal),
            Set::Icc => interface(entry.key.get(..16)?).map(Self::Icc),
            Set::Ports | Set::Ports6 => port_entry(None, &entry.key, entry.data.as_ref()?),
            Set::PortsAt | Set::PortsAt6 => {
                let (host, rest) = entry.key.split_at_checked(set.address_len() as usize)?;
                port_entry(Some(address(host)?), rest, entry.data.as_ref()?)
            }
            Set::Masquerade | Set::Masquerade6 => None,
        }
    }
}

/// The entries of one `NFT_MSG_NEWSETELEM`.
fn parse_entries(body: &[u8]) -> Vec<Entry> {
    let value = |nest: &[u8]| attributes(nest).find(|(kind, _)| *kind == 1).map(|(_, value)| value.to_vec());
    let entry = |element: &[u8]| {
        let attribute = |wanted| attributes(element).find(|(kind, _)| *kind == wanted).map(|(_, value)| value);
        let flags = attribute(3).and_then(|value| value.last().copied()).unwrap_or(0);
        Some(Entry { key: value(attribute(1)?)?, data: attribute(2).and_then(value), interval_end: flags & 1 != 0 })
    };
    attributes(body.get(4..).unwrap_or_default())
        .filter(|(kind, _)| *kind == 3)
        .flat_map(|(_, list)| attributes(list).filter_map(|(_, element)| entry(element)).collect::<Vec<_>>())
        .collect()
}

fn interface(key: &[u8]) -> Option<InterfaceName> {
    std::str::from_utf8(key.split(|&byte| byte == 0).next()?).ok()?.parse().ok()
}

fn address(bytes: &[u8]) -> Option<IpAddr> {
    match bytes.len() {
        4 => Some(<[u8; 4]>::try_from(bytes).ok()?.into()),
        16 => Some(<[u8; 16]>::try_from(bytes).ok()?.into()),
        _ => None,
    }
}

fn port_at(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes(bytes.get(at..at + 2)?.try_into().ok()?))
}

fn port_entry(host: Option<IpAddr>, key: &[u8], data: &[u8]) -> Option<Element> {
    let protocol =
        [Protocol::Tcp, Protocol::Udp, Protocol::Sctp].into_iter().find(|p| Some(&number(*p)) == key.first())?;
    // The port is padded to four bytes.
    let (target, port) = data.split_at_checked(data.len().checked_sub(4)?)?;
    let target = SocketAddr::new(address(target)?, port_at(port, 0)?);
    Some(Element::Port { host, protocol, port: port_at(key, 4)?, target })
}

/// Pairs the starts and ends of intervals, each of which is a CIDR block.
fn intervals(entries: &[Entry]) -> Vec<IpNet> {
    let mut bounds: Vec<(&[u8], bool)> =
        entries.iter().map(|entry| (entry.key.as_slice(), entry.interval_end)).collect();
    // Where one block ends and the next begins, the end comes first.
    bounds.sort_by_key(|&(at, end)| (at, !end));
    let mut nets = Vec::new();
    let mut start: Option<&[u8]> = None;
    for (at, end) in bounds {
        match (end, start.take()) {
            (false, _) => start = Some(at),
            (true, Some(first)) => nets.extend(block(first, Some(at))),
            (true, None) => {}
        }
    }
    // One that reaches to the last address of all has no end.
    nets.extend(start.and_then(|first| block(first, None)));
    nets
}

/// The block that begins at `first` and ends before `after`.
fn block(first: &[u8], after: Option<&[u8]>) -> Option<IpNet> {
    let network = address(first)?;
    (0..=if network.is_ipv4() { 32 } else { 128 }).find_map(|prefix| {
        let net = IpNet::new(network, prefix).ok()?;
        let ends = following(octets(net.broadcast()));
        (net.network() == network && ends.as_deref() == after).then_some(net)
    })
}
