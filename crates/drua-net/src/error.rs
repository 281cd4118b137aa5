//! What can go wrong with networks and endpoints.

use std::io;
use std::path::PathBuf;

use drua_types::{Classify, ErrorKind, Hint, NetworkId};

use crate::config::InterfaceName;
use crate::netlink::NetlinkError;
use crate::netns::NetnsError;
use crate::ports::PortError;

/// A network or an endpoint could not be set up or taken down.
#[derive(Debug, thiserror::Error)]
pub enum NetError {
    /// A network namespace could not be made, entered or removed.
    #[error(transparent)]
    Netns(#[from] NetnsError),
    /// The kernel refused a request about links, addresses, routes or nftables.
    #[error(transparent)]
    Netlink(#[from] NetlinkError),
    /// A port could not be published.
    #[error(transparent)]
    Port(#[from] PortError),
    /// A kernel parameter could not be set.
    #[error("failed to set kernel parameter `{name}` to `{value}`")]
    Sysctl {
        /// Below /proc/sys.
        name: String,
        /// The value.
        value: String,
        /// The cause.
        #[source]
        source: io::Error,
    },
    /// An interface with the bridge's name exists and is no bridge.
    #[error("interface `{interface}` exists and is not a bridge")]
    NotABridge {
        /// The interface.
        interface: InterfaceName,
    },
    /// An interface with a name that we need belongs to somebody else.
    #[error("interface `{interface}` exists and belongs to `{owner}`")]
    Foreign {
        /// The interface.
        interface: InterfaceName,
        /// Its alias.
        owner: String,
    },
    /// An interface disappeared while it was set up.
    #[error("interface `{interface}` does not exist")]
    NoInterface {
        /// The interface.
        interface: InterfaceName,
    },
    /// The network was not created here.
    #[error("network {} is not set up", .network.short())]
    UnknownNetwork {
        /// The network.
        network: NetworkId,
    },
    /// The container's namespace is gone, so its endpoint cannot be.
    #[error("no network namespace is pinned at `{path}`")]
    NoNamespace {
        /// Where it should be.
        path: PathBuf,
    },
    /// The name of the instance or the prefix of interfaces cannot be used.
    #[error("`{text}` cannot be {role}: expected {expected}")]
    Name {
        /// What was given.
        text: String,
        /// What it should be.
        role: &'static str,
        /// What is allowed.
        expected: &'static str,
    },
    /// No thread for background work.
    #[error("failed to start the thread that deletes interfaces")]
    Thread {
        /// The cause.
        #[source]
        source: io::Error,
    },
    /// A socket for the embedded DNS server could not be bound in the container's namespace.
    #[error("failed to bind the DNS server in network namespace `{path}`")]
    BindDns {
        /// The namespace.
        path: PathBuf,
        /// The cause.
        #[source]
        source: io::Error,
    },
}

impl Classify for NetError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Port(error) => error.kind(),
            Self::UnknownNetwork { .. } => ErrorKind::NotFound,
            Self::NotABridge { .. } | Self::Foreign { .. } => ErrorKind::Conflict,
            Self::Name { .. } => ErrorKind::Invalid,
            Self::Netns(_)
            | Self::Netlink(_)
            | Self::Sysctl { .. }
            | Self::NoInterface { .. }
            | Self::NoNamespace { .. }
            | Self::Thread { .. }
            | Self::BindDns { .. } => ErrorKind::Internal,
        }
    }
}

impl Hint for NetError {
    fn hints(&self) -> Vec<String> {
        match self {
            Self::Port(error) => error.hints(),
            Self::Foreign { interface, .. } | Self::NotABridge { interface } => {
                vec![format!(
                    "remove it with `ip link delete {interface}`, or start the daemon with another bridge name"
                )]
            }
            Self::Netns(_)
            | Self::Netlink(_)
            | Self::Sysctl { .. }
            | Self::NoInterface { .. }
            | Self::UnknownNetwork { .. }
            | Self::NoNamespace { .. }
            | Self::Name { .. }
            | Self::Thread { .. }
            | Self::BindDns { .. } => Vec::new(),
        }
    }
}
