//! PHP: Composer's `installed.json` and `composer.lock`, and PEAR's registry.

use serde_json::Value;

use super::{Found, Input};
use crate::model::{Evidence, PackageKind};
use crate::text::clean;

pub(super) fn installed(input: &Input<'_>, found: &mut Found<'_>) {
    let Some(document) = input.json::<Value>(found) else { return };
    // Composer 1 wrote the list itself, Composer 2 writes it below `packages`.
    let list = document.as_array().or_else(|| document["packages"].as_array());
    packages(list, (Evidence::Installed, "composer"), None, found);
}

pub(super) fn composer_lock(input: &Input<'_>, found: &mut Found<'_>) {
    let Some(document) = input.json::<Value>(found) else { return };
    packages(document["packages"].as_array(), (Evidence::Declared, "composer-lock"), None, found);
    packages(document["packages-dev"].as_array(), (Evidence::Declared, "composer-lock"), Some("dev"), found);
}

fn packages(list: Option<&Vec<Value>>, how: (Evidence, &str), scope: Option<&str>, found: &mut Found<'_>) {
    for package in list.into_iter().flatten() {
        let (Some(name), Some(version)) = (package["name"].as_str(), package["version"].as_str()) else { continue };
        let version = version.strip_prefix('v').unwrap_or(version);
        let licenses = match &package["license"] {
            Value::String(license) => vec![clean(license, 200)],
            licenses => licenses
                .as_array()
                .into_iter()
                .flatten()
                .filter_map(Value::as_str)
                .map(|text| clean(text, 200))
                .collect(),
        };
        let needs = package["require"].as_object().into_iter().flatten().map(|(name, _)| name.clone()).collect();
        if let Some(entry) = found.add(PackageKind::Composer, name, version, how) {
            entry.package.licenses = licenses;
            entry.package.details.extend(scope.map(|scope| ("scope".to_owned(), scope.to_owned())));
            entry.needs = needs;
        }
    }
}

/// A PHP-serialized array: `s:4:"name";s:5:"redis";` and, for the version, `s:7:"release";s:5:"6.0.2";`.
pub(super) fn pear(input: &Input<'_>, found: &mut Found<'_>) {
    let text = input.text();
    let (Some(name), Some(version)) = (serialized(&text, "name"), serialized(&text, "release")) else {
        return found.incomplete("it states no name or no version".to_owned());
    };
    let channel = serialized(&text, "channel").unwrap_or("pear.php.net");
    let full = format!("{channel}/{name}");
    let version = version.to_owned();
    found.add(PackageKind::Composer, &full, &version, (Evidence::Installed, "pear"));
}

fn serialized<'a>(text: &'a str, key: &str) -> Option<&'a str> {
    let mark = format!("\"{key}\";s:");
    text.match_indices(&mark).find_map(|(at, _)| {
        let (_, rest) = text[at + mark.len()..].split_once(":\"")?;
        rest.split_once('"').map(|(value, _)| value).filter(|value| !value.is_empty())
    })
}
