//! Rust: `Cargo.lock`, and what cargo-auditable embeds in binaries (section `.dep-v0`: JSON, deflated).

use std::io::Read as _;

use serde::Deserialize;

use super::{Found, Input};
use crate::facts::FoundPackage;
use crate::model::{Evidence, Package, PackageKind, RelationKind};

#[derive(Deserialize)]
struct Lock {
    #[serde(default)]
    package: Vec<Locked>,
}

#[derive(Deserialize)]
struct Locked {
    name: String,
    version: String,
    source: Option<String>,
    #[serde(default)]
    dependencies: Vec<String>,
}

pub(super) fn cargo_lock(input: &Input<'_>, found: &mut Found<'_>) {
    let Some(lock) = input.toml::<Lock>(found) else { return };
    for package in lock.package {
        if let Some(entry) =
            found.add(PackageKind::Cargo, &package.name, &package.version, (Evidence::Declared, "cargo-lock"))
        {
            entry.needs =
                package.dependencies.iter().filter_map(|need| need.split(' ').next()).map(str::to_owned).collect();
            match package.source {
                None => entry.package.details.insert("scope".to_owned(), "local".to_owned()),
                Some(source) => entry.package.details.insert("source".to_owned(), crate::text::clean(&source, 300)),
            };
        }
    }
}

/// <https://github.com/rust-secure-code/cargo-auditable>, the format's PARSING.md.
#[derive(Deserialize)]
struct Audit {
    packages: Vec<Audited>,
}

#[derive(Deserialize)]
struct Audited {
    name: String,
    version: String,
    #[serde(default)]
    source: String,
    #[serde(default)]
    kind: String,
    #[serde(default)]
    dependencies: Vec<usize>,
    #[serde(default)]
    root: bool,
}

/// cargo-audit's own bound on the JSON.
const MAX_AUDIT: u64 = 8 << 20;

/// Adds what the section `.dep-v0` of the part `inside` says.
pub(super) fn auditable(section: &[u8], inside: &str, found: &mut Found<'_>) {
    let mut json = Vec::new();
    let limit = found.inflatable.min(MAX_AUDIT);
    let inflated = flate2::read::ZlibDecoder::new(section).take(limit + 1).read_to_end(&mut json);
    if inflated.is_err() || json.len() as u64 > limit {
        return found.incomplete("its list of crates (`.dep-v0`) is damaged or too large".to_owned());
    }
    found.inflatable -= json.len() as u64;
    let audit: Audit = match serde_json::from_slice(&json) {
        Ok(audit) => audit,
        Err(error) => return found.incomplete(format!("its list of crates (`.dep-v0`) cannot be read: {error}")),
    };
    // Build dependencies are not in the binary, but their places in the list count.
    let begin = found.packages.len();
    let is_kept = |package: &Audited| package.kind != "build" && crate::text::is_name(&package.name);
    let places: Vec<Option<usize>> = audit
        .packages
        .iter()
        .scan(begin, |next, package| Some(is_kept(package).then(|| std::mem::replace(next, *next + 1))))
        .collect();
    for package in audit.packages.iter().filter(|package| is_kept(package)) {
        let mut entry =
            Package::new(PackageKind::Cargo, &package.name, &package.version, Evidence::Embedded, "cargo-auditable");
        if package.root {
            entry.details.insert("scope".to_owned(), "root".to_owned());
        }
        if !package.source.is_empty() {
            entry.details.insert("source".to_owned(), crate::text::clean(&package.source, 300));
        }
        let needs = package.dependencies.iter().filter_map(|place| places.get(*place).copied().flatten());
        let relations = needs.map(|place| (RelationKind::DependsOn, place)).collect();
        let entry = FoundPackage { inside: inside.to_owned(), relations, ..FoundPackage::new(entry) };
        if found.push(entry).is_none() {
            // Places would no longer fit.
            found.packages.iter_mut().skip(begin).for_each(|entry| entry.relations.clear());
            return;
        }
    }
}
