use std::time::Duration;

use drua_types::{Classify, Digest, ErrorKind, Hint};

type Cause = Box<dyn std::error::Error + Send + Sync>;

/// A registry, or the way to it, failed.
#[derive(Debug, thiserror::Error)]
pub enum RegistryError {
    /// No connection, or no trust in it.
    #[error("cannot connect to the registry `{server}`")]
    Connect {
        /// Scheme, host and port.
        server: String,
        /// Why not.
        #[source]
        source: Cause,
        /// Whether the other side's certificate is the reason.
        untrusted: bool,
    },
    /// The connection broke during a request.
    #[error("the connection broke during `{request}`")]
    Broken {
        /// Method and URL.
        request: String,
        /// How.
        #[source]
        source: Cause,
    },
    /// Nothing came for too long.
    #[error("`{request}` got no answer for {} seconds", after.as_secs_f32())]
    Stalled {
        /// Method and URL.
        request: String,
        /// How long we waited.
        after: Duration,
    },
    /// The registry does not accept who we are.
    #[error("unauthorized: {message}")]
    Unauthorized {
        /// Host and port.
        server: String,
        /// The registry's words.
        message: String,
    },
    /// The registry knows who we are and refuses.
    #[error("denied: {message}")]
    Denied {
        /// Host and port.
        server: String,
        /// The registry's words.
        message: String,
    },
    /// There is no such repository, manifest or blob.
    #[error("{message}")]
    NotFound {
        /// The registry's code and words, such as `manifest unknown: manifest unknown`.
        message: String,
        /// Whether there is not even the repository, as far as the registry says.
        repository: bool,
    },
    /// The registry wants fewer requests.
    #[error("the registry `{server}` refuses more requests for now: {message}{}", wait_words(*.retry_after))]
    RateLimited {
        /// Host and port.
        server: String,
        /// The registry's words.
        message: String,
        /// How long it wants us to wait, where it says so.
        retry_after: Option<Duration>,
    },
    /// Another answer than success.
    #[error("`{request}` was answered with status {status}: {message}")]
    Status {
        /// Method and URL.
        request: String,
        /// HTTP status.
        status: u16,
        /// The registry's words.
        message: String,
    },
    /// An answer that the protocol does not allow.
    #[error("`{request}` was answered with something that is no registry's answer: {reason}")]
    Protocol {
        /// Method and URL.
        request: String,
        /// What is wrong.
        reason: String,
    },
    /// Content that is not what was asked for.
    #[error("content `{digest}` from the registry is damaged: {reason}")]
    Damaged {
        /// What was asked for.
        digest: Digest,
        /// What is wrong.
        reason: String,
    },
    /// A manifest that contradicts itself or goes beyond limits.
    #[error("`{reference}` is not a valid image: {reason}")]
    Manifest {
        /// Tag or digest.
        reference: String,
        /// What is wrong.
        reason: String,
    },
    /// Something real that we do not do, and why.
    #[error("{reason}")]
    Unsupported {
        /// All of it, in words.
        reason: String,
    },
    /// What the caller wanted to upload could not be read.
    #[error("cannot read what is to be uploaded")]
    Source {
        /// Why not.
        #[source]
        source: std::io::Error,
    },
}

fn wait_words(retry_after: Option<Duration>) -> String {
    retry_after.map(|wait| format!("; try again in {} seconds", wait.as_secs())).unwrap_or_default()
}

impl RegistryError {
    /// Whether another attempt may succeed without anybody changing anything.
    pub(crate) fn is_passing(&self) -> bool {
        match self {
            Self::Broken { .. } | Self::Stalled { .. } => true,
            Self::Connect { untrusted, .. } => !untrusted,
            Self::Status { status, .. } => matches!(status, 408 | 500 | 502 | 503 | 504),
            Self::Unauthorized { .. }
            | Self::Denied { .. }
            | Self::NotFound { .. }
            | Self::RateLimited { .. }
            | Self::Protocol { .. }
            | Self::Damaged { .. }
            | Self::Manifest { .. }
            | Self::Unsupported { .. }
            | Self::Source { .. } => false,
        }
    }

    /// Whether a registry was reached and answered, but not as we would like.
    pub fn is_answer(&self) -> bool {
        !matches!(self, Self::Connect { .. } | Self::Broken { .. } | Self::Stalled { .. } | Self::Source { .. })
    }

    /// Whether the registry does not accept who we are, rather than what we want.
    pub fn is_unauthorized(&self) -> bool {
        matches!(self, Self::Unauthorized { .. })
    }
}

impl Classify for RegistryError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::NotFound { .. } => ErrorKind::NotFound,
            Self::Unauthorized { .. } | Self::Denied { .. } => ErrorKind::Denied,
            Self::RateLimited { .. } | Self::Connect { .. } | Self::Broken { .. } | Self::Stalled { .. } => {
                ErrorKind::Unavailable
            }
            Self::Damaged { .. } | Self::Manifest { .. } => ErrorKind::Invalid,
            Self::Unsupported { .. } => ErrorKind::Unsupported,
            Self::Status { .. } | Self::Protocol { .. } | Self::Source { .. } => ErrorKind::Internal,
        }
    }
}

impl Hint for RegistryError {
    fn hints(&self) -> Vec<String> {
        let hint = match self {
            Self::Connect { server, untrusted: true, .. } => {
                let host = server.split("://").last().unwrap_or(server);
                format!(
                    "put the registry's CA into `/etc/drua/certs.d/{host}/ca.crt`, or start the daemon with `--insecure-registry {host}`"
                )
            }
            Self::Connect { .. } => "check the registry's name, the network and the proxy settings".to_owned(),
            Self::Broken { .. } | Self::Stalled { .. } => {
                "try again: what has been downloaded is kept, and the next pull goes on from there".to_owned()
            }
            Self::Unauthorized { server, .. } => format!("log in with `drua login {server}`"),
            Self::RateLimited { .. } => {
                "log in for a higher limit, or pull through a mirror (`--registry-mirror`)".to_owned()
            }
            Self::Damaged { .. } => {
                "try again; if it stays so, the image in the registry is damaged: push it again".to_owned()
            }
            Self::Denied { .. }
            | Self::NotFound { .. }
            | Self::Status { .. }
            | Self::Protocol { .. }
            | Self::Manifest { .. }
            | Self::Unsupported { .. }
            | Self::Source { .. } => return Vec::new(),
        };
        vec![hint]
    }
}
