//! OSV records (schema 1.7), JSON or YAML.

use std::cmp::Ordering;

use serde_json::Value;

use super::ecosystem::{key_of_feed, normalized_name};
use super::importer::{limited, list, text};
use super::record::{Advisory, Affected, Bound, Event, MAX_REFERENCES, MAX_TEXT, Range, RangeKind, Reference, Status};
use super::segment::SegmentBuilder;
use super::severity::{Cvss, Severity};
use crate::matching::ranges;
use crate::version::Scheme;

pub(super) fn is(value: &Value) -> bool {
    value.get("id").is_some_and(Value::is_string)
        && value.get("modified").is_some()
        && (value.get("affected").is_some() || value.get("severity").is_some() || value.get("withdrawn").is_some())
}

/// Adds a record, unless it was withdrawn; when it was last modified.
pub(super) fn add(value: &Value, builder: &mut SegmentBuilder) -> String {
    let modified = match text(value, "modified") {
        // Go's database leaves it unset.
        zero if zero.starts_with("0001") => text(value, "published"),
        modified => modified,
    };
    let id = text(value, "id");
    if !text(value, "withdrawn").is_empty() || id.is_empty() || id.len() > 256 {
        return modified;
    }
    let mut advisory = Advisory {
        summary: summary(value),
        aliases: list(value, "aliases"),
        upstream: list(value, "upstream"),
        cvss: scores(value),
        severity: words(value),
        published: text(value, "published"),
        modified: modified.clone(),
        weaknesses: value.pointer("/database_specific/cwe_ids").map(strings).unwrap_or_default(),
        references: references(value),
        informational: None,
        id,
    };
    // AlmaLinux names what its notices are about only here; GHSA and others mean something looser by it.
    if advisory.upstream.is_empty() && advisory.aliases.is_empty() {
        advisory.upstream = list(value, "related").into_iter().filter(|id| id.starts_with("CVE-")).collect();
    }
    for affected in value.get("affected").and_then(Value::as_array).into_iter().flatten() {
        add_affected(affected, &mut advisory, builder);
    }
    builder.advisory(advisory);
    modified
}

fn add_affected(value: &Value, advisory: &mut Advisory, builder: &mut SegmentBuilder) {
    let Some(package) = value.get("package") else { return };
    let feed = text(package, "ecosystem");
    let (ecosystem, paid) = key_of_feed(&feed);
    let name = normalized_name(&ecosystem, &text(package, "name"));
    if name.is_empty() || name.len() > 1024 || ecosystem.len() > 256 {
        return;
    }
    let scheme = Scheme::of_ecosystem(&ecosystem).unwrap_or(Scheme::Semver);
    let specific = value.get("ecosystem_specific");
    let database = value.get("database_specific");
    let mut affected = Affected {
        id: advisory.id.clone(),
        ranges: ranges_of(value, scheme),
        status: Status::Affected,
        severity: specific.map(words_of).unwrap_or_default().max(database.map(words_of).unwrap_or_default()),
        cvss: scores(value),
        paid_fix: paid,
        imports: imports(specific),
        ..Affected::default()
    };
    if let Some(custom) = specific.and_then(|specific| specific.get("custom_ranges")).filter(|_| is_open(&affected)) {
        // Go: the versions of a module that has no tags which Go would accept.
        let custom = ranges_of(&serde_json::json!({ "ranges": custom }), scheme);
        if !custom.is_empty() {
            affected.ranges = custom;
        }
    }
    // Versions that a range holds anyway need no second word.
    let listed = list(value, "versions");
    affected.versions =
        listed.into_iter().filter(|version| ranges::hit(scheme, &affected, version).is_none()).collect();
    if let Some(kind) = database.and_then(|database| database.get("informational")).and_then(Value::as_str) {
        advisory.informational = Some(kind.to_owned());
    }
    if advisory.cvss.is_empty() {
        // RustSec writes its vector here.
        let vector = database.and_then(|database| database.get("cvss")).and_then(Value::as_str);
        advisory.cvss.extend(vector.and_then(Cvss::parse));
    }
    builder.affected(&ecosystem, &name, affected);
}

/// Whether the only thing known is "all versions".
fn is_open(affected: &Affected) -> bool {
    affected
        .ranges
        .iter()
        .all(|range| matches!(range.events.as_slice(), [Event(Bound::Introduced, from)] if from == "0"))
}

fn ranges_of(value: &Value, scheme: Scheme) -> Vec<Range> {
    let mut ranges = Vec::new();
    for range in value.get("ranges").and_then(Value::as_array).into_iter().flatten() {
        let kind = match text(range, "type").as_str() {
            "SEMVER" => RangeKind::Semver,
            "ECOSYSTEM" => RangeKind::Ecosystem,
            // Commits: the versions are listed too.
            _ => continue,
        };
        let mut events = Vec::new();
        for event in range.get("events").and_then(Value::as_array).into_iter().flatten() {
            for (name, bound) in [
                ("introduced", Bound::Introduced),
                ("fixed", Bound::Fixed),
                ("last_affected", Bound::LastAffected),
                ("limit", Bound::Limit),
            ] {
                let version = text(event, name);
                // `limit: *` is no limit.
                if !version.is_empty() && version != "*" && version.len() <= 256 {
                    events.push(Event(bound, version));
                }
            }
        }
        events.sort_by(|a, b| ranges::event_order(scheme, kind, a, b));
        if events.iter().any(|event| event.0 == Bound::Introduced) {
            ranges.push(Range { kind, events });
        }
    }
    ranges.dedup();
    ranges
}

fn scores(value: &Value) -> Vec<Cvss> {
    let scores = value.get("severity").and_then(Value::as_array).into_iter().flatten();
    let mut scores: Vec<Cvss> = scores
        .filter(|score| text(score, "type").starts_with("CVSS"))
        .filter_map(|score| Cvss::parse(&text(score, "score")))
        .collect();
    scores.sort_by(|a, b| a.vector.cmp(&b.vector));
    scores.dedup();
    scores
}

/// The feed's own word: Ubuntu's priority, GHSA's and Bitnami's severity, Red Hat's family in the summary.
fn words(value: &Value) -> Severity {
    let entries = value.get("severity").and_then(Value::as_array).into_iter().flatten();
    let own = entries
        .filter(|entry| !text(entry, "type").starts_with("CVSS"))
        .map(|entry| Severity::of_word(&text(entry, "score")))
        .fold(Severity::Unspecified, Ord::max);
    let specific = value.get("database_specific").map(words_of).unwrap_or_default();
    let summary = text(value, "summary");
    let prefix = summary.split_once(':').map(|(word, _)| Severity::of_word(word)).unwrap_or_default();
    [own, specific, prefix].into_iter().find(|severity| *severity != Severity::Unspecified).unwrap_or_default()
}

fn words_of(value: &Value) -> Severity {
    let word = |name| Severity::of_word(&text(value, name));
    [word("severity"), word("urgency"), word("ubuntu_priority")].into_iter().max_by(Ord::cmp).unwrap_or_default()
}

/// The one line; where there is none, the first line of the text.
fn summary(value: &Value) -> String {
    let summary = text(value, "summary");
    let line = if summary.is_empty() {
        let details = text(value, "details");
        details
            .lines()
            .map(|line| line.trim_start_matches(['#', ' ']))
            .find(|line| !line.is_empty())
            .unwrap_or_default()
            .to_owned()
    } else {
        summary
    };
    limited(&line, MAX_TEXT)
}

fn references(value: &Value) -> Vec<Reference> {
    let mut references: Vec<Reference> = value
        .get("references")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .map(|reference| Reference { kind: text(reference, "type"), url: limited(&text(reference, "url"), 1024) })
        .filter(|reference| reference.url.starts_with("https://") || reference.url.starts_with("http://"))
        .collect();
    // Fixes and advisories are what a reader wants first; the order is otherwise the feed's.
    references.sort_by(|a, b| rank(a).cmp(&rank(b)).then(Ordering::Equal));
    references.truncate(MAX_REFERENCES);
    references
}

fn rank(reference: &Reference) -> u8 {
    match reference.kind.as_str() {
        "ADVISORY" => 0,
        "FIX" => 1,
        "REPORT" => 2,
        _ => 3,
    }
}

fn imports(specific: Option<&Value>) -> Vec<String> {
    let imports = specific.and_then(|specific| specific.get("imports")).and_then(Value::as_array);
    imports.into_iter().flatten().map(|import| text(import, "path")).filter(|path| !path.is_empty()).collect()
}

fn strings(value: &Value) -> Vec<String> {
    value.as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()
}
