//! Where running containers are: for the resolver, and for the kernel after a restart.

use drua_net::dns::{Zone, ZoneEndpoint};
use drua_types::error_chain;

use super::endpoints::{kernel_endpoint, kernel_port};
use super::{Endpoint, Live, Networks, PREDEFINED};
use crate::Result;
use crate::config::EngineConfig;
use crate::container::Container;

impl Networks {
    /// Puts the kernel right after a restart: bridges, rules, and the endpoints of containers that still run. Blocking.
    pub(crate) fn restore<'a>(
        &self,
        config: &EngineConfig,
        containers: impl Iterator<Item = &'a Container>,
    ) -> Result<()> {
        let mut networks = Vec::new();
        for network in self.list() {
            networks.extend(self.kernel_config(&network)?);
        }
        let mut endpoints = Vec::new();
        for container in containers.filter(|container| !container.endpoints.is_empty()) {
            let netns = config.netns(&container.id);
            for endpoint in container.endpoints.values() {
                if let Err(error) = crate::lock(&self.ipam).allocate(&endpoint.network, &endpoint.addresses()) {
                    tracing::error!(container.id = %container.id, %error, "its address cannot be restored");
                }
                let ports = container.published.iter().map(kernel_port).filter(|_| endpoint.default_route).collect();
                endpoints.push(kernel_endpoint(container, &netns, endpoint, ports)?);
            }
            self.set_live(container, container.endpoints.values().cloned().collect());
            if container.endpoints.keys().any(|name| name != PREDEFINED[0])
                && let Err(error) = self.serve_names(container, &netns)
            {
                tracing::error!(container.id = %container.id, error = error_chain(&error), "it has no name service");
            }
        }
        for problem in self.host.reconcile(&networks, &endpoints) {
            tracing::error!(subject = ?problem.subject, error = error_chain(&problem.error), "not restored");
        }
        Ok(())
    }

    /// Tells the resolver where a container is now; no endpoints means that it is gone.
    pub(super) fn set_live(&self, container: &Container, endpoints: Vec<Endpoint>) {
        let mut live = crate::lock(&self.live);
        if endpoints.is_empty() {
            live.remove(&container.id);
        } else {
            live.insert(container.id.clone(), Live { name: container.name.to_string(), endpoints });
        }
        let networks = crate::lock(&self.networks);
        let mut zone = Zone::default();
        // The default bridge has no names, as in Docker.
        for network in networks.values().filter(|network| network.name.as_str() != PREDEFINED[0]) {
            zone.add_network(&network.id, &network.name);
        }
        for (id, container) in live.iter() {
            for endpoint in &container.endpoints {
                zone.add_endpoint(&ZoneEndpoint {
                    container: id,
                    network: &endpoint.network,
                    addresses: &endpoint.addresses(),
                    name: &container.name,
                    aliases: &endpoint.dns_names,
                    internal: networks.get(&endpoint.network).is_some_and(|network| network.internal),
                });
            }
        }
        self.dns.set_zone(zone);
    }
}
