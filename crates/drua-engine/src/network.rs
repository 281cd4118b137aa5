//! Networks as clients know them: names, subnets, who is where. The kernel's side is `drua-net`'s.
//!
//! Addresses, ports and namespaces belong to running containers only; what a container asks of its networks is in its
//! record and becomes endpoints at each start.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use drua_net::dns::{DnsServer, DnsSockets, Zone, ZoneEndpoint, host_resolver};
use drua_net::{
    EndpointConfig, Family, Host, HostConfig, HostPorts, Ipam, MacAddress, NetworkConfig, Pool, PortRequest,
    PublishedPort, Subnet, SubnetRequest, Unplug,
};
use drua_types::{Classify, ContainerId, ErrorKind, NetworkId, NetworkName, Port, error_chain};
use ipnet::IpNet;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::config::EngineConfig;
use crate::container::{Container, NetworkMode};
use crate::db::{Db, Table};
use crate::engine::Engine;
use crate::events::Scope;
use crate::{Error, Result};

/// The networks that always exist, and the drivers behind them.
pub const PREDEFINED: [&str; 3] = ["bridge", "host", "none"];

/// Docker's driver options that we understand.
mod option {
    pub(super) const BRIDGE_NAME: &str = "com.docker.network.bridge.name";
    pub(super) const ICC: &str = "com.docker.network.bridge.enable_icc";
    pub(super) const MASQUERADE: &str = "com.docker.network.bridge.enable_ip_masquerade";
    pub(super) const MTU: &str = "com.docker.network.driver.mtu";
}

/// A network.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Network {
    /// Identity.
    pub id: NetworkId,
    /// Name, unique.
    pub name: NetworkName,
    /// `bridge`, `host` or `null`.
    pub driver: String,
    /// When it was made.
    pub created: Timestamp,
    /// Subnets with the host's address in each; none for `host` and `none`.
    pub subnets: Vec<(IpNet, IpAddr)>,
    /// Part of the subnet from which addresses are given out, as asked for.
    pub ip_range: Option<IpNet>,
    /// Whether its containers have IPv6 addresses besides the IPv4 ones.
    #[serde(default)]
    pub ipv6: bool,
    /// No way out and no way in.
    pub internal: bool,
    /// As asked for; of no effect without swarm.
    pub attachable: bool,
    /// Driver options, as given.
    pub options: BTreeMap<String, String>,
    /// Labels.
    pub labels: BTreeMap<String, String>,
}

/// What to create.
#[derive(Debug, Clone, Default)]
pub struct CreateNetwork {
    /// Its name.
    pub name: String,
    /// Driver; empty is `bridge`.
    pub driver: String,
    /// Subnets, with optional range and gateway; a family that none is of gets one from the pools.
    pub subnets: Vec<SubnetRequest>,
    /// Whether its containers have IPv6 addresses, too; without, IPv6 subnets are passed over, as by Docker.
    pub ipv6: bool,
    /// No way out and no way in.
    pub internal: bool,
    /// As asked for.
    pub attachable: bool,
    /// Driver options.
    pub options: BTreeMap<String, String>,
    /// Labels.
    pub labels: BTreeMap<String, String>,
}

/// What a container asks of a network.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct EndpointRequest {
    /// The network, as soon as it is known.
    pub network: Option<NetworkId>,
    /// Names besides the container's own.
    pub aliases: Vec<String>,
    /// A fixed IPv4 address.
    pub ipv4: Option<Ipv4Addr>,
    /// A fixed IPv6 address.
    pub ipv6: Option<Ipv6Addr>,
    /// A fixed hardware address.
    pub mac: Option<String>,
    /// Legacy links (`container:alias`).
    pub links: Vec<String>,
    /// The network with the highest one carries the default route.
    pub gw_priority: i64,
    /// Name of the interface in the container; `None` is `eth` and the next free number.
    pub ifname: Option<String>,
}

/// A running container's place in a network.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Endpoint {
    /// Identity, 64 hexadecimal digits.
    pub id: String,
    /// The network.
    pub network: NetworkId,
    /// The interface in the container.
    pub ifname: String,
    /// Its IPv4 address.
    pub address: IpAddr,
    /// Length of the subnet's prefix.
    pub prefix_len: u8,
    /// The way out, where there is one.
    pub gateway: Option<IpAddr>,
    /// What it has of IPv6.
    #[serde(default)]
    pub ipv6: Option<Ipv6Endpoint>,
    /// Hardware address.
    pub mac: String,
    /// Names by which others on the network find it.
    pub dns_names: Vec<String>,
    /// Whether it carries the default route, and with it the published ports.
    pub default_route: bool,
}

/// The IPv6 side of an endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ipv6Endpoint {
    /// Its address.
    pub address: Ipv6Addr,
    /// Length of the subnet's prefix.
    pub prefix_len: u8,
    /// The way out, where there is one.
    pub gateway: Option<Ipv6Addr>,
}

impl Endpoint {
    /// Its addresses, IPv4 first.
    pub fn addresses(&self) -> Vec<IpAddr> {
        [self.address].into_iter().chain(self.ipv6.map(|ipv6| ipv6.address.into())).collect()
    }
}

/// A port that is reachable at the host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Published {
    /// The container's port.
    pub port: Port,
    /// Address on the host.
    pub host_ip: IpAddr,
    /// Port on the host.
    pub host_port: u16,
}

/// What [`Networks::attach`] made.
#[derive(Debug, Default)]
pub(crate) struct Attached {
    pub(crate) endpoints: BTreeMap<String, Endpoint>,
    pub(crate) published: Vec<Published>,
}

/// All networks and who is on them.
#[derive(Debug)]
pub(crate) struct Networks {
    host: Host,
    dns: DnsServer,
    ipam: Mutex<Ipam>,
    networks: Mutex<BTreeMap<NetworkId, Arc<Network>>>,
    /// Held while a network is made, so that two of one name cannot be.
    making: Mutex<()>,
    /// Read while a container is put on its networks, written while a network goes: nobody is put on what is going.
    attaching: RwLock<()>,
    /// Running containers with endpoints, for the zone that the resolver answers from.
    live: Mutex<BTreeMap<ContainerId, Live>>,
}

#[derive(Debug, Clone)]
struct Live {
    name: String,
    endpoints: Vec<Endpoint>,
}

/// Wraps an error of `drua-net` or one of its parts.
fn failed<E: Classify + std::error::Error>(error: E) -> Error {
    Error::Network { kind: error.kind(), message: error_chain(&error) }
}

impl Networks {
    /// Opens the host's networking and reads the records. The predefined networks are made when they are missing.
    pub(crate) fn open(config: &EngineConfig, db: &Db) -> Result<Self> {
        let prefix = config.network_prefix.clone().unwrap_or_default();
        let table = if prefix.is_empty() { "drua".to_owned() } else { format!("drua-{prefix}") };
        let host = Host::open(HostConfig { table, iface_prefix: prefix }).map_err(failed)?;
        let mut pools: Vec<Pool> = config.address_pools.iter().map(|&(base, size)| Pool { base, size }).collect();
        if pools.iter().all(|pool| pool.base.addr().is_ipv6()) {
            pools.extend(drua_net::default_pools());
        }
        let ipam = Ipam::new(pools);
        let networks = Self {
            host,
            dns: DnsServer::new(tokio::runtime::Handle::current(), host_resolver().upstreams()),
            ipam: Mutex::new(ipam),
            networks: Mutex::default(),
            making: Mutex::default(),
            attaching: RwLock::default(),
            live: Mutex::default(),
        };
        for network in db.all::<Network>(Table::Networks)? {
            networks.adopt(network);
        }
        for (name, driver) in [("host", "host"), ("none", "null"), ("bridge", "bridge")] {
            if networks.find(name).is_err() {
                networks.create_predefined(config, db, name, driver)?;
            }
        }
        Ok(networks)
    }

    /// Takes a recorded network into the indexes.
    fn adopt(&self, network: Network) {
        let requests: Vec<SubnetRequest> = network
            .subnets
            .iter()
            .map(|(net, gateway)| SubnetRequest {
                subnet: Some(*net),
                range: network.ip_range.filter(|range| net.contains(range)),
                gateway: Some(*gateway),
            })
            .collect();
        if !requests.is_empty()
            && let Err(error) = crate::lock(&self.ipam).add_network(&network.id, &requests, &[], &[])
        {
            tracing::error!(network = %network.name, %error, "its subnet cannot be restored");
        }
        crate::lock(&self.networks).insert(network.id.clone(), Arc::new(network));
    }

    fn create_predefined(&self, config: &EngineConfig, db: &Db, name: &str, driver: &str) -> Result<()> {
        let options = match driver {
            "bridge" => BTreeMap::from([(option::BRIDGE_NAME.to_owned(), config.bridge.clone())]),
            _ => BTreeMap::new(),
        };
        let request =
            CreateNetwork { name: name.to_owned(), driver: driver.to_owned(), options, ..CreateNetwork::default() };
        // Its bridge comes with `restore`, which also removes what a daemon with other records left under that name.
        let network = self.describe(request)?;
        self.record(db, network).map(drop)
    }

    pub(crate) fn get(&self, id: &NetworkId) -> Result<Arc<Network>> {
        let networks = crate::lock(&self.networks);
        networks.get(id).cloned().ok_or_else(|| Error::NoSuchNetwork(id.to_string()))
    }

    pub(crate) fn list(&self) -> Vec<Arc<Network>> {
        crate::lock(&self.networks).values().cloned().collect()
    }

    /// Full id, then exact name, then unique id prefix.
    pub(crate) fn find(&self, text: &str) -> Result<Arc<Network>> {
        let networks = crate::lock(&self.networks);
        let exact = networks.values().find(|network| network.id.as_str() == text);
        let exact = exact.or_else(|| networks.values().find(|network| network.name.as_str() == text));
        if let Some(network) = exact {
            return Ok(network.clone());
        }
        let mut matches = networks.values().filter(|network| !text.is_empty() && network.id.as_str().starts_with(text));
        match (matches.next(), matches.next()) {
            (Some(network), None) => Ok(network.clone()),
            (Some(_), Some(_)) => Err(Error::Invalid(format!("network {text} is ambiguous (several ids match)"))),
            (None, _) => Err(Error::NoSuchNetwork(text.to_owned())),
        }
    }

    /// Creates a network of any driver, with its bridge.
    fn make(&self, db: &Db, request: CreateNetwork) -> Result<Arc<Network>> {
        let _making = crate::lock(&self.making);
        let network = self.describe(request)?;
        let id = network.id.clone();
        let made = self.realise(&network).and_then(|()| self.record(db, network));
        if made.is_err() {
            crate::lock(&self.ipam).remove_network(&id);
        }
        made
    }

    /// Settles what a network will be; takes its subnets.
    fn describe(&self, request: CreateNetwork) -> Result<Network> {
        let name: NetworkName =
            request.name.parse().map_err(|error: drua_types::InvalidName| Error::Invalid(error.to_string()))?;
        let taken = crate::lock(&self.networks).values().any(|network| network.name == name);
        if taken {
            return Err(Error::Conflict(format!("network with name {name} already exists")));
        }
        let id = NetworkId::random();
        let driver = if request.driver.is_empty() { "bridge".to_owned() } else { request.driver };
        let mut subnets = Vec::new();
        if driver == "bridge" {
            let families = if request.ipv6 { [Family::V4, Family::V6].as_slice() } else { &[Family::V4] };
            let mut asked = request.subnets.clone();
            asked.retain(|subnet| families.contains(&subnet.family()));
            let occupied = self.host.occupied_subnets().map_err(failed)?;
            subnets = crate::lock(&self.ipam).add_network(&id, &asked, families, &occupied).map_err(failed)?;
        }
        Ok(Network {
            id,
            name,
            driver,
            created: Timestamp::now(),
            subnets: subnets.iter().map(|subnet| (subnet.net, subnet.gateway)).collect(),
            ip_range: request.subnets.first().and_then(|spec| spec.range),
            ipv6: request.ipv6,
            internal: request.internal,
            attachable: request.attachable,
            options: request.options,
            labels: request.labels,
        })
    }

    /// Remembers a network.
    fn record(&self, db: &Db, network: Network) -> Result<Arc<Network>> {
        db.put(Table::Networks, network.id.as_str(), &network)?;
        let network = Arc::new(network);
        crate::lock(&self.networks).insert(network.id.clone(), network.clone());
        Ok(network)
    }

    /// Makes the bridge, for networks that have one.
    fn realise(&self, network: &Network) -> Result<()> {
        match self.kernel_config(network)? {
            Some(config) => self.host.create_network(&config).map_err(failed),
            None => Ok(()),
        }
    }

    /// What the kernel shall have for a network; `None` for `host` and `none`.
    fn kernel_config(&self, network: &Network) -> Result<Option<NetworkConfig>> {
        if network.driver != "bridge" {
            return Ok(None);
        }
        let text = |key| network.options.get(key).map(String::as_str).filter(|text| !text.is_empty());
        let flag = |key| text(key).is_none_or(|text| !matches!(text, "false" | "0"));
        let bridge = match text(option::BRIDGE_NAME) {
            Some(name) => {
                name.parse().map_err(|error: drua_net::InvalidInterfaceName| Error::Invalid(error.to_string()))?
            }
            None => self.host.bridge_name(&network.id),
        };
        let mtu = text(option::MTU).unwrap_or("1500");
        Ok(Some(NetworkConfig {
            id: network.id.clone(),
            bridge,
            subnets: network.subnets.iter().map(|&(net, gateway)| Subnet { net, gateway }).collect(),
            internal: network.internal,
            masquerade: flag(option::MASQUERADE),
            icc: flag(option::ICC),
            mtu: mtu.parse().map_err(|_| Error::Invalid(format!("invalid MTU: {mtu}")))?,
        }))
    }

    fn remove(&self, db: &Db, network: &Network) -> Result<()> {
        let _nobody_comes = self.attaching.write().unwrap_or_else(PoisonError::into_inner);
        let active: Vec<String> = crate::lock(&self.live)
            .values()
            .flat_map(|live| live.endpoints.iter().map(|endpoint| (&live.name, endpoint)))
            .filter(|(_, endpoint)| endpoint.network == network.id)
            .map(|(name, endpoint)| format!("name:\"{name}\" id:\"{}\"", &endpoint.id[..12]))
            .collect();
        if !active.is_empty() {
            return Err(Error::Denied(format!(
                "error while removing network: network {} has active endpoints ({})",
                network.name,
                active.join(", ")
            )));
        }
        db.delete(Table::Networks, network.id.as_str())?;
        crate::lock(&self.networks).remove(&network.id);
        crate::lock(&self.ipam).remove_network(&network.id);
        if let Some(config) = self.kernel_config(network)? {
            for error in self.host.remove_network(&config) {
                tracing::warn!(network = %network.name, error = error_chain(&error), "left behind");
            }
        }
        Ok(())
    }

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

    fn serve_names(&self, container: &Container, netns: &std::path::Path) -> Result<()> {
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
        let has_route = container.endpoints.values().any(|endpoint| endpoint.default_route);
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
    fn set_live(&self, container: &Container, endpoints: Vec<Endpoint>) {
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

fn network_error(error: &(dyn std::error::Error + 'static)) -> Error {
    Error::Network { kind: ErrorKind::Internal, message: error_chain(error) }
}

fn kernel_port(port: &Published) -> PublishedPort {
    PublishedPort { host_ip: port.host_ip, host_port: port.host_port, container_port: port.port }
}

fn kernel_endpoint(
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

impl Engine {
    /// All networks.
    pub fn networks(&self) -> Vec<Arc<Network>> {
        self.shared.networks.list()
    }

    /// One network by id, name or unique id prefix.
    ///
    /// # Errors
    /// [`Error::NoSuchNetwork`], [`Error::Invalid`] when ambiguous.
    pub fn network(&self, name: &str) -> Result<Arc<Network>> {
        self.shared.networks.find(name)
    }

    /// Creates a bridge network. Blocking.
    ///
    /// # Errors
    /// [`Error::Conflict`] for a taken name, [`Error::Denied`] for a predefined one, [`Error::NotFound`] for an unknown
    /// driver, [`Error::Network`] for subnets that cannot be had.
    pub fn create_network(&self, request: CreateNetwork) -> Result<Arc<Network>> {
        if PREDEFINED.contains(&request.name.as_str()) {
            let message = format!("operation is not permitted on predefined {} network ", request.name);
            return Err(Error::Denied(message));
        }
        match request.driver.as_str() {
            "" | "bridge" => {}
            "overlay" => {
                let message = "This node is not a swarm manager. Use \"docker swarm init\" or \"docker swarm join\" to connect this node to swarm and try again.";
                return Err(Error::Denied(message.to_owned()));
            }
            other => {
                let message =
                    format!("could not find plugin {other} in v1 plugin registry: plugin \"{other}\" not found");
                return Err(Error::NotFound(message));
            }
        }
        let network = self.shared.networks.make(&self.shared.db, request)?;
        self.network_event("create", &network);
        Ok(network)
    }

    /// Removes a network. Blocking.
    ///
    /// # Errors
    /// [`Error::NoSuchNetwork`]; [`Error::Denied`] when it is predefined or in use.
    pub fn remove_network(&self, name: &str) -> Result<()> {
        let network = self.shared.networks.find(name)?;
        if PREDEFINED.contains(&network.name.as_str()) {
            let message = format!("{0} is a pre-defined network and cannot be removed", network.name);
            return Err(Error::Denied(message));
        }
        self.shared.networks.remove(&self.shared.db, &network)?;
        self.network_event("destroy", &network);
        Ok(())
    }

    fn network_event(&self, action: &str, network: &Network) {
        let attributes = [("name", network.name.as_str()), ("type", network.driver.as_str())];
        let attributes = attributes.map(|(key, value)| (key.to_owned(), value.to_owned())).into();
        self.shared.events.publish(Scope::Network, action, network.id.as_str(), attributes);
    }
}
