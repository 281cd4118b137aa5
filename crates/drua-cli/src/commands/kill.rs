use super::targets::each;
use crate::context::Context;
use crate::failure::Outcome;

/// Kill one or more running containers
#[derive(Debug, clap::Args)]
pub(crate) struct Kill {
    /// Signal to send to the container [default: SIGKILL]
    #[arg(short, long, value_name = "SIGNAL")]
    signal: Option<String>,
    /// Containers: names, ids, or the beginnings of ids
    #[arg(required = true, value_name = "CONTAINER")]
    containers: Vec<String>,
}

impl Kill {
    pub(super) async fn run(self, ctx: &Context) -> Outcome {
        let client = ctx.client().await?;
        let signal = self.signal.as_deref();
        each(ctx, &self.containers, async |name| Ok(client.container_kill(name, signal).await?)).await
    }
}
