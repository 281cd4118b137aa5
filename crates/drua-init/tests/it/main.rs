//! Whole projects in, whole sets of files out: one folder a project under `fixtures/`.
//!
//! What is written for each is a snapshot. That it parses, and what a careful reader looks for, is checked for all.

#![allow(clippy::unwrap_used, reason = "helpers of tests panic as tests do")]

mod choices;
mod lint;
mod trouble;
mod written;

use std::path::Path;

use drua_init::{Memory, Plan, Rendered, Survey, Templates, render, survey};
use jiff::civil::Date;

fn today() -> Date {
    "2026-11-23".parse().unwrap()
}

/// The names of all projects.
fn projects() -> Vec<String> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
    let mut names: Vec<String> =
        std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    assert!(names.len() > 35, "{names:?}");
    names
}

fn project(name: &str) -> Memory {
    let mut files = Vec::new();
    read(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name), "", &mut files);
    Memory::new(files)
}

fn read(dir: &Path, below: &str, files: &mut Vec<(String, String)>) {
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        let name = format!("{below}{}", path.file_name().unwrap().to_str().unwrap());
        if path.is_dir() {
            read(&path, &format!("{name}/"), files);
        } else {
            files.push((name, std::fs::read_to_string(&path).unwrap()));
        }
    }
}

fn memory(files: &[(&str, &str)]) -> Memory {
    Memory::new(files.iter().map(|(path, text)| ((*path).to_owned(), (*text).to_owned())))
}

/// What is taken where the user only says yes.
fn plan(survey: &Survey) -> Plan {
    let chosen = survey.places.iter().filter(|place| place.chosen);
    let services: Vec<_> = chosen.map(|place| place.candidates[0].clone()).collect();
    let mut databases: Vec<_> =
        services.iter().flat_map(|service| service.databases.iter().map(|(one, _)| *one)).collect();
    databases.sort();
    databases.dedup();
    Plan { project: "shop".to_owned(), services, databases }
}

#[track_caller]
fn written(name: &str) -> (Survey, Rendered) {
    let survey = survey(&project(name), today());
    let rendered = render(&plan(&survey), &Templates::default());
    match rendered {
        Ok(rendered) => (survey, rendered),
        Err(error) => panic!("{name}: {error}: {:?}", std::error::Error::source(&error)),
    }
}
