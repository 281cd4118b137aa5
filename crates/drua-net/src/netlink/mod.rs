//! A small synchronous netlink client: messages, sockets, and the rtnetlink operations that container networks need.
//!
//! A socket belongs to the network namespace in which it was opened, whichever thread uses it later. The kernel handles a
//! datagram of requests within `send`, so a batch costs one system call and its answers are already queued when it returns.
//! Knows nothing of Docker's networks or of nftables; see netlink(7), rtnetlink(7).

pub(crate) mod route;
mod socket;
mod wire;

pub(crate) use route::{Link, NewVeth, PortFlags, Route};
pub(crate) use socket::{Family, Request, Socket};
pub(crate) use wire::{Message, attributes, flags, messages as notifications};

use std::io;

/// The kernel refused something that was asked by netlink, or could not be asked.
#[derive(Debug, thiserror::Error)]
pub enum NetlinkError {
    /// No socket.
    #[error("failed to open a {family} netlink socket")]
    Open {
        /// `route` or `netfilter`.
        family: &'static str,
        /// The cause.
        #[source]
        source: io::Error,
    },
    /// The request did not reach the kernel or its answer did not reach us.
    #[error("failed to talk to the kernel to {attempted}")]
    Talk {
        /// What was asked for.
        attempted: String,
        /// The cause.
        #[source]
        source: io::Error,
    },
    /// The kernel said no.
    #[error("failed to {attempted}")]
    Refused {
        /// What was asked for.
        attempted: String,
        /// The kernel's errno.
        #[source]
        source: io::Error,
    },
    /// The answer makes no sense.
    #[error("the kernel's answer to `{attempted}` is malformed")]
    Malformed {
        /// What was asked for.
        attempted: String,
    },
}

impl NetlinkError {
    /// The errno with which the kernel refused the request, if it is this one.
    pub(crate) fn is(&self, errno: rustix::io::Errno) -> bool {
        matches!(self, Self::Refused { source, .. } if source.raw_os_error() == Some(errno.raw_os_error()))
    }
}
