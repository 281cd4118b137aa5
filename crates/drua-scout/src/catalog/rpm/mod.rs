//! RPM's databases: Berkeley DB (`Packages`), NDB (`Packages.db`) and SQLite (`rpmdb.sqlite`), all of the same headers;
//! and the manifest of Azure's distroless images. Nothing of them is trusted: each reader bounds what it follows.

mod bdb;
mod header;
mod ndb;
mod sqlite;

use super::{Found, Input};
use crate::facts::Finding;
use crate::model::{Evidence, PackageKind, SourcePackage};
use crate::text::clean;

/// Gives each header of a database to a function, and says why it stopped if it had to.
type Reader = fn(&[u8], &mut dyn FnMut(&[u8])) -> Result<(), &'static str>;

pub(super) fn database(input: &Input<'_>, found: &mut Found<'_>) {
    let reader: Reader = match input.file_name() {
        "rpmdb.sqlite" => sqlite::records,
        "Packages.db" => ndb::records,
        _ => bdb::records,
    };
    let mut damaged = 0_usize;
    let result = reader(input.bytes, &mut |blob| {
        if header::package(blob, found).is_none() {
            damaged += 1;
        }
    });
    if let Err(reason) = result {
        found.unreadable(reason);
    }
    if damaged > 0 {
        found.incomplete(format!("{damaged} records are damaged"));
    }
}

/// Tab-separated: name, version-release, install time, build time, vendor, epoch, size, architecture, epoch, source.
pub(super) fn manifest(input: &Input<'_>, found: &mut Found<'_>) {
    for line in input.text().lines() {
        let fields: Vec<&str> = line.split('\t').collect();
        let [name, version, _, _, vendor, epoch, _, arch, ..] = fields[..] else { continue };
        let version =
            if matches!(epoch, "0" | "(none)" | "") { version.to_owned() } else { format!("{epoch}:{version}") };
        if let Some(entry) = found.add(PackageKind::Rpm, name, &version, (Evidence::Installed, "rpm")) {
            entry.package.arch = Some(clean(arch, 40));
            entry.package.vendor = Some(clean(vendor, 200));
            entry.package.source = fields.get(9).and_then(|source| source_package(source));
        }
    }
}

/// `openssl-3.0.7-27.el9.src.rpm`.
fn source_package(file: &str) -> Option<SourcePackage> {
    let stem = file.trim_end_matches(".rpm").rsplit_once('.')?.0;
    let mut parts = stem.rsplitn(3, '-');
    let (release, version, name) = (parts.next()?, parts.next()?, parts.next()?);
    Some(SourcePackage { name: clean(name, 200), version: clean(&format!("{version}-{release}"), 200) })
}

fn push_owned(found: &mut Found<'_>, package: String, mut paths: Vec<u64>) {
    paths.sort_unstable();
    if !paths.is_empty() {
        found.findings.push(Finding::Owned { package, paths });
    }
}
