//! Findings for readers: tables, Markdown, SARIF, GitLab, JSON; and the filters before them.
//!
//! Names and texts come from images and feeds. Terminals get them without control characters, Markdown without HTML.

mod compare;
mod counts;
mod filter;
mod gitlab;
mod json;
mod markdown;
mod packages;
mod quickview;
mod sarif;
mod spdx;
mod table;
#[cfg(test)]
mod tests;

pub use compare::{Comparison, compare};
pub use counts::Counts;
pub use filter::{Filter, FixFilter, LayerFilter};
pub use gitlab::gitlab;
pub use json::json;
pub use markdown::{markdown, markdown_comparison};
pub use packages::{TextOptions, only_packages, text};
pub use quickview::{QuickRow, Quickview};
pub use sarif::sarif;
pub use spdx::with_security_references;

use crate::matching::{Finding, Matches};
use crate::model::{Note, NoteKind, Package, Sbom};

/// A document and what was found in it.
#[derive(Debug, Clone)]
pub struct Report<'r> {
    /// The document.
    pub sbom: &'r Sbom,
    /// What matching said, notes included.
    pub matches: &'r Matches,
    /// The findings that a filter left, the worst first.
    pub findings: Vec<&'r Finding>,
    /// How many of the document's layers are the base image's, when that is known.
    pub base_layers: Option<usize>,
}

impl<'r> Report<'r> {
    /// A report of the findings that pass a filter.
    pub fn new(sbom: &'r Sbom, matches: &'r Matches, filter: &Filter, base_layers: Option<usize>) -> Self {
        let findings = matches.findings.iter().filter(|finding| filter.passes(finding, sbom)).collect();
        Self { sbom, matches, findings, base_layers }
    }

    /// A finding's package.
    pub fn package(&self, finding: &Finding) -> &'r Package {
        &self.sbom.packages[finding.package]
    }

    /// Findings by severity; those that are suppressed do not count.
    pub fn counts(&self) -> Counts {
        Counts::of(self.findings.iter().copied().filter(|finding| finding.counts()))
    }

    /// Findings by package, in the order of the packages' worst.
    pub fn by_package(&self) -> Vec<(usize, Vec<&'r Finding>)> {
        let mut groups: Vec<(usize, Vec<&Finding>)> = Vec::new();
        let mut places = std::collections::HashMap::new();
        for finding in &self.findings {
            let place = *places.entry(finding.package).or_insert_with(|| {
                groups.push((finding.package, Vec::new()));
                groups.len() - 1
            });
            groups[place].1.push(finding);
        }
        groups.sort_by(|a, b| {
            let counts = |group: &[&Finding]| Counts::of(group.iter().copied());
            counts(&b.1).cmp(&counts(&a.1)).then_with(|| a.0.cmp(&b.0))
        });
        groups
    }

    /// What the reader has to know, the scan's notes and the matching's.
    pub fn notes(&self) -> impl Iterator<Item = &'r Note> {
        self.sbom.notes.iter().chain(&self.matches.notes)
    }

    /// Whether something could not be read or judged, so that findings may be missing.
    pub fn is_incomplete(&self) -> bool {
        self.notes().any(|note| note.kind == NoteKind::Incomplete)
    }
}

/// `1 vulnerability`, `2 vulnerabilities`.
pub(crate) fn count_of(number: usize, one: &str, many: &str) -> String {
    if number == 1 { format!("1 {one}") } else { format!("{number} {many}") }
}
