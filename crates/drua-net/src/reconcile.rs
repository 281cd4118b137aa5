//! What to change at the daemon's start so that the kernel has what it should: a pure comparison.
//!
//! The kernel is the truth; nothing is remembered across restarts but what the caller says should exist. Whatever is right
//! already is left alone, since containers are running on it.

use std::collections::BTreeSet;

use drua_types::{ContainerId, NetworkId};

use crate::NetError;
use crate::config::{EndpointConfig, NetworkConfig};
use crate::names;
use crate::netlink::Link;
use crate::reaper::Doomed;

/// What a [`Problem`] is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Subject {
    /// The host as a whole: the firewall, left-over interfaces.
    Host,
    /// One network.
    Network(NetworkId),
    /// One container's place in a network.
    Endpoint {
        /// The container.
        container: ContainerId,
        /// The network.
        network: NetworkId,
    },
}

/// Something that could not be put right.
#[derive(Debug)]
pub struct Problem {
    /// What it is about.
    pub subject: Subject,
    /// What went wrong.
    pub error: NetError,
}

/// One step; the order of the list is the order to apply them in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Step<'a> {
    /// Delete interfaces of ours that nobody wants.
    Delete(Vec<Doomed>),
    /// Make sure that the bridge is there and configured.
    Ensure(&'a NetworkConfig),
    /// The pair is there but not on the bridge.
    Replug(&'a EndpointConfig),
    /// The pair is missing.
    Plug(&'a EndpointConfig),
}

/// Compares what should be with what is.
pub(crate) fn plan<'a>(
    instance: &str,
    prefix: &str,
    networks: &'a [NetworkConfig],
    endpoints: &'a [EndpointConfig],
    links: &[Link],
) -> Vec<Step<'a>> {
    let marked = |mark: &str, name: &str| links.iter().find(|link| link.alias == mark && link.name == name);
    let mut wanted = BTreeSet::new();
    let mut steps = Vec::new();
    for network in networks {
        wanted.insert(network.bridge.to_string());
        steps.push(Step::Ensure(network));
    }
    for endpoint in endpoints {
        let name = names::veth(prefix, &endpoint.container, &endpoint.network).to_string();
        let mark = names::veth_mark(instance, &endpoint.container, &endpoint.network);
        let bridge = networks
            .iter()
            .find(|network| network.id == endpoint.network)
            .and_then(|network| links.iter().find(|link| link.name == network.bridge.as_str()));
        match marked(&mark, &name) {
            Some(link) if link.up && bridge.is_some_and(|bridge| link.master == Some(bridge.index)) => {}
            Some(_) => steps.push(Step::Replug(endpoint)),
            None => steps.push(Step::Plug(endpoint)),
        }
        wanted.insert(name);
    }
    let ours = names::mark_prefix(instance);
    let doomed: Vec<Doomed> = links
        .iter()
        .filter(|link| link.alias.starts_with(&ours) && !wanted.contains(&link.name))
        .map(|link| Doomed { name: link.name.clone(), index: link.index })
        .collect();
    if !doomed.is_empty() {
        steps.insert(0, Step::Delete(doomed));
    }
    steps
}
