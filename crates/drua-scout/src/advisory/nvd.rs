//! Scores by CVE: NVD's API 2.0 and CVE records 5. They say nothing about packages that could be matched, but how bad it is.

use serde_json::Value;

use super::importer::{limited, text};
use super::record::{Advisory, MAX_TEXT};
use super::segment::SegmentBuilder;
use super::severity::Cvss;

pub(super) fn is(value: &Value) -> bool {
    value.pointer("/vulnerabilities/0/cve/id").is_some() || is_record(value)
}

fn is_record(value: &Value) -> bool {
    value.get("dataType").and_then(Value::as_str) == Some("CVE_RECORD")
}

/// Adds all records; the date they bear.
pub(super) fn add(value: &Value, builder: &mut SegmentBuilder) -> String {
    if is_record(value) {
        return add_record(value, builder);
    }
    for entry in value.get("vulnerabilities").and_then(Value::as_array).into_iter().flatten() {
        let Some(cve) = entry.get("cve") else { continue };
        if text(cve, "vulnStatus") == "Rejected" {
            continue;
        }
        let descriptions = cve.get("descriptions");
        builder.advisory(Advisory {
            id: text(cve, "id"),
            summary: english(descriptions),
            cvss: vectors(cve.get("metrics")),
            published: text(cve, "published"),
            modified: text(cve, "lastModified"),
            ..Advisory::default()
        });
    }
    text(value, "timestamp")
}

fn add_record(value: &Value, builder: &mut SegmentBuilder) -> String {
    let metadata = value.get("cveMetadata").cloned().unwrap_or_default();
    let updated = text(&metadata, "dateUpdated");
    if text(&metadata, "state") == "REJECTED" {
        return updated;
    }
    let containers = value.get("containers").cloned().unwrap_or_default();
    let mut cvss = vectors(containers.pointer("/cna/metrics"));
    for enrichment in containers.get("adp").and_then(Value::as_array).into_iter().flatten() {
        cvss.extend(vectors(enrichment.get("metrics")));
    }
    cvss.dedup();
    builder.advisory(Advisory {
        id: text(&metadata, "cveId"),
        summary: english(containers.pointer("/cna/descriptions")),
        cvss,
        published: text(&metadata, "datePublished"),
        modified: updated.clone(),
        ..Advisory::default()
    });
    updated
}

fn english(descriptions: Option<&Value>) -> String {
    let mut all = descriptions.and_then(Value::as_array).into_iter().flatten();
    let found = all.find(|description| text(description, "lang").starts_with("en"));
    found.map(|description| limited(&text(description, "value"), MAX_TEXT)).unwrap_or_default()
}

/// Every `vectorString` below, as deep as metrics nest.
fn vectors(metrics: Option<&Value>) -> Vec<Cvss> {
    fn collect(value: &Value, depth: usize, found: &mut Vec<Cvss>) {
        if depth == 0 {
            return;
        }
        match value {
            Value::Object(fields) => {
                if let Some(vector) = fields.get("vectorString").and_then(Value::as_str) {
                    found.extend(Cvss::parse(vector));
                }
                fields.values().for_each(|value| collect(value, depth - 1, found));
            }
            Value::Array(items) => items.iter().for_each(|value| collect(value, depth - 1, found)),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }
    let mut found = Vec::new();
    if let Some(metrics) = metrics {
        collect(metrics, 5, &mut found);
    }
    found.sort_by(|a, b| a.vector.cmp(&b.vector));
    found.dedup();
    found
}
