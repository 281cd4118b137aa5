//! What the database holds: advisories, and what each says about one package. Field names are short because they stand in
//! every record on disk; the form carries the segment's version.

use serde::{Deserialize, Serialize};

use super::severity::{Cvss, Severity};

/// Texts longer than this are cut: descriptions are for people.
pub(super) const MAX_TEXT: usize = 2000;
/// References kept of one advisory.
pub(super) const MAX_REFERENCES: usize = 12;

/// One record of a feed.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Advisory {
    /// Its id: `GHSA-…`, `CVE-…`, `DSA-5380-1`.
    pub id: String,
    /// Other names of the same vulnerability.
    #[serde(rename = "a", default, skip_serializing_if = "Vec::is_empty")]
    pub aliases: Vec<String>,
    /// Vulnerabilities that it is about, when there may be several: what distributions' notices list.
    #[serde(rename = "u", default, skip_serializing_if = "Vec::is_empty")]
    pub upstream: Vec<String>,
    /// One line.
    #[serde(rename = "s", default, skip_serializing_if = "String::is_empty")]
    pub summary: String,
    /// Scores that the feed gives.
    #[serde(rename = "c", default, skip_serializing_if = "Vec::is_empty")]
    pub cvss: Vec<Cvss>,
    /// The feed's own word for how bad it is.
    #[serde(rename = "v", default, skip_serializing_if = "Severity::is_unspecified")]
    pub severity: Severity,
    /// RFC 3339.
    #[serde(rename = "p", default, skip_serializing_if = "String::is_empty")]
    pub published: String,
    /// RFC 3339.
    #[serde(rename = "m", default, skip_serializing_if = "String::is_empty")]
    pub modified: String,
    /// Weaknesses: `CWE-79`.
    #[serde(rename = "w", default, skip_serializing_if = "Vec::is_empty")]
    pub weaknesses: Vec<String>,
    /// Where to read more.
    #[serde(rename = "r", default, skip_serializing_if = "Vec::is_empty")]
    pub references: Vec<Reference>,
    /// Not a vulnerability but news about a package: `unmaintained`, `unsound`, `notice`.
    #[serde(rename = "n", default, skip_serializing_if = "Option::is_none")]
    pub informational: Option<String>,
}

/// A link.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reference {
    /// `ADVISORY`, `FIX`, `WEB`, as OSV calls them.
    #[serde(rename = "t", default)]
    pub kind: String,
    /// The address.
    #[serde(rename = "u")]
    pub url: String,
}

/// What an advisory says about one package of one ecosystem.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Affected {
    /// The advisory's id.
    pub id: String,
    /// Versions that are affected; a version is if any range holds it.
    #[serde(rename = "r", default, skip_serializing_if = "Vec::is_empty")]
    pub ranges: Vec<Range>,
    /// Affected versions that no range holds.
    #[serde(rename = "v", default, skip_serializing_if = "Vec::is_empty")]
    pub versions: Vec<String>,
    /// What the feed says beside the ranges.
    #[serde(rename = "k", default, skip_serializing_if = "Status::is_affected")]
    pub status: Status,
    /// How bad it is for this package, where that differs from the advisory.
    #[serde(rename = "s", default, skip_serializing_if = "Severity::is_unspecified")]
    pub severity: Severity,
    /// Scores for this package.
    #[serde(rename = "c", default, skip_serializing_if = "Vec::is_empty")]
    pub cvss: Vec<Cvss>,
    /// Go: the packages of the module that hold the flaw.
    #[serde(rename = "y", default, skip_serializing_if = "Vec::is_empty")]
    pub imports: Vec<String>,
    /// The fix is in a paid channel: Ubuntu Pro.
    #[serde(rename = "e", default, skip_serializing_if = "std::ops::Not::not")]
    pub paid_fix: bool,
    /// RPM: the module stream (`nodejs:18`) for which it was said.
    #[serde(rename = "t", default, skip_serializing_if = "Option::is_none")]
    pub module: Option<String>,
    /// RPM: architectures, when not all.
    #[serde(rename = "h", default, skip_serializing_if = "Vec::is_empty")]
    pub arches: Vec<String>,
    /// A remark of the distribution: `no-dsa: Minor issue`.
    #[serde(rename = "d", default, skip_serializing_if = "Option::is_none")]
    pub remark: Option<String>,
}

/// What a feed says about a package beside the affected versions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum Status {
    /// Affected, within the ranges.
    #[default]
    #[serde(rename = "a")]
    Affected,
    /// No version is affected; other feeds are wrong about it.
    #[serde(rename = "n")]
    NotAffected,
    /// The distribution will not fix it, or not soon.
    #[serde(rename = "w")]
    WontFix,
    /// Nobody has looked yet.
    #[serde(rename = "u")]
    Undetermined,
}

impl Status {
    fn is_affected(&self) -> bool {
        *self == Self::Affected
    }
}

/// How a range's versions are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum RangeKind {
    /// In the ecosystem's own order.
    #[default]
    #[serde(rename = "e")]
    Ecosystem,
    /// By SemVer 2.0.0.
    #[serde(rename = "s")]
    Semver,
}

/// A range of versions, as OSV has them: events in ascending order.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Range {
    /// The order.
    #[serde(rename = "k", default)]
    pub kind: RangeKind,
    /// Where affected versions begin and end.
    #[serde(rename = "e")]
    pub events: Vec<Event>,
}

/// An end of a range.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Bound {
    /// Affected from here on; `0` is before everything.
    #[serde(rename = "i")]
    Introduced,
    /// No longer affected from here on.
    #[serde(rename = "f")]
    Fixed,
    /// The last affected version.
    #[serde(rename = "l")]
    LastAffected,
    /// Versions from here on are not judged by this range.
    #[serde(rename = "m")]
    Limit,
}

/// One event of a range.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event(pub Bound, pub String);

impl Range {
    /// `< fixed`, from the beginning.
    pub fn below(fixed: &str) -> Self {
        let start = Event(Bound::Introduced, "0".to_owned());
        Self { kind: RangeKind::Ecosystem, events: vec![start, Event(Bound::Fixed, fixed.to_owned())] }
    }

    /// All versions.
    pub fn all() -> Self {
        Self { kind: RangeKind::Ecosystem, events: vec![Event(Bound::Introduced, "0".to_owned())] }
    }
}

/// A vulnerability that is known to be exploited, by CISA's catalog.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exploited {
    /// When it was listed.
    pub added: String,
    /// Until when US agencies had to act.
    pub due: String,
    /// Whether ransomware is known to use it.
    pub ransomware: bool,
    /// Its name.
    pub name: String,
}

/// How likely it is that somebody tries within 30 days, by FIRST's EPSS.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Epss {
    /// Probability, 0 to 1.
    pub score: f64,
    /// Share of vulnerabilities that are less likely, 0 to 1.
    pub percentile: f64,
}
