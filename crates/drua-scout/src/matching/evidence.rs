//! Verdicts of records about one package, brought together by vulnerability.

use std::collections::BTreeMap;

use crate::advisory::{Advisory, Format, Hit, Status};
use crate::matching::ranges::RangeHit;

/// What a record says about the version at hand.
#[derive(Debug, Clone)]
pub(super) enum Verdict {
    /// It is affected.
    Affected(RangeHit),
    /// It is not: fixed already, or never was.
    Clear,
}

/// A record with its verdict.
#[derive(Debug, Clone)]
pub(super) struct Candidate {
    pub(super) hit: Hit,
    pub(super) verdict: Verdict,
    /// Under which name and version it was asked.
    pub(super) name: String,
    pub(super) version: String,
    /// How much the source's word counts for this package, more being more.
    pub(super) rank: u8,
}

/// How much a feed's word about a distribution's package counts beside others'.
pub(super) fn rank(formats: &[Format]) -> u8 {
    let of = |format: &Format| match format {
        Format::DebianTracker => 3,
        Format::Secdb | Format::Csaf => 2,
        Format::Osv => 1,
        _ => 0,
    };
    formats.iter().map(of).max().unwrap_or_default()
}

/// The vulnerabilities that a record is about, by the ids under which findings are counted.
pub(super) fn ids(advisory: &Advisory) -> Vec<String> {
    if advisory.id.starts_with("CVE-") {
        return vec![advisory.id.clone()];
    }
    if let Some(alias) = best(&advisory.aliases) {
        return vec![alias.to_owned()];
    }
    // A notice is about each of these; `UBUNTU-CVE-…` about one.
    if !advisory.upstream.is_empty() {
        return advisory.upstream.clone();
    }
    vec![advisory.id.clone()]
}

/// CVE before GHSA; other databases' ids are no better than the record's own.
fn best(aliases: &[String]) -> Option<&str> {
    let find = |prefix: &str| aliases.iter().find(|alias| alias.starts_with(prefix)).map(String::as_str);
    find("CVE-").or_else(|| find("GHSA-"))
}

/// Candidates by vulnerability. Of an OS package's only those remain whose source counts most; a vulnerability of which
/// they say that the version is clear goes. Of others every source that says "affected" counts.
pub(super) fn resolve(candidates: Vec<Candidate>, is_os: bool) -> BTreeMap<String, Vec<Candidate>> {
    let mut groups: BTreeMap<String, Vec<Candidate>> = BTreeMap::new();
    for candidate in candidates {
        for id in ids(&candidate.hit.advisory) {
            groups.entry(id).or_default().push(candidate.clone());
        }
    }
    for group in groups.values_mut() {
        if is_os {
            let top = group.iter().map(|candidate| candidate.rank).max().unwrap_or_default();
            group.retain(|candidate| candidate.rank == top);
            // "Never was affected" beats a range of the same source.
            if group.iter().any(|candidate| candidate.hit.affected.status == Status::NotAffected) {
                group.clear();
            }
        }
        group.retain(|candidate| matches!(candidate.verdict, Verdict::Affected(_)));
    }
    groups.retain(|_, group| !group.is_empty());
    groups
}
