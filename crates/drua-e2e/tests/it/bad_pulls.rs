//! What a registry may send that it should not: each is a clear error, nothing of it stays, and the next pull works.

use std::io::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use drua_e2e::scripted::{Answer, Fault, Scripted};
use drua_e2e::{Cmd, Rootfs, binary};
use flate2::{Compression, write::GzEncoder};
use tar::EntryType;

use crate::registry::{digest, images, partials, refuses, served, served_as, small_layer};
use crate::support::{daemon, skip};

const GZIP: &str = "application/vnd.oci.image.layer.v1.tar+gzip";
const ZSTD: &str = "application/vnd.oci.image.layer.v1.tar+zstd";
/// A little more than a layer may decompress to, however small it is.
const BOMB_BYTES: u64 = (1 << 30) + (64 << 20);

/// A tar, and then zeros without end.
fn bomb(to: &mut dyn std::io::Write) {
    to.write_all(&small_layer()).unwrap();
    let zeros = vec![0; 1 << 20];
    (0..BOMB_BYTES >> 20).for_each(|_| to.write_all(&zeros).unwrap());
}

#[test]
fn a_gzip_bomb_is_refused() {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    bomb(&mut encoder);
    let layer = encoder.finish().unwrap();
    assert!(layer.len() < 8 << 20);
    refuses(served_as(GZIP, layer, &digest(b"never computed")), "as decompression bombs do", |_, answer| answer);
}

#[test]
fn a_zstd_bomb_is_refused() {
    let Some(zstd) = binary::on_path("zstd").or_else(|| skip("no zstd on PATH")) else { return };
    let dir = tempfile::tempdir().unwrap();
    let (plain, packed) = (dir.path().join("plain"), dir.path().join("packed"));
    let mut file = fs_err::File::create(&plain).unwrap();
    file.write_all(&small_layer()).unwrap();
    // A hole reads as zeros.
    file.set_len(BOMB_BYTES).unwrap();
    Cmd::new(zstd).args(["-q", "-3", "-o"]).arg(&packed).arg(&plain).run().ok();
    let layer = fs_err::read(&packed).unwrap();
    assert!(layer.len() < 1 << 20);
    refuses(served_as(ZSTD, layer, &digest(b"never computed")), "as decompression bombs do", |_, answer| answer);
}

#[test]
fn half_a_gzip_stream_is_refused() {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(&small_layer()).unwrap();
    let mut layer = encoder.finish().unwrap();
    layer.truncate(layer.len() / 2);
    refuses(served_as(GZIP, layer, &digest(&small_layer())), "failed to unpack layer", |_, answer| answer);
}

#[test]
fn paths_that_lead_out_are_refused() {
    let layers = [
        Rootfs::new().raw(EntryType::Regular, "../../escaped", "", b"x"),
        Rootfs::new().raw(EntryType::Link, "passwd", "../../../../etc/passwd", b""),
        Rootfs::new().raw(EntryType::Regular, "a/../../escaped", "", b"x"),
    ];
    for layer in layers {
        let layer = layer.finish();
        let id = digest(&layer);
        refuses(served(layer, &id), "refused the entry", |_, answer| answer);
    }
}

#[test]
fn a_link_leads_nowhere_but_into_the_image() {
    let Some(daemon) = daemon() else { return };
    let outside = daemon.dir().join("outside");
    fs_err::create_dir(&outside).unwrap();
    let target = outside.to_string_lossy().into_owned();
    let layer = Rootfs::new().symlink("way", &target).raw(EntryType::Regular, "way/file", "", b"x").finish();
    let id = digest(&layer);
    let server = served(layer, &id).start(|_, answer| answer);
    // Whether that is refused or ends up below the image's own root: nothing is written outside.
    let _ = daemon.docker(["pull", "-q", &format!("{}/x", server.host())]).run();
    assert_eq!(fs_err::read_dir(&outside).unwrap().count(), 0);
}

#[test]
fn a_broken_connection_is_an_error_and_the_next_pull_resumes() {
    let Some(daemon) = daemon() else { return };
    let content: Vec<u8> = (0..3_u32 << 18).flat_map(|n| n.wrapping_mul(2_654_435_761).to_le_bytes()).collect();
    let layer = Rootfs::new().file("x", 0o644, content).finish();
    let (id, broken) = (digest(&layer), Arc::new(AtomicBool::new(true)));
    let now = Arc::clone(&broken);
    // The first two MiB come again and again, and never more.
    let server = served(layer, &id).start(move |request, answer| match now.load(Ordering::Relaxed) {
        true if request.header("range").is_empty() => answer.fault(Fault::CloseAfter(2 << 20)),
        true => answer.fault(Fault::CloseAfter(0)),
        false => answer,
    });
    let name = format!("{}/x", server.host());
    daemon.docker(["pull", &name]).run().exits(1).complains("the connection broke");
    assert!(images(&daemon).is_empty());
    assert!(partials(&daemon).iter().any(|length| *length >= 1 << 20), "what came is kept");
    broken.store(false, Ordering::Relaxed);
    let before = server.requests().len();
    daemon.docker(["pull", "-q", &name]).run().ok();
    let ranges: Vec<String> =
        server.requests()[before..].iter().map(|request| request.header("range").to_owned()).collect();
    assert!(ranges.iter().any(|range| range.starts_with("bytes=2097152-")), "{ranges:?}");
}

/// Whatever is asked for is answered so.
#[track_caller]
fn answers(complaint: &str, answer: Answer) -> usize {
    let Some(daemon) = daemon() else { return 1 };
    let server = Scripted::start(move |_| answer.clone());
    daemon.docker(["pull", &format!("{}/x", server.host())]).run().exits(1).complains(complaint);
    assert!(images(&daemon).is_empty());
    server.requests().len()
}

#[test]
fn a_web_page_is_not_an_image() {
    answers("is this a registry?", Answer::new(200, "<html>hello</html>").header("Content-Type", "text/html"));
}

#[test]
fn a_registry_that_accepts_nobody_is_not_asked_forever() {
    let asked = answers(
        "pull access denied",
        Answer::new(401, "{}")
            .header("WWW-Authenticate", "Basic realm=\"x\"")
            .header("Content-Type", "application/json"),
    );
    assert!(asked < 10, "{asked} requests");
}

#[test]
fn a_rate_limit_is_told_in_words() {
    let errors = r#"{"errors":[{"code":"TOOMANYREQUESTS","message":"You have reached your pull rate limit"}]}"#;
    let asked = answers("pull rate limit", Answer::new(429, errors).header("Retry-After", "3600"));
    assert!(asked < 6, "{asked} requests");
}
