//! SARIF 2.1.0, as code hosts read it: a rule a vulnerability, a result a package that has it.

use std::fmt::Write as _;

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::Report;
use super::packages::fix;
use crate::advisory::Severity;
use crate::matching::Finding;
use crate::text::clean;

const SCHEMA: &str = "https://json.schemastore.org/sarif-2.1.0.json";

/// The report as SARIF; `version` is drua's.
pub fn sarif(report: &Report<'_>, version: &str) -> Value {
    let mut rules: BTreeMap<&str, &Finding> = BTreeMap::new();
    for finding in &report.findings {
        // The worst judgment of a vulnerability is its rule's.
        let known = rules.entry(&finding.id).or_insert(finding);
        if finding.severity > known.severity {
            *known = finding;
        }
    }
    let places: BTreeMap<&str, usize> = rules.keys().enumerate().map(|(index, id)| (*id, index)).collect();
    json!({
        "$schema": SCHEMA,
        "version": "2.1.0",
        "runs": [{
            "tool": { "driver": {
                "name": "drua scout",
                "version": version,
                "semanticVersion": version,
                "rules": rules.values().map(|finding| rule(finding)).collect::<Vec<_>>(),
            }},
            "columnKind": "utf16CodeUnits",
            "invocations": [{
                "executionSuccessful": true,
                "toolExecutionNotifications": report.notes().map(|note| json!({
                    "level": if note.kind == crate::model::NoteKind::Incomplete { "warning" } else { "note" },
                    "message": { "text": clean(&note.text, 600) },
                })).collect::<Vec<_>>(),
            }],
            "results": report.findings.iter().map(|finding| result(report, finding, places[finding.id.as_str()])).collect::<Vec<_>>(),
        }],
    })
}

fn rule(finding: &Finding) -> Value {
    let id = clean(&finding.id, 100);
    let summary = match clean(&finding.summary, 500) {
        empty if empty.is_empty() => id.clone(),
        summary => summary,
    };
    let score = finding.cvss.as_ref().map_or_else(|| default_score(finding.severity), |cvss| cvss.score);
    let mut tags = vec!["vulnerability".to_owned(), finding.severity.name().to_owned()];
    tags.extend(finding.weaknesses.iter().map(|weakness| clean(weakness, 20)));
    json!({
        "id": id,
        "name": "Vulnerability",
        "shortDescription": { "text": summary },
        "fullDescription": { "text": summary },
        "helpUri": finding.url(),
        "help": { "text": format!("{summary}\n{}", finding.url()) },
        "defaultConfiguration": { "level": level(finding.severity) },
        "properties": { "precision": "high", "security-severity": format!("{score:.1}"), "tags": tags },
    })
}

fn result(report: &Report<'_>, finding: &Finding, place: usize) -> Value {
    let package = report.package(finding);
    let purl = package.purl(report.sbom.distro.as_ref()).to_string();
    let message = format!(
        "{} {} has {} ({}). Affected: {}. Fixed version: {}.",
        clean(&package.name, 200),
        clean(&package.version, 200),
        clean(&finding.id, 100),
        finding.severity.name(),
        clean(&finding.range, 200),
        fix(finding),
    );
    let locations: Vec<Value> =
        package.locations.iter().take(10).map(|location| location_of(location, &message)).collect();
    let mut value = json!({
        "ruleId": clean(&finding.id, 100),
        "ruleIndex": place,
        "level": level(finding.severity),
        "kind": "fail",
        "message": { "text": message },
        // A document without places still has to name one.
        "locations": if locations.is_empty() { vec![json!({ "physicalLocation": {
            "artifactLocation": { "uri": uri(&report.sbom.target.name) }, "region": { "startLine": 1 } } })] } else { locations },
        "partialFingerprints": { "druaScout/v1": format!("{}|{}", clean(&finding.id, 100), clean(&purl, 600)) },
        "properties": { "purl": clean(&purl, 600) },
    });
    if let (Some(suppression), Some(fields)) = (&finding.suppressed, value.as_object_mut()) {
        fields.insert(
            "suppressions".to_owned(),
            json!([{
                "kind": "external", "justification": clean(&suppression.reason, 600),
            }]),
        );
    }
    value
}

fn location_of(location: &crate::model::Location, message: &str) -> Value {
    json!({
        "physicalLocation": {
            "artifactLocation": { "uri": uri(location.path.trim_start_matches('/')) },
            "region": { "startLine": location.line.unwrap_or(1) },
        },
        "message": { "text": message },
    })
}

/// A relative URI: everything that is no plain path character percent-encoded.
fn uri(path: &str) -> String {
    let mut uri = String::with_capacity(path.len());
    for byte in path.bytes().take(2000) {
        if byte.is_ascii_alphanumeric() || b"-._~/@".contains(&byte) {
            uri.push(char::from(byte));
        } else {
            let _ = write!(uri, "%{byte:02X}");
        }
    }
    uri
}

fn level(severity: Severity) -> &'static str {
    match severity {
        Severity::Critical | Severity::High => "error",
        Severity::Medium => "warning",
        Severity::Low | Severity::Unspecified => "note",
    }
}

/// Where nobody has scored: the middle of the word's range.
fn default_score(severity: Severity) -> f64 {
    match severity {
        Severity::Critical => 9.5,
        Severity::High => 8.0,
        Severity::Medium => 5.5,
        Severity::Low => 2.0,
        Severity::Unspecified => 0.0,
    }
}
