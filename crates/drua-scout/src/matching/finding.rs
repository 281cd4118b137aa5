//! What matching finds.

use serde::Serialize;

use crate::advisory::{Cvss, Epss, Exploited, Reference, Severity};

/// Whether there is a version without the flaw.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum FixState {
    /// There is.
    Fixed,
    /// Not yet.
    #[default]
    NotFixed,
    /// The distribution has decided against one, or put it off.
    WontFix,
}

/// One vulnerability of one package.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Finding {
    /// The CVE id where there is one, else the advisory's.
    pub id: String,
    /// Other ids of it, sorted.
    pub aliases: Vec<String>,
    /// Index into the document's packages.
    pub package: usize,
    /// How bad, by the word of `severity_source`.
    pub severity: Severity,
    /// Who says so: the source's name, and the record's where it is another one.
    pub severity_source: String,
    /// The preferred score: of the newest CVSS version.
    pub cvss: Option<Cvss>,
    /// One line.
    pub summary: String,
    /// RFC 3339, or empty.
    pub published: String,
    /// Weaknesses.
    pub weaknesses: Vec<String>,
    /// Links.
    pub references: Vec<Reference>,
    /// Affected versions in words.
    pub range: String,
    /// The first version without it, in the package's own line.
    pub fixed: Option<String>,
    /// Whether there is one.
    pub fix_state: FixState,
    /// The fix is in a paid channel only.
    pub paid_fix: bool,
    /// The entry in the catalog of exploited vulnerabilities.
    pub exploited: Option<Exploited>,
    /// How likely somebody tries.
    pub epss: Option<Epss>,
    /// Why it was found, a record each; the first decided.
    pub evidence: Vec<MatchEvidence>,
    /// Why it does not count.
    pub suppressed: Option<Suppression>,
}

/// A record that says that a package is affected.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct MatchEvidence {
    /// Its id: `DSA-5380-1`.
    pub record: String,
    /// The source's name in the database.
    pub source: String,
    /// Date of the source's data.
    pub source_date: String,
    /// Under which ecosystem and release it was found: `Debian:12`.
    pub ecosystem: String,
    /// Under which name: the source package's, for example.
    pub name: String,
    /// The version that was compared.
    pub version: String,
    /// In which order: `dpkg`.
    pub comparator: &'static str,
    /// The range that holds it.
    pub range: String,
    /// In a sentence.
    pub why: String,
}

/// Why a finding does not count.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Suppression {
    /// By what.
    pub kind: SuppressionKind,
    /// The reason that was given.
    pub reason: String,
    /// Where it was given: a file, an author.
    pub by: String,
}

/// What can make a finding not count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum SuppressionKind {
    /// A VEX statement: not affected, or fixed.
    Vex,
    /// The user's ignore file.
    Ignored,
    /// The package's changelog inside the image, where the feed knows of no fix.
    Changelog,
    /// A rule of drua's: kernel headers are no kernel.
    Rule,
}

impl Finding {
    /// Whether it counts.
    pub fn counts(&self) -> bool {
        self.suppressed.is_none()
    }

    /// Whether an id is this vulnerability's.
    pub fn is(&self, id: &str) -> bool {
        self.id.eq_ignore_ascii_case(id) || self.aliases.iter().any(|alias| alias.eq_ignore_ascii_case(id))
    }

    /// Where to read about it.
    pub fn url(&self) -> String {
        let encoded: String = self.id.chars().filter(|c| c.is_ascii_alphanumeric() || "-_.:".contains(*c)).collect();
        match encoded.as_str() {
            id if id.starts_with("CVE-") => format!("https://nvd.nist.gov/vuln/detail/{id}"),
            id if id.starts_with("GHSA-") => format!("https://github.com/advisories/{id}"),
            id => format!("https://osv.dev/vulnerability/{id}"),
        }
    }
}
