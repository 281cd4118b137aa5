//! How bad: the distribution's word first, then the ecosystem's, then anybody's score.

use crate::advisory::{Cvss, Database, DatabaseError, Severity};

/// A severity with who said so.
pub(super) struct Judged {
    pub(super) severity: Severity,
    pub(super) source: String,
    pub(super) cvss: Option<Cvss>,
}

/// A candidate's own words and scores.
pub(super) struct Stated<'s> {
    pub(super) source: &'s str,
    pub(super) word: Severity,
    pub(super) cvss: &'s [Cvss],
}

/// `stated` in the order in which they count. What none of them says, other records of the same id may.
pub(super) fn judge(id: &str, stated: &[Stated<'_>], database: &Database) -> Result<Judged, DatabaseError> {
    let mut cvss = stated.iter().find_map(|one| Cvss::preferred(one.cvss)).cloned();
    let word = stated.iter().find(|one| one.word != Severity::Unspecified);
    let scored = stated.iter().find(|one| Cvss::preferred(one.cvss).is_some());
    let own = match (word, scored, &cvss) {
        (Some(one), _, _) => Some((one.word, one.source.to_owned())),
        (None, Some(one), Some(cvss)) => Some((Severity::of_score(cvss.score), one.source.to_owned())),
        _ => None,
    };
    if let (Some((severity, source)), Some(_)) = (&own, &cvss) {
        return Ok(Judged { severity: *severity, source: source.clone(), cvss });
    }
    let (mut severity, mut source) = own.unwrap_or_default();
    let mut others = database.advisories(id)?;
    // The record of the id itself before those that only mention it.
    others.sort_by_key(|(_, advisory)| advisory.id != id);
    // A notice about several says nothing about one of them.
    others.retain(|(_, advisory)| advisory.upstream.len() < 2);
    for (name, advisory) in &others {
        let Some(other) = Cvss::preferred(&advisory.cvss) else { continue };
        if severity == Severity::Unspecified {
            severity = Severity::of_score(other.score);
            source = format!("{name}, by {}", advisory.id);
        }
        if cvss.is_none() {
            cvss = Some(other.clone());
        }
    }
    if severity == Severity::Unspecified
        && let Some((name, advisory)) = others.iter().find(|(_, advisory)| advisory.severity != Severity::Unspecified)
    {
        severity = advisory.severity;
        source = format!("{name}, by {}", advisory.id);
    }
    Ok(Judged { severity, source, cvss })
}
