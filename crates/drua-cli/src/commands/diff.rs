use drua_types::exit;

use crate::context::Context;
use crate::failure::Outcome;

/// Show what a container has changed in its file system: A(dded), C(hanged), D(eleted)
#[derive(Debug, clap::Args)]
pub(crate) struct Diff {
    /// Container: name, id, or the beginning of an id
    container: String,
}

impl Diff {
    pub(super) async fn run(self, ctx: &Context) -> Outcome {
        for change in ctx.client().await?.container_changes(&self.container).await? {
            let kind = match change.kind {
                drua_api::models::ChangeType::_0 => 'C',
                drua_api::models::ChangeType::_1 => 'A',
                drua_api::models::ChangeType::_2 => 'D',
            };
            ctx.ui.line(&format!("{kind} {}", change.path))?;
        }
        Ok(exit::OK)
    }
}
