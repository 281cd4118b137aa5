use drua_api::client::{AttachOptions, WaitCondition};
use drua_types::exit;

use crate::context::Context;
use crate::failure::{Failure, Outcome};
use crate::session::{DetachKeys, Ended, Session, Signals, Target, stdin_is_terminal};

/// Attach local standard input, output, and error streams to a running container
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  drua attach web                  see its output; ctrl-c goes to the container
  drua attach --no-stdin web       only look

With a terminal, ctrl-p ctrl-q leaves the container running.")]
pub(crate) struct Attach {
    /// Do not attach stdin
    #[arg(long)]
    no_stdin: bool,
    /// Pass received signals on to the process
    #[arg(long, default_value_t = true, action = clap::ArgAction::Set, num_args = 0..=1, require_equals = true, default_missing_value = "true", value_name = "BOOL")]
    sig_proxy: bool,
    /// Key sequence that detaches
    #[arg(long, value_name = "KEYS", default_value = DetachKeys::DEFAULT)]
    detach_keys: String,
    /// Container: name, id, or the beginning of an id
    container: String,
}

impl Attach {
    /// The command for a container that another command has found.
    pub(super) fn to(container: String, no_stdin: bool, sig_proxy: bool, detach_keys: String) -> Self {
        Self { no_stdin, sig_proxy, detach_keys, container }
    }

    pub(super) async fn run(self, ctx: &Context) -> Outcome {
        let client = ctx.client().await?;
        let container = client.container_inspect(&self.container).await?;
        let state = container.state.unwrap_or_default();
        if state.running != Some(true) {
            return Err(Failure::message("cannot attach to a stopped container, start it first"));
        }
        if state.paused == Some(true) {
            return Err(Failure::message("cannot attach to a paused container, unpause it first"));
        }
        if state.restarting == Some(true) {
            return Err(Failure::message("cannot attach to a restarting container, wait until it is running"));
        }
        let config = container.config.unwrap_or_default();
        let tty = config.tty == Some(true);
        let stdin = !self.no_stdin && config.open_stdin == Some(true);
        if stdin && tty && !stdin_is_terminal() {
            return Err(Failure::message("the input device is not a TTY"));
        }
        let attach = AttachOptions {
            stdin,
            stdout: true,
            stderr: true,
            logs: false,
            detach_keys: Some(self.detach_keys.clone()),
        };
        let session = Session {
            client: &client,
            ui: &ctx.ui,
            target: Target::Container(&self.container),
            tty,
            stdin,
            proxy_signals: self.sig_proxy && !tty,
            detach_keys: DetachKeys::parse(&self.detach_keys)?,
        };
        let signals = Signals::catch()?;
        let mut waiter = client.container_wait(&self.container, WaitCondition::NotRunning).await?;
        let attached = client.container_attach(&self.container, &attach).await?;
        let raw = session.raw_mode()?;
        session.resize().await;
        let ended = session.run(attached, Some(signals)).await;
        drop(raw);
        match ended? {
            Ended::Detached => {
                ctx.ui.note("read escape sequence");
                Ok(exit::OK)
            }
            Ended::OutputClosed => super::run::exit_code(&mut waiter).await,
        }
    }
}
