//! Networks as Docker lists and inspects them.

use std::sync::Arc;

use drua_engine::{Container, Network};
use ipnet::IpNet;
use serde_json::{Map, Value, json};

use super::time;

/// `GET /networks/{}`; the list has the same without containers.
pub(crate) fn network(network: &Network, containers: &[Arc<Container>]) -> Value {
    let on_it = containers.iter().filter_map(|container| {
        let endpoint = container.endpoints.get(network.name.as_str())?;
        let address = IpNet::new(endpoint.address, endpoint.prefix_len).ok()?;
        let entry = json!({
            "Name": container.name,
            "EndpointID": endpoint.id,
            "MacAddress": endpoint.mac,
            "IPv4Address": address.to_string(),
            "IPv6Address": endpoint.ipv6.map(|ipv6| format!("{}/{}", ipv6.address, ipv6.prefix_len)).unwrap_or_default(),
        });
        Some((container.id.to_string(), entry))
    });
    let config = network.subnets.iter().map(|(subnet, gateway)| {
        let mut entry = json!({ "Subnet": subnet.to_string(), "Gateway": gateway.to_string() });
        if let Some(range) = network.ip_range.filter(|range| subnet.contains(range)) {
            entry["IPRange"] = json!(range.to_string());
        }
        entry
    });
    let config: Vec<Value> = config.collect();
    json!({
        "Name": network.name,
        "Id": network.id,
        "Created": time(Some(network.created)),
        "Scope": "local",
        "Driver": network.driver,
        "EnableIPv4": true,
        "EnableIPv6": network.ipv6,
        "IPAM": { "Driver": "default", "Options": null, "Config": if config.is_empty() { Value::Null } else { json!(config) } },
        "Internal": network.internal,
        "Attachable": network.attachable,
        "Ingress": false,
        "ConfigFrom": { "Network": "" },
        "ConfigOnly": false,
        "Containers": on_it.collect::<Map<_, _>>(),
        "Options": network.options,
        "Labels": network.labels,
    })
}
