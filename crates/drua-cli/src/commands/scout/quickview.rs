use std::path::PathBuf;

use drua_scout::policy::health_score;
use drua_scout::recommend::candidates;
use drua_scout::report::{Counts, Filter, LayerFilter, QuickRow, Quickview};
use drua_types::exit;

use super::bases;
use super::db::today;
use super::judge::{self, JudgeArgs, Judged};
use super::policy::PolicyArgs;
use super::source::TargetArgs;
use crate::context::Context;
use crate::failure::{Failure, Outcome};

/// Show an image, its base and its alternatives on one screen
#[derive(Debug, clap::Args)]
#[command(
    visible_alias = "qv",
    after_help = "Examples:
  drua scout quickview app:1
  drua scout qv --format json archive://app.tar"
)]
pub(super) struct QuickviewCommand {
    #[command(flatten)]
    target: TargetArgs,
    #[command(flatten)]
    judge: JudgeArgs,
    #[command(flatten)]
    policies: PolicyArgs,
    /// Form: text or json
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    format: String,
    /// Write to a file, instead of standard output
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
}

impl QuickviewCommand {
    pub(super) async fn run(self, ctx: &Context) -> Outcome {
        let database = judge::database()?;
        let judged = judge::judge(ctx, &self.target, &self.judge, &database).await?;
        let mut view = Quickview { rows: vec![target(&judged)], ..Quickview::default() };
        self.bases(ctx, &judged, &database, &mut view).await?;
        let results = self.policies.evaluate(&judged, &database)?;
        view.score = health_score(&results).map(|score| score.to_string());
        view.policies = results.into_iter().map(|result| (result.title, result.met)).collect();
        let text = match self.format.as_str() {
            "text" => view.text(),
            "json" => format!("{:#}\n", serde_json::to_value(&view)?),
            other => {
                return Err(Failure::message(format!("`{other}` is no format")).hint("known are text and json"));
            }
        };
        match &self.output {
            Some(path) => fs_err::write(path, text)?,
            None => ctx.ui.data(text.as_bytes())?,
        }
        let filter = Filter::default();
        if judged.report(&filter).is_incomplete() {
            ctx.ui.warning("not everything could be judged; `drua scout cves` says what");
        }
        ctx.ui.note("`drua scout recommendations` shows what to change, `drua scout cves` every finding");
        Ok(exit::OK)
    }

    async fn bases(
        &self,
        ctx: &Context,
        judged: &Judged,
        database: &drua_scout::advisory::Database,
        view: &mut Quickview,
    ) -> Result<(), Failure> {
        let Some(base) = &judged.base else { return Ok(()) };
        let counts = base.layers.map(|layers| {
            let filter = Filter { layers: LayerFilter::OnlyBase(layers), ..Filter::default() };
            judged.report(&filter).counts()
        });
        view.rows.push(QuickRow {
            label: "Base image".to_owned(),
            image: base.name(),
            detail: format!("{} % sure, by {}", base.rung.confidence_pct(), base.rung.words()),
            counts,
        });
        let candidates = candidates(base, "amd64", database, &today()).map_err(Failure::new)?;
        let measured = match bases::is_of_daemon(self.target.target.as_deref()) {
            true => bases::measured(ctx, base, &candidates, &self.judge, database).await?,
            false => std::collections::BTreeMap::new(),
        };
        // What is known before what is only a name.
        let mut others: Vec<_> = candidates.iter().filter(|candidate| candidate.tag != base.tag).collect();
        others.sort_by_key(|candidate| {
            measured.get(&candidate.tag).copied().map_or((true, Counts::default()), |c| (false, c))
        });
        for candidate in others.into_iter().take(2) {
            view.rows.push(QuickRow {
                label: "Updated base image".to_owned(),
                image: format!("{}:{}", base.repository, candidate.tag),
                detail: candidate.kind.words().to_owned(),
                counts: measured.get(&candidate.tag).copied(),
            });
        }
        Ok(())
    }
}

fn target(judged: &Judged) -> QuickRow {
    let target = &judged.sbom.target;
    let digest = target.digest.as_deref().or(target.image_id.as_deref()).unwrap_or_default();
    let filter = Filter::default();
    QuickRow {
        label: "Target".to_owned(),
        image: target.name.clone(),
        detail: digest.trim_start_matches("sha256:").chars().take(12).collect(),
        counts: Some(judged.report(&filter).counts()),
    }
}
