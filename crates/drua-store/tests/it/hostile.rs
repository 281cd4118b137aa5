use std::path::Path;

use drua_store::Limits;
use drua_types::{Classify as _, ErrorKind};
use tar::EntryType;

use crate::fixture::{Oci, Scratch, Tar, gzip, layer};

#[track_caller]
fn refused(tar: Vec<u8>, expect: &str) {
    let text = Scratch::new().refuse(tar);
    assert!(text.contains(expect), "{text}");
}

#[test]
fn paths_that_lead_out() {
    refused(Tar::new().file("../outside", "").end(), "`..` leads out of the layer");
    refused(Tar::new().file("a/../../outside", "").end(), "`..` leads out of the layer");
    refused(Tar::new().hard_link("x", "../../etc/passwd").end(), "`..` leads out of the layer");
    refused(Tar::new().file("d/.wh...", "").end(), "a whiteout of no name");
    refused(Tar::new().pax(&[("path", b"a\0b")]).file("x", "").end(), "NUL");
    refused(Tar::new().file("./", "").file(".", "root").end(), "only a directory can be the root");
}

#[test]
fn absolute_names_are_relative_to_the_root() {
    let scratch = Scratch::new();
    let root = scratch.unpack(Tar::new().file("/etc/passwd", "mine").hard_link("/x", "/etc/passwd").end());
    assert_eq!(std::fs::read_to_string(root.join("x")).unwrap(), "mine");
    let outside = tempfile::NamedTempFile::new().unwrap();
    let text = Scratch::new().refuse(Tar::new().hard_link("x", outside.path().to_str().unwrap()).end());
    assert!(text.contains("failed to find the link target of `x`"), "{text}");
}

#[test]
fn links_cannot_be_followed_out() {
    let outside = tempfile::tempdir().unwrap();
    let target = outside.path().to_str().unwrap();
    // The link's target is looked up inside the layer, where it does not exist: the directory is made there.
    let scratch = Scratch::new();
    let root = scratch.unpack(Tar::new().symlink("out", target).file("out/file", "x").end());
    assert!(std::fs::read_dir(outside.path()).unwrap().next().is_none());
    assert!(root.join(target.trim_start_matches('/')).join("file").is_file());
    // So with `..`, and through a link as the last component, which is replaced and not written through.
    let scratch = Scratch::new();
    let dots = format!("../../../../../../../../..{target}");
    let tar =
        Tar::new().symlink("dots", &dots).file("dots/file", "").symlink("l", &format!("{target}/new")).file("l", "");
    let root = scratch.unpack(tar.end());
    assert!(std::fs::read_dir(outside.path()).unwrap().next().is_none());
    assert!(root.join("l").symlink_metadata().unwrap().is_file());
    // A hard link to a symbolic link links the link.
    std::fs::write(outside.path().join("secret"), "").unwrap();
    let scratch = Scratch::new();
    let secret = format!("{target}/secret");
    let root = scratch.unpack(Tar::new().symlink("s", &secret).hard_link("h", "s").end());
    assert_eq!(std::fs::read_link(root.join("h")).unwrap(), Path::new(&secret));
    refused(Tar::new().symlink("a", "b").symlink("b", "a").file("a/x", "").end(), "symbolic links");
    refused(Tar::new().file("f", "").file("f/x", "").end(), "Not a directory");
    refused(Tar::new().dir("d/").hard_link("h", "d").end(), "a hard link to a directory");
}

#[test]
fn damaged_archives() {
    let scratch = Scratch::new();
    let good = Oci::default().image("x:1", vec![layer("file", &"x".repeat(3000))]).archive();
    for cut in [0, 1, 511, 513, 1500, good.len() / 2, good.len() - 2000] {
        let error = scratch.load(&good[..cut]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid, "cut at {cut}: {error}");
        scratch.assert_empty();
    }
    let mut flipped = good.clone();
    let data = flipped.windows(4).position(|window| window == b"xxxx").unwrap();
    flipped[data] = b'y';
    let error = scratch.load(&flipped).unwrap_err();
    assert!(error.to_string().contains("the archive is damaged"), "{error}");
    let cut = gzip(&good);
    let error = scratch.load(&cut[..cut.len() / 2]).unwrap_err();
    assert!(drua_types::error_chain(&error).contains("truncated"), "{}", drua_types::error_chain(&error));
    for nonsense in [&b"not a tar"[..], &[0xff; 2048], b"BZh91AY", &[0; 4096]] {
        assert_eq!(scratch.load(nonsense).unwrap_err().kind(), ErrorKind::Invalid);
    }
    assert!(scratch.load(&Tar::new().file("etc/passwd", "").end()).unwrap_err().to_string().contains("not an image"));
    scratch.assert_empty();
}

#[test]
fn truncated_layers() {
    // A layer that is verified (its digest is that of the truncated bytes), but ends in the middle of a file.
    let mut cut = Tar::new().file("big", &"x".repeat(5000)).unfinished();
    cut.truncate(2048);
    refused(cut, "truncated in `big`");
    refused(
        Tar::new().raw(Tar::header("m", EntryType::XHeader, 20), b"99 path=x\n").file("x", "").end(),
        "bad PAX record",
    );
    let mut bad = Tar::new().file("x", "").end();
    bad[0] = b'y';
    refused(bad, "checksum does not match");
}

#[test]
fn limits_hold() {
    let limits = Limits { entries: 5, unpacked_bytes: 1 << 20, path_bytes: 300, pax_bytes: 1000, ..Limits::default() };
    let check = |layer: Vec<u8>, expect: &str| {
        let text = Scratch::with(limits).refuse(layer);
        assert!(text.contains(expect), "{text}");
    };
    let many = (0..6).fold(Tar::new(), |tar, number| tar.file(&number.to_string(), ""));
    check(many.end(), "more than the limit of 5 for one image");
    let deep = "d/".repeat(200);
    check(Tar::new().pax(&[("path", deep.as_bytes())]).file("x", "").end(), "the limit is 300");
    check(Tar::new().pax(&[("SCHILY.xattr.user.x", &[b'x'; 2000])]).file("x", "").end(), "the limit is 1000");
    let long = Tar::new().raw(Tar::header("l", EntryType::GNULongName, 1000), &[b'x'; 1000]).file("x", "");
    check(long.end(), "the limit is 300");

    // A bomb: 64 MiB of zeros in 64 kB, as a file and as padding after the archive's end.
    let bomb = Tar::new().file("zeros", &"\0".repeat(64 << 20)).end();
    let mut padded = layer("x", "");
    padded.resize(64 << 20, 0);
    for bomb in [bomb, padded] {
        let mut oci = Oci::default();
        let mut config = crate::fixture::host_config();
        config["rootfs"] = serde_json::json!({"type": "layers", "diff_ids": [drua_types::Digest::of(&bomb)]});
        let descriptor = oci.manifest(vec![gzip(&bomb)], config);
        oci.name(descriptor, "x:1");
        let scratch = Scratch::with(limits);
        let error = scratch.load(&oci.archive()).unwrap_err();
        let text = drua_types::error_chain(&error);
        assert!(text.contains("the limit of 1048576"), "{text}");
        assert_eq!(error.kind(), ErrorKind::Invalid);
        scratch.assert_empty();
    }
}

#[test]
fn what_is_out_of_all_proportion_is_refused() {
    let limits = Limits { free_bytes: 1 << 20, ratio: 200, ..Limits::default() };
    let zeros = Tar::new().file("zeros", &"\0".repeat(64 << 20)).end();
    for (squeezed, zeros) in
        [(gzip(&zeros), true), (crate::fixture::zstd(&zeros), true), (gzip(&layer("x", "")), false)]
    {
        let diff_id =
            if zeros { drua_types::Digest::of(b"never computed") } else { drua_types::Digest::of(&layer("x", "")) };
        let mut oci = Oci::default();
        let mut config = crate::fixture::host_config();
        config["rootfs"] = serde_json::json!({"type": "layers", "diff_ids": [diff_id]});
        let descriptor = oci.manifest(vec![squeezed], config);
        oci.name(descriptor, "x:1");
        let scratch = Scratch::with(limits);
        match scratch.load(&oci.archive()) {
            Ok(_) => assert!(!zeros),
            Err(error) => {
                let text = drua_types::error_chain(&error);
                assert!(zeros && text.contains("as decompression bombs do"), "{text}");
                assert_eq!(error.kind(), ErrorKind::Invalid);
                scratch.assert_empty();
            }
        }
    }
}

#[test]
fn ids_that_overflow_are_refused() {
    for id in ["4294967296", "4294967295", "18446744073709551616", "-1"] {
        refused(Tar::new().pax(&[("uid", id.as_bytes())]).file("x", "").end(), "bad user id");
    }
}

#[test]
fn a_whole_archive_with_odd_paths() {
    let scratch = Scratch::new();
    for tar in [Tar::new().file("../x", ""), Tar::new().file("/abs", ""), Tar::new().symlink("a/l", "../../x")] {
        assert!(scratch.load(&tar.end()).unwrap_err().to_string().contains("invalid path"));
    }
    let circle = Tar::new().symlink("c.json", "d.json").symlink("d.json", "c.json");
    let items = r#"[{"Config":"c.json","RepoTags":["x:1"],"Layers":[]}]"#;
    let error = scratch.load(&circle.file("manifest.json", items).end()).unwrap_err();
    assert!(error.to_string().contains("`c.json` is missing"), "{error}");
    scratch.assert_empty();
}
