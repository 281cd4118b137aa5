use super::*;
use crate::advisory::tests::{osv, segment};
use crate::advisory::{Database, Severity};
use crate::model::{Distro, Evidence, NoteKind, Package, PackageKind, Sbom, SourcePackage};

pub(crate) fn package(kind: PackageKind, name: &str, version: &str) -> Package {
    Package::new(kind, name, version, Evidence::Installed, "test")
}

pub(crate) fn distro(id: &str, version: &str) -> Option<Distro> {
    Some(Distro { id: id.to_owned(), version_id: version.to_owned(), ..Distro::default() })
}

fn find_in(sbom: &Sbom, database: &Database) -> Matches {
    find(sbom, database, MatchOptions::default()).unwrap()
}

fn ids(matches: &Matches) -> Vec<&str> {
    matches.findings.iter().map(|finding| finding.id.as_str()).collect()
}

const BELOW_2: &str = r#"[{"introduced":"0"},{"fixed":"2.0"}]"#;

#[test]
fn ranges_are_evaluated_as_osv_says() {
    use crate::advisory::{Affected, Bound, Event, Range, RangeKind};
    use crate::version::Scheme;
    let event = |bound, version: &str| Event(bound, version.to_owned());
    let affected = Affected {
        ranges: vec![Range {
            kind: RangeKind::Semver,
            events: vec![
                event(Bound::Introduced, "1.0.0"),
                event(Bound::Fixed, "1.4.2"),
                event(Bound::Introduced, "2.0.0"),
                event(Bound::LastAffected, "2.3.0"),
            ],
        }],
        versions: vec!["0.9-special".to_owned()],
        ..Affected::default()
    };
    for (version, expected) in [
        ("0.9.0", None),
        ("0.9-special", Some(("= 0.9-special", None))),
        ("1.0.0", Some((">= 1.0.0, < 1.4.2", Some("1.4.2")))),
        ("1.4.1", Some((">= 1.0.0, < 1.4.2", Some("1.4.2")))),
        ("1.4.2", None),
        ("2.3.0", Some((">= 2.0.0, <= 2.3.0", None))),
        ("2.3.1", None),
    ] {
        let hit = ranges::hit(Scheme::Semver, &affected, version);
        let hit = hit.as_ref().map(|hit| (hit.range.as_str(), hit.fixed.as_deref()));
        assert_eq!(hit, expected, "{version}");
    }
}

#[test]
fn local_versions_count_as_their_public_one() {
    let text = osv("PYSEC-1", "PyPI", "torch", r#"[{"introduced":"0"},{"last_affected":"2.0.0"}]"#);
    let database = Database::new(vec![segment("pypa", &[("a.json", &text)])]);
    let sbom = Sbom { packages: vec![package(PackageKind::Pypi, "torch", "2.0.0+cu118")], ..Sbom::default() };
    assert_eq!(ids(&find_in(&sbom, &database)), ["PYSEC-1"]);
}

#[test]
fn distributions_answer_for_source_packages() {
    let text = osv("DSA-1", "Debian:12", "openssl", r#"[{"introduced":"0"},{"fixed":"3.0.11-1~deb12u2"}]"#)
        .replace("\"summary\"", "\"upstream\":[\"CVE-2023-1\",\"CVE-2023-2\"],\"summary\"");
    let database = Database::new(vec![segment("debian", &[("a.json", &text)])]);
    let mut libssl = package(PackageKind::Deb, "libssl3", "3.0.11-1~deb12u1");
    libssl.source = Some(SourcePackage { name: "openssl".to_owned(), version: "3.0.11-1~deb12u1".to_owned() });
    let sbom = Sbom { distro: distro("debian", "12"), packages: vec![libssl], ..Sbom::default() };
    let matches = find_in(&sbom, &database);
    assert_eq!(ids(&matches), ["CVE-2023-1", "CVE-2023-2"], "a notice is about each of its vulnerabilities");
    let evidence = &matches.findings[0].evidence[0];
    assert_eq!((evidence.name.as_str(), evidence.comparator), ("openssl", "dpkg"));
    assert_eq!(matches.findings[0].fixed.as_deref(), Some("3.0.11-1~deb12u2"));
}

#[test]
fn what_cannot_be_judged_is_said() {
    let text = osv("DSA-1", "Debian:11", "openssl", BELOW_2);
    let database = Database::new(vec![segment("debian", &[("a.json", &text)])]);
    for (id, version, expected) in [
        ("debian", "12", "the database has only Debian:11"),
        ("plan9", "4", "drua knows no source of advisories for `plan9`"),
        ("fedora", "40", "drua knows no source of advisories for `fedora`"),
        ("alpine", "3.20.3", "the database has no advisories for it"),
    ] {
        let sbom = Sbom {
            distro: distro(id, version),
            packages: vec![package(PackageKind::Deb, "openssl", "1.0"), package(PackageKind::Npm, "x", "1.0.0")],
            ..Sbom::default()
        };
        let matches = find_in(&sbom, &database);
        let incomplete: Vec<&str> = matches
            .notes
            .iter()
            .filter(|note| note.kind == NoteKind::Incomplete)
            .map(|note| note.text.as_str())
            .collect();
        assert_eq!(incomplete.len(), 2, "{id}: {incomplete:?}");
        assert!(incomplete.iter().any(|text| text.contains(expected)), "{id}: {incomplete:?}");
    }
}

#[test]
fn the_same_vulnerability_of_two_sources_is_one_finding() {
    let ghsa = osv("GHSA-aaaa", "PyPI", "django", r#"[{"introduced":"0"},{"fixed":"4.2.1"}]"#).replace(
        "\"summary\"",
        "\"aliases\":[\"CVE-2024-1\"],\"database_specific\":{\"severity\":\"HIGH\"},\"summary\"",
    );
    let pysec = osv("PYSEC-2024-1", "PyPI", "Django", r#"[{"introduced":"0"},{"fixed":"4.2.2"}]"#)
        .replace("\"summary\"", "\"aliases\":[\"CVE-2024-1\",\"GHSA-aaaa\"],\"summary\"");
    let database = Database::new(vec![segment("ghsa", &[("a.json", &ghsa)]), segment("pypa", &[("b.json", &pysec)])]);
    let sbom = Sbom { packages: vec![package(PackageKind::Pypi, "Django", "4.2")], ..Sbom::default() };
    let matches = find_in(&sbom, &database);
    assert_eq!(ids(&matches), ["CVE-2024-1"]);
    let finding = &matches.findings[0];
    assert_eq!(finding.aliases, ["GHSA-aaaa", "PYSEC-2024-1"]);
    assert_eq!(finding.evidence.len(), 2);
    assert_eq!(finding.fixed.as_deref(), Some("4.2.2"), "the version that satisfies both");
    assert_eq!(finding.severity, Severity::High);
}

#[test]
fn the_tracker_beats_other_sources() {
    let list = "[01 Jan 2023] DSA-1-1 foo - security update\n\t{CVE-2022-1}\n\t[bookworm] - foo 9-1\n";
    let tracker = r#"{"foo":{"CVE-2022-1":{"releases":{"bookworm":{"status":"resolved","fixed_version":"1-1","urgency":"low"}}}}}"#;
    let database = Database::new(vec![segment("dsa", &[("list", list)]), segment("tracker", &[("json", tracker)])]);
    let sbom = Sbom {
        distro: distro("debian", "12"),
        packages: vec![package(PackageKind::Deb, "foo", "2-1")],
        ..Sbom::default()
    };
    assert_eq!(ids(&find_in(&sbom, &database)), Vec::<&str>::new());
}

#[test]
fn language_packages_of_os_packages_are_the_distributions() {
    let python = osv("PYSEC-1", "PyPI", "requests", BELOW_2);
    let debian = osv("DSA-1", "Debian:12", "other", BELOW_2);
    let database = Database::new(vec![segment("a", &[("a.json", &python), ("b.json", &debian)])]);
    let mut owned = package(PackageKind::Pypi, "requests", "1.0");
    owned.owner = Some(0);
    let packages = vec![package(PackageKind::Deb, "python3-requests", "1.0-1"), owned];
    let sbom = Sbom { distro: distro("debian", "12"), packages, ..Sbom::default() };
    assert_eq!(ids(&find_in(&sbom, &database)), Vec::<&str>::new());
    let options = MatchOptions { comprehensive: true, ..MatchOptions::default() };
    assert_eq!(ids(&find(&sbom, &database, options).unwrap()), ["PYSEC-1"]);
    // Where nobody answers for the distribution, upstream does.
    let sbom = Sbom { distro: distro("debian", "99"), ..sbom };
    assert_eq!(ids(&find_in(&sbom, &database)), ["PYSEC-1"]);
}

#[test]
fn changelogs_count_where_the_feed_knows_no_fix() {
    let open = osv("CVE-2024-1", "Debian:12", "foo", r#"[{"introduced":"0"}]"#);
    let fixed = osv("CVE-2024-2", "Debian:12", "foo", r#"[{"introduced":"0"},{"fixed":"3.0"}]"#);
    let database = Database::new(vec![segment("a", &[("a.json", &open), ("b.json", &fixed)])]);
    let mut sbom = Sbom {
        distro: distro("debian", "12"),
        packages: vec![package(PackageKind::Deb, "foo", "1.0-1")],
        ..Sbom::default()
    };
    sbom.evidence.insert("changelog:foo".to_owned(), vec!["CVE-2024-1".to_owned(), "CVE-2024-2".to_owned()]);
    let matches = find_in(&sbom, &database);
    let state = |id: &str| {
        matches.findings.iter().find(|finding| finding.id == id).unwrap().suppressed.as_ref().map(|s| s.kind)
    };
    assert_eq!(state("CVE-2024-1"), Some(SuppressionKind::Changelog));
    assert_eq!(state("CVE-2024-2"), None, "the feed names a later version: it knows better");
}

#[test]
fn kernel_headers_are_no_kernel() {
    let text = osv("CVE-2024-1", "Debian:12", "linux", BELOW_2);
    let database = Database::new(vec![segment("a", &[("a.json", &text)])]);
    let mut headers = package(PackageKind::Deb, "linux-libc-dev", "1.0");
    headers.source = Some(SourcePackage { name: "linux".to_owned(), version: "1.0".to_owned() });
    let sbom = Sbom { distro: distro("debian", "12"), packages: vec![headers], ..Sbom::default() };
    let matches = find_in(&sbom, &database);
    assert_eq!(matches.findings[0].suppressed.as_ref().map(|s| s.kind), Some(SuppressionKind::Rule));
}

#[test]
fn module_streams_are_kept_apart() {
    let text =
        osv("ALSA-2024:1", "AlmaLinux:9", "nodejs", r#"[{"introduced":"0"},{"fixed":"1:18.20.0-1.module_el9.3.0+1"}]"#)
            .replace("About ALSA-2024:1", "Important: nodejs:18 security update")
            .replace("\"affected\"", "\"related\":[\"CVE-2024-1\"],\"affected\"");
    let database = Database::new(vec![segment("alma", &[("a.json", &text)])]);
    let found = |version: &str, label: Option<&str>| {
        let mut node = package(PackageKind::Rpm, "nodejs", version);
        node.qualifiers.extend(label.map(|label| ("modularitylabel".to_owned(), label.to_owned())));
        let sbom = Sbom { distro: distro("almalinux", "9.3"), packages: vec![node], ..Sbom::default() };
        find_in(&sbom, &database).findings.len()
    };
    assert_eq!(found("1:18.10.0-1.module_el9.1.0+1", Some("nodejs:18:9010:1")), 1);
    assert_eq!(found("1:16.10.0-1.module_el9.1.0+1", Some("nodejs:16:9010:1")), 0);
    assert_eq!(found("1:16.20.2-1.el9", None), 0, "the same package outside of a module");
}

#[test]
fn versions_that_say_nothing_are_not_judged() {
    let text = osv("GO-1", "Go", "example.com/app", BELOW_2);
    let database = Database::new(vec![segment("go", &[("a.json", &text)])]);
    let sbom = Sbom { packages: vec![package(PackageKind::Golang, "example.com/app", "(devel)")], ..Sbom::default() };
    let matches = find_in(&sbom, &database);
    assert!(matches.findings.is_empty());
    assert!(matches.notes.iter().any(|note| note.text.contains("example.com/app")), "{:?}", matches.notes);
}

#[test]
fn severity_comes_from_other_records_when_the_source_is_silent() {
    let secdb = "distroversion: v3.20\npackages:\n  - pkg:\n      name: zlib\n      secfixes:\n        2.0-r0:\n          - CVE-2024-1\n";
    let nvd = r#"{"timestamp":"2026-11-01","vulnerabilities":[{"cve":{"id":"CVE-2024-1","metrics":{"x":[{"cvssData":{"vectorString":"CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H"}}]}}}]}"#;
    let database = Database::new(vec![segment("alpine", &[("main.yaml", secdb)]), segment("nvd", &[("n.json", nvd)])]);
    let sbom = Sbom {
        distro: distro("alpine", "3.20.3"),
        packages: vec![package(PackageKind::Apk, "zlib", "1.3-r1")],
        ..Sbom::default()
    };
    let finding = &find_in(&sbom, &database).findings[0];
    assert_eq!((finding.severity, finding.severity_source.as_str()), (Severity::Critical, "nvd, by CVE-2024-1"));
}
