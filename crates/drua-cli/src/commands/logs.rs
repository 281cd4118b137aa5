use drua_api::client::LogsOptions;
use drua_types::exit;
use jiff::Timestamp;

use crate::context::Context;
use crate::failure::Outcome;
use crate::options::point_in_time;
use crate::session::copy_output;

/// Fetch the logs of a container
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  drua logs -f --tail 20 web       the last 20 lines, and what follows
  drua logs --since 10m -t web     those of the last ten minutes, with their times")]
pub(crate) struct Logs {
    /// Follow log output
    #[arg(short, long)]
    follow: bool,
    /// Number of lines to show from the end of the logs
    #[arg(short = 'n', long, value_name = "LINES", default_value = "all")]
    tail: String,
    /// Show timestamps
    #[arg(short, long)]
    timestamps: bool,
    /// Show logs since then: a time (2013-01-02T13:23:37Z) or how long ago (42m)
    #[arg(long, value_name = "TIME")]
    since: Option<String>,
    /// Show logs before then: a time or how long ago
    #[arg(long, value_name = "TIME")]
    until: Option<String>,
    /// Show extra details provided to logs
    #[arg(long)]
    details: bool,
    /// Container: name, id, or the beginning of an id
    container: String,
}

impl Logs {
    pub(super) async fn run(self, ctx: &Context) -> Outcome {
        let now = Timestamp::now();
        let time = |text: &Option<String>| text.as_deref().map(|text| point_in_time(text, now)).transpose();
        let options = LogsOptions {
            follow: self.follow,
            stdout: true,
            stderr: true,
            timestamps: self.timestamps,
            details: self.details,
            since: time(&self.since)?,
            until: time(&self.until)?,
            tail: Some(self.tail),
        };
        let mut logs = ctx.client().await?.container_logs(&self.container, &options).await?;
        copy_output(&ctx.ui, &mut logs).await?;
        Ok(exit::OK)
    }
}
