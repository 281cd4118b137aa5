//! Proxies, as the environment names them (`HTTP_PROXY`, `HTTPS_PROXY`, `NO_PROXY`); the rules are Go's, which Docker has.

use ipnet::IpNet;

use crate::credentials::{Credentials, Secret};
use crate::origin::{Origin, Scheme};

/// Servers between us and registries.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Proxies {
    /// For plain HTTP: `http://[user:password@]host:port`.
    pub http: Option<Secret>,
    /// For HTTPS.
    pub https: Option<Secret>,
    /// Hosts that are reached directly: names with their subdomains, addresses, networks, `*`; separated by commas.
    pub exceptions: String,
}

/// A proxy to use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Proxy {
    pub(crate) origin: Origin,
    pub(crate) authorization: Option<Secret>,
}

/// The proxy's URL cannot be understood.
#[derive(Debug, thiserror::Error)]
#[error("the proxy's address is not `http://host:port`")]
pub(crate) struct InvalidProxy;

impl Proxies {
    /// Reads the environment.
    pub fn from_env() -> Self {
        let get = |upper: &str| {
            let found = std::env::var(upper).or_else(|_| std::env::var(upper.to_ascii_lowercase()));
            found.ok().filter(|value| !value.trim().is_empty())
        };
        use drua_types::env::{HTTP_PROXY, HTTPS_PROXY, NO_PROXY};
        Self {
            http: get(HTTP_PROXY).map(Secret::new),
            https: get(HTTPS_PROXY).map(Secret::new),
            exceptions: get(NO_PROXY).unwrap_or_default(),
        }
    }

    /// The proxy on the way to a server.
    pub(crate) fn for_origin(&self, origin: &Origin) -> Result<Option<Proxy>, InvalidProxy> {
        let configured = match origin.scheme {
            Scheme::Http => &self.http,
            Scheme::Https => &self.https,
        };
        match configured {
            Some(text) if !origin.is_loopback() && !self.is_exception(origin) => parse(text.expose()).map(Some),
            _ => Ok(None),
        }
    }

    fn is_exception(&self, origin: &Origin) -> bool {
        let entries = self.exceptions.split(',').map(|entry| entry.trim().to_ascii_lowercase());
        entries.filter(|entry| !entry.is_empty()).any(|entry| {
            if entry == "*" {
                return true;
            }
            if let Ok(network) = entry.parse::<IpNet>() {
                return origin.ip().is_some_and(|ip| network.contains(&ip));
            }
            let (host, port) = match entry.rsplit_once(':') {
                Some((host, port)) if !host.contains(':') || host.ends_with(']') => {
                    (host.to_owned(), port.parse().ok())
                }
                _ => (entry.clone(), None),
            };
            if port.is_some_and(|port: u16| port != origin.port) {
                return false;
            }
            let host =
                host.trim_start_matches('[').trim_end_matches(']').trim_start_matches("*.").trim_start_matches('.');
            origin.host == host || origin.host.strip_suffix(host).is_some_and(|rest| rest.ends_with('.'))
        })
    }
}

fn parse(text: &str) -> Result<Proxy, InvalidProxy> {
    let text = if text.contains("://") { text.to_owned() } else { format!("http://{text}") };
    let (scheme, rest) = text.split_once("://").ok_or(InvalidProxy)?;
    let authority_end = rest.find(['/', '?']).unwrap_or(rest.len());
    let (user, host) = match rest[..authority_end].rsplit_once('@') {
        Some((user, host)) => (Some(user), host),
        None => (None, &rest[..authority_end]),
    };
    let (origin, _) = Origin::of_url(&format!("{scheme}://{host}/")).ok_or(InvalidProxy)?;
    let authorization = user.and_then(|user| {
        let decode = |text: &str| percent_encoding::percent_decode_str(text).decode_utf8_lossy().into_owned();
        let (name, password) = user.split_once(':').unwrap_or((user, ""));
        Credentials::Password { username: decode(name), password: Secret::new(decode(password)) }.basic()
    });
    Ok(Proxy { origin, authorization })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn https(host: &str) -> Origin {
        Origin::of_host(Scheme::Https, host).expect("a valid host")
    }

    #[test]
    fn exceptions_are_reached_directly() {
        let proxies = Proxies {
            https: Some(Secret::new("proxy.example:3128")),
            exceptions: "corp.example, .dot.example,10.0.0.0/8,1.2.3.4:5000,[fd00::1]".to_owned(),
            ..Proxies::default()
        };
        for (host, direct) in [
            ("registry.example", false),
            ("corp.example", true),
            ("a.corp.example", true),
            ("notcorp.example", false),
            ("x.dot.example", true),
            ("10.1.2.3:5000", true),
            ("11.1.2.3", false),
            ("1.2.3.4:5000", true),
            ("1.2.3.4:5001", false),
            ("[fd00::1]:5000", true),
            ("localhost:5000", true),
            ("127.0.0.1", true),
        ] {
            let proxy = proxies.for_origin(&https(host)).expect("a valid proxy");
            assert_eq!(proxy.is_none(), direct, "{host}");
        }
    }

    #[test]
    fn proxies_have_names_and_passwords() {
        let proxy = parse("http://us%20er:p%40ss@proxy:3128/").expect("valid");
        assert_eq!(proxy.origin.host_and_port(), "proxy:3128");
        assert_eq!(proxy.authorization.expect("given").expose(), "Basic dXMgZXI6cEBzcw==");
        assert!(parse("socks5://proxy:1080").is_err());
    }
}
