use drua_compose::{LogsOptions, logs};
use jiff::Timestamp;

use super::interrupt::cancellable;
use super::project::ProjectArgs;
use super::report::{Prefix, Report};
use crate::context::Context;
use crate::failure::Outcome;
use crate::options::point_in_time;

/// View output from containers
#[derive(Debug, clap::Args)]
pub(super) struct Logs {
    /// Follow log output
    #[arg(short, long)]
    follow: bool,
    /// Number of lines to show from the end of the logs for each container
    #[arg(short = 'n', long, value_name = "LINES", default_value = "all")]
    tail: String,
    /// Show timestamps
    #[arg(short, long)]
    timestamps: bool,
    /// Show logs since then: a time or how long ago
    #[arg(long, value_name = "TIME")]
    since: Option<String>,
    /// Show logs before then: a time or how long ago
    #[arg(long, value_name = "TIME")]
    until: Option<String>,
    /// Don't print the container before each line
    #[arg(long)]
    no_log_prefix: bool,
    /// Don't colour the output
    #[arg(long)]
    no_color: bool,
    /// Services [default: all]
    #[arg(value_name = "SERVICE")]
    services: Vec<String>,
}

impl Logs {
    pub(super) async fn run(self, ctx: &Context, project: &ProjectArgs) -> Outcome {
        let now = Timestamp::now();
        let time = |text: &Option<String>| text.as_deref().map(|text| point_in_time(text, now)).transpose();
        let (name, _) = project.load_if_there(ctx, &self.services)?;
        let options = LogsOptions {
            follow: self.follow,
            timestamps: self.timestamps,
            since: time(&self.since)?,
            until: time(&self.until)?,
            tail: Some(self.tail),
            services: self.services,
        };
        let client = ctx.client().await?;
        let prefix = if self.no_log_prefix { Prefix::Hidden } else { Prefix::Shown };
        let report = Report::new(&ctx.ui).with_output(prefix, self.no_color);
        cancellable(async |cancel| logs(&client, &name, &options, &report, cancel).await).await
    }
}
