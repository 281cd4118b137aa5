//! A root file system with busybox, from whatever this machine has. The tests of `drua-shim` include this file, too.
//!
//! In this order: the official image in the test data; the static busybox that `cargo xtask demo-images` downloads; the
//! one of Debian's package busybox-static.

use std::env;
use std::fs;
use std::io::Read;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// Where a busybox comes from.
enum Source {
    /// An image archive.
    Image(PathBuf),
    /// A program that needs no shared libraries.
    Program(PathBuf),
}

/// Whether there is any. Says on stderr how to get one if not.
#[expect(clippy::print_stderr, reason = "a test may say why it is skipped")]
pub(crate) fn available() -> bool {
    let found = source().is_some();
    if !found {
        eprintln!("SKIPPED: no static busybox: run `cargo xtask demo-images` or install the package busybox-static");
    }
    found
}

/// Makes the root file system in `target`.
pub(crate) fn unpack(target: &Path) {
    fs::create_dir_all(target).expect("a directory");
    match source().expect("the tests are skipped without a busybox") {
        Source::Image(path) => unpack_image(path, target),
        Source::Program(path) => install(path, target),
    }
    assert!(target.join("bin/sh").exists(), "no shell in {}", target.display());
}

fn source() -> Option<&'static Source> {
    static SOURCE: OnceLock<Option<Source>> = OnceLock::new();
    let find = || {
        let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        let data = env::var_os(drua_types::env::DRUA_TEST_DATA)
            .map_or_else(|| workspace.join("../shared/data"), PathBuf::from);
        let image = data.join("images/busybox-1-musl-amd64.oci.tar");
        if cfg!(target_arch = "x86_64") && image.is_file() {
            return Some(Source::Image(image));
        }
        let build = env::var_os("CARGO_TARGET_DIR").unwrap_or_else(|| "target".into());
        let programs = [workspace.join(build).join("demo/busybox/root/usr/bin/busybox"), "/bin/busybox".into()];
        programs.into_iter().find(|program| is_static(program)).map(Source::Program)
    };
    SOURCE.get_or_init(find).as_ref()
}

/// Whether this is an ELF program without an interpreter, which is what loads shared libraries.
fn is_static(program: &Path) -> bool {
    const INTERPRETER: usize = 3;
    let Ok(bytes) = fs::read(program) else { return false };
    let number = |at: usize, length: usize| -> Option<usize> {
        let mut word = [0; 8];
        word[..length].copy_from_slice(bytes.get(at..at.checked_add(length)?)?);
        usize::try_from(u64::from_le_bytes(word)).ok()
    };
    let interpreted = || {
        let (headers, size, count) = (number(32, 8)?, number(54, 2)?, number(56, 2)?);
        Some((0..count).any(|index| number(headers + index * size, 4) == Some(INTERPRETER)))
    };
    // A 64-bit, little-endian one.
    bytes.starts_with(b"\x7fELF\x02\x01") && interpreted() == Some(false)
}

fn unpack_image(image: &Path, target: &Path) {
    static LAYER: OnceLock<Vec<u8>> = OnceLock::new();
    let find_layer = || {
        let mut archive = tar::Archive::new(fs::File::open(image).expect("the image"));
        let blobs = archive.entries().expect("a tar").map(|entry| {
            let mut blob = Vec::new();
            entry.expect("an entry").read_to_end(&mut blob).expect("a blob");
            blob
        });
        // The one gzip blob of this image is its only layer.
        blobs.into_iter().find(|blob| blob.starts_with(&[0x1f, 0x8b])).expect("the image has a layer")
    };
    let layer = LAYER.get_or_init(find_layer);
    let mut archive = tar::Archive::new(flate2::read::GzDecoder::new(layer.as_slice()));
    archive.set_preserve_permissions(true);
    archive.unpack(target).expect("the layer unpacks");
}

/// Lays out what the official image has, as far as tests look.
fn install(program: &Path, target: &Path) {
    for (name, mode) in [("bin", 0o755), ("dev", 0o755), ("etc", 0o755), ("root", 0o700), ("tmp", 0o1777)] {
        let directory = target.join(name);
        fs::create_dir_all(&directory).expect("a directory");
        fs::set_permissions(directory, fs::Permissions::from_mode(mode)).expect("its mode");
    }
    let copy = target.join("bin/busybox");
    fs::copy(program, &copy).expect("a copy of busybox");
    fs::set_permissions(copy, fs::Permissions::from_mode(0o755)).expect("its mode");
    for name in applets(program).lines().filter(|name| *name != "busybox") {
        symlink("busybox", target.join("bin").join(name)).expect("a link");
    }
    fs::write(target.join("etc/passwd"), "root:x:0:0:root:/root:/bin/sh\n").expect("a file");
    fs::write(target.join("etc/group"), "root:x:0:\n").expect("a file");
}

fn applets(program: &Path) -> &'static str {
    static APPLETS: OnceLock<String> = OnceLock::new();
    APPLETS.get_or_init(|| {
        let output = Command::new(program).arg("--list").output().expect("busybox runs");
        String::from_utf8(output.stdout).expect("names")
    })
}
