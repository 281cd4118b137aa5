//! Who has which name, and who may see it.

use std::collections::HashMap;
use std::net::IpAddr;

use drua_types::{ContainerId, NetworkId, NetworkName};

/// A snapshot of all names: a container sees those of its own networks.
#[derive(Debug, Clone, Default)]
pub struct Zone {
    networks: HashMap<NetworkId, Names>,
    containers: HashMap<ContainerId, View>,
}

/// The names of one network, in lower case.
#[derive(Debug, Clone, Default)]
struct Names {
    network_name: String,
    addresses: HashMap<String, Vec<IpAddr>>,
    pointers: HashMap<IpAddr, String>,
}

#[derive(Debug, Clone, Default)]
struct View {
    networks: Vec<NetworkId>,
    forwards: bool,
}

/// A container's place in a network, as names see it.
#[derive(Debug, Clone, Copy)]
pub struct ZoneEndpoint<'a> {
    /// The container.
    pub container: &'a ContainerId,
    /// The network; it must have been added before.
    pub network: &'a NetworkId,
    /// Its addresses there.
    pub addresses: &'a [IpAddr],
    /// Its name, which is also what an address is looked up to.
    pub name: &'a str,
    /// Its other names. The short id is added by itself.
    pub aliases: &'a [String],
    /// Whether the network is internal. A container with nothing but such networks asks nobody outside.
    pub internal: bool,
}

impl Zone {
    /// Adds a network without names.
    pub fn add_network(&mut self, id: &NetworkId, name: &NetworkName) {
        let names = Names { network_name: name.as_str().to_ascii_lowercase(), ..Names::default() };
        self.networks.insert(id.clone(), names);
    }

    /// Adds a container's names in a network, and the network to what the container sees.
    pub fn add_endpoint(&mut self, endpoint: &ZoneEndpoint<'_>) {
        let Some(names) = self.networks.get_mut(endpoint.network) else { return };
        let view = self.containers.entry(endpoint.container.clone()).or_default();
        view.networks.push(endpoint.network.clone());
        view.forwards |= !endpoint.internal;

        let aliases = endpoint.aliases.iter().map(String::as_str);
        for name in aliases.chain([endpoint.name, endpoint.container.short()]) {
            let known = names.addresses.entry(name.to_ascii_lowercase()).or_default();
            for address in endpoint.addresses {
                if !known.contains(address) {
                    known.push(*address);
                }
            }
        }
        let pointer = format!("{}.{}", endpoint.name.to_ascii_lowercase(), names.network_name);
        names.pointers.extend(endpoint.addresses.iter().map(|address| (*address, pointer.clone())));
    }

    /// The addresses that a container finds under a name, or under `<name>.<network>`; in lower case, without a final dot.
    pub(super) fn addresses(&self, container: &ContainerId, name: &str) -> Option<&[IpAddr]> {
        let qualified = name.rsplit_once('.');
        self.visible(container).find_map(|names| {
            let found = names.addresses.get(name).or_else(|| {
                let (name, _) = qualified.filter(|(_, network)| *network == names.network_name)?;
                names.addresses.get(name)
            });
            found.map(Vec::as_slice)
        })
    }

    /// The name that a container finds under an address.
    pub(super) fn pointer(&self, container: &ContainerId, address: IpAddr) -> Option<&str> {
        self.visible(container).find_map(|names| names.pointers.get(&address)).map(String::as_str)
    }

    /// Whether a container's questions about unknown names may leave the host.
    pub(super) fn forwards(&self, container: &ContainerId) -> bool {
        self.containers.get(container).is_some_and(|view| view.forwards)
    }

    fn visible(&self, container: &ContainerId) -> impl Iterator<Item = &Names> {
        let networks = self.containers.get(container).map(|view| view.networks.as_slice()).unwrap_or_default();
        networks.iter().filter_map(|network| self.networks.get(network))
    }
}
