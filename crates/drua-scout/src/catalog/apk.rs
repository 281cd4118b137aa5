//! Alpine's database, `lib/apk/db/installed`: paragraphs of `K:value` lines (apk-tools, doc/apk-v2.5.scd).

use std::collections::BTreeMap;

use super::{Found, Input};
use crate::facts::{Finding, FoundPackage, path_hash};
use crate::model::{Evidence, Package, PackageKind, SourcePackage};
use crate::text::clean;

pub(super) fn installed(input: &Input<'_>, found: &mut Found<'_>) {
    let text = input.text();
    let mut entry = Entry::default();
    let mut owned: BTreeMap<String, Vec<u64>> = BTreeMap::new();
    let mut nameless = 0;
    for line in text.lines().chain([""]) {
        if let Some((key, value)) = line.split_once(':') {
            entry.line(key, value);
        } else if line.trim().is_empty() && entry.is_begun {
            let mut finished = std::mem::take(&mut entry);
            if !finished.paths.is_empty() {
                owned.entry(finished.name.clone()).or_default().append(&mut finished.paths);
            }
            if finished.name.is_empty() || finished.version.is_empty() {
                nameless += 1;
            } else {
                found.push(finished.package());
            }
        }
    }
    if nameless > 0 {
        found.incomplete(format!("{nameless} entries without a name or a version are left out"));
    }
    for (package, mut paths) in owned {
        paths.sort_unstable();
        found.findings.push(Finding::Owned { package, paths });
    }
}

#[derive(Default)]
struct Entry {
    is_begun: bool,
    name: String,
    version: String,
    arch: String,
    origin: String,
    license: String,
    maintainer: String,
    url: String,
    commit: String,
    needs: Vec<String>,
    dir: String,
    paths: Vec<u64>,
}

impl Entry {
    fn line(&mut self, key: &str, value: &str) {
        self.is_begun = true;
        let value = value.trim();
        match key {
            "P" => self.name = value.to_owned(),
            "V" => self.version = value.to_owned(),
            "A" => self.arch = clean(value, 40),
            "o" => self.origin = clean(value, 200),
            "L" => self.license = clean(value, 500),
            "m" => self.maintainer = clean(value, 200),
            "U" => self.url = clean(value, 300),
            "c" => self.commit = clean(value, 64),
            "D" => {
                let names = value.split_whitespace().filter(|need| !need.starts_with('!'));
                self.needs =
                    names.map(|need| need.split(['<', '>', '=', '~']).next().unwrap_or(need).to_owned()).collect();
            }
            "F" => value.clone_into(&mut self.dir),
            "R" if self.dir.is_empty() => self.paths.push(path_hash(&format!("/{value}"))),
            "R" => self.paths.push(path_hash(&format!("/{}/{value}", self.dir))),
            _ => {}
        }
    }

    fn package(self) -> FoundPackage {
        let mut package = Package::new(PackageKind::Apk, &self.name, &self.version, Evidence::Installed, "apk");
        package.arch = Some(self.arch).filter(|arch| !arch.is_empty());
        let origin = if self.origin.is_empty() { self.name } else { self.origin };
        package.source = Some(SourcePackage { name: origin, version: self.version });
        package.licenses = Some(self.license).filter(|license| !license.is_empty()).into_iter().collect();
        package.vendor = Some(self.maintainer).filter(|maintainer| !maintainer.is_empty());
        for (name, value) in [("homepage", self.url), ("commit", self.commit)] {
            if !value.is_empty() {
                package.details.insert(name.to_owned(), value);
            }
        }
        FoundPackage { needs: self.needs, ..FoundPackage::new(package) }
    }
}
