use std::path::PathBuf;

use drua_scout::report;
use drua_types::exit;

use super::judge::{self, FOUND, FilterArgs, INCOMPLETE, JudgeArgs};
use super::source::TargetArgs;
use crate::context::Context;
use crate::failure::{Failure, Outcome};

/// Compare the vulnerabilities and packages of two images
#[derive(Debug, clap::Args)]
#[command(
    visible_alias = "diff",
    after_help = "Examples:
  drua scout compare --to app:1 app:2
  drua scout compare --to archive://old.tar fs://. --format markdown
  drua scout compare --to app:1 --exit-on vulnerability app:2      2 when there are new ones"
)]
pub(super) struct Compare {
    #[command(flatten)]
    target: TargetArgs,
    /// Image, directory, archive or SBOM to compare to
    #[arg(long, value_name = "IMAGE|DIRECTORY|ARCHIVE")]
    to: String,
    #[command(flatten)]
    judge: JudgeArgs,
    #[command(flatten)]
    filter: FilterArgs,
    /// Form: text, markdown or json
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    format: String,
    /// Leave out packages that are the same; always so, for Scout's scripts
    #[arg(long, hide = true)]
    ignore_unchanged: bool,
    /// Exit with 2 when there is more of these than before: vulnerability, package
    #[arg(short = 'x', long, value_name = "KIND", value_delimiter = ',', value_parser = ["vulnerability", "package"])]
    exit_on: Vec<String>,
    /// Write to a file, instead of standard output
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
}

impl Compare {
    pub(super) async fn run(self, ctx: &Context) -> Outcome {
        let database = judge::database()?;
        let other = TargetArgs { target: Some(self.to.clone()), ..self.target.clone() };
        let before = judge::judge(ctx, &other, &self.judge, &database).await?;
        let after = judge::judge(ctx, &self.target, &self.judge, &database).await?;
        let (old, new) = (self.filter.filter(before.base.as_ref())?, self.filter.filter(after.base.as_ref())?);
        let comparison = report::compare(before.report(&old), after.report(&new));
        let text = match self.format.as_str() {
            "text" => comparison.text(),
            "markdown" => report::markdown_comparison(&comparison),
            "json" => format!("{:#}\n", comparison.json()),
            other => {
                return Err(
                    Failure::message(format!("`{other}` is no format")).hint("known are text, markdown and json")
                );
            }
        };
        match &self.output {
            Some(path) => fs_err::write(path, text)?,
            None => ctx.ui.data(text.as_bytes())?,
        }
        let is_incomplete = comparison.before.is_incomplete() || comparison.after.is_incomplete();
        if is_incomplete {
            ctx.ui.warning("not everything could be judged; `drua scout cves` says what");
        }
        let wants = |kind: &str| self.exit_on.iter().any(|wanted| wanted == kind);
        let worse = (wants("vulnerability") && !comparison.added.is_empty())
            || (wants("package") && !comparison.packages.is_empty());
        Ok(match (worse, is_incomplete && !self.exit_on.is_empty()) {
            (true, _) => FOUND,
            (false, true) => INCOMPLETE,
            (false, false) => exit::OK,
        })
    }
}
