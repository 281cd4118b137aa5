use drua_api::client::WaitCondition;
use drua_types::exit;

use crate::context::Context;
use crate::failure::{Failure, Outcome};

/// Block until one or more containers stop, then print their exit codes
#[derive(Debug, clap::Args)]
pub(crate) struct Wait {
    /// Containers: names, ids, or the beginnings of ids
    #[arg(required = true, value_name = "CONTAINER")]
    containers: Vec<String>,
}

impl Wait {
    pub(super) async fn run(self, ctx: &Context) -> Outcome {
        let client = ctx.client().await?;
        let mut code = exit::OK;
        for name in &self.containers {
            let waited = async {
                let mut waiter = client.container_wait(name, WaitCondition::NotRunning).await?;
                let exit = waiter.exit().await?;
                exit.ok_or_else(|| Failure::message(format!("the daemon went away while `{name}` was waited for")))
            };
            match waited.await {
                Ok(exit) => ctx.ui.line(&exit.status_code.to_string())?,
                Err(failure) => {
                    ctx.ui.failure(&failure);
                    code = exit::FAILURE;
                }
            }
        }
        Ok(code)
    }
}
