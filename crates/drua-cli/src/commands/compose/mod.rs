//! `drua compose …`: a thin layer over drua-compose, which does the work.

mod config;
mod control;
mod down;
mod interrupt;
mod logs;
mod project;
mod ps;
mod report;
mod up;

use crate::context::Context;
use crate::failure::Outcome;

/// Run all services of a compose file
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  drua compose up -d               start everything in the background
  drua compose logs -f web         follow the output of a service
  drua compose down -v             remove everything, with the volumes")]
pub(crate) struct Compose {
    #[command(flatten)]
    project: project::ProjectArgs,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    Up(up::Up),
    Down(down::Down),
    Ps(ps::Ps),
    Logs(logs::Logs),
    Start(control::Start),
    Stop(control::Stop),
    Restart(control::Restart),
    Kill(control::Kill),
    Rm(control::Rm),
    Config(config::Config),
}

impl Compose {
    pub(super) async fn run(self, ctx: &Context) -> Outcome {
        let project = &self.project;
        match self.command {
            Command::Up(command) => command.run(ctx, project).await,
            Command::Down(command) => command.run(ctx, project).await,
            Command::Ps(command) => command.run(ctx, project).await,
            Command::Logs(command) => command.run(ctx, project).await,
            Command::Start(command) => command.run(ctx, project).await,
            Command::Stop(command) => command.run(ctx, project).await,
            Command::Restart(command) => command.run(ctx, project).await,
            Command::Kill(command) => command.run(ctx, project).await,
            Command::Rm(command) => command.run(ctx, project).await,
            Command::Config(command) => command.run(ctx, project),
        }
    }
}
