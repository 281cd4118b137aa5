//! What of the network a guest may reach: its container's, narrowed by grants.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use drua_types::grants::{Access, Class, Grants};

use super::resolve::{ResolveError, Resolver};

/// How long the addresses of a granted name are remembered; services move.
const FRESH: Duration = Duration::from_secs(2);

/// The grants of a container with the resolver that turns the names in them into addresses.
#[derive(Debug)]
pub(super) struct Reach {
    grants: Grants,
    resolver: Resolver,
    known: Mutex<HashMap<String, (Instant, Vec<IpAddr>)>>,
}

impl Reach {
    pub(super) fn new(grants: Grants) -> Arc<Self> {
        Arc::new(Self { grants, resolver: Resolver::of_container(), known: Mutex::default() })
    }

    pub(super) fn grants(&self) -> &Grants {
        &self.grants
    }

    /// Whether the guest may use sockets at all.
    pub(super) fn has_sockets(&self) -> bool {
        [Class::Net, Class::Listen].into_iter().any(|class| self.grants.class(class) != Access::None)
    }

    /// Looks up a name for the guest.
    pub(super) async fn resolve(&self, name: &str) -> Result<Vec<IpAddr>, ResolveError> {
        if !self.grants.dns(name) {
            return Err(ResolveError::NotFound(format!("{name} (not granted)")));
        }
        self.resolver.resolve(name).await
    }

    /// Looks up a name for ourselves, after whatever the guest wants with it has been granted.
    pub(super) async fn resolve_granted(&self, name: &str) -> Result<Vec<IpAddr>, ResolveError> {
        self.resolver.resolve(name).await
    }

    pub(super) fn may_listen(&self, port: u16) -> bool {
        self.grants.listen(port)
    }

    pub(super) fn may_request(&self, host: &str, port: u16) -> bool {
        self.grants.http(host, port)
    }

    /// Whether the guest may connect or send to an address.
    pub(super) async fn may_connect(&self, address: SocketAddr) -> bool {
        if self.grants.class(Class::Net) == Access::All {
            return true;
        }
        let ip = address.ip().to_canonical();
        let mut names = Vec::new();
        for host in self.grants.named_hosts() {
            if self.addresses(host.name).await.contains(&ip) {
                names.push(host.name);
            }
        }
        self.grants.net(ip, address.port(), &names)
    }

    async fn addresses(&self, name: &str) -> Vec<IpAddr> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner).get(name).cloned();
        if let Some((_, addresses)) = known.filter(|(when, _)| when.elapsed() < FRESH) {
            return addresses;
        }
        let addresses = self.resolver.resolve(name).await.unwrap_or_default();
        let entry = (Instant::now(), addresses.clone());
        self.known.lock().unwrap_or_else(PoisonError::into_inner).insert(name.to_owned(), entry);
        addresses
    }
}
