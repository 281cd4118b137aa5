use drua_api::models::{EndpointIpamConfig, EndpointSettings, NetworkConnectRequest, NetworkDisconnectRequest};
use drua_types::exit;

use crate::context::Context;
use crate::failure::Outcome;
use crate::options::key_values;

/// Connect a container to a network
#[derive(Debug, clap::Args)]
pub(crate) struct Connect {
    /// Add another name of the container in the network
    #[arg(long, value_name = "NAME")]
    alias: Vec<String>,
    /// Driver options for the network
    #[arg(long, value_name = "KEY=VALUE")]
    driver_opt: Vec<String>,
    /// IPv4 address
    #[arg(long, value_name = "ADDRESS")]
    ip: Option<String>,
    /// IPv6 address
    #[arg(long, value_name = "ADDRESS")]
    ip6: Option<String>,
    /// Network: name or id
    network: String,
    /// Container: name, id, or the beginning of an id
    container: String,
}

/// Disconnect a container from a network
#[derive(Debug, clap::Args)]
pub(crate) struct Disconnect {
    /// Force the container to disconnect from the network
    #[arg(short, long)]
    force: bool,
    /// Network: name or id
    network: String,
    /// Container: name, id, or the beginning of an id
    container: String,
}

impl Connect {
    pub(super) async fn run(self, ctx: &Context) -> Outcome {
        let ipam = EndpointIpamConfig { ipv4_address: self.ip, ipv6_address: self.ip6, link_local_ips: None };
        let endpoint = EndpointSettings {
            ipam_config: (ipam != EndpointIpamConfig::default()).then_some(ipam),
            aliases: (!self.alias.is_empty()).then_some(self.alias),
            driver_opts: Some(key_values(&self.driver_opt)),
            ..EndpointSettings::default()
        };
        let request = NetworkConnectRequest { container: self.container, endpoint_config: Some(endpoint) };
        ctx.client().await?.network_connect(&self.network, &request).await?;
        Ok(exit::OK)
    }
}

impl Disconnect {
    pub(super) async fn run(self, ctx: &Context) -> Outcome {
        let request = NetworkDisconnectRequest { container: self.container, force: Some(self.force) };
        ctx.client().await?.network_disconnect(&self.network, &request).await?;
        Ok(exit::OK)
    }
}
