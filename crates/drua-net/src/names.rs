//! Names of interfaces on the host, and the marks by which we know our own.
//!
//! Names are derived from ids, so that a later daemon finds what an earlier one made without any record of it. The mark is
//! the interface's alias (`ip link` shows it): several daemons share a host, and none touches what it did not mark.

use drua_types::{ContainerId, NetworkId};

use crate::config::InterfaceName;

/// The default network's bridge for an instance with this prefix: `drua0`.
pub(crate) fn default_bridge(prefix: &str) -> InterfaceName {
    cut(&format!("{prefix}drua0"))
}

/// A user network's bridge: `br-` and 12 hexadecimal digits of the id.
pub(crate) fn bridge(prefix: &str, network: &NetworkId) -> InterfaceName {
    cut(&format!("{prefix}br-{}", network.short()))
}

/// The host's end of an endpoint: `veth` and eight digits that mix both ids.
pub(crate) fn veth(prefix: &str, container: &ContainerId, network: &NetworkId) -> InterfaceName {
    let digits = |id: &str| u32::from_str_radix(&id[..8], 16).expect("ids are hexadecimal digits");
    cut(&format!("{prefix}veth{:08x}", digits(container.as_str()) ^ digits(network.as_str()).rotate_left(16)))
}

/// The mark of a bridge.
pub(crate) fn bridge_mark(instance: &str, network: &NetworkId) -> String {
    format!("{}network {}", mark_prefix(instance), network.short())
}

/// The mark of an endpoint's host end.
pub(crate) fn veth_mark(instance: &str, container: &ContainerId, network: &NetworkId) -> String {
    format!("{}endpoint {} {}", mark_prefix(instance), container.short(), network.short())
}

/// What all marks of an instance begin with.
pub(crate) fn mark_prefix(instance: &str) -> String {
    format!("drua:{instance} ")
}

fn cut(name: &str) -> InterfaceName {
    let name: String = name.chars().take(15).collect();
    name.parse().expect("prefixes are validated, the rest is ASCII letters, digits and dashes")
}
