use drua_store::{LoadEvent, Store};
use drua_types::{Classify as _, Digest, ErrorKind, Platform};
use serde_json::json;

use crate::fixture::{
    CONFIG, INDEX, LAYER, MANIFEST, Oci, Scratch, Tar, gzip, host_config, layer, names, real_image, zstd,
};

#[test]
fn busybox_comes_in_with_everything() {
    let Some(archive) = real_image("busybox-1-musl-amd64.oci.tar") else { return };
    let scratch = Scratch::new();
    let mut events = Vec::new();
    let loaded = scratch.store.load(&mut &*archive, None, &mut |event| events.push(event)).unwrap();
    assert_eq!(loaded[0].messages(), ["Loaded image: busybox:1.37.0-musl"]);
    assert!(matches!(events.last(), Some(LoadEvent::Layer { current, total, .. }) if current == total));

    let image = scratch.store.get("busybox:1.37.0-musl", None).unwrap();
    assert_eq!(image.id.as_str(), "sha256:29989570aeecad61a019f684218ea74d4b8c1c74f9e0abeb34ca926b81174ee1");
    assert_eq!(image.platform.to_string(), "linux/amd64");
    assert_eq!(image.repo_digests[0].familiar(), format!("busybox@{}", image.id));
    assert_eq!(image.config.config().as_ref().unwrap().cmd().as_deref(), Some(["sh".to_owned()].as_slice()));
    assert!(image.created.is_some() && image.wasm_module.is_none());
    assert!(image.size > image.content_size && image.content_size > 871_090);
    let root = scratch.store.layers(&image).unwrap().remove(0);
    assert!(root.join("bin/busybox").is_file());
    assert_eq!(scratch.store.list().unwrap().len(), 1);
    scratch.assert_tidy();
}

#[test]
fn every_compression_inside_and_outside() {
    let plain = layer("hello", "text");
    for (outer, inner) in [("plain", "gzip"), ("gzip", "zstd"), ("zstd", "xz"), ("xz", "bzip2"), ("bzip2", "plain")] {
        let squeeze = |how: &str, bytes: &[u8]| match how {
            "gzip" => gzip(bytes),
            "zstd" => zstd(bytes),
            "xz" | "bzip2" => squeezed_by(how, bytes),
            _ => bytes.to_vec(),
        };
        let mut oci = Oci::default();
        let mut config = host_config();
        config["rootfs"] = json!({"type": "layers", "diff_ids": [Digest::of(&plain)]});
        let descriptor = oci.manifest(vec![squeeze(inner, &plain)], config);
        oci.name(descriptor, "x:1");
        let scratch = Scratch::new();
        let image = scratch.load_one(&squeeze(outer, &oci.archive()));
        let root = scratch.store.layers(&image).unwrap().remove(0);
        assert_eq!(std::fs::read_to_string(root.join("hello")).unwrap(), "text", "{outer} {inner}");
    }
}

#[test]
fn layers_that_image_spec_does_not_know_are_kept_plain() {
    let plain = layer("hello", "text");
    for how in ["xz", "bzip2"] {
        let squeezed = squeezed_by(how, &plain);
        let mut config = host_config();
        config["rootfs"] = json!({"type": "layers", "diff_ids": [Digest::of(&plain)]});
        let items = json!([{"Config": "c.json", "RepoTags": ["a:1"], "Layers": ["layer.tar"]}]);
        let archive = Tar::new()
            .raw(Tar::header("layer.tar", tar::EntryType::Regular, squeezed.len()), &squeezed)
            .file("c.json", &config.to_string())
            .file("manifest.json", &items.to_string())
            .end();
        let image = Scratch::new().load_one(&archive);
        assert_eq!(
            (&image.layers[0].digest, image.layers[0].media_type.as_str()),
            (&Digest::of(&plain), LAYER),
            "{how}"
        );
        let scratch = Scratch::new();
        let imported = scratch.store.import(&mut &squeezed[..], drua_store::Import::default()).unwrap();
        let image = scratch.store.get(imported.as_str(), None).unwrap();
        assert_eq!(image.layers[0].digest, Digest::of(&plain), "{how}");
        let damaged = &squeezed[..squeezed.len() - 9];
        let error = Scratch::new().store.import(&mut &damaged[..], drua_store::Import::default()).unwrap_err();
        assert_eq!(error.kind(), drua_types::ErrorKind::Invalid, "{how}");
    }
}

#[test]
fn an_xz_stream_cannot_ask_for_any_amount_of_memory() {
    // A block header with the largest dictionary: 4 GiB, LZMA2 property 40 (xz-file-format 5.3.1).
    let mut greedy = squeezed_by("xz", &layer("hello", "text"));
    let property = greedy.windows(3).position(|window| window[..2] == [0x21, 0x01]).unwrap() + 2;
    greedy[property] = 40;
    let crc = crc32(&greedy[12..20]);
    greedy[20..24].copy_from_slice(&crc.to_le_bytes());
    let error = Scratch::new().store.import(&mut &greedy[..], drua_store::Import::default()).unwrap_err();
    assert!(drua_types::error_chain(&error).contains("memory"), "{}", drua_types::error_chain(&error));
}

/// As zlib computes it.
fn crc32(bytes: &[u8]) -> u32 {
    let mut crc = flate2::Crc::new();
    crc.update(bytes);
    crc.sum()
}

/// Compressed by the program of this name.
fn squeezed_by(program: &str, bytes: &[u8]) -> Vec<u8> {
    use std::io::Write as _;
    use std::process::{Command, Stdio};
    let mut child = Command::new(program).arg("-c").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(bytes).unwrap();
    child.wait_with_output().unwrap().stdout
}

#[test]
fn docker_archive_with_linked_layers() {
    let (one, two) = (layer("one", "1"), layer("two", "2"));
    let mut config = host_config();
    let diff_ids = [Digest::of(&one), Digest::of(&two), Digest::of(&one)];
    config["rootfs"] = json!({"type": "layers", "diff_ids": diff_ids});
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    let items = json!([{"Config": "c.json", "RepoTags": ["a:1", "b:2"], "Layers": ["1/layer.tar", "2/layer.tar", "3/layer.tar"]}]);
    let archive = Tar::new()
        .dir("1/")
        .file("1/layer.tar", &text(&one))
        .file("2/layer.tar", &text(&two))
        .symlink("3/layer.tar", "../1/layer.tar")
        .file("c.json", &config.to_string())
        .file("manifest.json", &items.to_string())
        .file("repositories", "{}")
        .end();
    let scratch = Scratch::new();
    let image = scratch.load_one(&archive);
    assert_eq!(image.names.iter().map(|name| name.familiar()).collect::<Vec<_>>(), ["a:1", "b:2"]);
    let layers = scratch.store.layers(&image).unwrap();
    assert!(layers.len() == 3 && layers[0].join("one").is_file() && layers[1].join("two").is_file());
    assert_eq!(scratch.load_one(&archive).id, image.id, "the same archive is the same image");
}

#[test]
fn an_index_needs_one_complete_platform() {
    let mut oci = Oci::default();
    let here = oci.manifest(vec![layer("here", "")], host_config());
    let mut gone = oci.manifest(vec![layer("gone", "")], json!({"architecture": "riscv64", "os": "linux"}));
    let digest: Digest = gone["digest"].as_str().unwrap().parse().unwrap();
    oci.blobs.remove(&digest);
    gone["platform"] = json!({"architecture": "riscv64", "os": "linux"});
    let index = oci.json(INDEX, &json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": [gone, here]}));
    oci.name(index.clone(), "multi:1");
    let scratch = Scratch::new();
    let image = scratch.load_one(&oci.archive());
    assert_eq!(image.id.as_str(), index["digest"], "the id is the index's digest");
    assert_eq!(image.manifest_digest.as_str(), here["digest"]);
    assert_eq!(image.platforms, [Platform::host()]);
    let riscv = Platform::new("linux", "riscv64", None);
    let error = scratch.store.get("multi:1", Some(&riscv)).unwrap_err();
    assert_eq!(
        error.to_string(),
        "image with reference multi:1 was found but does not provide the specified platform (linux/riscv64)"
    );
    assert_eq!(error.kind(), ErrorKind::NotFound);

    // Without the complete one there is nothing to run.
    let here: Digest = here["digest"].as_str().unwrap().parse().unwrap();
    oci.blobs.remove(&here);
    let error = Scratch::new().load(&oci.archive()).unwrap_err();
    assert!(error.to_string().contains("is incomplete"), "{error}");
}

#[test]
fn one_platform_of_several() {
    let mut oci = Oci::default();
    let mut manifests = Vec::new();
    for (os, architecture) in [("linux", "s390x"), ("wasi", "wasm"), ("Wasip1", "wasm")] {
        let config = json!({"architecture": architecture, "os": os});
        manifests.push(oci.manifest(vec![layer(&format!("{os}-{architecture}"), "")], config));
    }
    let index = oci.json(INDEX, &json!({"schemaVersion": 2, "manifests": manifests}));
    oci.name(index, "multi:1");
    let scratch = Scratch::new();
    let s390x = Platform::new("linux", "s390x", None);
    scratch.store.load(&mut &*oci.archive(), Some(&s390x), &mut |_| {}).unwrap();
    let image = scratch.store.get("multi:1", None).unwrap();
    assert_eq!(image.platforms, [s390x]);
    let error = scratch.store.load(&mut &*oci.archive(), Some(&Platform::host()), &mut |_| {}).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    // Loaded whole, the same image has more; any spelling of WebAssembly finds the first.
    scratch.load(&oci.archive()).unwrap();
    let wasm = scratch.store.get("multi:1", Some(&"wasip2/wasm".parse().unwrap())).unwrap();
    assert_eq!(wasm.platform.to_string(), "wasi/wasm");
    assert_eq!(wasm.platforms.len(), 3);
}

#[test]
fn a_name_moves_and_leaves_a_dangling_image() {
    let scratch = Scratch::new();
    let old = scratch.load_one(&Oci::default().image("x:1", vec![layer("old", "")]).archive());
    let new = scratch.load_one(&Oci::default().image("x:1", vec![layer("new", "")]).archive());
    assert_eq!(scratch.store.get("x:1", None).unwrap().id, new.id);
    assert!(scratch.store.get(old.id.as_str(), None).unwrap().names.is_empty());
    assert_eq!(scratch.store.list().unwrap().len(), 2);
}

#[test]
fn documents_that_lie_are_refused() {
    let check = |build: &dyn Fn(&mut Oci), expect: &str| {
        let mut oci = Oci::default();
        build(&mut oci);
        let scratch = Scratch::new();
        let error = scratch.load(&oci.archive()).unwrap_err();
        let text = drua_types::error_chain(&error);
        assert!(text.contains(expect), "{text}");
        assert_eq!(error.kind(), ErrorKind::Invalid);
        scratch.assert_empty();
    };
    check(
        &|oci| {
            let config = oci.json(CONFIG, &host_config());
            let both = json!({"schemaVersion": 2, "config": config, "layers": [], "manifests": []});
            let descriptor = oci.json(MANIFEST, &both);
            oci.name(descriptor, "x:1");
        },
        "does not fit its media type",
    );
    check(
        &|oci| {
            let mut descriptor = oci.manifest(vec![layer("a", "")], host_config());
            descriptor["mediaType"] = json!(INDEX);
            oci.name(descriptor, "x:1");
        },
        "is not the announced",
    );
    check(
        &|oci| {
            let mut config = host_config();
            config["rootfs"] = json!({"type": "layers", "diff_ids": [Digest::of(b"another")]});
            let descriptor = oci.manifest(vec![layer("a", "")], config);
            oci.name(descriptor, "x:1");
        },
        "but the image's configuration says",
    );
    check(
        &|oci| {
            let mut descriptor = oci.manifest(vec![layer("a", "")], host_config());
            descriptor["size"] = json!(1);
            oci.name(descriptor, "x:1");
        },
        "its descriptor says 1",
    );
    check(
        &|oci| {
            let descriptor = oci.manifest(vec![layer("a", ""), layer("b", "")], {
                let mut config = host_config();
                config["rootfs"] = json!({"type": "layers", "diff_ids": [Digest::of(b"one")]});
                config
            });
            oci.name(descriptor, "x:1");
        },
        "2 layers, but 1 diff ids",
    );
    check(
        &|oci| {
            let descriptor = oci.manifest(vec![layer("a", "")], host_config());
            oci.name(descriptor, "Not A Name");
        },
        "invalid name",
    );
}

#[test]
fn the_layout_on_disk_is_one_that_others_read() {
    let scratch = Scratch::new();
    let image = scratch.load_one(&Oci::default().image("x:1", vec![layer("a", "")]).archive());
    let index = std::fs::read(scratch.path().join("content/index.json")).unwrap();
    let index: serde_json::Value = serde_json::from_slice(&index).unwrap();
    assert_eq!(index["manifests"][0]["digest"], image.id.as_str());
    assert_eq!(index["manifests"][0]["annotations"]["org.opencontainers.image.ref.name"], "x:1");
    assert_eq!(index["manifests"][0]["annotations"]["io.containerd.image.name"], "docker.io/library/x:1");
    assert_eq!(names(&scratch.path().join("content/blobs")), ["sha256"]);
    use std::os::unix::fs::MetadataExt as _;
    for (path, mode) in [("layers", 0o700), ("content", 0o700)] {
        assert_eq!(std::fs::metadata(scratch.path().join(path)).unwrap().mode() & 0o777, mode, "{path}");
    }
    let root = scratch.store.layers(&image).unwrap().remove(0);
    assert_eq!(std::fs::metadata(&root).unwrap().mode() & 0o777, 0o755);
    assert_eq!(std::fs::metadata(root.parent().unwrap()).unwrap().mode() & 0o777, 0o700);
}

#[test]
fn many_threads_at_once() {
    fn assert_shared<T: Send + Sync>() {}
    assert_shared::<Store>();
    let scratch = Scratch::new();
    let archive = Oci::default().image("x:1", vec![layer("a", "1"), layer("b", "2")]).archive();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..5 {
                    // Somebody else may have removed it in between: what is loaded must be complete all the same.
                    let loaded = scratch.load(&archive).unwrap();
                    if let Ok(image) = scratch.store.get(loaded[0].id.as_str(), None) {
                        assert_eq!(image.layers.len(), 2);
                    }
                    let _ = scratch.store.remove("x:1", drua_store::Force::No, &|_| None);
                }
            });
        }
    });
    let image = scratch.load_one(&archive);
    for root in scratch.store.layers(&image).unwrap() {
        assert_eq!(names(&root).len(), 1);
    }
    scratch.assert_tidy();
}
