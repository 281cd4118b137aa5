use super::*;
use crate::advisory::Database;
use crate::advisory::tests::{osv, segment};
use crate::matching::tests::{distro, package};
use crate::matching::{MatchOptions, find};
use crate::model::{PackageKind, Sbom, Target};
use crate::recommend::base_image;
use crate::report::Filter;

fn judge(
    sbom: &Sbom,
    config: &str,
    run: impl Fn(&PolicyInput<'_>, &PolicyConfig) -> Vec<PolicyResult>,
) -> Vec<PolicyResult> {
    let record = osv("CVE-2024-3094", "Debian:12", "xz", r#"[{"introduced":"0"},{"fixed":"9"}]"#).replace(
        "\"summary\"",
        "\"database_specific\":{\"severity\":\"CRITICAL\"},\"published\":\"2026-11-01T00:00:00Z\",\"summary\"",
    );
    let kev = r#"{"catalogVersion":"1","dateReleased":"2026-01-01","vulnerabilities":[{"cveID":"CVE-1","dateAdded":"2024-02-03"}]}"#;
    let page = "---\nreleases:\n  - releaseCycle: \"12\"\n    codename: Bookworm\n    eol: 2026-07-11\n---\n";
    let database = Database::new(vec![segment("debian", &[("a.json", &record), ("k.json", kev), ("debian.md", page)])]);
    let matches = find(sbom, &database, MatchOptions::default()).unwrap();
    let report = Report::new(sbom, &matches, &Filter::default(), None);
    let base = base_image(sbom, &[], None);
    let input = PolicyInput {
        report: &report,
        base: base.as_ref(),
        base_is_current: Some(true),
        database: &database,
        today: "2026-11-23",
    };
    run(&input, &PolicyConfig::parse(config).unwrap())
}

fn image() -> Sbom {
    let mut xz = package(PackageKind::Deb, "xz", "5");
    xz.licenses = vec!["MIT OR GPL-2.0-only".to_owned()];
    let target = Target {
        user: "app".to_owned(),
        attestations: vec!["https://slsa.dev/provenance/v1".to_owned()],
        ..Target::default()
    };
    let mut debian = distro("debian", "12");
    debian.as_mut().unwrap().codename = "bookworm".to_owned();
    Sbom { target, distro: debian, packages: vec![xz], layers: vec![crate::model::Layer::default()], ..Sbom::default() }
}

fn met(results: &[PolicyResult], id: &str) -> Option<bool> {
    results.iter().find(|result| result.id == id).unwrap().met
}

#[test]
fn the_seven() {
    let results = judge(&image(), "{}", |input, config| evaluate(input, config, &[]).unwrap());
    assert_eq!(results.len(), 7);
    for (id, expected) in [
        ("fixable-vulnerabilities", Some(false)),
        ("high-profile-vulnerabilities", Some(false)),
        ("copyleft-license", Some(true)),
        ("no-stale-base-images", Some(false)),
        ("approved-base-images", Some(false)),
        ("supply-chain-attestations", Some(false)),
        ("default-non-root-user", Some(true)),
    ] {
        assert_eq!(met(&results, id), expected, "{id}: {results:?}");
    }
    assert_eq!(health_score(&results).unwrap().to_string(), "E (28%)");
}

#[test]
fn settings_change_the_outcome() {
    let config = r#"{"fixable-vulnerabilities":{"grace_period_days":30},"high-profile-vulnerabilities":{"cves":[]},
        "supply-chain-attestations":{"required_attestations":["https://slsa.dev/provenance/"]},
        "approved-base-images":{"allowed_distros_only":false,"allowed_base_images":["debian:*"]},"no-stale-base-images":{"weight":0}}"#;
    let results = judge(&image(), config, |input, config| evaluate(input, config, &[]).unwrap());
    for id in
        ["fixable-vulnerabilities", "high-profile-vulnerabilities", "supply-chain-attestations", "approved-base-images"]
    {
        assert_eq!(met(&results, id), Some(true), "{id}: {results:?}");
    }
    assert_eq!(health_score(&results).unwrap().to_string(), "A (100%)");
    let error = PolicyConfig::parse(r#"{"copyleft-license":{"licences":[]}}"#).unwrap_err();
    assert!(error.to_string().contains("licenses, ignored_packages, weight"), "{error}");
}

#[test]
fn what_is_not_known_is_not_met() {
    let mut sbom = image();
    sbom.target.kind = crate::model::TargetKind::Directory;
    let results =
        judge(&sbom, "{}", |input, config| evaluate(input, config, &["default-non-root-user".to_owned()]).unwrap());
    assert_eq!((results.len(), results[0].met), (1, None));
    assert_eq!(health_score(&results).unwrap().grade, Grade::F);
}

#[test]
fn grades_are_strict() {
    let score = |met: u32, all: u32| {
        let result = |is_met: bool, weight| PolicyResult {
            id: String::new(),
            title: String::new(),
            result_type: ResultType::Boolean,
            met: Some(is_met),
            violations: Vec::new(),
            weight,
        };
        health_score(&[result(true, met), result(false, all - met)]).unwrap().grade
    };
    assert_eq!(
        [score(91, 100), score(90, 100), score(70, 100), score(50, 100), score(30, 100), score(10, 100)],
        [Grade::A, Grade::B, Grade::C, Grade::D, Grade::E, Grade::F]
    );
}

#[test]
fn licenses_by_their_alternatives() {
    let list = ["GPL".to_owned(), "AGPL".to_owned()];
    for (expression, expected) in [
        ("MIT", None),
        ("GPL-2.0-or-later", Some("GPL")),
        ("GPLv3+", Some("GPL")),
        ("LGPL-2.1", None),
        ("MIT OR GPL-2.0", None),
        ("MIT AND GPL-2.0", Some("GPL")),
        ("(MIT OR GPL-2.0) AND AGPL-3.0", Some("GPL")),
        ("GPL-2.0 OR AGPL-3.0", Some("AGPL")),
    ] {
        assert_eq!(license::needs(expression, &list), expected, "{expression}");
    }
}

const REGO: &str = r#"# METADATA
# title: No xz
# custom:
#   name: no-xz
#   result_type: vulnerability
#   weight: 30
package docker.scout

import rego.v1

default pass := false

pass if count(violation) == 0

violation contains {"message": sprintf("%s is here", [a.name]), "detail": {"purl": a.purl}, "remediation": "remove it"} if {
	some a in input.artifacts
	a.name == data.config.name
	scout.parse_purl(a.purl).type == "deb"
}
"#;

#[test]
fn rego_by_scouts_contract() {
    let policy = RegoPolicy::parse("no-xz.rego", REGO).unwrap();
    let run =
        |config: &str| judge(&image(), config, |input, config| vec![policy.evaluate(input, config).unwrap()]).remove(0);
    let result = run(r#"{"no-xz":{"name":"xz"}}"#);
    assert_eq!(
        (result.id.as_str(), result.title.as_str(), result.met, result.weight),
        ("no-xz", "No xz", Some(false), 30)
    );
    assert_eq!(result.violations[0].message, "xz is here");
    assert_eq!(result.violations[0].remediation.as_deref(), Some("remove it"));
    assert_eq!(run(r#"{"no-xz":{"name":"zlib"}}"#).met, Some(true));
}

#[test]
fn rego_that_is_wrong_is_an_error() {
    assert!(matches!(RegoPolicy::parse("a.rego", "package other\n"), Err(RegoError::Package { .. })));
    assert!(matches!(RegoPolicy::parse("a.rego", "package docker.scout\nx {"), Err(RegoError::Rego { .. })));
    let calls =
        RegoPolicy::parse("a.rego", "package docker.scout\nimport rego.v1\npass if cosign.verify_image(input)\n");
    let failed = judge(&image(), "{}", |input, config| {
        let result = calls
            .as_ref()
            .map_err(ToString::to_string)
            .and_then(|p| p.evaluate(input, config).map_err(|e| e.to_string()));
        assert!(result.is_err(), "{result:?}");
        Vec::new()
    });
    assert!(failed.is_empty());
}
