//! CSAF 2.0, profile 5 (VEX): product ids stand for purls in the product tree.

use std::collections::HashMap;

use serde_json::Value;

use super::{Statement, VexProduct, VexStatus, text};

const MAX_DEPTH: usize = 32;

pub(super) fn is(value: &Value) -> bool {
    value.pointer("/document/csaf_version").is_some() && value.get("vulnerabilities").is_some()
}

pub(super) fn read(path: &str, value: &Value) -> Vec<Statement> {
    let purls = purls(value);
    let pointer = |at: &str| value.pointer(at).and_then(Value::as_str).unwrap_or_default().to_owned();
    let author = pointer("/document/publisher/name");
    let date = pointer("/document/tracking/current_release_date");
    let mut statements = Vec::new();
    for vulnerability in value.get("vulnerabilities").and_then(Value::as_array).into_iter().flatten() {
        let mut ids = vec![text(vulnerability, "cve")];
        let more = vulnerability.get("ids").and_then(Value::as_array).into_iter().flatten();
        ids.extend(more.map(|id| text(id, "text")));
        ids.retain(|id| !id.is_empty());
        for (name, status) in [
            ("known_not_affected", VexStatus::NotAffected),
            ("known_affected", VexStatus::Affected),
            ("fixed", VexStatus::Fixed),
            ("under_investigation", VexStatus::UnderInvestigation),
        ] {
            let products = vulnerability.pointer(&format!("/product_status/{name}")).and_then(Value::as_array);
            for product in products.into_iter().flatten().filter_map(Value::as_str) {
                statements.push(Statement {
                    ids: ids.clone(),
                    status,
                    products: vec![
                        purls
                            .get(product)
                            .cloned()
                            .unwrap_or_else(|| VexProduct { ids: vec![product.to_owned()], subcomponents: Vec::new() }),
                    ],
                    reason: reason(vulnerability, product),
                    author: author.clone(),
                    timestamp: date.clone(),
                    document: path.to_owned(),
                });
            }
        }
    }
    statements
}

/// The justification in `flags`, and the impact in `threats`.
fn reason(vulnerability: &Value, product: &str) -> String {
    let about = |entry: &&Value| {
        let ids = entry.get("product_ids").and_then(Value::as_array);
        ids.is_none_or(|ids| ids.iter().any(|id| id == product))
    };
    let list = |name: &str| vulnerability.get(name).and_then(Value::as_array).into_iter().flatten();
    let flags = list("flags").filter(about).map(|flag| text(flag, "label"));
    let threats = list("threats").filter(|threat| text(threat, "category") == "impact").filter(about);
    let parts: Vec<String> =
        flags.chain(threats.map(|threat| text(threat, "details"))).filter(|p| !p.is_empty()).collect();
    parts.join(": ")
}

/// What product ids stand for.
fn purls(value: &Value) -> HashMap<String, VexProduct> {
    let mut found = HashMap::new();
    if let Some(tree) = value.get("product_tree") {
        walk(tree, MAX_DEPTH, &mut found);
    }
    let relationships = value.pointer("/product_tree/relationships").and_then(Value::as_array);
    for relationship in relationships.into_iter().flatten() {
        let whole = relationship.pointer("/full_product_name/product_id").and_then(Value::as_str).unwrap_or_default();
        let (part, base) =
            (text(relationship, "product_reference"), text(relationship, "relates_to_product_reference"));
        let part_ids = found.get(&part).map_or_else(|| vec![part.clone()], |product: &VexProduct| product.ids.clone());
        // A part of an image is about that part in that image; of an operating system, about the part.
        let product = match found.get(&base) {
            Some(base) if base.ids.iter().any(|id| id.starts_with("pkg:oci/") || id.starts_with("pkg:docker/")) => {
                VexProduct { ids: base.ids.clone(), subcomponents: part_ids }
            }
            _ => VexProduct { ids: part_ids, subcomponents: Vec::new() },
        };
        found.insert(whole.to_owned(), product);
    }
    found
}

fn walk(value: &Value, depth: usize, found: &mut HashMap<String, VexProduct>) {
    if depth == 0 {
        return;
    }
    let named = value.get("product").into_iter();
    let listed = value.get("full_product_names").and_then(Value::as_array).into_iter().flatten();
    for product in named.chain(listed) {
        let purl = product.pointer("/product_identification_helper/purl").and_then(Value::as_str);
        if let Some(purl) = purl {
            let product_id = text(product, "product_id");
            found.insert(product_id, VexProduct { ids: vec![purl.to_owned()], subcomponents: Vec::new() });
        }
    }
    for branch in value.get("branches").and_then(Value::as_array).into_iter().flatten() {
        walk(branch, depth - 1, found);
    }
}
