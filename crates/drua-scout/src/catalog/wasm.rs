//! WebAssembly: modules and components, nested ones too. Producers, wasm-metadata's sections (version, licences, source …),
//! cargo-auditable's crates, and the interfaces that a component asks for: what it can do.

use std::collections::BTreeMap;

use wasmparser::{Encoding, Parser, Payload, ProducersSectionReader, TypeRef};

use super::{Found, Input};
use crate::facts::FoundPackage;
use crate::model::{Evidence, Package, PackageKind, RelationKind};
use crate::text::clean;

const FOUND_BY: &str = "wasm";

/// A module or component within the file.
#[derive(Default)]
struct Unit {
    is_component: bool,
    /// `0`, `0.2`: its place in the tree; empty for the file itself.
    place: String,
    name: String,
    texts: BTreeMap<&'static str, String>,
    tools: Vec<(String, String, String)>,
    imports: Vec<String>,
    exports: Vec<String>,
    audits: Vec<Vec<u8>>,
    parent: Option<usize>,
    children: usize,
}

/// Adds the tree of a Wasm file.
pub(super) fn wasm(input: &Input<'_>, found: &mut Found<'_>) {
    match units(input.bytes, found) {
        Ok(units) => push_units(&units, input.file_name(), found),
        Err(error) => found.unreadable(&error),
    }
}

fn units(bytes: &[u8], found: &mut Found<'_>) -> Result<Vec<Unit>, String> {
    let mut units: Vec<Unit> = Vec::new();
    let mut open: Vec<usize> = Vec::new();
    for payload in Parser::new(0).parse_all(bytes) {
        let payload = payload.map_err(|error| clean(error.message(), 200))?;
        match payload {
            Payload::Version { encoding, .. } => {
                if open.len() > found.limits.depth * 4 || units.len() > 10_000 {
                    return Err("it holds too many modules".to_owned());
                }
                let parent = open.last().copied();
                let place = parent.map(|parent| {
                    let unit = &mut units[parent];
                    unit.children += 1;
                    let number = unit.children - 1;
                    if unit.place.is_empty() { number.to_string() } else { format!("{}.{number}", unit.place) }
                });
                open.push(units.len());
                let is_component = encoding == Encoding::Component;
                units.push(Unit { is_component, parent, place: place.unwrap_or_default(), ..Unit::default() });
            }
            Payload::End(_) => {
                open.pop();
            }
            Payload::ImportSection(reader) => {
                let Some(unit) = open.last().and_then(|place| units.get_mut(*place)) else { continue };
                for import in reader.into_imports() {
                    let import = import.map_err(|error| clean(error.message(), 200))?;
                    // Globals and memories are plumbing between modules.
                    if matches!(import.ty, TypeRef::Func(_)) {
                        unit.import(import.module);
                    }
                }
            }
            Payload::ComponentImportSection(reader) => {
                let Some(unit) = open.last().and_then(|place| units.get_mut(*place)) else { continue };
                for import in reader {
                    unit.import(import.map_err(|error| clean(error.message(), 200))?.name.name);
                }
            }
            Payload::ComponentExportSection(reader) => {
                let Some(unit) = open.last().and_then(|place| units.get_mut(*place)) else { continue };
                for export in reader {
                    let name = clean(export.map_err(|error| clean(error.message(), 200))?.name.name, 200);
                    if name.contains(':') && unit.exports.len() < 1000 {
                        unit.exports.push(name);
                    }
                }
            }
            Payload::CustomSection(section) => {
                let Some(unit) = open.last().and_then(|place| units.get_mut(*place)) else { continue };
                unit.custom(section.name(), section.data(), section.data_offset());
            }
            _ => {}
        }
    }
    Ok(units)
}

impl Unit {
    fn import(&mut self, name: &str) {
        let name = clean(name, 200);
        if self.imports.len() < 1000 && !name.is_empty() && !self.imports.contains(&name) {
            self.imports.push(name);
        }
    }

    fn custom(&mut self, name: &str, data: &[u8], offset: usize) {
        let text = || clean(&String::from_utf8_lossy(data), 500);
        match name {
            "producers" => self.producers(data, offset),
            ".dep-v0" => self.audits.push(data.to_vec()),
            "version" => drop(self.texts.insert("version", text())),
            "description" => drop(self.texts.insert("description", text())),
            "authors" => drop(self.texts.insert("authors", text())),
            "licenses" => drop(self.texts.insert("licenses", text())),
            "source" => drop(self.texts.insert("source", text())),
            "homepage" => drop(self.texts.insert("homepage", text())),
            "revision" => drop(self.texts.insert("revision", text())),
            // The first subsection (0) of either is the name.
            "name" | "component-name" => self.name = first_name(data).map(|name| clean(name, 200)).unwrap_or_default(),
            _ => {}
        }
    }

    fn producers(&mut self, data: &[u8], offset: usize) {
        let reader = wasmparser::BinaryReader::new(data, offset);
        let Ok(fields) = ProducersSectionReader::new(reader) else { return };
        for field in fields.into_iter().flatten() {
            for value in field.values.into_iter().flatten().take(100) {
                self.tools.push((clean(field.name, 40), clean(value.name, 100), clean(value.version, 100)));
            }
        }
    }
}

/// Subsection 0: id, size, then a name with its length, all LEB128.
fn first_name(data: &[u8]) -> Option<&str> {
    let mut reader = wasmparser::BinaryReader::new(data, 0);
    (reader.read_u8().ok()? == 0).then_some(())?;
    reader.read_var_u32().ok()?;
    reader.read_string().ok()
}

fn push_units(units: &[Unit], file_name: &str, found: &mut Found<'_>) {
    let begin = found.packages.len();
    for unit in units {
        if found.push(package_of(unit, file_name)).is_none() {
            // Relations count on every unit having its place.
            return;
        }
    }
    for (number, unit) in units.iter().enumerate() {
        let own = begin + number;
        if let Some(parent) = unit.parent {
            found.packages[begin + parent].relations.push((RelationKind::Contains, own));
        }
        let before = found.packages.len();
        for audit in &unit.audits {
            super::rust::auditable(audit, &unit.place, found);
        }
        let crates = (before..found.packages.len()).map(|place| (RelationKind::Contains, place)).collect::<Vec<_>>();
        found.packages[own].relations.extend(crates);
        push_interfaces(unit, own, found);
    }
}

fn package_of(unit: &Unit, file_name: &str) -> FoundPackage {
    let stem = file_name.trim_end_matches(".cwasm").trim_end_matches(".wasm");
    let own_name: String = unit.name.split_whitespace().collect::<Vec<_>>().join("-");
    let name = match (own_name.is_empty(), unit.place.is_empty()) {
        (false, _) => own_name.trim_end_matches(".wasm").to_owned(),
        (true, true) => stem.split_whitespace().collect::<Vec<_>>().join("-"),
        (true, false) => format!("{stem}#{}", unit.place).split_whitespace().collect::<Vec<_>>().join("-"),
    };
    let version =
        unit.texts.get("version").filter(|version| crate::text::is_name(version)).cloned().unwrap_or_default();
    let mut package = Package::new(PackageKind::Wasm, &name, &version, Evidence::Embedded, FOUND_BY);
    package.licenses = unit.texts.get("licenses").into_iter().cloned().collect();
    package.vendor = unit.texts.get("authors").cloned();
    for name in ["description", "source", "homepage", "revision"] {
        if let Some(text) = unit.texts.get(name) {
            package.details.insert(name.to_owned(), text.clone());
        }
    }
    let kind = if unit.is_component { "component" } else { "module" };
    package.details.insert("wasm.kind".to_owned(), kind.to_owned());
    for field in ["language", "processed-by", "sdk"] {
        let tools: Vec<String> = unit
            .tools
            .iter()
            .filter(|(of, _, _)| of == field)
            .map(|(_, name, version)| if version.is_empty() { name.clone() } else { format!("{name} {version}") })
            .collect();
        if !tools.is_empty() {
            package.details.insert(format!("wasm.{field}"), tools.join(", "));
        }
    }
    if !unit.imports.is_empty() {
        package.details.insert("wasm.imports".to_owned(), unit.imports.join(", "));
        let capabilities = capabilities(&unit.imports);
        if !capabilities.is_empty() {
            package.details.insert("wasm.capabilities".to_owned(), capabilities.join(", "));
        }
    }
    if !unit.exports.is_empty() {
        package.details.insert("wasm.exports".to_owned(), unit.exports.join(", "));
    }
    FoundPackage { inside: unit.place.clone(), ..FoundPackage::new(package) }
}

/// What imports let a program do, in words.
fn capabilities(imports: &[String]) -> Vec<&'static str> {
    const KNOWN: [(&str, &str); 12] = [
        ("wasi:filesystem/", "files"),
        ("wasi:sockets/", "network sockets"),
        ("wasi:http/outgoing-handler", "outgoing HTTP"),
        ("wasi:http/client", "outgoing HTTP"),
        ("wasi:cli/environment", "environment variables"),
        ("wasi:clocks/", "clocks"),
        ("wasi:random/", "random numbers"),
        ("wasi:keyvalue/", "key-value stores"),
        ("wasi:config/", "configuration"),
        ("wasi:nn/", "machine learning"),
        ("wasi_snapshot_preview1", "WASI preview 1"),
        ("wasi_ephemeral_nn", "machine learning"),
    ];
    let mut found: Vec<&str> = Vec::new();
    for (prefix, capability) in KNOWN {
        if imports.iter().any(|import| import.starts_with(prefix)) && !found.contains(&capability) {
            found.push(capability);
        }
    }
    found
}

/// Interfaces with a version (`wasi:http/types@0.2.3`) are dependencies like others: the host has to offer them.
fn push_interfaces(unit: &Unit, own: usize, found: &mut Found<'_>) {
    if !unit.is_component || unit.parent.is_some() {
        return;
    }
    for import in &unit.imports {
        let Some((name, version)) = import.split_once('@') else { continue };
        let mut package = Package::new(PackageKind::Wasm, name, version, Evidence::Embedded, FOUND_BY);
        package.details.insert("wasm.kind".to_owned(), "interface".to_owned());
        if found.push(FoundPackage { inside: unit.place.clone(), ..FoundPackage::new(package) }).is_some() {
            let place = found.packages.len() - 1;
            found.packages[own].relations.push((RelationKind::DependsOn, place));
        }
    }
}
