use std::collections::BTreeMap;

use super::*;
use crate::advisory::Database;
use crate::advisory::tests::{osv, segment};
use crate::matching::tests::{distro, package};
use crate::matching::{MatchOptions, Matches, find};
use crate::model::{Layer, Location, PackageKind, Sbom, Target};
use crate::report::{Filter, Report};

fn layers(ids: &[&str]) -> Vec<Layer> {
    ids.iter()
        .enumerate()
        .map(|(at, id)| Layer { diff_id: (*id).to_owned(), history_index: Some(at), ..Layer::default() })
        .collect()
}

#[test]
fn the_surest_evidence_wins() {
    let mut sbom = Sbom { distro: distro("debian", "12"), layers: layers(&["a", "b", "c"]), ..Sbom::default() };
    sbom.distro.as_mut().unwrap().codename = "bookworm".to_owned();
    let rung = |sbom: &Sbom, known: &[KnownImage], provenance: Option<&ProvenanceBase>| {
        let base = base_image(sbom, known, provenance).unwrap();
        (base.name(), base.rung, base.layers)
    };
    assert_eq!(rung(&sbom, &[], None), ("debian:bookworm".to_owned(), Rung::System, None));
    sbom.target.history = vec!["ENV PYTHON_VERSION=3.12.1".to_owned()];
    assert_eq!(rung(&sbom, &[], None).0, "python:3.12.1-slim-bookworm");
    let image = |name: &str, ids: &[&str]| KnownImage {
        names: vec![name.to_owned()],
        diff_ids: ids.iter().map(|id| (*id).to_owned()).collect(),
    };
    let known = [
        image("debian:12", &["a"]),
        image("someone/python:3.12", &["a", "b"]),
        image("python:3.12-slim", &["a", "b"]),
        image("other", &["x"]),
    ];
    let base = base_image(&sbom, &known, None).unwrap();
    assert_eq!(
        (base.name().as_str(), base.layers),
        ("python:3.12-slim", Some(2)),
        "never a stranger's where an official one fits"
    );
    assert_eq!(base.hierarchy, [("debian:12".to_owned(), 1)]);
    sbom.target
        .labels
        .insert("org.opencontainers.image.base.name".to_owned(), "docker.io/library/python:3.12-slim".to_owned());
    assert_eq!(rung(&sbom, &known, None).1, Rung::Annotation);
    let provenance = ProvenanceBase { name: "python:3.12-slim".to_owned(), digest: None };
    assert_eq!(rung(&sbom, &known, Some(&provenance)).1, Rung::Provenance);
}

#[test]
fn the_base_ends_at_its_cmd() {
    let history = ["ADD rootfs", "CMD [\"bash\"]", "RUN apt-get", "COPY . .", "CMD [\"/app\"]"];
    let mut sbom = Sbom { distro: distro("debian", "12"), ..Sbom::default() };
    sbom.target.history = history.iter().map(|entry| (*entry).to_owned()).collect();
    sbom.layers = [0, 2, 3].into_iter().map(|at| Layer { history_index: Some(at), ..Layer::default() }).collect();
    assert_eq!(base_image(&sbom, &[], None).unwrap().layers, Some(1));
}

fn official() -> Database {
    let tags = |tags: &str, directory: &str| format!("\nTags: {tags}\nArchitectures: amd64\nDirectory: {directory}\n");
    let text = "Maintainers: A\nGitRepo: x\n".to_owned()
        + &tags("3.14.0rc1-slim-trixie, 3.14-rc-slim-trixie", "3.14-rc/slim-trixie")
        + &tags("3.13.2-slim-trixie, 3.13-slim-trixie, 3-slim-trixie", "3.13/slim-trixie")
        + &tags("3.13.2-slim-bookworm, 3.13-slim-bookworm", "3.13/slim-bookworm")
        + &tags("3.13.2-bookworm, 3.13-bookworm", "3.13/bookworm")
        + &tags("3.12.9-slim-bookworm, 3.12-slim-bookworm", "3.12/slim-bookworm")
        + &tags("3.12.9-bookworm, 3.12-bookworm", "3.12/bookworm")
        + &tags("3.12.9-alpine3.20, 3.12-alpine3.20", "3.12/alpine3.20")
        + &tags("3.13.2-windowsservercore", "3.13/windows");
    let page = "---\nreleases:\n  - releaseCycle: \"3.13\"\n    eol: 2029-10-01\n  - releaseCycle: \"3.12\"\n    eol: 2028-10-01\n---\n";
    Database::new(vec![segment("official", &[("library/python", &text), ("products/python.md", page)])])
}

#[test]
fn candidates_stay_in_the_family() {
    let base = |tag: &str| BaseImage {
        repository: "python".to_owned(),
        tag: tag.to_owned(),
        digest: None,
        layers: None,
        rung: Rung::Annotation,
        hierarchy: Vec::new(),
    };
    let tags = |tag: &str| -> Vec<(CandidateKind, String)> {
        let found = candidates(&base(tag), "amd64", &official(), "2026-11-23").unwrap();
        found.into_iter().map(|candidate| (candidate.kind, candidate.tag)).collect()
    };
    let kind = |kind, tag: &str| (kind, tag.to_owned());
    assert_eq!(
        tags("3.12-bookworm"),
        [
            kind(CandidateKind::Refresh, "3.12-bookworm"),
            kind(CandidateKind::Minor, "3.13-bookworm"),
            kind(CandidateKind::Slimmer, "3.12-slim-bookworm"),
        ]
    );
    let of_patch = tags("3.12.1-slim-bookworm");
    assert!(of_patch.contains(&kind(CandidateKind::Patch, "3.12.9-slim-bookworm")), "{of_patch:?}");
    assert!(
        of_patch.iter().all(|(_, tag)| !tag.contains("rc") && !tag.contains("alpine") && !tag.contains("windows")),
        "{of_patch:?}"
    );
    let newer = tags("3.13-slim-bookworm");
    assert!(newer.contains(&kind(CandidateKind::NewerSystem, "3.13-slim-trixie")), "{newer:?}");
}

/// One OS package in the base, two language packages above.
fn scanned() -> (Sbom, Matches) {
    let files = [
        osv("CVE-1", "Debian:12", "openssl", r#"[{"introduced":"0"},{"fixed":"2"}]"#),
        osv("CVE-2", "PyPI", "django", r#"[{"introduced":"0"},{"fixed":"4.2.1"}]"#),
        osv("CVE-3", "PyPI", "django", r#"[{"introduced":"0"},{"fixed":"5.0"}]"#),
        osv("CVE-4", "PyPI", "django", r#"[{"introduced":"0"}]"#),
        osv("CVE-5", "npm", "left-pad", r#"[{"introduced":"0"},{"fixed":"1.3.1"}]"#),
    ];
    let files: Vec<(&str, &str)> = files.iter().map(|text| ("a.json", text.as_str())).collect();
    let database = Database::new(vec![segment("all", &files)]);
    let at = |mut package: crate::model::Package, layer: usize| {
        package.locations.push(Location { path: "/x".to_owned(), layer: Some(layer), line: None });
        package
    };
    let sbom = Sbom {
        target: Target { name: "app".to_owned(), ..Target::default() },
        distro: distro("debian", "12"),
        layers: layers(&["a", "b"]),
        packages: vec![
            at(package(PackageKind::Deb, "openssl", "1"), 0),
            at(package(PackageKind::Npm, "left-pad", "1.0.0"), 1),
            at(package(PackageKind::Pypi, "Django", "4.2"), 1),
        ],
        ..Sbom::default()
    };
    let matches = find(&sbom, &database, MatchOptions::default()).unwrap();
    (sbom, matches)
}

const DOCKERFILE: &str = "FROM python:3.12-bookworm@sha256:0 AS app\nCOPY . /app\nCMD [\"/app\"]\n";

fn planned() -> Plan {
    let (sbom, matches) = scanned();
    let report = Report::new(&sbom, &matches, &Filter::default(), Some(1));
    let base = BaseImage {
        repository: "docker.io/library/python".to_owned(),
        tag: "3.12-bookworm".to_owned(),
        digest: None,
        layers: Some(1),
        rung: Rung::Annotation,
        hierarchy: Vec::new(),
    };
    let candidates = candidates(&base, "amd64", &official(), "2026-11-23").unwrap();
    let start = DOCKERFILE.find("python").unwrap();
    let view = DockerfileView {
        path: "Dockerfile".to_owned(),
        text: DOCKERFILE.to_owned(),
        image: start..start + "python:3.12-bookworm@sha256:0".len(),
        is_literal: true,
        after_from: DOCKERFILE.find('\n').unwrap() + 1,
    };
    let files = BTreeMap::from([
        ("requirements.txt".to_owned(), "flask==3.0\nDjango==4.2  # web\n".to_owned()),
        ("package.json".to_owned(), "{\n  \"dependencies\": {\n    \"left-pad\": \"^1.0.0\"\n  }\n}\n".to_owned()),
    ]);
    plan(&PlanInput {
        report: &report,
        base: Some(&base),
        candidates: &candidates,
        measured: &BTreeMap::new(),
        dockerfile: Some(&view),
        files: &files,
    })
}

#[test]
fn the_most_helpful_edit_comes_first() {
    let plan = planned();
    let titles: Vec<&str> = plan.actions.iter().map(|action| action.title.as_str()).collect();
    assert_eq!(titles[0], "upgrade Django 4.2 to 5.0", "{titles:?}");
    let django = &plan.actions[0];
    assert_eq!((django.clears.total(), django.ids.len()), (2, 2));
    assert!(django.remarks.iter().any(|remark| remark == "+ 4.2.1 clears 1 without a new major version"), "{django:?}");
    assert_eq!(plan.remains.total(), 1, "CVE-4 has no fix");
    assert_eq!(django.edits[0].after, "flask==3.0\nDjango==5.0  # web\n");
    assert_eq!(
        django.edits[0].diff,
        "--- a/requirements.txt\n+++ b/requirements.txt\n@@ -1,2 +1,2 @@\n flask==3.0\n-Django==4.2  # web\n+Django==5.0  # web\n"
    );
}

#[test]
fn edits_of_the_dockerfile() {
    let plan = planned();
    let action = |title: &str| plan.actions.iter().find(|action| action.title.starts_with(title)).unwrap();
    let system = action("upgrade 1 of the distribution's packages");
    assert!(system.edits[0].after.starts_with(
        "FROM python:3.12-bookworm@sha256:0 AS app\nRUN apt-get update && apt-get install -y --no-install-recommends --only-upgrade openssl"
    ));
    let base = action(
        "change the base image docker.io/library/python:3.12-bookworm to docker.io/library/python:3.13-bookworm",
    );
    assert_eq!(
        base.edits[0].after,
        DOCKERFILE.replace("3.12-bookworm@sha256:0", "3.13-bookworm"),
        "the old digest goes"
    );
    let refresh = action("refresh the base image");
    assert_eq!((refresh.clears.total(), refresh.measured), (1, false), "one fixable finding lies in the base");
}

#[test]
fn manifests_are_edited_or_left_alone() {
    let edit = |path: &str, text: &str, kind, name: &str, to: &str| manifest::edit(path, text, kind, name, to);
    for (path, kind, name, to, before, after) in [
        (
            "requirements.txt",
            PackageKind::Pypi,
            "foo-bar",
            "2.0",
            "Foo.Bar[x] == 1.0 ; python_version > '3'",
            Some("Foo.Bar[x] == 2.0 ; python_version > '3'"),
        ),
        ("requirements.txt", PackageKind::Pypi, "foo", "2.0", "foo==1.0 --hash=sha256:0", None),
        ("requirements.txt", PackageKind::Pypi, "foo", "2.0", "foobar==1.0", None),
        ("package.json", PackageKind::Npm, "@a/b", "2.0.0", "  \"@a/b\": \"~1.0.0\",", Some("  \"@a/b\": \"~2.0.0\",")),
        ("package.json", PackageKind::Npm, "a", "2.0.0", "  \"a\": \">=1.0.0 <2\",", None),
        ("package.json", PackageKind::Npm, "a", "2.0.0", "  \"a\": \"git+ssh://x\",", None),
        (
            "go.mod",
            PackageKind::Golang,
            "example.com/a",
            "1.2.3",
            "\texample.com/a v1.0.0 // indirect",
            Some("\texample.com/a v1.2.3 // indirect"),
        ),
        (
            "Cargo.toml",
            PackageKind::Cargo,
            "serde",
            "1.0.9",
            "serde = { version = \"1.0.1\", features = [\"derive\"] }",
            Some("serde = { version = \"1.0.9\", features = [\"derive\"] }"),
        ),
        ("Cargo.toml", PackageKind::Cargo, "serde", "1.0.9", "serde_json = \"1.0.1\"", None),
        (
            "Gemfile",
            PackageKind::Gem,
            "rails",
            "7.1.0",
            "gem \"rails\", \"~> 7.0\"",
            Some("gem \"rails\", \"~> 7.1.0\""),
        ),
    ] {
        assert_eq!(edit(path, before, kind, name, to).as_deref(), after, "{before}");
    }
    assert_eq!(manifest::command(PackageKind::Npm, "a; rm -rf /", "1"), None, "names that a shell would read");
}

#[test]
fn diffs_apply() {
    let before: String = (0..40).map(|line| format!("line {line}\n")).collect();
    let after =
        before.replace("line 3\n", "line three\n").replace("line 30\n", "").replace("line 35\n", "line 35\nmore\n");
    let diff = unified("f", &before, &after);
    assert_eq!(diff.matches("@@ -").count(), 2, "{diff}");
    assert_eq!(unified("f", &before, &before), "");
    assert!(diff.contains("\n-line 30\n") && diff.contains("\n+more\n") && diff.contains("\n+line three\n"), "{diff}");
}
