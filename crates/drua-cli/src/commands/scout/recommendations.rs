use std::fmt::Write as _;

use std::path::{Path, PathBuf};

use drua_scout::recommend::{ActionKind, CandidateKind, Plan, PlanInput, candidates, plan};
use drua_types::exit;
use serde_json::json;

use super::bases;
use super::db::today;
use super::judge::{self, FilterArgs, JudgeArgs, Judged};
use super::source::TargetArgs;
use crate::context::Context;
use crate::failure::{Failure, Outcome};

/// Show what to change, the change that helps most first
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  drua scout recommendations app:1
  drua scout recommendations --only-update app:1      other base images only
  drua scout recommendations --fix app:1              apply the first one that edits a file
  drua scout recommendations --fix=2 --file build/Dockerfile app:1

Edits are of the Dockerfile and of the manifests in this directory, and are shown as diffs. Nothing is pulled: what is not here is
counted by what its fixes would clear at most.")]
pub(super) struct Recommendations {
    #[command(flatten)]
    target: TargetArgs,
    #[command(flatten)]
    judge: JudgeArgs,
    #[command(flatten)]
    filter: FilterArgs,
    /// Only a refresh of the base image
    #[arg(long, conflicts_with = "only_update")]
    only_refresh: bool,
    /// Only other base images
    #[arg(long)]
    only_update: bool,
    /// The base image's tag, where it is recognised wrongly
    #[arg(long, value_name = "TAG")]
    tag: Option<String>,
    /// The Dockerfile
    #[arg(short, long, value_name = "FILE", default_value = "Dockerfile")]
    file: PathBuf,
    /// Apply the edits of a recommendation; without a number, of the first that has any
    #[arg(long, value_name = "NUMBER", num_args = 0..=1, default_missing_value = "0", require_equals = true)]
    fix: Option<usize>,
    /// Show all of them
    #[arg(long)]
    all: bool,
    /// Form: text or json
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    format: String,
    /// Write to a file, instead of standard output
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
}

/// Actions that are shown without `--all`.
const SHOWN: usize = 10;

impl Recommendations {
    pub(super) async fn run(self, ctx: &Context) -> Outcome {
        if !matches!(self.format.as_str(), "text" | "json") {
            return Err(Failure::message(format!("`{}` is no format", self.format)).hint("known are text and json"));
        }
        let database = judge::database()?;
        let mut judged = judge::judge(ctx, &self.target, &self.judge, &database).await?;
        if let (Some(tag), Some(base)) = (&self.tag, &mut judged.base) {
            base.tag.clone_from(tag);
        }
        let plan = self.plan(ctx, &judged, &database).await?;
        let text = match self.format.as_str() {
            "json" => format!("{:#}\n", json!({ "version": 1, "base": judged.base, "plan": plan })),
            _ => head(&judged) + &plan.text(if self.all { usize::MAX } else { SHOWN }),
        };
        match &self.output {
            Some(path) => fs_err::write(path, text)?,
            None => ctx.ui.data(text.as_bytes())?,
        }
        if let Some(number) = self.fix {
            apply(ctx, &plan, number)?;
        }
        Ok(exit::OK)
    }

    async fn plan(
        &self,
        ctx: &Context,
        judged: &Judged,
        database: &drua_scout::advisory::Database,
    ) -> Result<Plan, Failure> {
        let filter = self.filter.filter(judged.base.as_ref())?;
        let report = judged.report(&filter);
        let platform = judged.sbom.target.platform.clone().unwrap_or_default();
        let architecture = platform.split('/').nth(1).unwrap_or("amd64").to_owned();
        let candidates = match &judged.base {
            Some(base) => candidates(base, &architecture, database, &today()).map_err(Failure::new)?,
            None => Vec::new(),
        };
        let measured = match &judged.base {
            Some(base) if bases::is_of_daemon(self.target.target.as_deref()) => {
                bases::measured(ctx, base, &candidates, &self.judge, database).await?
            }
            _ => std::collections::BTreeMap::new(),
        };
        let (dockerfile, files) = (bases::dockerfile(&self.file)?, bases::manifests()?);
        let mut plan = plan(&PlanInput {
            report: &report,
            base: judged.base.as_ref(),
            candidates: &candidates,
            measured: &measured,
            dockerfile: dockerfile.as_ref(),
            files: &files,
        });
        let is_refresh = |kind: ActionKind| kind == ActionKind::Base(CandidateKind::Refresh);
        plan.actions.retain(|action| match (self.only_refresh, self.only_update) {
            (true, _) => is_refresh(action.kind),
            (_, true) => matches!(action.kind, ActionKind::Base(_)) && !is_refresh(action.kind),
            _ => true,
        });
        Ok(plan)
    }
}

/// Which base image, and how sure that is.
fn head(judged: &Judged) -> String {
    let Some(base) = &judged.base else {
        return "Base image  none, or one that nothing tells about\n\n".to_owned();
    };
    let layers = base.layers.map(|count| format!(", its {count} lowest layers")).unwrap_or_default();
    let mut text = format!(
        "Base image  {}{layers}\n            {} % sure, by {}\n",
        base.name(),
        base.rung.confidence_pct(),
        base.rung.words()
    );
    for (name, layers) in &base.hierarchy {
        let _ = writeln!(text, "            on {name}, the lowest {layers}");
    }
    text.push('\n');
    text
}

/// Writes the edits of an action, each file at once or not at all.
fn apply(ctx: &Context, plan: &Plan, number: usize) -> Result<(), Failure> {
    let chosen = match number {
        0 => plan.actions.iter().find(|action| !action.edits.is_empty()),
        number => plan.actions.get(number - 1),
    };
    let Some(action) = chosen.filter(|action| !action.edits.is_empty()) else {
        return Err(Failure::message("there is no edit to apply")
            .hint("run it where the Dockerfile and the manifests are, or name the Dockerfile with --file"));
    };
    for edit in &action.edits {
        let path = Path::new(&edit.path);
        let dir = path.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let mode = fs_err::metadata(path)?.permissions();
        let mut temporary = tempfile::NamedTempFile::new_in(dir)?;
        std::io::Write::write_all(&mut temporary, edit.after.as_bytes())?;
        temporary.as_file().set_permissions(mode)?;
        temporary.persist(path).map_err(|error| Failure::new(error.error))?;
        ctx.ui.note(&format!("{} {}: {}", ctx.ui.paint().green("✓"), edit.path, action.title));
    }
    if let Some(command) = &action.command {
        ctx.ui.note(&format!("then: {command}"));
    }
    Ok(())
}
