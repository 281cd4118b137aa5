//! GitLab's container scanning report, schema 15.

use serde_json::{Value, json};

use super::Report;
use super::packages::fix;
use crate::advisory::Severity;
use crate::text::clean;

/// The report for GitLab. `version` is drua's; `start` and `end` are `2026-11-23T01:02:03`, in UTC.
pub fn gitlab(report: &Report<'_>, version: &str, start: &str, end: &str) -> Value {
    let scanner = json!({
        "id": "drua-scout", "name": "drua scout", "version": version, "vendor": { "name": "drua" },
    });
    let target = clean(&report.sbom.target.name, 255);
    let system = report.sbom.distro.as_ref().map_or_else(
        || "unknown".to_owned(),
        |distro| clean(&format!("{} {}", distro.id, distro.version_id), 255).trim().to_owned(),
    );
    let vulnerabilities: Vec<Value> = report.findings.iter().filter(|finding| finding.counts()).map(|finding| {
        let package = report.package(finding);
        let purl = package.purl(report.sbom.distro.as_ref()).to_string();
        let id = clean(&finding.id, 100);
        json!({
            "id": uuid(&format!("{}|{}|{}", id, purl, target)),
            "name": clean(&format!("{id} in {} {}", package.name, package.version), 255),
            "description": clean(&finding.summary, 2000),
            "severity": severity(finding.severity),
            "solution": match &finding.fixed {
                Some(_) => clean(&format!("Upgrade {} to {}", package.name, fix(finding)), 500),
                None => "There is no fix yet.".to_owned(),
            },
            "location": {
                "dependency": {
                    "package": { "name": clean(&package.name, 255) },
                    "version": clean(&package.version, 255),
                },
                "operating_system": system,
                "image": target,
            },
            "identifiers": std::iter::once(&finding.id).chain(&finding.aliases).take(20).map(|alias| json!({
                "type": kind(alias), "name": clean(alias, 255), "value": clean(alias, 255),
                "url": if *alias == finding.id { finding.url() } else { format!("https://osv.dev/vulnerability/{}", clean(alias, 100)) },
            })).collect::<Vec<_>>(),
            "links": finding.references.iter().map(|reference| json!({ "url": clean(&reference.url, 1000) })).collect::<Vec<_>>(),
        })
    }).collect();
    json!({
        "version": "15.0.7",
        "schema": "https://gitlab.com/gitlab-org/security-products/security-report-schemas/-/raw/v15.0.7/dist/container-scanning-report-format.json",
        "vulnerabilities": vulnerabilities,
        "scan": {
            "scanner": scanner,
            "analyzer": scanner,
            "type": "container_scanning",
            "start_time": start,
            "end_time": end,
            "status": "success",
            "messages": report.notes().map(|note| json!({
                "level": if note.kind == crate::model::NoteKind::Incomplete { "warn" } else { "info" },
                "value": clean(&note.text, 600),
            })).collect::<Vec<_>>(),
        },
    })
}

fn kind(id: &str) -> String {
    id.split('-').next().unwrap_or("other").to_lowercase()
}

fn severity(severity: Severity) -> &'static str {
    match severity {
        Severity::Critical => "Critical",
        Severity::High => "High",
        Severity::Medium => "Medium",
        Severity::Low => "Low",
        Severity::Unspecified => "Unknown",
    }
}

/// A name as a UUID (version 8: our own way), so that the same finding has the same id in every run.
fn uuid(name: &str) -> String {
    use sha2::{Digest as _, Sha256};
    let hash = Sha256::digest(name.as_bytes());
    let hex: String = hash[..16].iter().map(|byte| format!("{byte:02x}")).collect();
    format!("{}-{}-8{}-a{}-{}", &hex[..8], &hex[8..12], &hex[13..16], &hex[17..20], &hex[20..32])
}
