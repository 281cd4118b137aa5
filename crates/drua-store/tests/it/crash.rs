use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use drua_store::{OpenError, Store};

use crate::fixture::{Oci, Scratch, Tar, layer, names};

const DIR: &str = "DRUA_STORE_TEST_CHILD";

/// Big enough that a poll sees each step.
fn archive() -> Vec<u8> {
    let text: String = (0..4_000_000_u32).map(|n| char::from(b'a' + (n % 23) as u8)).collect();
    let layers = (0..4).map(|n| Tar::new().file(&format!("{n}"), &format!("{n}{text}")).end());
    Oci::default().image("x:1", layers.collect()).archive()
}

/// Not a test of its own: what [`killed_at_every_step`] starts and kills.
#[test]
fn child() {
    let Some(dir) = std::env::var_os(DIR) else { return };
    let store = Store::open(Path::new(&dir)).unwrap();
    let archive = archive();
    loop {
        store.load(&mut &*archive, None, &mut |_| {}).unwrap();
        store.remove("x:1", drua_store::Force::No, &|_| None).unwrap();
    }
}

struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        // SIGKILL.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn killed_at_every_step() {
    let dir = tempfile::tempdir().unwrap();
    let list = |path: &str| std::fs::read_dir(dir.path().join(path)).into_iter().flatten().flatten().count();
    let temporary = |path: &str| {
        let entries = std::fs::read_dir(dir.path().join(path)).into_iter().flatten().flatten();
        entries.filter(|entry| entry.file_name().to_string_lossy().starts_with(".tmp")).count()
    };
    let steps: [&dyn Fn() -> bool; 6] = [
        &|| list("content/ingest") > 0,
        &|| temporary("layers") > 0,
        &|| temporary("layers") > 2,
        &|| list("layers") > temporary("layers"),
        &|| list("content/blobs/sha256") > 0,
        &|| list("content/blobs/sha256") > 4,
    ];
    for (number, reached) in steps.iter().enumerate() {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--exact", "crash::child"]).env(DIR, dir.path());
        let child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let child = Killed(child);
        let deadline = Instant::now() + Duration::from_secs(60);
        while !reached() {
            assert!(Instant::now() < deadline, "step {number} was never seen");
            std::thread::yield_now();
        }
        drop(child);
        let store = Store::open(dir.path()).unwrap();
        assert_eq!(names(&dir.path().join("content/ingest")), [""; 0], "step {number}");
        assert_eq!(temporary("layers"), 0, "step {number}");
        for image in store.list().unwrap() {
            assert_eq!(image.layers.len(), 4);
            for layer in &image.layers {
                assert_eq!(store.blob(&layer.digest).unwrap().metadata().unwrap().len(), layer.size);
            }
            for root in store.layers(&image).unwrap() {
                assert_eq!(std::fs::metadata(root.join(&names(&root)[0])).unwrap().len(), 4_000_001);
            }
        }
    }
    let store = Store::open(dir.path()).unwrap();
    store.load(&mut &*archive(), None, &mut |_| {}).unwrap();
    store.remove("x:1", drua_store::Force::No, &|_| None).unwrap();
    assert_eq!((list("layers"), list("content/blobs/sha256")), (0, 0), "nothing is left over for ever");
}

#[test]
fn leftovers_are_cleaned_at_open() {
    let Scratch { store, dir } = Scratch::new();
    drop(store);
    let layers = dir.path().join("layers");
    std::fs::create_dir_all(layers.join(".tmp-abc/fs/deep/er")).unwrap();
    std::fs::write(layers.join(".tmp-abc/fs/deep/file"), "").unwrap();
    std::os::unix::fs::symlink("/", layers.join(".tmp-abc/fs/root")).unwrap();
    std::fs::create_dir_all(dir.path().join("content/ingest/session-x")).unwrap();
    std::fs::write(dir.path().join("content/ingest/session-x/incoming-1"), "half").unwrap();
    std::fs::write(dir.path().join("content/index.json"), "").unwrap();
    let _store = Store::open(dir.path()).unwrap();
    assert_eq!(names(&layers), [""; 0]);
    assert_eq!(names(&dir.path().join("content/ingest")), [""; 0]);
    assert!(std::fs::read_to_string(dir.path().join("content/index.json")).unwrap().contains("schemaVersion"));
}

#[test]
fn everything_is_there_after_reopening() {
    let scratch = Scratch::new();
    let image = scratch.load_one(&Oci::default().image("x:1", vec![layer("a", "")]).archive());
    let Scratch { store, dir } = scratch;
    drop(store);
    let store = Store::open(dir.path()).unwrap();
    let again = store.get("x:1", None).unwrap();
    assert_eq!((again.id, again.size), (image.id, image.size));
}

#[test]
fn one_process_at_a_time() {
    let scratch = Scratch::new();
    assert!(matches!(Store::open(scratch.path()), Err(OpenError::InUse { .. })));
}

#[test]
fn a_full_disk_leaves_the_store_as_it_was() {
    struct Mounted(tempfile::TempDir);
    impl Drop for Mounted {
        fn drop(&mut self) {
            let _ = rustix::mount::unmount(self.0.path(), rustix::mount::UnmountFlags::DETACH);
        }
    }
    let mounted = Mounted(tempfile::tempdir().unwrap());
    let flags = rustix::mount::MountFlags::empty();
    rustix::mount::mount("tmpfs", mounted.0.path(), "tmpfs", flags, c"size=6m").unwrap();
    let root = mounted.0.path().join("data");
    let store = Store::open(&root).unwrap();
    let small = Oci::default().image("small:1", vec![layer("a", "")]).archive();
    store.load(&mut &*small, None, &mut |_| {}).unwrap();
    let layer_of = |bytes: usize| Oci::default().image("big:1", vec![Tar::new().file("f", &"x".repeat(bytes)).end()]);
    // Too big for the blob; big enough for the blob, but not for the layer too.
    for bytes in [8 << 20, 4 << 20] {
        let error = store.load(&mut &*layer_of(bytes).archive(), None, &mut |_| {}).unwrap_err();
        let text = drua_types::error_chain(&error);
        assert!(text.contains("No space left on device"), "{text}");
        assert!(drua_types::Hint::hints(&error)[0].contains("free some space"));
        assert_eq!(names(&root.join("layers")).len(), 1);
        assert_eq!(names(&root.join("content/blobs/sha256")).len(), 3);
    }
    assert_eq!(store.list().unwrap().len(), 1);
    store.load(&mut &*layer_of(100_000).archive(), None, &mut |_| {}).unwrap();
}
