use drua_api::client::{AttachOptions, WaitCondition};
use drua_compose::file::{parse_mount, parse_ports};
use drua_compose::{RunOptions, run_create};
use drua_types::exit;
use tokio_util::sync::CancellationToken;

use super::project::ProjectArgs;
use super::report::Report;
use crate::commands::run::exit_code;
use crate::context::Context;
use crate::failure::{Failure, Outcome};
use crate::session::{DetachKeys, Ended, Session, Signals, Target, stdin_is_terminal};

/// Run a one-off command on a service
#[derive(Debug, clap::Args)]
pub(super) struct Run {
    /// Run container in background and print container ID
    #[arg(short, long)]
    detach: bool,
    /// Build image before starting container
    #[arg(long)]
    build: bool,
    /// Pull image before running: always, missing or never
    #[arg(long, value_name = "POLICY")]
    pull: Option<String>,
    /// Set environment variables
    #[arg(short, long, value_name = "NAME=VALUE")]
    env: Vec<String>,
    /// Add or override a label
    #[arg(short, long, value_name = "NAME=VALUE")]
    label: Vec<String>,
    /// Automatically remove the container when it exits
    #[arg(long)]
    rm: bool,
    /// Disable pseudo-TTY allocation
    #[arg(short = 'T', long = "no-tty", alias = "no-TTY")]
    no_tty: bool,
    /// Keep STDIN open even if not attached
    #[arg(short, long, default_value_t = true, action = clap::ArgAction::Set, num_args = 0..=1, require_equals = true, default_missing_value = "true", value_name = "BOOL")]
    interactive: bool,
    /// Assign a name to the container
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    /// Run as specified username or uid
    #[arg(short, long, value_name = "USER")]
    user: Option<String>,
    /// Working directory inside the container
    #[arg(short, long, value_name = "PATH")]
    workdir: Option<String>,
    /// Override the entrypoint of the image
    #[arg(long, value_name = "COMMAND")]
    entrypoint: Option<String>,
    /// Add Linux capabilities
    #[arg(long, value_name = "NAME")]
    cap_add: Vec<String>,
    /// Drop Linux capabilities
    #[arg(long, value_name = "NAME")]
    cap_drop: Vec<String>,
    /// Don't start linked services
    #[arg(long)]
    no_deps: bool,
    /// Bind mount a volume
    #[arg(short, long, value_name = "SOURCE:TARGET")]
    volume: Vec<String>,
    /// Publish a container's port(s) to the host
    #[arg(short, long, value_name = "PORTS")]
    publish: Vec<String>,
    /// Run command with all service's ports enabled and mapped to the host
    #[arg(short = 'P', long)]
    service_ports: bool,
    /// Use the service's network useAliases in the network(s) the container connects to
    #[arg(long)]
    use_aliases: bool,
    /// Remove containers for services not defined in the compose file
    #[arg(long)]
    remove_orphans: bool,
    /// Don't print anything to STDOUT but the container's output
    #[arg(short, long)]
    quiet: bool,
    /// Service
    service: String,
    /// Command and its arguments
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "COMMAND")]
    command: Vec<String>,
}

impl Run {
    pub(super) async fn run(self, ctx: &Context, args: &ProjectArgs) -> Outcome {
        let project = args.load(ctx, std::slice::from_ref(&self.service))?;
        let tty = !self.no_tty && !self.detach && stdin_is_terminal();
        let invalid = |what: &str, text: &str, why: String| Failure::message(format!("invalid {what} `{text}`: {why}"));
        let mut ports = Vec::new();
        for text in &self.publish {
            ports.extend(parse_ports(text).map_err(|why| invalid("port", text, why))?);
        }
        let mut volumes = Vec::new();
        for text in &self.volume {
            volumes.push(parse_mount(text, &std::env::current_dir()?).map_err(|why| invalid("volume", text, why))?);
        }
        let options = RunOptions {
            service: self.service,
            command: self.command,
            entrypoint: self.entrypoint.map(|text| text.split_whitespace().map(str::to_owned).collect()),
            environment: self.env,
            labels: self.label,
            name: self.name,
            remove: self.rm,
            service_ports: self.service_ports,
            ports,
            volumes,
            use_aliases: self.use_aliases,
            user: self.user,
            working_dir: self.workdir,
            tty,
            interactive: self.interactive && !self.detach,
            no_dependencies: self.no_deps,
            build: self.build,
            cap_add: self.cap_add,
            cap_drop: self.cap_drop,
            pull: self.pull,
            remove_orphans: self.remove_orphans,
        };
        let client = ctx.client().await?;
        let report = Report::new(&ctx.ui);
        let signals = Signals::catch()?;
        let id = run_create(&client, &project, &options, &report, &CancellationToken::new()).await?;
        if self.detach {
            client.container_start(&id, None).await?;
            ctx.ui.line(&id)?;
            return Ok(exit::OK);
        }
        let session = Session {
            client: &client,
            ui: &ctx.ui,
            target: Target::Container(&id),
            tty,
            stdin: options.interactive,
            proxy_signals: !tty,
            detach_keys: DetachKeys::parse(DetachKeys::DEFAULT)?,
        };
        let attach =
            AttachOptions { stdin: options.interactive, stdout: true, stderr: true, ..AttachOptions::default() };
        let attached = client.container_attach(&id, &attach).await?;
        let condition = if options.remove { WaitCondition::Removed } else { WaitCondition::NextExit };
        let mut waiter = client.container_wait(&id, condition).await?;
        client.container_start(&id, None).await?;
        let raw = session.raw_mode()?;
        session.resize().await;
        let ended = session.run(attached, Some(signals)).await;
        drop(raw);
        match ended? {
            Ended::Detached => Ok(exit::OK),
            Ended::OutputClosed => exit_code(&mut waiter).await,
        }
    }
}
