//! SPDX 3.0.1, JSON-LD (spdx.github.io/spdx-spec/v3.0.1): one graph of elements that name each other.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::license;
use super::{TOOL, VERSION, package_id, target_name, target_version, uuid};
use crate::model::{RelationKind, Sbom, TargetKind};

const CREATION: &str = "_:creationinfo";

pub(super) fn document(sbom: &Sbom, created: &str) -> Value {
    let base = format!("https://spdx.org/spdxdocs/{TOOL}/{}", uuid(sbom));
    let at = |name: &str| format!("{base}#{name}");
    let (tool, target) = (at("tool"), at("target"));
    let mut graph = vec![
        json!({
            "type": "CreationInfo", "@id": CREATION, "specVersion": "3.0.1", "created": created, "createdBy": [tool],
        }),
        element("SoftwareAgent", &tool, json!({ "name": format!("{TOOL} {VERSION}") })),
    ];
    let purpose = match sbom.target.kind {
        TargetKind::Image | TargetKind::Container => "container",
        TargetKind::Directory | TargetKind::File | TargetKind::Sbom => "file",
    };
    let mut root = json!({ "name": target_name(sbom), "software_primaryPurpose": purpose });
    if let Some(version) = target_version(sbom) {
        root["software_packageVersion"] = json!(version);
    }
    let mut elements = vec![element("software_Package", &target, root)];
    let ids: Vec<String> = sbom
        .packages
        .iter()
        .map(|package| at(&format!("package-{}-{}", package.kind.name(), package_id(package))))
        .collect();
    packages(sbom, &ids, &mut elements);
    licenses(sbom, &ids, &at, &mut elements);
    relations(sbom, &ids, &target, &at, &mut elements);
    let names: Vec<Value> = elements.iter().map(|element| element["spdxId"].clone()).collect();
    let bom = at("sbom");
    let kind = if purpose == "container" { "deployed" } else { "source" };
    let content = json!({ "rootElement": [target], "element": names, "software_sbomType": [kind] });
    elements.push(element("software_Sbom", &bom, content));
    let content = json!({
        "name": target_name(sbom),
        "rootElement": [bom],
        "element": elements.iter().map(|element| element["spdxId"].clone()).collect::<Vec<_>>(),
        "profileConformance": ["core", "software", "simpleLicensing"],
    });
    elements.push(element("SpdxDocument", &at("document"), content));
    graph.extend(elements);
    json!({ "@context": "https://spdx.org/rdf/3.0.1/spdx-context.jsonld", "@graph": graph })
}

fn element(kind: &str, id: &str, mut fields: Value) -> Value {
    fields["type"] = json!(kind);
    fields["spdxId"] = json!(id);
    fields["creationInfo"] = json!(CREATION);
    fields
}

fn packages(sbom: &Sbom, ids: &[String], elements: &mut Vec<Value>) {
    for (package, id) in sbom.packages.iter().zip(ids) {
        let mut fields = json!({
            "name": package.name,
            "software_packageUrl": package.purl(sbom.distro.as_ref()).to_string(),
        });
        if !package.version.is_empty() {
            fields["software_packageVersion"] = json!(package.version);
        }
        let places: Vec<&str> = package.locations.iter().map(|location| location.path.as_str()).take(20).collect();
        fields["software_sourceInfo"] = json!(format!("found by {} in: {}", package.found_by, places.join(", ")));
        if !package.cpes.is_empty() {
            let identifier = |cpe: &String| json!({ "type": "ExternalIdentifier", "externalIdentifierType": "cpe23", "identifier": cpe });
            fields["externalIdentifier"] = package.cpes.iter().map(identifier).collect();
        }
        elements.push(element("software_Package", id, fields));
    }
}

/// One element for each expression, and one relationship for each package with one.
fn licenses(sbom: &Sbom, ids: &[String], at: &dyn Fn(&str) -> String, elements: &mut Vec<Value>) {
    let mut by_expression: BTreeMap<String, (BTreeMap<String, String>, Vec<&str>)> = BTreeMap::new();
    for (package, id) in sbom.packages.iter().zip(ids).filter(|(package, _)| !package.licenses.is_empty()) {
        let (expression, unknown) = license::expression(&package.licenses);
        let entry = by_expression.entry(expression).or_default();
        entry.0.extend(unknown);
        entry.1.push(id);
    }
    for (number, (expression, (unknown, packages))) in by_expression.into_iter().enumerate() {
        let id = at(&format!("license-{number}"));
        let mut fields = json!({ "simplelicensing_licenseExpression": expression });
        if !unknown.is_empty() {
            let texts: Vec<String> =
                unknown.into_iter().map(|(reference, text)| format!("{reference}: {text}")).collect();
            fields["comment"] = json!(texts.join("; "));
        }
        elements.push(element("simplelicensing_LicenseExpression", &id, fields));
        for package in packages {
            let name = package.rsplit('#').next().unwrap_or(package);
            let fields = json!({ "from": package, "to": [id], "relationshipType": "hasDeclaredLicense" });
            elements.push(element("Relationship", &at(&format!("licensed-{name}")), fields));
        }
    }
}

fn relations(sbom: &Sbom, ids: &[String], target: &str, at: &dyn Fn(&str) -> String, elements: &mut Vec<Value>) {
    if !ids.is_empty() {
        let fields = json!({ "from": target, "to": ids, "relationshipType": "contains" });
        elements.push(element("Relationship", &at("contains"), fields));
    }
    let mut below: BTreeMap<(usize, &str), Vec<&str>> = BTreeMap::new();
    for relation in &sbom.relations {
        let kind = match relation.kind {
            RelationKind::DependsOn => "dependsOn",
            RelationKind::Contains => "contains",
        };
        if let Some(to) = ids.get(relation.to) {
            below.entry((relation.from, kind)).or_default().push(to);
        }
    }
    for ((from, kind), to) in below {
        let Some(id) = ids.get(from) else { continue };
        let name = id.rsplit('#').next().unwrap_or(id);
        let fields = json!({ "from": id, "to": to, "relationshipType": kind });
        elements.push(element("Relationship", &at(&format!("{kind}-{name}")), fields));
    }
}
