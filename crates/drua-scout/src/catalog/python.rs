//! Python's installed distributions: `METADATA` of a dist-info, `PKG-INFO` of an egg (PyPA core metadata).

use super::{Found, Input};
use crate::model::{Evidence, PackageKind};
use crate::text::clean;

pub(super) fn metadata(input: &Input<'_>, found: &mut Found<'_>) {
    let text = input.text();
    // The description follows after the first empty line.
    let headers = || text.lines().take_while(|line| !line.trim().is_empty());
    let values = |name: &'static str| {
        headers()
            .filter_map(|line| line.split_once(':'))
            .filter(move |(key, _)| key.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.trim())
    };
    let one = |name| values(name).find(|value| !value.is_empty() && *value != "UNKNOWN");
    let (Some(name), Some(version)) = (one("Name"), one("Version")) else {
        // Directories' names say as much: `name-1.2.dist-info`.
        if !from_directory(input, found) {
            found.incomplete("it states no name or no version".to_owned());
        }
        return;
    };
    let mut licenses: Vec<String> = values("License-Expression").map(|license| clean(license, 200)).collect();
    if licenses.is_empty() {
        // Some put the whole text there; only the first line belongs to the header.
        licenses.extend(one("License").map(|license| clean(license, 120)));
    }
    if licenses.is_empty() {
        let classified = values("Classifier").filter_map(|value| value.strip_prefix("License ::"));
        licenses.extend(classified.filter_map(|value| value.rsplit("::").next()).map(|license| clean(license, 200)));
    }
    let vendor = one("Author").or_else(|| one("Author-email")).map(|author| clean(author, 200));
    let homepage = one("Home-page").map(|homepage| clean(homepage, 300));
    let needs =
        values("Requires-Dist").filter(|need| !need.contains("extra ==")).filter_map(requirement_name).collect();
    if let Some(entry) = found.add(PackageKind::Pypi, name, version, (Evidence::Installed, "python")) {
        entry.package.licenses = licenses;
        entry.package.vendor = vendor;
        entry.package.details.extend(homepage.map(|homepage| ("homepage".to_owned(), homepage)));
        entry.needs = needs;
    }
}

fn from_directory(input: &Input<'_>, found: &mut Found<'_>) -> bool {
    let directory = input.path.rsplit('/').nth(1).unwrap_or_default();
    let stem = directory.trim_end_matches(".dist-info").trim_end_matches(".egg-info");
    let Some((name, rest)) = stem.split_once('-') else { return false };
    let version = rest.split("-py").next().unwrap_or(rest);
    found.add(PackageKind::Pypi, name, version, (Evidence::Installed, "python")).is_some()
}

/// The name in `requests[socks]>=2.8; python_version < "3"`.
pub(super) fn requirement_name(requirement: &str) -> Option<String> {
    let end = requirement.find(|c: char| !(c.is_alphanumeric() || "-_.".contains(c))).unwrap_or(requirement.len());
    (end > 0).then(|| requirement[..end].to_owned())
}
