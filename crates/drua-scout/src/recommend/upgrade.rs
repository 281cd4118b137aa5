//! For each package the smallest version that clears most.

use serde::Serialize;

use crate::advisory::Coverage;
use crate::advisory::{Severity, of_distro, of_kind};
use crate::matching::Finding;
use crate::model::{Package, Sbom};
use crate::report::Counts;
use crate::version::Scheme;

/// A package with the version to go to.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Upgrade {
    /// Index into the document's packages.
    pub package: usize,
    /// The smallest version that clears everything that can be cleared.
    pub to: String,
    /// What it clears.
    pub clears: Counts,
    /// Ids of what it clears.
    pub ids: Vec<String>,
    /// What stays for want of a fix.
    pub remains: usize,
    /// A smaller step, without a new major version, when `to` has one: version, and what that clears.
    pub within_major: Option<(String, Counts)>,
}

/// An upgrade for each package that has one; the one that clears most first.
pub fn upgrades(sbom: &Sbom, findings: &[&Finding]) -> Vec<Upgrade> {
    let mut by_package: std::collections::BTreeMap<usize, Vec<&Finding>> = std::collections::BTreeMap::new();
    for finding in findings.iter().filter(|finding| finding.counts()) {
        by_package.entry(finding.package).or_default().push(finding);
    }
    let one = |(package, findings): (usize, Vec<&Finding>)| upgrade(sbom, package, &findings);
    let mut upgrades: Vec<Upgrade> = by_package.into_iter().filter_map(one).collect();
    upgrades.sort_by(|a, b| b.clears.cmp(&a.clears).then_with(|| a.package.cmp(&b.package)));
    upgrades
}

fn upgrade(sbom: &Sbom, index: usize, findings: &[&Finding]) -> Option<Upgrade> {
    let package = &sbom.packages[index];
    let scheme = scheme_of(package, sbom);
    let fixes: Vec<&&Finding> =
        findings.iter().filter(|finding| finding.fixed.is_some() && !finding.paid_fix).collect();
    let version = |finding: &Finding| finding.fixed.clone().unwrap_or_default();
    let to = fixes.iter().map(|finding| version(finding)).max_by(|a, b| scheme.compare(a, b))?;
    let within = || {
        let same = |finding: &&&&Finding| major(&version(finding)) == major(&package.version);
        let smaller: Vec<&&&Finding> = fixes.iter().filter(same).collect();
        let to = smaller.iter().map(|finding| version(finding)).max_by(|a, b| scheme.compare(a, b))?;
        Some((to, Counts::of(smaller.into_iter().map(|finding| **finding))))
    };
    let within_major = if package.kind.is_os() || major(&to) == major(&package.version) { None } else { within() };
    Some(Upgrade {
        package: index,
        clears: Counts::of(fixes.iter().map(|finding| **finding)),
        ids: fixes.iter().map(|finding| finding.id.clone()).collect(),
        remains: findings.len() - fixes.len(),
        to,
        within_major,
    })
}

fn major(version: &str) -> &str {
    version.trim_start_matches(['v', 'V']).split(['.', '-', '+']).next().unwrap_or_default()
}

pub(super) fn scheme_of(package: &Package, sbom: &Sbom) -> Scheme {
    let ecosystem = match (package.kind.is_os(), &sbom.distro) {
        (true, Some(distro)) => match of_distro(distro) {
            Coverage::Ecosystem(ecosystem) => ecosystem,
            Coverage::Unsupported(_) => String::new(),
        },
        _ => of_kind(package.kind).unwrap_or_default().to_owned(),
    };
    Scheme::of_ecosystem(&ecosystem).unwrap_or(Scheme::Semver)
}

/// Weighs counts, for sorting actions of different kinds: a critical one is worth ten medium ones.
pub(super) fn weight(counts: &Counts) -> usize {
    let weights = [
        (Severity::Critical, 100),
        (Severity::High, 40),
        (Severity::Medium, 10),
        (Severity::Low, 2),
        (Severity::Unspecified, 3),
    ];
    weights.iter().map(|(severity, weight)| counts.get(*severity) * weight).sum()
}
