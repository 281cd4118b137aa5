//! CISA's catalog of known exploited vulnerabilities, JSON.

use serde_json::Value;

use super::importer::text;
use super::record::Exploited;
use super::segment::SegmentBuilder;

pub(super) fn is(value: &Value) -> bool {
    value.get("catalogVersion").is_some() && value.get("vulnerabilities").is_some_and(Value::is_array)
}

/// Adds the catalog; the date it bears.
pub(super) fn add(value: &Value, builder: &mut SegmentBuilder) -> String {
    for entry in value.get("vulnerabilities").and_then(Value::as_array).into_iter().flatten() {
        let id = text(entry, "cveID");
        if id.is_empty() {
            continue;
        }
        let exploited = Exploited {
            added: text(entry, "dateAdded"),
            due: text(entry, "dueDate"),
            ransomware: text(entry, "knownRansomwareCampaignUse") == "Known",
            name: text(entry, "vulnerabilityName"),
        };
        builder.exploited(&id, exploited);
    }
    text(value, "dateReleased")
}
