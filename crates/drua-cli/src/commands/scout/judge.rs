//! From a target to judged findings: what `cves`, `quickview`, `recommendations`, `compare`, `policy` and `watch` share.

use std::path::{Path, PathBuf};

use drua_scout::advisory::{Database, Severity};
use drua_scout::matching::{self, MatchOptions, Matches};
use drua_scout::recommend::{BaseImage, KnownImage, base_image};
use drua_scout::report::{Filter, FixFilter, LayerFilter, Report};
use drua_scout::vex::{self, IgnoreFile, Statement};
use drua_scout::{PackageKind, Sbom};
use regex::Regex;

use super::bases;
use super::db::{Store, today};
use super::source::{self, TargetArgs};
use crate::context::Context;
use crate::failure::Failure;

/// With `--exit-code`: findings were left after the filter. Scout's own code.
pub(super) const FOUND: u8 = 2;
/// With `--exit-code`: nothing was found, but not everything could be judged.
pub(super) const INCOMPLETE: u8 = 3;
/// The ignore file that is used when it is there.
const IGNORE_FILE: &str = ".scout-ignore.yaml";
/// VEX documents in one directory.
const MAX_DOCUMENTS: usize = 10_000;

/// How to judge.
#[derive(Debug, Clone, clap::Args)]
pub(super) struct JudgeArgs {
    /// File or directory of VEX documents: OpenVEX or CSAF, JSON
    #[arg(long, value_name = "PATH")]
    vex_location: Vec<PathBuf>,
    /// Regular expression for authors of VEX documents; those inside the image count only when this is given
    #[arg(long, value_name = "REGEX")]
    vex_author: Vec<Regex>,
    /// Findings that do not count, with reasons; default `.scout-ignore.yaml` where it exists
    #[arg(long, value_name = "FILE")]
    ignore_file: Option<PathBuf>,
    /// Judge language packages that belong to OS packages by upstream's advisories too
    #[arg(long)]
    comprehensive: bool,
    /// Report what is no vulnerability: that a package is unmaintained, for example
    #[arg(long)]
    informational: bool,
}

/// Which findings to show.
#[derive(Debug, Clone, clap::Args)]
pub(super) struct FilterArgs {
    /// Only these severities: critical, high, medium, low, unspecified
    #[arg(long, value_name = "SEVERITY", value_delimiter = ',')]
    only_severity: Vec<Severity>,
    /// Only vulnerabilities with a fix
    #[arg(long, conflicts_with = "only_unfixed")]
    only_fixed: bool,
    /// Only vulnerabilities without a fix
    #[arg(long)]
    only_unfixed: bool,
    /// Only packages whose name matches one of these regular expressions
    #[arg(long, value_name = "REGEX", value_delimiter = ',')]
    only_package: Vec<Regex>,
    /// Only packages of these types: deb, apk, rpm, npm, pypi, golang, cargo …
    #[arg(long, value_name = "TYPE", value_delimiter = ',')]
    only_package_type: Vec<PackageKind>,
    /// Only these vulnerabilities
    #[arg(long, value_name = "ID", value_delimiter = ',')]
    only_cve_id: Vec<String>,
    /// Only vulnerabilities that are known to be exploited (CISA's KEV)
    #[arg(long)]
    only_cisa_kev: bool,
    /// Only vulnerabilities with these CVSS metrics: AV:N, PR:N …
    #[arg(long, value_name = "METRIC", value_delimiter = ',')]
    only_metric: Vec<String>,
    /// Only vulnerabilities with at least this EPSS score, 0 to 1
    #[arg(long, value_name = "SCORE")]
    epss_score: Option<f64>,
    /// Only vulnerabilities with at least this EPSS percentile, 0 to 1
    #[arg(long, value_name = "PERCENTILE")]
    epss_percentile: Option<f64>,
    /// Only what lies in the base image's layers
    #[arg(long, conflicts_with = "ignore_base")]
    only_base: bool,
    /// Leave out what lies in the base image's layers
    #[arg(long)]
    ignore_base: bool,
    /// Show what VEX statements, the ignore file and rules suppress, too
    #[arg(long)]
    show_suppressed: bool,
    /// For Scout's scripts: suppressed findings never count
    #[arg(long, hide = true)]
    ignore_suppressed: bool,
    /// For Scout's scripts: VEX statements always apply
    #[arg(long, hide = true)]
    only_vex_affected: bool,
}

impl FilterArgs {
    pub(super) fn filter(&self, base: Option<&BaseImage>) -> Result<Filter, Failure> {
        let layers = match (self.only_base, self.ignore_base, base.and_then(|base| base.layers)) {
            (false, false, _) => LayerFilter::Any,
            (true, _, Some(count)) => LayerFilter::OnlyBase(count),
            (_, true, Some(count)) => LayerFilter::IgnoreBase(count),
            (_, _, None) => {
                return Err(Failure::message("it is not known which layers are the base image's")
                    .hint("build with `drua build --provenance=true`, or leave out --only-base and --ignore-base"));
            }
        };
        for metric in &self.only_metric {
            if !metric.contains(':') {
                return Err(Failure::message(format!("`{metric}` is no CVSS metric")).hint("write AV:N, for example"));
            }
        }
        Ok(Filter {
            severities: self.only_severity.clone(),
            fix: match (self.only_fixed, self.only_unfixed) {
                (true, _) => FixFilter::Fixed,
                (_, true) => FixFilter::Unfixed,
                _ => FixFilter::Any,
            },
            kinds: self.only_package_type.clone(),
            packages: self.only_package.clone(),
            ids: self.only_cve_id.clone(),
            exploited: self.only_cisa_kev,
            metrics: self.only_metric.clone(),
            epss_score: self.epss_score,
            epss_percentile: self.epss_percentile,
            layers,
            suppressed: self.show_suppressed,
        })
    }
}

/// A document with everything that is known about it.
#[derive(Debug)]
pub(super) struct Judged {
    pub(super) sbom: Sbom,
    pub(super) matches: Matches,
    pub(super) base: Option<BaseImage>,
}

impl Judged {
    pub(super) fn report(&self, filter: &Filter) -> Report<'_> {
        Report::new(&self.sbom, &self.matches, filter, self.base.as_ref().and_then(|base| base.layers))
    }
}

/// The advisories; none are a failure, since "0 found" would be a lie.
pub(super) fn database() -> Result<Database, Failure> {
    let store = Store::open()?;
    let database = store.database()?;
    if database.is_empty() {
        return Err(Failure::message(format!("there are no advisories to judge by in `{}`", store.dir().display()))
            .hint("`drua scout db update debian osv-pypi kev` loads some; `drua scout db status --available` lists all")
            .hint("`drua scout db import FILE` reads feeds without a network"));
    }
    Ok(database)
}

/// Scans a target and judges what is in it.
pub(super) async fn judge(
    ctx: &Context,
    target: &TargetArgs,
    args: &JudgeArgs,
    database: &Database,
) -> Result<Judged, Failure> {
    let started = std::time::Instant::now();
    let scan = source::scan(ctx, target).await?;
    let (count, seconds) = (scan.sbom.packages.len(), started.elapsed().as_secs_f64());
    ctx.ui.note(&format!("{} {count} packages indexed ({seconds:.2} s)", ctx.ui.paint().green("✓")));
    let known = if bases::is_of_daemon(target.target.as_deref()) { bases::known_images(ctx).await } else { Vec::new() };
    judge_sbom(ctx, scan.sbom, &known, args, database)
}

/// Judges a document.
fn judge_sbom(
    ctx: &Context,
    sbom: Sbom,
    known: &[KnownImage],
    args: &JudgeArgs,
    database: &Database,
) -> Result<Judged, Failure> {
    let options = MatchOptions {
        comprehensive: args.comprehensive,
        informational: args.informational,
        ..MatchOptions::default()
    };
    let mut matches = matching::find(&sbom, database, options).map_err(Failure::new)?;
    let statements = statements(ctx, args, &sbom)?;
    let ignore = ignore_file(args)?;
    let applied = vex::apply(&statements, ignore.as_ref(), &sbom, &mut matches.findings, &today());
    matches.notes.extend(applied.notes);
    let base = base_image(&sbom, known, None);
    Ok(Judged { sbom, matches, base })
}

fn ignore_file(args: &JudgeArgs) -> Result<Option<IgnoreFile>, Failure> {
    let path = match &args.ignore_file {
        Some(path) => path.clone(),
        None if Path::new(IGNORE_FILE).is_file() => PathBuf::from(IGNORE_FILE),
        None => return Ok(None),
    };
    let text = fs_err::read_to_string(&path)?;
    let file = IgnoreFile::parse(&path.display().to_string(), &text);
    file.map(Some).map_err(|error| Failure::new(error).hint("docs/scout-database.md describes the file"))
}

/// Statements of the user's documents, and of the image's own where their author is trusted.
fn statements(ctx: &Context, args: &JudgeArgs, sbom: &Sbom) -> Result<Vec<Statement>, Failure> {
    let trusted = |statement: &Statement| args.vex_author.iter().any(|author| author.is_match(&statement.author));
    let mut all = Vec::new();
    for path in
        args.vex_location.iter().map(|path| documents(path)).collect::<Result<Vec<_>, _>>()?.into_iter().flatten()
    {
        let text = fs_err::read_to_string(&path)?;
        let found = vex::parse(&path.display().to_string(), &text).map_err(Failure::new)?;
        all.extend(found.into_iter().filter(|statement| args.vex_author.is_empty() || trusted(statement)));
    }
    let mut distrusted = 0;
    for (key, texts) in &sbom.evidence {
        let Some(path) = key.strip_prefix("vex:") else { continue };
        for text in texts {
            // An image's own file that is no VEX document after all says nothing.
            let Ok(found) = vex::parse(path, text) else { continue };
            let (good, bad): (Vec<_>, Vec<_>) = found.into_iter().partition(trusted);
            distrusted += bad.len();
            all.extend(good);
        }
    }
    if distrusted > 0 {
        ctx.ui.note(&format!(
            "{distrusted} VEX statements inside the image are disregarded: --vex-author says whose count"
        ));
    }
    Ok(all)
}

/// A document, or those of a directory.
fn documents(path: &Path) -> Result<Vec<PathBuf>, Failure> {
    if !fs_err::metadata(path)?.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let mut found: Vec<PathBuf> = fs_err::read_dir(path)?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.extension().is_some_and(|extension| extension == "json"))
        .take(MAX_DOCUMENTS)
        .collect();
    found.sort();
    Ok(found)
}

/// What a command ends with: 0 without `--exit-code`.
pub(super) fn exit_code(report: &Report<'_>, wanted: bool) -> u8 {
    match (wanted, report.counts().total() > 0, report.is_incomplete()) {
        (false, _, _) | (true, false, false) => drua_types::exit::OK,
        (true, true, _) => FOUND,
        (true, false, true) => INCOMPLETE,
    }
}
