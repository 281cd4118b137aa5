//! `drua network …`

mod connect;
mod create;
mod ls;

use drua_types::exit;

use super::inspect::inspect_all;
use super::prune::PruneNetworks;
use crate::context::Context;
use crate::failure::Outcome;

/// Manage networks
#[derive(Debug, clap::Args)]
pub(crate) struct Network {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    Connect(connect::Connect),
    Create(create::Create),
    Disconnect(connect::Disconnect),
    Inspect(Inspect),
    #[command(visible_alias = "list")]
    Ls(ls::Ls),
    Prune(PruneNetworks),
    #[command(visible_alias = "remove")]
    Rm(Rm),
}

/// Display detailed information on one or more networks
#[derive(Debug, clap::Args)]
struct Inspect {
    /// Format output: json, or a Go template
    #[arg(short, long, value_name = "FORMAT")]
    format: Option<String>,
    /// Verbose output for diagnostics
    #[arg(short, long)]
    verbose: bool,
    /// Networks: names or ids
    #[arg(required = true, value_name = "NETWORK")]
    networks: Vec<String>,
}

/// Remove one or more networks
#[derive(Debug, clap::Args)]
struct Rm {
    /// Do not fail if the network does not exist
    #[arg(short, long)]
    force: bool,
    /// Networks: names or ids
    #[arg(required = true, value_name = "NETWORK")]
    networks: Vec<String>,
}

impl Network {
    pub(super) async fn run(self, ctx: &Context) -> Outcome {
        match self.command {
            Command::Connect(command) => command.run(ctx).await,
            Command::Create(command) => command.run(ctx).await,
            Command::Disconnect(command) => command.run(ctx).await,
            Command::Inspect(command) => command.run(ctx).await,
            Command::Ls(command) => command.run(ctx).await,
            Command::Prune(command) => command.run(ctx).await,
            Command::Rm(command) => command.run(ctx).await,
        }
    }
}

impl Inspect {
    async fn run(self, ctx: &Context) -> Outcome {
        let client = ctx.client().await?;
        inspect_all(ctx, &self.networks, self.format.as_deref(), async |name| {
            Ok(client.network_inspect_raw(name, self.verbose).await?)
        })
        .await
    }
}

impl Rm {
    async fn run(self, ctx: &Context) -> Outcome {
        let client = ctx.client().await?;
        let mut code = exit::OK;
        for name in &self.networks {
            match client.network_remove(name).await {
                Ok(()) => ctx.ui.line(name)?,
                Err(error) if self.force && error.is_not_found() => {}
                Err(error) => {
                    ctx.ui.failure(&error.into());
                    code = exit::FAILURE;
                }
            }
        }
        Ok(code)
    }
}
