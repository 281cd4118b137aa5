//! Where the bytes of a module go: by section, and by the crate or library that code came from.

use std::collections::BTreeMap;

use wasmparser::{KnownCustom, Name, Parser, Payload};

/// How many bytes something takes.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Share {
    /// A section, or a crate.
    pub name: String,
    /// Its bytes.
    pub bytes: u64,
}

/// Sections by their names, the largest first; those of nested modules count into the same name.
pub(super) fn by_section(bytes: &[u8]) -> wasmparser::Result<Vec<Share>> {
    let mut sections: BTreeMap<String, u64> = BTreeMap::new();
    for payload in Parser::new(0).parse_all(bytes) {
        let payload = payload?;
        let name = match &payload {
            Payload::CodeSectionStart { .. } => "code".to_owned(),
            Payload::DataSection(_) => "data".to_owned(),
            Payload::TypeSection(_) | Payload::ComponentTypeSection(_) => "types".to_owned(),
            Payload::ImportSection(_) | Payload::ComponentImportSection(_) => "imports".to_owned(),
            Payload::ExportSection(_) | Payload::ComponentExportSection(_) => "exports".to_owned(),
            Payload::FunctionSection(_) | Payload::TableSection(_) | Payload::ElementSection(_) => "tables".to_owned(),
            Payload::CustomSection(custom) => format!("custom {}", custom.name()),
            // Nested ones are counted by their own sections.
            Payload::ModuleSection { .. } | Payload::ComponentSection { .. } => continue,
            _ => "other".to_owned(),
        };
        if let Some((_, range)) = payload.as_section() {
            *sections.entry(name).or_default() += (range.end - range.start) as u64;
        }
    }
    Ok(largest_first(sections))
}

/// Machine-independent code by the crate it came from, as far as the name section says.
pub(super) fn by_crate(bytes: &[u8]) -> wasmparser::Result<Vec<Share>> {
    let mut crates: BTreeMap<String, u64> = BTreeMap::new();
    // One module at a time: the name section comes after the code.
    let (mut bodies, mut imported, mut names) = (Vec::new(), 0u32, BTreeMap::new());
    for payload in Parser::new(0).parse_all(bytes) {
        match payload? {
            Payload::ImportSection(section) => {
                for import in section.into_imports() {
                    imported += u32::from(matches!(import?.ty, wasmparser::TypeRef::Func(_)));
                }
            }
            Payload::CodeSectionEntry(body) => bodies.push((body.range().end - body.range().start) as u64),
            Payload::CustomSection(custom) => {
                if let KnownCustom::Name(section) = custom.as_known() {
                    for name in section.into_iter().flatten() {
                        if let Name::Function(map) = name {
                            names.extend(map.into_iter().flatten().map(|naming| (naming.index, naming.name)));
                        }
                    }
                }
            }
            Payload::End(_) => {
                for (index, size) in (imported..).zip(bodies.drain(..)) {
                    let name = names.get(&index).map_or("(unnamed)".to_owned(), |name| owner(name));
                    *crates.entry(name).or_default() += size;
                }
                (imported, names) = (0, BTreeMap::new());
            }
            _ => {}
        }
    }
    Ok(largest_first(crates))
}

/// The crate of a Rust symbol; what is not Rust is called by its language's library where that can be told.
fn owner(symbol: &str) -> String {
    let demangled = rustc_demangle::demangle(symbol).to_string();
    let path = demangled.trim_start_matches(['<', '&', '(', '[', '*']).trim_start_matches("dyn ");
    match path.split_once("::") {
        Some((first, _)) if first.chars().all(|c| c.is_alphanumeric() || c == '_') => first.to_owned(),
        _ => match symbol.split_once(['.', '/']) {
            Some((package, _)) if symbol.contains('.') && !package.is_empty() => package.to_owned(),
            _ => "C and others".to_owned(),
        },
    }
}

fn largest_first(shares: BTreeMap<String, u64>) -> Vec<Share> {
    let mut list: Vec<Share> = shares.into_iter().map(|(name, bytes)| Share { name, bytes }).collect();
    list.sort_by_key(|share| std::cmp::Reverse(share.bytes));
    list
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn owners() {
        assert_eq!(owner("_ZN4core3fmt5write17h0123456789abcdefE"), "core");
        assert_eq!(owner("runtime.mallocgc"), "runtime");
        assert_eq!(owner("__stdio_write"), "C and others");
    }
}
