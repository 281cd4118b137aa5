//! The engine's verbs for networks.

use std::sync::Arc;

use super::{CreateNetwork, Network, PREDEFINED};
use crate::engine::Engine;
use crate::events::Scope;
use crate::{Error, Result};

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
