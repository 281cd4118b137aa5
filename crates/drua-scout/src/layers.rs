//! The layer view: what each layer brought, changed, removed and wasted, and what it left behind for good.

use std::collections::{BTreeMap, HashMap};
use std::io::{BufRead as _, BufReader};

use serde::Serialize;

use crate::assemble::{ScannedLayer, Stack, packages_of};
use crate::facts::{Finding, FoundPackage, Hashed};
use crate::model::{Evidence, Layer, PackageKind};
use crate::scan::{EntryKind, listing_line};

/// How many of the largest wasted files are named.
const LARGEST: usize = 20;

/// What one layer did.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct LayerReport {
    /// The layer.
    pub layer: Layer,
    /// Files that no lower layer has.
    pub files_added: u64,
    /// Files that replace one of a lower layer.
    pub files_changed: u64,
    /// Files of lower layers that are gone.
    pub files_removed: u64,
    /// Bytes of this layer's files that a higher layer replaces or removes: they are shipped and never seen.
    pub wasted_bytes: u64,
    /// Packages that were not there before.
    pub packages_added: Vec<PackageChange>,
    /// Packages in another version.
    pub packages_upgraded: Vec<PackageChange>,
    /// Packages that are no longer there.
    pub packages_removed: Vec<PackageChange>,
    /// Files that look like credentials.
    pub secrets: Vec<LayerSecret>,
}

/// A package in a layer.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PackageChange {
    /// Its kind.
    pub kind: PackageKind,
    /// Its name.
    pub name: String,
    /// The version before; none for what is new.
    pub from: Option<String>,
    /// The version after; none for what is gone.
    pub to: Option<String>,
}

/// A credential in a layer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct LayerSecret {
    /// The file.
    pub path: String,
    /// What it looks like, `private-key` for example.
    pub rule: String,
    /// 1-based.
    pub line: u32,
    /// The layer that hides it, 0-based: out of sight, but everybody who has the image has it.
    pub hidden_by: Option<usize>,
}

/// A file that is shipped and never seen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct WastedFile {
    /// Its path.
    pub path: String,
    /// Bytes of all copies that are never seen.
    pub bytes: u64,
    /// How many copies those are.
    pub copies: u64,
}

/// The layer view of an image.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ImageLayers {
    /// Each layer, the lowest first.
    pub layers: Vec<LayerReport>,
    /// Bytes of all files.
    pub total_bytes: u64,
    /// Bytes that are never seen.
    pub wasted_bytes: u64,
    /// Bytes that are seen, in percent of all: dive's efficiency.
    pub efficiency_pct: u64,
    /// The largest wasted files.
    pub wasted_files: Vec<WastedFile>,
}

/// Looks at layers one on top of the other. `listings` are those of the scans, in the same order.
pub fn layer_reports(layers: &[ScannedLayer], listings: &[Vec<u8>]) -> ImageLayers {
    let mut reports: Vec<LayerReport> = layers
        .iter()
        .map(|scanned| LayerReport {
            layer: Layer { size: scanned.facts.size, entries: scanned.facts.entries, ..scanned.layer.clone() },
            ..LayerReport::default()
        })
        .collect();
    let wasted = files(layers, listings, &mut reports);
    packages(layers, &mut reports);
    let total: u64 = reports.iter().map(|report| report.layer.size).sum();
    let waste: u64 = reports.iter().map(|report| report.wasted_bytes).sum();
    ImageLayers {
        layers: reports,
        total_bytes: total,
        wasted_bytes: waste,
        efficiency_pct: (total - waste.min(total)).saturating_mul(100).checked_div(total).unwrap_or(100),
        wasted_files: wasted,
    }
}

/// Which layer has a path now, and how large it is.
type Files = BTreeMap<String, (usize, u64)>;

fn files(layers: &[ScannedLayer], listings: &[Vec<u8>], reports: &mut [LayerReport]) -> Vec<WastedFile> {
    let mut present: Files = Files::new();
    let mut wasted: HashMap<String, (u64, u64)> = HashMap::new();
    for (number, (scanned, listing)) in layers.iter().zip(listings).enumerate() {
        let mut waste = |reports: &mut [LayerReport], path: &str, (layer, size): (usize, u64)| {
            reports[layer].wasted_bytes += size;
            if size > 0 {
                let entry = wasted.entry(path.to_owned()).or_default();
                *entry = (entry.0 + size, entry.1 + 1);
            }
        };
        for path in &scanned.facts.whiteouts {
            for (gone, at) in below(&mut present, path, true) {
                reports[number].files_removed += 1;
                waste(reports, &gone, at);
            }
        }
        for dir in &scanned.facts.opaque {
            for (gone, at) in below(&mut present, dir, false) {
                reports[number].files_removed += 1;
                waste(reports, &gone, at);
            }
        }
        let Ok(decoder) = zstd::stream::read::Decoder::new(listing.as_slice()) else { continue };
        for line in BufReader::new(decoder).lines().map_while(Result::ok) {
            let Some((kind, size, path)) = listing_line(&line) else { continue };
            if kind == EntryKind::Directory {
                continue;
            }
            match present.insert(path.to_owned(), (number, size)) {
                // Twice in one tar: the first is as wasted as any other.
                Some(before) => {
                    waste(reports, path, before);
                    reports[number].files_changed += u64::from(before.0 != number);
                }
                None => reports[number].files_added += 1,
            }
        }
    }
    let mut wasted: Vec<WastedFile> =
        wasted.into_iter().map(|(path, (bytes, copies))| WastedFile { path, bytes, copies }).collect();
    wasted.sort_by(|a, b| b.bytes.cmp(&a.bytes).then_with(|| a.path.cmp(&b.path)));
    wasted.truncate(LARGEST);
    wasted
}

/// Takes what lies below a directory out of the files, and with `itself` what has its name.
fn below(present: &mut Files, dir: &str, itself: bool) -> Vec<(String, (usize, u64))> {
    let from = format!("{dir}/");
    // `0` follows `/` in ASCII: the range is all paths that begin with the directory.
    let to = format!("{dir}0");
    let mut names: Vec<String> = present.range(from..to).map(|(path, _)| path.clone()).collect();
    if itself && present.contains_key(dir) {
        names.push(dir.to_owned());
    }
    names.into_iter().filter_map(|name| present.remove_entry(&name)).collect()
}

/// Packages by identity: what has the same is the same package, in another version perhaps.
type State<'a> = BTreeMap<(PackageKind, &'a str, &'a str), &'a str>;

fn packages(layers: &[ScannedLayer], reports: &mut [LayerReport]) {
    let stack = Stack::new(layers);
    // For each path with packages or secrets: which of its versions is seen in which layers.
    let mut events: Vec<Vec<(&str, Option<&[Finding]>)>> = vec![Vec::new(); layers.len()];
    for path in stack.paths() {
        let history = stack.history(path);
        for (place, (layer, findings, hidden)) in history.iter().enumerate() {
            events[*layer].push((path, Some(findings)));
            let next = history.get(place + 1).map(|(next, _, _)| *next);
            if let Some(hidden) = hidden.filter(|hidden| next != Some(*hidden)) {
                events[hidden].push((path, None));
            }
            for finding in *findings {
                if let Finding::Secret { rule, line } = finding {
                    let secret =
                        LayerSecret { path: path.to_owned(), rule: rule.clone(), line: *line, hidden_by: *hidden };
                    reports[*layer].secrets.push(secret);
                }
            }
        }
    }
    // What distributions ship as examples is no secret.
    for (number, report) in reports.iter_mut().enumerate() {
        let owners = owned(&layers[..=number]);
        report.secrets.retain(|secret| !owners.contains(&crate::facts::path_hash(&secret.path)));
    }
    let mut current: BTreeMap<&str, &[Finding]> = BTreeMap::new();
    let mut before: State<'_> = State::new();
    for (number, changes) in events.iter().enumerate() {
        if changes.is_empty() {
            continue;
        }
        for (path, findings) in changes {
            match findings {
                Some(findings) => drop(current.insert(path, findings)),
                None => drop(current.remove(path)),
            }
        }
        let after = state(&current);
        compare(&before, &after, &mut reports[number]);
        before = after;
    }
}

/// Hashes of all files that packages of these layers own.
fn owned(layers: &[ScannedLayer]) -> std::collections::HashSet<u64> {
    let has_secret = layers.last().is_some_and(|last| {
        last.facts
            .files
            .iter()
            .any(|file| file.findings.iter().any(|finding| matches!(finding, Finding::Secret { .. })))
    });
    if !has_secret {
        return std::collections::HashSet::new();
    }
    let findings = layers.iter().flat_map(|scanned| &scanned.facts.files).flat_map(|file| &file.findings);
    let lists =
        findings.filter_map(|finding| if let Finding::Owned { paths, .. } = finding { Some(paths) } else { None });
    lists.flatten().copied().collect()
}

fn state<'a>(current: &BTreeMap<&'a str, &'a [Finding]>) -> State<'a> {
    let mut state = State::new();
    for (path, findings) in current {
        for found in packages_of(findings).filter(|found| found.package.evidence != Evidence::Declared) {
            // Databases hold many packages under one path; of the others each has its own.
            let place = if found.package.kind.is_os() { "" } else { path };
            state.insert((found.package.kind, name(found), place), found.package.version.as_str());
        }
    }
    state
}

fn name(found: &FoundPackage) -> &str {
    &found.package.name
}

fn compare(before: &State<'_>, after: &State<'_>, report: &mut LayerReport) {
    let change = |(kind, name, _): &(PackageKind, &str, &str), from: Option<&str>, to: Option<&str>| PackageChange {
        kind: *kind,
        name: (*name).to_owned(),
        from: from.map(str::to_owned),
        to: to.map(str::to_owned),
    };
    for (key, to) in after {
        match before.get(key) {
            None => report.packages_added.push(change(key, None, Some(to))),
            Some(from) if from != to => report.packages_upgraded.push(change(key, Some(from), Some(to))),
            Some(_) => {}
        }
    }
    for (key, from) in before.iter().filter(|(key, _)| !after.contains_key(*key)) {
        report.packages_removed.push(change(key, Some(from), None));
    }
    pair_moved(report);
    for list in [&mut report.packages_added, &mut report.packages_upgraded, &mut report.packages_removed] {
        list.sort();
        list.dedup();
    }
}

/// Python's directories have the version in their names: there an upgrade looks like one gone and one new.
fn pair_moved(report: &mut LayerReport) {
    let removed = std::mem::take(&mut report.packages_removed);
    for gone in removed {
        let same = |new: &PackageChange| new.kind == gone.kind && new.name == gone.name;
        match report.packages_added.iter().position(same) {
            Some(place) => {
                let new = report.packages_added.swap_remove(place);
                if new.to != gone.from {
                    report.packages_upgraded.push(PackageChange { from: gone.from, ..new });
                }
            }
            None => report.packages_removed.push(gone),
        }
    }
}

/// Whether a path of one layer is still seen at the top.
pub fn is_visible(layers: &[ScannedLayer], path: &str, layer: usize) -> bool {
    Stack::new(layers).hidden_by(&Hashed::new(path), layer).is_none()
}
