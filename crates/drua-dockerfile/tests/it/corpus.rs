use std::path::{Path, PathBuf};

use drua_dockerfile::Dockerfile;

fn cases(kind: &str) -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests").join(kind);
    let mut cases: Vec<PathBuf> = std::fs::read_dir(root).unwrap().map(|entry| entry.unwrap().path()).collect();
    cases.sort();
    cases
}

fn compare(case: &Path, actual: &str) -> Option<String> {
    let path = case.join("expected");
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(&path, actual).unwrap();
    }
    let expected = std::fs::read_to_string(&path).unwrap_or_default();
    (expected != actual).then(|| format!("{}\n--- expected\n{expected}--- actual\n{actual}", case.display()))
}

fn check(failures: &[String], count: usize) {
    assert!(count > 0, "no cases");
    assert!(failures.is_empty(), "{} of {count} cases differ:\n{}", failures.len(), failures.join("\n"));
}

#[test]
fn every_case_parses_to_what_is_expected() {
    let cases = cases("fixtures");
    let mut failures = Vec::new();
    for case in &cases {
        let source = std::fs::read_to_string(case.join("Dockerfile")).unwrap();
        let actual = match Dockerfile::parse(&source) {
            Ok(file) => file.dump() + &format!("{} warnings\n", file.warnings.len()),
            Err(error) => format!("error: {error}\n"),
        };
        failures.extend(compare(case, &actual));
    }
    check(&failures, cases.len());
}

#[test]
fn every_negative_case_says_what_is_wrong_and_where() {
    let cases = cases("negative");
    let mut failures = Vec::new();
    for case in &cases {
        let source = std::fs::read_to_string(case.join("Dockerfile")).unwrap();
        let actual = match Dockerfile::parse(&source) {
            Ok(_) => "no error\n".to_owned(),
            Err(error) => format!("{error}\n`{}`\n", &source[error.span.range()]),
        };
        failures.extend(compare(case, &actual));
    }
    check(&failures, cases.len());
}

/// What an image keeps of an ONBUILD parses to the same instruction again.
#[test]
fn expressions_survive_being_parsed_again() {
    let mut seen = 0;
    for case in cases("fixtures") {
        let source = std::fs::read_to_string(case.join("Dockerfile")).unwrap();
        let Ok(file) = Dockerfile::parse(&source) else { continue };
        for instruction in file.instructions.iter().filter(|instruction| !instruction.is_from()) {
            let escape = if file.escape == '`' { "# escape=`\n" } else { "" };
            let again = format!("{escape}FROM x\n{}\n", instruction.expression());
            let again =
                Dockerfile::parse(&again).unwrap_or_else(|error| panic!("{}: {error}\n{again}", case.display()));
            let strip = |dump: String| dump.lines().last().unwrap().split_once(' ').unwrap().1.to_owned();
            let alone = Dockerfile { directives: Vec::new(), instructions: vec![instruction.clone()], ..file.clone() };
            assert_eq!(strip(again.dump()), strip(alone.dump()), "{}", case.display());
            seen += 1;
        }
    }
    assert!(seen > 50, "only {seen} instructions");
}
