use anyhow::Context as _;
use drua_api::models::{Ipam, IpamConfig, NetworkCreateRequest};
use drua_types::{NetworkName, exit};

use crate::context::Context;
use crate::failure::Outcome;
use crate::options::key_values;

/// Create a network
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  drua network create back
  drua network create --subnet 10.5.0.0/24 --gateway 10.5.0.1 --internal back")]
pub(crate) struct Create {
    /// Driver to manage the network
    #[arg(short, long, value_name = "DRIVER", default_value = "bridge")]
    driver: String,
    /// Subnet in CIDR format
    #[arg(long, value_name = "CIDR")]
    subnet: Vec<String>,
    /// Gateway of the subnet at the same place in the list
    #[arg(long, value_name = "ADDRESS")]
    gateway: Vec<String>,
    /// Range from which containers get their addresses
    #[arg(long, value_name = "CIDR")]
    ip_range: Vec<String>,
    /// Restrict external access to the network
    #[arg(long)]
    internal: bool,
    /// Enable manual container attachment
    #[arg(long)]
    attachable: bool,
    /// Enable IPv6 address assignment
    #[arg(long)]
    ipv6: bool,
    /// Set metadata on the network
    #[arg(long, value_name = "KEY=VALUE")]
    label: Vec<String>,
    /// Set driver specific options
    #[arg(short = 'o', long, value_name = "KEY=VALUE")]
    opt: Vec<String>,
    /// Name
    name: NetworkName,
}

impl Create {
    pub(super) async fn run(self, ctx: &Context) -> Outcome {
        let request = NetworkCreateRequest {
            name: self.name.to_string(),
            driver: Some(self.driver.clone()),
            internal: Some(self.internal),
            attachable: Some(self.attachable),
            enable_ipv6: self.ipv6.then_some(true),
            options: Some(key_values(&self.opt)),
            labels: Some(key_values(&self.label)),
            ipam: Some(Ipam { driver: Some("default".to_owned()), config: Some(self.subnets()?), options: None }),
            ..NetworkCreateRequest::default()
        };
        let created = ctx.client().await?.network_create(&request).await?;
        if !created.warning.is_empty() {
            ctx.ui.warning(&created.warning);
        }
        ctx.ui.line(&created.id)?;
        Ok(exit::OK)
    }

    /// Each subnet with the gateway and the range that were given at its place.
    fn subnets(&self) -> anyhow::Result<Vec<IpamConfig>> {
        if self.subnet.len() < self.gateway.len() || self.subnet.len() < self.ip_range.len() {
            return None.context("every --gateway and --ip-range needs a --subnet");
        }
        let config = |(index, subnet): (usize, &String)| IpamConfig {
            subnet: Some(subnet.clone()),
            gateway: self.gateway.get(index).cloned(),
            ip_range: self.ip_range.get(index).cloned(),
            auxiliary_addresses: None,
        };
        Ok(self.subnet.iter().enumerate().map(config).collect())
    }
}
