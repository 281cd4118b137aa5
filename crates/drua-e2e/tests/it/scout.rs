//! `drua sbom` and `drua scout layers`: images, archives, directories, containers; documents beside their schemas.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use drua_e2e::{Cmd, Image, Rootfs, binary};
use serde_json::{Value, json};

use crate::support::{busybox, load, python_client, skip};

/// `drua` without a daemon, with a cache of its own.
fn drua(dir: &Path, args: &[&str]) -> Cmd {
    let program = binary::drua().expect("drua has been built");
    Cmd::new(program).env("HOME", dir).env("DRUA_SCOUT_CACHE", dir.join("cache")).args(args.iter())
}

fn scratch() -> tempfile::TempDir {
    tempfile::tempdir().unwrap()
}

/// `name version` of every package.
fn packages(document: &str) -> BTreeSet<String> {
    let document: Value = serde_json::from_str(document).unwrap();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let line = |artifact: &Value| format!("{} {}", text(&artifact["name"]), text(&artifact["version"]));
    document["artifacts"].as_array().unwrap().iter().map(line).collect()
}

/// Alpine's root file system of the test data, unpacked.
fn alpine(dir: &Path) -> Option<PathBuf> {
    let Ok(archive) = binary::test_data("images/alpine-minirootfs-3.20.3-x86_64.tar.gz") else {
        return skip("no test data");
    };
    let root = dir.join("alpine");
    fs_err::create_dir_all(&root).unwrap();
    Cmd::new("tar").arg("-xzf").arg(&archive).arg("-C").arg(&root).run().ok();
    Some(root)
}

#[test]
fn alpine_has_the_packages_of_its_database_however_it_is_read() {
    let dir = scratch();
    let Some(root) = alpine(dir.path()) else { return };
    let database = fs_err::read_to_string(root.join("lib/apk/db/installed")).unwrap();
    let field =
        |paragraph: &str, key: &str| paragraph.lines().find_map(|line| line.strip_prefix(key)).map(str::to_owned);
    let expected: BTreeSet<String> = database
        .split("\n\n")
        .filter_map(|paragraph| Some(format!("{} {}", field(paragraph, "P:")?, field(paragraph, "V:")?)))
        .collect();
    assert!(expected.len() > 10);
    let archive = binary::test_data("images/alpine-minirootfs-3.20.3-x86_64.tar.gz").unwrap();
    for target in [format!("fs://{}", root.display()), format!("archive://{}", archive.display())] {
        let run = drua(dir.path(), &["sbom", "--format", "json", &target]).run();
        let found: BTreeSet<String> = packages(run.ok());
        assert!(found.is_superset(&expected), "{target}: {:?}", expected.difference(&found));
        run.complains("Alpine Linux v3.20");
    }
}

#[test]
fn a_local_image_is_read_once() {
    let Some(daemon) = busybox() else { return };
    let first = daemon.drua(["sbom", "busybox"]).run();
    assert!(first.ok().contains("busybox   1."), "{first}");
    first.complains("in 1 layer");
    let second = daemon.drua(["sbom", "local://busybox"]).run();
    second.complains("in 1 layer, known");
    assert_eq!(first.ok(), second.ok());
    daemon.drua(["scout", "sbom", "--no-cache", "busybox"]).run().complains("packages in 1 layer").exits(0);
    // As another engine would give it.
    let docker = daemon.docker(["save", "busybox"]).run();
    docker.exits(0);
    daemon.drua(["sbom", "local://nobody"]).run().exits(1).complains("no such image: nobody");
}

#[test]
fn a_container_shows_what_it_has_now() {
    let Some(daemon) = busybox() else { return };
    let package = r#"{"name":"left-pad","version":"1.3.0"}"#;
    let write =
        format!("mkdir -p /app/node_modules/left-pad && echo '{package}' > /app/node_modules/left-pad/package.json");
    daemon.docker(["run", "--name", "web", "busybox", "sh", "-c", &write]).run().ok();
    let run = daemon.drua(["sbom", "container://web"]).run();
    assert!(run.ok().contains("left-pad   1.3.0"), "{run}");
}

/// An image of two layers: packages, an upgrade, a removal, and a key that the second layer hides.
fn layered(reference: &str) -> Image {
    let package = |name: &str, version: &str| format!(r#"{{"name":"{name}","version":"{version}"}}"#);
    let key = format!("-----BEGIN OPENSSH PRIVATE KEY-----\n{}\n", "b3BlbnNzaC1rZXktdjEAAAAA".repeat(4));
    let lower = Rootfs::new()
        .file("app/node_modules/a/package.json", 0o644, package("a", "1.0.0"))
        .file("app/node_modules/b/package.json", 0o644, package("b", "1.0.0"))
        .file("root/.ssh/id_rsa", 0o600, key);
    let upper = Rootfs::new()
        .file("app/node_modules/a/package.json", 0o644, package("a", "2.0.0"))
        .file("app/node_modules/.wh.b", 0o644, "")
        .file("root/.ssh/.wh.id_rsa", 0o644, "");
    Image::linux(reference).rootfs(lower).rootfs(upper).config("Cmd", json!(["/none"]))
}

#[test]
fn layers_tell_what_they_did() {
    let Some(daemon) = busybox() else { return };
    load(&daemon, &layered("layered:1"));
    let run = daemon.drua(["scout", "layers", "--exit-code", "layered:1"]).run();
    run.exits(2);
    let table = run.to_string();
    for text in [
        "a 1.0.0 → 2.0.0 (npm)",
        "- b 1.0.0 (npm)",
        "secret: /root/.ssh/id_rsa:1 (private-key); layer 1 hides it",
        "wasted:",
    ] {
        assert!(table.contains(text), "{text}\n{table}");
    }
    let run = daemon.drua(["scout", "layers", "--format", "json", "layered:1"]).run();
    let report: Value = serde_json::from_str(run.ok()).unwrap();
    assert_eq!(report["layers"][1]["packagesRemoved"][0]["name"], "b");
    assert_eq!(report["layers"][0]["secrets"][0]["hiddenBy"], 1);
    let table = daemon.drua(["sbom", "layered:1"]).run();
    assert!(table.ok().contains("a      2.0.0     npm") && !table.ok().contains("b      1"), "{table}");
}

#[test]
fn documents_fit_their_schemas() {
    let dir = scratch();
    let Some(root) = alpine(dir.path()) else { return };
    let Some(python) = python_client("python") else { return };
    // Beside Alpine's packages: what tries the formats' rules.
    let app = root.join("app");
    fs_err::create_dir_all(app.join("node_modules/@s/odd")).unwrap();
    let odd = r#"{"name":"@s/odd","version":"1.0.0-beta+1","license":"SEE LICENSE IN x","homepage":"not a url","author":"A <a@b> (c)"}"#;
    fs_err::write(app.join("node_modules/@s/odd/package.json"), odd).unwrap();
    fs_err::write(app.join("requirements.txt"), "Flask==2.0.1\n").unwrap();
    let target = format!("fs://{}", root.display());
    let write = |format: &str| {
        let path = dir.path().join(format!("{format}.json"));
        drua(dir.path(), &["sbom", "--format", format, "-o", &path.to_string_lossy(), &target]).run().exits(0);
        path
    };
    let cyclonedx = "import sys\nfrom cyclonedx.validation.json import JsonStrictValidator\nfrom cyclonedx.schema import SchemaVersion\n\
                     error = JsonStrictValidator(SchemaVersion.V1_6).validate_str(open(sys.argv[1]).read())\nsys.exit(str(error) if error else 0)";
    Cmd::new(&python).args(["-c", cyclonedx]).arg(write("cyclonedx")).run().ok();
    let spdx = "import sys\nfrom spdx_tools.spdx.parser.parse_anything import parse_file\n\
                from spdx_tools.spdx.validation.document_validator import validate_full_spdx_document\n\
                messages = validate_full_spdx_document(parse_file(sys.argv[1]))\n\
                sys.exit('\\n'.join(m.validation_message for m in messages) if messages else 0)";
    let spdx_file = dir.path().join("app.spdx.json");
    fs_err::rename(write("spdx"), &spdx_file).unwrap();
    Cmd::new(&python).args(["-c", spdx]).arg(&spdx_file).run().ok();

    // And these documents can be read back: the same packages come out of each.
    let direct = drua(dir.path(), &["sbom", "--format", "purls", &target]).run().ok().to_owned();
    for format in ["cyclonedx", "json", "drua-json"] {
        let document = format!("sbom://{}", write(format).display());
        let read = drua(dir.path(), &["sbom", "--format", "purls", &document]).run();
        assert_eq!(read.ok(), direct, "{format}");
    }
    let again = fs_err::read(write("cyclonedx")).unwrap();
    assert_eq!(fs_err::read(dir.path().join("cyclonedx.json")).unwrap(), again, "the same input gives the same bytes");
}

#[test]
fn bad_input_is_named_and_counted() {
    let dir = scratch();
    let root = dir.path().join("bad");
    fs_err::create_dir_all(root.join("var/lib/dpkg")).unwrap();
    fs_err::create_dir_all(root.join("usr/lib/sysimage/rpm")).unwrap();
    fs_err::write(root.join("usr/lib/sysimage/rpm/rpmdb.sqlite"), "SQLite format 3\0 and nothing else").unwrap();
    fs_err::write(root.join("package-lock.json"), "{").unwrap();
    // A pipe in place of a database must not hold up anybody.
    rustix::fs::mknodat(rustix::fs::CWD, root.join("var/lib/dpkg/status"), rustix::fs::FileType::Fifo, 0o600.into(), 0)
        .unwrap();
    let target = format!("fs://{}", root.display());
    let run = drua(dir.path(), &["sbom", &target]).run();
    run.exits(0).complains("/package-lock.json: cannot be read").complains("rpmdb.sqlite: cannot be read");
    drua(dir.path(), &["sbom", "--exit-code", &target]).run().exits(2);

    let junk = dir.path().join("junk.tar");
    fs_err::write(&junk, "no tar at all").unwrap();
    drua(dir.path(), &["sbom", &format!("archive://{}", junk.display())]).run().exits(1);
    drua(dir.path(), &["sbom", "fs:///nowhere/at/all"]).run().exits(1).complains("/nowhere/at/all");
    drua(dir.path(), &["sbom", "sbom:///dev/null"]).run().exits(1).complains("is no JSON");
    drua(dir.path(), &["sbom", "--format", "xml", "fs://."]).run().exits(2).complains("is no format of an SBOM");
}

#[test]
fn a_layer_that_is_not_what_its_manifest_says_is_refused() {
    let dir = scratch();
    let mut bytes = layered("forged:1").to_bytes();
    let at = bytes.windows(10).position(|window| window == br#""name":"a""#).unwrap();
    bytes[at + 8] = b'z';
    let path = dir.path().join("forged.tar");
    fs_err::write(&path, bytes).unwrap();
    let run = drua(dir.path(), &["sbom", &format!("archive://{}", path.display())]).run();
    run.exits(1).complains("its content is not what the manifest says");
}

#[test]
fn the_scanner_has_nothing() {
    use std::io::Write as _;
    let program = binary::drua().expect("drua has been built");
    let mut child = std::process::Command::new(program)
        .arg("scout-scan")
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    // A request under way: it is confined, and waits for the rest.
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(b"F").unwrap();
    let proc = format!("/proc/{}", child.id());
    drua_e2e::wait::until("the scanner to be confined", crate::support::SOON, || {
        fs_err::read_to_string(format!("{proc}/status")).unwrap().contains("NoNewPrivs:\t1")
    });
    let status = fs_err::read_to_string(format!("{proc}/status")).unwrap();
    for line in ["CapEff:\t0000000000000000", "CapPrm:\t0000000000000000", "Uid:\t65534\t65534\t65534\t65534"] {
        assert!(status.contains(line), "{line}\n{status}");
    }
    let net = |pid: &str| fs_err::read_link(format!("/proc/{pid}/ns/net")).unwrap();
    assert_ne!(net("self"), net(&child.id().to_string()));
    assert!(fs_err::read_link(format!("{proc}/root")).unwrap().starts_with("/proc"));
    drop(stdin);
    assert!(!child.wait().unwrap().success(), "a request that is cut off is no success");
}
