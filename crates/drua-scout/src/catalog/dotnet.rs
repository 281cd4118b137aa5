//! .NET: `*.deps.json` beside a published program, `packages.lock.json`, and the older `packages.config`.

use serde_json::Value;

use super::{Found, Input};
use crate::model::{Evidence, PackageKind};

pub(super) fn deps(input: &Input<'_>, found: &mut Found<'_>) {
    let Some(document) = input.json::<Value>(found) else { return };
    for (id, library) in document["libraries"].as_object().into_iter().flatten() {
        let Some((name, version)) = id.rsplit_once('/') else { continue };
        let kind = library["type"].as_str().unwrap_or_default();
        if let Some(entry) = found.add(PackageKind::Nuget, name, version, (Evidence::Installed, "dotnet-deps"))
            && kind == "project"
        {
            entry.package.details.insert("scope".to_owned(), "local".to_owned());
        }
    }
    // Dependencies stand with the target, by name.
    let targets = document["targets"].as_object().into_iter().flatten();
    for (id, entry) in targets.flat_map(|(_, target)| target.as_object().into_iter().flatten()) {
        let needs = entry["dependencies"].as_object().into_iter().flatten().map(|(name, _)| name.clone());
        if let Some((name, version)) = id.rsplit_once('/') {
            let of = |package: &&mut crate::facts::FoundPackage| {
                package.package.name == name && package.package.version == version
            };
            if let Some(package) = found.packages.iter_mut().find(of) {
                package.needs.extend(needs);
            }
        }
    }
}

pub(super) fn packages_lock(input: &Input<'_>, found: &mut Found<'_>) {
    let Some(document) = input.json::<Value>(found) else { return };
    let frameworks = document["dependencies"].as_object().into_iter().flatten();
    for (name, entry) in frameworks.flat_map(|(_, packages)| packages.as_object().into_iter().flatten()) {
        if let Some(version) = entry["resolved"].as_str() {
            found.add(PackageKind::Nuget, name, version, (Evidence::Declared, "nuget-lock"));
        }
    }
}

/// `<package id="Newtonsoft.Json" version="13.0.1" targetFramework="net48" />`.
pub(super) fn packages_config(input: &Input<'_>, found: &mut Found<'_>) {
    let text = input.text();
    for (number, line) in (1..).zip(text.lines()) {
        for element in line.split("<package ").skip(1) {
            let attribute = |name: &str| {
                let (_, rest) = element.split_once(&format!("{name}=\""))?;
                rest.split_once('"').map(|(value, _)| value)
            };
            if let (Some(name), Some(version)) = (attribute("id"), attribute("version"))
                && let Some(entry) = found.add(PackageKind::Nuget, name, version, (Evidence::Declared, "nuget-config"))
            {
                entry.line = Some(number);
            }
        }
    }
}
