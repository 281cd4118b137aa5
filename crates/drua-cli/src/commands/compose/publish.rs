use drua_types::exit;

use super::project::ProjectArgs;
use crate::context::Context;
use crate::failure::{Failure, Outcome};

/// Publish compose application
#[derive(Debug, clap::Args)]
pub(super) struct Publish {
    /// Print what would be published and do nothing else
    #[arg(long)]
    dry_run: bool,
    /// Assume "yes" as answer to all prompts
    #[arg(short, long)]
    yes: bool,
    /// The artifact's name in a registry
    #[arg(value_name = "REPOSITORY[:TAG]")]
    reference: String,
}

impl Publish {
    pub(super) async fn run(self, ctx: &Context, args: &ProjectArgs) -> Outcome {
        let project = args.load(ctx, &[])?;
        self.reference.parse::<drua_types::ImageRef>()?;
        let bound = project.services.iter().filter(|(_, service)| {
            service.volumes.iter().any(|mount| mount.kind == drua_compose::file::MountKind::Bind)
        });
        let bound: Vec<String> = bound.map(|(name, _)| name.to_string()).collect();
        if !bound.is_empty() {
            return Err(Failure::message(format!("services {} mount folders of this machine", bound.join(", "))));
        }
        if self.dry_run {
            ctx.ui.data(project.to_yaml().as_bytes())?;
            return Ok(exit::OK);
        }
        Err(Failure::message("the engine's API has no way to push an artifact that is not an image")
            .hint("print what would be published with `--dry-run`"))
    }
}
