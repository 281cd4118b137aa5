//! Equal packages become one with several places; names of dependencies and owners become places in the document.

use std::collections::{BTreeSet, HashMap};

use super::{Owners, Seen, namespace};
use crate::model::{Evidence, Package, PackageKind, Relation, RelationKind, Sbom};

/// Fills packages and relations of the document.
pub(super) fn resolve(seen: Vec<Seen<'_>>, owners: &Owners<'_>, sbom: &mut Sbom) {
    let owner_names: Vec<Option<&str>> =
        seen.iter().map(|seen| if seen.found.package.kind.is_os() { None } else { owners.of(seen.path) }).collect();
    // A version string in a program that the distribution installed says less than its database.
    let is_kept = |place: usize| {
        let package: &Package = &seen[place].found.package;
        let is_note = package.kind.is_os() && package.evidence == Evidence::Embedded;
        !((package.evidence == Evidence::Classified && owner_names[place].is_some())
            || (is_note && has_database(&seen, package.kind)))
    };
    let (merged, places) = merge(&seen, is_kept, owners, sbom);
    let order = order(&merged);
    let mut rank = vec![0; merged.len()];
    order.iter().enumerate().for_each(|(new, old)| rank[*old] = new);
    let final_place = |place: usize| places.get(place).copied().flatten().map(|old| rank[old]);
    let mut relations = BTreeSet::new();
    let mut packages: Vec<Option<Package>> = merged.into_iter().map(Some).collect();
    sbom.packages = order.iter().filter_map(|old| packages[*old].take()).collect();
    let by_name = Names::new(&sbom.packages);
    for (place, one) in seen.iter().enumerate() {
        let Some(from) = final_place(place) else { continue };
        for (kind, within) in &one.found.relations {
            if let Some(to) = final_place(one.base + within).filter(|to| *to != from) {
                relations.insert(Relation { from, to, kind: *kind });
            }
        }
        let kind = sbom.packages[from].kind;
        for need in &one.found.needs {
            if let Some(to) = by_name.get(kind, need).filter(|to| *to != from) {
                relations.insert(Relation { from, to, kind: RelationKind::DependsOn });
            }
        }
        if let Some(owner) = owner_names[place].and_then(|name| by_name.os(name)) {
            sbom.packages[from].owner = Some(owner);
        }
    }
    sbom.relations = relations.into_iter().collect();
}

fn has_database(seen: &[Seen<'_>], kind: PackageKind) -> bool {
    seen.iter().any(|one| one.found.package.kind == kind && one.found.package.evidence == Evidence::Installed)
}

/// One package for all that are equal, and for each seen one the place of its package.
fn merge(
    seen: &[Seen<'_>],
    is_kept: impl Fn(usize) -> bool,
    owners: &Owners<'_>,
    sbom: &Sbom,
) -> (Vec<Package>, Vec<Option<usize>>) {
    let mut merged: Vec<Package> = Vec::new();
    let mut places = vec![None; seen.len()];
    let mut known = HashMap::new();
    for (number, one) in seen.iter().enumerate().filter(|(number, _)| is_kept(*number)) {
        let package = &one.found.package;
        let key = (package.kind, &package.name, &package.version, &package.arch, &package.qualifiers);
        let place = *known.entry(key).or_insert_with(|| {
            let mut package = package.clone();
            package.namespace = package.namespace.or_else(|| namespace(&one.found.package, sbom.distro.as_ref()));
            if package.kind.is_os() && package.licenses.is_empty() {
                package.licenses = owners.licenses(&package.name).to_vec();
            }
            merged.push(package);
            merged.len() - 1
        });
        let into = &mut merged[place];
        into.locations.push(one.location.clone());
        // What is surest speaks; what only others know is added.
        if package.evidence < into.evidence {
            into.evidence = package.evidence;
            into.found_by.clone_from(&package.found_by);
        }
        if into.licenses.is_empty() {
            into.licenses.clone_from(&package.licenses);
        }
        for (name, value) in &package.details {
            into.details.entry(name.clone()).or_insert_with(|| value.clone());
        }
        places[number] = Some(place);
    }
    for package in &mut merged {
        package.locations.sort();
        package.locations.dedup();
    }
    (merged, places)
}

/// Places in the order of the document.
fn order(packages: &[Package]) -> Vec<usize> {
    let key = |package: &Package| {
        (package.kind, package.name.clone(), package.version.clone(), package.arch.clone(), package.locations.clone())
    };
    let mut order: Vec<usize> = (0..packages.len()).collect();
    order.sort_by_cached_key(|place| key(&packages[*place]));
    order
}

/// Packages by name; of several versions the first. Owns its names, since the packages change meanwhile.
struct Names(HashMap<(PackageKind, String), usize>);

impl Names {
    fn new(packages: &[Package]) -> Self {
        let mut names = HashMap::with_capacity(packages.len());
        for (place, package) in packages.iter().enumerate() {
            names.entry((package.kind, Self::normal(package.kind, &package.name))).or_insert(place);
        }
        Self(names)
    }

    fn get(&self, kind: PackageKind, name: &str) -> Option<usize> {
        self.0.get(&(kind, Self::normal(kind, name))).copied()
    }

    /// A package of whichever package manager the distribution has.
    fn os(&self, name: &str) -> Option<usize> {
        let kinds = [PackageKind::Deb, PackageKind::Apk, PackageKind::Rpm, PackageKind::Alpm];
        kinds.into_iter().find_map(|kind| self.get(kind, name))
    }

    /// PEP 503 for Python; others are what they are.
    fn normal(kind: PackageKind, name: &str) -> String {
        if kind == PackageKind::Pypi { name.to_ascii_lowercase().replace(['_', '.'], "-") } else { name.to_owned() }
    }
}
