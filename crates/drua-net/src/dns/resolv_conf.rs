//! resolv.conf(5) of the host: which name servers there are, for the embedded server and for containers without it.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

pub(super) const PORT: u16 = 53;
const HOST: &str = "/etc/resolv.conf";
/// Where systemd-resolved writes the servers that it uses itself.
const SYSTEMD: &str = "/run/systemd/resolve/resolv.conf";
/// Docker's, for containers of a host that knows none but its own loopback.
const PUBLIC: [IpAddr; 2] = [IpAddr::V4(Ipv4Addr::new(8, 8, 8, 8)), IpAddr::V4(Ipv4Addr::new(8, 8, 4, 4))];

/// How the host resolves names.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HostResolver {
    /// The name servers that another network namespace can ask: the host's that are not on its loopback, else those that
    /// its systemd-resolved asks. May be empty.
    pub reachable: Vec<IpAddr>,
    /// The name servers as the host's programs use them.
    pub nameservers: Vec<IpAddr>,
    /// Search domains, without the `.` that means none.
    pub search: Vec<String>,
    /// Options.
    pub options: Vec<String>,
}

/// Reads the host's configuration as it is now.
pub fn host_resolver() -> HostResolver {
    let read = |path| fs_err::read_to_string(path).unwrap_or_default();
    HostResolver::parse(&read(HOST), &read(SYSTEMD))
}

impl HostResolver {
    pub(super) fn parse(host: &str, systemd: &str) -> Self {
        let outside = |text| nameservers(text).filter(|ip| !ip.is_loopback()).collect::<Vec<_>>();
        let reachable = [outside(host), outside(systemd)].into_iter().find(|servers| !servers.is_empty());
        // The last `search` or `domain` line counts.
        let search = directives(host).filter(|(key, _)| matches!(*key, "search" | "domain")).last();
        let words = |text: &str| text.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
        let mut search = search.map(|(_, domains)| words(domains)).unwrap_or_default();
        search.retain(|domain| domain != ".");
        Self {
            reachable: reachable.unwrap_or_default(),
            nameservers: nameservers(host).collect(),
            search,
            options: directives(host)
                .filter(|(key, _)| *key == "options")
                .flat_map(|(_, value)| words(value))
                .collect(),
        }
    }

    /// The name servers to which the daemon sends unknown names.
    ///
    /// A resolver on the host's loopback is asked only where nothing else is known: it would answer from the host's view,
    /// but the daemon lives there and can ask it.
    pub fn upstreams(&self) -> Vec<SocketAddr> {
        let chosen = if self.reachable.is_empty() { &self.nameservers } else { &self.reachable };
        chosen.iter().map(|&ip| SocketAddr::new(ip, PORT)).collect()
    }

    /// The name servers for a container that asks them itself, from a network namespace of its own.
    pub fn for_container(&self) -> Vec<IpAddr> {
        if self.reachable.is_empty() { PUBLIC.to_vec() } else { self.reachable.clone() }
    }
}

fn nameservers(text: &str) -> impl Iterator<Item = IpAddr> {
    directives(text).filter(|(key, _)| *key == "nameserver").filter_map(|(_, value)| value.parse().ok())
}

fn directives(text: &str) -> impl Iterator<Item = (&str, &str)> {
    text.lines()
        .map(|line| line.split(['#', ';']).next().unwrap_or_default().trim())
        .filter_map(|line| line.split_once(char::is_whitespace))
        .map(|(key, value)| (key, value.trim()))
}
