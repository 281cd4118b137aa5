use super::targets::each;
use crate::context::Context;
use crate::failure::Outcome;

/// Pause all processes within one or more containers
#[derive(Debug, clap::Args)]
pub(crate) struct Pause {
    /// Containers: names, ids, or the beginnings of ids
    #[arg(required = true, value_name = "CONTAINER")]
    containers: Vec<String>,
}

impl Pause {
    pub(super) async fn run(self, ctx: &Context) -> Outcome {
        let client = ctx.client().await?;
        each(ctx, &self.containers, async |name| Ok(client.container_pause(name).await?)).await
    }
}

/// Unpause all processes within one or more containers
#[derive(Debug, clap::Args)]
pub(crate) struct Unpause {
    /// Containers: names, ids, or the beginnings of ids
    #[arg(required = true, value_name = "CONTAINER")]
    containers: Vec<String>,
}

impl Unpause {
    pub(super) async fn run(self, ctx: &Context) -> Outcome {
        let client = ctx.client().await?;
        each(ctx, &self.containers, async |name| Ok(client.container_unpause(name).await?)).await
    }
}
