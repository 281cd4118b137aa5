//! OpenVEX 0.2, and what was different in 0.0.1.

use serde_json::Value;

use super::{Statement, VexProduct, VexStatus, text};

pub(super) fn is(value: &Value) -> bool {
    let context = value.get("@context").and_then(Value::as_str).unwrap_or_default();
    context.contains("openvex") && value.get("statements").is_some_and(Value::is_array)
}

pub(super) fn read(path: &str, value: &Value) -> Vec<Statement> {
    let author = text(value, "author");
    let written = text(value, "timestamp");
    let updated = text(value, "last_updated");
    let date = if updated.is_empty() { written } else { updated };
    let statements = value.get("statements").and_then(Value::as_array).into_iter().flatten();
    statements.filter_map(|statement| one(path, statement, &author, &date)).collect()
}

fn one(path: &str, value: &Value, author: &str, date: &str) -> Option<Statement> {
    let status = match text(value, "status").as_str() {
        "not_affected" => VexStatus::NotAffected,
        "affected" => VexStatus::Affected,
        "fixed" => VexStatus::Fixed,
        "under_investigation" => VexStatus::UnderInvestigation,
        _ => return None,
    };
    let ids = match value.get("vulnerability")? {
        Value::String(id) => vec![id.clone()],
        object => {
            let name = object.get("name").or_else(|| object.get("@id")).and_then(Value::as_str)?;
            let aliases = object.get("aliases").and_then(Value::as_array).into_iter().flatten();
            // A name may be an address that ends in the id.
            let name = name.rsplit('/').next().unwrap_or(name);
            std::iter::once(name).chain(aliases.filter_map(Value::as_str)).map(str::to_owned).collect()
        }
    };
    let products = value.get("products").and_then(Value::as_array).into_iter().flatten();
    let own_date = [text(value, "last_updated"), text(value, "timestamp")].into_iter().find(|date| !date.is_empty());
    let reason = ["justification", "impact_statement", "status_notes"].map(|name| text(value, name));
    let reason: Vec<String> = reason.into_iter().filter(|part| !part.is_empty()).collect();
    Some(Statement {
        ids,
        status,
        products: products.filter_map(product).collect(),
        reason: reason.join(": "),
        author: author.to_owned(),
        timestamp: own_date.unwrap_or_else(|| date.to_owned()),
        document: path.to_owned(),
    })
}

fn product(value: &Value) -> Option<VexProduct> {
    let ids = identifiers(value);
    let parts = value.get("subcomponents").and_then(Value::as_array).into_iter().flatten();
    (!ids.is_empty()).then(|| VexProduct { ids, subcomponents: parts.flat_map(identifiers).collect() })
}

fn identifiers(value: &Value) -> Vec<String> {
    if let Some(id) = value.as_str() {
        return vec![id.to_owned()];
    }
    let purl = value.pointer("/identifiers/purl");
    [value.get("@id"), purl].into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()
}
