use std::collections::BTreeMap;
use std::time::Duration;

use drua_api::client::ListImages;
use drua_scout::advisory::Severity;
use drua_types::exit;

use super::judge::{self, FilterArgs, JudgeArgs};
use super::source::TargetArgs;
use crate::context::Context;
use crate::failure::{Failure, Outcome};

/// Judge the daemon's images again and again, and tell what is new
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  drua scout watch                              all images that have a name
  drua scout watch --image 'app*' --interval 300
  drua scout watch --once --only-severity critical --exit-code

An image is judged when it appears or changes, and all are when the advisories change; only what is new is printed, one JSON object a
line with --format json. Nothing leaves this machine.")]
pub(super) struct Watch {
    /// Names of images, `*` for any run of characters
    #[arg(long, value_name = "PATTERN")]
    image: Vec<String>,
    #[command(flatten)]
    judge: JudgeArgs,
    #[command(flatten)]
    filter: FilterArgs,
    /// Seconds between two looks
    #[arg(long, value_name = "SECONDS", default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..))]
    interval: u64,
    /// Look once, then end
    #[arg(long)]
    once: bool,
    /// Form: text or json
    #[arg(long, value_name = "FORMAT", default_value = "text", value_parser = ["text", "json"])]
    format: String,
    /// With --once: exit with 2 when vulnerabilities are found
    #[arg(short, long, requires = "once")]
    exit_code: bool,
}

/// What was seen last: for each image its id, and the state of the advisories.
#[derive(Default)]
struct Seen {
    images: BTreeMap<String, String>,
    advisories: Vec<String>,
    findings: std::collections::BTreeSet<(String, String, String)>,
}

impl Watch {
    pub(super) async fn run(self, ctx: &Context) -> Outcome {
        let mut seen = Seen::default();
        loop {
            let code = self.look(ctx, &mut seen).await?;
            if self.once {
                return Ok(if self.exit_code { code } else { exit::OK });
            }
            tokio::select! {
                () = tokio::time::sleep(Duration::from_secs(self.interval)) => {}
                _ = tokio::signal::ctrl_c() => return Ok(exit::OK),
            }
        }
    }

    async fn look(&self, ctx: &Context, seen: &mut Seen) -> Result<u8, Failure> {
        let database = judge::database()?;
        let advisories: Vec<String> = database
            .dates()
            .into_iter()
            .map(|date| format!("{} {} {}", date.source, date.data, date.imported))
            .collect();
        if advisories != seen.advisories {
            seen.images.clear();
            seen.advisories = advisories;
        }
        let mut worst = exit::OK;
        for (name, id) in self.images(ctx).await? {
            if seen.images.get(&name) == Some(&id) {
                continue;
            }
            let target = TargetArgs { target: Some(format!("local://{name}")), platform: None, no_cache: false };
            // An image that is gone by now, or cannot be read, must not end the watch.
            let judged = match judge::judge(ctx, &target, &self.judge, &database).await {
                Ok(judged) => judged,
                Err(failure) => {
                    ctx.ui.failure(&failure);
                    worst = worst.max(exit::FAILURE);
                    continue;
                }
            };
            seen.images.insert(name.clone(), id);
            let filter = self.filter.filter(judged.base.as_ref())?;
            let report = judged.report(&filter);
            worst = worst.max(judge::exit_code(&report, true));
            let mut fresh = 0;
            for finding in report.findings.iter().filter(|finding| finding.counts()) {
                let package = report.package(finding);
                let key = (name.clone(), finding.id.clone(), package.name.clone());
                if seen.findings.insert(key) {
                    fresh += 1;
                    self.print(ctx, &name, finding.severity, &finding.id, package, finding.fixed.as_deref())?;
                }
            }
            ctx.ui.note(&format!("{name}: {} ({fresh} new)", report.counts().to_string().trim_start()));
        }
        Ok(worst)
    }

    fn print(
        &self,
        ctx: &Context,
        image: &str,
        severity: Severity,
        id: &str,
        package: &drua_scout::Package,
        fixed: Option<&str>,
    ) -> Result<(), Failure> {
        let line = if self.format == "json" {
            serde_json::json!({
                "image": image, "severity": severity.name(), "id": id,
                "package": package.name, "version": package.version, "fixed": fixed,
            })
            .to_string()
        } else {
            let fix = fixed.map_or_else(|| "not fixed".to_owned(), |fixed| format!("fixed in {fixed}"));
            let text = format!("{image}  {:<11} {id}  {} {}  {fix}", severity.name(), package.name, package.version);
            text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
        };
        Ok(ctx.ui.line(&line)?)
    }

    /// Images by name, with their ids.
    async fn images(&self, ctx: &Context) -> Result<BTreeMap<String, String>, Failure> {
        let images = ctx.client().await?.image_list(&ListImages::default()).await?;
        let patterns: Vec<String> = self.image.clone();
        let wanted = |name: &str| {
            patterns.is_empty() || patterns.iter().any(|pattern| drua_scout::matches_pattern(pattern, name))
        };
        let named = images.into_iter().flat_map(|image| {
            let id = image.id;
            image.repo_tags.into_iter().map(move |name| (name, id.clone()))
        });
        Ok(named.filter(|(name, _)| wanted(name)).collect())
    }
}
