//! Syft's JSON (schema 16), as far as the fields mean the same, so that what reads it reads ours; and drua's own model.

use serde_json::{Value, json};

use super::license;
use super::{TOOL, VERSION, package_id, target_name};
use crate::model::{Package, PackageKind, RelationKind, Sbom, TargetKind};

/// The version of drua's own form.
pub(super) const DRUA_VERSION: u32 = 1;

pub(super) fn drua(sbom: &Sbom) -> Value {
    json!({ "drua-scout": DRUA_VERSION, "sbom": sbom })
}

pub(super) fn syft(sbom: &Sbom) -> Value {
    let ids: Vec<String> = sbom.packages.iter().map(package_id).collect();
    let source_id = sbom.target.digest.as_deref().or(sbom.target.image_id.as_deref()).unwrap_or_default();
    let mut relationships: Vec<Value> = Vec::new();
    for relation in &sbom.relations {
        if let (Some(from), Some(to)) = (ids.get(relation.from), ids.get(relation.to)) {
            // Syft's edge goes from what is needed to what needs it.
            relationships.push(match relation.kind {
                RelationKind::DependsOn => json!({ "parent": to, "child": from, "type": "dependency-of" }),
                RelationKind::Contains => json!({ "parent": from, "child": to, "type": "contains" }),
            });
        }
    }
    for (package, id) in sbom.packages.iter().zip(&ids) {
        if let Some(owner) = package.owner.and_then(|owner| ids.get(owner)) {
            relationships.push(json!({ "parent": owner, "child": id, "type": "ownership-by-file-overlap" }));
        }
    }
    let artifacts: Vec<Value> =
        sbom.packages.iter().zip(&ids).map(|(package, id)| artifact(package, id, sbom)).collect();
    let mut document = json!({
        "artifacts": artifacts,
        "artifactRelationships": relationships,
        "source": source(sbom, source_id),
        "distro": {},
        "descriptor": { "name": TOOL, "version": VERSION },
        "schema": { "version": "16.0.21", "url": "https://raw.githubusercontent.com/anchore/syft/main/schema/json/schema-16.0.21.json" },
        "notes": sbom.notes,
    });
    if let Some(distro) = &sbom.distro {
        document["distro"] = json!({
            "id": distro.id, "idLike": distro.id_like, "versionID": distro.version_id,
            "versionCodename": distro.codename, "prettyName": distro.pretty_name,
        });
    }
    document
}

fn source(sbom: &Sbom, id: &str) -> Value {
    let target = &sbom.target;
    let (kind, metadata) = match target.kind {
        TargetKind::Image | TargetKind::Container => {
            let layers: Vec<Value> = sbom
                .layers
                .iter()
                .map(|layer| json!({ "digest": layer.diff_id, "size": layer.size, "createdBy": layer.created_by }))
                .collect();
            let metadata = json!({
                "userInput": target.name, "imageID": target.image_id, "manifestDigest": target.digest, "tags": target.tags,
                "imageSize": target.size, "layers": layers, "platform": target.platform, "labels": target.labels,
            });
            ("image", metadata)
        }
        TargetKind::Directory => ("directory", json!({ "path": target.name })),
        TargetKind::File | TargetKind::Sbom => ("file", json!({ "path": target.name })),
    };
    json!({ "id": id, "name": target_name(sbom), "version": id, "type": kind, "metadata": metadata })
}

fn artifact(package: &Package, id: &str, sbom: &Sbom) -> Value {
    let location = |location: &crate::model::Location| {
        let mut value = json!({ "path": location.path, "accessPath": location.path });
        if let Some(layer) = location.layer.and_then(|number| sbom.layers.get(number)) {
            value["layerID"] = json!(layer.diff_id);
        }
        if let Some(line) = location.line {
            value["line"] = json!(line);
        }
        value
    };
    let license = |text: &String| {
        let spdx = license::id(text).map(str::to_owned).or_else(|| license::is_expression(text).then(|| text.clone()));
        json!({ "value": text, "spdxExpression": spdx.unwrap_or_default(), "type": "declared", "urls": [], "locations": [] })
    };
    let mut metadata = json!(package.details);
    for (name, value) in [
        ("architecture", package.arch.as_ref()),
        ("source", package.source.as_ref().map(|source| &source.name)),
        ("sourceVersion", package.source.as_ref().map(|source| &source.version)),
        ("maintainer", package.vendor.as_ref()),
    ] {
        if let Some(value) = value {
            metadata[name] = json!(value);
        }
    }
    json!({
        "id": id,
        "name": package.name,
        "version": package.version,
        "type": type_name(package.kind),
        "foundBy": package.found_by,
        "locations": package.locations.iter().map(location).collect::<Vec<_>>(),
        "licenses": package.licenses.iter().map(license).collect::<Vec<_>>(),
        "language": language(package.kind),
        "cpes": package.cpes.iter().map(|cpe| json!({ "cpe": cpe, "source": TOOL })).collect::<Vec<_>>(),
        "purl": package.purl(sbom.distro.as_ref()).to_string(),
        "metadata": metadata,
    })
}

/// Syft's names of types.
fn type_name(kind: PackageKind) -> &'static str {
    match kind {
        PackageKind::Cargo => "rust-crate",
        PackageKind::Composer => "php-composer",
        PackageKind::Cocoapods => "pod",
        PackageKind::Generic => "binary",
        PackageKind::Github => "github-action",
        PackageKind::Golang => "go-module",
        PackageKind::Maven => "java-archive",
        PackageKind::Nuget => "dotnet",
        PackageKind::Pub => "dart-pub",
        PackageKind::Pypi => "python",
        kind => kind.name(),
    }
}

fn language(kind: PackageKind) -> &'static str {
    match kind {
        PackageKind::Cargo => "rust",
        PackageKind::Composer => "php",
        PackageKind::Conan => "c++",
        PackageKind::Gem => "ruby",
        PackageKind::Golang => "go",
        PackageKind::Hex => "erlang",
        PackageKind::Maven => "java",
        PackageKind::Npm => "javascript",
        PackageKind::Nuget => "dotnet",
        PackageKind::Pub => "dart",
        PackageKind::Pypi => "python",
        PackageKind::Swift | PackageKind::Cocoapods => "swift",
        _ => "",
    }
}
