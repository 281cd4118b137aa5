//! Real trees, packed by GNU tar and by umoci, against what we unpack; and our archives unpacked by umoci.

use std::io::Write as _;
use std::os::unix::fs::{FileExt as _, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use drua_store::Store;
use drua_types::Digest;

use crate::fixture::{Oci, Scratch};

/// The program, or `None` and a message.
fn program(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path).map(|dir| dir.join(name)).find(|path| path.is_file());
    if found.is_none() {
        eprintln!("SKIPPED: no {name} on PATH");
    }
    found
}

#[track_caller]
fn run(command: &mut Command) -> Vec<u8> {
    let output = command.stdin(Stdio::null()).output().unwrap();
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

/// Everything about a tree that an image can say, as bytes: names, kinds, owners, modes, times, links, attributes, data.
#[track_caller]
fn picture(tar: &Path, tree: &Path) -> Digest {
    let options = [
        "--sort=name",
        "--xattrs",
        "--xattrs-include=*",
        "--numeric-owner",
        "--format=posix",
        "--pax-option=exthdr.name=%d/x/%f,delete=atime,delete=ctime",
        "-cf",
        "-",
    ];
    Digest::of(&run(Command::new(tar).arg("-C").arg(tree).args(options).arg(".")))
}

/// One of everything.
fn make_tree(root: &Path) {
    let file = |path: &str, text: &str, mode: u32| {
        std::fs::write(root.join(path), text).unwrap();
        std::fs::set_permissions(root.join(path), PermissionsExt::from_mode(mode)).unwrap();
    };
    for dir in ["bin", "deep", "empty", "owned"] {
        std::fs::create_dir_all(root.join(dir)).unwrap();
    }
    file("bin/setuid", "#!/bin/sh\n", 0o4755);
    file("bin/sticky", "", 0o1644);
    file("owned/file", "o", 0o600);
    std::os::unix::fs::chown(root.join("owned"), Some(1000), Some(70_000)).unwrap();
    std::os::unix::fs::chown(root.join("owned/file"), Some(3_000_000_000), Some(1)).unwrap();
    std::fs::hard_link(root.join("bin/setuid"), root.join("bin/also")).unwrap();
    std::os::unix::fs::symlink("../../../../etc/passwd", root.join("bin/outside")).unwrap();
    std::os::unix::fs::symlink("x".repeat(300), root.join("bin/long-link")).unwrap();
    // Longer than a header's 100 and its prefix' 155 bytes, and not ASCII.
    let mut long = PathBuf::from("deep");
    for name in ["a".repeat(90), "ü".repeat(60), "c".repeat(120), "d".repeat(200)] {
        long.push(name);
    }
    std::fs::create_dir_all(root.join(&long)).unwrap();
    std::fs::write(root.join(&long).join("e".repeat(255)), "far down").unwrap();
    let sparse = std::fs::File::create(root.join("sparse")).unwrap();
    sparse.set_len(64 << 20).unwrap();
    sparse.write_all_at(b"in the middle", 32 << 20).unwrap();
    sparse.write_all_at(b"at the end", (64 << 20) - 10).unwrap();
    // CAP_NET_RAW, permitted and effective (linux/capability.h, VFS_CAP_REVISION_2).
    let capability: [u8; 20] = [1, 0, 0, 2, 0, 0x20, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    file("bin/ping", "ping", 0o755);
    xattr::set(root.join("bin/ping"), "security.capability", &capability).unwrap();
    // What the filesystem below cannot keep is kept by neither side.
    let _ = xattr::set(root.join("owned/file"), "user.note", b"with\0zero and \n newline");
    let _ = xattr::set(root.join("empty"), "user.dir", b"on a directory");
    for (name, kind, device) in [
        ("null", rustix::fs::FileType::CharacterDevice, rustix::fs::makedev(1, 3)),
        ("loop", rustix::fs::FileType::BlockDevice, rustix::fs::makedev(7, 9)),
        ("fifo", rustix::fs::FileType::Fifo, 0),
    ] {
        let mode = rustix::fs::Mode::from_raw_mode(0o620);
        rustix::fs::mknodat(rustix::fs::CWD, root.join(name), kind, mode, device).unwrap();
    }
    for (path, seconds) in [("bin/ping", 1), ("empty", 1_000_000_000), ("bin/sticky", -5)] {
        let time = rustix::fs::Timespec { tv_sec: seconds, tv_nsec: 123_456_789 };
        let times = rustix::fs::Timestamps { last_access: time, last_modification: time };
        rustix::fs::utimensat(rustix::fs::CWD, root.join(path), &times, rustix::fs::AtFlags::empty()).unwrap();
    }
}

#[test]
fn what_gnu_tar_packs() {
    let Some(tar) = program("tar") else { return };
    let tree = tempfile::tempdir().unwrap();
    make_tree(tree.path());
    std::fs::set_permissions(tree.path(), PermissionsExt::from_mode(0o755)).unwrap();
    let expected = picture(&tar, tree.path());
    // GNU's own format knows no attributes; the sparse formats 0.0, 0.1 and 1.0 are all PAX.
    let formats: [(&[&str], bool); 5] = [
        (&["--format=posix", "--sparse"], true),
        (&["--format=posix", "--sparse", "--sparse-version=0.1"], true),
        (&["--format=posix", "--sparse", "--sparse-version=0.0"], true),
        (&["--format=posix"], true),
        (&["--format=gnu", "--sparse"], false),
    ];
    for (options, exact) in formats {
        let attributes: &[&str] = if exact { &["--xattrs", "--xattrs-include=*"] } else { &[] };
        let packed = run(Command::new(&tar)
            .arg("-C")
            .arg(tree.path())
            .args(["--numeric-owner", "--sort=name"])
            .args(options)
            .args(attributes)
            .args(["-cf", "-", "."]));
        let scratch = Scratch::new();
        let root = scratch.unpack(packed);
        if exact {
            assert_eq!(picture(&tar, &root), expected, "{options:?}");
        }
        let data = std::fs::File::open(root.join("sparse")).unwrap();
        let mut middle = [0; 13];
        data.read_exact_at(&mut middle, 32 << 20).unwrap();
        assert_eq!(&middle, b"in the middle", "{options:?}");
        let blocks = std::os::unix::fs::MetadataExt::blocks(&data.metadata().unwrap());
        let sparse = options.contains(&"--sparse");
        assert!(!sparse || blocks * 512 < 1 << 20, "{options:?}: the holes were filled, {blocks} blocks");
        assert_eq!(scratch.store.check(drua_store::Repair::No, &|_| None).unwrap().problems, []);
    }
}

/// The image's root filesystem, mounted as a container would have it.
struct Merged(tempfile::TempDir);

impl Merged {
    fn new(store: &Store, name: &str) -> Self {
        let image = store.get(name, None).unwrap();
        let mut lowers = store.layers(&image).unwrap();
        let dir = tempfile::tempdir().unwrap();
        // A single lower directory needs another one below it.
        let empty = dir.path().join("empty");
        std::fs::create_dir(&empty).unwrap();
        std::fs::create_dir(dir.path().join("merged")).unwrap();
        lowers.push(empty);
        let lowers: Vec<String> = lowers.iter().map(|path| path.display().to_string()).collect();
        let options = format!("lowerdir={}", lowers.join(":"));
        run(Command::new("mount").args(["-t", "overlay", "-o", &options, "overlay"]).arg(dir.path().join("merged")));
        Self(dir)
    }

    fn path(&self) -> PathBuf {
        self.0.path().join("merged")
    }
}

impl Drop for Merged {
    fn drop(&mut self) {
        let _ = rustix::mount::unmount(self.path(), rustix::mount::UnmountFlags::DETACH);
    }
}

#[test]
fn what_umoci_packs_and_unpacks() {
    let (Some(umoci), Some(tar)) = (program("umoci"), program("tar")) else { return };
    let dir = tempfile::tempdir().unwrap();
    let layout = dir.path().join("layout");
    let image = format!("{}:one", layout.display());
    let umoci = |args: &[&str]| run(Command::new(&umoci).args(args));
    umoci(&["init", "--layout", layout.to_str().unwrap()]);
    umoci(&["new", "--image", &image]);
    let bundle = dir.path().join("bundle");
    umoci(&["unpack", "--image", &image, bundle.to_str().unwrap()]);
    let root = bundle.join("rootfs");
    make_tree(&root);
    // umoci writes whole seconds.
    whole_seconds(&root);
    umoci(&["repack", "--refresh-bundle", "--image", &image, bundle.to_str().unwrap()]);
    // A second layer takes things away, and makes a directory of a file.
    std::fs::remove_file(root.join("bin/sticky")).unwrap();
    std::fs::remove_dir_all(root.join("deep")).unwrap();
    std::fs::remove_file(root.join("fifo")).unwrap();
    std::fs::create_dir(root.join("fifo")).unwrap();
    std::fs::write(root.join("fifo/now"), "a directory").unwrap();
    whole_seconds(&root);
    umoci(&["repack", "--refresh-bundle", "--image", &image, bundle.to_str().unwrap()]);
    let archive = run(Command::new(&tar).arg("-C").arg(&layout).args(["-cf", "-", "."]));
    let scratch = Scratch::new();
    let loaded = scratch.load(&archive).unwrap();
    let name = loaded[0].id.to_string();
    assert_eq!(scratch.store.get(&name, None).unwrap().layers.len(), 2);
    let merged = Merged::new(&scratch.store, &name);
    let copy = dir.path().join("copy");
    run(Command::new("cp").arg("-a").arg(merged.path()).arg(&copy));
    // umoci sets a directory's time before it changes what is in it.
    whole_seconds(&copy);
    whole_seconds(&root);
    assert_eq!(listing(&tar, &copy), listing(&tar, &root));
    assert_eq!(picture(&tar, &copy), picture(&tar, &root));
    // And back: what we save, umoci unpacks to the same.
    let mut saved = Vec::new();
    scratch.store.tag(&name, &"back:one".parse().unwrap()).unwrap();
    scratch.store.save(&["back:one"], None, &mut saved).unwrap();
    let (back, second) = (dir.path().join("back"), dir.path().join("second"));
    std::fs::create_dir(&back).unwrap();
    let mut child = Command::new(&tar).arg("-C").arg(&back).args(["-xf", "-"]).stdin(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(&saved).unwrap();
    assert!(child.wait().unwrap().success());
    umoci(&["unpack", "--image", &format!("{}:one", back.display()), second.to_str().unwrap()]);
    let again = second.join("rootfs");
    whole_seconds(&again);
    assert_eq!(listing(&tar, &again), listing(&tar, &root));
}

/// Gives everything in a tree the same time.
#[track_caller]
fn whole_seconds(tree: &Path) {
    run(Command::new("find").arg(tree).args(["-exec", "touch", "-h", "-d", "@1600000000", "{}", "+"]));
}

/// What `tar -tv` says, for a readable difference.
fn listing(tar: &Path, tree: &Path) -> String {
    let packed = run(Command::new(tar).arg("-C").arg(tree).args(["--sort=name", "--numeric-owner", "-cf", "-", "."]));
    let mut child = Command::new(tar)
        .args(["--numeric-owner", "--full-time", "-tvf", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let writer = std::thread::spawn(move || stdin.write_all(&packed));
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap().unwrap();
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn ten_thousand_layers_are_refused() {
    let layers: Vec<Vec<u8>> = (0..10_000).map(|_| crate::fixture::layer("f", "x")).collect();
    let error = Scratch::new().load(&Oci::default().image("x:1", layers).archive()).unwrap_err();
    let text = drua_types::error_chain(&error);
    assert!(text.contains("it has 10000 layers; the limit is 500"), "{text}");
}
