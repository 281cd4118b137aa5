//! Layers on top of each other: what the merged file system says, and which layer brought it.

mod owners;
mod resolve;

use std::collections::{BTreeMap, BTreeSet, HashMap};

use crate::facts::{FileFacts, Finding, FoundPackage, Hashed, LayerFacts};
use crate::model::{Distro, Evidence, Layer, Location, Note, NoteKind, Package, PackageKind, Sbom, Target, TargetKind};
use owners::Owners;

/// A layer with what it says.
#[derive(Debug)]
pub struct ScannedLayer {
    /// What the image's configuration says about it.
    pub layer: Layer,
    /// What its files say.
    pub facts: LayerFacts,
}

/// Makes a document of scanned layers, the lowest first.
///
/// Lock files count in directories only: in an image they say what was wanted, and the installed packages what is there.
pub fn assemble(target: Target, layers: &[ScannedLayer]) -> Sbom {
    let stack = Stack::new(layers);
    let visible = stack.visible();
    let mut sbom = Sbom { target, ..Sbom::default() };
    let has_layers = sbom.target.kind == TargetKind::Image;
    if has_layers {
        sbom.layers = layers.iter().map(|scanned| scanned.sized()).collect();
    }
    sbom.target.size = layers.iter().map(|scanned| scanned.facts.size).sum();
    sbom.distro = distro(&visible);
    let keeps_declared = matches!(sbom.target.kind, TargetKind::Directory | TargetKind::File | TargetKind::Sbom);
    let mut found: Vec<Seen<'_>> = Vec::new();
    for file in &visible {
        collect(&stack, file, has_layers, keeps_declared, &mut found);
    }
    let owners = Owners::new(&visible);
    resolve::resolve(found, &owners, &mut sbom);
    add_evidence(&visible, &mut sbom);
    add_notes(&stack, &mut sbom);
    sbom
}

impl ScannedLayer {
    fn sized(&self) -> Layer {
        Layer { size: self.facts.size, entries: self.facts.entries, ..self.layer.clone() }
    }
}

/// Layers, and which of them have files that say something under each path.
pub(crate) struct Stack<'a> {
    layers: &'a [ScannedLayer],
    /// The highest layer that has a hash.
    highest: HashMap<u64, u32>,
    has_whiteouts: Vec<bool>,
    paths: BTreeMap<&'a str, Vec<(usize, &'a FileFacts)>>,
}

/// A file of the merged file system.
pub(crate) struct Visible<'a> {
    pub(crate) path: &'a str,
    pub(crate) layer: usize,
    pub(crate) findings: &'a [Finding],
}

impl<'a> Stack<'a> {
    pub(crate) fn new(layers: &'a [ScannedLayer]) -> Self {
        let mut highest = HashMap::new();
        let mut paths: BTreeMap<&str, Vec<(usize, &FileFacts)>> = BTreeMap::new();
        for (number, scanned) in layers.iter().enumerate() {
            for file in &scanned.facts.files {
                paths.entry(&file.path).or_default().push((number, file));
            }
        }
        // One layer hides nothing.
        if layers.len() > 1 {
            for (number, scanned) in (0_u32..).zip(layers) {
                highest.extend(scanned.facts.hashes.iter().map(|hash| (*hash, number)));
            }
        }
        let has_whiteouts = layers
            .iter()
            .map(|scanned| !scanned.facts.whiteouts.is_empty() || !scanned.facts.opaque.is_empty())
            .collect();
        Self { layers, highest, has_whiteouts, paths }
    }

    /// The first layer above `layer` that hides the path.
    pub(crate) fn hidden_by(&self, path: &Hashed<'_>, layer: usize) -> Option<usize> {
        let above = |hash: u64| self.highest.get(&hash).is_some_and(|highest| *highest as usize > layer);
        let is_replaced = path.hashes().any(above);
        (layer + 1..self.layers.len()).find(|number| {
            let facts = &self.layers[*number].facts;
            (is_replaced && facts.hides(path)) || (self.has_whiteouts[*number] && facts.removes(path))
        })
    }

    /// The files that say something and are not hidden, by path.
    fn visible(&self) -> Vec<Visible<'a>> {
        let last = self.paths.iter().filter_map(|(path, files)| Some((*path, *files.last()?)));
        last.filter(|(path, (layer, _))| self.hidden_by(&Hashed::new(path), *layer).is_none())
            .map(|(path, (layer, file))| Visible { path, layer, findings: &file.findings })
            .collect()
    }

    /// For each layer that has this path: the layer, what it says, and by which layer it is hidden.
    pub(crate) fn history(&self, path: &str) -> Vec<(usize, &'a [Finding], Option<usize>)> {
        let hashed = Hashed::new(path);
        let files = self.paths.get(path).into_iter().flatten();
        files.map(|(layer, file)| (*layer, file.findings.as_slice(), self.hidden_by(&hashed, *layer))).collect()
    }

    pub(crate) fn paths(&self) -> impl Iterator<Item = &'a str> {
        self.paths.keys().copied()
    }
}

/// A package at a place, before equal ones are merged.
pub(crate) struct Seen<'a> {
    pub(crate) found: &'a FoundPackage,
    pub(crate) location: Location,
    /// Where the file itself lies.
    pub(crate) path: &'a str,
    /// Place of the file's first package among all that were seen: relations count from there.
    pub(crate) base: usize,
}

fn collect<'a>(
    stack: &Stack<'a>,
    file: &Visible<'a>,
    has_layers: bool,
    keeps_declared: bool,
    seen: &mut Vec<Seen<'a>>,
) {
    for finding in file.findings {
        let Finding::Packages(packages) = finding else { continue };
        let is_declared = packages.iter().any(|found| found.package.evidence == Evidence::Declared);
        if is_declared && !keeps_declared {
            continue;
        }
        let layers = if has_layers { introduced(stack, file, packages) } else { HashMap::new() };
        let base = seen.len();
        for found in packages {
            let path = match found.inside.as_str() {
                "" => file.path.to_owned(),
                inside => format!("{}!{inside}", file.path),
            };
            let layer = has_layers.then(|| layers.get(&key(found)).copied().unwrap_or(file.layer));
            let location = Location { path, layer, line: found.line };
            seen.push(Seen { found, location, path: file.path, base });
        }
    }
}

/// What makes two packages of one file the same over its versions.
type Key<'a> = (&'a str, &'a str, Option<&'a str>, &'a str);

fn key(found: &FoundPackage) -> Key<'_> {
    (&found.package.name, &found.package.version, found.package.arch.as_deref(), &found.inside)
}

/// The layer since which each package has been in the file without a break.
fn introduced<'a>(stack: &Stack<'a>, file: &Visible<'a>, packages: &'a [FoundPackage]) -> HashMap<Key<'a>, usize> {
    let mut introduced: HashMap<Key<'_>, usize> = packages.iter().map(|found| (key(found), file.layer)).collect();
    let versions = stack.paths.get(file.path).map_or(&[][..], Vec::as_slice);
    let hashed = Hashed::new(file.path);
    let mut newer = file.layer;
    for (layer, older) in versions.iter().rev().skip(1) {
        // Removed in between, and later written anew.
        if stack.hidden_by(&hashed, *layer) != Some(newer) {
            break;
        }
        let mut went_on = false;
        for found in packages_of(&older.findings) {
            if let Some(since) = introduced.get_mut(&key(found)).filter(|since| **since == newer) {
                *since = *layer;
                went_on = true;
            }
        }
        if !went_on {
            break;
        }
        newer = *layer;
    }
    introduced
}

/// All packages of a file.
pub(crate) fn packages_of(findings: &[Finding]) -> impl Iterator<Item = &FoundPackage> {
    let lists =
        findings.iter().filter_map(|finding| if let Finding::Packages(list) = finding { Some(list) } else { None });
    lists.flatten()
}

fn distro(visible: &[Visible<'_>]) -> Option<Distro> {
    const ORDER: [&str; 4] = ["/etc/os-release", "/usr/lib/os-release", "/etc/initrd-release", "/etc/alpine-release"];
    let at = |path: &&str| {
        let file = visible.iter().find(|file| file.path == *path)?;
        file.findings
            .iter()
            .find_map(|finding| if let Finding::Distro(distro) = finding { Some(distro.clone()) } else { None })
    };
    ORDER.iter().find_map(at)
}

fn add_evidence(visible: &[Visible<'_>], sbom: &mut Sbom) {
    for (file, finding) in visible.iter().flat_map(|file| file.findings.iter().map(move |finding| (file, finding))) {
        match finding {
            Finding::Changelog { package, ids } => {
                sbom.evidence.entry(format!("changelog:{package}")).or_default().extend(ids.iter().cloned());
            }
            Finding::Vex(text) => {
                sbom.evidence.insert(format!("vex:{}", file.path), vec![text.clone()]);
            }
            Finding::Packages(_)
            | Finding::Distro(_)
            | Finding::Owned { .. }
            | Finding::Licenses { .. }
            | Finding::Secret { .. } => {}
        }
    }
}

fn add_notes(stack: &Stack<'_>, sbom: &mut Sbom) {
    let mut notes: BTreeSet<Note> = sbom.notes.drain(..).collect();
    for (number, scanned) in stack.layers.iter().enumerate() {
        let is_seen = |note: &&Note| {
            note.path.as_deref().is_none_or(|path| stack.hidden_by(&Hashed::new(path), number).is_none())
        };
        notes.extend(scanned.facts.notes.iter().filter(is_seen).cloned());
    }
    let has_database = sbom.packages.iter().any(|package| package.kind.is_os());
    if let (Some(distro), false, TargetKind::Image | TargetKind::Container) =
        (&sbom.distro, has_database, sbom.target.kind)
    {
        let text = format!("the distribution is {}, but no database of its packages was found", distro.pretty_name);
        notes.insert(Note { kind: NoteKind::Incomplete, path: None, text });
    }
    sbom.notes = notes.into_iter().collect();
}

/// The vendor part of an OS package's purl.
pub(crate) fn namespace(package: &Package, distro: Option<&Distro>) -> Option<String> {
    let id = distro.map(|distro| distro.id.as_str()).filter(|id| !id.is_empty());
    match package.kind {
        PackageKind::Deb if package.found_by == "opkg" => Some(id.unwrap_or("openwrt").to_owned()),
        PackageKind::Deb => Some(id.unwrap_or("debian").to_owned()),
        PackageKind::Apk => Some(id.unwrap_or("alpine").to_owned()),
        PackageKind::Alpm => Some(id.unwrap_or("arch").to_owned()),
        PackageKind::Rpm => match id {
            Some("rhel") => Some("redhat".to_owned()),
            id => id.map(str::to_owned),
        },
        _ => None,
    }
}

#[cfg(test)]
mod tests;
