//! Ports of the host: who has which, and a bound socket for each.
//!
//! A lease keeps a socket bound to its port for as long as it lives, so that no other program can take it; the socket neither
//! listens nor receives, since nftables leads the packets elsewhere before they would reach it. (A client that comes to a
//! port held at an IPv6 address is refused at once and tries IPv4.)
//!
//! Knows nothing of nftables. Needs CAP_NET_BIND_SERVICE for ports below 1024.

use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;
use std::os::fd::OwnedFd;

use drua_types::{Classify, ContainerId, ErrorKind, Hint, Port, Protocol};
use rustix::io::Errno;
use rustix::net::sockopt::{set_ipv6_v6only, set_socket_reuseaddr};
use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, ipproto, socket_with};

use crate::config::PublishedPort;

/// Linux's range for ports that nobody asked for by number.
const EPHEMERAL: RangeInclusive<u16> = 32768..=60999;

/// A host port cannot be had. Texts are Docker's.
#[derive(Debug, thiserror::Error)]
pub enum PortError {
    /// Another container has it.
    #[error("Bind for {address} failed: port is already allocated")]
    Allocated {
        /// The host's address and port.
        address: SocketAddr,
        /// Who has it.
        holder: ContainerId,
    },
    /// Another program has it.
    #[error("failed to bind host port {address}/{protocol}: address already in use")]
    InUse {
        /// The host's address and port.
        address: SocketAddr,
        /// Transport protocol.
        protocol: Protocol,
    },
    /// It cannot be bound at all, for example since the address is not the host's.
    #[error("failed to bind host port {address}/{protocol}")]
    Bind {
        /// The host's address and port.
        address: SocketAddr,
        /// Transport protocol.
        protocol: Protocol,
        /// The cause.
        #[source]
        source: io::Error,
    },
    /// Every port of the range is taken.
    #[error("Bind for {host_ip}:{first}-{last} failed: all ports are allocated")]
    RangeExhausted {
        /// The host's address.
        host_ip: IpAddr,
        /// First port of the range.
        first: u16,
        /// Last port of the range.
        last: u16,
    },
}

impl Classify for PortError {
    fn kind(&self) -> ErrorKind {
        match self {
            // Docker answers 500 to all of these at start, and clients are used to it.
            Self::Allocated { .. } | Self::InUse { .. } | Self::Bind { .. } | Self::RangeExhausted { .. } => {
                ErrorKind::Internal
            }
        }
    }
}

impl Hint for PortError {
    fn hints(&self) -> Vec<String> {
        match self {
            Self::Allocated { holder, .. } => {
                vec![format!("container {} holds the port; stop it or publish another port", holder.short())]
            }
            Self::InUse { address, .. } => {
                vec![format!("see who has the port with `ss -lntup 'sport = :{}'`", address.port())]
            }
            Self::Bind { .. } | Self::RangeExhausted { .. } => Vec::new(),
        }
    }
}

/// Which port of the host is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HostPorts {
    /// Any free one.
    Ephemeral,
    /// This one, or the first free one of these.
    OneOf(RangeInclusive<u16>),
}

/// A port of a container that shall be reachable at the host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PortRequest {
    /// The host's address; unspecified means every address of that family.
    pub host_ip: IpAddr,
    /// The host's port.
    pub host_ports: HostPorts,
    /// The container's port.
    pub container_port: Port,
}

/// All ports that containers hold.
#[derive(Debug, Default)]
pub(crate) struct Leases {
    held: BTreeMap<(IpAddr, Protocol, u16), Lease>,
    /// Where the search for an ephemeral port goes on, so that a port just released is not at once somebody else's.
    next_ephemeral: u16,
}

#[derive(Debug)]
struct Lease {
    holder: ContainerId,
    /// Bound for the life of the lease.
    _socket: OwnedFd,
}

impl Leases {
    /// Takes a port for every request, or none at all.
    pub(crate) fn take_all(
        &mut self,
        holder: &ContainerId,
        requests: &[PortRequest],
    ) -> Result<Vec<PublishedPort>, PortError> {
        let mut taken = Vec::with_capacity(requests.len());
        for request in requests {
            match self.take(holder, request) {
                Ok(port) => taken.push(port),
                Err(error) => {
                    self.release(&taken);
                    return Err(error);
                }
            }
        }
        Ok(taken)
    }

    /// Makes sure that a container holds a port. Returns whether it was not held before.
    pub(crate) fn hold(&mut self, holder: &ContainerId, port: &PublishedPort) -> Result<bool, PortError> {
        match self.held.get(&key(port)) {
            Some(lease) if lease.holder == *holder => Ok(false),
            _ => self.take_one(holder, port).map(|()| true),
        }
    }

    /// Whether it is this container that holds a port.
    pub(crate) fn is_held(&self, holder: &ContainerId, port: &PublishedPort) -> bool {
        self.held.get(&key(port)).is_some_and(|lease| lease.holder == *holder)
    }

    /// Gives ports back.
    pub(crate) fn release(&mut self, ports: &[PublishedPort]) {
        for port in ports {
            self.held.remove(&key(port));
        }
    }

    /// Gives back all ports whose holder does not satisfy `keep`.
    pub(crate) fn retain(&mut self, keep: impl Fn(&ContainerId) -> bool) {
        self.held.retain(|_, lease| keep(&lease.holder));
    }

    fn take(&mut self, holder: &ContainerId, request: &PortRequest) -> Result<PublishedPort, PortError> {
        let PortRequest { host_ip, container_port, .. } = *request;
        let port = |host_port| PublishedPort { host_ip, host_port, container_port };
        match &request.host_ports {
            HostPorts::OneOf(range) if range.start() == range.end() => {
                let port = port(*range.start());
                self.take_one(holder, &port).map(|()| port)
            }
            HostPorts::OneOf(range) => self.first_free(holder, range.clone().map(port), host_ip, range),
            HostPorts::Ephemeral => {
                let start = self.next_ephemeral.clamp(*EPHEMERAL.start(), *EPHEMERAL.end());
                let around = (start..=*EPHEMERAL.end()).chain(*EPHEMERAL.start()..start);
                let found = self.first_free(holder, around.map(port), host_ip, &EPHEMERAL)?;
                self.next_ephemeral = found.host_port.saturating_add(1);
                if self.next_ephemeral > *EPHEMERAL.end() {
                    self.next_ephemeral = *EPHEMERAL.start();
                }
                Ok(found)
            }
        }
    }

    fn first_free(
        &mut self,
        holder: &ContainerId,
        candidates: impl Iterator<Item = PublishedPort>,
        host_ip: IpAddr,
        range: &RangeInclusive<u16>,
    ) -> Result<PublishedPort, PortError> {
        for port in candidates {
            match self.take_one(holder, &port) {
                Ok(()) => return Ok(port),
                Err(PortError::Allocated { .. } | PortError::InUse { .. }) => {}
                Err(error @ (PortError::Bind { .. } | PortError::RangeExhausted { .. })) => return Err(error),
            }
        }
        Err(PortError::RangeExhausted { host_ip, first: *range.start(), last: *range.end() })
    }

    fn take_one(&mut self, holder: &ContainerId, port: &PublishedPort) -> Result<(), PortError> {
        let address = SocketAddr::new(port.host_ip, port.host_port);
        if let Some(lease) = self.conflict(port) {
            return Err(PortError::Allocated { address, holder: lease.holder.clone() });
        }
        let protocol = port.container_port.protocol;
        let socket = bind_port(address, protocol).map_err(|errno| match errno {
            Errno::ADDRINUSE => PortError::InUse { address, protocol },
            errno => PortError::Bind { address, protocol, source: errno.into() },
        })?;
        self.held.insert(key(port), Lease { holder: holder.clone(), _socket: socket });
        Ok(())
    }

    /// A lease of the same port at the same address, or at one that covers it or is covered by it.
    fn conflict(&self, port: &PublishedPort) -> Option<&Lease> {
        let (host_ip, protocol, number) = key(port);
        let everywhere: IpAddr = match host_ip {
            IpAddr::V4(_) => std::net::Ipv4Addr::UNSPECIFIED.into(),
            IpAddr::V6(_) => std::net::Ipv6Addr::UNSPECIFIED.into(),
        };
        if host_ip != everywhere {
            return self
                .held
                .get(&(host_ip, protocol, number))
                .or_else(|| self.held.get(&(everywhere, protocol, number)));
        }
        let covered = |&(ip, proto, held): &(IpAddr, Protocol, u16)| {
            proto == protocol && held == number && ip.is_ipv4() == host_ip.is_ipv4()
        };
        self.held.iter().find(|(key, _)| covered(key)).map(|(_, lease)| lease)
    }
}

fn key(port: &PublishedPort) -> (IpAddr, Protocol, u16) {
    (port.host_ip, port.container_port.protocol, port.host_port)
}

fn bind_port(address: SocketAddr, protocol: Protocol) -> rustix::io::Result<OwnedFd> {
    match try_bind(address, protocol, false) {
        // Connections of a program that is gone may linger in TIME_WAIT; they are no reason to refuse.
        Err(Errno::ADDRINUSE) if protocol == Protocol::Tcp => try_bind(address, protocol, true),
        result => result,
    }
}

fn try_bind(address: SocketAddr, protocol: Protocol, reuse: bool) -> rustix::io::Result<OwnedFd> {
    let family = if address.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let (kind, number) = match protocol {
        Protocol::Tcp => (SocketType::STREAM, ipproto::TCP),
        Protocol::Udp => (SocketType::DGRAM, ipproto::UDP),
        Protocol::Sctp => (SocketType::STREAM, ipproto::SCTP),
    };
    let fd = socket_with(family, kind, SocketFlags::CLOEXEC, Some(number))?;
    if address.is_ipv6() {
        set_ipv6_v6only(&fd, true)?;
    }
    if reuse {
        set_socket_reuseaddr(&fd, true)?;
    }
    bind(&fd, &address)?;
    Ok(fd)
}
