//! Putting containers on networks and taking them off.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::PathBuf;
use std::sync::{Arc, PoisonError};

use drua_net::dns::DnsSockets;
use drua_net::{EndpointConfig, HostPorts, MacAddress, PortRequest, PublishedPort, Unplug};
use drua_types::{ContainerId, ErrorKind, NetworkId, error_chain};
use ipnet::IpNet;

use super::{Attached, Endpoint, EndpointRequest, Ipv6Endpoint, Network, Networks, PREDEFINED, Published, failed};
use crate::config::EngineConfig;
use crate::container::{Container, NetworkMode};
use crate::{Error, Result};

impl Networks {
    /// Makes a container's network namespace and puts it on its networks. Undoes everything on failure. Blocking.
    pub(crate) fn attach(&self, config: &EngineConfig, container: &Container) -> Result<Attached> {
        match container.host.network_mode {
            NetworkMode::Host | NetworkMode::Container(_) => return Ok(Attached::default()),
            NetworkMode::None | NetworkMode::Default | NetworkMode::Named(_) => {}
        }
        let _networks_stay = self.attaching.read().unwrap_or_else(PoisonError::into_inner);
        let plan = self.plan(container)?;
        let netns = config.netns(&container.id);
        if drua_net::netns::is_pinned(&netns) || netns.exists() {
            drua_net::netns::remove(&netns).map_err(|error| network_error(&error))?;
        }
        drua_net::netns::create(&netns).map_err(failed)?;
        let mut attached = Attached::default();
        match self.attach_all(container, &netns, plan, &mut attached) {
            Ok(()) => Ok(attached),
            Err(error) => {
                let mut partial = container.clone();
                partial.endpoints = attached.endpoints;
                partial.published = attached.published;
                self.detach(config, &partial);
                Err(error)
            }
        }
    }

    /// The container's networks, the primary one first, which becomes eth0.
    fn plan(&self, container: &Container) -> Result<Vec<(Arc<Network>, EndpointRequest)>> {
        let mut plan = Vec::new();
        for (name, request) in &container.requests {
            let network = match &request.network {
                Some(id) => self.get(id).or_else(|_| self.find(name)),
                None => self.find(name),
            };
            plan.push((network?, request.clone()));
        }
        let primary = match &container.host.network_mode {
            NetworkMode::Named(name) => name.as_str(),
            _ => PREDEFINED[0],
        };
        plan.sort_by_key(|(network, _)| network.name.as_str() != primary && network.id.as_str() != primary);
        Ok(plan)
    }

    fn attach_all(
        &self,
        container: &Container,
        netns: &std::path::Path,
        plan: Vec<(Arc<Network>, EndpointRequest)>,
        attached: &mut Attached,
    ) -> Result<()> {
        // The first network with a way out, of those with the highest priority, carries the default route and the
        // published ports.
        let outward = plan.iter().enumerate().filter(|(_, (network, _))| !network.internal);
        let way_out = outward.rev().max_by_key(|(_, (_, request))| request.gw_priority).map(|(index, _)| index);
        let ports = match way_out.and_then(|index| plan.get(index)) {
            Some((network, _)) => self.lease_ports(container, network.ipv6)?,
            None => Vec::new(),
        };
        let published = |port: &PublishedPort| Published {
            port: port.container_port,
            host_ip: port.host_ip,
            host_port: port.host_port,
        };
        attached.published = ports.iter().map(published).collect();
        let mut resolves = false;
        for (index, (network, request)) in plan.iter().enumerate() {
            let default_route = Some(index) == way_out;
            let endpoint = self.allocate(container, network, request, index, default_route)?;
            attached.endpoints.insert(network.name.to_string(), endpoint.clone());
            let publish = if default_route { ports.clone() } else { Vec::new() };
            self.host.attach(&kernel_endpoint(container, netns, &endpoint, publish)?).map_err(failed)?;
            resolves |= network.name.as_str() != PREDEFINED[0];
        }
        self.set_live(container, attached.endpoints.values().cloned().collect());
        if resolves {
            self.serve_names(container, netns)?;
        }
        Ok(())
    }

    /// Takes the host's ports that a container asks for. Where it has IPv6, those at no address in particular are taken at
    /// `::`, too, with the same numbers.
    fn lease_ports(&self, container: &Container, ipv6: bool) -> Result<Vec<PublishedPort>> {
        let requests = port_requests(container);
        let mut ports = self.host.lease_ports(&container.id, &requests).map_err(failed)?;
        if ipv6 {
            let everywhere = ports.iter().filter(|port| port.host_ip == IpAddr::V4(Ipv4Addr::UNSPECIFIED));
            let twins = everywhere.map(|port| PortRequest {
                host_ip: Ipv6Addr::UNSPECIFIED.into(),
                host_ports: HostPorts::OneOf(port.host_port..=port.host_port),
                container_port: port.container_port,
            });
            let twins = self.host.lease_ports(&container.id, &twins.collect::<Vec<_>>());
            ports.extend(twins.inspect_err(|_| self.host.release_ports(&ports)).map_err(failed)?);
        }
        Ok(ports)
    }

    pub(super) fn serve_names(&self, container: &Container, netns: &std::path::Path) -> Result<()> {
        let mut sockets = DnsSockets::bind(netns).map_err(failed)?;
        if !container.host.dns.is_empty() {
            sockets = sockets.asking(&container.host.dns);
        }
        self.dns.serve(&container.id, sockets).map_err(Error::io("serve names in", netns))
    }

    fn allocate(
        &self,
        container: &Container,
        network: &Network,
        request: &EndpointRequest,
        index: usize,
        default_route: bool,
    ) -> Result<Endpoint> {
        let invalid = |error: drua_net::InvalidMacAddress| Error::Invalid(error.to_string());
        let mac: Option<MacAddress> = request.mac.as_deref().map(str::parse).transpose().map_err(invalid)?;
        let wanted: Vec<IpAddr> =
            request.ipv4.map(IpAddr::V4).into_iter().chain(request.ipv6.map(IpAddr::V6)).collect();
        let addresses = crate::lock(&self.ipam).allocate(&network.id, &wanted).map_err(failed)?;
        let [IpNet::V4(ipv4), ipv6 @ ..] = addresses.as_slice() else {
            return Err(Error::Unsupported("a network without IPv4".to_owned()));
        };
        let gateways = || network.subnets.iter().map(|(_, gateway)| *gateway).filter(|_| !network.internal);
        let ipv6 = ipv6.iter().find_map(|net| match net {
            IpNet::V6(net) => Some(Ipv6Endpoint {
                address: net.addr(),
                prefix_len: net.prefix_len(),
                gateway: gateways().find_map(|gateway| match gateway {
                    IpAddr::V6(gateway) => Some(gateway),
                    IpAddr::V4(_) => None,
                }),
            }),
            IpNet::V4(_) => None,
        });
        let mut dns_names = vec![container.name.to_string()];
        dns_names.extend(request.aliases.iter().cloned());
        dns_names.push(container.id.short().to_owned());
        let mut seen = std::collections::BTreeSet::new();
        dns_names.retain(|name| seen.insert(name.clone()));
        Ok(Endpoint {
            id: ContainerId::random().to_string(),
            network: network.id.clone(),
            ifname: request.ifname.clone().unwrap_or_else(|| format!("eth{index}")),
            address: ipv4.addr().into(),
            prefix_len: ipv4.prefix_len(),
            gateway: gateways().find(IpAddr::is_ipv4),
            ipv6,
            mac: mac.unwrap_or_else(|| MacAddress::for_ipv4(ipv4.addr())).to_string(),
            dns_names,
            default_route,
        })
    }

    /// Takes a container off all its networks and forgets its namespace. Goes on after failures and logs them. Blocking.
    pub(crate) fn detach(&self, config: &EngineConfig, container: &Container) {
        if matches!(container.host.network_mode, NetworkMode::Host | NetworkMode::Container(_)) {
            return;
        }
        let netns = config.netns(&container.id);
        self.dns.stop(&container.id);
        self.set_live(container, Vec::new());
        let mut released = Vec::new();
        for endpoint in container.endpoints.values() {
            self.take_off(container, &netns, endpoint, Unplug::Lazily);
            released.push(endpoint);
        }
        self.host.release_ports_of(&container.id);
        if netns.exists()
            && let Err(error) = drua_net::netns::remove(&netns)
        {
            tracing::warn!(container.id = %container.id, error = error_chain(&error), "network namespace left behind");
        }
        released.into_iter().for_each(|endpoint| self.release(endpoint));
    }

    fn release(&self, endpoint: &Endpoint) {
        let mut ipam = crate::lock(&self.ipam);
        endpoint.addresses().into_iter().for_each(|address| ipam.release(&endpoint.network, address));
    }

    fn take_off(&self, container: &Container, netns: &std::path::Path, endpoint: &Endpoint, how: Unplug) {
        let ports = container.published.iter().map(kernel_port).filter(|_| endpoint.default_route).collect();
        let failures = match kernel_endpoint(container, netns, endpoint, ports) {
            Ok(config) => self.host.detach(&config, how),
            Err(error) => return tracing::error!(container.id = %container.id, %error, "endpoint left behind"),
        };
        for error in failures {
            tracing::warn!(container.id = %container.id, error = error_chain(&error), "endpoint not fully removed");
        }
    }

    /// Puts a running container on one more network. Blocking.
    pub(crate) fn connect(
        &self,
        config: &EngineConfig,
        container: &Container,
        network: &NetworkId,
        request: &EndpointRequest,
    ) -> Result<Endpoint> {
        let _networks_stay = self.attaching.read().unwrap_or_else(PoisonError::into_inner);
        let network = self.get(network)?;
        if network.driver != "bridge"
            || !matches!(container.host.network_mode, NetworkMode::Default | NetworkMode::Named(_))
        {
            return Err(Error::Denied(
                "container sharing or without a network namespace cannot be connected to a network".to_owned(),
            ));
        }
        let netns = config.netns(&container.id);
        let used: Vec<&str> = container.endpoints.values().map(|endpoint| endpoint.ifname.as_str()).collect();
        let index = (0..).find(|index| !used.contains(&format!("eth{index}").as_str())).unwrap_or(0);
        let way_out = container.endpoints.iter().find(|(_, endpoint)| endpoint.default_route);
        let priority = |name: &String| container.requests.get(name).map_or(0, |request| request.gw_priority);
        if let Some((name, _)) = way_out
            && request.gw_priority > priority(name)
            && !network.internal
        {
            let message = format!(
                "the default route of a container that runs stays with {name}: stop the container to connect {} with a higher gateway priority",
                network.name
            );
            return Err(Error::Conflict(message));
        }
        let has_route = way_out.is_some();
        let default_route = !has_route && !network.internal;
        let endpoint = self.allocate(container, &network, request, index, default_route)?;
        let attached = kernel_endpoint(container, &netns, &endpoint, Vec::new())
            .and_then(|config| self.host.attach(&config).map_err(failed));
        if let Err(error) = attached {
            self.release(&endpoint);
            return Err(error);
        }
        let mut endpoints: Vec<Endpoint> = container.endpoints.values().cloned().collect();
        let resolves = container.endpoints.keys().any(|name| name != PREDEFINED[0]);
        endpoints.push(endpoint.clone());
        self.set_live(container, endpoints);
        if !resolves && network.name.as_str() != PREDEFINED[0] {
            self.serve_names(container, &netns)?;
        }
        Ok(endpoint)
    }

    /// Takes a running container off one network. Blocking.
    pub(crate) fn disconnect(&self, config: &EngineConfig, container: &Container, endpoint: &Endpoint) -> Result<()> {
        self.take_off(container, &config.netns(&container.id), endpoint, Unplug::Now);
        self.release(endpoint);
        let left: Vec<Endpoint> = container.endpoints.values().filter(|other| *other != endpoint).cloned().collect();
        self.set_live(container, left);
        Ok(())
    }

    /// Gives the resolver a container's new name.
    pub(crate) fn rename(&self, container: &Container) {
        self.set_live(container, container.endpoints.values().cloned().collect());
    }

    /// The host's address on the network that carries the container's default route.
    pub(crate) fn gateway(&self, container: &Container) -> Option<IpAddr> {
        container.endpoints.values().find(|endpoint| endpoint.default_route).and_then(|endpoint| endpoint.gateway)
    }
}

fn network_error(error: &(dyn std::error::Error + 'static)) -> Error {
    Error::Network { kind: ErrorKind::Internal, message: error_chain(error) }
}

pub(super) fn kernel_port(port: &Published) -> PublishedPort {
    PublishedPort { host_ip: port.host_ip, host_port: port.host_port, container_port: port.port }
}

pub(super) fn kernel_endpoint(
    container: &Container,
    netns: &std::path::Path,
    endpoint: &Endpoint,
    publish: Vec<PublishedPort>,
) -> Result<EndpointConfig> {
    let net = |address, prefix_len| {
        IpNet::new(address, prefix_len).map_err(|_| Error::Invalid(format!("invalid address {address}/{prefix_len}")))
    };
    let ipv6 = endpoint.ipv6.map(|ipv6| net(ipv6.address.into(), ipv6.prefix_len)).transpose()?;
    let addresses = [net(endpoint.address, endpoint.prefix_len)?].into_iter().chain(ipv6).collect();
    Ok(EndpointConfig {
        network: endpoint.network.clone(),
        container: container.id.clone(),
        netns: PathBuf::from(netns),
        ifname: endpoint
            .ifname
            .parse()
            .map_err(|error: drua_net::InvalidInterfaceName| Error::Invalid(error.to_string()))?,
        mac: endpoint.mac.parse().map_err(|error: drua_net::InvalidMacAddress| Error::Invalid(error.to_string()))?,
        addresses,
        default_route: endpoint.default_route,
        publish,
    })
}

/// The ports to take: those asked for, and with `-P` every exposed one that is not among them.
fn port_requests(container: &Container) -> Vec<PortRequest> {
    let any = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
    let asked = container.host.publish.iter().map(|request| PortRequest {
        host_ip: request.host_ip.unwrap_or(any),
        host_ports: match request.host_ports {
            (0, _) => HostPorts::Ephemeral,
            (first, last) => HostPorts::OneOf(first..=last),
        },
        container_port: request.port,
    });
    let mut requests: Vec<PortRequest> = asked.collect();
    if container.host.publish_all {
        for port in &container.config.exposed_ports {
            if !requests.iter().any(|request| request.container_port == *port) {
                let host_ports = HostPorts::Ephemeral;
                requests.push(PortRequest { host_ip: any, host_ports, container_port: *port });
            }
        }
    }
    requests
}
