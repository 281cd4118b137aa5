use drua_api::Client;
use drua_api::client::{AttachOptions, WaitCondition};
use drua_types::exit;

use super::targets::each;
use crate::context::Context;
use crate::failure::{Failure, Outcome};
use crate::session::{DetachKeys, Ended, Session, Signals, Target};

/// Start one or more stopped containers
#[derive(Debug, clap::Args)]
pub(crate) struct Start {
    /// Attach the container's output and pass signals on
    #[arg(short, long)]
    attach: bool,
    /// Attach the container's input too
    #[arg(short, long)]
    interactive: bool,
    /// Key sequence that detaches
    #[arg(long, value_name = "KEYS", default_value = DetachKeys::DEFAULT)]
    detach_keys: String,
    /// Containers: names, ids, or the beginnings of ids
    #[arg(required = true, value_name = "CONTAINER")]
    containers: Vec<String>,
}

impl Start {
    pub(super) async fn run(self, ctx: &Context) -> Outcome {
        let client = ctx.client().await?;
        if !self.attach && !self.interactive {
            return each(ctx, &self.containers, async |name| Ok(client.container_start(name, None).await?)).await;
        }
        match self.containers.as_slice() {
            [only] => self.start_attached(ctx, &client, only).await,
            _ => Err(Failure::message("you cannot start and attach multiple containers at once")),
        }
    }

    async fn start_attached(&self, ctx: &Context, client: &Client, name: &str) -> Outcome {
        let container = client.container_inspect(name).await?;
        let config = container.config.unwrap_or_default();
        let stdin = self.interactive && config.open_stdin == Some(true);
        let tty = config.tty == Some(true);
        let attach = AttachOptions {
            stdin,
            stdout: true,
            stderr: true,
            logs: false,
            detach_keys: Some(self.detach_keys.clone()),
        };
        let detach_keys = DetachKeys::parse(&self.detach_keys)?;
        let session = Session {
            client,
            ui: &ctx.ui,
            target: Target::Container(name),
            tty,
            stdin,
            proxy_signals: !tty,
            detach_keys,
        };
        let signals = Signals::catch()?;
        let attached = client.container_attach(name, &attach).await?;
        let removes_itself = container.host_config.and_then(|host| host.auto_remove) == Some(true);
        let condition = if removes_itself { WaitCondition::Removed } else { WaitCondition::NextExit };
        let mut waiter = client.container_wait(name, condition).await?;
        client.container_start(name, None).await?;
        let raw = session.raw_mode()?;
        session.resize().await;
        let ended = session.run(attached, Some(signals)).await;
        drop(raw);
        match ended? {
            Ended::Detached => Ok(exit::OK),
            Ended::OutputClosed => super::run::exit_code(&mut waiter).await,
        }
    }
}
