//! Ruby: gemspecs of installed gems, and `Gemfile.lock`.

use super::{Found, Input};
use crate::model::{Evidence, PackageKind};
use crate::text::clean;

/// `specifications/<name>-<version>.gemspec`, as RubyGems writes them: assignments, one a line.
pub(super) fn gemspec(input: &Input<'_>, found: &mut Found<'_>) {
    let text = input.text();
    let value = |name: &str| {
        text.lines().find_map(|line| {
            let rest = line.trim().strip_prefix("s.").or_else(|| line.trim().strip_prefix("spec."))?;
            let (key, value) = rest.split_once('=')?;
            (key.trim() == name).then(|| value.trim())
        })
    };
    let (Some(name), Some(version)) = (value("name").and_then(first_string), value("version").and_then(first_string))
    else {
        return found.incomplete("it states no name or no version".to_owned());
    };
    let licenses = value("licenses").or_else(|| value("license")).map(strings).unwrap_or_default();
    let homepage = value("homepage").and_then(first_string);
    if let Some(entry) = found.add(PackageKind::Gem, name, version, (Evidence::Installed, "gem")) {
        entry.package.licenses = licenses.into_iter().map(|license| clean(license, 100)).collect();
        entry.package.details.extend(homepage.map(|homepage| ("homepage".to_owned(), clean(homepage, 300))));
    }
}

fn first_string(text: &str) -> Option<&str> {
    strings(text).into_iter().next()
}

/// What stands between quotes: `["MIT".freeze, "Ruby".freeze]`.
fn strings(text: &str) -> Vec<&str> {
    let mut found = Vec::new();
    let mut rest = text;
    while let Some(at) = rest.find(['"', '\'']) {
        let quote = &rest[at..=at];
        let Some(length) = rest[at + 1..].find(quote) else { break };
        found.push(&rest[at + 1..at + 1 + length]);
        rest = &rest[at + 2 + length..];
    }
    found
}

/// The lines of `specs:` with four spaces: `    rails (7.1.3)`.
pub(super) fn gemfile_lock(input: &Input<'_>, found: &mut Found<'_>) {
    let mut in_specs = false;
    for (number, line) in (1..).zip(input.text().lines()) {
        if !line.starts_with(' ') {
            in_specs = false;
        } else if line.trim() == "specs:" {
            in_specs = true;
        } else if in_specs
            && line.starts_with("    ")
            && !line.starts_with("     ")
            && let Some((name, version)) = line.trim().trim_end_matches(')').split_once(" (")
        {
            // `nokogiri (1.16.0-x86_64-linux)`
            let (version, platform) =
                version.split_once('-').map_or((version, None), |(version, rest)| (version, Some(rest)));
            if let Some(entry) = found.add(PackageKind::Gem, name, version, (Evidence::Declared, "gemfile-lock")) {
                entry.line = Some(number);
                entry.package.qualifiers.extend(platform.map(|platform| ("platform".to_owned(), clean(platform, 60))));
            }
        }
    }
}
