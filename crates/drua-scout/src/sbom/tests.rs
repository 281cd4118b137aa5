use super::*;
use crate::model::{Distro, Evidence, Location, PackageKind, Relation, RelationKind, SourcePackage, Target};

fn sample() -> Sbom {
    let mut openssl = Package::new(PackageKind::Deb, "libssl3", "3.0.11-1~deb12u2", Evidence::Installed, "dpkg");
    openssl.namespace = Some("debian".into());
    openssl.arch = Some("amd64".into());
    openssl.source = Some(SourcePackage { name: "openssl".into(), version: "3.0.11-1~deb12u2".into() });
    openssl.licenses = vec!["Apache-2.0".into(), "BSD-3-clause and friends".into()];
    openssl.locations = vec![Location { path: "/var/lib/dpkg/status".into(), layer: None, line: None }];
    let mut scoped = Package::new(PackageKind::Npm, "@babel/core", "7.23.0", Evidence::Installed, "npm");
    scoped.licenses = vec!["MIT OR Apache-2.0".into()];
    let jar = Package::new(
        PackageKind::Maven,
        "org.apache.logging.log4j:log4j-core",
        "2.14.1",
        Evidence::Installed,
        "java-archive",
    );
    Sbom {
        target: Target {
            name: "app:1".into(),
            digest: Some(format!("sha256:{}", "a".repeat(64))),
            ..Target::default()
        },
        distro: Some(Distro { id: "debian".into(), version_id: "12".into(), ..Distro::default() }),
        packages: vec![openssl, jar, scoped],
        relations: vec![Relation { from: 1, to: 2, kind: RelationKind::DependsOn }],
        ..Sbom::default()
    }
}

#[test]
fn every_format_is_deterministic() {
    for (format, _) in DocumentFormat::NAMES {
        let write = || write_document(&sample(), format, "2026-01-01T00:00:00Z");
        assert_eq!(write(), write(), "{format:?}");
    }
}

#[test]
fn documents_come_back() {
    for format in [DocumentFormat::CycloneDx, DocumentFormat::Spdx, DocumentFormat::Spdx3, DocumentFormat::Json] {
        let text = write_document(&sample(), format, "2026-01-01T00:00:00Z");
        let back = read_document(text.as_bytes(), "x").expect("our own document");
        let names = |sbom: &Sbom| -> Vec<String> {
            sbom.packages.iter().map(|package| package.purl(sbom.distro.as_ref()).to_string()).collect()
        };
        assert_eq!(names(&back), names(&sample()), "{format:?}");
        assert_eq!(back.relations.len(), 1, "{format:?}");
        assert_eq!(back.packages[0].source, sample().packages[0].source, "{format:?}");
        assert_eq!(back.target.digest, sample().target.digest, "{format:?}");
        assert_eq!(back.distro.map(|distro| (distro.id, distro.version_id)), Some(("debian".into(), "12".into())));
    }
    let text = write_document(&sample(), DocumentFormat::Drua, "2026-01-01T00:00:00Z");
    assert_eq!(read_document(text.as_bytes(), "x").expect("our own document"), sample());
}

#[test]
fn purls_follow_the_rules_of_their_types() {
    let sbom = sample();
    let purls: Vec<String> =
        sbom.packages.iter().map(|package| package.purl(sbom.distro.as_ref()).to_string()).collect();
    assert_eq!(
        purls,
        [
            "pkg:deb/debian/libssl3@3.0.11-1~deb12u2?arch=amd64&distro=debian-12&upstream=openssl",
            "pkg:maven/org.apache.logging.log4j/log4j-core@2.14.1",
            "pkg:npm/%40babel/core@7.23.0",
        ]
    );
}

#[test]
fn cyclic_documents_are_read() {
    let text = r#"{"bomFormat":"CycloneDX","specVersion":"1.6","components":[
        {"bom-ref":"a","type":"library","name":"a","version":"1","purl":"pkg:npm/a@1"},
        {"bom-ref":"b","type":"library","name":"b\u001b[31m","version":"1"}],
        "dependencies":[{"ref":"a","dependsOn":["b","a","nobody"]},{"ref":"b","dependsOn":["a"]}]}"#;
    let sbom = read_document(text.as_bytes(), "x").expect("a document");
    assert_eq!(sbom.packages.len(), 2);
    assert_eq!(sbom.relations.len(), 2);
    assert!(!sbom.packages.iter().any(|package| package.name.contains('\u{1b}')));
}

#[test]
fn what_is_no_document_says_so() {
    for text in ["", "[]", "{}", "<xml/>", r#"{"drua-scout":99}"#] {
        assert!(read_document(text.as_bytes(), "x").is_err(), "{text}");
    }
}

#[test]
fn licenses() {
    for (text, expected) in [
        ("MIT", true),
        ("MIT AND (GPL-2.0-only OR ISC)", true),
        ("GPL-2.0-only WITH Classpath-exception-2.0", true),
        ("MIT AND", false),
        ("made up", false),
        ("MIT) OR (ISC", false),
    ] {
        assert_eq!(license::is_expression(text), expected, "{text}");
    }
    let (expression, unknown) = license::expression(&["MIT".into(), "public domain".into()]);
    assert!(expression.starts_with("MIT AND LicenseRef-public-domain-"), "{expression}");
    assert_eq!(unknown.len(), 1);
}
