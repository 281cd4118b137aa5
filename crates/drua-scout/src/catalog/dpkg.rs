//! dpkg's database (deb822, dpkg(1)): `status`, distroless' `status.d/*`, opkg's, and which package owns which files.

use super::{Found, Input};
use crate::facts::{Finding, path_hash};
use crate::model::{Evidence, PackageKind, SourcePackage};
use crate::text::{clean, field, paragraphs};

pub(super) fn status(input: &Input<'_>, found: &mut Found<'_>) {
    let text = input.text();
    let is_opkg = input.path.contains("/opkg/");
    let mut nameless = 0;
    paragraphs(&text, |fields| {
        let status = field(fields, "Status").unwrap_or("install ok installed");
        // Removed packages whose configuration stays are still listed.
        if !matches!(
            status.split_whitespace().nth(2),
            Some("installed" | "unpacked" | "half-configured" | "triggers-awaited" | "triggers-pending")
        ) {
            return;
        }
        let (Some(name), Some(version)) = (field(fields, "Package"), field(fields, "Version")) else {
            nameless += 1;
            return;
        };
        let found_by = if is_opkg { "opkg" } else { "dpkg" };
        let Some(entry) = found.add(PackageKind::Deb, name, version, (Evidence::Installed, found_by)) else { return };
        let package = &mut entry.package;
        package.arch = field(fields, "Architecture").map(|arch| clean(arch, 40));
        package.source = field(fields, "Source").map(|source| source_package(source, version));
        package.vendor =
            field(fields, "Origin").or_else(|| field(fields, "Maintainer")).map(|vendor| clean(vendor, 200));
        for (key, name) in [("Homepage", "homepage"), ("Section", "section"), ("Installed-Size", "installed-kib")] {
            if let Some(value) = field(fields, key) {
                package.details.insert(name.to_owned(), clean(value, 300));
            }
        }
        let needs = ["Depends", "Pre-Depends"].iter().filter_map(|key| field(fields, key));
        entry.needs = needs.flat_map(|list| list.split(',')).filter_map(first_alternative).collect();
    });
    if nameless > 0 {
        found.incomplete(format!("{nameless} entries without a name or a version are left out"));
    }
}

/// `glibc (2.36-9)`, or a name alone when the version is the same.
fn source_package(text: &str, version: &str) -> SourcePackage {
    match text.split_once('(') {
        Some((name, version)) => {
            SourcePackage { name: clean(name, 200), version: clean(version.trim_end_matches(')'), 200) }
        }
        None => SourcePackage { name: clean(text, 200), version: version.to_owned() },
    }
}

/// The name in `libc6 (>= 2.34) | libc6.1`.
fn first_alternative(relation: &str) -> Option<String> {
    let name = relation.split(['|', '(']).next()?.split(':').next()?.trim();
    (!name.is_empty()).then(|| name.to_owned())
}

/// `info/<package>.list`: one absolute path a line.
pub(super) fn owned(input: &Input<'_>, found: &mut Found<'_>) {
    let name = input.file_name().trim_end_matches(".list");
    let package = name.split(':').next().unwrap_or(name).to_owned();
    let text = input.text();
    push_owned(found, package, text.lines().filter(|line| line.starts_with('/')).map(path_hash).collect());
}

/// distroless: `status.d/<package>.md5sums`, with relative paths.
pub(super) fn owned_by_checksums(input: &Input<'_>, found: &mut Found<'_>) {
    let package = input.file_name().trim_end_matches(".md5sums").to_owned();
    let text = input.text();
    let paths = text.lines().filter_map(|line| line.split_once("  ")).map(|(_, path)| path_hash(&format!("/{path}")));
    push_owned(found, package, paths.collect());
}

fn push_owned(found: &mut Found<'_>, package: String, mut paths: Vec<u64>) {
    paths.sort_unstable();
    paths.dedup();
    found.findings.push(Finding::Owned { package, paths });
}
