use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::path::Path;

use tar::EntryType;

use crate::fixture::{Oci, Scratch, Tar, names};

fn is_whiteout(path: &Path) -> bool {
    let metadata = std::fs::symlink_metadata(path).unwrap();
    metadata.file_type().is_char_device() && metadata.rdev() == 0
}

fn is_opaque(path: &Path) -> bool {
    xattr::get(path, "trusted.overlay.opaque").unwrap().as_deref() == Some(b"y")
}

#[test]
fn metadata_survives() {
    let mut special = Tar::header("dir/file", EntryType::Regular, 5);
    special.set_mode(0o4751);
    special.set_uid(1234);
    special.set_gid(2345);
    let mut device = Tar::header("null", EntryType::Char, 0);
    device.set_device_major(1).unwrap();
    device.set_device_minor(3).unwrap();
    device.set_mode(0o666);
    // VFS_CAP_REVISION_2 with CAP_NET_BIND_SERVICE, effective.
    let capability = [1, 0, 0, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    let tar = Tar::new()
        .dir("dir/")
        .pax(&[
            ("SCHILY.xattr.user.note", b"a\nb"),
            ("SCHILY.xattr.security.capability", &capability),
            ("SCHILY.xattr.trusted.overlay.redirect", b"/etc"),
            ("mtime", b"1600000000.25"),
        ])
        .raw(special, b"hello")
        .symlink("link", "/etc/passwd")
        .hard_link("hard", "./dir/file")
        .raw(device, b"")
        .raw(Tar::header("fifo", EntryType::Fifo, 0), b"")
        .end();
    let scratch = Scratch::new();
    let root = scratch.unpack(tar);
    let file = std::fs::metadata(root.join("dir/file")).unwrap();
    assert_eq!((file.mode() & 0o7777, file.uid(), file.gid()), (0o4751, 1234, 2345));
    assert_eq!((file.mtime(), file.mtime_nsec(), file.nlink()), (1_600_000_000, 250_000_000, 2));
    assert_eq!(xattr::get(root.join("dir/file"), "user.note").unwrap().unwrap(), b"a\nb");
    assert_eq!(xattr::get(root.join("dir/file"), "security.capability").unwrap().unwrap(), capability);
    assert_eq!(xattr::get(root.join("dir/file"), "trusted.overlay.redirect").unwrap(), None);
    assert_eq!(std::fs::metadata(root.join("dir")).unwrap().mtime(), 1_700_000_000);
    assert_eq!(std::fs::read_link(root.join("link")).unwrap(), Path::new("/etc/passwd"));
    let null = std::fs::metadata(root.join("null")).unwrap();
    assert!(
        null.file_type().is_char_device() && null.rdev() == rustix::fs::makedev(1, 3) && null.mode() & 0o777 == 0o666
    );
    assert!(std::fs::metadata(root.join("fifo")).unwrap().file_type().is_fifo());
}

#[test]
fn long_names_in_both_dialects() {
    let long = format!("{}/{}", "d".repeat(150), "f".repeat(200));
    let gnu = Tar::new()
        .raw(Tar::header("././@LongLink", EntryType::GNULongName, long.len() + 1), format!("{long}\0").as_bytes())
        .file("short", "gnu")
        .end();
    let pax = Tar::new().pax(&[("path", long.as_bytes())]).file("short", "pax").end();
    let scratch = Scratch::new();
    for (tar, text) in [(gnu, "gnu"), (pax, "pax")] {
        assert_eq!(std::fs::read_to_string(scratch.unpack(tar).join(&long)).unwrap(), text);
    }
}

#[test]
fn files_with_holes() {
    let mut old = Tar::header("old", EntryType::GNUSparse, 4);
    let gnu = old.as_gnu_mut().unwrap();
    gnu.sparse[0].offset.copy_from_slice(b"00000010000\0");
    gnu.sparse[0].numbytes.copy_from_slice(b"00000000004\0");
    gnu.realsize.copy_from_slice(b"00000020000\0");
    let mut map = b"1\n4096\n4\n".to_vec();
    map.resize(512, 0);
    map.extend_from_slice(b"data");
    let new_pax: [(&str, &[u8]); 4] = [
        ("GNU.sparse.major", b"1"),
        ("GNU.sparse.minor", b"0"),
        ("GNU.sparse.name", b"new"),
        ("GNU.sparse.realsize", b"8192"),
    ];
    let middle_pax: [(&str, &[u8]); 3] =
        [("GNU.sparse.size", b"8192"), ("GNU.sparse.name", b"middle"), ("GNU.sparse.map", b"4096,4")];
    let tar = Tar::new()
        .raw(old, b"data")
        .pax(&new_pax)
        .raw(Tar::header("GNUSparseFile.0/new", EntryType::Regular, map.len()), &map)
        .pax(&middle_pax)
        .file("GNUSparseFile.0/middle", "data")
        .file("after", "still in step")
        .end();
    let scratch = Scratch::new();
    let root = scratch.unpack(tar);
    let mut expect = vec![0; 8192];
    expect[4096..4100].copy_from_slice(b"data");
    for name in ["old", "new", "middle"] {
        assert_eq!(std::fs::read(root.join(name)).unwrap(), expect, "{name}");
    }
    assert_eq!(std::fs::read_to_string(root.join("after")).unwrap(), "still in step");
}

#[test]
fn whiteouts_wherever_they_stand() {
    let base = Tar::new().dir("d/").file("d/old", "").file("gone", "").dir("was-dir/").file("was-dir/x", "").end();
    let top = Tar::new()
        .file(".wh.gone", "")
        .dir("d/")
        .file("d/new", "")
        .file("d/.wh..wh..opq", "")
        .file("kept", "mine")
        .file(".wh.kept", "")
        .file(".wh.was-dir", "")
        .dir("was-dir/")
        .file("was-dir/y", "")
        .dir("later/")
        .file(".wh.later", "")
        .file(".wh..wh.plnk", "")
        .end();
    let scratch = Scratch::new();
    let image = scratch.load_one(&Oci::default().image("x:1", vec![base, top]).archive());
    let layers = scratch.store.layers(&image).unwrap();
    let root = &layers[0];
    assert!(is_whiteout(&root.join("gone")));
    assert!(is_opaque(&root.join("d")) && root.join("d/new").exists());
    assert_eq!(std::fs::read_to_string(root.join("kept")).unwrap(), "mine", "a whiteout spares its own layer");
    assert!(is_opaque(&root.join("was-dir")) && is_opaque(&root.join("later")));
    assert_eq!(names(root), ["d", "gone", "kept", "later", "was-dir"]);

    // The kernel agrees.
    let mount = tempfile::tempdir().unwrap();
    let options = format!("lowerdir={}:{}", layers[0].display(), layers[1].display());
    let options = std::ffi::CString::new(options).unwrap();
    rustix::mount::mount("overlay", mount.path(), "overlay", rustix::mount::MountFlags::RDONLY, &*options).unwrap();
    let merged = names(mount.path());
    let (d, was_dir) = (names(&mount.path().join("d")), names(&mount.path().join("was-dir")));
    rustix::mount::unmount(mount.path(), rustix::mount::UnmountFlags::DETACH).unwrap();
    assert_eq!(merged, ["d", "kept", "later", "was-dir"]);
    assert_eq!((d, was_dir), (vec!["new".to_owned()], vec!["y".to_owned()]));
}

#[test]
fn missing_parents_are_as_in_the_layers_below() {
    let mut tmp = Tar::header("tmp/", EntryType::Directory, 0);
    tmp.set_mode(0o1777);
    tmp.set_uid(7);
    let base = Tar::new().raw(tmp, b"").dir("usr/").dir("usr/lib/").symlink("lib", "usr/lib").end();
    let middle = Tar::new().file("unrelated", "").end();
    let top = Tar::new().file("lib/so", "").file("tmp/a/b", "").end();
    let scratch = Scratch::new();
    let image = scratch.load_one(&Oci::default().image("x:1", vec![base, middle, top]).archive());
    let root = scratch.store.layers(&image).unwrap().remove(0);
    let tmp = std::fs::metadata(root.join("tmp")).unwrap();
    assert_eq!((tmp.mode() & 0o7777, tmp.uid()), (0o1777, 7));
    assert_eq!(std::fs::metadata(root.join("tmp/a")).unwrap().mode() & 0o7777, 0o755);
    assert!(root.join("usr/lib/so").is_file(), "through the link of a lower layer");
    assert_eq!(names(&root), ["tmp", "usr"]);
}

#[test]
fn later_entries_replace_earlier_ones() {
    let tar = Tar::new()
        .file("a", "first")
        .file("a", "second")
        .dir("d/")
        .file("d/x", "")
        .file("d", "now a file")
        .symlink("s", "/etc")
        .dir("s/")
        .file("s/inside", "")
        .end();
    let scratch = Scratch::new();
    let root = scratch.unpack(tar);
    assert_eq!(std::fs::read_to_string(root.join("a")).unwrap(), "second");
    assert_eq!(std::fs::read_to_string(root.join("d")).unwrap(), "now a file");
    assert!(root.join("s").symlink_metadata().unwrap().is_dir() && root.join("s/inside").is_file());
}

#[test]
fn shared_layers_are_unpacked_once() {
    let scratch = Scratch::new();
    let base = Tar::new().file("base", "").end();
    let one = scratch.load_one(&Oci::default().image("one:1", vec![base.clone()]).archive());
    let two = scratch.load_one(&Oci::default().image("two:1", vec![base, Tar::new().file("t", "").end()]).archive());
    let (one, two) = (scratch.store.layers(&one).unwrap(), scratch.store.layers(&two).unwrap());
    assert_eq!(two[1], one[0]);
    assert_eq!(names(&scratch.path().join("layers")).len(), 2);
}

#[test]
fn a_foreign_platform_is_unpacked_on_demand() {
    let mut oci = Oci::default();
    let config = serde_json::json!({"architecture": "s390x", "os": "linux"});
    let descriptor = oci.manifest(vec![Tar::new().file("a", "").end(), Tar::new().file("b", "").end()], config);
    oci.name(descriptor, "x:1");
    let scratch = Scratch::new();
    let image = scratch.load_one(&oci.archive());
    assert_eq!(names(&scratch.path().join("layers")), [""; 0]);
    let layers = std::thread::scope(|scope| {
        let jobs: Vec<_> = (0..4).map(|_| scope.spawn(|| scratch.store.layers(&image).unwrap())).collect();
        jobs.into_iter().map(|job| job.join().unwrap()).next_back().unwrap()
    });
    assert!(layers[0].join("b").is_file() && layers[1].join("a").is_file());
    scratch.assert_tidy();
}

#[test]
fn no_layers_is_an_empty_root() {
    let scratch = Scratch::new();
    let image = scratch.load_one(&Oci::default().image("x:1", vec![]).archive());
    let layers = scratch.store.layers(&image).unwrap();
    assert_eq!((layers.len(), names(&layers[0]).len()), (1, 0));
    scratch.store.sweep(&|_| None).unwrap();
    assert!(layers[0].is_dir());
}
