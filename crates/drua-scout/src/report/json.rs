//! `--format json`: everything, versioned.

use serde_json::{Value, json};

use super::Report;

/// The report as JSON; the form is `version` 1.
pub fn json(report: &Report<'_>) -> Value {
    let findings: Vec<Value> = report
        .findings
        .iter()
        .map(|finding| {
            let package = report.package(finding);
            let layer = package.layer().and_then(|index| report.sbom.layers.get(index).map(|layer| (index, layer)));
            let mut value = serde_json::to_value(finding).unwrap_or_default();
            if let Some(fields) = value.as_object_mut() {
                fields.insert("severity".to_owned(), json!(finding.severity.name()));
                fields.insert(
                    "cvss".to_owned(),
                    finding.cvss.as_ref().map_or(Value::Null, |cvss| {
                        json!({
                            "version": cvss.version(), "score": cvss.score, "vector": cvss.vector,
                        })
                    }),
                );
                fields.insert(
                    "references".to_owned(),
                    finding
                        .references
                        .iter()
                        .map(|reference| {
                            json!({
                                "type": reference.kind, "url": reference.url,
                            })
                        })
                        .collect(),
                );
                fields.insert("url".to_owned(), json!(finding.url()));
                fields.insert(
                    "package".to_owned(),
                    json!({
                        "name": package.name,
                        "version": package.version,
                        "type": package.kind.name(),
                        "purl": package.purl(report.sbom.distro.as_ref()).to_string(),
                        "source": package.source,
                        "locations": package.locations,
                        "layer": layer.map(|(index, layer)| json!({
                            "index": index,
                            "diff_id": layer.diff_id,
                            "created_by": layer.created_by,
                            "dockerfile_line": layer.dockerfile_line,
                            "base": report.base_layers.map(|count| index < count),
                        })),
                    }),
                );
            }
            value
        })
        .collect();
    json!({
        "version": 1,
        "target": report.sbom.target,
        "distro": report.sbom.distro,
        "packages": report.sbom.packages.len(),
        "summary": report.counts(),
        "complete": !report.is_incomplete(),
        "uncovered": report.matches.uncovered,
        "sources": report.matches.sources,
        "notes": report.notes().collect::<Vec<_>>(),
        "vulnerabilities": findings,
    })
}
