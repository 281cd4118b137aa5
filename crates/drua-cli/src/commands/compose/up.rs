use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::Context as _;
use drua_compose::{Signals as UpSignals, UpOptions, UpOutcome, WatchOptions, up, up_attached, watch};
use drua_types::exit;
use tokio_util::sync::CancellationToken;

use super::interrupt::{INTERRUPTED, cancellable, ends};
use super::project::ProjectArgs;
use super::report::{Exit, Prefix, Report};
use super::watch::state_dir;
use crate::context::Context;
use crate::failure::{Failure, Outcome};
use crate::session::Signals;

/// How containers come to be what the file says: shared by `up` and `create`.
#[derive(Debug, Clone, clap::Args)]
pub(super) struct Converge {
    /// Build images before starting containers
    #[arg(long)]
    build: bool,
    /// Don't build an image, even if it's policy
    #[arg(long, conflicts_with = "build")]
    no_build: bool,
    /// Pull image before running: always, missing, never or build
    #[arg(long, value_name = "POLICY")]
    pull: Option<String>,
    /// Recreate containers even if their configuration has not changed
    #[arg(long, conflicts_with = "no_recreate")]
    force_recreate: bool,
    /// Don't recreate containers that exist, whatever has changed
    #[arg(long)]
    no_recreate: bool,
    /// Remove containers for services not defined in the compose file
    #[arg(long)]
    remove_orphans: bool,
    /// Number of containers of a service
    #[arg(long, value_name = "SERVICE=N")]
    scale: Vec<String>,
    /// Assume "yes" as answer to all prompts
    #[arg(short, long)]
    yes: bool,
}

impl Converge {
    fn options(&self) -> anyhow::Result<UpOptions> {
        let pull = self.pull.as_deref();
        Ok(UpOptions {
            build: self.build || pull == Some("build"),
            no_build: self.no_build,
            pull: self.pull.clone().filter(|policy| policy != "build"),
            force_recreate: self.force_recreate,
            no_recreate: self.no_recreate,
            remove_orphans: self.remove_orphans,
            scale: scale(&self.scale)?,
            ..UpOptions::default()
        })
    }
}

/// Create and start containers
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  drua compose up -d               in the background
  drua compose up web              one service and what it depends on, with its output
  drua compose up --watch          with its output, following edits")]
pub(super) struct Up {
    #[command(flatten)]
    converge: Converge,
    /// Run containers in the background
    #[arg(short, long)]
    detach: bool,
    /// Recreate dependent containers
    #[arg(long, conflicts_with = "no_recreate")]
    always_recreate_deps: bool,
    /// Don't start linked services
    #[arg(long)]
    no_deps: bool,
    /// Don't start the services after creating them
    #[arg(long)]
    no_start: bool,
    /// Recreate anonymous volumes instead of taking over their data
    #[arg(short = 'V', long)]
    renew_anon_volumes: bool,
    /// Wait for services to be running or healthy; implies --detach
    #[arg(long)]
    wait: bool,
    /// Maximum duration in seconds to wait for the project to be running or healthy
    #[arg(long, value_name = "SECONDS")]
    wait_timeout: Option<u64>,
    /// Stops all containers if any container was stopped
    #[arg(long, conflicts_with = "detach")]
    abort_on_container_exit: bool,
    /// Stops all containers if any container exited with failure
    #[arg(long, conflicts_with = "detach")]
    abort_on_container_failure: bool,
    /// Return the exit code of the selected service container; implies --abort-on-container-exit
    #[arg(long, value_name = "SERVICE", conflicts_with = "detach")]
    exit_code_from: Option<String>,
    /// Restrict attaching to the specified services
    #[arg(long, value_name = "SERVICE")]
    attach: Vec<String>,
    /// Do not attach (stream logs) to the specified services
    #[arg(long, value_name = "SERVICE")]
    no_attach: Vec<String>,
    /// Automatically attach to log output of dependent services
    #[arg(long)]
    attach_dependencies: bool,
    /// Enable interactive shortcuts when running attached (accepted, without effect)
    #[arg(long, hide = true)]
    menu: bool,
    /// Watch source code and rebuild/refresh containers when files are updated
    #[arg(short, long, conflicts_with = "detach")]
    watch: bool,
    /// Seconds until a container that has to stop is killed
    #[arg(short, long, value_name = "SECONDS", allow_hyphen_values = true)]
    timeout: Option<i64>,
    /// Don't print the container before each line of output
    #[arg(long)]
    no_log_prefix: bool,
    /// Don't colour the output
    #[arg(long)]
    no_color: bool,
    /// Show timestamps
    #[arg(long)]
    timestamps: bool,
    /// Pull without printing progress information
    #[arg(long)]
    quiet_pull: bool,
    /// Suppress the build output
    #[arg(long)]
    quiet_build: bool,
    /// Services [default: all]
    #[arg(value_name = "SERVICE")]
    services: Vec<String>,
}

impl Up {
    pub(super) async fn run(self, ctx: &Context, args: &ProjectArgs) -> Outcome {
        let options = UpOptions {
            services: self.services.clone(),
            no_dependencies: self.no_deps,
            no_start: self.no_start,
            renew_anonymous_volumes: self.renew_anon_volumes,
            wait: self.wait,
            timeout_seconds: self.timeout,
            always_recreate_deps: self.always_recreate_deps,
            ..self.converge.options()?
        };
        let mut project = args.load(ctx, &self.services)?;
        for (name, service) in &mut project.services {
            let named = |list: &[String]| list.iter().any(|known| known == name.as_str());
            if (!self.attach.is_empty() && !named(&self.attach)) || named(&self.no_attach) {
                service.attach = Some(false);
            }
        }
        if let Some(from) = self.exit_code_from.as_ref().filter(|from| !project.services.contains_key(from.as_str())) {
            return Err(Failure::message(format!("no such service: {from}")));
        }
        let client = ctx.client().await?;
        let prefix = if self.no_log_prefix { Prefix::Hidden } else { Prefix::Shown };
        let (sender, mut exits) = tokio::sync::mpsc::unbounded_channel();
        let report = Report::new(&ctx.ui).with_output(prefix, self.no_color).quiet(self.quiet_build).with_exits(sender);
        if self.detach || self.wait || self.no_start {
            let limit = self.wait_timeout.map_or(Duration::MAX, Duration::from_secs);
            return cancellable(async |cancel| {
                match tokio::time::timeout(limit, up(&client, &project, &options, &report, cancel)).await {
                    Ok(done) => done,
                    Err(_) => Err(drua_compose::ComposeError::WaitedTooLong(limit.as_secs())),
                }
            })
            .await;
        }

        let mut signals = Signals::catch()?;
        let asked = UpSignals::default();
        let running = up_attached(&client, &project, &options, &report, &asked);
        tokio::pin!(running);
        let watched = CancellationToken::new();
        let watching = async {
            if !self.watch {
                return std::future::pending().await;
            }
            let options = WatchOptions { services: self.services.clone(), prune: true, state_dir: Some(state_dir()) };
            watch(&client, &project, &options, &report, &watched).await
        };
        tokio::pin!(watching);
        let mut watch_ended = false;
        let mut code = None;
        let aborts = self.abort_on_container_exit || self.exit_code_from.is_some();
        let outcome = loop {
            tokio::select! {
                outcome = &mut running => break outcome,
                ended = &mut watching, if !watch_ended => {
                    watch_ended = true;
                    ended?;
                }
                Some(Exit { label, status }) = exits.recv() => {
                    let wanted = match &self.exit_code_from {
                        Some(service) => label.rsplit_once('-').map_or(label.as_str(), |(name, _)| name) == service,
                        None => true,
                    };
                    if code.is_none() && wanted {
                        code = Some(status);
                    }
                    if aborts || (self.abort_on_container_failure && status != 0) {
                        if !asked.stop.is_cancelled() {
                            report.note("Aborting on container exit...");
                        }
                        asked.stop.cancel();
                    }
                }
                name = signals.next() => if ends(name) {
                    code = None;
                    if asked.stop.is_cancelled() {
                        asked.kill.cancel();
                    } else {
                        report.note("Gracefully Stopping... press Ctrl+C again to force");
                        asked.stop.cancel();
                    }
                },
            }
        };
        watched.cancel();
        let aborted = aborts || self.abort_on_container_failure;
        match outcome? {
            UpOutcome::AllExited if !aborted => Ok(exit::OK),
            UpOutcome::AllExited | UpOutcome::Interrupted => match code {
                Some(code) if aborted => Ok(u8::try_from(code).unwrap_or(u8::MAX)),
                Some(_) | None => Ok(INTERRUPTED),
            },
        }
    }
}

/// Creates containers for a service
#[derive(Debug, clap::Args)]
pub(super) struct Create {
    #[command(flatten)]
    converge: Converge,
    /// Pull without printing progress information
    #[arg(long)]
    quiet_pull: bool,
    /// Services [default: all]
    #[arg(value_name = "SERVICE")]
    services: Vec<String>,
}

impl Create {
    pub(super) async fn run(self, ctx: &Context, args: &ProjectArgs) -> Outcome {
        let options = UpOptions { services: self.services.clone(), no_start: true, ..self.converge.options()? };
        let project = args.load(ctx, &self.services)?;
        let client = ctx.client().await?;
        let report = Report::new(&ctx.ui);
        cancellable(async |cancel| up(&client, &project, &options, &report, cancel).await).await
    }
}

/// Scale services
#[derive(Debug, clap::Args)]
pub(super) struct Scale {
    /// Don't start linked services
    #[arg(long)]
    no_deps: bool,
    /// Services and their numbers of containers
    #[arg(value_name = "SERVICE=N", required = true)]
    scale: Vec<String>,
}

impl Scale {
    pub(super) async fn run(self, ctx: &Context, args: &ProjectArgs) -> Outcome {
        let scale = scale(&self.scale)?;
        let services: Vec<String> = scale.keys().cloned().collect();
        let project = args.load(ctx, &services)?;
        let options = UpOptions { services, scale, no_dependencies: self.no_deps, ..UpOptions::default() };
        let client = ctx.client().await?;
        let report = Report::new(&ctx.ui);
        cancellable(async |cancel| up(&client, &project, &options, &report, cancel).await).await
    }
}

fn scale(words: &[String]) -> anyhow::Result<BTreeMap<String, u32>> {
    let one = |word: &String| {
        let parsed = word.split_once('=').and_then(|(service, count)| Some((service.to_owned(), count.parse().ok()?)));
        parsed.with_context(|| format!("invalid scale `{word}`: expected `service=number`"))
    };
    words.iter().map(one).collect()
}
