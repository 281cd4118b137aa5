//! Configuration, comments that silence, baselines, and what `docker build` says.

use drua_lint::render::Baseline;
use drua_lint::{Build, Config, Input, Report, Severity, Text, build_warnings};

fn codes(report: &Report) -> Vec<&'static str> {
    report.diagnostics.iter().map(|found| found.rule.code).collect()
}

fn lint(text: &str, config: Config) -> Report {
    let mut input = Input::dockerfile("Dockerfile", text);
    input.config = config;
    drua_lint::lint(&input)
}

#[test]
fn comments_of_every_dialect_silence_what_they_name() {
    let run = "RUN apt-get install -y --no-install-recommends curl\n";
    for (comment, silenced) in [
        ("# hadolint ignore=DL3008\n", true),
        ("# hadolint ignore=DL3007,DL3008\n", true),
        ("# drua ignore=pin-apt we follow the distribution\n", true),
        ("# drua ignore=DL3008\n", true),
        ("# shellcheck disable=SC2046\n", false),
        ("# hadolint ignore=DL3009\n", false),
        ("", false),
    ] {
        let text = format!("FROM debian:13\n{comment}{run}");
        let report = lint(&text, Config::default());
        assert_eq!(!codes(&report).contains(&"DL3008"), silenced, "{comment}");
        assert_eq!(report.ignored, usize::from(silenced), "{comment}");
        let strict = Config { no_inline: true, ..Config::default() };
        assert!(codes(&lint(&text, strict)).contains(&"DL3008"), "{comment}");
    }
    let global = format!("# hadolint global ignore=DL3008\nFROM debian:13\n{run}{run}");
    assert!(!codes(&lint(&global, Config::default())).contains(&"DL3008"));
    let skip = format!("# check=skip=JSONArgsRecommended\nFROM debian:13\nCMD a b\n{run}");
    assert!(!codes(&lint(&skip, Config::default())).contains(&"JSONArgsRecommended"));
    let alias = "FROM debian:13\n# hadolint ignore=DL3025\nCMD a b\n";
    assert!(!codes(&lint(alias, Config::default())).contains(&"JSONArgsRecommended"));
    let script = "FROM debian:13\nRUN <<EOF\n# shellcheck disable=SC2086\nmkdir $A\nEOF\n";
    assert!(!codes(&lint(script, Config::default())).contains(&"SC2086"));
}

#[test]
fn our_configuration_is_read_and_mistakes_are_named() {
    let mut config = Config::default();
    let toml = "fail-on = \"error\"\nignore = [\"pin-apt\"]\nenable = [\"DL3057\"]\ntrusted-registries = [\"ghcr.io\"]\n\
                [rules]\nDL3006 = \"error\"\nDL3059 = \"off\"\n[[per-file]]\nfiles = [\"tests/**\"]\nignore = [\"DL3007\"]\n";
    config.read_toml("lint.toml", toml).unwrap();
    assert_eq!(config.fail_on, Some(Severity::Error));
    let report = lint("FROM debian\nRUN apt-get install -y --no-install-recommends a\nRUN b\n", config.clone());
    let found = codes(&report);
    assert!(found.contains(&"DL3057") && found.contains(&"DL3026"), "{found:?}");
    assert!(!found.contains(&"DL3008") && !found.contains(&"DL3059"), "{found:?}");
    assert_eq!(report.diagnostics.iter().find(|found| found.rule.code == "DL3006").unwrap().severity, Severity::Error);
    let mut input = Input::dockerfile("tests/a/Dockerfile", "FROM ghcr.io/a:latest\n");
    input.config = config;
    assert!(!codes(&drua_lint::lint(&input)).contains(&"DL3007"));
    for (toml, part) in [
        ("ignore = [\"DL3O08\"]", "did you mean `DL3008`"),
        ("fail-on = \"fatal\"", "error, warning, info, style"),
        ("ignored = []", "is not a lint configuration"),
        ("[rules", "is not a lint configuration"),
        ("[labels]\na = \"nothing\"", "spdx"),
    ] {
        let error = Config::default().read_toml("lint.toml", toml).unwrap_err().to_string();
        assert!(error.contains(part), "{toml}: {error}");
    }
}

#[test]
fn hadolints_configuration_is_read() {
    let mut config = Config::default();
    let yaml = "ignored:\n  - DL3008\n  - SC9999\noverride:\n  error:\n    - DL3006\ntrustedRegistries:\n  - docker.io\n\
                failure-threshold: error\nlabel-schema:\n  author: text\nstrict-labels: true\n";
    config.read_hadolint(".hadolint.yaml", yaml).unwrap();
    let report = lint("FROM debian\nLABEL other=x\nRUN apt-get install -y --no-install-recommends a\n", config.clone());
    let found = codes(&report);
    assert!(!found.contains(&"DL3008") && found.contains(&"DL3049") && found.contains(&"DL3050"), "{found:?}");
    assert_eq!(report.worst(), Some(Severity::Error));
    assert_eq!(config.fail_on, Some(Severity::Error));
    assert!(Config::default().read_hadolint(".hadolint.yaml", "a: [").is_err());
}

#[test]
fn a_baseline_bears_what_is_known_wherever_it_moves() {
    let old = "FROM debian\nRUN apt-get install -y --no-install-recommends a\n";
    let report = lint(old, Config::default());
    let baseline = Baseline::of(&report, &|_| old.to_owned());
    let baseline = Baseline::parse(&baseline.to_json().to_string()).unwrap();
    let new = "# moved\n\nFROM debian\nRUN apt-get install -y --no-install-recommends a\nCMD a b\n";
    let mut report = lint(new, Config::default());
    assert!(baseline.subtract(&mut report, &|_| new.to_owned()) >= 2);
    let found = codes(&report);
    assert!(found.contains(&"JSONArgsRecommended") && !found.contains(&"DL3008"), "{found:?}");
    assert!(Baseline::parse("[]").is_err());
}

#[test]
fn builds_say_what_buildkit_says_and_no_more() {
    let build = |text| {
        build_warnings(Build {
            dockerfile: Text { path: "Dockerfile", text },
            ignore: Some(Text { path: ".dockerignore", text: "secret\n" }),
            context: None,
            context_path: ".",
        })
    };
    let found = build("FROM debian as x\nCOPY secret /\nCMD a b\n");
    let lines: Vec<String> =
        found.warnings.iter().map(|found| format!("{} {}", found.start.line, found.rule.code)).collect();
    assert_eq!(lines, ["1 FromAsCasing", "2 CopyIgnoredFile", "3 JSONArgsRecommended"]);
    assert_eq!(
        found.warnings[2].message,
        "JSON arguments recommended for CMD to prevent unintended behavior related to OS signals"
    );
    assert_eq!(found.warnings[2].rule.url(), "https://docs.docker.com/go/dockerfile/rule/json-args-recommended/");
    assert!(!found.fatal);
    assert!(build("# check=error=true\nFROM debian as x\n").fatal);
    assert!(build("# check=skip=all\nFROM debian as x\nCMD a b\n").warnings.is_empty());
    assert!(
        build("# check=experimental=all\n# about x\nFROM debian AS x\n")
            .warnings
            .iter()
            .any(|f| f.rule.code == "InvalidDefinitionDescription")
    );
}
