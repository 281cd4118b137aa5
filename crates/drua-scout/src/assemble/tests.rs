use crate::facts::Finding;
use crate::limits::Limits;
use crate::model::{Layer, NoteKind, Sbom, Target, TargetKind};
use crate::scan::{Entry, EntryKind, Scanned, Scanner, Whiteouts};
use crate::{ScannedLayer, assemble, layer_reports};

/// A tar of these files; a name that ends with `/` is a directory.
fn tar(files: &[(&str, &str)]) -> Vec<u8> {
    let mut tar = tar::Builder::new(Vec::new());
    for (path, content) in files {
        let mut header = tar::Header::new_gnu();
        header.set_size(content.len() as u64);
        header.set_mode(0o755);
        header.set_entry_type(if path.ends_with('/') { tar::EntryType::Directory } else { tar::EntryType::Regular });
        tar.append_data(&mut header, path, content.as_bytes()).expect("memory");
    }
    tar.into_inner().expect("memory")
}

fn scan(tar: &[u8]) -> Scanned {
    let limits = Limits::default();
    let mut scanner = Scanner::new(&limits, Whiteouts::Apply).expect("memory");
    scanner.layer(tar);
    scanner.finish().expect("memory")
}

fn image(layers: &[&[(&str, &str)]]) -> (Sbom, Vec<ScannedLayer>, Vec<Vec<u8>>) {
    let scanned = layers.iter().map(|files| scan(&tar(files)));
    let (layers, listings): (Vec<ScannedLayer>, Vec<Vec<u8>>) = scanned
        .map(|scanned| (ScannedLayer { layer: Layer::default(), facts: scanned.facts }, scanned.listing))
        .unzip();
    let target = Target { kind: TargetKind::Image, name: "test".into(), ..Target::default() };
    (assemble(target, &layers), layers, listings)
}

/// `name version @layer` of every package.
fn packages(sbom: &Sbom) -> Vec<String> {
    let line = |package: &crate::Package| format!("{} {} @{:?}", package.name, package.version, package.layer());
    sbom.packages.iter().map(line).collect()
}

fn status(packages: &[(&str, &str)]) -> String {
    packages
        .iter()
        .map(|(name, version)| format!("Package: {name}\nStatus: install ok installed\nVersion: {version}\n\n"))
        .collect()
}

const DEBIAN: (&str, &str) = ("etc/os-release", "ID=debian\nVERSION_ID=\"12\"\nPRETTY_NAME=\"Debian 12\"\n");

#[test]
fn databases_that_grow_keep_the_layer_of_each_package() {
    let (first, second, third) = (
        status(&[("a", "1"), ("b", "1")]),
        status(&[("a", "1"), ("b", "2"), ("c", "1")]),
        status(&[("a", "1"), ("c", "1")]),
    );
    let (sbom, layers, listings) = image(&[
        &[DEBIAN, ("var/lib/dpkg/status", &first)],
        &[("var/lib/dpkg/status", &second)],
        &[("unrelated", "x")],
        &[("var/lib/dpkg/status", &third)],
    ]);
    assert_eq!(packages(&sbom), ["a 1 @Some(0)", "c 1 @Some(1)"]);
    assert_eq!(sbom.distro.as_ref().map(crate::Distro::title), Some("Debian 12".into()));
    let reports = layer_reports(&layers, &listings);
    let change = |list: &[crate::PackageChange]| -> Vec<String> {
        list.iter().map(|c| format!("{} {:?} {:?}", c.name, c.from.as_deref(), c.to.as_deref())).collect()
    };
    assert_eq!(change(&reports.layers[1].packages_added), ["c None Some(\"1\")"]);
    assert_eq!(change(&reports.layers[1].packages_upgraded), ["b Some(\"1\") Some(\"2\")"]);
    assert_eq!(change(&reports.layers[3].packages_removed), ["b Some(\"2\") None"]);
    assert_eq!(reports.layers[0].wasted_bytes, first.len() as u64);
    assert_eq!(reports.layers[1].wasted_bytes, second.len() as u64);
    assert_eq!(reports.wasted_files[0].copies, 2);
}

#[test]
fn whiteouts_opaque_directories_and_replaced_directories_hide() {
    let package = |name: &str| format!(r#"{{"name":"{name}","version":"1.0.0"}}"#);
    let (a, b, c, d) = (package("a"), package("b"), package("c"), package("d"));
    let base: &[(&str, &str)] = &[
        ("app/node_modules/a/package.json", &a),
        ("srv/node_modules/b/package.json", &b),
        ("opt/node_modules/c/package.json", &c),
        ("usr/node_modules/d/package.json", &d),
    ];
    let top: &[(&str, &str)] =
        &[("app/node_modules/.wh.a", ""), ("srv/", ""), ("srv/.wh..wh..opq", ""), ("opt", "a file now")];
    let (sbom, layers, listings) = image(&[base, top]);
    assert_eq!(packages(&sbom), ["d 1.0.0 @Some(0)"]);
    let reports = layer_reports(&layers, &listings);
    assert_eq!(reports.layers[1].files_removed, 2);
    assert_eq!(reports.layers[1].packages_removed.len(), 3);
    assert_eq!(packages(&image(&[base]).0).len(), 4);
}

#[test]
fn removed_and_installed_again_counts_from_there() {
    let metadata = "Name: six\nVersion: 1.16.0\n\n";
    let path = "usr/lib/python3/site-packages/six-1.16.0.dist-info/METADATA";
    let (sbom, ..) = image(&[
        &[(path, metadata)],
        &[("usr/lib/python3/site-packages/.wh.six-1.16.0.dist-info", "")],
        &[(path, metadata)],
    ]);
    assert_eq!(packages(&sbom), ["six 1.16.0 @Some(2)"]);
    let (sbom, ..) = image(&[&[(path, metadata)], &[(path, metadata)]]);
    assert_eq!(packages(&sbom), ["six 1.16.0 @Some(0)"], "rewritten as it was");
}

#[test]
fn upgraded_in_place_of_a_directory_with_another_name() {
    let at = |version: &str| format!("l/site-packages/flask-{version}.dist-info/METADATA");
    let text = |version: &str| format!("Name: Flask\nVersion: {version}\n\n");
    let (_, layers, listings) = image(&[
        &[(&at("2.0"), &text("2.0"))],
        &[("l/site-packages/.wh.flask-2.0.dist-info", ""), (&at("3.0"), &text("3.0"))],
    ]);
    let report = &layer_reports(&layers, &listings).layers[1];
    assert_eq!((report.packages_added.len(), report.packages_removed.len()), (0, 0));
    assert_eq!(report.packages_upgraded[0].from.as_deref(), Some("2.0"));
}

#[test]
fn owners_and_licences_come_from_beside_the_database() {
    let db = status(&[("python3-six", "1.16.0-4")]);
    let (sbom, ..) = image(&[&[
        DEBIAN,
        ("var/lib/dpkg/status", &db),
        ("var/lib/dpkg/info/python3-six.list", "/.\n/usr/lib/python3/dist-packages/six-1.16.0.egg-info/PKG-INFO\n"),
        ("usr/share/doc/python3-six/copyright", "Files: *\nLicense: Expat\n"),
        ("usr/lib/python3/dist-packages/six-1.16.0.egg-info/PKG-INFO", "Name: six\nVersion: 1.16.0\n\n"),
    ]]);
    let names: Vec<&str> = sbom.packages.iter().map(|package| package.name.as_str()).collect();
    assert_eq!(names, ["python3-six", "six"]);
    assert_eq!(sbom.packages[1].owner, Some(0));
    assert_eq!(sbom.packages[0].licenses, ["Expat"]);
    assert_eq!(
        sbom.packages[0].purl(sbom.distro.as_ref()).to_string(),
        "pkg:deb/debian/python3-six@1.16.0-4?distro=debian-12"
    );
}

#[test]
fn lock_files_count_in_directories_only() {
    let lock = "[[package]]\nname = \"serde\"\nversion = \"1.0.0\"\nsource = \"registry+x\"\n";
    let (sbom, layers, _) = image(&[&[("app/Cargo.lock", lock)]]);
    assert!(sbom.packages.is_empty());
    let target = Target { kind: TargetKind::Directory, ..Target::default() };
    assert_eq!(assemble(target, &layers).packages.len(), 1);
}

#[test]
fn a_distribution_without_its_database_is_said() {
    let (sbom, ..) = image(&[&[DEBIAN]]);
    assert!(sbom.notes.iter().any(|note| note.kind == NoteKind::Incomplete && note.text.contains("no database")));
}

#[test]
fn secrets_in_lower_layers_are_found_with_who_hides_them() {
    let key = format!("-----BEGIN OPENSSH PRIVATE KEY-----\n{}\n", "b3BlbnNzaC1rZXktdjEAAAAA".repeat(4));
    let (_, layers, listings) = image(&[&[("root/.ssh/id_rsa", &key)], &[("root/.ssh/.wh.id_rsa", "")]]);
    let secret = &layer_reports(&layers, &listings).layers[0].secrets[0];
    assert_eq!((secret.rule.as_str(), secret.hidden_by), ("private-key", Some(1)));
    let facts = serde_json::to_string(&layers[0].facts).expect("JSON");
    assert!(!facts.contains("b3BlbnNz"), "the value is not recorded");
}

#[test]
fn damaged_layers_say_so_and_keep_what_was_read() {
    let db = status(&[("a", "1")]);
    let mut bytes = tar(&[("var/lib/dpkg/status", &db), ("large", &"x".repeat(4000))]);
    bytes.truncate(2500);
    let scanned = scan(&bytes);
    assert!(scanned.facts.files.iter().any(|file| matches!(file.findings[..], [Finding::Packages(_)])));
    assert!(
        scanned.facts.notes.iter().any(|note| note.text.contains("cannot be read to its end")),
        "{:?}",
        scanned.facts.notes
    );
}

#[test]
fn compressed_layers_are_read_and_strange_ones_named() {
    let db = status(&[("a", "1")]);
    let plain = tar(&[("var/lib/dpkg/status", &db)]);
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    std::io::Write::write_all(&mut gzip, &plain).expect("memory");
    let zstd = zstd::stream::encode_all(plain.as_slice(), 1).expect("memory");
    for bytes in [&plain, &gzip.finish().expect("memory"), &zstd] {
        assert_eq!(scan(bytes).facts.files.len(), 1);
    }
    assert!(scan(b"BZh91AY&SY").facts.notes[0].text.contains("not supported"));
    assert!(scan(b"").facts.notes.is_empty(), "an empty layer is one");
}

#[test]
fn names_that_leave_the_tree_are_left_out() {
    let limits = Limits::default();
    let mut scanner = Scanner::new(&limits, Whiteouts::Apply).expect("memory");
    for path in ["../etc/os-release", "a/../../b", "/", "./", ""] {
        scanner.entry(Entry { path, kind: EntryKind::File, size: 3 }, &mut b"x=y".as_slice()).expect("memory");
    }
    let facts = scanner.finish().expect("memory").facts;
    assert_eq!((facts.files.len(), facts.entries, facts.notes.len()), (0, 0, 2));
}

#[test]
fn files_above_the_limit_are_named() {
    let limits = Limits { document_bytes: 10, ..Limits::default() };
    let mut scanner = Scanner::new(&limits, Whiteouts::Apply).expect("memory");
    let content = status(&[("a", "1")]);
    let entry = Entry { path: "/var/lib/dpkg/status", kind: EntryKind::File, size: content.len() as u64 };
    scanner.entry(entry, &mut content.as_bytes()).expect("memory");
    let facts = scanner.finish().expect("memory").facts;
    assert!(facts.notes[0].text.contains("more than the limit"), "{:?}", facts.notes);
}

#[test]
fn requests_and_answers_cross_the_pipe() {
    let db = status(&[("a", "1")]);
    let layer = tar(&[("var/lib/dpkg/status", &db)]);
    let mut requests = Vec::new();
    for kind in [crate::Request::Layer, crate::Request::FileSystem] {
        let mut writer = crate::RequestWriter::begin(&mut requests, kind).expect("memory");
        std::io::Write::write_all(&mut writer, &layer).expect("memory");
        writer.end().expect("memory");
    }
    let mut writer = crate::RequestWriter::begin(&mut requests, crate::Request::Entries).expect("memory");
    let entry = Entry { path: "/var/lib/dpkg/status", kind: EntryKind::File, size: db.len() as u64 };
    crate::write_entry(&mut writer, &entry, db.as_bytes()).expect("memory");
    writer.end().expect("memory");
    let mut answers = Vec::new();
    crate::serve(requests.as_slice(), &mut answers).expect("served");
    let mut answers = answers.as_slice();
    for _ in 0..3 {
        let scanned = crate::read_answer(&mut answers).expect("an answer");
        assert_eq!(scanned.facts.files.len(), 1);
        assert_eq!(scanned.facts.hashes.len(), 1);
    }
    assert!(answers.is_empty());
    let mut cut = Vec::new();
    assert!(crate::serve(&requests[..requests.len() / 2], &mut cut).is_err(), "a parent that is gone ends it");
}
