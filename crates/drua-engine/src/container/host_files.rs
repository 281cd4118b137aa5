//! The files that the engine writes into every container: /etc/hostname, /etc/hosts and /etc/resolv.conf.
//!
//! They live in the container's directory and are bind-mounted, so that changes by the container stay its own.

use std::fmt::Write as _;
use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;

use drua_net::dns::{HostResolver, host_resolver};

use super::{Container, NetworkMode, links};
use crate::engine::Shared;
use crate::network::{Networks, PREDEFINED};
use crate::{Error, Result};

/// The names, in the container's directory and below `/etc` alike.
pub(super) const NAMES: [&str; 3] = ["hostname", "hosts", "resolv.conf"];
/// Where the embedded resolver listens in every container on a user network.
const EMBEDDED_DNS: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 11));

/// Writes the three files. Blocking.
pub(super) fn write(shared: &Shared, container: &Container) -> Result<()> {
    let (config, networks) = (&shared.config, &shared.networks);
    if matches!(container.host.network_mode, NetworkMode::Container(_)) {
        // It uses those of the container whose network it shares.
        return Ok(());
    }
    let dir = config.container_dir(&container.id);
    let [hostname, hosts, resolv_conf] = NAMES.map(|name| dir.join(name));
    let put = |path: &Path, text: &str| fs_err::write(path, text).map_err(Error::io("write", path));
    put(&hostname, &format!("{}\n", container.config.hostname))?;
    put(&hosts, &(hosts_text(container, networks) + &links_text(shared, container)?))?;
    put(&resolv_conf, &resolv_conf_text(container, &host_resolver()))
}

/// Writes the running container's /etc/resolv.conf anew: it is on its first network with names now. Blocking.
pub(super) fn rewrite_resolv_conf(shared: &Shared, container: &Container) -> Result<()> {
    let path = shared.config.container_dir(&container.id).join(NAMES[2]);
    // In place: the container sees this very file.
    fs_err::write(&path, resolv_conf_text(container, &host_resolver())).map_err(Error::io("write", &path))
}

fn hosts_text(container: &Container, networks: &Networks) -> String {
    if container.host.network_mode == NetworkMode::Host {
        return std::fs::read_to_string("/etc/hosts").unwrap_or_default();
    }
    let mut text = String::from(
        "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\nfe00::\tip6-localnet\nff00::\tip6-mcastprefix\nff02::1\tip6-allnodes\nff02::2\tip6-allrouters\n",
    );
    for entry in &container.host.extra_hosts {
        let Some((name, address)) = entry.split_once([':', '=']) else { continue };
        let gateway = || networks.gateway(container).map(|gateway| gateway.to_string());
        let address = if address == "host-gateway" { gateway() } else { Some(address.to_owned()) };
        if let Some(address) = address {
            let _ = writeln!(text, "{address}\t{name}");
        }
    }
    let names = match container.config.domainname.as_str() {
        "" => container.config.hostname.clone(),
        domain => format!("{0}.{domain} {0}", container.config.hostname),
    };
    for endpoint in container.endpoints.values() {
        for address in endpoint.addresses() {
            let _ = writeln!(text, "{address}\t{names}");
        }
    }
    text
}

/// Lines for linked containers.
fn links_text(shared: &Shared, container: &Container) -> Result<String> {
    let mut text = String::new();
    for link in links::of(shared, container)? {
        let (alias, other) = (&link.alias, &link.other);
        let _ = writeln!(text, "{}\t{alias} {} {}", link.address, other.id.short(), other.name);
    }
    Ok(text)
}

fn resolv_conf_text(container: &Container, resolver: &HostResolver) -> String {
    let host = &container.host;
    let on_user_network = container.endpoints.keys().any(|name| name != PREDEFINED[0]);
    let servers = match host.network_mode {
        // It asks in turn what `--dns` names, or else the host's.
        _ if on_user_network => vec![EMBEDDED_DNS],
        _ if !host.dns.is_empty() => host.dns.clone(),
        NetworkMode::Host => resolver.nameservers.clone(),
        NetworkMode::Default | NetworkMode::None | NetworkMode::Container(_) | NetworkMode::Named(_) => {
            resolver.for_container()
        }
    };
    let mut text = String::new();
    for server in servers {
        let _ = writeln!(text, "nameserver {server}");
    }
    let search = if host.dns_search.is_empty() { &resolver.search } else { &host.dns_search };
    if !search.is_empty() && *search != ["."] {
        let _ = writeln!(text, "search {}", search.join(" "));
    }
    let mut options = if host.dns_options.is_empty() { resolver.options.clone() } else { host.dns_options.clone() };
    if on_user_network && !options.iter().any(|option| option.starts_with("ndots:")) {
        options.push("ndots:0".to_owned());
    }
    if !options.is_empty() {
        let _ = writeln!(text, "options {}", options.join(" "));
    }
    text
}
