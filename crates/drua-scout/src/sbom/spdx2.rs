//! SPDX 2.3, JSON (spdx.github.io/spdx-spec/v2.3).

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::license;
use super::{TOOL, VERSION, package_id, target_name, target_version, uuid};
use crate::model::{Package, PackageKind, RelationKind, Sbom, TargetKind};

const TARGET_ID: &str = "SPDXRef-DocumentRoot";

pub(super) fn document(sbom: &Sbom, created: &str) -> Value {
    let ids: Vec<String> = sbom.packages.iter().map(id).collect();
    let mut unknown: BTreeMap<String, String> = BTreeMap::new();
    let mut packages = vec![target(sbom)];
    packages.extend(sbom.packages.iter().zip(&ids).map(|(one, id)| package(one, id, sbom, &mut unknown)));
    let mut document = json!({
        "spdxVersion": "SPDX-2.3",
        "dataLicense": "CC0-1.0",
        "SPDXID": "SPDXRef-DOCUMENT",
        "name": target_name(sbom),
        "documentNamespace": format!("https://spdx.org/spdxdocs/{TOOL}/{}", uuid(sbom)),
        "creationInfo": { "created": created, "creators": [format!("Tool: {TOOL}-{VERSION}")] },
        "packages": packages,
        "relationships": relationships(sbom, &ids),
    });
    if !unknown.is_empty() {
        let info = |(id, text): (String, String)| json!({ "licenseId": id, "name": text, "extractedText": text });
        document["hasExtractedLicensingInfos"] = unknown.into_iter().map(info).collect();
    }
    document
}

fn id(package: &Package) -> String {
    format!("SPDXRef-Package-{}-{}", package.kind.name(), package_id(package))
}

fn target(sbom: &Sbom) -> Value {
    let purpose = match sbom.target.kind {
        TargetKind::Image | TargetKind::Container => "CONTAINER",
        TargetKind::Directory | TargetKind::File | TargetKind::Sbom => "FILE",
    };
    let mut target = json!({
        "SPDXID": TARGET_ID,
        "name": target_name(sbom),
        "downloadLocation": "NOASSERTION",
        "filesAnalyzed": false,
        "licenseConcluded": "NOASSERTION",
        "licenseDeclared": "NOASSERTION",
        "copyrightText": "NOASSERTION",
        "supplier": "NOASSERTION",
        "primaryPackagePurpose": purpose,
    });
    if let Some(version) = target_version(sbom) {
        target["versionInfo"] = json!(version);
        if let Some(hex) = version.strip_prefix("sha256:") {
            target["checksums"] = json!([{ "algorithm": "SHA256", "checksumValue": hex }]);
        }
    }
    target
}

fn package(package: &Package, id: &str, sbom: &Sbom, unknown: &mut BTreeMap<String, String>) -> Value {
    let (declared, explained) = license::expression(&package.licenses);
    unknown.extend(explained);
    let purl = package.purl(sbom.distro.as_ref()).to_string();
    let mut references = vec![json!({
        "referenceCategory": "PACKAGE-MANAGER", "referenceType": "purl", "referenceLocator": purl,
    })];
    references.extend(
        package.cpes.iter().map(
            |cpe| json!({ "referenceCategory": "SECURITY", "referenceType": "cpe23Type", "referenceLocator": cpe }),
        ),
    );
    let mut value = json!({
        "SPDXID": id,
        "name": package.name,
        "downloadLocation": "NOASSERTION",
        "filesAnalyzed": false,
        "licenseConcluded": "NOASSERTION",
        "licenseDeclared": declared,
        "copyrightText": "NOASSERTION",
        "supplier": supplier(package.vendor.as_deref()),
        "sourceInfo": source_info(package),
        "externalRefs": references,
    });
    if !package.version.is_empty() {
        value["versionInfo"] = json!(package.version);
    }
    if matches!(package.kind, PackageKind::Generic) {
        value["primaryPackagePurpose"] = json!("APPLICATION");
    }
    // Which layer brought it, as BuildKit's scanner writes it.
    if let Some(layer) = package.layer().and_then(|number| sbom.layers.get(number)) {
        value["comment"] = json!(format!("layerID: {}", layer.diff_id));
    }
    value
}

/// `Organization: Name (mail)`; parentheses and brackets in names would not parse.
fn supplier(vendor: Option<&str>) -> String {
    let vendor = vendor
        .map(|vendor| vendor.split(['<', '(']).next().unwrap_or(vendor).trim())
        .filter(|vendor| !vendor.is_empty());
    vendor.map_or_else(|| "NOASSERTION".to_owned(), |vendor| format!("Organization: {vendor}"))
}

fn source_info(package: &Package) -> String {
    let places: Vec<&str> = package.locations.iter().map(|location| location.path.as_str()).take(20).collect();
    format!("found by {} in: {}", package.found_by, places.join(", "))
}

fn relationships(sbom: &Sbom, ids: &[String]) -> Value {
    let edge = |from: &str, kind: &str, to: &str| json!({ "spdxElementId": from, "relationshipType": kind, "relatedSpdxElement": to });
    let mut edges = vec![edge("SPDXRef-DOCUMENT", "DESCRIBES", TARGET_ID)];
    edges.extend(ids.iter().map(|id| edge(TARGET_ID, "CONTAINS", id)));
    for relation in &sbom.relations {
        if let (Some(from), Some(to)) = (ids.get(relation.from), ids.get(relation.to)) {
            let kind = match relation.kind {
                RelationKind::DependsOn => "DEPENDS_ON",
                RelationKind::Contains => "CONTAINS",
            };
            edges.push(edge(from, kind, to));
        }
    }
    edges.into()
}
