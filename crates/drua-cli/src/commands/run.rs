use drua_api::client::{AttachOptions, Attached, WaitCondition, Waiter};
use drua_api::{Client, ClientError};
use drua_types::exit;

use super::create::create;
use crate::context::Context;
use crate::failure::{Failure, Outcome};
use crate::options::{ContainerArgs, Streams};
use crate::session::{DetachKeys, Ended, Session, Signals, Target, stdin_is_terminal};

/// Create and run a new container from an image
#[derive(Debug, clap::Args)]
#[command(
    disable_help_flag = true,
    after_help = "Examples:
  drua run --rm busybox echo hello                        run a command and remove the container
  drua run --rm -it busybox sh                            with a terminal; ctrl-p ctrl-q leaves it running
  drua run -d --name web -p 8080:80 -v \"$PWD\":/srv nginx   in the background, with a port and a directory
  drua run --rm --platform wasi/wasm hello-wasm           a WebAssembly module in the same sandbox"
)]
pub(crate) struct Run {
    /// Run the container in the background and print its id
    #[arg(short, long)]
    detach: bool,
    /// Pass received signals on to the process
    #[arg(long, default_value_t = true, action = clap::ArgAction::Set, num_args = 0..=1, require_equals = true, default_missing_value = "true", value_name = "BOOL")]
    sig_proxy: bool,
    /// Key sequence that detaches
    #[arg(long, value_name = "KEYS", default_value = DetachKeys::DEFAULT)]
    detach_keys: String,
    #[command(flatten)]
    container: ContainerArgs,
}

impl Run {
    pub(super) async fn run(self, ctx: &Context) -> Outcome {
        // Whatever fails before the container's own command runs is 125, so that its exit codes stay its own.
        self.run_container(ctx).await.map_err(|failure| match failure.code {
            exit::FAILURE => failure.with_code(exit::ENGINE),
            _ => failure,
        })
    }

    async fn run_container(&self, ctx: &Context) -> Outcome {
        let streams = self.streams()?;
        let request = self.container.request(streams)?;
        let detach_keys = DetachKeys::parse(&self.detach_keys)?;
        if let Some(streams) = streams
            && streams.stdin
            && self.container.tty
            && !stdin_is_terminal()
        {
            return Err(Failure::message("the input device is not a TTY").hint("leave out `-t` when input is piped"));
        }
        let client = ctx.client().await?;
        let created = create(ctx, &client, &self.container, &request).await?;
        let Some(streams) = streams else {
            client.container_start(&created.id, None).await.map_err(start_failure)?;
            ctx.ui.line(&created.id)?;
            return Ok(exit::OK);
        };
        let session = Session {
            client: &client,
            ui: &ctx.ui,
            target: Target::Container(&created.id),
            tty: self.container.tty,
            stdin: streams.stdin,
            proxy_signals: self.sig_proxy,
            detach_keys,
        };
        self.foreground(&client, &session, &created.id, streams).await
    }

    /// What stays with us; nothing in the background.
    fn streams(&self) -> Result<Option<Streams>, Failure> {
        if !self.detach {
            return Ok(Some(self.container.streams()?));
        }
        if !self.container.attach.is_empty() {
            return Err(Failure::message("conflicting options: cannot specify both --attach and --detach"));
        }
        Ok(None)
    }

    /// Attach, wait, start, resize, in the order in which nothing can be missed.
    async fn foreground(&self, client: &Client, session: &Session<'_>, id: &str, streams: Streams) -> Outcome {
        // Caught from here on: a signal between start and the first read must not kill us and leave the container.
        let signals = Signals::catch()?;
        let attached = self.attach(client, id, streams).await?;
        let condition = if self.container.rm { WaitCondition::Removed } else { WaitCondition::NextExit };
        let mut waiter = client.container_wait(id, condition).await?;
        client.container_start(id, None).await.map_err(start_failure)?;
        let raw = session.raw_mode()?;
        session.resize().await;
        let ended = session.run(attached, Some(signals)).await;
        drop(raw);
        match ended? {
            Ended::Detached => Ok(exit::OK),
            Ended::OutputClosed => exit_code(&mut waiter).await,
        }
    }

    async fn attach(&self, client: &Client, id: &str, streams: Streams) -> Result<Attached, Failure> {
        let Streams { stdin, stdout, stderr } = streams;
        let options = AttachOptions { stdin, stdout, stderr, logs: false, detach_keys: Some(self.detach_keys.clone()) };
        Ok(client.container_attach(id, &options).await?)
    }
}

/// The container's own exit code.
pub(super) async fn exit_code(waiter: &mut Waiter) -> Outcome {
    let exit = waiter.exit().await?;
    let exit = exit.ok_or_else(|| {
        Failure::message("the daemon went away before the container's exit code was known").with_code(exit::ENGINE)
    })?;
    if let Some(message) = exit.error.and_then(|error| error.message).filter(|message| !message.is_empty()) {
        return Err(Failure::message(message).with_code(exit::ENGINE));
    }
    // Codes are 0–255; anything else is the daemon's mistake, and a failure in any case.
    Ok(u8::try_from(exit.status_code).unwrap_or(u8::MAX))
}

/// A container that could not be started: 127 for a missing command, 126 for one that cannot be run, 125 for the rest.
///
/// Docker's clients decide it by the daemon's words, since the API has no other sign of it; so do we.
fn start_failure(error: ClientError) -> Failure {
    let text = error.to_string();
    let contains = |words: &[&str]| words.iter().any(|words| text.contains(words));
    let code = if contains(&[
        "executable file not found",
        "no such file or directory",
        "system cannot find the file specified",
    ]) {
        exit::NOT_FOUND
    } else if contains(&["permission denied", "is a directory"]) {
        exit::NOT_EXECUTABLE
    } else {
        exit::ENGINE
    };
    Failure::new(error).with_code(code)
}

#[cfg(test)]
pub(crate) fn start_failure_code(message: &str) -> u8 {
    start_failure(drua_api::ApiError { status: 400, message: message.to_owned() }.into()).code
}

/// The request that `drua run <args>` would send.
#[cfg(test)]
pub(crate) fn request(args: &[&str]) -> anyhow::Result<crate::options::CreateRequest> {
    #[derive(clap::Parser)]
    struct Line {
        #[command(flatten)]
        run: Run,
    }
    let line = <Line as clap::Parser>::try_parse_from(["run"].iter().chain(args))?;
    let streams = line.run.streams().map_err(|failure| failure.error)?;
    line.run.container.request(streams)
}
