use std::path::PathBuf;

use drua_types::exit;

use super::save::write_archive;
use crate::context::Context;
use crate::failure::Outcome;

/// Export a container's filesystem as a tar archive
#[derive(Debug, clap::Args)]
pub(crate) struct Export {
    /// Write to a file, instead of standard output
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Container: name, id, or the beginning of an id
    container: String,
}

impl Export {
    pub(super) async fn run(self, ctx: &Context) -> Outcome {
        let archive = ctx.client().await?.container_export(&self.container).await?;
        write_archive(ctx, archive, self.output.as_deref(), "exporting").await?;
        Ok(exit::OK)
    }
}
