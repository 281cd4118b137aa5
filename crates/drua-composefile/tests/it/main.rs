//! Whole files in, projects or errors out: one folder a case under `fixtures/` and `fixtures/negative/`.
//!
//! A case has `compose.yaml`, or other files that `args.txt` names as the command line does. What is expected of it:
//! `expected.yaml` and `expected.json`, both printed by Docker Compose itself (`docker compose config` in
//! `/home/me/<case>`; drua-e2e checks that against the real program), and `warnings.txt`; or `expected.txt`, every finding as
//! it is rendered. `UPDATE=1` rewrites the last two; review the diff.

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
        .filter(|path| path.join("compose.yaml").exists() || path.join("args.txt").exists())
        .collect();
    cases.sort();
    assert!(!cases.is_empty());
    cases
}

fn load_case(folder: &Path) -> Result<drua_composefile::Loaded, drua_composefile::LoadError> {
    let seen_as = Path::new("/home/me").join(folder.file_name().unwrap());
    let environment = [("HOME", "/home/me"), ("FROM_SHELL", "shell"), ("TAG", "1.2"), ("TOKEN", "secret-token")];
    let mut request = Request {
        project_dir: seen_as.clone(),
        environment: environment.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect::<BTreeMap<_, _>>(),
        ..Request::default()
    };
    let args = std::fs::read_to_string(folder.join("args.txt")).unwrap_or_default();
    let mut words = args.split_whitespace();
    while let Some(option) = words.next() {
        let value = words.next().unwrap();
        match option {
            "-f" => request.files.push(seen_as.join(value)),
            "-p" => request.project_name = Some(value.to_owned()),
            "--profile" => request.profiles.push(value.to_owned()),
            "--env-file" => request.env_files.push(seen_as.join(value)),
            other => panic!("{other} in args.txt"),
        }
    }
    if request.files.is_empty() {
        request.files.push(seen_as.join("compose.yaml"));
    }
    load(&request, &Rooted { folder: folder.to_owned(), seen_as })
}

fn render(diagnostics: &[Diagnostic]) -> String {
    let rendered: Vec<String> = diagnostics.iter().map(|found| format!("{:?}: {found}\n", found.severity)).collect();
    rendered.join("\n")
}

/// Compares with an expectation, the first lines that differ being shown. An empty one is no file.
fn check(path: &Path, actual: &str, failures: &mut Vec<String>) {
    let expected = std::fs::read_to_string(path).unwrap_or_default();
    if expected != actual {
        let differ = expected.lines().zip(actual.lines()).position(|(left, right)| left != right);
        let at = differ.unwrap_or_else(|| expected.lines().count().min(actual.lines().count()));
        let lines = |text: &str| text.lines().skip(at.saturating_sub(3)).take(9).collect::<Vec<_>>().join("\n");
        failures.push(format!(
            "{} line {}\n--- expected\n{}\n--- actual\n{}",
            path.display(),
            at + 1,
            lines(&expected),
            lines(actual)
        ));
    }
}

/// Rewrites an expectation that is ours to make.
fn update(path: &Path, actual: &str) {
    if std::env::var_os("UPDATE").is_none() {
        return;
    }
    if actual.is_empty() {
        let _ = std::fs::remove_file(path);
    } else {
        std::fs::write(path, actual).unwrap();
    }
}

#[test]
fn projects() {
    let mut failures = Vec::new();
    for case in cases("fixtures") {
        match load_case(&case) {
            Ok(loaded) => {
                check(&case.join("expected.yaml"), &loaded.project.to_yaml(), &mut failures);
                check(&case.join("expected.json"), &loaded.project.to_json(), &mut failures);
                let warnings = render(&loaded.warnings);
                update(&case.join("warnings.txt"), &warnings);
                check(&case.join("warnings.txt"), &warnings, &mut failures);
            }
            Err(error) => failures.push(format!("{}\n{error}", case.display())),
        }
    }
    assert!(failures.is_empty(), "{} failures\n{}", failures.len(), failures.join("\n\n"));
}

#[test]
fn mistakes() {
    let mut failures = Vec::new();
    for case in cases("fixtures/negative") {
        match load_case(&case) {
            Ok(_) => failures.push(format!("{}: loaded", case.display())),
            Err(error) => {
                let rendered = render(&error.diagnostics);
                update(&case.join("expected.txt"), &rendered);
                check(&case.join("expected.txt"), &rendered, &mut failures);
            }
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n\n"));
}
