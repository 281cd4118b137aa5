use std::collections::HashSet;
use std::io::Write as _;

use super::*;

/// A source of these files, as a segment.
pub(crate) fn segment(source: &str, files: &[(&str, &str)]) -> Segment {
    let mut importer = Importer::new("2026-11-25");
    for (path, text) in files {
        importer.add(path, text.as_bytes());
    }
    let (import, builder) = importer.finish();
    assert_eq!(import.problems, Vec::new());
    Segment::open(Box::new(write(source, &import, builder))).unwrap()
}

fn write(source: &str, import: &Import, builder: SegmentBuilder) -> Vec<u8> {
    let info = SegmentInfo {
        source: source.to_owned(),
        formats: import.formats.clone(),
        data_date: import.data_date.clone(),
        imported: "2026-11-23T00:00:00Z".to_owned(),
        ..SegmentInfo::default()
    };
    let mut bytes = Vec::new();
    builder.write(info, &mut bytes).unwrap();
    bytes
}

pub(crate) fn osv(id: &str, ecosystem: &str, name: &str, events: &str) -> String {
    format!(
        r#"{{"id":"{id}","modified":"2026-01-01T00:00:00Z","summary":"About {id}","affected":[{{"package":{{"ecosystem":"{ecosystem}","name":"{name}"}},"ranges":[{{"type":"ECOSYSTEM","events":{events}}}]}}]}}"#
    )
}

#[test]
fn a_record_comes_back_under_its_normalised_name() {
    let text = osv("PYSEC-1", "PyPI", "Foo.Bar", r#"[{"introduced":"0"},{"fixed":"1.2"}]"#);
    let database = Database::new(vec![segment("pypa", &[("a.json", &text)])]);
    let hits = database.affected("PyPI", &normalized_name("PyPI", "foo__bar")).unwrap();
    assert_eq!(hits.len(), 1);
    assert_eq!(hits[0].advisory.summary, "About PYSEC-1");
    assert_eq!(hits[0].affected.ranges, vec![Range::below("1.2")]);
    assert!(database.covers("PyPI") && !database.covers("npm"));
    assert!(database.affected("PyPI", "other").unwrap().is_empty());
}

#[test]
fn withdrawn_records_are_left_out() {
    let text = r#"{"id":"GHSA-x","modified":"2026-01-01T00:00:00Z","withdrawn":"2026-01-02T00:00:00Z","affected":[{"package":{"ecosystem":"npm","name":"x"}}]}"#;
    assert!(!Database::new(vec![segment("npm", &[("x.json", text)])]).covers("npm"));
}

#[test]
fn many_packages_are_found_in_their_blocks() {
    let mut importer = Importer::new("2026-11-25");
    for number in 0..5000 {
        let text = osv(&format!("OSV-{number}"), "npm", &format!("package-{number}"), r#"[{"introduced":"0"}]"#);
        importer.add_file(&format!("{number}.json"), text.as_bytes());
    }
    let (import, builder) = importer.finish();
    let bytes = write("npm", &import, builder);
    let segment = Segment::open(Box::new(bytes.clone())).unwrap();
    segment.verify().unwrap();
    for number in [0, 1, 999, 1000, 4999] {
        assert_eq!(segment.affected("npm", &format!("package-{number}")).unwrap().len(), 1, "{number}");
    }
    assert!(segment.affected("npm", "package-5000").unwrap().is_empty());
    // Two writings of the same records are the same bytes.
    let again = SegmentBuilder::from_segment(&segment).unwrap();
    assert!(write("npm", &import, again) == bytes);
}

#[test]
fn damage_is_noticed() {
    let text = osv("OSV-1", "npm", "left-pad", r#"[{"introduced":"0"}]"#);
    let mut importer = Importer::new("2026-11-25");
    importer.add("a.json", text.as_bytes());
    let (import, builder) = importer.finish();
    let whole = write("npm", &import, builder);
    for length in 0..whole.len() {
        assert!(Segment::open(Box::new(whole[..length].to_vec())).is_err(), "cut off at {length}");
    }
    for at in 0..whole.len() {
        let mut bytes = whole.clone();
        bytes[at] ^= 0x10;
        let read = |bytes: Vec<u8>| {
            let segment = Segment::open(Box::new(bytes))?;
            segment.verify()?;
            segment.affected("npm", "left-pad")
        };
        // Zstandard's header has a bit without a meaning; what it frames is then the same.
        let (result, expected) = (read(bytes), read(whole.clone()).unwrap());
        assert!(result.is_err() || result.unwrap() == expected, "a flipped bit at {at} of {}", whole.len());
    }
}

#[test]
fn an_increment_replaces_what_it_names() {
    let old = segment(
        "npm",
        &[
            ("1.json", &osv("OSV-1", "npm", "a", r#"[{"introduced":"0"}]"#)),
            ("2.json", &osv("OSV-2", "npm", "b", r#"[{"introduced":"0"}]"#)),
        ],
    );
    let mut importer = Importer::onto(SegmentBuilder::from_segment(&old).unwrap(), "2026-11-25");
    importer.forget(&HashSet::from(["OSV-1".to_owned()]));
    importer.add_file("1.json", osv("OSV-1", "npm", "c", r#"[{"introduced":"0"}]"#).as_bytes());
    let (import, builder) = importer.finish();
    let new = Segment::open(Box::new(write("npm", &import, builder))).unwrap();
    let count = |name: &str| new.affected("npm", name).unwrap().len();
    assert_eq!((count("a"), count("b"), count("c")), (0, 1, 1));
}

#[test]
fn dates_in_the_future_are_lies() {
    let text = osv("OSV-1", "npm", "a", r#"[{"introduced":"0"}]"#).replace("2026-01-01", "2099-01-01");
    let mut importer = Importer::new("2026-11-25");
    importer.add("a.json", text.as_bytes());
    let (import, _) = importer.finish();
    assert_eq!((import.data_date.as_str(), import.future_dates), ("", 1));
}

#[test]
fn feeds_that_are_no_feeds_are_problems_or_nothing() {
    let mut importer = Importer::new("2026-11-25");
    importer.add("broken.json", b"{\"id\": ");
    importer.add("binary", &[0xff, 0xfe, 0]);
    importer.add("README.md", b"# Hello");
    importer.add("cut.zip", b"PK\x03\x04 and nothing more");
    importer.add("cut.xz", b"\xfd7zXZ\0garbage");
    importer.add("deep.json", "[".repeat(100_000).as_bytes());
    importer.add("deep.yaml", "- ".repeat(100_000).as_bytes());
    importer.add("bomb.yaml", b"a: &a [1]\nb: [*a, *a]");
    let (import, builder) = importer.finish();
    assert_eq!(import.files, 0);
    assert_eq!(import.problem_count, 7, "{:?}", import.problems);
    assert!(builder.is_empty());
}

#[test]
fn zip_archives_are_read() {
    let text = osv("OSV-1", "npm", "a", r#"[{"introduced":"0"}]"#);
    let mut importer = Importer::new("2026-11-25");
    importer.add("all.zip", &zip(&[("OSV-1.json", text.as_bytes())]));
    let (import, _) = importer.finish();
    assert_eq!((import.files, import.problem_count), (1, 0));
}

/// A zip file with deflated members.
fn zip(members: &[(&str, &[u8])]) -> Vec<u8> {
    let (mut file, mut directory) = (Vec::new(), Vec::new());
    for (name, contents) in members {
        let mut packer = flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::default());
        packer.write_all(contents).unwrap();
        let packed = packer.finish().unwrap();
        let offset = u32::try_from(file.len()).unwrap().to_le_bytes();
        let sizes = [packed.len(), contents.len()].map(|size| u32::try_from(size).unwrap().to_le_bytes()).concat();
        let length = u16::try_from(name.len()).unwrap().to_le_bytes();
        let common = [&[20, 0, 0, 0, 8, 0, 0, 0, 0, 0, 0, 0, 0, 0][..], &sizes, &length, &[0, 0]].concat();
        file.extend([b"PK\x03\x04".as_slice(), &common, name.as_bytes(), &packed].concat());
        directory.extend([b"PK\x01\x02\x14\x00".as_slice(), &common, &[0; 10], &offset, name.as_bytes()].concat());
    }
    let count = u16::try_from(members.len()).unwrap().to_le_bytes();
    let (start, length) = (file.len(), directory.len());
    file.extend(directory);
    let places = [length, start].map(|place| u32::try_from(place).unwrap().to_le_bytes()).concat();
    file.extend([b"PK\x05\x06\0\0\0\0".as_slice(), &count, &count, &places, &[0, 0]].concat());
    file
}

#[test]
fn debian_lists_give_the_last_word_to_the_newest_notice() {
    let list = "[02 Jan 2023] DSA-2-1 foo - regression update\n\t{CVE-2022-1}\n\t[bullseye] - foo 1.0-1+deb11u2\n\
                [01 Jan 2023] DSA-1-1 foo - security update\n\t{CVE-2022-1 CVE-2022-2}\n\t[bullseye] - foo 1.0-1+deb11u1\n";
    let database = Database::new(vec![segment("dsa", &[("data/DSA/list", list)])]);
    let hits = database.affected("Debian:11", "foo").unwrap();
    let about = |id: &str| hits.iter().find(|hit| hit.affected.id == id).map(|hit| hit.advisory.upstream.clone());
    assert_eq!(about("DSA-2-1"), Some(vec!["CVE-2022-1".to_owned()]));
    assert_eq!(about("DSA-1-1"), Some(vec!["CVE-2022-2".to_owned()]));
}

#[test]
fn the_debian_tracker_knows_what_is_not_fixed() {
    let tracker = r#"{"bar":{"CVE-2024-1":{"description":"Bad.","releases":{
        "bookworm":{"status":"resolved","fixed_version":"2.0-1","urgency":"not yet assigned"},
        "trixie":{"status":"resolved","fixed_version":"0","urgency":"unimportant"},
        "bullseye":{"status":"open","urgency":"low","nodsa":"Minor issue","nodsa_reason":""}}}}}"#;
    let database = Database::new(vec![segment("debian", &[("json", tracker)])]);
    let one = |release: &str| database.affected(release, "bar").unwrap().remove(0).affected;
    assert_eq!(one("Debian:12").ranges, vec![Range::below("2.0-1")]);
    assert_eq!(one("Debian:13").status, Status::NotAffected);
    assert_eq!((one("Debian:11").status, one("Debian:11").severity), (Status::WontFix, Severity::Low));
}

#[test]
fn secdb_in_json_and_yaml() {
    let yaml = "distroversion: v3.20\nreponame: main\npackages:\n  - pkg:\n      name: busybox\n      secfixes:\n        1.36.1-r29:\n          - CVE-2023-42364 CVE-2023-42365\n        \"0\":\n          - CVE-2022-1\n";
    let wolfi = r#"{"apkurl":"{{urlprefix}}/{{arch}}/x","urlprefix":"https://packages.wolfi.dev/os","packages":[{"pkg":{"name":"busybox","secfixes":{"1.36.1-r1":["CVE-2023-42364"]}}}]}"#;
    let database = Database::new(vec![segment("a", &[("main.yaml", yaml)]), segment("b", &[("security.json", wolfi)])]);
    assert_eq!(database.affected("Alpine:v3.20", "busybox").unwrap().len(), 3);
    assert_eq!(database.affected("Wolfi", "busybox").unwrap().len(), 1);
}

#[test]
fn kev_epss_scores_and_ends_of_life() {
    let kev = r#"{"catalogVersion":"1","dateReleased":"2026-01-01","vulnerabilities":[{"cveID":"CVE-2024-1","dateAdded":"2024-02-03","knownRansomwareCampaignUse":"Known"}]}"#;
    let epss = "#model_version:v2025.03.14,score_date:2026-11-20T00:00:00+0000\ncve,epss,percentile\nCVE-2024-1,0.97,0.999\nCVE-2,7,1\n";
    let nvd = r#"{"timestamp":"2026-11-01","vulnerabilities":[{"cve":{"id":"CVE-2024-1","descriptions":[{"lang":"en","value":"Bad."}],"metrics":{"cvssMetricV31":[{"cvssData":{"vectorString":"CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H"}}]}}}]}"#;
    let page = "---\ntitle: Debian\nreleases:\n  - releaseCycle: \"12\"\n    codename: Bookworm\n    eol: 2026-07-11\n    latest: \"12.15\"\n---\ntext";
    let database = Database::new(vec![
        segment("epss", &[("e.csv", epss)]),
        segment("kev", &[("k.json", kev)]),
        segment("nvd", &[("n.json", nvd)]),
        segment("eol", &[("products/debian.md", page)]),
    ]);
    assert!(database.exploited("CVE-2024-1").unwrap().unwrap().ransomware);
    assert_eq!(database.epss("CVE-2024-1").unwrap().unwrap().score, 0.97);
    assert_eq!(database.epss("CVE-2").unwrap(), None, "7 is no probability");
    let scored = database.advisories("CVE-2024-1").unwrap();
    assert_eq!(scored[0].1.cvss[0].score, 9.8);
    let cycles = database.cycles("debian").unwrap();
    assert!(cycles[0].is_over("2026-11-23") && !cycles[0].is_over("2026-07-11"));
    assert_eq!(cycles[0].codename, "bookworm");
}

#[test]
fn official_tags() {
    let text = "Maintainers: A\nGitRepo: x\n\nTags: 3.13.1-slim-trixie, 3.13-slim-trixie,\n 3-slim\nSharedTags: 3.13-slim\nArchitectures: amd64, arm64v8\nDirectory: 3.13/slim\n";
    let database = Database::new(vec![segment("official", &[("library/python", text)])]);
    let groups = database.images("python").unwrap();
    assert_eq!(groups[0].tags, ["3.13.1-slim-trixie", "3.13-slim-trixie", "3-slim"]);
    assert_eq!(groups[0].architectures, ["amd64", "arm64v8"]);
}

#[test]
fn cvss_of_all_versions() {
    for (vector, score, severity) in [
        ("AV:N/AC:L/Au:N/C:P/I:P/A:P", 7.5, Severity::High),
        ("CVSS:3.0/AV:N/AC:L/PR:N/UI:N/S:C/C:H/I:H/A:H", 10.0, Severity::Critical),
        ("CVSS:3.1/AV:L/AC:H/PR:L/UI:R/S:U/C:L/I:N/A:N/E:P/RL:O", 2.2, Severity::Low),
        ("CVSS:4.0/AV:N/AC:L/AT:N/PR:N/UI:N/VC:H/VI:H/VA:H/SC:N/SI:N/SA:N", 9.3, Severity::Critical),
    ] {
        let cvss = Cvss::parse(vector).unwrap();
        assert_eq!(cvss.score, score, "{vector}");
        assert_eq!(Severity::of_score(cvss.score), severity, "{vector}");
    }
    assert_eq!(Cvss::parse("CVSS:3.1/AV:X"), None);
    assert_eq!(Cvss::parse("7.5"), None);
}

#[test]
fn ecosystems_of_feeds() {
    for (feed, key) in [
        ("Ubuntu:22.04:LTS", ("Ubuntu:22.04", false)),
        ("Ubuntu:Pro:18.04:LTS", ("Ubuntu:18.04", true)),
        ("Red Hat:enterprise_linux:9::baseos", ("Red Hat:9", false)),
        ("SUSE:Linux Enterprise Server 15 SP5", ("SUSE:15.5", false)),
        ("openSUSE:Leap 15.6", ("openSUSE:15.6", false)),
        ("Alpine:v3.20", ("Alpine:v3.20", false)),
    ] {
        assert_eq!(ecosystem::key_of_feed(feed), (key.0.to_owned(), key.1), "{feed}");
    }
}

#[test]
fn red_hat_csaf() {
    let text = r#"{"document":{"csaf_version":"2.0","tracking":{"id":"RHSA-2024:1","current_release_date":"2024-01-01"},"aggregate_severity":{"text":"Important"}},
      "product_tree":{"branches":[{"branches":[{"product":{"product_id":"BaseOS-9","product_identification_helper":{"cpe":"cpe:/o:redhat:enterprise_linux:9::baseos"}}}]}],
        "relationships":[{"product_reference":"openssl-1:3.0.7-27.el9.x86_64","relates_to_product_reference":"BaseOS-9","full_product_name":{"product_id":"BaseOS-9:openssl-1:3.0.7-27.el9.x86_64"}}]},
      "vulnerabilities":[{"cve":"CVE-2024-1","product_status":{"fixed":["BaseOS-9:openssl-1:3.0.7-27.el9.x86_64"]}}]}"#;
    let database = Database::new(vec![segment("rhsa", &[("a.json", text)])]);
    let hit = database.affected("Red Hat:9", "openssl").unwrap().remove(0);
    assert_eq!(hit.affected.ranges, vec![Range::below("1:3.0.7-27.el9")]);
    assert_eq!(hit.advisory.severity, Severity::High);
}
