use drua_api::models::ExecConfig;
use drua_compose::ps;
use drua_types::exit;

use super::project::ProjectArgs;
use crate::context::Context;
use crate::failure::{Failure, Outcome};
use crate::session::{DetachKeys, Ended, Session, Target, stdin_is_terminal, terminal_size};

/// Execute a command in a running container
#[derive(Debug, clap::Args)]
pub(super) struct Exec {
    /// Run command in the background
    #[arg(short, long)]
    detach: bool,
    /// Set environment variables
    #[arg(short, long, value_name = "NAME=VALUE")]
    env: Vec<String>,
    /// Index of the container if service has multiple replicas
    #[arg(long, value_name = "N", default_value_t = 0)]
    index: u32,
    /// Disable pseudo-TTY allocation
    #[arg(short = 'T', long = "no-tty", alias = "no-TTY")]
    no_tty: bool,
    /// Give extended privileges to the process
    #[arg(long)]
    privileged: bool,
    /// Run the command as this user
    #[arg(short, long, value_name = "USER")]
    user: Option<String>,
    /// Path to workdir directory for this command
    #[arg(short, long, value_name = "PATH")]
    workdir: Option<String>,
    /// Service
    service: String,
    /// Command and its arguments
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, required = true, value_name = "COMMAND")]
    command: Vec<String>,
}

/// The name of a service's running container: that of this number, or the first.
pub(super) async fn container_of(
    ctx: &Context,
    args: &ProjectArgs,
    service: &str,
    index: u32,
) -> Result<(drua_api::Client, String), Failure> {
    let (name, _) = args.load_if_there(ctx, &[])?;
    let client = ctx.client().await?;
    let containers = ps(&client, &name, &[service.to_owned()], true).await?;
    let found = containers.into_iter().find(|container| index == 0 || container.number == index);
    match found {
        Some(container) => Ok((client, container.name)),
        None if index > 0 => Err(Failure::message(format!("service \"{service}\" is not running container #{index}"))),
        None => Err(Failure::message(format!("service \"{service}\" is not running"))
            .hint(format!("start it with `drua compose up -d {service}`"))),
    }
}

impl Exec {
    pub(super) async fn run(self, ctx: &Context, args: &ProjectArgs) -> Outcome {
        let (client, container) = container_of(ctx, args, &self.service, self.index).await?;
        let tty = !self.no_tty && !self.detach && stdin_is_terminal();
        let command = ExecConfig {
            cmd: Some(self.command),
            user: self.user,
            working_dir: self.workdir,
            env: (!self.env.is_empty()).then_some(self.env),
            privileged: Some(self.privileged),
            tty: Some(tty),
            attach_stdin: Some(!self.detach),
            attach_stdout: Some(!self.detach),
            attach_stderr: Some(!self.detach),
            ..ExecConfig::default()
        };
        let id = client.exec_create(&container, &command).await?;
        if self.detach {
            client.exec_start_detached(&id, tty).await?;
            return Ok(exit::OK);
        }
        let session = Session {
            client: &client,
            ui: &ctx.ui,
            target: Target::Exec(&id),
            tty,
            stdin: true,
            proxy_signals: false,
            detach_keys: DetachKeys::parse(DetachKeys::DEFAULT)?,
        };
        let size = terminal_size().filter(|_| tty).map(|size| (size.rows, size.columns));
        let attached = client.exec_start(&id, tty, size).await?;
        let raw = session.raw_mode()?;
        session.resize().await;
        let ended = session.run(attached, None).await;
        drop(raw);
        match ended? {
            Ended::Detached => Ok(exit::OK),
            Ended::OutputClosed => {
                let code = client.exec_inspect(&id).await?.exit_code.unwrap_or_default();
                Ok(u8::try_from(code).unwrap_or(u8::MAX))
            }
        }
    }
}
