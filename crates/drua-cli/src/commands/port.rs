use std::collections::BTreeMap;

use drua_api::models::PortBinding;
use drua_types::{Port as ContainerPort, exit};

use crate::context::Context;
use crate::failure::{Failure, Outcome};

/// List port mappings or a specific mapping for the container
#[derive(Debug, clap::Args)]
pub(crate) struct Port {
    /// Container: name, id, or the beginning of an id
    container: String,
    /// Port inside the container, for example 80 or 53/udp
    #[arg(value_name = "PORT[/PROTOCOL]")]
    port: Option<ContainerPort>,
}

impl Port {
    pub(super) async fn run(self, ctx: &Context) -> Outcome {
        let container = ctx.client().await?.container_inspect(&self.container).await?;
        let ports = container.network_settings.and_then(|settings| settings.ports).unwrap_or_default();
        let ports: BTreeMap<ContainerPort, Vec<PortBinding>> = ports
            .into_iter()
            .filter_map(|(port, bindings)| Some((port.parse().ok()?, bindings.unwrap_or_default())))
            .collect();
        let lines: Vec<String> = match self.port {
            Some(port) => {
                let bindings = ports.get(&port).filter(|bindings| !bindings.is_empty());
                let bindings = bindings.ok_or_else(|| {
                    Failure::message(format!("No public port '{port}' published for {}", self.container))
                })?;
                bindings.iter().map(address).collect()
            }
            None => ports
                .iter()
                .flat_map(|(port, bindings)| {
                    bindings.iter().map(move |binding| format!("{port} -> {}", address(binding)))
                })
                .collect(),
        };
        for line in lines {
            ctx.ui.line(&line)?;
        }
        Ok(exit::OK)
    }
}

/// `0.0.0.0:8080`, `[::]:8080`.
fn address(binding: &PortBinding) -> String {
    let (ip, port) = (binding.host_ip.as_deref().unwrap_or_default(), binding.host_port.as_deref().unwrap_or_default());
    if ip.contains(':') { format!("[{ip}]:{port}") } else { format!("{ip}:{port}") }
}
