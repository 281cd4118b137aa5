//! Two images side by side.

use std::fmt::Write as _;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use super::packages::bytes;
use super::{Report, table};
use crate::advisory::Severity;
use crate::text::clean;

/// What is different between two reports.
#[derive(Debug)]
pub struct Comparison<'r> {
    /// The image that is compared to.
    pub before: Report<'r>,
    /// The image at hand.
    pub after: Report<'r>,
    /// Vulnerabilities that came: id, severity, package.
    pub added: Vec<(String, Severity, String)>,
    /// Vulnerabilities that went.
    pub removed: Vec<(String, Severity, String)>,
    /// Packages that came, went or changed.
    pub packages: Vec<PackageChange>,
}

/// A package that is not the same in both.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
pub struct PackageChange {
    /// Type and name.
    pub name: String,
    /// Versions before; empty when it came.
    pub before: Vec<String>,
    /// Versions after; empty when it went.
    pub after: Vec<String>,
}

impl fmt::Display for PackageChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (before, after) = (self.before.join(", "), self.after.join(", "));
        let text = match (self.before.is_empty(), self.after.is_empty()) {
            (true, _) => format!("+ {} {after}", self.name),
            (_, true) => format!("- {} {before}", self.name),
            _ => format!("~ {} {before} → {after}", self.name),
        };
        f.write_str(&clean(&text, 500))
    }
}

/// Compares two reports.
pub fn compare<'r>(before: Report<'r>, after: Report<'r>) -> Comparison<'r> {
    let findings = |report: &Report<'_>| -> BTreeMap<(String, String), Severity> {
        let counted = report.findings.iter().filter(|finding| finding.counts());
        counted.map(|finding| ((finding.id.clone(), report.package(finding).name.clone()), finding.severity)).collect()
    };
    let (old, new) = (findings(&before), findings(&after));
    let only = |these: &BTreeMap<(String, String), Severity>, those: &BTreeMap<(String, String), Severity>| {
        let mut list: Vec<(String, Severity, String)> = these
            .iter()
            .filter(|(key, _)| !those.contains_key(*key))
            .map(|((id, package), severity)| (id.clone(), *severity, package.clone()))
            .collect();
        list.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.cmp(b)));
        list
    };
    let (added, removed) = (only(&new, &old), only(&old, &new));
    let packages = packages(&before, &after);
    Comparison { before, after, added, removed, packages }
}

fn packages(before: &Report<'_>, after: &Report<'_>) -> Vec<PackageChange> {
    let versions = |report: &Report<'_>| -> BTreeMap<String, BTreeSet<String>> {
        let mut map: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for package in &report.sbom.packages {
            map.entry(format!("{} {}", package.kind, package.name)).or_default().insert(package.version.clone());
        }
        map
    };
    let (old, new) = (versions(before), versions(after));
    let names: BTreeSet<&String> = old.keys().chain(new.keys()).collect();
    let list = |map: &BTreeMap<String, BTreeSet<String>>, name: &str| -> Vec<String> {
        map.get(name).into_iter().flatten().cloned().collect()
    };
    names
        .into_iter()
        .map(|name| PackageChange { name: name.clone(), before: list(&old, name), after: list(&new, name) })
        .filter(|change| change.before != change.after)
        .collect()
}

impl Comparison<'_> {
    /// The comparison as text.
    pub fn text(&self) -> String {
        let row = |label: &str, value: String| (label.to_owned(), value);
        let (before, after) = (&self.before, &self.after);
        let mut text = String::from("## Overview\n\n");
        text.push_str(&table::table(
            "Analyzed image",
            &[
                row("Target", clean(&after.sbom.target.name, 200)),
                row("  vulnerabilities", after.counts().to_string()),
                row("  change", after.counts().change_from(&before.counts())),
                row("  size", bytes(after.sbom.target.size)),
                row("  packages", after.sbom.packages.len().to_string()),
                row("Compared to", clean(&before.sbom.target.name, 200)),
                row("  vulnerabilities", before.counts().to_string()),
                row("  size", bytes(before.sbom.target.size)),
                row("  packages", before.sbom.packages.len().to_string()),
            ],
        ));
        for (title, mark, list) in [("New", '+', &self.added), ("Gone", '-', &self.removed)] {
            if !list.is_empty() {
                let _ = write!(text, "\n## {title} vulnerabilities ({})\n\n", list.len());
            }
            for (id, severity, package) in list {
                let line = format!("  {mark} {:<11} {id}  {package}\n", severity.name());
                text.push_str(&clean(line.trim_end(), 400));
                text.push('\n');
            }
        }
        if !self.packages.is_empty() {
            let _ = write!(text, "\n## Packages ({} changed)\n\n", self.packages.len());
        }
        for change in &self.packages {
            let _ = writeln!(text, "  {change}");
        }
        text
    }

    /// The comparison as JSON; the form is `version` 1.
    pub fn json(&self) -> serde_json::Value {
        let list = |list: &[(String, Severity, String)]| -> Vec<serde_json::Value> {
            let one = |(id, severity, package): &(String, Severity, String)| serde_json::json!({ "id": id, "severity": severity.name(), "package": package });
            list.iter().map(one).collect()
        };
        let side = |report: &Report<'_>| {
            serde_json::json!({
                "target": report.sbom.target.name,
                "digest": report.sbom.target.digest,
                "summary": report.counts(),
                "size": report.sbom.target.size,
                "packages": report.sbom.packages.len(),
                "complete": !report.is_incomplete(),
            })
        };
        serde_json::json!({
            "version": 1,
            "before": side(&self.before),
            "after": side(&self.after),
            "added": list(&self.added),
            "removed": list(&self.removed),
            "packages": self.packages,
        })
    }
}
