//! `drua wasm inspect`: what a module is, wants and gives.

use std::collections::BTreeMap;

use drua_types::wasm::Magic;
use serde::Serialize;
use wasmparser::{ComponentName, Encoding, KnownCustom, Name, Parser, Payload};

use super::size::{Share, by_crate, by_section};
use super::{ToolError, capabilities};

/// How deep components may be nested before we stop looking.
const MAX_DEPTH: usize = 32;

/// Everything that [`inspect`] finds.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Inspection {
    /// `core module` or `component`.
    pub kind: &'static str,
    /// Its length in bytes.
    pub bytes: u64,
    /// What it may do, each with the imports that let it.
    pub capabilities: BTreeMap<&'static str, Vec<String>>,
    /// Its imports, in order.
    pub imports: Vec<String>,
    /// Its exports, in order.
    pub exports: Vec<String>,
    /// What made it: language, tools, SDK.
    pub producers: Vec<String>,
    /// The modules and components in it.
    pub tree: Option<Part>,
    /// Bytes by section.
    pub sections: Vec<Share>,
    /// Bytes of code by crate.
    pub crates: Vec<Share>,
}

/// A module or component within a component.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Part {
    /// Its name, where it has one.
    pub name: String,
    /// `core module` or `component`.
    pub kind: &'static str,
    /// Its length in bytes.
    pub bytes: u64,
    /// What is in it.
    pub parts: Vec<Part>,
}

/// Looks into a module or component.
///
/// # Errors
/// It is not valid where it was looked at.
pub fn inspect(bytes: &[u8]) -> Result<Inspection, ToolError> {
    let invalid = |error: wasmparser::BinaryReaderError| ToolError::Invalid(error.to_string().replace('\n', " "));
    let component = Magic::of(bytes) == Magic::Component;
    let (imports, exports) = interface(bytes).map_err(invalid)?;
    let mut capabilities: BTreeMap<&'static str, Vec<String>> = BTreeMap::new();
    for (module, function) in &imports {
        let what = capabilities::of(module, function.as_deref());
        capabilities.entry(what).or_default().push(word(module, function.as_deref()));
    }
    let (tree, producers) = tree(bytes).map_err(invalid)?;
    Ok(Inspection {
        kind: if component { "component" } else { "core module" },
        bytes: bytes.len() as u64,
        capabilities,
        imports: imports.iter().map(|(module, function)| word(module, function.as_deref())).collect(),
        exports,
        producers,
        tree: tree.filter(|_| component),
        sections: by_section(bytes).map_err(invalid)?,
        crates: by_crate(bytes).map_err(invalid)?,
    })
}

fn word(module: &str, function: Option<&str>) -> String {
    function.map_or_else(|| module.to_owned(), |function| format!("{module} {function}"))
}

type Interface = (Vec<(String, Option<String>)>, Vec<String>);

/// The imports and exports of the outermost module or component.
fn interface(bytes: &[u8]) -> wasmparser::Result<Interface> {
    let (mut imports, mut exports) = (Vec::new(), Vec::new());
    let mut depth = 0;
    for payload in Parser::new(0).parse_all(bytes) {
        match payload? {
            Payload::ModuleSection { .. } | Payload::ComponentSection { .. } => depth += 1,
            Payload::End(_) => depth -= 1,
            _ if depth > 0 => {}
            Payload::ImportSection(section) => {
                for import in section.into_imports() {
                    let import = import?;
                    imports.push((import.module.to_owned(), Some(import.name.to_owned())));
                }
            }
            Payload::ExportSection(section) => {
                for export in section {
                    exports.push(export?.name.to_owned());
                }
            }
            Payload::ComponentImportSection(section) => {
                for import in section {
                    imports.push((import?.name.name.to_owned(), None));
                }
            }
            Payload::ComponentExportSection(section) => {
                for export in section {
                    exports.push(export?.name.name.to_owned());
                }
            }
            _ => {}
        }
    }
    Ok((imports, exports))
}

/// The tree of modules and components, and who made them.
fn tree(bytes: &[u8]) -> wasmparser::Result<(Option<Part>, Vec<String>)> {
    let (mut producers, mut open, mut root): (_, Vec<Part>, _) = (Vec::new(), Vec::new(), None);
    let mut next = bytes.len() as u64;
    for payload in Parser::new(0).parse_all(bytes) {
        match payload? {
            Payload::Version { encoding, .. } => {
                let kind = match encoding {
                    Encoding::Module => "core module",
                    Encoding::Component => "component",
                };
                open.push(Part { name: String::new(), kind, bytes: next, parts: Vec::new() });
            }
            Payload::ModuleSection { unchecked_range: range, .. }
            | Payload::ComponentSection { unchecked_range: range, .. } => next = (range.end - range.start) as u64,
            Payload::CustomSection(custom) => match custom.as_known() {
                KnownCustom::Producers(fields) => {
                    for field in fields.into_iter().flatten() {
                        for value in field.values.into_iter().flatten() {
                            let line =
                                format!("{}: {} {}", field.name, value.name, value.version).trim_end().to_owned();
                            if !producers.contains(&line) {
                                producers.push(line);
                            }
                        }
                    }
                }
                KnownCustom::Name(names) => {
                    for name in names.into_iter().flatten() {
                        if let (Name::Module { name, .. }, Some(part)) = (name, open.last_mut()) {
                            part.name = name.to_owned();
                        }
                    }
                }
                KnownCustom::ComponentName(names) => {
                    for name in names.into_iter().flatten() {
                        if let (ComponentName::Component { name, .. }, Some(part)) = (name, open.last_mut()) {
                            part.name = name.to_owned();
                        }
                    }
                }
                _ => {}
            },
            Payload::End(_) => {
                let Some(done) = open.pop() else { continue };
                let depth = open.len();
                match open.last_mut() {
                    Some(parent) if depth < MAX_DEPTH => parent.parts.push(done),
                    Some(_) => {}
                    None => root = Some(done),
                }
            }
            _ => {}
        }
    }
    Ok((root, producers))
}
