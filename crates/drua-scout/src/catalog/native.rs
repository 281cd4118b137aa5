//! C, C++ and Swift: Conan's lock and information files, Swift's `Package.resolved`.

use serde_json::Value;

use super::{Found, Input};
use crate::model::{Evidence, PackageKind};

const CONAN: (Evidence, &str) = (Evidence::Declared, "conan");

/// Version 2 lists `requires`; version 1 has a graph of nodes with `ref`.
pub(super) fn conan_lock(input: &Input<'_>, found: &mut Found<'_>) {
    let Some(document) = input.json::<Value>(found) else { return };
    for section in ["requires", "build_requires", "python_requires"] {
        for reference in document[section].as_array().into_iter().flatten().filter_map(Value::as_str) {
            conan_reference(reference, CONAN, found);
        }
    }
    for (_, node) in document["graph_lock"]["nodes"].as_object().into_iter().flatten() {
        if let Some(reference) = node["ref"].as_str() {
            conan_reference(reference, CONAN, found);
        }
    }
}

/// `zlib/1.2.13@user/channel#revision%time`.
fn conan_reference(reference: &str, how: (Evidence, &str), found: &mut Found<'_>) {
    let bare = reference.split(['#', '@', '%']).next().unwrap_or(reference).trim();
    if let Some((name, version)) = bare.split_once('/') {
        // `[>=1.2 <2]` is a range, not a version.
        if !version.starts_with('[') {
            found.add(PackageKind::Conan, name, version, how);
        }
    }
}

/// The section `[full_requires]` of an installed package's information: `zlib/1.2.13:hash`.
pub(super) fn conaninfo(input: &Input<'_>, found: &mut Found<'_>) {
    section(&input.text(), "[full_requires]", |line| {
        conan_reference(line.split(':').next().unwrap_or(line), (Evidence::Installed, "conan"), found);
    });
}

pub(super) fn conanfile(input: &Input<'_>, found: &mut Found<'_>) {
    section(&input.text(), "[requires]", |line| conan_reference(line, CONAN, found));
}

fn section(text: &str, name: &str, mut each: impl FnMut(&str)) {
    let lines = text.lines().map(str::trim).skip_while(|line| *line != name).skip(1);
    lines
        .take_while(|line| !line.starts_with('['))
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .for_each(&mut each);
}

/// Swift's package manager: `pins` (versions 2 and 3), `object.pins` (version 1).
pub(super) fn package_resolved(input: &Input<'_>, found: &mut Found<'_>) {
    let Some(document) = input.json::<Value>(found) else { return };
    let pins = document["pins"].as_array().or_else(|| document["object"]["pins"].as_array());
    for pin in pins.into_iter().flatten() {
        let url = pin["location"].as_str().or_else(|| pin["repositoryURL"].as_str()).unwrap_or_default();
        let Some(version) = pin["state"]["version"].as_str() else { continue };
        let name = url.split_once("://").map_or(url, |(_, rest)| rest).trim_end_matches(".git");
        found.add(PackageKind::Swift, name, version, (Evidence::Declared, "swift"));
    }
}
