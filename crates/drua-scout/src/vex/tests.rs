use super::*;
use crate::advisory::Database;
use crate::advisory::tests::{osv, segment};
use crate::matching::tests::{distro, package};
use crate::matching::{MatchOptions, Matches, find};
use crate::model::{PackageKind, Sbom, Target};

/// An image `app:1` with one package and one finding about it.
fn scanned() -> (Sbom, Matches) {
    let text = osv("CVE-2024-1", "Debian:12", "openssl", r#"[{"introduced":"0"},{"fixed":"4.0"}]"#);
    let database = Database::new(vec![segment("debian", &[("a.json", &text)])]);
    let mut openssl = package(PackageKind::Deb, "openssl", "3.0-1");
    openssl.namespace = Some("debian".to_owned());
    openssl.arch = Some("amd64".to_owned());
    let target = Target {
        name: "app:1".to_owned(),
        digest: Some("sha256:aaaa".to_owned()),
        tags: vec!["docker.io/library/app:1".to_owned()],
        ..Target::default()
    };
    let sbom = Sbom { target, distro: distro("debian", "12"), packages: vec![openssl], ..Sbom::default() };
    let matches = find(&sbom, &database, MatchOptions::default()).unwrap();
    assert_eq!(matches.findings.len(), 1);
    (sbom, matches)
}

fn openvex(product: &str, subcomponents: &str, status: &str) -> String {
    format!(
        r#"{{"@context":"https://openvex.dev/ns/v0.2.0","author":"a@corp.example","timestamp":"2026-01-01T00:00:00Z","statements":[
        {{"vulnerability":{{"name":"CVE-2024-1"}},"products":[{{"@id":"{product}","subcomponents":[{subcomponents}]}}],"status":"{status}","justification":"vulnerable_code_not_present"}}]}}"#
    )
}

#[track_caller]
fn check(document: &str, hidden: bool) {
    let (sbom, mut matches) = scanned();
    let statements = parse("vex.json", document).unwrap();
    apply(&statements, None, &sbom, &mut matches.findings, "2026-11-23");
    assert_eq!(matches.findings[0].suppressed.is_some(), hidden, "{document}");
}

#[test]
fn products_are_recognised_however_they_are_spelled() {
    for product in [
        "pkg:docker/app@1",
        "pkg:docker/library/app@1",
        "pkg:oci/app@sha256:aaaa",
        "pkg:oci/app@sha256%3Aaaaa?repository_url=index.docker.io/library/app",
        "docker.io/library/app:1",
        "index.docker.io/library/app:1",
        "app",
        "pkg:deb/debian/openssl",
        "pkg:deb/debian/openssl@3.0-1",
        "pkg:deb/debian/openssl@3.0-1?arch=amd64&distro=debian-12",
    ] {
        // A name without a tag is about every tag, but `app` alone means `latest` only when it names an image.
        check(&openvex(product, "", "not_affected"), true);
    }
    for product in [
        "pkg:docker/other@1",
        "pkg:docker/app@2",
        "pkg:oci/app@sha256:bbbb",
        "ghcr.io/corp/app:1",
        "pkg:deb/debian/openssl@3.0-2",
        "pkg:deb/ubuntu/openssl",
        "pkg:npm/openssl",
        "pkg:deb/debian/openssl@3.0-1?arch=arm64",
    ] {
        check(&openvex(product, "", "not_affected"), false);
    }
}

#[test]
fn subcomponents_narrow_a_statement() {
    check(&openvex("pkg:docker/app@1", r#"{"@id":"pkg:deb/debian/openssl"}"#, "not_affected"), true);
    check(&openvex("pkg:docker/app@1", r#"{"@id":"pkg:deb/debian/zlib"}"#, "not_affected"), false);
}

#[test]
fn only_two_statuses_hide() {
    check(&openvex("pkg:docker/app@1", "", "fixed"), true);
    check(&openvex("pkg:docker/app@1", "", "affected"), false);
    check(&openvex("pkg:docker/app@1", "", "under_investigation"), false);
}

#[test]
fn the_latest_statement_counts() {
    let (sbom, mut matches) = scanned();
    let mut statements = parse("old.json", &openvex("pkg:docker/app@1", "", "not_affected")).unwrap();
    let newer = openvex("pkg:docker/app@1", "", "affected").replace("2026-01-01", "2026-02-01");
    statements.extend(parse("new.json", &newer).unwrap());
    apply(&statements, None, &sbom, &mut matches.findings, "2026-11-23");
    assert_eq!(matches.findings[0].suppressed, None);
}

#[test]
fn csaf_statements() {
    let document = r#"{"document":{"csaf_version":"2.0","category":"csaf_vex","publisher":{"name":"Corp"},"tracking":{"current_release_date":"2026-01-01T00:00:00Z"}},
      "product_tree":{"full_product_names":[{"product_id":"P1","name":"x","product_identification_helper":{"purl":"pkg:deb/debian/openssl@3.0-1"}}]},
      "vulnerabilities":[{"cve":"CVE-2024-1","product_status":{"known_not_affected":["P1"]},"flags":[{"label":"component_not_present","product_ids":["P1"]}]}]}"#;
    let statements = parse("c.json", document).unwrap();
    assert_eq!((statements.len(), statements[0].reason.as_str()), (1, "component_not_present"));
    check(document, true);
}

#[test]
fn what_is_no_vex_document_is_an_error() {
    assert!(matches!(parse("a", "{"), Err(VexError::Json { .. })));
    assert!(matches!(parse("a", "{}"), Err(VexError::Unknown { .. })));
}

#[test]
fn ignore_files_want_reasons_and_expire() {
    let (sbom, matches) = scanned();
    let run = |text: &str, today: &str| {
        let mut findings = matches.findings.clone();
        let file = IgnoreFile::parse("i.yaml", text).unwrap();
        let applied = apply(&[], Some(&file), &sbom, &mut findings, today);
        (findings[0].suppressed.is_some(), applied.notes.len())
    };
    let entry =
        "ignore:\n  - id: CVE-2024-1\n    package: open*\n    reason: TLS is not used\n    expires: 2026-12-31\n";
    assert_eq!(run(entry, "2026-12-31"), (true, 0));
    assert_eq!(run(entry, "2027-01-01"), (false, 1), "expired, and said so");
    assert_eq!(
        run("ignore:\n  - id: CVE-9\n    reason: x\n", "2026-01-01"),
        (false, 1),
        "matches nothing, and said so"
    );
    for (text, reason) in [
        ("ignore:\n  - id: CVE-1\n", "has no `reason`"),
        ("ignore:\n  - reason: x\n", "has no `id`"),
        ("ignore:\n  - id: CVE-1\n    reason: x\n    until: 2026\n", "unknown key `until`"),
        ("ignore:\n  - id: CVE-1\n    reason: x\n    expires: soon\n", "no date"),
        ("ignored: []\n", "no list `ignore`"),
    ] {
        let error = IgnoreFile::parse("i.yaml", text).unwrap_err().to_string();
        assert!(error.contains(reason), "{error}");
    }
}

#[test]
fn globs() {
    for (pattern, text, expected) in [
        ("*", "", true),
        ("a*c", "abc", true),
        ("a*c", "ab", false),
        ("a*b*c", "aXbYc", true),
        ("a", "ab", false),
        ("*a*a*", "aa", true),
        ("*a*a*", "a", false),
    ] {
        assert_eq!(glob(pattern, text), expected, "{pattern} {text}");
    }
}
