use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use drua_types::env::{DOCKER_HOST, DRUA_HOST};
use drua_types::{Classify, ErrorKind, Hint};

/// The text is not an address of an API.
#[derive(Debug, Clone, thiserror::Error, PartialEq, Eq)]
#[error("`{0}` is not an address of a daemon")]
pub struct InvalidHost(String);

impl Classify for InvalidHost {
    fn kind(&self) -> ErrorKind {
        ErrorKind::Invalid
    }
}

impl Hint for InvalidHost {
    fn hints(&self) -> Vec<String> {
        vec!["write `unix:///path/to/socket` or `tcp://host:port`".to_owned()]
    }
}

/// Where a daemon's API is.
///
/// [`Host::from_env`] reads `DRUA_HOST`, then `DOCKER_HOST`. Docker's contexts (`~/.docker/contexts`) are not consulted:
/// they describe where Docker is, and a user who has both expects `drua` to reach drua.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Host {
    /// A Unix socket.
    Unix(PathBuf),
    /// Plain TCP, `host:port`. Whoever can connect is root on that machine: for loopback and tunnels only.
    Tcp(String),
}

impl Host {
    /// The socket of a daemon with default settings.
    pub const DEFAULT_SOCKET: &str = "/run/drua/drua.sock";

    /// What the environment says; `None` when it says nothing.
    ///
    /// # Errors
    /// [`InvalidHost`] when a variable is set to something that is no address.
    pub fn from_env() -> Result<Option<Self>, InvalidHost> {
        [DRUA_HOST, DOCKER_HOST]
            .into_iter()
            .filter_map(|name| std::env::var(name).ok())
            .find(|value| !value.is_empty())
            .map(|value| value.parse())
            .transpose()
    }
}

impl Default for Host {
    fn default() -> Self {
        Self::Unix(PathBuf::from(Self::DEFAULT_SOCKET))
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix(path) => write!(f, "unix://{}", path.display()),
            Self::Tcp(authority) => write!(f, "tcp://{authority}"),
        }
    }
}

impl FromStr for Host {
    type Err = InvalidHost;

    /// Reads `unix:///path` and `tcp://host:port`; the port defaults to Docker's 2375.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let invalid = || InvalidHost(text.chars().take(120).collect());
        if let Some(path) = text.strip_prefix("unix://") {
            return if path.starts_with('/') { Ok(Self::Unix(path.into())) } else { Err(invalid()) };
        }
        let authority = text.strip_prefix("tcp://").ok_or_else(invalid)?.trim_end_matches('/');
        if authority.is_empty() || authority.contains(['/', '@', ' ']) {
            return Err(invalid());
        }
        let bracketed = authority.starts_with('[');
        let has_port = if bracketed { authority.contains("]:") } else { authority.contains(':') };
        let authority = if has_port { authority.to_owned() } else { format!("{authority}:2375") };
        let (_, port) = authority.rsplit_once(':').ok_or_else(invalid)?;
        port.parse::<u16>().map_err(|_| invalid())?;
        Ok(Self::Tcp(authority))
    }
}
