//! Whether a version lies in an advisory's ranges: the evaluation of OSV 1.7 §affected.

use std::cmp::Ordering;

use crate::advisory::{Affected, Bound, Event, Range, RangeKind};
use crate::version::Scheme;

/// Why a version is affected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RangeHit {
    /// The range in words: `>= 1.0, < 1.4.2`; or `= 1.2` for a version that is listed.
    pub range: String,
    /// The first version after the one asked for that is no longer affected.
    pub fixed: Option<String>,
}

/// The first range or listed version of `affected` that holds `version`.
pub fn hit(scheme: Scheme, affected: &Affected, version: &str) -> Option<RangeHit> {
    let listed = || affected.versions.iter().any(|listed| scheme.compare(listed, version).is_eq());
    match affected.ranges.iter().find_map(|range| range_hit(scheme, range, version)) {
        Some(hit) => Some(hit),
        None if listed() => Some(RangeHit { range: format!("= {version}"), fixed: None }),
        None => None,
    }
}

/// The order of events within a range: by version; at one version it begins before it ends.
pub(crate) fn event_order(scheme: Scheme, kind: RangeKind, a: &Event, b: &Event) -> Ordering {
    let rank = |event: &Event| match event.0 {
        Bound::Introduced => 0,
        Bound::Fixed => 1,
        Bound::LastAffected => 2,
        Bound::Limit => 3,
    };
    bound_order(scheme_of(scheme, kind), a, b).then_with(|| rank(a).cmp(&rank(b)))
}

/// `introduced: 0` is before every version, those below zero too.
fn bound_order(scheme: Scheme, a: &Event, b: &Event) -> Ordering {
    let start = |event: &Event| event.0 == Bound::Introduced && event.1 == "0";
    match (start(a), start(b)) {
        (true, true) => Ordering::Equal,
        (true, false) => Ordering::Less,
        (false, true) => Ordering::Greater,
        (false, false) => scheme.compare(&a.1, &b.1),
    }
}

/// SEMVER ranges are compared as such, whatever the ecosystem; Go's and Bitnami's orders are SemVer with their own habits.
fn scheme_of(scheme: Scheme, kind: RangeKind) -> Scheme {
    match (kind, scheme) {
        (RangeKind::Ecosystem, _) | (_, Scheme::Go | Scheme::Bitnami | Scheme::Pub) => scheme,
        (RangeKind::Semver, _) => Scheme::Semver,
    }
}

fn range_hit(scheme: Scheme, range: &Range, version: &str) -> Option<RangeHit> {
    let scheme = scheme_of(scheme, range.kind);
    let limits: Vec<&Event> = range.events.iter().filter(|event| event.0 == Bound::Limit).collect();
    if !limits.is_empty() && !limits.iter().any(|limit| scheme.compare(version, &limit.1).is_lt()) {
        return None;
    }
    let mut affected = false;
    for event in &range.events {
        let order = || compare(scheme, version, event);
        match event.0 {
            Bound::Introduced if event.1 == "0" || order().is_ge() => affected = true,
            Bound::Fixed if order().is_ge() => affected = false,
            Bound::LastAffected if order().is_gt() => affected = false,
            Bound::Introduced | Bound::Fixed | Bound::LastAffected | Bound::Limit => {}
        }
    }
    affected.then(|| RangeHit { range: describe(scheme, range, version), fixed: fix(scheme, range, version) })
}

/// A local version (`2.0+cu118`) is judged as its public one, unless the bound has a local part too (PEP 440).
fn compare(scheme: Scheme, version: &str, event: &Event) -> Ordering {
    if scheme == Scheme::Pep440 && !event.1.contains('+') {
        let public = version.split('+').next().unwrap_or(version);
        return scheme.compare(public, &event.1);
    }
    scheme.compare(version, &event.1)
}

fn fix(scheme: Scheme, range: &Range, version: &str) -> Option<String> {
    let fixes = range.events.iter().filter(|event| event.0 == Bound::Fixed && compare(scheme, version, event).is_lt());
    fixes.min_by(|a, b| scheme.compare(&a.1, &b.1)).map(|event| event.1.clone())
}

/// The stretch in which the version lies, in words.
fn describe(scheme: Scheme, range: &Range, version: &str) -> String {
    let mut start = None;
    let mut end = None;
    for event in &range.events {
        let at_or_after = event.1 == "0" || compare(scheme, version, event).is_ge();
        match event.0 {
            Bound::Introduced if at_or_after => (start, end) = (Some(event.1.as_str()), None),
            Bound::Fixed if end.is_none() && start.is_some() && !at_or_after => end = Some(format!("< {}", event.1)),
            Bound::LastAffected if end.is_none() && start.is_some() => end = Some(format!("<= {}", event.1)),
            Bound::Introduced | Bound::Fixed | Bound::LastAffected | Bound::Limit => {}
        }
    }
    match (start.filter(|start| *start != "0"), end) {
        (Some(start), Some(end)) => format!(">= {start}, {end}"),
        (Some(start), None) => format!(">= {start}"),
        (None, Some(end)) => end,
        (None, None) => "all versions".to_owned(),
    }
}
