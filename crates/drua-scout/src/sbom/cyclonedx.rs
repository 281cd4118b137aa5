//! CycloneDX 1.6 (ECMA-424), JSON.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::license;
use super::{TOOL, VERSION, package_id, target_name, target_version, uuid};
use crate::model::{Layer, NoteKind, Package, PackageKind, Sbom, TargetKind};

pub(super) fn document(sbom: &Sbom, created: &str) -> Value {
    let refs: Vec<String> = references(sbom);
    let mut components: Vec<Value> =
        sbom.packages.iter().zip(&refs).map(|(package, at)| component(package, at, sbom)).collect();
    if let Some(distro) = sbom.distro.as_ref().filter(|distro| !distro.id.is_empty()) {
        let mut os = json!({
            "bom-ref": format!("os:{}@{}", distro.id, distro.version_id),
            "type": "operating-system",
            "name": distro.id,
            "version": distro.version_id,
            "description": distro.pretty_name,
        });
        if let Some(cpe) = distro.cpe.as_ref().filter(|cpe| cpe.starts_with("cpe:")) {
            os["cpe"] = json!(cpe);
        }
        components.push(os);
    }
    let mut document = json!({
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": format!("urn:uuid:{}", uuid(sbom)),
        "version": 1,
        "metadata": metadata(sbom, created),
        "components": components,
        "dependencies": dependencies(sbom, &refs),
    });
    let composition =
        if sbom.notes.iter().any(|note| note.kind == NoteKind::Incomplete) { "incomplete" } else { "unknown" };
    document["compositions"] = json!([{ "aggregate": composition, "assemblies": [TARGET_REF] }]);
    document
}

const TARGET_REF: &str = "target";

fn references(sbom: &Sbom) -> Vec<String> {
    let distro = sbom.distro.as_ref();
    sbom.packages
        .iter()
        .map(|package| {
            let purl = package.purl(distro).to_string();
            let separator = if purl.contains('?') { '&' } else { '?' };
            format!("{purl}{separator}package-id={}", package_id(package))
        })
        .collect()
}

fn metadata(sbom: &Sbom, created: &str) -> Value {
    let kind = match sbom.target.kind {
        TargetKind::Image | TargetKind::Container => "container",
        TargetKind::Directory | TargetKind::File | TargetKind::Sbom => "file",
    };
    let mut target = json!({ "bom-ref": TARGET_REF, "type": kind, "name": target_name(sbom) });
    if let Some(version) = target_version(sbom) {
        target["version"] = json!(version);
    }
    let mut properties = Vec::new();
    let mut property = |name: &str, value: &str| properties.push(json!({ "name": name, "value": value }));
    if let Some(platform) = &sbom.target.platform {
        property("drua:platform", platform);
    }
    if let Some(id) = &sbom.target.image_id {
        property("drua:image-id", id);
    }
    for (number, layer) in sbom.layers.iter().enumerate() {
        property(&format!("drua:layer:{number}:diff-id"), &layer.diff_id);
        if !layer.created_by.is_empty() {
            property(&format!("drua:layer:{number}:created-by"), &layer.created_by);
        }
    }
    for note in &sbom.notes {
        property(
            "drua:note",
            &note.path.as_ref().map_or_else(|| note.text.clone(), |path| format!("{path}: {}", note.text)),
        );
    }
    json!({
        "timestamp": created,
        "tools": { "components": [{ "type": "application", "name": TOOL, "version": VERSION }] },
        "component": target,
        "properties": properties,
    })
}

fn component(package: &Package, reference: &str, sbom: &Sbom) -> Value {
    let kind = match package.kind {
        PackageKind::Generic => "application",
        PackageKind::Wasm if package.details.get("wasm.kind").is_some_and(|kind| kind != "interface") => "application",
        PackageKind::Oci => "container",
        _ => "library",
    };
    let (group, name) = match (package.kind, package.name.split_once(':'), package.name.split_once('/')) {
        (PackageKind::Maven, Some((group, name)), _) => (Some(group), name),
        (PackageKind::Npm | PackageKind::Composer, _, Some((group, name))) => (Some(group), name),
        _ => (None, package.name.as_str()),
    };
    let mut component = json!({
        "bom-ref": reference,
        "type": kind,
        "name": name,
        "version": package.version,
        "purl": package.purl(sbom.distro.as_ref()).to_string(),
    });
    let mut set = |name: &str, value: Option<Value>| {
        if let Some(value) = value {
            component[name] = value;
        }
    };
    set("group", group.map(|group| json!(group)));
    set("publisher", package.vendor.as_ref().map(|vendor| json!(vendor)));
    set("description", package.details.get("description").map(|text| json!(text)));
    set("cpe", package.cpes.first().map(|cpe| json!(cpe)));
    set("licenses", licenses(package));
    set("externalReferences", references_of(package));
    set("evidence", occurrences(package));
    set("properties", Some(properties(package, &sbom.layers)));
    component
}

/// One expression alone, or a list of identifiers and names: the schema allows no mixture.
fn licenses(package: &Package) -> Option<Value> {
    match package.licenses.as_slice() {
        [] => None,
        [one] if license::id(one).is_none() && license::is_expression(one) => Some(json!([{ "expression": one }])),
        many => {
            let license = |text: &String| match license::id(text) {
                Some(id) => json!({ "license": { "id": id } }),
                None => json!({ "license": { "name": text } }),
            };
            Some(many.iter().filter(|text| !text.is_empty()).map(license).collect::<Vec<_>>().into())
        }
    }
}

/// Addresses as authors write them are not always addresses; the schema wants IRIs.
fn references_of(package: &Package) -> Option<Value> {
    let homepage = package.details.get("homepage")?;
    let is_iri = (homepage.starts_with("https://") || homepage.starts_with("http://"))
        && homepage.bytes().all(|byte| byte.is_ascii_graphic() && !br#"<>"{}|\^`[]"#.contains(&byte))
        && homepage.matches('%').count() == 0
        && homepage.matches('#').count() <= 1
        && homepage.split("://").nth(1).is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_alphanumeric()));
    is_iri.then(|| json!([{ "type": "website", "url": homepage }]))
}

fn occurrences(package: &Package) -> Option<Value> {
    let occurrence = |location: &crate::model::Location| match location.line {
        Some(line) => json!({ "location": location.path, "line": line }),
        None => json!({ "location": location.path }),
    };
    let occurrences: Vec<Value> = package.locations.iter().map(occurrence).collect();
    (!occurrences.is_empty()).then(|| json!({ "occurrences": occurrences }))
}

fn properties(package: &Package, layers: &[Layer]) -> Value {
    let mut properties = vec![("drua:found-by".to_owned(), package.found_by.clone())];
    properties.push(("drua:type".to_owned(), package.kind.name().to_owned()));
    if let Some(layer) = package.layer().and_then(|number| layers.get(number)) {
        properties.push(("drua:layer".to_owned(), layer.diff_id.clone()));
    }
    if let Some(source) = &package.source {
        properties.push(("drua:source".to_owned(), format!("{}@{}", source.name, source.version)));
    }
    // One component has one CPE.
    properties.extend(package.cpes.iter().skip(1).map(|cpe| ("drua:cpe".to_owned(), cpe.clone())));
    let details = package.details.iter().filter(|(name, _)| !matches!(name.as_str(), "description"));
    properties.extend(details.map(|(name, value)| (format!("drua:{name}"), value.clone())));
    properties.into_iter().map(|(name, value)| json!({ "name": name, "value": value })).collect()
}

fn dependencies(sbom: &Sbom, refs: &[String]) -> Value {
    let mut below: BTreeMap<usize, Vec<&str>> = BTreeMap::new();
    for relation in &sbom.relations {
        let Some(to) = refs.get(relation.to) else { continue };
        let list = below.entry(relation.from).or_default();
        if !list.contains(&to.as_str()) {
            list.push(to);
        }
    }
    let entry = |(from, mut to): (usize, Vec<&str>)| {
        to.sort_unstable();
        Some(json!({ "ref": refs.get(from)?, "dependsOn": to }))
    };
    below.into_iter().filter_map(entry).collect()
}
