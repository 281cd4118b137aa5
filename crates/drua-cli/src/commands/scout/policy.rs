use std::fmt::Write as _;

use std::path::{Path, PathBuf};

use drua_scout::advisory::Database;
use drua_scout::policy::{self, PolicyConfig, PolicyInput, PolicyResult, RegoPolicy, health_score};
use drua_scout::report::Filter;
use serde_json::json;

use super::db::today;
use super::judge::{self, FOUND, INCOMPLETE, JudgeArgs, Judged};
use super::source::TargetArgs;
use crate::context::Context;
use crate::failure::{Failure, Outcome};

/// Judge an image by policies
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  drua scout policy app:1
  drua scout policy --only-policy default-non-root-user --exit-code app:1
  drua scout policy --policy-config policies.json app:1
  drua scout policy --policy-file team.rego app:1

Scout's seven policies, unless --policy-file or --policy-dir names others in Rego. Exit codes with --exit-code: 0 all are met, 2 one
is not, 3 none is violated but data are missing.")]
pub(super) struct Policy {
    #[command(flatten)]
    target: TargetArgs,
    #[command(flatten)]
    judge: JudgeArgs,
    #[command(flatten)]
    policies: PolicyArgs,
    /// Form: text or json
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    format: String,
    /// Write the results as JSON to a file, too
    #[arg(long, value_name = "FILE")]
    result_file: Option<PathBuf>,
    /// Exit with 2 when a policy is not met
    #[arg(short, long)]
    exit_code: bool,
}

/// Which policies.
#[derive(Debug, Clone, Default, clap::Args)]
pub(super) struct PolicyArgs {
    /// Only these policies, by id
    #[arg(long, value_name = "ID", value_delimiter = ',')]
    only_policy: Vec<String>,
    /// Settings of policies, JSON: an object for each id
    #[arg(long, value_name = "FILE")]
    policy_config: Option<PathBuf>,
    /// Policies in Rego, instead of the built-in ones
    #[arg(long, value_name = "FILE")]
    policy_file: Vec<PathBuf>,
    /// Directory of policies in Rego, instead of the built-in ones
    #[arg(long, value_name = "DIRECTORY")]
    policy_dir: Option<PathBuf>,
}

impl PolicyArgs {
    /// Judges by all of them.
    pub(super) fn evaluate(&self, judged: &Judged, database: &Database) -> Result<Vec<PolicyResult>, Failure> {
        let config = match &self.policy_config {
            Some(path) => PolicyConfig::parse(&fs_err::read_to_string(path)?).map_err(Failure::new)?,
            None => PolicyConfig::default(),
        };
        let filter = Filter::default();
        let report = judged.report(&filter);
        let today = today();
        let input =
            PolicyInput { report: &report, base: judged.base.as_ref(), base_is_current: None, database, today: &today };
        let files = self.files()?;
        let results = if files.is_empty() {
            policy::evaluate(&input, &config, &self.only_policy).map_err(Failure::new)?
        } else {
            let mut results = Vec::new();
            for path in &files {
                let own = RegoPolicy::parse(&path.display().to_string(), &fs_err::read_to_string(path)?)
                    .map_err(Failure::new)?;
                if self.only_policy.is_empty() || self.only_policy.contains(&own.name) {
                    results.push(own.evaluate(&input, &config).map_err(Failure::new)?);
                }
            }
            results
        };
        let unknown = self.only_policy.iter().find(|id| !results.iter().any(|result| result.id == **id));
        match unknown {
            Some(id) => {
                let known: Vec<&str> = policy::BUILTIN.iter().map(|policy| policy.id).collect();
                Err(Failure::message(format!("there is no policy `{id}`"))
                    .hint(format!("built in are {}", known.join(", "))))
            }
            None => Ok(results),
        }
    }

    fn files(&self) -> Result<Vec<PathBuf>, Failure> {
        let mut files = self.policy_file.clone();
        if let Some(dir) = &self.policy_dir {
            let mut found: Vec<PathBuf> = fs_err::read_dir(dir)?.filter_map(|entry| Some(entry.ok()?.path())).collect();
            let is_test = |path: &Path| path.to_string_lossy().ends_with("_test.rego");
            found.retain(|path| path.extension().is_some_and(|extension| extension == "rego") && !is_test(path));
            if found.is_empty() {
                return Err(Failure::message(format!("there are no .rego files in `{}`", dir.display())));
            }
            found.sort();
            files.extend(found);
        }
        Ok(files)
    }
}

/// Violations of a policy that the text shows.
const SHOWN: usize = 10;

impl Policy {
    pub(super) async fn run(self, ctx: &Context) -> Outcome {
        if !matches!(self.format.as_str(), "text" | "json") {
            return Err(Failure::message(format!("`{}` is no format", self.format)).hint("known are text and json"));
        }
        let database = judge::database()?;
        let judged = judge::judge(ctx, &self.target, &self.judge, &database).await?;
        let results = self.policies.evaluate(&judged, &database)?;
        let score = health_score(&results);
        let value = json!({
            "version": 1,
            "target": judged.sbom.target.name,
            "digest": judged.sbom.target.digest,
            "score": score,
            "policies": results,
        });
        if let Some(path) = &self.result_file {
            fs_err::write(path, format!("{value:#}\n"))?;
        }
        let text = if self.format == "json" { format!("{value:#}\n") } else { text(&results) };
        ctx.ui.data(text.as_bytes())?;
        let (failed, unknown) = (results.iter().any(|r| r.met == Some(false)), results.iter().any(|r| r.met.is_none()));
        Ok(match (self.exit_code, failed, unknown) {
            (true, true, _) => FOUND,
            (true, false, true) => INCOMPLETE,
            _ => drua_types::exit::OK,
        })
    }
}

fn text(results: &[PolicyResult]) -> String {
    let mut text = String::new();
    for result in results {
        let mark = match result.met {
            Some(true) => "✓",
            Some(false) => "✗",
            None => "?",
        };
        let _ = writeln!(text, "{mark} {}  ({})", result.title, result.id);
        for violation in result.violations.iter().take(SHOWN) {
            let fix = violation.remediation.as_ref().map(|fix| format!(": {fix}")).unwrap_or_default();
            let _ = writeln!(text, "    {}{fix}", violation.message);
        }
        if result.violations.len() > SHOWN {
            let _ = writeln!(text, "    … and {} more; --format json has them", result.violations.len() - SHOWN);
        }
    }
    let met = results.iter().filter(|result| result.met == Some(true)).count();
    let _ = write!(text, "\n{met}/{} policies met", results.len());
    let missing = results.iter().filter(|result| result.met.is_none()).count();
    if missing > 0 {
        let _ = write!(text, ", {missing} without data");
    }
    text.push('\n');
    if let Some(score) = health_score(results) {
        let _ = writeln!(text, "Health score  {score}");
    }
    text
}
