//! Legacy links: names for other containers, and on the default network variables that tell what they offer.

use std::net::IpAddr;
use std::sync::Arc;

use drua_types::{Port, Protocol};

use super::Container;
use crate::engine::Shared;
use crate::network::PREDEFINED;
use crate::{Error, Result};

/// A link to a container that runs.
#[derive(Debug)]
pub(super) struct Link {
    /// What the container calls it.
    pub(super) alias: String,
    /// The linked container.
    pub(super) other: Arc<Container>,
    /// Its address on the network of the link.
    pub(super) address: IpAddr,
    is_on_default: bool,
}

/// A container's links: `container[:alias]`, on the default network and on user networks.
///
/// # Errors
/// [`Error::NoSuchContainer`]; [`Error::Conflict`] when a linked container does not run there.
pub(super) fn of(shared: &Shared, container: &Container) -> Result<Vec<Link>> {
    let on_default = container.host.links.iter().map(|link| (PREDEFINED[0], link));
    let on_others = container
        .requests
        .iter()
        .flat_map(|(network, request)| request.links.iter().map(|link| (network.as_str(), link)));
    let resolve = |(network, link): (&str, &String)| {
        let (name, alias) = link.split_once(':').unwrap_or((link, link));
        let (name, alias) = (name.trim_start_matches('/'), alias.rsplit('/').next().unwrap_or(alias));
        let other = shared.registry.find(name)?.snapshot();
        let Some(endpoint) = other.endpoints.get(network).filter(|_| other.state.status.is_running()) else {
            let message =
                format!("Cannot link to a non running container: /{} AS /{}/{alias}", other.name, container.name);
            return Err(Error::Conflict(message));
        };
        let address = endpoint.address;
        Ok(Link { alias: alias.to_owned(), other, address, is_on_default: network == PREDEFINED[0] })
    };
    on_default.chain(on_others).map(resolve).collect()
}

/// The variables of links on the default network (moby `daemon/links`): the linked container's ports, name and environment.
pub(super) fn environment(shared: &Shared, container: &Container) -> Result<Vec<String>> {
    if container.host.links.is_empty() {
        return Ok(Vec::new());
    }
    let links = of(shared, container)?.into_iter().filter(|link| link.is_on_default);
    Ok(links.flat_map(|link| variables(&link, container.name.as_str())).collect())
}

fn variables(link: &Link, own_name: &str) -> Vec<String> {
    let alias = link.alias.replace('-', "_").to_uppercase();
    let mut ports: Vec<Port> = link.other.config.exposed_ports.iter().copied().collect();
    ports.sort_by_key(|port| (port.number, port.protocol != Protocol::Tcp, port.protocol));
    let ip = link.address;
    let url = |port: &Port| format!("{}://{ip}:{}", port.protocol, port.number);
    let key = |port: &Port| format!("{alias}_PORT_{}_{}", port.number, port.protocol.to_string().to_uppercase());
    let mut variables: Vec<String> =
        ports.first().map(|port| format!("{alias}_PORT={}", url(port))).into_iter().collect();
    for range in
        ports.chunk_by(|one, next| one.protocol == next.protocol && one.number.checked_add(1) == Some(next.number))
    {
        if let [first, .., last] = range {
            let key = key(first);
            variables.push(format!("{key}_START={}", url(first)));
            variables.push(format!("{key}_PORT_START={}", first.number));
            variables.push(format!("{key}_END={}", url(last)));
            variables.push(format!("{key}_PORT_END={}", last.number));
        }
        for port in range {
            let key = key(port);
            variables.push(format!("{key}={}", url(port)));
            variables.push(format!("{key}_ADDR={ip}"));
            variables.push(format!("{key}_PORT={}", port.number));
            variables.push(format!("{key}_PROTO={}", port.protocol));
        }
    }
    variables.push(format!("{alias}_NAME=/{own_name}/{}", link.alias));
    let theirs = link.other.config.env.iter().filter_map(|variable| variable.split_once('='));
    let theirs = theirs.filter(|(name, _)| !matches!(*name, "HOME" | "PATH"));
    variables.extend(theirs.map(|(name, value)| format!("{alias}_ENV_{name}={value}")));
    variables
}
