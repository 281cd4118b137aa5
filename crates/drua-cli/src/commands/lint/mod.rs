//! `drua lint`

mod collect;
mod lsp;
mod output;
mod settings;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{self, IsTerminal as _};
use std::path::{Path, PathBuf};

use drua_lint::render::{self, Baseline};
use drua_lint::{Fixed, Input, Report, Safety, Severity, rules};
use drua_types::exit;

use self::collect::Workspace;
use crate::context::Context;
use crate::failure::{Failure, Outcome};
use crate::ui::Paint;

/// Find what is wrong in Dockerfiles, .dockerignore and compose files, and mend it
#[derive(Debug, clap::Args)]
#[command(after_help = "Exit codes: 0 nothing found at the threshold, 1 something found, 2 a wrong command line.

Rules are configured in .drua/lint.toml (.hadolint.yaml is read too) and silenced by comments:
  # drua ignore=RULE why        # hadolint ignore=DL3008        # check=skip=JSONArgsRecommended

Examples:
  drua lint                                  everything below the current folder
  drua lint Dockerfile compose.yaml --fix    mend what can be mended without changing what the image does
  drua lint --diff --unsafe-fix              see what could be mended
  drua lint --explain DL3008                 what a rule wants and why
  drua lint --format sarif > lint.sarif      for code scanning
  drua lint --write-baseline .drua/lint-baseline.json")]
pub(crate) struct Lint {
    /// Files and folders, or - for a Dockerfile on standard input [default: the current folder]
    #[arg(value_name = "PATH")]
    paths: Vec<String>,
    /// Mend what can be mended without changing what the image does
    #[arg(long)]
    fix: bool,
    /// Mend also what may change what the image does
    #[arg(long)]
    unsafe_fix: bool,
    /// Show what would be mended as a diff, and write nothing; the default on a terminal
    #[arg(long)]
    diff: bool,
    /// Show no diff
    #[arg(long, conflicts_with = "diff")]
    no_diff: bool,
    /// Format of the output
    #[arg(long, value_name = "FORMAT", value_enum, default_value = "text")]
    format: Format,
    /// Say what a rule wants and why; `all` lists the rules
    #[arg(long, value_name = "RULE")]
    explain: Option<String>,
    /// Configuration [default: .drua/lint.toml and .hadolint.yaml in the current folder or above]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Turn a rule off; may be repeated
    #[arg(long, value_name = "RULE", value_delimiter = ',')]
    ignore: Vec<String>,
    /// Turn a rule on that is off; may be repeated
    #[arg(long, value_name = "RULE", value_delimiter = ',')]
    enable: Vec<String>,
    /// Fail from this severity on: error, warning, info, style or never
    #[arg(long, value_name = "SEVERITY")]
    fail_on: Option<String>,
    /// Findings that are known and are not told
    #[arg(long, value_name = "FILE")]
    baseline: Option<PathBuf>,
    /// Write what is found as a baseline, and succeed
    #[arg(long, value_name = "FILE", conflicts_with = "baseline")]
    write_baseline: Option<PathBuf>,
    /// Show what each instruction adds to the image, by what is known without building
    #[arg(long)]
    estimate: bool,
    /// Ask a running engine what it knows of base images: size, user, digest; --estimate does, too
    #[arg(long)]
    ask_engine: bool,
    /// Serve editors: the Language Server Protocol on standard input and output
    #[arg(long)]
    lsp: bool,
}

/// How findings are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    Text,
    Json,
    Sarif,
    Github,
}

impl Lint {
    pub(super) async fn run(self, ctx: &Context) -> Outcome {
        if let Some(rule) = &self.explain {
            return explain(ctx, rule, self.format);
        }
        if self.lsp {
            return lsp::serve().map_err(Failure::from);
        }
        let mut settings = settings::Settings::load(self.config.as_deref())?;
        settings.apply(&self.ignore, &self.enable, self.fail_on.as_deref())?;
        let paths = if self.paths.is_empty() { vec![".".to_owned()] } else { self.paths.clone() };
        let mut workspace = Workspace::collect(&paths)?;
        if self.estimate || self.ask_engine {
            workspace.images = collect::known_images(ctx, &workspace).await;
        }
        if workspace.is_empty() {
            return Err(Failure::message(format!("nothing to lint in {}", paths.join(", ")))
                .hint("Dockerfiles and compose files are found by their names; name others as arguments"));
        }
        self.judge(ctx, &settings, &mut workspace)
    }

    fn judge(&self, ctx: &Context, settings: &settings::Settings, workspace: &mut Workspace) -> Outcome {
        let allowed = if self.unsafe_fix { Safety::Unsafe } else { Safety::Safe };
        let config = &settings.config;
        let fixed = {
            let input = workspace.input(config);
            let shows_diff = self.shows_diff();
            if self.writes() || shows_diff { drua_lint::fix(&input, allowed) } else { Vec::new() }
        };
        if self.writes() {
            write(workspace, &fixed)?;
        }
        let input = workspace.input(config);
        let mut report = lint(&input, workspace);
        let source = |path: &str| workspace.text(path).unwrap_or_default().to_owned();
        if let Some(path) = &self.write_baseline {
            let text = serde_json::to_string_pretty(&Baseline::of(&report, &source).to_json())? + "\n";
            fs_err::write(path, text)?;
            ctx.ui.note(&format!("{} findings written to {}", report.diagnostics.len(), path.display()));
            return Ok(exit::OK);
        }
        let known = match &self.baseline {
            None => 0,
            Some(path) => {
                let baseline = Baseline::parse(&fs_err::read_to_string(path)?)
                    .map_err(|error| anyhow::Error::new(error).context(format!("cannot read `{}`", path.display())))?;
                baseline.subtract(&mut report, &source)
            }
        };
        self.print(ctx, workspace, &report, &fixed, known)?;
        for problem in &workspace.problems {
            ctx.ui.note(&format!("{} {problem}", ctx.ui.paint().red("error:")));
        }
        let failed = settings.fails_at().is_some_and(|severity| report.reaches(severity));
        Ok(if failed || !workspace.problems.is_empty() { exit::FAILURE } else { exit::OK })
    }

    fn writes(&self) -> bool {
        (self.fix || self.unsafe_fix) && !self.diff
    }

    fn shows_diff(&self) -> bool {
        let by_default = io::stdout().is_terminal() && self.format == Format::Text && !self.no_diff;
        !self.writes() && (self.diff || by_default)
    }

    fn print(
        &self,
        ctx: &Context,
        workspace: &Workspace,
        report: &Report,
        fixed: &[Fixed],
        known: usize,
    ) -> Result<(), Failure> {
        let source = |path: &str| workspace.text(path).unwrap_or_default().to_owned();
        match self.format {
            Format::Json => ctx.ui.line(&serde_json::to_string_pretty(&render::json(report))?)?,
            Format::Sarif => {
                let sarif = render::sarif(report, env!("CARGO_PKG_VERSION"), &source);
                ctx.ui.line(&serde_json::to_string_pretty(&sarif)?)?;
            }
            Format::Github => ctx.ui.data(render::github(report).as_bytes())?,
            Format::Text => {
                let paint = Paint::for_stdout();
                let mut text = output::findings(report, &source, paint);
                if self.shows_diff() {
                    for file in fixed {
                        text.push_str(&output::diff(&file.path, &source(&file.path), &file.text, paint));
                    }
                }
                if self.estimate {
                    text.push_str(&output::estimates(report));
                }
                ctx.ui.data(text.as_bytes())?;
                let mended = if self.writes() { fixed } else { &[] };
                ctx.ui.note(&output::summary(report, mended, known, workspace.files()));
            }
        }
        Ok(())
    }
}

/// The linter's findings, and the loader's about compose files.
fn lint(input: &Input<'_>, workspace: &Workspace) -> Report {
    let mut report = drua_lint::lint(input);
    collect::check_compose(workspace, input, &mut report);
    report
}

/// Writes mended files, each at once: through a new file beside it, so that nobody sees half of it.
fn write(workspace: &mut Workspace, fixed: &[Fixed]) -> Result<(), Failure> {
    for file in fixed {
        if workspace.text(&file.path) == Some(file.text.as_str()) {
            continue;
        }
        let path = Path::new(&file.path);
        if file.path == collect::STDIN {
            continue;
        }
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let permissions = fs_err::metadata(path)?.permissions();
        // A link stays a link: what it points to is what is mended.
        let target = fs_err::canonicalize(path)?;
        let folder = target.parent().unwrap_or(folder).to_owned();
        let mut new = tempfile::NamedTempFile::new_in(folder)?;
        io::Write::write_all(&mut new, file.text.as_bytes())?;
        new.as_file().sync_all()?;
        fs_err::set_permissions(new.path(), permissions)?;
        new.persist(&target).map_err(|error| error.error)?;
        workspace.replace(&file.path, &file.text);
    }
    Ok(())
}

fn explain(ctx: &Context, name: &str, format: Format) -> Outcome {
    if name == "all" {
        let mut text = String::new();
        let width = rules::all().map(|rule| rule.code.len()).max().unwrap_or(0);
        for rule in rules::all() {
            let off = if rule.on { "" } else { " (off)" };
            let _ = writeln!(text, "{:width$}  {:7}  {}{off}", rule.code, rule.severity.name(), rule.summary);
        }
        ctx.ui.data(text.as_bytes())?;
        return Ok(exit::OK);
    }
    let Some(rule) = rules::find(name) else {
        let names = rules::all().flat_map(|rule| [rule.code, rule.name]);
        let mut failure = Failure::message(format!("there is no rule `{name}`"));
        if let Some(near) = drua_dockerfile::nearest(name, names) {
            failure = failure.hint(format!("did you mean `{near}`?"));
        }
        return Err(failure.hint("`drua lint --explain all` lists them"));
    };
    match format {
        Format::Json | Format::Sarif => {
            let value = serde_json::json!({
                "code": rule.code, "name": rule.name, "aliases": rule.aliases, "severity": rule.severity.name(), "on": rule.on,
                "summary": rule.summary, "why": rule.why, "bad": rule.bad, "good": rule.good, "url": rule.url(),
                "fix": rule.fix.map(|fix| if fix == Safety::Safe { "safe" } else { "unsafe" }),
            });
            ctx.ui.line(&serde_json::to_string_pretty(&value)?)?;
        }
        Format::Text | Format::Github => ctx.ui.data(output::explanation(rule, Paint::for_stdout()).as_bytes())?,
    }
    Ok(exit::OK)
}

/// Counts of findings by severity, the worst first.
fn counts(report: &Report) -> BTreeMap<Severity, usize> {
    let mut counts = BTreeMap::new();
    for found in &report.diagnostics {
        *counts.entry(found.severity).or_default() += 1;
    }
    counts
}
