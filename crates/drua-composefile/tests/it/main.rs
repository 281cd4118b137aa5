//! Whole files in, projects or errors out: one folder a case under `fixtures/` and `fixtures/negative/`.
//!
//! A case has `compose.yaml`, `expected.json` (the project) or `expected.txt` (every finding as it is rendered), and what
//! other files it needs. `UPDATE=1` rewrites the expectations; review the diff.

#![allow(clippy::unwrap_used, reason = "helpers of tests panic as tests do")]

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use drua_composefile::{Diagnostic, Disk, Loader, Request, load};

/// Serves a case's folder as `/home/me/<case>`, so that expectations name no path of this machine.
struct Rooted {
    folder: PathBuf,
    seen_as: PathBuf,
}

impl Loader for Rooted {
    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        let relative = path.strip_prefix(&self.seen_as).map_err(|_| io::Error::from(io::ErrorKind::NotFound))?;
        // The real error names the real path.
        Disk.read(&self.folder.join(relative)).map_err(|error| error.kind().into())
    }
}

fn cases(folder: &str) -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
    let mut cases: Vec<PathBuf> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.join("compose.yaml").exists())
        .collect();
    cases.sort();
    assert!(!cases.is_empty());
    cases
}

fn load_case(folder: &Path) -> Result<drua_composefile::Loaded, drua_composefile::LoadError> {
    let seen_as = Path::new("/home/me").join(folder.file_name().unwrap());
    let environment = [("HOME", "/home/me"), ("FROM_SHELL", "shell"), ("TAG", "1.2")];
    let request = Request {
        files: vec![seen_as.join("compose.yaml")],
        project_dir: seen_as.clone(),
        environment: environment.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect::<BTreeMap<_, _>>(),
        ..Request::default()
    };
    load(&request, &Rooted { folder: folder.to_owned(), seen_as })
}

fn render(diagnostics: &[Diagnostic]) -> String {
    let rendered: Vec<String> = diagnostics.iter().map(|found| format!("{:?}: {found}\n", found.severity)).collect();
    rendered.join("\n")
}

/// Compares with, or rewrites, one expectation. An empty one is no file.
fn check(path: &Path, actual: &str, failures: &mut Vec<String>) {
    if std::env::var_os("UPDATE").is_some() {
        if actual.is_empty() {
            let _ = std::fs::remove_file(path);
        } else {
            std::fs::write(path, actual).unwrap();
        }
    }
    let expected = std::fs::read_to_string(path).unwrap_or_default();
    if expected != actual {
        failures.push(format!("{}\n--- expected\n{expected}\n--- actual\n{actual}", path.display()));
    }
}

#[test]
fn projects() {
    let mut failures = Vec::new();
    for case in cases("fixtures") {
        match load_case(&case) {
            Ok(loaded) => {
                let json = serde_json::to_string_pretty(&loaded.project).unwrap() + "\n";
                check(&case.join("expected.json"), &json, &mut failures);
                check(&case.join("warnings.txt"), &render(&loaded.warnings), &mut failures);
            }
            Err(error) => failures.push(format!("{}\n{error}", case.display())),
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n\n"));
}

#[test]
fn mistakes() {
    let mut failures = Vec::new();
    for case in cases("fixtures/negative") {
        match load_case(&case) {
            Ok(_) => failures.push(format!("{}: loaded", case.display())),
            Err(error) => check(&case.join("expected.txt"), &render(&error.diagnostics), &mut failures),
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n\n"));
}
