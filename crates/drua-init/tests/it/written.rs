use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use drua_composefile::{Loader, Request};
use drua_dockerfile::{Dockerfile, Kind};

use crate::{projects, written};

#[test]
fn every_project_as_it_is_written() {
    for name in projects() {
        let (survey, rendered) = written(&name);
        let mut text = String::new();
        for place in &survey.places {
            let service = &place.candidates[0];
            let state = if place.chosen { "" } else { " (not chosen)" };
            writeln!(text, "## {} in `{}`{state}", service.title, place.dir).unwrap();
            for evidence in &service.evidence {
                writeln!(text, "- {evidence}").unwrap();
            }
            for (key, setting) in service.settings.iter() {
                writeln!(text, "{key} = {:?}, since {}", setting.value, setting.evidence).unwrap();
            }
            for (database, evidence) in &service.databases {
                writeln!(text, "{}, since {evidence}", database.title()).unwrap();
            }
        }
        for note in &survey.notes {
            writeln!(text, "note: {note}").unwrap();
        }
        for file in rendered.files.iter().filter(|file| !file.path.ends_with("README.Docker.md")) {
            write!(text, "\n=== {}\n{}", file.path, file.text).unwrap();
        }
        insta::with_settings!({ omit_expression => true, snapshot_path => "../snapshots", prepend_module_to_snapshot => false }, {
            insta::assert_snapshot!(name.clone(), text);
        });
    }
}

#[test]
fn readmes() {
    let (_, rendered) = written("monorepo");
    let readme = rendered.files.iter().find(|file| file.path == "README.Docker.md").unwrap();
    insta::with_settings!({ omit_expression => true, snapshot_path => "../snapshots", prepend_module_to_snapshot => false }, {
        insta::assert_snapshot!("readme", readme.text);
    });
}

#[test]
fn dockerfiles_are_as_they_should_be() {
    for name in projects() {
        let (_, rendered) = written(&name);
        for file in rendered.files.iter().filter(|file| file.path.ends_with("Dockerfile")) {
            let at = format!("{name}/{}\n{}", file.path, file.text);
            let parsed = Dockerfile::parse(&file.text).unwrap_or_else(|error| panic!("{at}\n{error}"));
            assert!(parsed.warnings.is_empty(), "{at}\n{:?}", parsed.warnings);
            let last = parsed.stages().last().unwrap().body;
            let users = last.iter().filter_map(|instruction| match &instruction.kind {
                Kind::User(user) => Some(user.text.clone()),
                _ => None,
            });
            let own: Vec<String> = users.collect();
            // The last stage of a choice between two hulls has nothing of its own.
            let choice = file.text.contains("FROM final-${TARGETOS} AS final");
            assert!(
                choice
                    || own.iter().all(|user| user.chars().all(|c| c.is_ascii_digit() || c == ':')) && !own.is_empty(),
                "{at}"
            );
            assert!(!file.text.contains(":latest"), "{at}");
            assert!(file.text.starts_with("# syntax=docker/dockerfile:1\n"), "{at}");
            assert!(!file.text.contains("\\\n\n"), "{at}");
            let wasm = file.text.contains("/app.wasm");
            assert!(wasm || !file.text.contains("EXPOSE") || file.text.contains("HEALTHCHECK"), "{at}");
        }
    }
}

struct Files(BTreeMap<PathBuf, String>);

impl Loader for Files {
    fn read(&self, path: &Path) -> std::io::Result<Vec<u8>> {
        let missing = || std::io::Error::from(std::io::ErrorKind::NotFound);
        self.0.get(path).map(|text| text.clone().into_bytes()).ok_or_else(missing)
    }
}

#[test]
fn compose_files_load() {
    for name in projects() {
        let (_, rendered) = written(&name);
        let dir = PathBuf::from("/project");
        let files = rendered.files.iter().map(|file| (dir.join(&file.path), file.text.clone())).collect();
        let request = Request { project_dir: dir.clone(), files: vec![dir.join("compose.yaml")], ..Request::default() };
        let loaded = drua_composefile::load(&request, &Files(files));
        let loaded = loaded.unwrap_or_else(|error| {
            panic!(
                "{name}\n{error}\n{:?}\n{}",
                error,
                rendered.files.iter().find(|f| f.path == "compose.yaml").unwrap().text
            )
        });
        for (service, config) in &loaded.project.services {
            let watch = config.develop.as_ref().map_or(0, |develop| develop.watch.len());
            let built = config.build.is_some() && !service.as_str().ends_with("-nginx");
            assert!(!built || watch > 0, "{name}: {service} has no rules for watch");
        }
    }
}
