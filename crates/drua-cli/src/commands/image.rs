use super::inspect::inspect_all;
use super::{history, images, import, import_wasm, load, prune, pull, push, rmi, save, tag};
use crate::context::Context;
use crate::failure::Outcome;

/// Manage images
#[derive(Debug, clap::Args)]
pub(crate) struct Image {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    History(history::History),
    Import(import::Import),
    ImportWasm(import_wasm::ImportWasm),
    Inspect(Inspect),
    Load(load::Load),
    #[command(visible_alias = "list")]
    Ls(images::Images),
    Prune(prune::PruneImages),
    Pull(pull::Pull),
    Push(push::Push),
    #[command(visible_alias = "remove")]
    Rm(rmi::Rmi),
    Save(save::Save),
    Tag(tag::Tag),
}

/// Display detailed information on one or more images
#[derive(Debug, clap::Args)]
struct Inspect {
    /// Format output: json, or a Go template
    #[arg(short, long, value_name = "FORMAT")]
    format: Option<String>,
    /// Inspect the given platform variant, for example linux/amd64
    #[arg(long, value_name = "OS/ARCH")]
    platform: Option<drua_types::Platform>,
    /// Images: names, ids, or the beginnings of ids
    #[arg(required = true, value_name = "IMAGE")]
    images: Vec<String>,
}

impl Image {
    pub(super) async fn run(self, ctx: &Context) -> Outcome {
        match self.command {
            Command::History(command) => command.run(ctx).await,
            Command::Import(command) => command.run(ctx).await,
            Command::ImportWasm(command) => command.run(ctx).await,
            Command::Inspect(command) => command.run(ctx).await,
            Command::Load(command) => command.run(ctx).await,
            Command::Ls(command) => command.run(ctx).await,
            Command::Prune(command) => command.run(ctx).await,
            Command::Pull(command) => command.run(ctx).await,
            Command::Push(command) => command.run(ctx).await,
            Command::Rm(command) => command.run(ctx).await,
            Command::Save(command) => command.run(ctx).await,
            Command::Tag(command) => command.run(ctx).await,
        }
    }
}

impl Inspect {
    async fn run(self, ctx: &Context) -> Outcome {
        let client = ctx.client().await?;
        let platform = self.platform.as_ref().map(super::load::platform_json);
        let platform = platform.as_deref();
        inspect_all(ctx, &self.images, self.format.as_deref(), async |name| {
            Ok(client.image_inspect_raw(name, platform).await?)
        })
        .await
    }
}
