use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use drua_store::{OpenError, Store};

use crate::fixture::{Oci, Scratch, Tar, layer, names};
use crate::receive::Remote;

const DIR: &str = "DRUA_STORE_TEST_CHILD";
/// The child pulls instead of loading.
const PULLS: &str = "DRUA_STORE_TEST_CHILD_PULLS";

/// Big enough that a poll sees each step.
fn archive() -> Vec<u8> {
    let text: String = (0..4_000_000_u32).map(|n| char::from(b'a' + (n % 23) as u8)).collect();
    let layers = (0..4).map(|n| Tar::new().file(&format!("{n}"), &format!("{n}{text}")).end());
    Oci::default().image("x:1", layers.collect()).archive()
}

fn remote() -> Remote {
    let text: String = (0..4_000_000_u32).map(|n| char::from(b'a' + (n % 23) as u8)).collect();
    Remote::new((0..3).map(|n| Tar::new().file(&format!("{n}"), &format!("{n}{text}")).end()).collect())
}

/// Not a test of its own: what the tests below start and kill.
#[test]
fn child() {
    let Some(dir) = std::env::var_os(DIR) else { return };
    let store = Store::open(Path::new(&dir)).unwrap();
    if std::env::var_os(PULLS).is_some() {
        let remote = remote();
        loop {
            remote.pull(&store, "x:1");
            store.remove("x:1", drua_store::Force::No, &|_| None).unwrap();
        }
    }
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
fn a_pull_killed_at_every_step_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    let entries = |path: &str| std::fs::read_dir(dir.path().join(path)).into_iter().flatten().flatten();
    let list = |path: &str| entries(path).count();
    let partial =
        || -> u64 { entries("content/partial").filter_map(|entry| entry.metadata().ok()).map(|file| file.len()).sum() };
    let steps: [&dyn Fn() -> bool; 5] = [
        &|| partial() > 500_000_u64,
        &|| list("content/partial") > 1,
        &|| list("content/partial") > 2 && partial() > 11_000_000,
        &|| list("content/blobs/sha256") > 0,
        &|| list("layers") > 2,
    ];
    let remote = remote();
    for (number, reached) in steps.iter().enumerate() {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--exact", "crash::child"]).env(DIR, dir.path()).env(PULLS, "1");
        let child = Killed(command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap());
        let deadline = Instant::now() + Duration::from_secs(60);
        while !reached() {
            assert!(Instant::now() < deadline, "step {number} was never seen");
            std::thread::yield_now();
        }
        drop(child);
        let store = Store::open(dir.path()).unwrap();
        store.sweep(&|_| None).unwrap();
        let report = store.check(drua_store::Repair::No, &|_| None).unwrap();
        assert_eq!(report.problems, [], "step {number}");
        remote.pull(&store, "again:1");
        let image = store.get("again:1", None).unwrap();
        for (number, root) in store.layers(&image).unwrap().iter().rev().enumerate() {
            assert_eq!(std::fs::metadata(root.join(number.to_string())).unwrap().len(), 4_000_001);
        }
        assert_eq!(store.check(drua_store::Repair::No, &|_| None).unwrap().problems, [], "step {number}");
        for image in store.list().unwrap() {
            store.remove(image.id.as_str(), drua_store::Force::Yes, &|_| None).unwrap();
        }
        store.prune_partials().unwrap();
    }
    assert_eq!((list("layers"), list("content/blobs/sha256"), list("content/partial")), (0, 0, 0));
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
    // The same for a pull: while its blob is written, and while the layer is unpacked beside it.
    for bytes in [8 << 20, 3 << 20] {
        let text =
            Remote::new(vec![Tar::new().file("f", &"x".repeat(bytes)).end()]).try_pull(&store, "big:1").unwrap_err();
        assert!(text.contains("No space left on device"), "{text}");
        assert_eq!(names(&root.join("layers")).len(), 1);
        store.prune_partials().unwrap();
        assert_eq!(store.disk_usage().unwrap().partial_bytes, 0);
    }
    assert_eq!(store.list().unwrap().len(), 1);
    assert_eq!(store.check(drua_store::Repair::No, &|_| None).unwrap().problems, []);
    store.load(&mut &*layer_of(100_000).archive(), None, &mut |_| {}).unwrap();
}
