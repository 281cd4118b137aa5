//! What the operator of the daemon decides about registries.

use std::path::PathBuf;
use std::time::Duration;

use ipnet::IpNet;

use crate::origin::{InvalidServer, Origin, Scheme};
use crate::proxy::Proxies;

/// How long to wait for what.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timeouts {
    /// For a connection, TLS included. Default 15 s.
    pub connect: Duration,
    /// For the head of an answer. Default 60 s: a registry may have to verify a large upload first.
    pub answer: Duration,
    /// For the next bytes of an answer. Default 30 s.
    pub idle: Duration,
    /// First pause before another attempt; it doubles each time. Default 250 ms.
    pub back_off: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(15),
            answer: Duration::from_secs(60),
            idle: Duration::from_secs(30),
            back_off: Duration::from_millis(250),
        }
    }
}

/// How registries are reached.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Registries that may speak plain HTTP or have any certificate: `host`, `host:port` or a network (`10.0.0.0/8`).
    /// Loopback addresses always may.
    pub insecure: Vec<String>,
    /// Servers to ask before Docker Hub, in order: `https://mirror.example`.
    pub mirrors: Vec<String>,
    /// Directories that have `<host:port>/*.crt` (CAs), `*.cert` and `*.key` (client certificates); dockerd's layout.
    pub certificate_dirs: Vec<PathBuf>,
    /// Servers in between.
    pub proxies: Proxies,
    /// Patience.
    pub timeouts: Timeouts,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            insecure: Vec::new(),
            mirrors: Vec::new(),
            certificate_dirs: vec!["/etc/drua/certs.d".into(), "/etc/docker/certs.d".into()],
            proxies: Proxies::default(),
            timeouts: Timeouts::default(),
        }
    }
}

impl Settings {
    /// Checks what the operator wrote.
    ///
    /// # Errors
    /// [`InvalidServer`] names what cannot be understood.
    pub fn check(&self) -> Result<(), InvalidServer> {
        let bad_host = self.insecure.iter().find(|text| {
            text.parse::<IpNet>().is_err() && (text.contains('/') || Origin::of_host(Scheme::Https, text).is_none())
        });
        let bad_mirror = self.mirrors.iter().find(|text| mirror(text).is_none());
        bad_host.or(bad_mirror).map_or(Ok(()), |text| Err(InvalidServer(text.clone())))
    }

    /// Whether a server may do without a valid certificate.
    pub(crate) fn is_insecure(&self, origin: &Origin) -> bool {
        origin.is_loopback()
            || self.insecure.iter().any(|entry| match entry.parse::<IpNet>() {
                Ok(network) => origin.ip().is_some_and(|ip| network.contains(&ip)),
                Err(_) => {
                    let entry = entry.to_ascii_lowercase();
                    entry == origin.authority() || entry == origin.host_and_port() || entry == origin.host
                }
            })
    }

    pub(crate) fn mirror_origins(&self) -> impl Iterator<Item = Origin> {
        self.mirrors.iter().filter_map(|text| mirror(text))
    }
}

fn mirror(text: &str) -> Option<Origin> {
    match text.contains("://") {
        true => Origin::of_url(text).filter(|(_, path)| path == "/").map(|(origin, _)| origin),
        false => Origin::of_host(Scheme::Https, text),
    }
}
