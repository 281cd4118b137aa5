use drua_api::Client;
use drua_api::models::ExecConfig;
use drua_types::exit;

use crate::context::Context;
use crate::failure::{Failure, Outcome};
use crate::options::variables;
use crate::session::{DetachKeys, Ended, Session, Target, stdin_is_terminal, terminal_size};

/// Execute a command in a running container
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  drua exec -it web sh                       a shell beside what runs
  drua exec -u www-data -w /srv web id       as another user, in another directory
  drua exec -i db psql < dump.sql            with input")]
pub(crate) struct Exec {
    /// Detached mode: run command in the background
    #[arg(short, long)]
    detach: bool,
    /// Key sequence that detaches
    #[arg(long, value_name = "KEYS", default_value = DetachKeys::DEFAULT)]
    detach_keys: String,
    /// Set environment variables
    #[arg(short, long, value_name = "NAME[=VALUE]")]
    env: Vec<String>,
    /// Read in a file of environment variables
    #[arg(long, value_name = "FILE")]
    env_file: Vec<String>,
    /// Keep STDIN open even if not attached
    #[arg(short, long)]
    interactive: bool,
    /// Give extended privileges to the command
    #[arg(long)]
    privileged: bool,
    /// Allocate a pseudo-TTY
    #[arg(short, long)]
    tty: bool,
    /// Username or UID (format: "<name|uid>[:<group|gid>]")
    #[arg(short, long, value_name = "USER")]
    user: Option<String>,
    /// Working directory inside the container
    #[arg(short, long, value_name = "DIR")]
    workdir: Option<String>,
    /// Container: name, id, or the beginning of an id
    container: String,
    /// The command and its arguments
    #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true, value_name = "COMMAND")]
    command: Vec<String>,
}

impl Exec {
    pub(super) async fn run(self, ctx: &Context) -> Outcome {
        let detach_keys = DetachKeys::parse(&self.detach_keys)?;
        let stdin = self.interactive && !self.detach;
        if stdin && self.tty && !stdin_is_terminal() {
            return Err(Failure::message("the input device is not a TTY").hint("leave out `-t` when input is piped"));
        }
        let client = ctx.client().await?;
        let id = client.exec_create(&self.container, &self.config()?).await?;
        if self.detach {
            client.exec_start_detached(&id, self.tty).await?;
            return Ok(exit::OK);
        }
        let size = terminal_size().filter(|_| self.tty).map(|size| (size.rows, size.columns));
        let attached = client.exec_start(&id, self.tty, size).await?;
        let session = Session {
            client: &client,
            ui: &ctx.ui,
            target: Target::Exec(&id),
            tty: self.tty,
            stdin,
            proxy_signals: false,
            detach_keys,
        };
        let raw = session.raw_mode()?;
        session.resize().await;
        let ended = session.run(attached, None).await;
        drop(raw);
        match ended? {
            Ended::Detached => {
                ctx.ui.note("read escape sequence");
                Ok(exit::OK)
            }
            Ended::OutputClosed => exit_code(&client, &id).await,
        }
    }

    fn config(&self) -> Result<ExecConfig, Failure> {
        let source = |name: &str| std::env::var(name).ok();
        let env = variables(&self.env_file, &self.env, &source)?;
        Ok(ExecConfig {
            attach_stdin: Some(self.interactive && !self.detach),
            attach_stdout: Some(!self.detach),
            attach_stderr: Some(!self.detach),
            detach_keys: Some(self.detach_keys.clone()),
            tty: Some(self.tty),
            env: (!env.is_empty()).then_some(env),
            cmd: Some(self.command.clone()),
            privileged: Some(self.privileged),
            user: self.user.clone(),
            working_dir: self.workdir.clone(),
            ..ExecConfig::default()
        })
    }
}

/// The command's own exit code.
async fn exit_code(client: &Client, id: &str) -> Outcome {
    let exec = client.exec_inspect(id).await?;
    match exec.exit_code {
        Some(code) => Ok(u8::try_from(code).unwrap_or(u8::MAX)),
        None => Err(Failure::message("the daemon went away before the command's exit code was known")),
    }
}
