use std::fmt;
use std::path::{Path, PathBuf};
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
        vec!["write `unix:///path/to/socket`, `tcp://host:port` or `ssh://user@host`".to_owned()]
    }
}

/// Where a daemon's API is.
///
/// [`Host::from_env`] reads `DRUA_HOST`, then `DOCKER_HOST`. Docker's current context is not consulted: it says
/// where Docker is, and a user who has both expects `drua` to reach drua. `drua context use` chooses for drua alone.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Host {
    /// A Unix socket.
    Unix(PathBuf),
    /// Plain TCP, `host:port`. Whoever can connect is root on that machine: for loopback and tunnels only.
    Tcp(String),
    /// TCP with TLS.
    Tls {
        /// `host:port`.
        authority: String,
        /// Who to trust and who we are.
        files: TlsFiles,
    },
    /// Through `ssh`, which runs `drua system dial-stdio` over there.
    Ssh(SshHost),
}

/// The files of a TLS client, as in a directory of Docker's: `ca.pem`, `cert.pem`, `key.pem`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct TlsFiles {
    /// Who may have signed the daemon's certificate; `None` takes any certificate.
    pub ca: Option<PathBuf>,
    /// Our certificate and its key.
    pub identity: Option<(PathBuf, PathBuf)>,
}

impl TlsFiles {
    /// The files of Docker's names that are in a directory.
    pub fn in_dir(dir: &Path, verify: bool) -> Self {
        let file = |name: &str| Some(dir.join(name)).filter(|path| path.exists());
        Self { ca: Some(dir.join("ca.pem")).filter(|_| verify), identity: file("cert.pem").zip(file("key.pem")) }
    }

    /// What `DOCKER_TLS_VERIFY` and `DOCKER_CERT_PATH` say; `None` without the former.
    pub fn from_env() -> Option<Self> {
        let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
        set("DOCKER_TLS_VERIFY")?;
        let dir =
            set("DOCKER_CERT_PATH").map(PathBuf::from).or_else(|| Some(PathBuf::from(set("HOME")?).join(".docker")));
        Some(Self::in_dir(&dir?, true))
    }
}

/// A machine to reach by ssh.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct SshHost {
    /// `user@` and the host, for ssh.
    pub destination: String,
    /// Port.
    pub port: Option<u16>,
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
            .map(|host| host.map(|host: Self| host.with_tls(TlsFiles::from_env())))
    }

    /// The same address with TLS, where that makes sense.
    #[must_use]
    pub fn with_tls(self, files: Option<TlsFiles>) -> Self {
        match (self, files) {
            (Self::Tcp(authority), Some(files)) => {
                // Without a port, Docker's for TLS.
                let authority = match authority.strip_suffix(":2375") {
                    Some(host) => format!("{host}:2376"),
                    None => authority,
                };
                Self::Tls { authority, files }
            }
            (host, _) => host,
        }
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
            Self::Tcp(authority) | Self::Tls { authority, .. } => write!(f, "tcp://{authority}"),
            Self::Ssh(SshHost { destination, port: None }) => write!(f, "ssh://{destination}"),
            Self::Ssh(SshHost { destination, port: Some(port) }) => write!(f, "ssh://{destination}:{port}"),
        }
    }
}

impl FromStr for Host {
    type Err = InvalidHost;

    /// Reads `unix:///path`, `tcp://host:port` (Docker's 2375 where there is no port) and `ssh://[user@]host[:port]`.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let invalid = || InvalidHost(text.chars().take(120).collect());
        if let Some(path) = text.strip_prefix("unix://") {
            return if path.starts_with('/') { Ok(Self::Unix(path.into())) } else { Err(invalid()) };
        }
        if let Some(rest) = text.strip_prefix("ssh://") {
            let rest = rest.trim_end_matches('/');
            let (destination, port) = match rest.rsplit_once(':') {
                Some((host, port)) => (host, Some(port.parse::<u16>().map_err(|_| invalid())?)),
                None => (rest, None),
            };
            // What begins with a dash would be an option of ssh (CVE-2017-1000117).
            let plain = |part: &str| {
                !part.is_empty()
                    && !part.starts_with('-')
                    && !part.contains(|c: char| c.is_whitespace() || c.is_control() || c == '/')
            };
            if !destination.split('@').all(plain) || destination.matches('@').count() > 1 {
                return Err(invalid());
            }
            return Ok(Self::Ssh(SshHost { destination: destination.to_owned(), port }));
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
