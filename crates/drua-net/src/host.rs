//! All container networks of one host, for the engine: a thin shell around the pure parts.
//!
//! Every function blocks, for well under a millisecond to about 30 ms, and may be called from any thread that is in the
//! host's network namespace. One lock guards the kernel's side (netlink is serialised by the kernel anyway); work inside a
//! container's namespace is done outside it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use drua_types::{ContainerId, NetworkId};
use ipnet::IpNet;

use crate::config::{EndpointConfig, InterfaceName, NetworkConfig, PublishedPort};
use crate::endpoint::OuterEnd;
use crate::netlink::{Route, route};
use crate::nft::{self, Element, Firewall, Watch};
use crate::ports::{Leases, PortError, PortRequest};
use crate::reaper::{self, Doomed, Reaper};
use crate::reconcile::{Problem, Step, Subject, plan};
use crate::{NetError, bridge, conntrack, endpoint, names};

/// What tells one instance of the daemon from others on the same host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostConfig {
    /// Name of the nftables table and mark of our interfaces: 1 to 32 letters, digits, `_` or `-`. Default `drua`.
    pub table: String,
    /// Put before the names of interfaces: at most 3 letters or digits. Default empty.
    pub iface_prefix: String,
}

impl Default for HostConfig {
    fn default() -> Self {
        Self { table: "drua".to_owned(), iface_prefix: String::new() }
    }
}

/// How the pair of a detached endpoint goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unplug {
    /// It is gone when the call returns, about 20 ms later: for a container that runs on.
    Now,
    /// It is cut off at once and deleted in the background: for a container that has ended.
    Lazily,
}

/// The networks of one host.
#[derive(Debug)]
pub struct Host {
    config: HostConfig,
    kernel: Arc<Mutex<Kernel>>,
    leases: Mutex<Leases>,
    networks: Mutex<BTreeMap<NetworkId, NetworkConfig>>,
    reaper: Reaper,
    _watch: Watch,
}

#[derive(Debug)]
struct Kernel {
    route: Route,
    firewall: Firewall,
}

impl Host {
    /// Opens the network namespace of the calling thread. Changes nothing in it. From then on, a table of ours that somebody
    /// else flushes or deletes is put right at once.
    ///
    /// # Errors
    /// [`NetError::Name`] for a bad configuration, [`NetError::Netlink`] without netlink.
    pub fn open(config: HostConfig) -> Result<Self, NetError> {
        check_name(&config.table, "the name of an instance", 1..=32, "1 to 32 letters, digits, `_` or `-`")?;
        check_name(&config.iface_prefix, "a prefix for interfaces", 0..=3, "at most 3 letters or digits")?;
        let thread = |source| NetError::Thread { source };
        let kernel = Kernel { route: Route::open()?, firewall: Firewall::open(&config.table)? };
        let port = kernel.firewall.port().map_err(thread)?;
        let kernel = Arc::new(Mutex::new(kernel));
        let watched = Arc::clone(&kernel);
        let repair = move || match lock(&watched).firewall.repair() {
            Ok(()) => tracing::warn!("the nftables table was damaged from outside and has been rebuilt"),
            Err(error) => tracing::error!(error = drua_types::error_chain(&error), "the nftables table is damaged"),
        };
        let watch = Watch::start(&config.table, port, repair).map_err(thread)?;
        let reaper = Reaper::start(Route::open()?).map_err(thread)?;
        Ok(Self { config, kernel, leases: Mutex::default(), networks: Mutex::default(), reaper, _watch: watch })
    }

    /// The usual name of the default network's bridge, `drua0`.
    pub fn default_bridge_name(&self) -> InterfaceName {
        names::default_bridge(&self.config.iface_prefix)
    }

    /// The usual name of a user network's bridge, `br-<12 digits>`.
    pub fn bridge_name(&self, network: &NetworkId) -> InterfaceName {
        names::bridge(&self.config.iface_prefix, network)
    }

    /// The name of an endpoint's end on the host.
    pub fn veth_name(&self, endpoint: &EndpointConfig) -> InterfaceName {
        names::veth(&self.config.iface_prefix, &endpoint.container, &endpoint.network)
    }

    /// Subnets that the host has routes to or addresses in, our own included: not to be chosen for new networks.
    ///
    /// # Errors
    /// [`NetError::Netlink`].
    pub fn occupied_subnets(&self) -> Result<Vec<IpNet>, NetError> {
        let route = &mut lock(&self.kernel).route;
        let mut subnets = route.destinations()?;
        subnets.extend(route.addresses()?.into_iter().map(|(_, net)| net.trunc()));
        subnets.retain(|net| !net.addr().is_loopback());
        subnets.sort_unstable();
        subnets.dedup();
        Ok(subnets)
    }

    /// Creates a network's bridge and rules. One that is there already is put right.
    ///
    /// # Errors
    /// [`NetError`]; nothing is left behind then.
    pub fn create_network(&self, network: &NetworkConfig) -> Result<(), NetError> {
        let mark = self.bridge_mark(network);
        let mut kernel = lock(&self.kernel);
        // Rules first: there is no moment in which the bridge is open.
        kernel.firewall.add(&nft::of_network(network))?;
        if let Err(error) = bridge::ensure(&mut kernel.route, network, &mark) {
            kernel.firewall.remove(&nft::of_network(network))?;
            return Err(error);
        }
        lock(&self.networks).insert(network.id.clone(), network.clone());
        Ok(())
    }

    /// Removes a network's bridge and rules; what is gone is fine. Goes on after a failure and returns all of them.
    #[must_use = "these are the failures"]
    pub fn remove_network(&self, network: &NetworkConfig) -> Vec<NetError> {
        let mark = self.bridge_mark(network);
        lock(&self.networks).remove(&network.id);
        let mut kernel = lock(&self.kernel);
        let mut failures = Vec::new();
        failures.extend(bridge::remove(&mut kernel.route, network, &mark).err());
        failures.extend(kernel.firewall.remove(&nft::of_network(network)).err().map(NetError::from));
        failures
    }

    /// Takes host ports for a container: all that are asked for, or none. They are the container's until
    /// [`Host::release_ports`] or until the endpoint that publishes them is detached.
    ///
    /// # Errors
    /// [`PortError`].
    pub fn lease_ports(
        &self,
        container: &ContainerId,
        requests: &[PortRequest],
    ) -> Result<Vec<PublishedPort>, PortError> {
        lock(&self.leases).take_all(container, requests)
    }

    /// Gives back all host ports that a container holds; nobody else's, whatever it once held.
    pub fn release_ports_of(&self, container: &ContainerId) {
        lock(&self.leases).retain(|holder| holder != container);
    }

    /// Gives host ports back, whoever holds them.
    pub fn release_ports(&self, ports: &[PublishedPort]) {
        lock(&self.leases).release(ports);
    }

    /// Puts a container's namespace on a network and publishes its ports, taking those that are not leased yet.
    ///
    /// # Errors
    /// [`NetError`]; nothing is left behind then but leases that were there before.
    pub fn attach(&self, endpoint: &EndpointConfig) -> Result<(), NetError> {
        let network = self.network(&endpoint.network)?;
        let outer = self.outer_end(endpoint);
        endpoint::plug(&mut lock(&self.kernel).route, &outer, endpoint, &network)?;
        let attached = endpoint::configure(endpoint, &network)
            .and_then(|()| endpoint::settle(&mut lock(&self.kernel).route, &outer, &network))
            .and_then(|()| self.publish(endpoint));
        if attached.is_err() {
            endpoint::unplug(&mut lock(&self.kernel).route, &outer)?;
        }
        attached
    }

    /// Takes a container off a network and its ports off the host; what is gone is fine. Goes on after a failure and
    /// returns all of them.
    #[must_use = "these are the failures"]
    pub fn detach(&self, endpoint: &EndpointConfig, how: Unplug) -> Vec<NetError> {
        let mut failures: Vec<NetError> = self.unpublish(endpoint).err().into_iter().collect();
        let outer = self.outer_end(endpoint);
        let route = &mut lock(&self.kernel).route;
        match how {
            Unplug::Now => failures.extend(endpoint::unplug(route, &outer).err()),
            Unplug::Lazily => match route.link(&outer.name) {
                Ok(Some(link)) if link.alias == outer.mark => {
                    // Its address may be another container's in a moment. If it is gone meanwhile, so much the better.
                    let _ = route.apply(vec![route::block_port(&link.name, link.index)]);
                    self.reaper.delete(Doomed { name: link.name, index: link.index });
                }
                Ok(_) => {}
                Err(error) => failures.push(error.into()),
            },
        }
        failures
    }

    /// Publishes an endpoint's ports.
    ///
    /// # Errors
    /// [`NetError::Port`], [`NetError::Netlink`]; no port is published then, and none is newly leased.
    pub fn publish(&self, endpoint: &EndpointConfig) -> Result<(), NetError> {
        let mut fresh = Vec::new();
        let mut leases = lock(&self.leases);
        let mut held = Ok(());
        for port in &endpoint.publish {
            match leases.hold(&endpoint.container, port) {
                Ok(true) => fresh.push(*port),
                Ok(false) => {}
                Err(error) => {
                    held = Err(error);
                    break;
                }
            }
        }
        let published = match held {
            Ok(()) => lock(&self.kernel).firewall.add(&nft::of_endpoint(endpoint)).map_err(NetError::from),
            Err(error) => Err(error.into()),
        };
        if published.is_err() {
            leases.release(&fresh);
        }
        drop(leases);
        published.map(|()| self.forget_flows(endpoint))
    }

    /// Flows that the kernel keeps sending where they went before are a nuisance, not a failure.
    fn forget_flows(&self, endpoint: &EndpointConfig) {
        if let Err(error) = conntrack::forget(&mut lock(&self.kernel).route, endpoint) {
            tracing::warn!(container.id = %endpoint.container, error = drua_types::error_chain(&error), "stale UDP flows");
        }
    }

    /// Takes an endpoint's ports off the host and gives up their leases. Ports that are another container's by now stay.
    ///
    /// # Errors
    /// [`NetError::Netlink`]; the leases are given up all the same.
    pub fn unpublish(&self, endpoint: &EndpointConfig) -> Result<(), NetError> {
        let mut leases = lock(&self.leases);
        let mut held = endpoint.clone();
        held.publish.retain(|port| leases.is_held(&endpoint.container, port));
        let removed = lock(&self.kernel).firewall.remove(&nft::of_endpoint(&held));
        leases.release(&held.publish);
        drop(leases);
        self.forget_flows(&held);
        Ok(removed?)
    }

    /// Makes an attached endpoint the container's way out, for example since the one that was is detached.
    ///
    /// # Errors
    /// [`NetError`].
    pub fn set_default_route(&self, endpoint: &EndpointConfig) -> Result<(), NetError> {
        endpoint::take_default_route(endpoint, &self.network(&endpoint.network)?)
    }

    /// Puts the host right at the daemon's start: makes what is missing, removes what is ours and not wanted, and leaves
    /// alone what running containers use. Goes on after a failure and returns all of them.
    pub fn reconcile(&self, networks: &[NetworkConfig], endpoints: &[EndpointConfig]) -> Vec<Problem> {
        *lock(&self.networks) = networks.iter().map(|network| (network.id.clone(), network.clone())).collect();
        let mut problems = Vec::new();
        let elements = self.desired_elements(networks, endpoints, &mut problems);
        if let Err(error) = lock(&self.kernel).firewall.replace(elements) {
            problems.push(Problem { subject: Subject::Host, error: error.into() });
        }
        let links = match lock(&self.kernel).route.links() {
            Ok(links) => links,
            Err(error) => {
                problems.push(Problem { subject: Subject::Host, error: error.into() });
                return problems;
            }
        };
        for step in plan(&self.config.table, &self.config.iface_prefix, networks, endpoints, &links) {
            tracing::debug!(?step, "reconcile networks");
            self.take_step(&step, &mut problems);
        }
        problems
    }

    /// Removes everything of this instance: the table, the bridges and the veths of running containers, all leases.
    #[must_use = "these are the failures"]
    pub fn cleanup(&self) -> Vec<NetError> {
        lock(&self.networks).clear();
        lock(&self.leases).retain(|_| false);
        let mut kernel = lock(&self.kernel);
        let mut failures: Vec<NetError> = Vec::new();
        failures.extend(kernel.firewall.delete().err().map(NetError::from));
        match kernel.route.links() {
            Ok(links) => {
                let ours = names::mark_prefix(&self.config.table);
                let doomed: Vec<Doomed> = links
                    .into_iter()
                    .filter(|link| link.alias.starts_with(&ours))
                    .map(|link| Doomed { name: link.name, index: link.index })
                    .collect();
                failures.extend(reaper::delete_all(&mut kernel.route, &doomed).into_iter().map(NetError::from));
            }
            Err(error) => failures.push(error.into()),
        }
        failures
    }

    fn take_step(&self, step: &Step<'_>, problems: &mut Vec<Problem>) {
        let result = match step {
            Step::Delete(doomed) => {
                let failures = reaper::delete_all(&mut lock(&self.kernel).route, doomed);
                problems.extend(failures.into_iter().map(|e| Problem { subject: Subject::Host, error: e.into() }));
                return;
            }
            Step::Ensure(network) => bridge::ensure(&mut lock(&self.kernel).route, network, &self.bridge_mark(network))
                .map(drop)
                .map_err(|error| Problem { subject: Subject::Network(network.id.clone()), error }),
            Step::Replug(endpoint) => self
                .network(&endpoint.network)
                .and_then(|network| {
                    endpoint::replug(&mut lock(&self.kernel).route, &self.outer_end(endpoint), endpoint, &network)
                })
                .map_err(|error| problem_of(endpoint, error)),
            Step::Plug(endpoint) => self
                .network(&endpoint.network)
                .and_then(|network| {
                    endpoint::plug(&mut lock(&self.kernel).route, &self.outer_end(endpoint), endpoint, &network)?;
                    endpoint::configure(endpoint, &network)?;
                    endpoint::settle(&mut lock(&self.kernel).route, &self.outer_end(endpoint), &network)
                })
                .map_err(|error| problem_of(endpoint, error)),
        };
        problems.extend(result.err());
    }

    /// What the table shall hold; ports that cannot be had again are problems and left out.
    fn desired_elements(
        &self,
        networks: &[NetworkConfig],
        endpoints: &[EndpointConfig],
        problems: &mut Vec<Problem>,
    ) -> BTreeSet<Element> {
        let mut elements: BTreeSet<Element> = networks.iter().flat_map(nft::of_network).collect();
        let mut leases = lock(&self.leases);
        leases.retain(|holder| endpoints.iter().any(|endpoint| endpoint.container == *holder));
        for endpoint in endpoints {
            let mut held = endpoint.clone();
            held.publish.retain(|port| match leases.hold(&endpoint.container, port) {
                Ok(_) => true,
                Err(error) => {
                    problems.push(problem_of(endpoint, error.into()));
                    false
                }
            });
            elements.extend(nft::of_endpoint(&held));
        }
        elements
    }

    fn network(&self, id: &NetworkId) -> Result<NetworkConfig, NetError> {
        let networks = lock(&self.networks);
        networks.get(id).cloned().ok_or_else(|| NetError::UnknownNetwork { network: id.clone() })
    }

    fn bridge_mark(&self, network: &NetworkConfig) -> String {
        names::bridge_mark(&self.config.table, &network.id)
    }

    fn outer_end(&self, endpoint: &EndpointConfig) -> OuterEnd {
        OuterEnd {
            name: self.veth_name(endpoint),
            mark: names::veth_mark(&self.config.table, &endpoint.container, &endpoint.network),
        }
    }
}

fn problem_of(endpoint: &EndpointConfig, error: NetError) -> Problem {
    let subject = Subject::Endpoint { container: endpoint.container.clone(), network: endpoint.network.clone() };
    Problem { subject, error }
}

fn check_name(
    text: &str,
    role: &'static str,
    len: std::ops::RangeInclusive<usize>,
    expected: &'static str,
) -> Result<(), NetError> {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || (*len.start() > 0 && matches!(byte, b'_' | b'-'));
    if len.contains(&text.len()) && text.bytes().all(fits) {
        Ok(())
    } else {
        Err(NetError::Name { text: text.chars().take(40).collect(), role, expected })
    }
}

/// What a panic left half done is put right by the next reconciliation, or by the kernel's own checks.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
