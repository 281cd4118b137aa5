//! The commands, one file each: its options, and what it does with them.

mod attach;
mod build;
mod builder;
mod commit;
mod completion;
mod compose;
mod container;
mod context;
mod cp;
mod create;
mod diff;
mod events;
mod exec;
mod export;
mod history;
mod image;
mod image_tree;
mod images;
mod import;
mod import_wasm;
mod info;
mod init;
mod inspect;
mod kill;
mod lint;
mod load;
mod login;
mod logs;
mod manifest;
mod network;
mod pause;
mod port;
mod prune;
mod ps;
mod pull;
mod push;
mod rename;
mod restart;
mod rm;
mod rmi;
mod run;
mod save;
mod scout;
mod search;
mod start;
mod stats;
mod stop;
mod system;
mod system_check;
mod system_df;
mod tag;
mod targets;
mod top;
mod transfer;
mod update;
mod version;
mod volume;
mod wait;

use crate::context::Context;
use crate::daemon::DaemonArgs;
use crate::failure::{Failure, Outcome};
use crate::wasm::WasmArgs;

/// Every command, with its options.
#[derive(Debug, clap::Subcommand)]
// Only the command that is called gets its options: building those of all takes longer than what most commands do.
#[command(defer = true)]
pub(crate) enum Command {
    Run(Box<run::Run>),
    Create(Box<create::Create>),
    Start(start::Start),
    Stop(stop::Stop),
    Restart(restart::Restart),
    Kill(kill::Kill),
    Pause(pause::Pause),
    Unpause(pause::Unpause),
    Rm(rm::Rm),
    Rename(rename::Rename),
    Ps(ps::Ps),
    Logs(logs::Logs),
    Attach(attach::Attach),
    Exec(Box<exec::Exec>),
    Update(update::Update),
    Wait(wait::Wait),
    Top(top::Top),
    Stats(stats::Stats),
    Port(port::Port),
    Cp(cp::Cp),
    Diff(diff::Diff),
    Commit(commit::Commit),
    Export(export::Export),
    Build(Box<build::Build>),
    Builder(builder::Builder),
    Images(images::Images),
    Pull(pull::Pull),
    Push(push::Push),
    Search(search::Search),
    Login(login::Login),
    Logout(login::Logout),
    Load(load::Load),
    Save(save::Save),
    Import(import::Import),
    Tag(tag::Tag),
    Rmi(rmi::Rmi),
    History(history::History),
    Manifest(manifest::Manifest),
    Inspect(inspect::Inspect),
    Events(events::Events),
    Info(info::Info),
    Version(version::Version),
    Compose(compose::Compose),
    Lint(Box<lint::Lint>),
    Init(Box<init::Init>),
    Scout(Box<scout::Scout>),
    Sbom(Box<scout::Sbom>),
    Container(container::Container),
    Image(image::Image),
    Network(network::Network),
    Volume(volume::Volume),
    System(system::System),
    Wasm(WasmArgs),
    Context(context::Context),
    Daemon(DaemonArgs),
    Completion(completion::Completion),
}

/// How `drua --help` groups the commands.
const GROUPS: [(&str, &[&str]); 7] = [
    (
        "Containers",
        &[
            "run", "create", "start", "stop", "restart", "kill", "pause", "unpause", "rm", "rename", "ps", "logs",
            "attach", "exec", "wait", "top", "stats", "update", "port", "cp", "diff", "commit", "export",
        ],
    ),
    (
        "Images",
        &[
            "build", "images", "pull", "push", "search", "login", "logout", "load", "save", "import", "tag", "rmi",
            "history", "manifest",
        ],
    ),
    ("Projects", &["init", "lint", "compose"]),
    ("Supply chain", &["scout", "sbom"]),
    ("WebAssembly", &["wasm"]),
    ("Objects", &["container", "image", "network", "volume", "builder", "system"]),
    ("The daemon", &["inspect", "events", "info", "version", "context", "daemon", "completion"]),
];

impl Command {
    /// Whether it talks to a daemon at all.
    pub(crate) fn needs_daemon(&self) -> bool {
        let alone = matches!(self, Self::Context(_) | Self::Completion(_) | Self::Init(_) | Self::Lint(_));
        !alone && !matches!(self, Self::Daemon(_) | Self::Wasm(_))
    }

    /// Runs the command.
    pub(crate) async fn run(self, ctx: &Context) -> Outcome {
        match self {
            Self::Run(command) => command.run(ctx).await,
            Self::Create(command) => command.run(ctx).await,
            Self::Start(command) => command.run(ctx).await,
            Self::Stop(command) => command.run(ctx).await,
            Self::Restart(command) => command.run(ctx).await,
            Self::Kill(command) => command.run(ctx).await,
            Self::Pause(command) => command.run(ctx).await,
            Self::Unpause(command) => command.run(ctx).await,
            Self::Rm(command) => command.run(ctx).await,
            Self::Rename(command) => command.run(ctx).await,
            Self::Ps(command) => command.run(ctx).await,
            Self::Logs(command) => command.run(ctx).await,
            Self::Attach(command) => command.run(ctx).await,
            Self::Exec(command) => command.run(ctx).await,
            Self::Update(command) => command.run(ctx).await,
            Self::Wait(command) => command.run(ctx).await,
            Self::Top(command) => command.run(ctx).await,
            Self::Stats(command) => command.run(ctx).await,
            Self::Port(command) => command.run(ctx).await,
            Self::Cp(command) => command.run(ctx).await,
            Self::Diff(command) => command.run(ctx).await,
            Self::Commit(command) => command.run(ctx).await,
            Self::Export(command) => command.run(ctx).await,
            Self::Build(command) => command.run(ctx).await,
            Self::Builder(command) => command.run(ctx).await,
            Self::Images(command) => command.run(ctx).await,
            Self::Pull(command) => command.run(ctx).await,
            Self::Push(command) => command.run(ctx).await,
            Self::Search(command) => command.run(ctx).await,
            Self::Login(command) => command.run(ctx).await,
            Self::Logout(command) => command.run(ctx),
            Self::Load(command) => command.run(ctx).await,
            Self::Save(command) => command.run(ctx).await,
            Self::Import(command) => command.run(ctx).await,
            Self::Tag(command) => command.run(ctx).await,
            Self::Rmi(command) => command.run(ctx).await,
            Self::History(command) => command.run(ctx).await,
            Self::Manifest(command) => command.run(ctx).await,
            Self::Inspect(command) => command.run(ctx).await,
            Self::Events(command) => command.run(ctx).await,
            Self::Info(command) => command.run(ctx).await,
            Self::Version(command) => command.run(ctx).await,
            Self::Compose(command) => command.run(ctx).await,
            Self::Lint(command) => command.run(ctx).await,
            Self::Init(command) => command.run(ctx).await,
            Self::Scout(command) => command.run(ctx).await,
            Self::Sbom(command) => command.run(ctx).await,
            Self::Container(command) => command.run(ctx).await,
            Self::Image(command) => command.run(ctx).await,
            Self::Network(command) => command.run(ctx).await,
            Self::Volume(command) => command.run(ctx).await,
            Self::System(command) => command.run(ctx).await,
            Self::Wasm(_) => Err(Failure::message("`drua wasm` must be the first words of the command line")),
            Self::Context(command) => command.run(ctx),
            Self::Daemon(_) => Err(Failure::message("`drua daemon` must be the first word of the command line")),
            Self::Completion(command) => command.run(ctx),
        }
    }
}

/// The list of commands for the help text.
pub(crate) fn help_groups(command: &clap::Command) -> String {
    let about = |name: &str| {
        let command = command.find_subcommand(name).expect("GROUPS names commands that exist; a test checks it");
        command.get_about().map(ToString::to_string).unwrap_or_default()
    };
    let group = |(title, names): &(&str, &[&str])| {
        let lines: String = names.iter().map(|name| format!("  {name:<11} {}\n", about(name))).collect();
        format!("{title}:\n{lines}\n")
    };
    GROUPS.iter().map(group).collect()
}

#[cfg(test)]
pub(crate) fn grouped_names() -> Vec<&'static str> {
    GROUPS.iter().flat_map(|(_, names)| names.iter().copied()).collect()
}

/// What the tests look at.
#[cfg(test)]
pub(crate) use {
    ps::{ports as ps_ports, row as ps_row},
    run::{request as run_request, start_failure_code},
};
