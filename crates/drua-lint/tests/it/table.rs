//! Every example in the table of rules is what it says that it is.

use drua_lint::{Build, Config, ContextFile, Date, Input, KnownImage, Level, Report, Rule, Text, rules};

/// An example's files: the first is the Dockerfile or the compose file, others begin with `=== path`.
pub(crate) fn files(example: &str, first: &str) -> Vec<(String, String)> {
    let mut files = vec![(first.to_owned(), String::new())];
    for line in example.split_inclusive('\n') {
        match line.strip_prefix("=== ") {
            Some(name) => files.push((name.trim().to_owned(), String::new())),
            None => files.last_mut().expect("it begins with one").1.push_str(line),
        }
    }
    files
}

/// Lints an example with every rule on.
pub(crate) fn lint(rule: &Rule, example: &str, config: Config) -> Report {
    let first = if rule.family == drua_lint::Family::Compose { "compose.yaml" } else { "Dockerfile" };
    let files = files(example, first);
    let text = |name: &str| {
        let found = files.iter().find(|(path, _)| path == name);
        found.map(|(path, text)| Text { path, text })
    };
    let listed = text("files").map(|listing| {
        let file = |line: &str| {
            let mut words = line.split_whitespace();
            let path = words.next().unwrap_or_default();
            let size = words.next().and_then(|size| size.parse().ok()).unwrap_or(100);
            let is_dir = path.ends_with('/');
            ContextFile { path: path.trim_end_matches('/').to_owned(), size: if is_dir { 0 } else { size }, is_dir }
        };
        listing.text.lines().map(file).collect::<Vec<_>>()
    });
    let build = text("Dockerfile").filter(|text| !text.text.is_empty()).map(|dockerfile| Build {
        dockerfile,
        ignore: text(".dockerignore"),
        context: listed.as_deref(),
        context_path: ".",
    });
    let images = [KnownImage {
        name: "known-amd64-image".to_owned(),
        platform: Some("linux/amd64".to_owned()),
        size: Some(80_000_000),
        ..KnownImage::default()
    }];
    let input = Input {
        builds: build.into_iter().collect(),
        compose: text("compose.yaml").into_iter().collect(),
        config,
        images: &images,
        today: Date::parse("2026-11-23"),
    };
    drua_lint::lint(&input)
}

/// A configuration in which a rule is on, with what label rules and registries need.
pub(crate) fn with(rule: &Rule) -> Config {
    let mut config = Config::default();
    let labels = "[labels]\n\"l.text\" = \"text\"\n\"l.url\" = \"url\"\n\"l.time\" = \"rfc3339\"\n\"l.license\" = \"spdx\"\n\
                  \"l.commit\" = \"hash\"\n\"l.version\" = \"semver\"\n\"l.mail\" = \"email\"\n";
    let toml = match rule.code {
        "DL3026" => "trusted-registries = [\"registry.example.com\"]".to_owned(),
        "DL3050" => format!("strict-labels = true\n{labels}"),
        code if ("DL3048".."DL3059").contains(&code) && code != "DL3057" => labels.to_owned(),
        _ => String::new(),
    };
    config.read_toml("lint.toml", &toml).expect("the labels are valid");
    config.levels.insert(rule.code.to_owned(), Level::On(rule.severity));
    config
}

#[test]
fn bad_examples_are_found_and_good_ones_are_not() {
    let mut faults = Vec::new();
    for rule in rules::all() {
        let found = |example: &str| lint(rule, example, with(rule)).diagnostics.iter().any(|found| found.rule == rule);
        if !found(rule.bad) {
            let others: Vec<_> = lint(rule, rule.bad, with(rule)).diagnostics.iter().map(|d| d.rule.code).collect();
            faults.push(format!("{} does not find its bad example, but {others:?}:\n{}", rule.code, rule.bad));
        }
        if found(rule.good) {
            faults.push(format!("{} finds its good example:\n{}", rule.code, rule.good));
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn names_are_unique_and_texts_are_there() {
    let mut seen = std::collections::BTreeSet::new();
    for rule in rules::all() {
        let mut names = vec![rule.code];
        names.extend((rule.name != rule.code).then_some(rule.name));
        names.extend(rule.aliases);
        for name in names {
            assert!(seen.insert(name.to_lowercase()), "two rules are called {name}");
            assert_eq!(rules::find(name), Some(rule));
        }
        for text in [rule.summary, rule.why, rule.bad, rule.good] {
            assert!(!text.trim().is_empty(), "{} is not described", rule.code);
        }
    }
    assert!(seen.len() > 20);
}
