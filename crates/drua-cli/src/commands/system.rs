use super::events::Events;
use super::info::Info;
use super::prune::PruneSystem;
use super::system_check::Check;
use super::system_df::Df;
use crate::context::Context;
use crate::failure::Outcome;

/// Manage the daemon
#[derive(Debug, clap::Args)]
pub(crate) struct System {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    Check(Check),
    Df(Df),
    Events(Events),
    Info(Info),
    Prune(PruneSystem),
}

impl System {
    pub(super) async fn run(self, ctx: &Context) -> Outcome {
        match self.command {
            Command::Check(command) => command.run(ctx).await,
            Command::Df(command) => command.run(ctx).await,
            Command::Events(command) => command.run(ctx).await,
            Command::Info(command) => command.run(ctx).await,
            Command::Prune(command) => command.run(ctx).await,
        }
    }
}
