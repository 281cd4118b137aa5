use super::inspect::inspect_all;
use super::{
    attach, commit, cp, create, diff, exec, export, kill, logs, pause, port, prune, ps, rename, restart, rm, run,
    start, stats, stop, top, update, wait,
};
use crate::context::Context;
use crate::failure::Outcome;

/// Manage containers
#[derive(Debug, clap::Args)]
pub(crate) struct Container {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    Attach(attach::Attach),
    Commit(commit::Commit),
    Cp(cp::Cp),
    Create(Box<create::Create>),
    Exec(Box<exec::Exec>),
    Diff(diff::Diff),
    Export(export::Export),
    Inspect(Inspect),
    Kill(kill::Kill),
    Logs(logs::Logs),
    #[command(visible_aliases = ["ps", "list"])]
    Ls(ps::Ps),
    Pause(pause::Pause),
    Port(port::Port),
    Prune(prune::PruneContainers),
    Rename(rename::Rename),
    Restart(restart::Restart),
    #[command(visible_alias = "remove")]
    Rm(rm::Rm),
    Run(Box<run::Run>),
    Start(start::Start),
    Stats(stats::Stats),
    Stop(stop::Stop),
    Top(top::Top),
    Unpause(pause::Unpause),
    Update(update::Update),
    Wait(wait::Wait),
}

/// Display detailed information on one or more containers
#[derive(Debug, clap::Args)]
struct Inspect {
    /// Format output: json, or a Go template
    #[arg(short, long, value_name = "FORMAT")]
    format: Option<String>,
    /// Display total file sizes
    #[arg(short, long)]
    size: bool,
    /// Containers: names, ids, or the beginnings of ids
    #[arg(required = true, value_name = "CONTAINER")]
    containers: Vec<String>,
}

impl Container {
    pub(super) async fn run(self, ctx: &Context) -> Outcome {
        match self.command {
            Command::Attach(command) => command.run(ctx).await,
            Command::Commit(command) => command.run(ctx).await,
            Command::Cp(command) => command.run(ctx).await,
            Command::Create(command) => command.run(ctx).await,
            Command::Exec(command) => command.run(ctx).await,
            Command::Diff(command) => command.run(ctx).await,
            Command::Export(command) => command.run(ctx).await,
            Command::Inspect(command) => command.run(ctx).await,
            Command::Kill(command) => command.run(ctx).await,
            Command::Logs(command) => command.run(ctx).await,
            Command::Ls(command) => command.run(ctx).await,
            Command::Pause(command) => command.run(ctx).await,
            Command::Port(command) => command.run(ctx).await,
            Command::Prune(command) => command.run(ctx).await,
            Command::Rename(command) => command.run(ctx).await,
            Command::Restart(command) => command.run(ctx).await,
            Command::Rm(command) => command.run(ctx).await,
            Command::Run(command) => command.run(ctx).await,
            Command::Start(command) => command.run(ctx).await,
            Command::Stats(command) => command.run(ctx).await,
            Command::Stop(command) => command.run(ctx).await,
            Command::Top(command) => command.run(ctx).await,
            Command::Unpause(command) => command.run(ctx).await,
            Command::Update(command) => command.run(ctx).await,
            Command::Wait(command) => command.run(ctx).await,
        }
    }
}

impl Inspect {
    async fn run(self, ctx: &Context) -> Outcome {
        let client = ctx.client().await?;
        inspect_all(ctx, &self.containers, self.format.as_deref(), async |name| {
            Ok(client.container_inspect_raw(name, self.size).await?)
        })
        .await
    }
}
