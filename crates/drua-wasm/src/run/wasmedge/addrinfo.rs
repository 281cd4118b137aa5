//! `sock_getaddrinfo`: names and services, answered by our own resolver into the list that the guest made room for.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::memory::{Errno, INET4, INET6, Memory};
use crate::run::reach::Reach;
use crate::run::resolve::ResolveError;

const PASSIVE: u16 = 1;
const STREAM: u8 = 2;
const DATAGRAM: u8 = 1;
/// Host and service names are not longer, in bytes.
const MAX_NAME: u32 = 1025;
/// The services that programs ask for by name; the rest say their port.
const SERVICES: [(&str, u16); 10] = [
    ("http", 80),
    ("https", 443),
    ("domain", 53),
    ("mysql", 3306),
    ("postgresql", 5432),
    ("postgres", 5432),
    ("redis", 6379),
    ("ssh", 22),
    ("smtp", 25),
    ("ftp", 21),
];

/// What is asked.
#[derive(Debug)]
pub(super) struct Question {
    node: String,
    port: u16,
    flags: u16,
    family: u16,
    kind: u8,
}

impl Question {
    pub(super) fn read(memory: &Memory<'_>, node: (u32, u32), service: (u32, u32), hints: u32) -> Result<Self, Errno> {
        let service = text(memory, service)?;
        let port = match service.parse() {
            Ok(port) => port,
            Err(_) if service.is_empty() => 0,
            Err(_) => {
                let known = SERVICES.iter().find(|(name, _)| *name == service);
                known.map(|(_, port)| *port).ok_or(Errno::AISERVICE)?
            }
        };
        let (flags, family, kind) = if hints == 0 {
            (0, 0, 0)
        } else {
            memory.bytes(hints, 28)?;
            (memory.read_u16(hints)?, memory.read_u8(hints + 2)?.into(), memory.read_u8(hints + 3)?)
        };
        if family > INET6 {
            return Err(Errno::AIFAMILY);
        }
        if kind > STREAM {
            return Err(Errno::AISOCKTYPE);
        }
        Ok(Self { node: text(memory, node)?, port, flags, family, kind })
    }

    /// The addresses, IPv4 first.
    pub(super) async fn answer(&self, reach: &Reach) -> Result<Vec<IpAddr>, Errno> {
        let wanted = |address: &IpAddr| match self.family {
            INET4 => address.is_ipv4(),
            INET6 => address.is_ipv6(),
            _ => true,
        };
        let addresses: Vec<IpAddr> = if self.node.is_empty() {
            let any = self.flags & PASSIVE != 0;
            let (v4, v6) = if any {
                (Ipv4Addr::UNSPECIFIED, Ipv6Addr::UNSPECIFIED)
            } else {
                (Ipv4Addr::LOCALHOST, Ipv6Addr::LOCALHOST)
            };
            vec![v4.into(), v6.into()]
        } else {
            reach.resolve(&self.node).await.map_err(|error| match error {
                ResolveError::Name(_) | ResolveError::NotFound(_) => Errno::AINONAME,
                ResolveError::NoAnswer(_) => Errno::AIAGAIN,
                ResolveError::Server { .. } => Errno::AIFAIL,
            })?
        };
        let addresses: Vec<IpAddr> = addresses.into_iter().filter(wanted).collect();
        if addresses.is_empty() { Err(Errno::AINONAME) } else { Ok(addresses) }
    }

    /// Fills the guest's list, whose nodes, addresses and buffers are all its own.
    pub(super) fn write(
        &self,
        memory: &mut Memory<'_>,
        addresses: &[IpAddr],
        list: u32,
        room: u32,
        count: u32,
    ) -> Result<(), Errno> {
        let mut node = memory.read_u32(list)?;
        let mut written = 0;
        for address in addresses.iter().take(room as usize) {
            if node == 0 {
                break;
            }
            self.write_node(memory, node, *address)?;
            written += 1;
            node = memory.read_u32(node.checked_add(24).ok_or(Errno::FAULT)?)?;
        }
        memory.write_u32(count, written)
    }

    fn write_node(&self, memory: &mut Memory<'_>, node: u32, address: IpAddr) -> Result<(), Errno> {
        memory.bytes(node, 28)?;
        let family = if address.is_ipv4() { INET4 } else { INET6 } as u8;
        let kind = if self.kind == 0 { STREAM } else { self.kind };
        let protocol = if kind == DATAGRAM { 2 } else { 1 };
        memory.write_u16(node, self.flags)?;
        memory.write(node + 2, &[family, kind, protocol])?;
        memory.write_u32(node + 8, if address.is_ipv4() { 16 } else { 28 })?;
        memory.write_u32(node + 20, 0)?;
        let socket = memory.read_u32(node + 12)?;
        memory.bytes(socket, 12)?;
        let data = match address {
            IpAddr::V4(address) => [&self.port.to_be_bytes()[..], &address.octets(), &[0; 8]].concat(),
            IpAddr::V6(address) => [&self.port.to_be_bytes()[..], &[0; 4], &address.octets(), &[0; 4]].concat(),
        };
        memory.write(socket, &[family])?;
        memory.write_u32(socket + 4, u32::try_from(data.len()).map_err(|_| Errno::FAULT)?)?;
        let buffer = memory.read_u32(socket + 8)?;
        memory.write(buffer, &data)
    }
}

/// A text that may end with a NUL.
fn text(memory: &Memory<'_>, (at, length): (u32, u32)) -> Result<String, Errno> {
    if length > MAX_NAME {
        return Err(Errno::INVAL);
    }
    let bytes = memory.bytes(at, length)?.split(|byte| *byte == 0).next().unwrap_or_default();
    String::from_utf8(bytes.to_vec()).map_err(|_| Errno::AINONAME)
}
