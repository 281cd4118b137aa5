//! Findings in an SPDX 2.3 document: references of category SECURITY on the packages that have them.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::Report;

/// The document (SPDX 2.3, JSON) with a reference for each finding. What is no such document stays as it is.
pub fn with_security_references(document: &str, report: &Report<'_>) -> String {
    let Ok(mut value) = serde_json::from_str::<Value>(document) else { return document.to_owned() };
    let mut by_purl: BTreeMap<String, Vec<Value>> = BTreeMap::new();
    for finding in report.findings.iter().filter(|finding| finding.counts()) {
        let purl = report.package(finding).purl(report.sbom.distro.as_ref()).to_string();
        let fixed = finding.fixed.as_ref().map(|fixed| format!("; fixed in {fixed}")).unwrap_or_default();
        by_purl.entry(purl).or_default().push(json!({
            "referenceCategory": "SECURITY",
            "referenceType": "advisory",
            "referenceLocator": finding.url(),
            "comment": crate::text::clean(&format!("{} {}{fixed}", finding.severity.name(), finding.id), 300),
        }));
    }
    for package in value.get_mut("packages").and_then(Value::as_array_mut).into_iter().flatten() {
        let references = package.get("externalRefs").and_then(Value::as_array).into_iter().flatten();
        let purls: Vec<String> =
            references.filter_map(|reference| reference.get("referenceLocator")?.as_str()).map(str::to_owned).collect();
        let found: Vec<Value> = purls.iter().filter_map(|purl| by_purl.get(purl)).flatten().cloned().collect();
        if let Some(references) = package.get_mut("externalRefs").and_then(Value::as_array_mut) {
            references.extend(found);
        }
    }
    format!("{value:#}\n")
}
