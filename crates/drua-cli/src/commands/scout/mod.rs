//! `drua scout`: what is in an image, what is wrong with it.

mod layers;
mod sbom;
mod source;

use crate::context::Context;
use crate::failure::Outcome;

pub(super) use sbom::Sbom;

/// See what is in an image and what is wrong with it
#[derive(Debug, clap::Args)]
pub(crate) struct Scout {
    #[command(subcommand)]
    command: ScoutCommand,
}

#[derive(Debug, clap::Subcommand)]
enum ScoutCommand {
    Sbom(Sbom),
    Layers(layers::Layers),
}

impl Scout {
    pub(super) async fn run(self, ctx: &Context) -> Outcome {
        match self.command {
            ScoutCommand::Sbom(command) => command.run(ctx).await,
            ScoutCommand::Layers(command) => command.run(ctx).await,
        }
    }
}
