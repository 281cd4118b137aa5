//! `drua builder prune`

use drua_api::Filters;
use drua_types::{ByteSize, exit};

use crate::context::Context;
use crate::failure::Outcome;
use crate::options::api_filters;
use crate::ui::decimal_size;

/// Manage builds
#[derive(Debug, clap::Args)]
pub(crate) struct Builder {
    #[command(subcommand)]
    command: BuilderCommand,
}

#[derive(Debug, clap::Subcommand)]
enum BuilderCommand {
    Prune(Prune),
}

/// Remove build cache
#[derive(Debug, clap::Args)]
struct Prune {
    /// Remove all unused build cache, not just dangling ones
    #[arg(short, long)]
    all: bool,
    /// Provide filter values (e.g. "until=24h")
    #[arg(long, value_name = "KEY=VALUE")]
    filter: Vec<String>,
    /// Amount of disk space to keep for cache
    #[arg(long, value_name = "BYTES", alias = "max-used-space")]
    keep_storage: Option<ByteSize>,
    /// Do not prompt for confirmation
    #[arg(short, long)]
    force: bool,
}

impl Builder {
    pub(super) async fn run(self, ctx: &Context) -> Outcome {
        let BuilderCommand::Prune(prune) = self.command;
        let warning = match prune.all {
            true => "This will remove all build cache.",
            false => "This will remove all dangling build cache.",
        };
        let question = format!("WARNING! {warning}\nAre you sure you want to continue?");
        if !prune.force && !ctx.ui.confirm(&question)? {
            return Ok(exit::OK);
        }
        let filters: Filters = api_filters(&prune.filter)?;
        let keep = prune.keep_storage.map(|size| size.bytes());
        let pruned = ctx.client().await?.build_prune(prune.all, keep, &filters).await?;
        let ids = pruned.caches_deleted.unwrap_or_default();
        if !ids.is_empty() {
            ctx.ui.line(&format!("Deleted build cache objects:\n{}\n", ids.join("\n")))?;
        }
        let bytes = pruned.space_reclaimed;
        ctx.ui.line(&format!("Total reclaimed space: {}", decimal_size(bytes, 3)))?;
        Ok(exit::OK)
    }
}
