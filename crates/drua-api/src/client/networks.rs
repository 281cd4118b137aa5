//! Networks: `/networks/…`.

use bytes::Bytes;

use super::{Call, Client};
use crate::models::{
    Network, NetworkConnectRequest, NetworkCreateRequest, NetworkCreateResponse, NetworkDisconnectRequest,
    NetworkInspect, NetworkPruneResponse,
};
use crate::query::segment;
use crate::{ClientError, Filters, Query};

fn path(id: &str, verb: &str) -> String {
    format!("/networks/{}{verb}", segment(id))
}

/// Every method fails with [`ClientError`]; the daemon's refusals are [`ClientError::Api`].
#[expect(clippy::missing_errors_doc, reason = "said once for all on the impl block")]
impl Client {
    /// Lists networks. Docker's `name` filter matches substrings: check again.
    pub async fn network_list(&self, filters: &Filters) -> Result<Vec<Network>, ClientError> {
        self.decode(Call::get("/networks").query(Query::new().filters(filters))).await
    }

    /// Creates a network.
    pub async fn network_create(&self, body: &NetworkCreateRequest) -> Result<NetworkCreateResponse, ClientError> {
        self.decode(Call::post("/networks/create").json(body)).await
    }

    /// Everything about a network, with its containers.
    pub async fn network_inspect(&self, id: &str) -> Result<NetworkInspect, ClientError> {
        self.decode(Call::get(path(id, ""))).await
    }

    /// Everything about a network, as the daemon wrote it.
    pub async fn network_inspect_raw(&self, id: &str, verbose: bool) -> Result<Bytes, ClientError> {
        self.bytes(Call::get(path(id, "")).query(Query::new().flag("verbose", verbose))).await
    }

    /// Connects a container, also a running one.
    pub async fn network_connect(&self, id: &str, body: &NetworkConnectRequest) -> Result<(), ClientError> {
        self.done(Call::post(path(id, "/connect")).json(body)).await
    }

    /// Disconnects a container.
    pub async fn network_disconnect(&self, id: &str, body: &NetworkDisconnectRequest) -> Result<(), ClientError> {
        self.done(Call::post(path(id, "/disconnect")).json(body)).await
    }

    /// Removes a network that nobody uses.
    pub async fn network_remove(&self, id: &str) -> Result<(), ClientError> {
        self.done(Call::delete(path(id, ""))).await
    }

    /// Removes all networks that nobody uses and that match.
    pub async fn network_prune(&self, filters: &Filters) -> Result<NetworkPruneResponse, ClientError> {
        self.decode(Call::post("/networks/prune").query(Query::new().filters(filters))).await
    }
}
