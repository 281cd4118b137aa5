//! Which networks there are: their records, their subnets, their bridges.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use drua_net::dns::{DnsServer, host_resolver};
use drua_net::{Family, Host, HostConfig, Ipam, NetworkConfig, Pool, Subnet, SubnetRequest};
use drua_types::{NetworkId, NetworkName, error_chain};
use jiff::Timestamp;

use super::{CreateNetwork, Network, Networks, failed};
use crate::config::EngineConfig;
use crate::db::{Db, Table};
use crate::{Error, Result};

/// Docker's driver options that we understand.
mod option {
    pub(super) const BRIDGE_NAME: &str = "com.docker.network.bridge.name";
    pub(super) const ICC: &str = "com.docker.network.bridge.enable_icc";
    pub(super) const MASQUERADE: &str = "com.docker.network.bridge.enable_ip_masquerade";
    pub(super) const MTU: &str = "com.docker.network.driver.mtu";
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
    pub(super) fn make(&self, db: &Db, request: CreateNetwork) -> Result<Arc<Network>> {
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
    pub(super) fn kernel_config(&self, network: &Network) -> Result<Option<NetworkConfig>> {
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

    pub(super) fn remove(&self, db: &Db, network: &Network) -> Result<()> {
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
}
