use drua_types::exit;

use crate::context::Context;
use crate::failure::Outcome;

/// Rename a container
#[derive(Debug, clap::Args)]
pub(crate) struct Rename {
    /// Container: name, id, or the beginning of an id
    container: String,
    /// Its new name
    new_name: String,
}

impl Rename {
    pub(super) async fn run(self, ctx: &Context) -> Outcome {
        ctx.client().await?.container_rename(&self.container, &self.new_name).await?;
        Ok(exit::OK)
    }
}
