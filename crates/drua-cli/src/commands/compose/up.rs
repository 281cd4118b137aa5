use std::collections::BTreeMap;

use anyhow::Context as _;
use drua_compose::{Signals as UpSignals, UpOptions, UpOutcome, up, up_attached};
use drua_types::exit;

use super::interrupt::{INTERRUPTED, cancellable, ends};
use super::project::ProjectArgs;
use super::report::{Prefix, Report};
use crate::context::Context;
use crate::failure::Outcome;
use crate::session::Signals;

/// Create and start containers
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  drua compose up -d               in the background
  drua compose up web              one service and what it depends on, with its output")]
pub(super) struct Up {
    /// Run containers in the background
    #[arg(short, long)]
    detach: bool,
    /// Recreate containers even if their configuration has not changed
    #[arg(long, conflicts_with = "no_recreate")]
    force_recreate: bool,
    /// Don't recreate containers that exist, whatever has changed
    #[arg(long)]
    no_recreate: bool,
    /// Don't start linked services
    #[arg(long)]
    no_deps: bool,
    /// Don't start the services after creating them
    #[arg(long)]
    no_start: bool,
    /// Remove containers for services not defined in the compose file
    #[arg(long)]
    remove_orphans: bool,
    /// Recreate anonymous volumes instead of taking over their data
    #[arg(short = 'V', long)]
    renew_anon_volumes: bool,
    /// Wait for services to be running or healthy; implies --detach
    #[arg(long)]
    wait: bool,
    /// Number of containers of a service
    #[arg(long, value_name = "SERVICE=N")]
    scale: Vec<String>,
    /// Seconds until a container that has to stop is killed
    #[arg(short, long, value_name = "SECONDS", allow_hyphen_values = true)]
    timeout: Option<i64>,
    /// Don't print the container before each line of output
    #[arg(long)]
    no_log_prefix: bool,
    /// Don't colour the output
    #[arg(long)]
    no_color: bool,
    /// Services [default: all]
    #[arg(value_name = "SERVICE")]
    services: Vec<String>,
}

impl Up {
    pub(super) async fn run(self, ctx: &Context, project: &ProjectArgs) -> Outcome {
        let options = UpOptions {
            services: self.services.clone(),
            no_dependencies: self.no_deps,
            force_recreate: self.force_recreate,
            no_recreate: self.no_recreate,
            no_start: self.no_start,
            remove_orphans: self.remove_orphans,
            renew_anonymous_volumes: self.renew_anon_volumes,
            wait: self.wait,
            scale: scale(&self.scale)?,
            timeout_seconds: self.timeout,
        };
        let project = project.load(ctx, &self.services)?;
        let client = ctx.client().await?;
        let prefix = if self.no_log_prefix { Prefix::Hidden } else { Prefix::Shown };
        let report = Report::new(&ctx.ui).with_output(prefix, self.no_color);
        if self.detach || self.wait || self.no_start {
            return cancellable(async |cancel| up(&client, &project, &options, &report, cancel).await).await;
        }

        let mut signals = Signals::catch()?;
        let asked = UpSignals::default();
        let running = up_attached(&client, &project, &options, &report, &asked);
        tokio::pin!(running);
        let outcome = loop {
            tokio::select! {
                outcome = &mut running => break outcome,
                name = signals.next() => if ends(name) {
                    if asked.stop.is_cancelled() {
                        asked.kill.cancel();
                    } else {
                        report.note("Gracefully Stopping... press Ctrl+C again to force");
                        asked.stop.cancel();
                    }
                },
            }
        };
        match outcome? {
            UpOutcome::AllExited => Ok(exit::OK),
            UpOutcome::Interrupted => Ok(INTERRUPTED),
        }
    }
}

fn scale(words: &[String]) -> anyhow::Result<BTreeMap<String, u32>> {
    let one = |word: &String| {
        let parsed = word.split_once('=').and_then(|(service, count)| Some((service.to_owned(), count.parse().ok()?)));
        parsed.with_context(|| format!("invalid scale `{word}`: expected `service=number`"))
    };
    words.iter().map(one).collect()
}
