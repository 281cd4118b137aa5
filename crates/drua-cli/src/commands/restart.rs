use super::targets::each;
use crate::context::Context;
use crate::failure::Outcome;

use drua_api::client::StopOptions;

/// Restart one or more containers
#[derive(Debug, clap::Args)]
pub(crate) struct Restart {
    /// Signal to send to the container
    #[arg(short, long, value_name = "SIGNAL")]
    signal: Option<String>,
    /// Seconds to wait before killing the container; -1 waits for ever
    #[arg(short, long, alias = "time", value_name = "SECONDS", allow_hyphen_values = true)]
    timeout: Option<i64>,
    /// Containers: names, ids, or the beginnings of ids
    #[arg(required = true, value_name = "CONTAINER")]
    containers: Vec<String>,
}

impl Restart {
    pub(super) async fn run(self, ctx: &Context) -> Outcome {
        let client = ctx.client().await?;
        let options = StopOptions { signal: self.signal, timeout_seconds: self.timeout };
        each(ctx, &self.containers, async |name| Ok(client.container_restart(name, &options).await?)).await
    }
}
