//! Where a server is: scheme, host, port; and how a `Location` relates to it.

use std::fmt;
use std::net::IpAddr;

use hyper::Uri;

/// The text names no server.
#[derive(Debug, Clone, thiserror::Error, PartialEq, Eq)]
#[error("`{0}` is not a server: expected `host`, `host:port` or `https://host:port`")]
pub struct InvalidServer(pub(crate) String);

/// How the wire is protected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Scheme {
    Http,
    Https,
}

impl Scheme {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
        }
    }

    fn port(self) -> u16 {
        match self {
            Self::Http => 80,
            Self::Https => 443,
        }
    }
}

/// Scheme, host and port of a server (RFC 6454).
#[derive(Clone, PartialEq, Eq, Hash)]
pub(crate) struct Origin {
    pub(crate) scheme: Scheme,
    /// In lower case; IPv6 addresses without brackets.
    pub(crate) host: String,
    pub(crate) port: u16,
}

impl Origin {
    /// The origin of an absolute URL, and what comes after it (`/` at least).
    pub(crate) fn of_url(text: &str) -> Option<(Self, String)> {
        let uri: Uri = text.parse().ok()?;
        let scheme = match uri.scheme_str()?.to_ascii_lowercase().as_str() {
            "http" => Scheme::Http,
            "https" => Scheme::Https,
            _ => return None,
        };
        let authority = uri.authority()?;
        if authority.as_str().contains('@') {
            return None;
        }
        let path = uri.path_and_query().map_or("/", |path| path.as_str());
        let path = if path.starts_with('/') { path.to_owned() } else { format!("/{path}") };
        let origin = Self::new(scheme, authority.host(), authority.port_u16());
        Some((origin, path))
    }

    /// From `host` or `host:port`, as image names have them.
    pub(crate) fn of_host(scheme: Scheme, text: &str) -> Option<Self> {
        let authority: hyper::http::uri::Authority = text.parse().ok()?;
        if authority.as_str().contains('@') || authority.host().is_empty() {
            return None;
        }
        Some(Self::new(scheme, authority.host(), authority.port_u16()))
    }

    fn new(scheme: Scheme, host: &str, port: Option<u16>) -> Self {
        let host = host.trim_start_matches('[').trim_end_matches(']').to_ascii_lowercase();
        Self { scheme, host, port: port.unwrap_or(scheme.port()) }
    }

    pub(crate) fn with_scheme(&self, scheme: Scheme) -> Self {
        // A port that was left out follows the scheme.
        let port = if self.port == self.scheme.port() { scheme.port() } else { self.port };
        Self { scheme, host: self.host.clone(), port }
    }

    /// `host` or `host:port`, for the `Host` header and for directories of certificates.
    pub(crate) fn authority(&self) -> String {
        if self.port == self.scheme.port() { self.bracketed() } else { format!("{}:{}", self.bracketed(), self.port) }
    }

    /// `host:port`, always.
    pub(crate) fn host_and_port(&self) -> String {
        format!("{}:{}", self.bracketed(), self.port)
    }

    fn bracketed(&self) -> String {
        if self.host.contains(':') { format!("[{}]", self.host) } else { self.host.clone() }
    }

    pub(crate) fn ip(&self) -> Option<IpAddr> {
        self.host.parse().ok()
    }

    /// This machine: `localhost` or a loopback address.
    pub(crate) fn is_loopback(&self) -> bool {
        self.host == "localhost" || self.ip().is_some_and(|ip| ip.is_loopback())
    }

    /// Resolves a `Location` or `Link` against a request to `path` here.
    pub(crate) fn resolve(&self, path: &str, location: &str) -> Option<(Self, String)> {
        if location.contains("://") && !location.starts_with('/') {
            return Self::of_url(location);
        }
        if let Some(rest) = location.strip_prefix("//") {
            return Self::of_url(&format!("{}://{rest}", self.scheme.as_str()));
        }
        let target = if location.starts_with('/') {
            location.to_owned()
        } else if location.starts_with('?') {
            format!("{}{location}", path.split('?').next().unwrap_or_default())
        } else {
            let directory = path.split('?').next().unwrap_or_default();
            let directory = directory.rsplit_once('/').map_or("", |(directory, _)| directory);
            format!("{directory}/{location}")
        };
        // Parsed once, so that no control character reaches a request line.
        target.parse::<Uri>().ok()?;
        Some((self.clone(), target))
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", self.scheme.as_str(), self.authority())
    }
}

impl fmt::Debug for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}
