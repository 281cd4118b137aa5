//! Lock files in YAML: pnpm, Dart's `pubspec.lock`, CocoaPods' `Podfile.lock`.

use super::yaml::{self, Node};
use super::{Found, Input, dart};
use crate::model::{Evidence, PackageKind};

fn read(input: &Input<'_>, found: &mut Found<'_>) -> Option<Node> {
    yaml::parse(&input.text()).map_err(|error| found.unreadable(&error)).ok()
}

/// Keys of `packages`: `/name/1.2.3` (version 5), `/name@1.2.3(peer)` (6), `name@1.2.3` (9).
pub(super) fn pnpm(input: &Input<'_>, found: &mut Found<'_>) {
    let Some(document) = read(input, found) else { return };
    for (key, line, _) in document.get("packages").into_iter().flat_map(Node::entries) {
        let key = key.split('(').next().unwrap_or(key).trim_start_matches('/');
        let at = key.rfind('@').filter(|at| *at > 0);
        let Some((name, version)) = at.map(|at| (&key[..at], &key[at + 1..])).or_else(|| key.rsplit_once('/')) else {
            continue;
        };
        // Version 5 has peers after `_`; what is no number is a link or an address.
        let version = version.split('_').next().unwrap_or(version);
        if version.starts_with(|c: char| c.is_ascii_digit())
            && let Some(entry) = found.add(PackageKind::Npm, name, version, (Evidence::Declared, "pnpm"))
        {
            entry.line = Some(line);
        }
    }
}

pub(super) fn pubspec(input: &Input<'_>, found: &mut Found<'_>) {
    if let Some(document) = read(input, found) {
        dart::packages(&document, found);
    }
}

/// Items of `PODS`: `Alamofire (5.8.1)`, or a mapping from that to what it needs.
pub(super) fn podfile(input: &Input<'_>, found: &mut Found<'_>) {
    let Some(document) = read(input, found) else { return };
    for item in document.get("PODS").into_iter().flat_map(Node::items) {
        let text = item.text().or_else(|| item.entries().next().map(|(key, _, _)| key));
        if let Some((name, version)) = text.and_then(|text| text.trim_end_matches(')').split_once(" (")) {
            found.add(PackageKind::Cocoapods, name, version, (Evidence::Declared, "cocoapods"));
        }
    }
}
