use drua_api::client::RemoveContainer;

use drua_types::exit;

use crate::context::Context;
use crate::failure::Outcome;

/// Remove one or more containers
#[derive(Debug, clap::Args)]
pub(crate) struct Rm {
    /// Force the removal of a running container (uses SIGKILL)
    #[arg(short, long)]
    force: bool,
    /// Remove anonymous volumes associated with the container
    #[arg(short, long)]
    volumes: bool,
    /// Remove the specified link
    #[arg(short, long)]
    link: bool,
    /// Containers: names, ids, or the beginnings of ids
    #[arg(required = true, value_name = "CONTAINER")]
    containers: Vec<String>,
}

impl Rm {
    pub(super) async fn run(self, ctx: &Context) -> Outcome {
        let client = ctx.client().await?;
        let options = RemoveContainer { force: self.force, volumes: self.volumes, link: self.link };
        let mut code = exit::OK;
        for name in &self.containers {
            match client.container_remove(name, options).await {
                Ok(()) => ctx.ui.line(name)?,
                Err(error) => {
                    // What is gone already is what `--force` asks for.
                    if !(self.force && error.is_not_found()) {
                        code = exit::FAILURE;
                    }
                    ctx.ui.failure(&error.into());
                }
            }
        }
        Ok(code)
    }
}
