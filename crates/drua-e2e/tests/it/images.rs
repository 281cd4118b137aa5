//! load, import, images, tag, rmi, save; and archives that are wrong.

use drua_e2e::{Daemon, Image, Layer, Rootfs, guest};
use serde_json::json;
use tar::EntryType;

use crate::support::{busybox, daemon, load, wasm_image};

fn small() -> Image {
    let rootfs = Rootfs::new().file("etc/greeting", 0o644, "hello\n");
    Image::linux("small:1").rootfs(rootfs).config("Cmd", json!(["/none"])).config("Labels", json!({ "a": "b" }))
}

fn references(daemon: &Daemon) -> Vec<String> {
    let run = daemon.docker(["images", "--format", "{{.Repository}}:{{.Tag}}"]).run();
    run.ok().lines().map(str::to_owned).collect()
}

#[test]
fn load_says_what_it_loaded() {
    let Some(daemon) = daemon() else { return };
    let run = daemon.docker(["load"]).input(small().to_bytes()).run();
    assert_eq!(run.ok(), "Loaded image: small:1");
    assert_eq!(references(&daemon), ["small:1"]);
    let labels = daemon.docker(["inspect", "-f", "{{json .Config.Labels}}", "small:1"]).run();
    assert_eq!(labels.ok(), r#"{"a":"b"}"#);
}

#[test]
fn tag_and_rmi_count_references() {
    let Some(daemon) = daemon() else { return };
    load(&daemon, &small());
    daemon.docker(["tag", "small:1", "other/name:2"]).run().ok();
    assert_eq!(references(&daemon).len(), 2);
    let run = daemon.docker(["rmi", "small:1"]).run();
    assert_eq!(run.ok(), "Untagged: small:1");
    let run = daemon.docker(["rmi", "other/name:2"]).run();
    assert!(run.ok().contains("Deleted: sha256:"), "{run}");
    assert!(references(&daemon).is_empty());
}

#[test]
fn an_image_in_use_is_kept() {
    let Some(daemon) = busybox() else { return };
    daemon.docker(["run", "-d", "--name", "user", "busybox", "sleep", "1000"]).run().ok();
    daemon.docker(["rmi", "busybox", "busybox:test"]).run().exits(1).complains("conflict: unable to");
    daemon.docker(["run", "--rm", "busybox:test", "true"]).run().ok();
}

#[test]
fn save_and_load_keep_the_id() {
    let Some(daemon) = busybox() else { return };
    let id = daemon.docker(["images", "-q", "--no-trunc", "busybox:latest"]).run().ok().to_owned();
    let archive = daemon.dir().join("saved.tar");
    let archive = archive.to_string_lossy();
    daemon.docker(["save", "-o", &archive, "busybox:latest"]).run().ok();
    daemon.docker(["rmi", "busybox:latest", "busybox:test"]).run().ok();
    daemon.docker(["load", "-q", "-i", &archive]).run().ok();
    assert_eq!(daemon.docker(["images", "-q", "--no-trunc", "busybox:latest"]).run().ok(), id);
    daemon.docker(["run", "--rm", "busybox", "echo", "again"]).run().prints("again\n").ok();
}

#[test]
fn import_makes_an_image_of_a_root_filesystem() {
    let Some(daemon) = busybox() else { return };
    let module = Rootfs::new().file("app.wasm", 0o755, guest::module(guest::HELLO)).finish();
    let change = r#"ENTRYPOINT ["/app.wasm"]"#;
    let import = daemon.docker(["import", "--platform", "wasi/wasm", "-c", change, "-", "imported:1"]);
    let run = import.input(module).run();
    assert!(run.ok().starts_with("sha256:"), "{run}");
    let platform = daemon.docker(["inspect", "-f", "{{.Os}}/{{.Architecture}}", "imported:1"]).run();
    assert_eq!(platform.ok(), "wasi/wasm");
    daemon.docker(["run", "--rm", "--platform", "wasi/wasm", "imported:1"]).run().prints("Hello from Wasm\n").ok();
}

#[test]
fn wasm_images_are_listed_and_inspected() {
    let Some(daemon) = daemon() else { return };
    load(&daemon, &wasm_image("hello:wasm", &guest::module(guest::HELLO)));
    assert_eq!(references(&daemon), ["hello:wasm"]);
    let run = daemon.docker(["inspect", "-f", "{{.Os}}/{{.Architecture}} {{json .Config.Entrypoint}}", "hello:wasm"]);
    assert_eq!(run.run().ok(), r#"wasi/wasm ["/app.wasm"]"#);
}

/// Loads an archive that must be refused; the daemon must have nothing of it and go on.
#[track_caller]
fn refuses(archive: Vec<u8>, complaint: &str) {
    let Some(daemon) = daemon() else { return };
    let run = daemon.docker(["load"]).input(archive).run();
    run.exits(1).complains(complaint);
    assert!(references(&daemon).is_empty(), "{run}");
    load(&daemon, &small());
}

/// Loads an image whose one layer is wrong. Nothing may be written outside, and no half image may stay.
#[track_caller]
fn refuses_layer(layer: Rootfs, complaint: &str) {
    refuses(Image::linux("bad:1").rootfs(layer).to_bytes(), complaint);
}

#[test]
fn what_is_no_image_is_refused() {
    refuses(b"this is no tar archive, however long it gets ".repeat(40), "");
}

#[test]
fn a_tar_without_an_image_is_refused() {
    refuses(Rootfs::new().file("readme", 0o644, "no image").finish(), "");
}

#[test]
fn a_truncated_archive_is_refused() {
    let mut archive = small().to_bytes();
    archive.truncate(archive.len() / 2);
    refuses(archive, "");
}

#[test]
fn a_wrong_digest_is_refused() {
    let archive = small().to_bytes();
    // The layer is no longer what its name says.
    let at = archive.windows(6).position(|bytes| bytes == b"hello\n").expect("the layer holds the greeting");
    let mut wrong = archive;
    wrong[at] = b'j';
    refuses(wrong, "sha256:");
}

#[test]
fn a_client_that_is_still_sending_gets_the_refusal() {
    // Far more than a socket's buffers hold comes after what is wrong.
    let mut archive = b"this is no tar archive, however long it gets ".repeat(40);
    archive.resize(16 << 20, 0);
    refuses(archive, "cannot load the image archive");
}

#[test]
fn paths_that_climb_out_are_refused() {
    refuses_layer(Rootfs::new().raw(EntryType::Regular, "../../escaped", "", b"x"), "");
}

#[test]
fn files_through_links_stay_inside() {
    let Some(daemon) = daemon() else { return };
    let target = daemon.dir().join("outside");
    fs_err::create_dir(&target).unwrap();
    let layer = Rootfs::new().symlink("out", &target.to_string_lossy()).raw(EntryType::Regular, "out/file", "", b"x");
    drop(daemon.docker(["load"]).input(Image::linux("bad:1").rootfs(layer).to_bytes()).run());
    drop(daemon.docker(["create", "bad:1", "/x"]).run());
    assert_eq!(fs_err::read_dir(&target).unwrap().count(), 0, "a layer wrote outside of its root");
}

#[test]
fn hard_links_cannot_reach_outside() {
    refuses_layer(Rootfs::new().raw(EntryType::Link, "shadow", "../../../../etc/shadow", b""), "");
}

#[test]
fn a_layer_with_a_million_entries_is_refused() {
    // The same directory again and again: as many entries, and little work for the disk.
    let entry = Rootfs::new().raw(EntryType::Directory, "d", "", b"").finish();
    let layer = Layer::Tar(entry[..512].repeat(1_000_001));
    refuses(Image::linux("bad:1").layer(layer).to_bytes(), "more than the limit of 1000000");
}

#[test]
fn device_nodes_work_or_are_refused_but_never_leak() {
    let Some(daemon) = busybox() else { return };
    let layer = Rootfs::new().raw(EntryType::Char, "null", "", b"").file("bin/x", 0o755, "x");
    let run = daemon.docker(["load"]).input(Image::linux("device:1").rootfs(layer).to_bytes()).run();
    if run.code() == Some(0) {
        // Accepted as Docker does: the node is there, and the container's device rules decide.
        assert!(references(&daemon).contains(&"device:1".to_owned()));
    } else {
        run.complains("device");
    }
}
