//! `drua scout`: what is in an image, what is wrong with it.

mod bases;
mod compare;
mod cves;
mod db;
mod judge;
mod layers;
mod policy;
mod quickview;
mod recommendations;
mod sbom;
mod source;
mod watch;

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
    Quickview(Box<quickview::QuickviewCommand>),
    Cves(Box<cves::Cves>),
    Recommendations(Box<recommendations::Recommendations>),
    Compare(Box<compare::Compare>),
    Policy(Box<policy::Policy>),
    Sbom(Sbom),
    Layers(layers::Layers),
    Watch(Box<watch::Watch>),
    Db(db::Db),
}

impl Scout {
    pub(super) async fn run(self, ctx: &Context) -> Outcome {
        match self.command {
            ScoutCommand::Quickview(command) => command.run(ctx).await,
            ScoutCommand::Cves(command) => command.run(ctx).await,
            ScoutCommand::Recommendations(command) => command.run(ctx).await,
            ScoutCommand::Compare(command) => command.run(ctx).await,
            ScoutCommand::Policy(command) => command.run(ctx).await,
            ScoutCommand::Watch(command) => command.run(ctx).await,
            ScoutCommand::Sbom(command) => command.run(ctx).await,
            ScoutCommand::Layers(command) => command.run(ctx).await,
            ScoutCommand::Db(command) => command.run(ctx).await,
        }
    }
}
