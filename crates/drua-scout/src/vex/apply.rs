//! Statements and ignore entries, applied to findings.

use super::product::{is_package, is_target};
use super::{IgnoreFile, Statement, VexStatus};
use crate::matching::{Finding, Suppression, SuppressionKind};
use crate::model::{Note, NoteKind, Sbom};

/// What statements did.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Applied {
    /// Findings that a statement hides.
    pub hidden: usize,
    /// What the reader has to know: expired entries, entries that match nothing.
    pub notes: Vec<Note>,
}

/// Hides the findings about which the latest statement says "not affected" or "fixed", and those that the ignore file
/// lists. `today` is `2026-11-23`; entries that expired before it hide nothing.
pub fn apply(
    statements: &[Statement],
    ignore: Option<&IgnoreFile>,
    sbom: &Sbom,
    findings: &mut [Finding],
    today: &str,
) -> Applied {
    let mut applied = Applied::default();
    let mut used = vec![false; ignore.map_or(0, |file| file.entries.len())];
    for finding in findings.iter_mut() {
        let vex = latest(statements, sbom, finding).and_then(suppression);
        let ignored = ignore.and_then(|file| file.find(finding, sbom, today)).map(|(index, suppression)| {
            used[index] = true;
            suppression
        });
        if let Some(suppression) = ignored.or(vex) {
            applied.hidden += usize::from(finding.suppressed.is_none());
            finding.suppressed = Some(suppression);
        }
    }
    let Some(file) = ignore else { return applied };
    for (entry, used) in file.entries.iter().zip(used) {
        let text = if entry.is_expired(today) {
            format!("the entry for {} in {} expired on {} and hides nothing", entry.id, file.path, entry.expires)
        } else if !used {
            format!("the entry for {} in {} matches no finding", entry.id, file.path)
        } else {
            continue;
        };
        applied.notes.push(Note { kind: NoteKind::Info, path: Some(file.path.clone()), text });
    }
    applied
}

fn latest<'s>(statements: &'s [Statement], sbom: &Sbom, finding: &Finding) -> Option<&'s Statement> {
    let package = &sbom.packages[finding.package];
    statements
        .iter()
        .filter(|statement| statement.ids.iter().any(|id| finding.is(id)))
        .filter(|statement| {
            statement.products.is_empty()
                || statement.products.iter().any(|product| {
                    let whole = product.ids.iter().any(|id| is_target(id, &sbom.target));
                    let part = || product.subcomponents.iter().any(|id| is_package(id, package, sbom));
                    let itself = || product.ids.iter().any(|id| is_package(id, package, sbom));
                    (whole && (product.subcomponents.is_empty() || part()))
                        || (itself() && product.subcomponents.is_empty())
                })
        })
        .max_by(|a, b| a.timestamp.cmp(&b.timestamp))
}

fn suppression(statement: &Statement) -> Option<Suppression> {
    let word = match statement.status {
        VexStatus::NotAffected => "not affected",
        VexStatus::Fixed => "fixed",
        VexStatus::Affected | VexStatus::UnderInvestigation => return None,
    };
    let reason = match statement.reason.as_str() {
        "" => word.to_owned(),
        reason => format!("{word}: {reason}"),
    };
    Some(Suppression {
        kind: SuppressionKind::Vex,
        reason,
        by: format!("{} ({})", statement.author, statement.document),
    })
}
