//! What a WebAssembly guest may do inside its container: `--wasm-allow` and `--wasm-deny`.
//!
//! ```text
//!  grant = "all" | class [ "=" what ]        class = dir | env | net | listen | dns | http
//!  dir=/data[:ro]   env=NAME or env=PREFIX*   net=HOST[:PORT]   listen=PORT   http=HOST[:PORT]
//!  HOST = name | *.domain | address | address/length | *
//! ```
//!
//! Without any grant a guest has what its container has: the container is the wall. A grant narrows that. A class with
//! anything specific allowed is a list of what is allowed; `deny` takes away; the more specific wins, and among equals
//! `deny`. So `--wasm-deny net --wasm-allow net=db:3306` leaves one address, and `--wasm-deny all` leaves nothing.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

/// How many grants one container may have, and how long one may be, in bytes.
const MAX_GRANTS: usize = 256;
const MAX_LENGTH: usize = 4096;

/// A capability that can be granted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Class {
    /// Directories of the container.
    Dir,
    /// Environment variables.
    Env,
    /// Connections and datagrams to others.
    Net,
    /// Accepting connections and datagrams on a port.
    Listen,
    /// Looking up names.
    Dns,
    /// Outgoing `wasi:http` requests.
    Http,
}

impl Class {
    /// All of them.
    pub const ALL: [Self; 6] = [Self::Dir, Self::Env, Self::Net, Self::Listen, Self::Dns, Self::Http];

    fn name(self) -> &'static str {
        match self {
            Self::Dir => "dir",
            Self::Env => "env",
            Self::Net => "net",
            Self::Listen => "listen",
            Self::Dns => "dns",
            Self::Http => "http",
        }
    }
}

/// Something specific within a class.
#[derive(Debug, Clone, PartialEq, Eq)]
enum What {
    Everything,
    Dir { path: String, read_only: bool },
    Env(String),
    Host { host: String, port: Option<u16> },
    Port(u16),
}

/// One word of `--wasm-allow` or `--wasm-deny`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grant {
    /// `None` is `all`.
    class: Option<Class>,
    what: What,
}

/// A text is no grant.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not a grant: {reason}")]
pub struct InvalidGrant {
    text: String,
    reason: String,
}

impl crate::Hint for InvalidGrant {
    fn hints(&self) -> Vec<String> {
        vec!["grants look like `all`, `dir=/data:ro`, `env=NAME`, `net=db:3306`, `listen=8080`, `dns` or `http=*.example.com`".to_owned()]
    }
}

impl FromStr for Grant {
    type Err = InvalidGrant;

    fn from_str(text: &str) -> Result<Self, InvalidGrant> {
        let fail = |reason: &str| InvalidGrant { text: text.chars().take(80).collect(), reason: reason.to_owned() };
        if text.len() > MAX_LENGTH {
            return Err(fail("it is too long"));
        }
        let (name, what) = text.split_once('=').map_or((text, None), |(name, what)| (name, Some(what)));
        if name == "all" {
            return match what {
                None => Ok(Self { class: None, what: What::Everything }),
                Some(_) => Err(fail("`all` stands alone")),
            };
        }
        let class = Class::ALL.into_iter().find(|class| class.name() == name);
        let class = class.ok_or_else(|| fail("it begins with none of all, dir, env, net, listen, dns, http"))?;
        let Some(what) = what else { return Ok(Self { class: Some(class), what: What::Everything }) };
        if what.is_empty() {
            return Err(fail("nothing follows the `=`"));
        }
        let what = match class {
            Class::Dir => directory(what).ok_or_else(|| fail("a directory is an absolute path without `..`"))?,
            Class::Env => What::Env(what.to_owned()),
            Class::Net | Class::Http => {
                host(what).ok_or_else(|| fail("a host is `name`, `name:port` or `address/length`"))?
            }
            Class::Listen => What::Port(what.parse().map_err(|_| fail("a port is a number up to 65535"))?),
            Class::Dns => return Err(fail("`dns` stands alone")),
        };
        Ok(Self { class: Some(class), what })
    }
}

impl fmt::Display for Grant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.class.map_or("all", Class::name))?;
        match &self.what {
            What::Everything => Ok(()),
            What::Dir { path, read_only } => write!(f, "={path}{}", if *read_only { ":ro" } else { "" }),
            What::Env(name) => write!(f, "={name}"),
            What::Host { host, port: None } => write!(f, "={host}"),
            What::Host { host, port: Some(port) } if host.contains(':') => write!(f, "=[{host}]:{port}"),
            What::Host { host, port: Some(port) } => write!(f, "={host}:{port}"),
            What::Port(port) => write!(f, "={port}"),
        }
    }
}

fn directory(text: &str) -> Option<What> {
    let (path, read_only) = match text.rsplit_once(':') {
        Some((path, "ro")) => (path, true),
        Some((path, "rw")) => (path, false),
        _ => (text, false),
    };
    let sound =
        path.starts_with('/') && !path.split('/').any(|part| part == ".." || part == ".") && !path.contains('\0');
    sound.then(|| What::Dir { path: trim(path), read_only })
}

fn trim(path: &str) -> String {
    let path = path.trim_end_matches('/');
    if path.is_empty() { "/".to_owned() } else { path.to_owned() }
}

fn host(text: &str) -> Option<What> {
    let (host, port) = match text.strip_prefix('[') {
        Some(rest) => {
            let (host, rest) = rest.split_once(']')?;
            let port = rest.strip_prefix(':').map(str::parse).transpose().ok()?;
            (host, port)
        }
        None if text.matches(':').count() == 1 => {
            let (host, port) = text.split_once(':')?;
            (host, Some(port.parse().ok()?))
        }
        None => (text, None),
    };
    if let Some((address, length)) = host.split_once('/') {
        let bits = if address.parse::<IpAddr>().ok()?.is_ipv4() { 32 } else { 128 };
        length.parse::<u8>().ok().filter(|length| *length <= bits)?;
    }
    let sound = !host.is_empty() && !host.contains(|c: char| c.is_whitespace() || c.is_control());
    sound.then(|| What::Host { host: host.to_ascii_lowercase(), port })
}

/// All grants of one container.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Grants {
    allow: Vec<Grant>,
    deny: Vec<Grant>,
}

/// A host that a grant names, for those who only know addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NamedHost<'a> {
    /// The name to look up.
    pub name: &'a str,
    /// The port, where the grant has one.
    pub port: Option<u16>,
}

impl Grants {
    /// Parses two lists, each a text with commas between its words, as the annotations carry them.
    ///
    /// # Errors
    /// The first word that is no grant.
    pub fn parse(allow: &str, deny: &str) -> Result<Self, InvalidGrant> {
        let list = |text: &str| -> Result<Vec<Grant>, InvalidGrant> {
            let words = text.split(',').map(str::trim).filter(|word| !word.is_empty());
            let grants = words.map(str::parse).collect::<Result<Vec<Grant>, _>>()?;
            if grants.len() > MAX_GRANTS {
                return Err(InvalidGrant { text: "…".to_owned(), reason: format!("more than {MAX_GRANTS} of them") });
            }
            Ok(grants)
        };
        Ok(Self { allow: list(allow)?, deny: list(deny)? })
    }

    /// Whether nothing is narrowed.
    pub fn is_everything(&self) -> bool {
        self.deny.is_empty() && self.allow.iter().all(|grant| grant.what == What::Everything)
    }

    /// Whether a class is allowed as such, and whether anything in it can be.
    pub fn class(&self, class: Class) -> Access {
        let specific =
            |grants: &[Grant]| grants.iter().any(|grant| grant.class == Some(class) && grant.what != What::Everything);
        match (self.whole(class), specific(&self.allow), specific(&self.deny)) {
            (true, _, false) => Access::All,
            (true, _, true) | (false, true, _) => Access::Some,
            (false, false, _) => Access::None,
        }
    }

    fn whole(&self, class: Class) -> bool {
        let bare = |grants: &[Grant], wanted: Option<Class>| {
            grants.iter().any(|grant| grant.class == wanted && grant.what == What::Everything)
        };
        let listed = self.allow.iter().any(|grant| grant.class == Some(class) && grant.what != What::Everything);
        !bare(&self.deny, Some(class)) && (bare(&self.allow, Some(class)) || (!bare(&self.deny, None) && !listed))
    }

    fn decide(&self, class: Class, matches: impl Fn(&What) -> bool) -> bool {
        let specific = |grants: &[Grant]| {
            grants
                .iter()
                .any(|grant| grant.class == Some(class) && grant.what != What::Everything && matches(&grant.what))
        };
        !specific(&self.deny) && (specific(&self.allow) || self.whole(class))
    }

    /// Whether the guest may see an environment variable.
    pub fn env(&self, name: &str) -> bool {
        self.decide(Class::Env, |what| match what {
            What::Env(pattern) => match pattern.strip_suffix('*') {
                Some(prefix) => name.starts_with(prefix),
                None => pattern == name,
            },
            _ => false,
        })
    }

    /// Whether the guest may listen on a port; 0 is a port that the kernel chooses.
    pub fn listen(&self, port: u16) -> bool {
        self.decide(Class::Listen, |what| *what == What::Port(port))
    }

    /// Whether names may be looked up. A guest that may reach hosts by name may look up those names.
    pub fn dns(&self, name: &str) -> bool {
        self.whole(Class::Dns)
            || [Class::Net, Class::Http].into_iter().any(|class| {
                self.allow.iter().any(|grant| {
                    grant.class == Some(class)
                        && matches!(&grant.what, What::Host { host, .. } if host_matches(host, name))
                })
            })
    }

    /// Whether the guest may send an HTTP request to a host.
    pub fn http(&self, host: &str, port: u16) -> bool {
        self.decide(Class::Http, |what| match what {
            What::Host { host: pattern, port: wanted } => {
                wanted.is_none_or(|wanted| wanted == port) && host_matches(pattern, host)
            }
            _ => false,
        })
    }

    /// Whether the guest may reach an address. `names` says which of the named hosts of the grants have that address:
    /// see [`Grants::named_hosts`].
    pub fn net(&self, address: IpAddr, port: u16, names: &[&str]) -> bool {
        let text = address.to_string();
        self.decide(Class::Net, |what| match what {
            What::Host { host, port: wanted } => {
                wanted.is_none_or(|wanted| wanted == port)
                    && (host_matches(host, &text) || names.iter().any(|name| host_matches(host, name)))
            }
            _ => false,
        })
    }

    /// The hosts in grants of `net` that are names and therefore have to be looked up to compare addresses.
    pub fn named_hosts(&self) -> impl Iterator<Item = NamedHost<'_>> {
        self.allow.iter().chain(&self.deny).filter_map(|grant| match (&grant.class, &grant.what) {
            (Some(Class::Net), What::Host { host, port })
                if host.parse::<IpAddr>().is_err() && !host.contains(['*', '/']) =>
            {
                Some(NamedHost { name: host, port: *port })
            }
            _ => None,
        })
    }

    /// The directories that the guest gets, each with whether it is read-only; a path of the container stands for itself.
    pub fn directories(&self) -> Vec<(String, bool)> {
        if self.whole(Class::Dir) {
            // What is denied within a directory that is given as a whole cannot be taken out of it; the whole goes.
            let denied = self.deny.iter().any(|grant| matches!(grant.what, What::Dir { .. }));
            return if denied { Vec::new() } else { vec![("/".to_owned(), false)] };
        }
        let mut directories: Vec<(String, bool)> = Vec::new();
        for grant in self.allow.iter().filter(|grant| grant.class == Some(Class::Dir)) {
            if let What::Dir { path, read_only } = &grant.what
                && !self.deny.iter().any(|deny| matches!(&deny.what, What::Dir { path: denied, .. } if denied == path))
                && !directories.iter().any(|(known, _)| known == path)
            {
                directories.push((path.clone(), *read_only));
            }
        }
        directories
    }
}

/// How much of a class is allowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// All of it.
    All,
    /// Some of it.
    Some,
    /// Nothing.
    None,
}

fn host_matches(pattern: &str, host: &str) -> bool {
    let host = host.trim_end_matches('.').to_ascii_lowercase();
    if pattern == "*" || pattern == host {
        return true;
    }
    if let Some(domain) = pattern.strip_prefix("*.") {
        return host.strip_suffix(domain).is_some_and(|rest| rest.ends_with('.') && rest.len() > 1);
    }
    let Some((network, length)) = pattern.split_once('/') else { return false };
    match (network.parse(), host.parse(), length.parse::<u32>()) {
        (Ok(IpAddr::V4(network)), Ok(IpAddr::V4(address)), Ok(length @ 0..=32)) => {
            let shift = 32 - length;
            u32::from(network).checked_shr(shift) == u32::from(address).checked_shr(shift)
        }
        (Ok(IpAddr::V6(network)), Ok(IpAddr::V6(address)), Ok(length @ 0..=128)) => {
            let shift = 128 - length;
            u128::from(network).checked_shr(shift) == u128::from(address).checked_shr(shift)
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grants(allow: &str, deny: &str) -> Grants {
        Grants::parse(allow, deny).expect("grants")
    }

    #[test]
    fn words() {
        for text in [
            "all",
            "dir",
            "dir=/data",
            "dir=/data:ro",
            "env=A*",
            "net=db:3306",
            "net=[::1]:80",
            "net=10.0.0.0/8",
            "listen=80",
            "dns",
            "http=*.example.com",
        ] {
            assert_eq!(text.parse::<Grant>().expect(text).to_string(), text);
        }
        for text in [
            "",
            "disk",
            "all=1",
            "dir=",
            "dir=data",
            "dir=/a/../b",
            "listen=70000",
            "dns=x",
            "net=a b",
            "net=1.2.3.4/33",
        ] {
            assert!(text.parse::<Grant>().is_err(), "{text}");
        }
    }

    #[test]
    fn nothing_said_is_everything() {
        let all = Grants::default();
        assert!(all.is_everything() && all.env("A") && all.listen(1) && all.dns("x") && all.http("x", 80));
        assert!(all.net("10.0.0.1".parse().expect("an address"), 1, &[]));
        assert_eq!(all.directories(), [("/".to_owned(), false)]);
    }

    #[test]
    fn the_more_specific_wins() {
        let one = grants("net=db:3306", "net");
        let address = "10.0.0.7".parse().expect("an address");
        assert!(one.net(address, 3306, &["db"]) && !one.net(address, 3307, &["db"]) && !one.net(address, 3306, &[]));
        assert_eq!(one.named_hosts().map(|host| host.name).collect::<Vec<_>>(), ["db"]);
        let none = grants("", "all");
        assert!(!none.env("A") && !none.listen(80) && !none.dns("db") && !none.http("db", 80));
        assert!(none.directories().is_empty() && none.class(Class::Net) == Access::None);
        let some = grants("env=PUBLIC_*, dir=/data:ro, http=*.example.com", "env=PUBLIC_KEY");
        assert!(some.env("PUBLIC_NAME") && !some.env("PUBLIC_KEY") && !some.env("HOME"));
        assert_eq!(some.directories(), [("/data".to_owned(), true)]);
        assert!(some.http("a.example.com", 443) && !some.http("example.com", 443) && !some.http("aexample.com", 80));
        assert!(
            grants("net=10.0.0.0/8", "").net(address, 1, &[]) && !grants("net=11.0.0.0/8", "").net(address, 1, &[])
        );
        assert!(grants("net=0.0.0.0/0", "net=10.0.0.7").net("9.9.9.9".parse().expect("one"), 1, &[]));
        assert!(!grants("net=0.0.0.0/0", "net=10.0.0.7").net(address, 1, &[]));
        assert!(grants("all", "").is_everything());
    }
}
