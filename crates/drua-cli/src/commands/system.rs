use std::io::Read as _;
use std::os::unix::net::UnixStream;

use drua_api::Host;
use drua_types::exit;

use super::events::Events;
use super::info::Info;
use super::prune::PruneSystem;
use super::system_check::Check;
use super::system_df::Df;
use crate::context::Context;
use crate::failure::{Failure, Outcome};

/// Manage the daemon
#[derive(Debug, clap::Args)]
pub(crate) struct System {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    Check(Check),
    Df(Df),
    DialStdio(DialStdio),
    Events(Events),
    Info(Info),
    Prune(PruneSystem),
}

impl System {
    pub(super) async fn run(self, ctx: &Context) -> Outcome {
        match self.command {
            Command::Check(command) => command.run(ctx).await,
            Command::Df(command) => command.run(ctx).await,
            Command::DialStdio(command) => command.run(ctx).await,
            Command::Events(command) => command.run(ctx).await,
            Command::Info(command) => command.run(ctx).await,
            Command::Prune(command) => command.run(ctx).await,
        }
    }
}

/// Connect standard input and output to the daemon; what `ssh://` hosts run on the other side
#[derive(Debug, clap::Args)]
#[command(hide = true)]
struct DialStdio {}

impl DialStdio {
    async fn run(self, ctx: &Context) -> Outcome {
        // Starts the daemon when there is none.
        ctx.client().await?;
        let host = ctx.host();
        let Host::Unix(path) = &host else {
            return Err(Failure::message(format!("dial-stdio connects to a unix socket, not to {host}")));
        };
        let mut socket = UnixStream::connect(path)?;
        let mut input = socket.try_clone()?;
        // Ends with the process when the daemon closes first.
        std::thread::spawn(move || {
            let copied = std::io::copy(&mut std::io::stdin().lock(), &mut input);
            // The daemon sees the end of what the client says, and may go on answering.
            let _ = copied.and_then(|_| input.shutdown(std::net::Shutdown::Write));
        });
        let mut buffer = vec![0; 64 << 10];
        loop {
            match socket.read(&mut buffer)? {
                0 => return Ok(exit::OK),
                read => ctx.ui.data(&buffer[..read])?,
            }
        }
    }
}
