use super::*;
use crate::advisory::tests::{osv, segment};
use crate::advisory::{Database, Severity};
use crate::matching::tests::package;
use crate::matching::{MatchOptions, find};
use crate::model::{Location, PackageKind, Target};

/// Two npm packages, three findings; one name is hostile.
fn scanned() -> (Sbom, Matches) {
    let record = |id: &str, name: &str, severity: &str, events: &str| {
        osv(id, "npm", name, events)
            .replace("\"summary\"", &format!("\"database_specific\":{{\"severity\":\"{severity}\"}},\"summary\""))
    };
    let files = [
        record("GHSA-1", "left-pad", "CRITICAL", r#"[{"introduced":"0"},{"fixed":"2.0.0"}]"#),
        record("GHSA-2", "left-pad", "LOW", r#"[{"introduced":"0"}]"#),
        record("GHSA-3", "<img src=x onerror=alert(1)>", "HIGH", r#"[{"introduced":"0"},{"fixed":"1.5.0"}]"#)
            .replace("About GHSA-3", "| [x](javascript:alert(1)) `</td>` \\u001b[31mred"),
    ];
    let named: Vec<(&str, &str)> = files.iter().map(|text| ("a.json", text.as_str())).collect();
    let database = Database::new(vec![segment("npm", &named)]);
    let mut hostile = package(PackageKind::Npm, "<img src=x onerror=alert(1)>", "1.0.0");
    hostile.locations.push(Location { path: "/app/\u{1b}[2J/package.json".to_owned(), layer: None, line: None });
    let target = Target { name: "app:\u{202e}1".to_owned(), ..Target::default() };
    let sbom =
        Sbom { target, packages: vec![package(PackageKind::Npm, "left-pad", "1.0.0"), hostile], ..Sbom::default() };
    let matches = find(&sbom, &database, MatchOptions::default()).unwrap();
    (sbom, matches)
}

#[test]
fn no_output_lets_strangers_write_to_the_terminal() {
    let (sbom, matches) = scanned();
    let report = Report::new(&sbom, &matches, &Filter::default(), None);
    let options = TextOptions { details: true, epss: true, locations: true };
    for text in [text(&report, options, &|_, text| text.to_owned()), only_packages(&report), markdown(&report)] {
        assert!(!text.contains(['\u{1b}', '\u{202e}']), "{text}");
    }
}

#[test]
fn markdown_holds_no_html_of_others() {
    let (sbom, matches) = scanned();
    let text = markdown(&Report::new(&sbom, &matches, &Filter::default(), None));
    assert!(!text.contains("<img") && !text.contains("](javascript") && !text.contains("`</td>`"), "{text}");
    assert!(text.contains("&lt;img"));
}

#[test]
fn filters() {
    let (sbom, matches) = scanned();
    let ids = |filter: Filter| -> Vec<String> {
        Report::new(&sbom, &matches, &filter, None).findings.iter().map(|finding| finding.id.clone()).collect()
    };
    assert_eq!(ids(Filter::default()), ["GHSA-1", "GHSA-3", "GHSA-2"], "the worst first");
    assert_eq!(ids(Filter { severities: vec![Severity::High], ..Filter::default() }), ["GHSA-3"]);
    assert_eq!(ids(Filter { fix: FixFilter::Unfixed, ..Filter::default() }), ["GHSA-2"]);
    assert_eq!(ids(Filter { ids: vec!["ghsa-1".to_owned()], ..Filter::default() }), ["GHSA-1"]);
    assert_eq!(ids(Filter { kinds: vec![PackageKind::Deb], ..Filter::default() }), Vec::<String>::new());
    assert_eq!(ids(Filter { exploited: true, ..Filter::default() }), Vec::<String>::new());
}

#[test]
fn text_has_scouts_shape() {
    let (sbom, matches) = scanned();
    let filter = Filter { ids: vec!["GHSA-1".to_owned()], ..Filter::default() };
    let text = text(&Report::new(&sbom, &matches, &filter, None), TextOptions::default(), &|_, text| text.to_owned());
    for line in [
        "   1C     0H     0M     0L  left-pad 1.0.0",
        "pkg:npm/left-pad@1.0.0",
        "    ✗ CRITICAL GHSA-1",
        "      Affected range : < 2.0.0",
        "      Fixed version  : 2.0.0",
        "1 vulnerability found in 1 package",
        "  CRITICAL    1",
        "Advisories: npm 2026-01-01",
    ] {
        assert!(text.lines().any(|shown| shown == line), "{line:?} is missing in\n{text}");
    }
}

#[test]
fn sarif_places_are_relative_uris() {
    let (sbom, matches) = scanned();
    let value = sarif(&Report::new(&sbom, &matches, &Filter::default(), None), "1.2.3");
    assert_eq!(value["version"], "2.1.0");
    let rules = value["runs"][0]["tool"]["driver"]["rules"].as_array().unwrap();
    for result in value["runs"][0]["results"].as_array().unwrap() {
        let index = usize::try_from(result["ruleIndex"].as_u64().unwrap()).unwrap();
        assert_eq!(rules[index]["id"], result["ruleId"]);
        let uri = result["locations"][0]["physicalLocation"]["artifactLocation"]["uri"].as_str().unwrap();
        assert!(!uri.starts_with('/') && uri.is_ascii() && !uri.contains(' '), "{uri}");
    }
}

#[test]
fn gitlab_ids_are_stable_uuids() {
    let (sbom, matches) = scanned();
    let report = Report::new(&sbom, &matches, &Filter::default(), None);
    let ids = |time: &str| -> Vec<String> {
        let value = gitlab(&report, "1", time, time);
        value["vulnerabilities"].as_array().unwrap().iter().map(|one| one["id"].as_str().unwrap().to_owned()).collect()
    };
    let (first, second) = (ids("2026-01-01T00:00:00"), ids("2026-01-02T00:00:00"));
    assert_eq!(first, second);
    assert!(first.iter().all(|id| id.len() == 36 && id.matches('-').count() == 4), "{first:?}");
}

#[test]
fn comparison() {
    let (mut sbom, matches) = scanned();
    let before = (sbom.clone(), matches.clone());
    sbom.packages[0].version = "2.0.0".to_owned();
    let after: Vec<_> = matches.findings.iter().filter(|finding| finding.id != "GHSA-1").cloned().collect();
    let matches = Matches { findings: after, ..matches };
    let filter = Filter::default();
    let comparison =
        compare(Report::new(&before.0, &before.1, &filter, None), Report::new(&sbom, &matches, &filter, None));
    assert_eq!(comparison.removed.iter().map(|(id, ..)| id.as_str()).collect::<Vec<_>>(), ["GHSA-1"]);
    assert!(comparison.added.is_empty());
    assert_eq!(comparison.packages[0].to_string(), "~ npm left-pad 1.0.0 → 2.0.0");
    assert_eq!(comparison.after.counts().change_from(&comparison.before.counts()), "-1C 0H 0M 0L");
    assert!(!markdown_comparison(&comparison).contains("<img"));
}
