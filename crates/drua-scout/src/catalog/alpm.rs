//! pacman's database: `var/lib/pacman/local/<package>/{desc,files}`, blocks of a `%NAME%` line and its values.

use std::collections::BTreeMap;

use super::{Found, Input};
use crate::facts::{Finding, path_hash};
use crate::model::{Evidence, PackageKind, SourcePackage};
use crate::text::clean;

pub(super) fn desc(input: &Input<'_>, found: &mut Found<'_>) {
    let text = input.text();
    let blocks = blocks(&text);
    let one = |name: &str| blocks.get(name).and_then(|values| values.first()).copied();
    let (Some(name), Some(version)) = (one("NAME"), one("VERSION")) else {
        found.incomplete("it states no name or no version".to_owned());
        return;
    };
    let Some(entry) = found.add(PackageKind::Alpm, name, version, (Evidence::Installed, "alpm")) else { return };
    entry.package.arch = one("ARCH").map(|arch| clean(arch, 40));
    entry.package.vendor = one("PACKAGER").map(|packager| clean(packager, 200));
    entry.package.licenses = blocks.get("LICENSE").into_iter().flatten().map(|license| clean(license, 200)).collect();
    let base = one("BASE").unwrap_or(name);
    entry.package.source = Some(SourcePackage { name: clean(base, 200), version: version.to_owned() });
    let needs = blocks.get("DEPENDS").into_iter().flatten();
    entry.needs = needs.map(|need| need.split(['<', '>', '=']).next().unwrap_or(need).to_owned()).collect();
}

pub(super) fn files(input: &Input<'_>, found: &mut Found<'_>) {
    let text = input.text();
    let dir = input.path.rsplit('/').nth(1).unwrap_or_default();
    // The directory is `<name>-<version>-<release>`.
    let package = dir.rsplitn(3, '-').nth(2).unwrap_or(dir).to_owned();
    let blocks = blocks(&text);
    let files = blocks.get("FILES").into_iter().flatten();
    let mut paths: Vec<u64> = files.map(|path| path_hash(&format!("/{path}"))).collect();
    paths.sort_unstable();
    found.findings.push(Finding::Owned { package, paths });
}

fn blocks(text: &str) -> BTreeMap<&str, Vec<&str>> {
    let mut blocks: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    let mut current = "";
    for line in text.lines() {
        match line.strip_prefix('%').and_then(|line| line.strip_suffix('%')) {
            Some(name) => current = name,
            None if !line.is_empty() => blocks.entry(current).or_default().push(line),
            None => {}
        }
    }
    blocks
}
