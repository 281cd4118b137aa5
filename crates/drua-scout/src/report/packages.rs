//! The text of `drua scout cves`: findings by package.

use std::fmt::Write as _;

use crate::advisory::Severity;
use crate::matching::{Finding, FixState};
use crate::model::{NoteKind, Package};
use crate::text::clean;

use super::{Counts, Report, count_of, table};

/// What the text shows beside the usual.
#[derive(Debug, Clone, Copy, Default)]
pub struct TextOptions {
    /// CVSS vectors, summaries, and the evidence.
    pub details: bool,
    /// EPSS scores.
    pub epss: bool,
    /// Paths and layers.
    pub locations: bool,
}

/// Colors a severity's text: the terminal's business.
type Paint<'p> = &'p dyn Fn(Severity, &str) -> String;

/// Findings by package, with an overview before and totals after.
pub fn text(report: &Report<'_>, options: TextOptions, paint: Paint<'_>) -> String {
    let mut text = String::from("## Overview\n\n");
    text.push_str(&table::table("Analyzed image", &overview(report)));
    let groups = report.by_package();
    if !groups.is_empty() {
        text.push_str("\n\n## Packages and Vulnerabilities\n\n");
    }
    for (index, findings) in &groups {
        let package = &report.sbom.packages[*index];
        text.push_str(&heading(report, package, findings));
        if options.locations {
            text.push_str(&locations(report, package));
        }
        text.push('\n');
        for finding in findings {
            text.push_str(&one(report, finding, options, paint));
            text.push('\n');
        }
        text.push('\n');
    }
    text.push_str(&footer(report, groups.len()));
    text
}

/// Vulnerable packages, one a line, with their counts and the version that clears most.
pub fn only_packages(report: &Report<'_>) -> String {
    let mut text = String::new();
    for (index, findings) in report.by_package() {
        let package = &report.sbom.packages[index];
        let counts = Counts::of(findings.iter().copied().filter(|finding| finding.counts()));
        let _ = writeln!(text, "{counts}  {} {}", clean(&package.name, 200), clean(&package.version, 200));
    }
    text.push_str(&footer(report, report.by_package().len()));
    text
}

fn overview(report: &Report<'_>) -> Vec<(String, String)> {
    let target = &report.sbom.target;
    let row = |label: &str, value: String| (label.to_owned(), value);
    let mut rows = vec![row("Target", clean(&target.name, 200))];
    let digest = target.digest.as_deref().or(target.image_id.as_deref());
    rows.extend(digest.map(|digest| row("  digest", digest.trim_start_matches("sha256:").chars().take(12).collect())));
    rows.extend(target.platform.as_ref().map(|platform| row("  platform", clean(platform, 60))));
    rows.push(row("  vulnerabilities", report.counts().to_string()));
    if target.size > 0 {
        rows.push(row("  size", bytes(target.size)));
    }
    rows.push(row("  packages", report.sbom.packages.len().to_string()));
    rows
}

/// Decimal units with one digit, as Docker prints sizes.
pub(super) fn bytes(size: u64) -> String {
    let units = [(1_000_000_000, "GB"), (1_000_000, "MB"), (1_000, "kB")];
    match units.into_iter().find(|(unit, _)| size >= *unit) {
        Some((unit, name)) => format!("{}.{} {name}", size / unit, size % unit * 10 / unit),
        None => format!("{size} B"),
    }
}

fn heading(report: &Report<'_>, package: &Package, findings: &[&Finding]) -> String {
    let counts = Counts::of(findings.iter().copied());
    let purl = package.purl(report.sbom.distro.as_ref());
    format!(
        "{counts}  {} {}\n{}\n",
        clean(&package.name, 200),
        clean(&package.version, 200),
        clean(&purl.to_string(), 600)
    )
}

fn locations(report: &Report<'_>, package: &Package) -> String {
    let mut text = String::new();
    for location in &package.locations {
        let _ = write!(text, "  {}", clean(&location.path, 1000));
        if let Some(layer) = location.layer.and_then(|layer| report.sbom.layers.get(layer)) {
            let line = layer.dockerfile_line.map(|line| format!(", Dockerfile line {line}")).unwrap_or_default();
            let instruction = clean(&layer.created_by, 80);
            let _ = write!(text, "  in layer {}{line}  {instruction}", clean(&layer.diff_id, 80));
        }
        text.push('\n');
    }
    text
}

fn one(report: &Report<'_>, finding: &Finding, options: TextOptions, paint: Paint<'_>) -> String {
    let mark = if finding.counts() { "✗" } else { "–" };
    let severity = paint(finding.severity, finding.severity.name());
    let mut text = format!("    {mark} {severity} {}", clean(&finding.id, 100));
    if let Some(exploited) = &finding.exploited {
        let ransomware = if exploited.ransomware { ", by ransomware too" } else { "" };
        let _ = write!(text, "  [exploited since {}{ransomware}]", clean(&exploited.added, 20));
    }
    text.push('\n');
    let mut line = |label: &str, value: &str| {
        let _ = writeln!(text, "      {label:<15}: {value}");
    };
    if options.details && !finding.summary.is_empty() {
        line("Summary", &clean(&finding.summary, 300));
    }
    line("Link", &finding.url());
    line("Affected range", &clean(&finding.range, 300));
    line("Fixed version", &fix(finding));
    if options.details {
        line("Severity by", &clean(&finding.severity_source, 100));
    }
    if let Some(cvss) = &finding.cvss {
        line("CVSS Score", &format!("{:.1}", cvss.score));
        if options.details {
            line("CVSS Vector", &clean(&cvss.vector, 300));
        }
    }
    if let (true, Some(epss)) = (options.epss, &finding.epss) {
        line("EPSS Score", &format!("{:.5}", epss.score));
        line("EPSS Percentile", &format!("{:.5}", epss.percentile));
    }
    if options.details {
        for evidence in &finding.evidence {
            line("Evidence", &clean(&format!("{} of {}: {}", evidence.record, evidence.source, evidence.why), 600));
        }
        let package = report.package(finding);
        if let Some(location) = package.locations.first() {
            line("Found in", &clean(&location.path, 1000));
        }
    }
    if let Some(suppression) = &finding.suppressed {
        line("Does not count", &clean(&format!("{} (by {})", suppression.reason, suppression.by), 600));
    }
    text
}

pub(super) fn fix(finding: &Finding) -> String {
    match (&finding.fixed, finding.fix_state) {
        (Some(version), _) if finding.paid_fix => format!("{} (paid support only)", clean(version, 200)),
        (Some(version), _) => clean(version, 200),
        (None, FixState::WontFix) => "won't fix".to_owned(),
        (None, FixState::Fixed | FixState::NotFixed) => "not fixed".to_owned(),
    }
}

fn footer(report: &Report<'_>, packages: usize) -> String {
    let counts = report.counts();
    let mut text = match counts.total() {
        0 if report.is_incomplete() => "no vulnerabilities found, but not everything could be judged\n".to_owned(),
        0 => "no vulnerabilities found\n".to_owned(),
        total => {
            let found = count_of(total, "vulnerability", "vulnerabilities");
            let mut text = format!("{found} found in {}\n", count_of(packages, "package", "packages"));
            for severity in Severity::ALL.iter().rev() {
                if *severity != Severity::Unspecified || counts.unspecified > 0 {
                    let _ = writeln!(text, "  {:<11} {}", severity.name(), counts.get(*severity));
                }
            }
            text
        }
    };
    let hidden = report.matches.findings.iter().filter(|finding| !finding.counts()).count();
    if hidden > 0 {
        let does = if hidden == 1 { "does" } else { "do" };
        let _ =
            writeln!(text, "{hidden} more {does} not count (VEX, ignored, or by rule); --show-suppressed shows them");
    }
    text.push_str(&sources(report));
    for note in report.notes() {
        let mark = if note.kind == NoteKind::Incomplete { "!" } else { "i" };
        let path = note.path.as_ref().map(|path| format!("{}: ", clean(path, 300))).unwrap_or_default();
        let _ = writeln!(text, "{mark} {path}{}", clean(&note.text, 600));
    }
    text
}

/// `Advisories: debian 2026-11-20, osv-pypi 2026-11-22`.
fn sources(report: &Report<'_>) -> String {
    let dates: Vec<String> = report
        .matches
        .sources
        .iter()
        .map(|date| {
            let day = |text: &str| text.chars().take(10).collect::<String>();
            match date.data.as_str() {
                "" => format!("{} (imported {})", date.source, day(&date.imported)),
                data => format!("{} {}", date.source, day(data)),
            }
        })
        .collect();
    if dates.is_empty() { String::new() } else { format!("Advisories: {}\n", clean(&dates.join(", "), 2000)) }
}
