//! `drua compose …`: a thin layer over drua-compose, which does the work.

mod config;
mod containers;
mod control;
mod down;
mod exec;
mod images;
mod interrupt;
mod logs;
mod project;
mod projects;
mod ps;
mod publish;
mod report;
mod run;
mod up;
mod watch;

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
// Only the command that is called gets its options: building those of all takes longer than what most commands do.
#[command(defer = true)]
enum Command {
    Attach(containers::Attach),
    Build(images::BuildCommand),
    Commit(containers::Commit),
    #[command(alias = "convert")]
    Config(config::Config),
    Cp(containers::Cp),
    Create(up::Create),
    Down(down::Down),
    Events(projects::Events),
    Exec(exec::Exec),
    Export(containers::Export),
    Images(images::Images),
    Kill(control::Kill),
    Logs(logs::Logs),
    Ls(projects::Ls),
    /// Pause services
    Pause(containers::Pause),
    Port(projects::Port),
    Ps(ps::Ps),
    Publish(publish::Publish),
    Pull(images::Pull),
    Push(images::Push),
    Restart(control::Restart),
    Rm(control::Rm),
    Run(Box<run::Run>),
    Scale(up::Scale),
    Start(control::Start),
    Stats(containers::Stats),
    Stop(control::Stop),
    Top(containers::Top),
    /// Unpause services
    Unpause(containers::Pause),
    Up(Box<up::Up>),
    Version(projects::Version),
    Viz(projects::Viz),
    Volumes(projects::Volumes),
    Wait(containers::Wait),
    Watch(watch::Watch),
}

impl Compose {
    pub(super) async fn run(self, ctx: &Context) -> Outcome {
        let project = &self.project;
        match self.command {
            Command::Attach(command) => command.run(ctx, project).await,
            Command::Build(command) => command.run(ctx, project).await,
            Command::Commit(command) => command.run(ctx, project).await,
            Command::Config(command) => command.run(ctx, project).await,
            Command::Cp(command) => command.run(ctx, project).await,
            Command::Create(command) => command.run(ctx, project).await,
            Command::Down(command) => command.run(ctx, project).await,
            Command::Events(command) => command.run(ctx, project).await,
            Command::Exec(command) => command.run(ctx, project).await,
            Command::Export(command) => command.run(ctx, project).await,
            Command::Images(command) => command.run(ctx, project).await,
            Command::Kill(command) => command.run(ctx, project).await,
            Command::Logs(command) => command.run(ctx, project).await,
            Command::Ls(command) => command.run(ctx).await,
            Command::Pause(command) => command.run(ctx, project, true).await,
            Command::Port(command) => command.run(ctx, project).await,
            Command::Ps(command) => command.run(ctx, project).await,
            Command::Publish(command) => command.run(ctx, project).await,
            Command::Pull(command) => command.run(ctx, project).await,
            Command::Push(command) => command.run(ctx, project).await,
            Command::Restart(command) => command.run(ctx, project).await,
            Command::Rm(command) => command.run(ctx, project).await,
            Command::Run(command) => command.run(ctx, project).await,
            Command::Scale(command) => command.run(ctx, project).await,
            Command::Start(command) => command.run(ctx, project).await,
            Command::Stats(command) => command.run(ctx, project).await,
            Command::Stop(command) => command.run(ctx, project).await,
            Command::Top(command) => command.run(ctx, project).await,
            Command::Unpause(command) => command.run(ctx, project, false).await,
            Command::Up(command) => command.run(ctx, project).await,
            Command::Version(command) => command.run(ctx),
            Command::Viz(command) => command.run(ctx, project),
            Command::Volumes(command) => command.run(ctx, project).await,
            Command::Wait(command) => command.run(ctx, project).await,
            Command::Watch(command) => command.run(ctx, project).await,
        }
    }
}
