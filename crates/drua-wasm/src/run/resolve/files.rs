//! The two files of a container that say how names become addresses: hosts(5) and resolv.conf(5).

use std::io::Read;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::Path;
use std::time::Duration;

use hickory_proto::rr::Name;
use rustix::fs::{Mode, OFlags};

/// More of either file is not read, in bytes.
const SIZE_LIMIT: u64 = 256 << 10;
const MAX_SERVERS: usize = 3;
const MAX_SEARCH: usize = 32;

/// Reads a file of the container, or nothing: a missing file is an empty one, and whatever is no regular file (a FIFO
/// would block us for ever) counts as missing.
pub(super) fn read(path: &Path) -> String {
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let Ok(fd) = rustix::fs::open(path, flags, Mode::empty()) else { return String::new() };
    let file = std::fs::File::from(fd);
    let mut bytes = Vec::new();
    if file.metadata().is_ok_and(|metadata| metadata.is_file()) {
        // What could be read before an error is still worth having.
        let _ = file.take(SIZE_LIMIT).read_to_end(&mut bytes);
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// hosts(5).
#[derive(Debug, Default)]
pub(super) struct Hosts {
    entries: Vec<(IpAddr, Vec<String>)>,
}

impl Hosts {
    pub(super) fn parse(text: &str) -> Self {
        let entries = lines(text).filter_map(|line| {
            let mut words = line.split_ascii_whitespace();
            let address = words.next()?.parse().ok()?;
            Some((address, words.map(str::to_owned).collect()))
        });
        Self { entries: entries.collect() }
    }

    /// Every address of a name, IPv4 first. `localhost` is always known (RFC 6761, 6.3).
    pub(super) fn addresses(&self, host: &str) -> Vec<IpAddr> {
        let host = host.strip_suffix('.').unwrap_or(host);
        let named = |names: &[String]| names.iter().any(|name| name.eq_ignore_ascii_case(host));
        let mut found: Vec<IpAddr> =
            self.entries.iter().filter(|(_, names)| named(names)).map(|(address, _)| *address).collect();
        if found.is_empty() && host.eq_ignore_ascii_case("localhost") {
            found = vec![Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()];
        }
        found.sort_by_key(IpAddr::is_ipv6);
        found
    }
}

/// resolv.conf(5).
#[derive(Debug, PartialEq, Eq)]
pub(super) struct ResolvConf {
    pub(super) servers: Vec<IpAddr>,
    search: Vec<Name>,
    ndots: u8,
    pub(super) timeout: Duration,
    pub(super) attempts: u32,
    pub(super) use_tcp: bool,
}

impl Default for ResolvConf {
    fn default() -> Self {
        let timeout = Duration::from_secs(5);
        Self { servers: Vec::new(), search: Vec::new(), ndots: 1, timeout, attempts: 2, use_tcp: false }
    }
}

impl ResolvConf {
    pub(super) fn parse(text: &str) -> Self {
        let mut config = Self::default();
        for line in lines(text) {
            let mut words = line.split_ascii_whitespace();
            match words.next() {
                Some("nameserver") => config.servers.extend(words.next().and_then(server)),
                // The last of these lines wins.
                Some("search" | "domain") => {
                    config.search =
                        words.take(MAX_SEARCH).filter_map(|word| Name::from_str_relaxed(word).ok()).collect();
                }
                Some("options") => words.for_each(|option| config.option(option)),
                _ => {}
            }
        }
        config.servers.truncate(MAX_SERVERS);
        if config.servers.is_empty() {
            config.servers.push(Ipv4Addr::LOCALHOST.into());
        }
        config
    }

    fn option(&mut self, option: &str) {
        // The bounds are the C library's.
        match option.split_once(':') {
            Some(("ndots", value)) => self.ndots = value.parse().unwrap_or(self.ndots).min(15),
            Some(("timeout", value)) => {
                self.timeout = value.parse().map_or(self.timeout, |secs: u64| Duration::from_secs(secs.clamp(1, 30)));
            }
            Some(("attempts", value)) => self.attempts = value.parse().unwrap_or(self.attempts).clamp(1, 5),
            _ => self.use_tcp |= option == "use-vc",
        }
    }

    /// The full names to ask for, in order.
    pub(super) fn candidates(&self, name: &Name) -> Vec<Name> {
        let mut absolute = name.clone();
        absolute.set_fqdn(true);
        if name.is_fqdn() {
            return vec![absolute];
        }
        let mut searched: Vec<Name> =
            self.search.iter().filter_map(|domain| name.clone().append_domain(domain).ok()).collect();
        let dots = name.num_labels().saturating_sub(1);
        if dots >= self.ndots {
            searched.insert(0, absolute);
        } else {
            searched.push(absolute);
        }
        searched
    }
}

/// An address, perhaps with a scope (`fe80::1%eth0`), which is left out: our sockets choose by route.
fn server(word: &str) -> Option<IpAddr> {
    word.split('%').next()?.parse().ok()
}

fn lines(text: &str) -> impl Iterator<Item = &str> {
    text.lines().map(|line| line.split(['#', ';']).next().unwrap_or_default().trim()).filter(|line| !line.is_empty())
}
