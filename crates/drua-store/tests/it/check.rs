//! `Store::check` against every kind of damage.

use std::path::{Path, PathBuf};

use drua_store::{CheckReport, ImageUse, Repair, Store};
use drua_types::Digest;
use tar::EntryType;

use crate::fixture::{Oci, Scratch, Tar, layer, names};

fn loaded() -> Scratch {
    let scratch = Scratch::new();
    let low = Tar::new().dir("d/").file("d/f", "content").hard_link("h", "d/f").symlink("l", "d").end();
    let high = Tar::new().file("d/.wh.f", "").pax(&[("SCHILY.xattr.user.x", b"y")]).file("x", "x").end();
    scratch.load(&Oci::default().image("x:1", vec![low, high]).archive()).unwrap();
    scratch
}

fn check(store: &Store, repair: Repair) -> CheckReport {
    store.check(repair, &|_| None).unwrap()
}

#[track_caller]
fn texts(report: &CheckReport) -> String {
    report.problems.iter().map(|problem| format!("{problem}\n")).collect()
}

/// Damages a store, sees the check name it, and sees the repair mend it.
#[track_caller]
fn mends(damage: impl FnOnce(&Scratch), expect: &[&str]) -> Scratch {
    let scratch = loaded();
    damage(&scratch);
    let before = check(&scratch.store, Repair::No);
    for expected in expect {
        assert!(texts(&before).contains(expected), "{expected}: {}", texts(&before));
    }
    assert!(before.problems.iter().all(|problem| problem.repaired.is_none()));
    assert_eq!(texts(&check(&scratch.store, Repair::No)), texts(&before), "a check changes nothing");
    let repaired = check(&scratch.store, Repair::Yes);
    assert!(repaired.problems.iter().all(|problem| problem.repaired.is_some()), "{}", texts(&repaired));
    assert_eq!(texts(&check(&scratch.store, Repair::No)), "");
    scratch.assert_tidy();
    scratch
}

fn roots(scratch: &Scratch) -> Vec<PathBuf> {
    let image = scratch.store.get("x:1", None).unwrap();
    scratch.store.layers(&image).unwrap()
}

fn blob_path(scratch: &Scratch, digest: &Digest) -> PathBuf {
    scratch.path().join("content/blobs/sha256").join(digest.hex())
}

#[test]
fn a_good_store_is_good() {
    let scratch = loaded();
    let report = check(&scratch.store, Repair::Yes);
    assert_eq!((report.blobs, report.layers, texts(&report).as_str()), (4, 2, ""));
}

#[test]
fn damaged_layers_are_unpacked_again() {
    type Change<'c> = &'c dyn Fn(&Path, &Path);
    let changes: [(Change<'_>, &str); 6] = [
        (&|low, _| std::fs::write(low.join("d/f"), "CONTENT").unwrap(), "`/d/f`"),
        (&|low, _| std::fs::remove_file(low.join("l")).unwrap(), "`/l`"),
        (&|_, high| std::fs::write(high.join("new"), "").unwrap(), "`/new`"),
        (&|_, high| xattr::set(high.join("x"), "user.x", b"z").unwrap(), "`/x`"),
        (&|low, _| std::os::unix::fs::chown(low.join("d"), Some(7), None).unwrap(), "`/d`"),
        (&|low, _| std::fs::remove_file(low.parent().unwrap().join("layer.json")).unwrap(), "layer.json"),
    ];
    for (change, expect) in changes {
        let scratch = mends(
            |scratch| {
                let roots = roots(scratch);
                change(&roots[1], &roots[0]);
            },
            &[expect],
        );
        assert_eq!(std::fs::read_to_string(roots(&scratch)[1].join("h")).unwrap(), "content");
    }
}

#[test]
fn a_layer_in_use_is_left_until_its_containers_stop() {
    let scratch = loaded();
    std::fs::write(roots(&scratch)[1].join("d/f"), "CONTENT").unwrap();
    let running = ImageUse { container_id: "c".repeat(64), running: true };
    let report = scratch.store.check(Repair::Yes, &|_| Some(running.clone())).unwrap();
    assert!(texts(&report).contains("stop the containers"), "{}", texts(&report));
    assert_eq!(std::fs::read_to_string(roots(&scratch)[1].join("d/f")).unwrap(), "CONTENT");
    // A stopped one needs a layer that is gone.
    std::fs::remove_dir_all(roots(&scratch)[0].parent().unwrap()).unwrap();
    let stopped = ImageUse { running: false, ..running };
    let report = scratch.store.check(Repair::Yes, &|_| Some(stopped.clone())).unwrap();
    assert!(texts(&report).contains("a container needs it (unpacked again)"), "{}", texts(&report));
    assert_eq!(texts(&check(&scratch.store, Repair::No)), "");
}

#[test]
fn damaged_and_missing_blobs_take_their_image_along() {
    for index in 0..2 {
        let scratch = mends(
            |scratch| {
                let image = scratch.store.get("x:1", None).unwrap();
                let path = blob_path(scratch, &image.layers[index].digest);
                match index {
                    0 => std::fs::write(path, "damaged").unwrap(),
                    _ => std::fs::remove_file(path).unwrap(),
                }
            },
            &["image x:1 (", "is missing or damaged; `drua pull x:1`"],
        );
        scratch.assert_empty();
        scratch.load(&Oci::default().image("x:1", vec![layer("a", "")]).archive()).unwrap();
    }
}

#[test]
fn leftovers_are_swept_and_strangers_named() {
    mends(
        |scratch| {
            let digest = Digest::of(b"stray");
            std::fs::write(blob_path(scratch, &digest), "stray").unwrap();
            std::fs::create_dir_all(scratch.path().join("layers").join(digest.hex()).join("fs/a")).unwrap();
        },
        &["content that no image needs", "a layer that no image needs"],
    );
    let scratch = loaded();
    std::fs::write(scratch.path().join("layers/notes.txt"), "").unwrap();
    std::fs::write(scratch.path().join("content/blobs/sha256/x"), "").unwrap();
    let report = check(&scratch.store, Repair::Yes);
    assert_eq!(texts(&report).matches("it does not belong here").count(), 2, "{}", texts(&report));
    assert_eq!(names(&scratch.path().join("layers")).len(), 3);
}

#[test]
fn sizes_add_up() {
    let scratch = Scratch::new();
    let base = Tar::new().file("base", &"b".repeat(10_000)).end();
    for name in ["one", "two"] {
        let layers = vec![base.clone(), Tar::new().file(name, &name.repeat(1000)).end()];
        scratch.load(&Oci::default().image(&format!("{name}:1"), layers).archive()).unwrap();
    }
    let special = Tar::new().link(EntryType::Fifo, "fifo", "").end();
    scratch.load(&Oci::default().image("three:1", vec![special]).archive()).unwrap();
    let usage = scratch.store.usage().unwrap();
    let disk = scratch.store.disk_usage().unwrap();
    let alone: u64 = usage.values().map(|usage| usage.total - usage.shared).sum();
    let shared: Vec<u64> = usage.values().map(|usage| usage.shared).filter(|shared| *shared > 0).collect();
    assert_eq!(shared, [base.len() as u64 + 10_000; 2], "the layer's blob and its files");
    assert_eq!(alone + shared[0], disk.content_bytes + disk.layers_bytes);
}
