//! Java: archives of classes, nested ones too (`pom.properties`, `MANIFEST.MF`, else the file's name), `pom.xml`,
//! Gradle's lock file, and the `release` file of a runtime.

use std::collections::BTreeMap;

use super::zip::Archive;
use super::{Found, Input};
use crate::facts::FoundPackage;
use crate::interest::{self, Interest, file_name};
use crate::model::{Evidence, Package, PackageKind, RelationKind};
use crate::text::clean;

const FOUND_BY: &str = "java-archive";

/// A jar, war or ear, and every archive inside it.
pub(crate) fn archive(input: &Input<'_>, found: &mut Found<'_>) {
    // Without a central directory it may be a stub or a text that is named like an archive.
    if input.bytes.starts_with(b"PK") {
        nested(input.bytes, input.file_name(), "", 0, found);
    }
}

/// Returns the place of the archive's own package.
fn nested(bytes: &[u8], name: &str, inside: &str, depth: usize, found: &mut Found<'_>) -> Option<usize> {
    let archive = match Archive::open(bytes, found.limits.parts) {
        Ok(archive) => archive,
        Err(reason) => {
            found.incomplete(format!("{}{reason}", at(inside)));
            return None;
        }
    };
    let parts = own_parts(&archive, inside, found);
    let begin = found.packages.len();
    let stem = name.rsplit_once('.').map_or(name, |(stem, _)| stem);
    for pom in &parts.poms {
        push_pom(pom, &parts, inside, found);
    }
    // Shaded jars hold the properties of all that was merged into them; the jar itself is the one named like the file.
    let own = (begin..found.packages.len()).find(|place| {
        let artifact = found.packages[*place].package.name.rsplit(':').next().unwrap_or_default().to_owned();
        stem.starts_with(&artifact)
    });
    let own = own.or_else(|| {
        if parts.poms.is_empty() {
            push_by_manifest(stem, &parts, inside, found)
        } else {
            (begin < found.packages.len()).then_some(begin)
        }
    });
    if let Some(own) = own {
        let merged = (begin..found.packages.len()).filter(|place| *place != own);
        let relations: Vec<_> = merged.map(|place| (RelationKind::Contains, place)).collect();
        found.packages[own].relations.extend(relations);
    }
    for entry in
        archive.entries.iter().filter(|entry| matches!(interest::of(&format!("/{}", entry.name)), Interest::Archive))
    {
        let inner = format!("{inside}{}{}", if inside.is_empty() { "" } else { "!" }, clean(&entry.name, 300));
        if depth + 1 >= found.limits.depth {
            found.incomplete(format!("{}archives are nested more than {} deep", at(&inner), found.limits.depth));
            continue;
        }
        let content = archive.read(entry, &mut found.inflatable);
        match content {
            Ok(content) => {
                if let (Some(child), Some(own)) =
                    (nested(&content, file_name(&entry.name), &inner, depth + 1, found), own)
                {
                    found.packages[own].relations.push((RelationKind::Contains, child));
                }
            }
            Err(reason) => found.incomplete(format!("{}{reason}", at(&inner))),
        }
    }
    own
}

fn at(inside: &str) -> String {
    if inside.is_empty() { String::new() } else { format!("`{inside}`: ") }
}

/// What an archive says about itself.
#[derive(Default)]
struct Parts {
    manifest: BTreeMap<String, String>,
    poms: Vec<BTreeMap<String, String>>,
    /// Licences by `pom.xml`.
    licenses: Vec<String>,
}

fn own_parts(archive: &Archive<'_>, inside: &str, found: &mut Found<'_>) -> Parts {
    let mut parts = Parts::default();
    for entry in &archive.entries {
        let is_manifest = entry.name.eq_ignore_ascii_case("META-INF/MANIFEST.MF");
        let is_pom = entry.name.starts_with("META-INF/maven/") && entry.name.ends_with("/pom.properties");
        let is_xml = entry.name.starts_with("META-INF/maven/") && entry.name.ends_with("/pom.xml");
        // Texts of a few kilobytes; a megabyte is an attack.
        if !(is_manifest || is_pom || is_xml) || entry.size > 1 << 20 || parts.poms.len() > 1000 {
            continue;
        }
        let content = match archive.read(entry, &mut found.inflatable) {
            Ok(content) => content,
            Err(reason) => {
                found.incomplete(format!("{}`{}`: {reason}", at(inside), clean(&entry.name, 200)));
                continue;
            }
        };
        let text = String::from_utf8_lossy(&content);
        if is_manifest {
            parts.manifest = manifest(&text);
        } else if is_pom {
            parts.poms.push(properties(&text));
        } else if parts.licenses.is_empty() {
            parts.licenses = pom_licenses(&text);
        }
    }
    parts
}

fn push_pom(pom: &BTreeMap<String, String>, parts: &Parts, inside: &str, found: &mut Found<'_>) {
    let (Some(group), Some(artifact)) = (pom.get("groupId"), pom.get("artifactId")) else { return };
    let version = pom.get("version").map_or("", String::as_str);
    let mut package =
        Package::new(PackageKind::Maven, &format!("{group}:{artifact}"), version, Evidence::Installed, FOUND_BY);
    if parts.poms.len() == 1 {
        package.licenses.clone_from(&parts.licenses);
        package.vendor = parts.manifest.get("Implementation-Vendor").cloned();
    }
    found.push(FoundPackage { inside: inside.to_owned(), ..FoundPackage::new(package) });
}

/// From the manifest's names, and where it is silent from the file's: `commons-io-2.11.0`.
fn push_by_manifest(stem: &str, parts: &Parts, inside: &str, found: &mut Found<'_>) -> Option<usize> {
    let manifest = |names: &[&str]| names.iter().find_map(|name| parts.manifest.get(*name)).map(String::as_str);
    let (file_artifact, file_version) = split_stem(stem);
    let version = file_version
        .or_else(|| manifest(&["Implementation-Version", "Bundle-Version", "Specification-Version"]))
        .map(|version| version.split_whitespace().next().unwrap_or_default())
        .unwrap_or_default();
    if version.is_empty() && parts.manifest.is_empty() {
        return None;
    }
    let symbolic =
        manifest(&["Bundle-SymbolicName", "Automatic-Module-Name"]).map(|name| name.split(';').next().unwrap_or(name));
    let group = manifest(&["Implementation-Vendor-Id"])
        .filter(|group| group.contains('.') && !group.contains(' '))
        .or_else(|| {
            symbolic
                .filter(|name| name.contains('.'))
                .map(|name| name.rsplit_once('.').map_or(name, |(group, _)| group))
        });
    let name = match group {
        Some(group) => format!("{group}:{file_artifact}"),
        None => file_artifact.to_owned(),
    };
    let mut package = Package::new(PackageKind::Maven, &name, version, Evidence::Installed, FOUND_BY);
    package.licenses = manifest(&["Bundle-License"]).map(|license| clean(license, 200)).into_iter().collect();
    package.vendor = manifest(&["Implementation-Vendor", "Bundle-Vendor"]).map(|vendor| clean(vendor, 200));
    found.push(FoundPackage { inside: inside.to_owned(), ..FoundPackage::new(package) })?;
    Some(found.packages.len() - 1)
}

/// `log4j-core-2.14.1` → `log4j-core`, `2.14.1`.
fn split_stem(stem: &str) -> (&str, Option<&str>) {
    let number = |at: &usize| stem[at + 1..].starts_with(|c: char| c.is_ascii_digit());
    match stem.match_indices('-').map(|(at, _)| at).find(number) {
        Some(at) => (&stem[..at], Some(&stem[at + 1..])),
        None => (stem, None),
    }
}

/// `Name: value`, continued by lines that begin with a space; the main section only.
fn manifest(text: &str) -> BTreeMap<String, String> {
    let mut entries: Vec<(String, String)> = Vec::new();
    for line in text.lines().take_while(|line| !line.trim().is_empty()) {
        if let Some(more) = line.strip_prefix(' ') {
            if let Some((_, value)) = entries.last_mut() {
                value.push_str(more);
            }
        } else if let Some((key, value)) = line.split_once(':') {
            entries.push((key.to_owned(), value.trim().to_owned()));
        }
    }
    entries.into_iter().map(|(key, value)| (key, clean(&value, 500))).filter(|(_, value)| !value.is_empty()).collect()
}

fn properties(text: &str) -> BTreeMap<String, String> {
    let lines = text.lines().filter(|line| !line.starts_with(['#', '!']));
    lines
        .filter_map(|line| line.split_once('='))
        .map(|(key, value)| (key.trim().to_owned(), clean(value, 300)))
        .collect()
}

fn pom_licenses(xml: &str) -> Vec<String> {
    let Some((_, rest)) = xml.split_once("<licenses>") else { return Vec::new() };
    let (block, _) = rest.split_once("</licenses>").unwrap_or((rest, ""));
    elements(block, "name").map(|name| clean(name, 200)).take(20).collect()
}

/// The texts of all elements of a name, which must not nest.
fn elements<'a>(xml: &'a str, name: &str) -> impl Iterator<Item = &'a str> {
    let (open, close) = (format!("<{name}>"), format!("</{name}>"));
    let mut rest = xml;
    std::iter::from_fn(move || {
        let (_, after) = rest.split_once(&open)?;
        let (text, after) = after.split_once(&close)?;
        rest = after;
        Some(text.trim())
    })
}

/// Dependencies with a literal version, or one of the file's own properties.
pub(super) fn pom_xml(input: &Input<'_>, found: &mut Found<'_>) {
    let text = input.text();
    let resolve = |value: &str| match value.strip_prefix("${").and_then(|rest| rest.strip_suffix('}')) {
        Some(name) => elements(&text, name).next().map(str::to_owned),
        None => Some(value.to_owned()),
    };
    for dependency in elements(&text, "dependency") {
        let one = |name: &str| elements(dependency, name).next().and_then(resolve);
        if let (Some(group), Some(artifact), Some(version)) = (one("groupId"), one("artifactId"), one("version")) {
            let scope = one("scope").filter(|scope| scope == "test" || scope == "provided");
            let name = format!("{group}:{artifact}");
            if let Some(entry) = found.add(PackageKind::Maven, &name, &version, (Evidence::Declared, "pom")) {
                entry.package.details.extend(scope.map(|scope| ("scope".to_owned(), scope)));
            }
        }
    }
}

/// `group:artifact:version=configurations`.
pub(super) fn gradle_lock(input: &Input<'_>, found: &mut Found<'_>) {
    for (number, line) in (1..).zip(input.text().lines()) {
        let Some((id, _)) = line.split_once('=') else { continue };
        if let Some((name, version)) = id.rsplit_once(':')
            && name.contains(':')
            && let Some(entry) = found.add(PackageKind::Maven, name, version, (Evidence::Declared, "gradle-lock"))
        {
            entry.line = Some(number);
        }
    }
}

/// `JAVA_VERSION="17.0.9"`, `IMPLEMENTOR="Eclipse Adoptium"`.
pub(super) fn release(input: &Input<'_>, found: &mut Found<'_>) {
    let text = input.text();
    let value = |name: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('='))?;
        Some(clean(line.trim_matches('"'), 120))
    };
    let Some(version) = value("JAVA_RUNTIME_VERSION").or_else(|| value("JAVA_VERSION")) else { return };
    let vendor = value("IMPLEMENTOR").unwrap_or_default();
    let name = if vendor.contains("Oracle") { "jdk" } else { "openjdk" };
    if let Some(entry) = found.add(PackageKind::Generic, name, &version, (Evidence::Installed, "java-runtime")) {
        let plain = version.split('+').next().unwrap_or(&version);
        entry.package.cpes.push(format!("cpe:2.3:a:oracle:{name}:{plain}:*:*:*:*:*:*:*"));
        entry.package.vendor = Some(vendor).filter(|vendor| !vendor.is_empty());
    }
}
