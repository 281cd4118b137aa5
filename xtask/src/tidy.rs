//! Checks that the code is built as ARCHITECTURE.md says.
//!
//! - an arrow between two of our crates must stand in the table of ARCHITECTURE.md, and every crate must have a row
//! - a heavy dependency has its owners and nobody else
//! - no Rust file is longer than [`MAX_LINES`]

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result, bail};
use drua_e2e::binary;
use serde_json::Value;

use crate::steps;

const MAX_LINES: usize = 900;

/// Dependencies that only their owners may name, by the beginning of their names.
const OWNERS: &[(&str, &[&str])] = &[
    ("wasmtime", &["drua-wasm"]),
    ("libcgroups", &["drua-runtime"]),
    ("hyper", &["drua-api", "drua-registry", "drua-server", "drua-wasm"]),
    ("rusqlite", &["drua-store", "drua-engine"]),
    ("clap", &["drua-cli"]),
];

type Arrows = BTreeMap<String, BTreeSet<String>>;

/// Runs every check and reports all that is wrong.
pub(crate) fn run() -> Result<()> {
    let root = binary::workspace();
    let document = fs_err::read_to_string(root.join("ARCHITECTURE.md"))?;
    let metadata = steps::capture("cargo", &["metadata", "--format-version", "1", "--no-deps"], root)?;
    let uses = dependencies(&serde_json::from_str(&metadata)?)?;
    let mut faults = check_arrows(&allowed(&document)?, &uses);
    faults.extend(check_owners(&uses));
    faults.extend(check_lengths(root)?);
    if faults.is_empty() {
        return Ok(());
    }
    bail!("the architecture is not tidy\n{}", faults.join("\n"))
}

/// The table of ARCHITECTURE.md: crate → crates that it may use.
fn allowed(document: &str) -> Result<Arrows> {
    let rows = document.lines().filter_map(|line| line.strip_prefix("| `")?.strip_suffix(" |"));
    let table: Arrows = rows
        .filter_map(|row| {
            let (name, rest) = row.split_once('`')?;
            let known = name == "drua" || name == "xtask" || name.starts_with("drua-");
            let (_, uses) = rest.rsplit_once('|')?;
            known.then(|| (name.to_owned(), uses.split_whitespace().map(full_name).collect()))
        })
        .collect();
    if table.is_empty() { bail!("ARCHITECTURE.md has no table of crates") } else { Ok(table) }
}

fn full_name(short: &str) -> String {
    format!("drua-{short}")
}

/// Crate → everything that its manifest names, dev-dependencies too.
fn dependencies(metadata: &Value) -> Result<Arrows> {
    let packages = metadata["packages"].as_array().context("`cargo metadata` lists no packages")?;
    let name = |value: &Value| value["name"].as_str().unwrap_or_default().to_owned();
    let of = |package: &Value| package["dependencies"].as_array().into_iter().flatten().map(name).collect();
    Ok(packages.iter().map(|package| (name(package), of(package))).collect())
}

fn check_arrows(allowed: &Arrows, uses: &Arrows) -> Vec<String> {
    let mut faults = Vec::new();
    for (package, dependencies) in uses {
        let Some(may_use) = allowed.get(package) else {
            faults.push(format!("`{package}` has no row in ARCHITECTURE.md"));
            continue;
        };
        let ours = dependencies.iter().filter(|dependency| uses.contains_key(*dependency));
        let wrong = ours.filter(|dependency| !may_use.contains(*dependency));
        faults.extend(wrong.map(|dependency| format!("`{package}` may not use `{dependency}`")));
    }
    faults
}

fn check_owners(uses: &Arrows) -> Vec<String> {
    let mut faults = Vec::new();
    for (package, dependencies) in uses {
        for dependency in dependencies {
            let rule = OWNERS.iter().find(|(heavy, _)| dependency.starts_with(heavy));
            if let Some((_, owners)) = rule.filter(|(_, owners)| !owners.contains(&package.as_str())) {
                faults.push(format!("`{package}` names `{dependency}`, which belongs to {}", owners.join(", ")));
            }
        }
    }
    faults
}

fn check_lengths(root: &Path) -> Result<Vec<String>> {
    let mut files = Vec::new();
    for top in ["crates", "xtask"] {
        rust_files(&root.join(top), &mut files)?;
    }
    let mut faults = Vec::new();
    for file in files {
        let lines = fs_err::read_to_string(&file)?.lines().count();
        if lines > MAX_LINES {
            let path = file.strip_prefix(root).unwrap_or(&file);
            faults.push(format!("`{}` has {lines} lines; split it below {MAX_LINES}", path.display()));
        }
    }
    Ok(faults)
}

fn rust_files(dir: &Path, found: &mut Vec<PathBuf>) -> Result<()> {
    for entry in fs_err::read_dir(dir)? {
        let path = entry?.path();
        if path.is_dir() {
            rust_files(&path, found)?;
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const DOCUMENT: &str = "| crate | job | may use |\n|---|---|---|\n\
        | `drua-types` | words | – |\n| `drua-api` | wire | types |\n| `xtask` | automation | – |\n";

    fn arrows(text: &[(&str, &[&str])]) -> Arrows {
        let set = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        text.iter().map(|(package, names)| ((*package).to_owned(), set(names))).collect()
    }

    #[test]
    fn arrows_of_the_table_are_allowed() {
        let uses = arrows(&[("drua-types", &["serde"]), ("drua-api", &["drua-types"])]);
        assert_eq!(check_arrows(&allowed(DOCUMENT).unwrap(), &uses), Vec::<String>::new());
    }

    #[test]
    fn other_arrows_and_unknown_crates_are_faults() {
        let uses = arrows(&[("drua-types", &["drua-api"]), ("drua-api", &[]), ("drua-new", &[])]);
        let faults = check_arrows(&allowed(DOCUMENT).unwrap(), &uses);
        assert_eq!(faults, ["`drua-new` has no row in ARCHITECTURE.md", "`drua-types` may not use `drua-api`"]);
    }

    #[test]
    fn heavy_dependencies_have_owners() {
        let uses = arrows(&[("drua-wasm", &["wasmtime-wasi"]), ("drua-engine", &["wasmtime"])]);
        assert_eq!(check_owners(&uses), ["`drua-engine` names `wasmtime`, which belongs to drua-wasm"]);
    }

    #[test]
    fn a_document_without_the_table_is_an_error() {
        assert!(allowed("# Architecture\n").is_err());
    }
}
