use std::io;

use drua_types::{Classify, ErrorKind, Hint};

use crate::Host;

/// The daemon understood the request and answered with an error.
#[derive(Debug, Clone, thiserror::Error, PartialEq, Eq)]
#[error("{message}")]
pub struct ApiError {
    /// HTTP status, 400–599 (304 where nothing had to be done).
    pub status: u16,
    /// The daemon's words, for people and for clients that match on them.
    pub message: String,
}

impl Classify for ApiError {
    fn kind(&self) -> ErrorKind {
        match self.status {
            304 => ErrorKind::NotModified,
            401 | 403 => ErrorKind::Denied,
            404 => ErrorKind::NotFound,
            409 => ErrorKind::Conflict,
            501 => ErrorKind::Unsupported,
            503 => ErrorKind::Unavailable,
            400..=499 => ErrorKind::Invalid,
            _ => ErrorKind::Internal,
        }
    }
}

/// A request to the daemon failed.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// No connection.
    #[error("cannot connect to the drua daemon at {host}")]
    Connect {
        /// Where it was tried.
        host: Host,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// The connection broke, or the other side does not speak HTTP.
    #[error("the daemon at {host} did not answer `{request}`")]
    Transport {
        /// Where.
        host: Host,
        /// Method and path.
        request: String,
        /// Why.
        #[source]
        source: hyper::Error,
    },
    /// The daemon refused.
    #[error(transparent)]
    Api(#[from] ApiError),
    /// The daemon sent something that is not the JSON which the API promises.
    #[error("cannot understand the daemon's answer to `{request}`")]
    Decode {
        /// Method and path.
        request: String,
        /// What is wrong with it.
        #[source]
        source: serde_json::Error,
    },
    /// The daemon sent a stream that is not framed as the API promises.
    #[error("the stream of `{request}` is damaged")]
    Stream {
        /// Method and path.
        request: String,
        /// What is wrong with it.
        #[source]
        source: io::Error,
    },
    /// The daemon answered a request for a raw connection with something else.
    #[error("`{request}` needs a raw connection, and the daemon answered with status {status}")]
    NotUpgraded {
        /// Method and path.
        request: String,
        /// HTTP status.
        status: u16,
    },
}

impl ClientError {
    /// The HTTP status, where the daemon answered with one.
    pub fn status(&self) -> Option<u16> {
        match self {
            Self::Api(error) => Some(error.status),
            Self::NotUpgraded { status, .. } => Some(*status),
            Self::Connect { .. } | Self::Transport { .. } | Self::Decode { .. } | Self::Stream { .. } => None,
        }
    }

    /// Whether the daemon said that the thing does not exist.
    pub fn is_not_found(&self) -> bool {
        self.status() == Some(404)
    }

    /// Whether the daemon said that the request contradicts its state.
    pub fn is_conflict(&self) -> bool {
        self.status() == Some(409)
    }
}

impl Classify for ClientError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Connect { .. } => ErrorKind::Unavailable,
            Self::Api(error) => error.kind(),
            Self::Transport { .. } | Self::Decode { .. } | Self::Stream { .. } | Self::NotUpgraded { .. } => {
                ErrorKind::Internal
            }
        }
    }
}

impl Hint for ClientError {
    fn hints(&self) -> Vec<String> {
        match self {
            Self::Connect { host: Host::Unix(path), source } => match source.kind() {
                io::ErrorKind::PermissionDenied => {
                    vec![
                        "join the group `drua` with `sudo usermod -aG drua $USER` and log in again, or use `sudo`"
                            .to_owned(),
                    ]
                }
                io::ErrorKind::NotFound => {
                    vec!["start the daemon with `sudo drua daemon`, or point DRUA_HOST at one that runs".to_owned()]
                }
                io::ErrorKind::ConnectionRefused => vec![format!(
                    "`{}` is left over from a daemon that is gone; start it again with `sudo drua daemon`",
                    path.display()
                )],
                _ => Vec::new(),
            },
            Self::Connect { host: Host::Ssh(ssh), .. } => {
                vec![format!("`ssh {} drua version` shows what is wrong on the way", ssh.destination)]
            }
            Self::Connect { host: Host::Tcp(_) | Host::Tls { .. }, .. } => {
                vec![
                    "check DRUA_HOST and DOCKER_HOST, and that the daemon was started with `--host tcp://…`".to_owned(),
                ]
            }
            Self::Transport { .. } => vec!["look at the daemon's log; it may have stopped".to_owned()],
            Self::Api(_) | Self::Decode { .. } | Self::Stream { .. } | Self::NotUpgraded { .. } => Vec::new(),
        }
    }
}
