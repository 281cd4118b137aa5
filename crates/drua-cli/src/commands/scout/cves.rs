use std::path::PathBuf;
use std::str::FromStr;

use drua_scout::advisory::Severity;
use drua_scout::report::{self, Report, TextOptions};
use drua_scout::{DocumentFormat, write_document};

use super::judge::{self, FilterArgs, JudgeArgs, exit_code};
use super::source::TargetArgs;
use crate::context::Context;
use crate::failure::Outcome;
use crate::ui::Paint;

/// Show the vulnerabilities of an image
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  drua scout cves alpine:3.20
  drua scout cves --only-severity critical,high --only-fixed --exit-code app:1
  drua scout cves --format sarif --output app.sarif app:1
  drua scout cves fs://.                        lock files of a directory
  drua scout cves --ignore-base --locations app:1
  drua scout cves --details --only-cve-id CVE-2024-3094 debian:sid

Exit codes with --exit-code: 0 nothing found, 2 found, 3 nothing found but not everything could be judged.")]
pub(super) struct Cves {
    #[command(flatten)]
    target: TargetArgs,
    #[command(flatten)]
    judge: JudgeArgs,
    #[command(flatten)]
    filter: FilterArgs,
    /// Form of the report: packages, only-packages, json, sarif, spdx, gitlab, markdown or sbom
    #[arg(long, value_name = "FORMAT", default_value = "packages")]
    format: CvesFormat,
    /// Show summaries, CVSS vectors and the evidence
    #[arg(long)]
    details: bool,
    /// Show EPSS scores
    #[arg(long)]
    epss: bool,
    /// Show paths and layers
    #[arg(long)]
    locations: bool,
    /// Only packages that have vulnerabilities; always so, for Scout's scripts
    #[arg(long, hide = true)]
    only_vuln_packages: bool,
    /// Write to a file, instead of standard output
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Exit with 2 when vulnerabilities are found
    #[arg(short, long)]
    exit_code: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum CvesFormat {
    Packages,
    OnlyPackages,
    Json,
    Sarif,
    Spdx,
    Gitlab,
    Markdown,
    Sbom,
}

impl FromStr for CvesFormat {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(match text.to_ascii_lowercase().as_str() {
            "packages" => Self::Packages,
            "only-packages" => Self::OnlyPackages,
            "json" => Self::Json,
            "sarif" => Self::Sarif,
            "spdx" => Self::Spdx,
            "gitlab" => Self::Gitlab,
            "markdown" => Self::Markdown,
            "sbom" => Self::Sbom,
            _ => {
                return Err(
                    "known are packages, only-packages, json, sarif, spdx, gitlab, markdown and sbom".to_owned()
                );
            }
        })
    }
}

impl Cves {
    pub(super) async fn run(self, ctx: &Context) -> Outcome {
        let database = judge::database()?;
        let start = jiff::Timestamp::now();
        let judged = judge::judge(ctx, &self.target, &self.judge, &database).await?;
        let filter = self.filter.filter(judged.base.as_ref())?;
        let report = judged.report(&filter);
        let text = self.render(&report, start)?;
        match &self.output {
            Some(path) => fs_err::write(path, text)?,
            None => ctx.ui.data(text.as_bytes())?,
        }
        Ok(exit_code(&report, self.exit_code))
    }

    fn render(&self, report: &Report<'_>, start: jiff::Timestamp) -> Result<String, crate::failure::Failure> {
        let version = env!("CARGO_PKG_VERSION");
        let json = |value: serde_json::Value| format!("{value:#}\n");
        let time = |time: jiff::Timestamp| time.strftime("%Y-%m-%dT%H:%M:%S").to_string();
        Ok(match self.format {
            CvesFormat::Packages => {
                let options = TextOptions { details: self.details, epss: self.epss, locations: self.locations };
                // A file gets no colors.
                let paint = if self.output.is_some() { Paint::Plain } else { Paint::for_stdout() };
                report::text(report, options, &|severity, text| colored(paint, severity, text))
            }
            CvesFormat::OnlyPackages => report::only_packages(report),
            CvesFormat::Json => json(report::json(report)),
            CvesFormat::Sarif => json(report::sarif(report, version)),
            CvesFormat::Gitlab => json(report::gitlab(report, version, &time(start), &time(jiff::Timestamp::now()))),
            CvesFormat::Markdown => report::markdown(report),
            CvesFormat::Spdx => {
                let document = write_document(report.sbom, DocumentFormat::Spdx, &super::sbom::created(report.sbom)?);
                report::with_security_references(&document, report)
            }
            CvesFormat::Sbom => write_document(report.sbom, DocumentFormat::Json, &super::sbom::created(report.sbom)?),
        })
    }
}

fn colored(paint: Paint, severity: Severity, text: &str) -> String {
    match severity {
        Severity::Critical | Severity::High => paint.red(text),
        Severity::Medium => paint.yellow(text),
        Severity::Low | Severity::Unspecified => paint.cyan(text),
    }
}
