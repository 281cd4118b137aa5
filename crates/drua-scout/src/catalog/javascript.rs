//! JavaScript: `package.json` of installed packages; lock files of npm, Yarn, Bun and Deno.

use std::collections::BTreeMap;

use serde_json::Value;

use super::{Found, Input};
use crate::model::{Evidence, PackageKind};
use crate::text::clean;

pub(super) fn package_json(input: &Input<'_>, found: &mut Found<'_>) {
    // Test fixtures and templates have files of this name that are no JSON.
    let Ok(document) = serde_json::from_slice::<Value>(input.bytes) else {
        if input.path.contains("/node_modules/") {
            found.unreadable("it is no JSON");
        }
        return;
    };
    let text = |name: &str| document[name].as_str().map(str::trim).filter(|text| !text.is_empty());
    let (Some(name), Some(version)) = (text("name"), text("version")) else { return };
    // `{{name}}`: a template.
    if name.contains(['{', '<', '$']) || !version.starts_with(|c: char| c.is_ascii_digit() || c == 'v') {
        return;
    }
    let licenses = licenses(&document);
    let author = match &document["author"] {
        Value::String(author) => Some(author.as_str()),
        author => author["name"].as_str(),
    };
    let homepage = text("homepage").map(|homepage| clean(homepage, 300));
    let vendor = author.map(|author| clean(author, 200));
    let needs = document["dependencies"].as_object().into_iter().flatten().map(|(name, _)| name.clone()).collect();
    if let Some(entry) = found.add(PackageKind::Npm, name, version, (Evidence::Installed, "npm")) {
        entry.package.licenses = licenses;
        entry.package.vendor = vendor;
        entry.package.details.extend(homepage.map(|homepage| ("homepage".to_owned(), homepage)));
        entry.needs = needs;
    }
}

/// `license: "MIT"`, and the older `{type}` and `licenses: [{type}]`.
fn licenses(document: &Value) -> Vec<String> {
    let one = |value: &Value| value.as_str().or_else(|| value["type"].as_str()).map(|text| clean(text, 200));
    let many = document["licenses"].as_array().into_iter().flatten();
    one(&document["license"]).into_iter().chain(many.filter_map(one)).filter(|license| !license.is_empty()).collect()
}

/// Versions 1 (`dependencies`, nested), 2 and 3 (`packages`, by path).
pub(super) fn package_lock(input: &Input<'_>, found: &mut Found<'_>) {
    let Some(document) = input.json::<Value>(found) else { return };
    if let Some(packages) = document["packages"].as_object() {
        for (path, entry) in packages {
            let Some((_, from_path)) = path.rsplit_once("node_modules/") else { continue };
            let name = entry["name"].as_str().unwrap_or(from_path);
            // Links to workspaces have no version of their own.
            let Some(version) = entry["version"].as_str() else { continue };
            let licenses = licenses(entry);
            let needs = entry["dependencies"].as_object().into_iter().flatten().map(|(name, _)| name.clone()).collect();
            if let Some(package) = declare(found, name, version) {
                package.package.licenses = licenses;
                package.needs = needs;
                if entry["dev"].as_bool() == Some(true) {
                    package.package.details.insert("scope".to_owned(), "dev".to_owned());
                }
            }
        }
        return;
    }
    let mut waiting: Vec<(&serde_json::Map<String, Value>, usize)> =
        document["dependencies"].as_object().into_iter().map(|map| (map, 0)).collect();
    while let Some((dependencies, depth)) = waiting.pop() {
        for (name, entry) in dependencies {
            if let Some(version) = entry["version"].as_str().filter(|version| !version.contains([':', '/'])) {
                declare(found, name, version);
            }
            let below = entry["dependencies"].as_object().filter(|_| depth < 100);
            waiting.extend(below.map(|below| (below, depth + 1)));
        }
    }
}

fn declare<'f>(found: &'f mut Found<'_>, name: &str, version: &str) -> Option<&'f mut crate::facts::FoundPackage> {
    found.add(PackageKind::Npm, name, version, (Evidence::Declared, "npm-lock"))
}

/// Versions 1 (`name@range:` and `version "1.2.3"`) and berry (YAML: `version: 1.2.3`).
pub(super) fn yarn_lock(input: &Input<'_>, found: &mut Found<'_>) {
    let text = input.text();
    let mut current: Option<(&str, u32)> = None;
    for (number, line) in (1..).zip(text.lines()) {
        if line.starts_with('#') || line.trim().is_empty() {
            continue;
        }
        if !line.starts_with(' ') {
            current = yarn_name(line).map(|name| (name, number));
        } else if let Some(version) = line.strip_prefix("  version")
            && let Some((name, number)) = current.take()
        {
            let version = version.trim_start_matches(':').trim().trim_matches('"');
            // `0.0.0-use.local`: the project itself.
            if !version.contains("use.local")
                && let Some(entry) = declare(found, name, version)
            {
                entry.line = Some(number);
                "yarn".clone_into(&mut entry.package.found_by);
            }
        }
    }
}

/// The name in `"@babel/core@^7.0.0", "@babel/core@npm:^7.1.0":`.
fn yarn_name(line: &str) -> Option<&str> {
    let first = line.trim_end_matches(':').split(',').next()?.trim().trim_matches('"');
    let at = first[1..].find('@')? + 1;
    (!first.starts_with("__")).then(|| &first[..at])
}

/// JSON with trailing commas: `"packages": {"name": ["name@1.2.3", …]}`.
pub(super) fn bun_lock(input: &Input<'_>, found: &mut Found<'_>) {
    let text = without_trailing_commas(&input.text());
    let document: Value = match serde_json::from_str(&text) {
        Ok(document) => document,
        Err(error) => return found.unreadable(&error.to_string()),
    };
    for entry in document["packages"].as_object().into_iter().flat_map(|packages| packages.values()) {
        if let Some((name, version)) = entry[0].as_str().and_then(|id| id.rsplit_once('@'))
            && version.starts_with(|c: char| c.is_ascii_digit())
        {
            declare(found, name, version);
        }
    }
}

fn without_trailing_commas(text: &str) -> String {
    let mut kept = String::with_capacity(text.len());
    let (mut in_string, mut is_escaped) = (false, false);
    for character in text.chars() {
        if in_string {
            in_string = character != '"' || is_escaped;
            is_escaped = character == '\\' && !is_escaped;
        } else if character == '"' {
            in_string = true;
        } else if matches!(character, '}' | ']') {
            let end = kept.trim_end().len();
            if kept[..end].ends_with(',') {
                kept.truncate(end - 1);
            }
        }
        kept.push(character);
    }
    kept
}

/// `"npm": {"chalk@5.3.0": …}`; version 2 has it below `packages`.
pub(super) fn deno_lock(input: &Input<'_>, found: &mut Found<'_>) {
    let Some(document) = input.json::<BTreeMap<String, Value>>(found) else { return };
    let below = document.get("packages").map(|packages| &packages["npm"]);
    let packages = document.get("npm").or(below).and_then(Value::as_object);
    for id in packages.into_iter().flat_map(|packages| packages.keys()) {
        // `name@1.2.3_peer@4.5.6`
        let id = id.split('_').next().unwrap_or(id);
        if let Some((name, version)) = id.rsplit_once('@') {
            declare(found, name, version);
        }
    }
}
