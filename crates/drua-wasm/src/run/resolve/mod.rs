//! A small stub resolver: the container's `/etc/hosts`, then the servers of its `/etc/resolv.conf` by UDP and TCP.
//!
//! It exists because the C library's resolver loads code that the container's files name (see [`super::lookup`]). It
//! follows resolv.conf(5) in `nameserver`, `search`, `domain` and the options `ndots`, `timeout`, `attempts`, `use-vc`;
//! it reads no `nsswitch.conf`, caches nothing and does not validate DNSSEC. Both files are read anew for each name,
//! since a container's networks change while it runs.

mod dns;
mod files;

use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};

use hickory_proto::rr::{Name, RecordType};

use dns::{Outcome, Server};
use files::{Hosts, ResolvConf};

/// A name has no address.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum ResolveError {
    /// It is no host name.
    #[error("`{0}` is not a host name")]
    Name(String),
    /// Neither the hosts file nor the servers know it.
    #[error("no such host: `{0}`")]
    NotFound(String),
    /// No server answered in time.
    #[error("no name server answered for `{0}`")]
    NoAnswer(String),
    /// The servers refuse or fail.
    #[error("the name servers failed for `{name}`: {reason}")]
    Server {
        /// The name.
        name: String,
        /// The last server's answer.
        reason: String,
    },
}

/// Where to look.
#[derive(Debug)]
pub(super) struct Resolver {
    hosts: PathBuf,
    resolv_conf: PathBuf,
    port: u16,
}

impl Resolver {
    /// The resolver of the container whose root is `/`.
    pub(super) fn of_container() -> Self {
        Self::new(Path::new("/etc"), dns::PORT)
    }

    fn new(etc: &Path, port: u16) -> Self {
        Self { hosts: etc.join("hosts"), resolv_conf: etc.join("resolv.conf"), port }
    }

    /// All addresses of a host, IPv4 first: container networks have it, and not always IPv6.
    pub(super) async fn resolve(&self, host: &str) -> Result<Vec<IpAddr>, ResolveError> {
        if let Ok(address) = host.trim_start_matches('[').trim_end_matches(']').parse() {
            return Ok(vec![address]);
        }
        let name = Name::from_str_relaxed(host).map_err(|_| ResolveError::Name(shorten(host)))?;
        if name.num_labels() == 0 {
            return Err(ResolveError::Name(shorten(host)));
        }
        let known = Hosts::parse(&files::read(&self.hosts)).addresses(host);
        if !known.is_empty() {
            return Ok(known);
        }
        let config = ResolvConf::parse(&files::read(&self.resolv_conf));
        self.ask(host, &config.candidates(&name), &config).await
    }

    /// The first candidate that has an address wins; the answer about the last one decides what is reported.
    async fn ask(&self, host: &str, candidates: &[Name], config: &ResolvConf) -> Result<Vec<IpAddr>, ResolveError> {
        let mut failure = ResolveError::NotFound(shorten(host));
        for name in candidates {
            let (v4, v6) =
                tokio::join!(self.query(name, RecordType::A, config), self.query(name, RecordType::AAAA, config));
            let mut addresses = Vec::new();
            for outcome in [v4, v6] {
                match outcome {
                    Outcome::Addresses(found) => addresses.extend(found),
                    Outcome::Unknown => {}
                    Outcome::Silent => failure = ResolveError::NoAnswer(shorten(host)),
                    Outcome::Failed(reason) => failure = ResolveError::Server { name: shorten(host), reason },
                }
            }
            if !addresses.is_empty() {
                return Ok(addresses);
            }
        }
        Err(failure)
    }

    /// Asks one server after the other, `attempts` times over, until one of them knows.
    async fn query(&self, name: &Name, kind: RecordType, config: &ResolvConf) -> Outcome {
        let mut last = Outcome::Silent;
        for _ in 0..config.attempts {
            for &address in &config.servers {
                let server = Server {
                    address: SocketAddr::new(address, self.port),
                    timeout: config.timeout,
                    tcp_only: config.use_tcp,
                };
                match server.query(name, kind).await {
                    outcome @ (Outcome::Addresses(_) | Outcome::Unknown) => return outcome,
                    outcome @ (Outcome::Silent | Outcome::Failed(_)) => last = outcome,
                }
            }
        }
        last
    }
}

fn shorten(host: &str) -> String {
    host.chars().take(255).collect()
}

#[cfg(test)]
mod tests;
