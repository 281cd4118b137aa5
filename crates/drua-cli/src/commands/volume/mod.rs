//! `drua volume …`

mod create;
mod ls;

use drua_types::exit;

use super::inspect::inspect_all;
use super::prune::PruneVolumes;
use crate::context::Context;
use crate::failure::Outcome;

/// Manage volumes
#[derive(Debug, clap::Args)]
pub(crate) struct Volume {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    Create(create::Create),
    Inspect(Inspect),
    #[command(visible_alias = "list")]
    Ls(ls::Ls),
    Prune(PruneVolumes),
    #[command(visible_alias = "remove")]
    Rm(Rm),
}

/// Display detailed information on one or more volumes
#[derive(Debug, clap::Args)]
struct Inspect {
    /// Format output: json, or a Go template
    #[arg(short, long, value_name = "FORMAT")]
    format: Option<String>,
    /// Volumes
    #[arg(required = true, value_name = "VOLUME")]
    volumes: Vec<String>,
}

/// Remove one or more volumes
#[derive(Debug, clap::Args)]
struct Rm {
    /// Do not fail if the volume does not exist
    #[arg(short, long)]
    force: bool,
    /// Volumes
    #[arg(required = true, value_name = "VOLUME")]
    volumes: Vec<String>,
}

impl Volume {
    pub(super) async fn run(self, ctx: &Context) -> Outcome {
        match self.command {
            Command::Create(command) => command.run(ctx).await,
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
        inspect_all(ctx, &self.volumes, self.format.as_deref(), async |name| {
            Ok(client.volume_inspect_raw(name).await?)
        })
        .await
    }
}

impl Rm {
    async fn run(self, ctx: &Context) -> Outcome {
        let client = ctx.client().await?;
        let mut code = exit::OK;
        for name in &self.volumes {
            match client.volume_remove(name, self.force).await {
                Ok(()) => ctx.ui.line(name)?,
                Err(error) => {
                    ctx.ui.failure(&error.into());
                    code = exit::FAILURE;
                }
            }
        }
        Ok(code)
    }
}
