//! Python's lock files: Poetry, uv, PDM and PEP 751 (TOML), Pipenv (JSON), and pinned requirements.

use serde::Deserialize;
use serde_json::Value;

use super::python::requirement_name;
use super::{Found, Input};
use crate::model::{Evidence, PackageKind};

const HOW: (Evidence, &str) = (Evidence::Declared, "python-lock");

#[derive(Deserialize)]
struct Lock {
    #[serde(default)]
    package: Vec<Locked>,
    /// PEP 751's spelling.
    #[serde(default)]
    packages: Vec<Locked>,
}

#[derive(Deserialize)]
struct Locked {
    name: String,
    version: Option<String>,
    #[serde(default)]
    source: Option<toml::Value>,
    #[serde(default)]
    dependencies: Option<toml::Value>,
}

pub(super) fn toml_lock(input: &Input<'_>, found: &mut Found<'_>) {
    let Some(lock) = input.toml::<Lock>(found) else { return };
    for package in lock.package.into_iter().chain(lock.packages) {
        let Some(version) = &package.version else { continue };
        if package.is_the_project() {
            continue;
        }
        let needs = package.needs();
        if let Some(entry) = found.add(PackageKind::Pypi, &package.name, version, HOW) {
            entry.needs = needs;
        }
    }
}

impl Locked {
    /// uv lists the project and its workspace beside what they need.
    fn is_the_project(&self) -> bool {
        ["editable", "virtual"].iter().any(|kind| self.source.as_ref().is_some_and(|source| source.get(kind).is_some()))
    }

    /// Poetry: a table by name. uv: an array of tables. PDM: an array of requirements.
    fn needs(&self) -> Vec<String> {
        match &self.dependencies {
            Some(toml::Value::Table(table)) => table.keys().cloned().collect(),
            Some(toml::Value::Array(list)) => list
                .iter()
                .filter_map(|need| match need.as_str() {
                    Some(text) => requirement_name(text),
                    None => need.get("name").and_then(|name| name.as_str()).map(str::to_owned),
                })
                .collect(),
            _ => Vec::new(),
        }
    }
}

pub(super) fn pipfile(input: &Input<'_>, found: &mut Found<'_>) {
    let Some(document) = input.json::<Value>(found) else { return };
    for section in ["default", "develop"] {
        for (name, entry) in document[section].as_object().into_iter().flatten() {
            if let Some(version) = entry["version"].as_str()
                && let Some(added) = found.add(PackageKind::Pypi, name, version.trim_start_matches("=="), HOW)
                && section == "develop"
            {
                added.package.details.insert("scope".to_owned(), "dev".to_owned());
            }
        }
    }
}

/// Lines that pin: `name==1.2.3 ; python_version >= "3.8" \`.
pub(super) fn requirements(input: &Input<'_>, found: &mut Found<'_>) {
    for (number, line) in (1..).zip(input.text().lines()) {
        let line = line.split(['#', ';', '\\']).next().unwrap_or_default();
        let Some((name, version)) = line.split_once("==") else { continue };
        let version = version.trim_start_matches('=').split_whitespace().next().unwrap_or_default();
        if version.contains(['*', ',']) {
            continue;
        }
        if let Some(name) = requirement_name(name.trim())
            && let Some(entry) = found.add(PackageKind::Pypi, &name, version, HOW)
        {
            entry.line = Some(number);
        }
    }
}
