//! Images that come in blob by blob.

use std::io::Write as _;
use std::sync::Arc;

use drua_store::{Begin, Blob, Force, NewImage, Plan, ReceiveError, Receiving, Selection, Store};
use drua_types::{Digest, Platform};
use tar::EntryType;

use crate::fixture::{INDEX, LAYER, MANIFEST, Oci, Scratch, Tar, gzip, host_config, layer, names};

/// An image as a registry has it.
pub(crate) struct Remote {
    oci: Oci,
    top: Blob,
}

impl Remote {
    pub(crate) fn new(layers: Vec<Vec<u8>>) -> Self {
        let mut oci = Oci::default();
        let descriptor = oci.manifest(layers, host_config());
        let top = blob(&descriptor);
        Self { oci, top }
    }

    fn bytes(&self, digest: &Digest) -> &[u8] {
        &self.oci.blobs[digest]
    }

    /// Fetches documents until the layers are known.
    #[track_caller]
    fn plan(&self, receiving: &Receiving, platform: Option<&Platform>) -> Plan {
        loop {
            match receiving.select(&self.top, platform).unwrap() {
                Selection::Fetch(blobs) => {
                    for blob in blobs {
                        receiving.add_document(&blob.digest, self.bytes(&blob.digest)).unwrap();
                    }
                }
                Selection::Image(plan) => return *plan,
            }
        }
    }

    fn image(&self, name: &str) -> NewImage {
        NewImage { top: self.top.clone(), names: vec![name.parse().unwrap()], platform: None }
    }

    /// Everything at once.
    pub(crate) fn pull(&self, store: &Store, name: &str) {
        self.try_pull(store, name).unwrap();
    }

    /// Layer by layer, each unpacked while it is written in pieces.
    pub(crate) fn try_pull(&self, store: &Store, name: &str) -> Result<(), String> {
        let text = |error: &dyn std::error::Error| drua_types::error_chain(error);
        let receiving = store.receive().map_err(|error| text(&error))?;
        for layer in &self.plan(&receiving, None).layers {
            let bytes = self.bytes(&layer.digest);
            let begun = receiving.begin(&layer.blob()).map_err(|error| text(&error))?;
            std::thread::scope(|scope| {
                let unpacking = scope.spawn(|| receiving.unpack(layer, &mut |_| {}).map_err(|error| text(&error)));
                if let Begin::Write(mut writer) = begun {
                    let from = usize::try_from(writer.written()).unwrap();
                    for piece in bytes[from..].chunks(64 << 10) {
                        writer.write(piece).map_err(|error| text(&error))?;
                    }
                    writer.finish().map_err(|error| text(&error))?;
                }
                unpacking.join().unwrap()
            })?;
        }
        store.commit(&receiving, &[self.image(name)]).map(drop).map_err(|error| text(&error))
    }
}

fn blob(descriptor: &serde_json::Value) -> Blob {
    Blob {
        media_type: descriptor["mediaType"].as_str().unwrap().to_owned(),
        digest: descriptor["digest"].as_str().unwrap().parse().unwrap(),
        size: descriptor["size"].as_u64().unwrap(),
    }
}

#[track_caller]
fn writer(begin: Begin) -> drua_store::BlobWriter {
    match begin {
        Begin::Write(writer) => writer,
        other => panic!("expected a writer, got {other:?}"),
    }
}

#[track_caller]
fn bring(receiving: &Receiving, blob: &Blob, bytes: &[u8]) {
    if let Begin::Write(mut writer) = receiving.begin(blob).unwrap() {
        let from = usize::try_from(writer.written()).unwrap();
        writer.write(&bytes[from..]).unwrap();
        writer.finish().unwrap();
    }
}

fn noise(bytes: usize) -> String {
    (0..bytes).map(|n| char::from(b'a' + u8::try_from(n * n % 7919 % 26).unwrap())).collect()
}

#[test]
fn unpacks_while_it_downloads_and_shows_nothing_before_the_commit() {
    let scratch = Scratch::new();
    let low = Tar::new().dir("etc/").file("etc/base", "low").end();
    let big = noise(3 << 20);
    let high = Tar::new().file("etc/over", "high").file("big", &big).end();
    let mut config = host_config();
    config["rootfs"] = serde_json::json!({"type": "layers", "diff_ids": [Digest::of(&low), Digest::of(&high)]});
    let mut oci = Oci::default();
    let top = blob(&oci.manifest(vec![low, gzip(&high)], config));
    let remote = Remote { oci, top };
    let receiving = Arc::new(scratch.store.receive().unwrap());
    let plan = remote.plan(&receiving, None);
    assert!(plan.runs_here);
    // The layers in the wrong order, both begun before a byte is there.
    let threads: Vec<_> = plan
        .layers
        .iter()
        .rev()
        .map(|layer| {
            let bytes = remote.bytes(&layer.digest).to_vec();
            let mut writer = writer(receiving.begin(&layer.blob()).unwrap());
            let (receiving, layer) = (Arc::clone(&receiving), layer.clone());
            let unpacking = std::thread::spawn(move || {
                let mut told = 0;
                receiving.unpack(&layer, &mut |bytes| told = bytes).map(|()| told)
            });
            for piece in bytes.chunks(100_000) {
                writer.write(piece).unwrap();
            }
            assert!(scratch.store.list().unwrap().is_empty());
            (writer, unpacking)
        })
        .collect();
    for (writer, unpacking) in threads {
        writer.finish().unwrap();
        unpacking.join().unwrap().unwrap();
    }
    assert!(scratch.store.list().unwrap().is_empty());
    assert!(scratch.store.get("x:1", None).is_err());
    let loaded = scratch.store.commit(&receiving, &[remote.image("x:1")]).unwrap();
    drop(receiving);
    scratch.assert_tidy();
    assert_eq!(names(&scratch.path().join("content/partial")), [""; 0]);
    let image = scratch.store.get("x:1", None).unwrap();
    assert_eq!(image.id, loaded[0].id);
    let roots = scratch.store.layers(&image).unwrap();
    assert_eq!(std::fs::read_to_string(roots[0].join("big")).unwrap(), big);
    assert_eq!(std::fs::read_to_string(roots[1].join("etc/base")).unwrap(), "low");
}

#[test]
fn layers_out_of_order_settle_as_if_they_came_in_order() {
    use std::os::unix::fs::MetadataExt as _;
    // `secret/` has an owner and a mode below; `lib` is a link there; the upper layer has neither.
    let mut secret = Tar::header("secret/", EntryType::Directory, 0);
    secret.set_mode(0o700);
    secret.set_uid(1234);
    let low = Tar::new().raw(secret, b"").dir("usr/").dir("usr/lib/").symlink("lib", "usr/lib").end();
    let high = Tar::new().file("secret/key", "k").file("lib/libx.so", "elf").file("new/file", "n").end();
    let remote = Remote::new(vec![low, high]);
    let roots = |reverse: bool| {
        let scratch = Scratch::new();
        let receiving = scratch.store.receive().unwrap();
        let plan = remote.plan(&receiving, None);
        plan.layers.iter().for_each(|layer| bring(&receiving, &layer.blob(), remote.bytes(&layer.digest)));
        if reverse {
            plan.layers.iter().rev().for_each(|layer| receiving.unpack(layer, &mut |_| {}).unwrap());
        }
        scratch.store.commit(&receiving, &[remote.image("x:1")]).unwrap();
        let image = scratch.store.get("x:1", None).unwrap();
        let root = scratch.store.layers(&image).unwrap().remove(0);
        (scratch, root)
    };
    let trees = [false, true].map(|reverse| {
        let (_scratch, root) = roots(reverse);
        let facts =
            ["secret", "secret/key", "usr", "usr/lib", "usr/lib/libx.so", "new", "new/file", "lib"].map(|path| {
                let metadata = std::fs::symlink_metadata(root.join(path)).ok()?;
                Some((
                    metadata.mode(),
                    metadata.uid(),
                    metadata.len(),
                    if path == "new" { 0 } else { metadata.mtime() },
                ))
            });
        format!("{facts:?}")
    });
    assert_eq!(trees[0], trees[1]);
    assert!(trees[0].contains("1234"), "{}", trees[0]);
}

#[test]
fn an_interrupted_blob_goes_on_where_it_stopped() {
    let scratch = Scratch::new();
    let remote = Remote::new(vec![layer("f", &noise(500_000))]);
    let Scratch { store, dir } = scratch;
    let receiving = store.receive().unwrap();
    let blob = remote.plan(&receiving, None).layers[0].blob();
    let bytes = remote.bytes(&blob.digest);
    let mut first = writer(receiving.begin(&blob).unwrap());
    assert!(matches!(receiving.begin(&blob).unwrap(), Begin::Busy));
    first.write(&bytes[..200_000]).unwrap();
    drop(first);
    assert_eq!(writer(receiving.begin(&blob).unwrap()).written(), 200_000);
    // Another process does, too, and a commit without it is refused.
    assert!(store.commit(&receiving, &[remote.image("x:1")]).unwrap_err().to_string().contains("incomplete"));
    drop(receiving);
    drop(store);
    let store = Store::open(dir.path()).unwrap();
    assert_eq!(store.disk_usage().unwrap().partial_bytes, 200_000);
    let receiving = store.receive().unwrap();
    let plan = remote.plan(&receiving, None);
    let mut second = writer(receiving.begin(&blob).unwrap());
    assert_eq!(second.written(), 200_000);
    assert_eq!(store.prune_partials().unwrap(), 0, "it is being written");
    second.write(&bytes[200_000..]).unwrap();
    assert!(!receiving.has(&blob), "not before it is verified");
    second.finish().unwrap();
    assert!(receiving.has(&blob));
    assert!(matches!(receiving.begin(&blob).unwrap(), Begin::Present));
    // A second operation sees it, too.
    assert!(store.receive().unwrap().has(&blob));
    receiving.unpack(&plan.layers[0], &mut |_| {}).unwrap();
    store.commit(&receiving, &[remote.image("x:1")]).unwrap();
    assert_eq!(store.disk_usage().unwrap().partial_bytes, 0);
    store.get("x:1", None).unwrap();
}

#[test]
fn a_complete_blob_survives_a_kill_before_the_commit() {
    let Scratch { store, dir } = Scratch::new();
    let remote = Remote::new(vec![layer("f", "x")]);
    let receiving = store.receive().unwrap();
    let blob = remote.plan(&receiving, None).layers[0].blob();
    bring(&receiving, &blob, remote.bytes(&blob.digest));
    // As if killed: nothing is dropped in order.
    std::mem::forget(receiving);
    drop(store);
    let store = Store::open(dir.path()).unwrap();
    store.sweep(&|_| None).unwrap();
    let receiving = store.receive().unwrap();
    assert!(matches!(receiving.begin(&blob).unwrap(), Begin::Present));
    drop(receiving);
    assert_eq!(store.prune_partials().unwrap(), blob.size);
    // Damaged on disk meanwhile, it starts anew.
    std::fs::write(dir.path().join("content/partial").join(blob.digest.hex()), vec![b'x'; 1536]).unwrap();
    let receiving = store.receive().unwrap();
    let begun = receiving.begin(&Blob { size: 1536, ..blob.clone() }).unwrap();
    assert_eq!(writer(begun).written(), 0);
}

#[test]
fn wrong_bytes_are_refused_and_not_kept() {
    let scratch = Scratch::new();
    let remote = Remote::new(vec![layer("f", &noise(5000))]);
    let receiving = scratch.store.receive().unwrap();
    let plan = remote.plan(&receiving, None);
    let blob = plan.layers[0].blob();
    let mut bytes = remote.bytes(&blob.digest).to_vec();
    bytes[1000] ^= 1;
    let mut wrong = writer(receiving.begin(&blob).unwrap());
    wrong.write(&bytes).unwrap();
    assert!(matches!(wrong.finish().unwrap_err(), ReceiveError::Digest { .. }));
    let mut long = writer(receiving.begin(&blob).unwrap());
    assert_eq!(long.written(), 0);
    long.write(&bytes).unwrap();
    assert!(matches!(long.write(b"x").unwrap_err(), ReceiveError::TooLong { .. }));
    drop(long);
    let mut short = writer(receiving.begin(&blob).unwrap());
    assert_eq!(short.written(), 0);
    short.write(&bytes[..7]).unwrap();
    assert!(matches!(short.finish().unwrap_err(), ReceiveError::TooShort { actual: 7, .. }));
    assert!(matches!(receiving.add_document(&blob.digest, b"other").unwrap_err(), ReceiveError::Digest { .. }));
    let missing = receiving.unpack(&plan.layers[0], &mut |_| {}).unwrap_err();
    assert!(drua_types::error_chain(&missing).contains("is missing"), "{missing}");
    assert!(scratch.store.commit(&receiving, &[remote.image("x:1")]).is_err());
    let empty = Blob { size: 0, ..blob };
    assert!(matches!(receiving.begin(&empty).unwrap_err(), ReceiveError::Digest { .. }));
    drop(receiving);
    scratch.store.prune_partials().unwrap();
    scratch.assert_empty();
}

#[test]
fn a_download_that_stops_stops_the_unpacking() {
    let scratch = Scratch::new();
    let remote = Remote::new(vec![layer("f", &noise(500_000))]);
    let receiving = Arc::new(scratch.store.receive().unwrap());
    let plan = remote.plan(&receiving, None);
    let mut writer = writer(receiving.begin(&plan.layers[0].blob()).unwrap());
    writer.write(&remote.bytes(&plan.layers[0].digest)[..100_000]).unwrap();
    let unpacking = {
        let (receiving, layer) = (Arc::clone(&receiving), plan.layers[0].clone());
        std::thread::spawn(move || receiving.unpack(&layer, &mut |_| {}))
    };
    drop(writer);
    let error = drua_types::error_chain(&unpacking.join().unwrap().unwrap_err());
    assert!(error.contains("its download stopped") || error.contains("is missing"), "{error}");
    drop(receiving);
    scratch.assert_empty();
}

#[test]
fn chooses_the_platform_and_names_what_is_missing() {
    let scratch = Scratch::new();
    let mut oci = Oci::default();
    let mut entries = Vec::new();
    for (os, architecture) in [("linux", "s390x"), ("wasi", "wasm"), ("linux", Platform::host().architecture())] {
        let mut descriptor = oci.manifest(
            vec![layer(&format!("{os}-{architecture}"), "")],
            serde_json::json!({"os": os, "architecture": architecture}),
        );
        descriptor["platform"] = serde_json::json!({"os": os, "architecture": architecture});
        entries.push(descriptor);
    }
    let mut attestation = entries[0].clone();
    attestation["platform"] = serde_json::json!({"os": "unknown", "architecture": "unknown"});
    attestation["annotations"] = serde_json::json!({"vnd.docker.reference.type": "attestation-manifest"});
    entries.insert(0, attestation);
    let top = oci.json(INDEX, &serde_json::json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": entries}));
    let remote = Remote { top: blob(&top), oci };
    let receiving = scratch.store.receive().unwrap();
    let platform = |text: &str| text.parse::<Platform>().unwrap();
    assert_eq!(remote.plan(&receiving, None).platform, Platform::host());
    assert_eq!(remote.plan(&receiving, Some(&platform("wasip1/wasm"))).platform, platform("wasi/wasm"));
    let foreign = remote.plan(&receiving, Some(&platform("linux/s390x")));
    assert!(!foreign.runs_here);
    assert_eq!(foreign.documents.len(), 2);
    let error = receiving.select(&remote.top, Some(&platform("linux/riscv64"))).unwrap_err();
    assert_eq!(drua_types::Classify::kind(&error), drua_types::ErrorKind::NotFound);
    // One platform after the other, under one name.
    for one in ["wasi/wasm", "linux/s390x"] {
        let plan = remote.plan(&receiving, Some(&platform(one)));
        plan.layers.iter().for_each(|layer| bring(&receiving, &layer.blob(), remote.bytes(&layer.digest)));
        scratch.store.commit(&receiving, &[NewImage { platform: Some(platform(one)), ..remote.image("x:1") }]).unwrap();
    }
    drop(receiving);
    let image = scratch.store.get("x:1", None).unwrap();
    assert_eq!(image.platforms, [platform("linux/s390x"), platform("wasi/wasm")]);
    let contents = scratch.store.contents("x:1", None).unwrap();
    assert_eq!((contents.documents.len(), contents.missing.len()), (3, 1), "{contents:?}");
    assert_eq!(contents.documents.last(), Some(&remote.top));
    let one = scratch.store.contents("x:1", Some(&platform("linux/s390x"))).unwrap();
    assert_eq!((one.documents.len(), one.blobs.len(), one.missing.len()), (1, 2, 0));
    assert_eq!(one.top.media_type, MANIFEST);
    assert_eq!(scratch.store.names_with_blob(&one.blobs[0].digest).unwrap().len(), 1);
}

#[test]
fn a_leased_image_cannot_be_removed() {
    let scratch = Scratch::new();
    Remote::new(vec![layer("f", "x")]).pull(&scratch.store, "x:1");
    let (image, lease) = scratch.store.acquire("x:1", None).unwrap();
    for name in ["x:1", image.id.as_str()] {
        let error = scratch.store.remove(name, Force::Yes, &|_| None).unwrap_err();
        assert!(error.to_string().contains("being created"), "{error}");
    }
    // Another image's removal sweeps, but not this.
    Remote::new(vec![layer("g", "y")]).pull(&scratch.store, "y:1");
    scratch.store.remove("y:1", Force::No, &|_| None).unwrap();
    assert!(scratch.store.layers(&image).unwrap()[0].join("f").is_file());
    drop(lease);
    scratch.store.remove("x:1", Force::No, &|_| None).unwrap();
    scratch.assert_empty();
    assert!(scratch.store.acquire("x:1", None).is_err());
}

#[test]
fn a_sweep_takes_nothing_from_an_operation_under_way() {
    let scratch = Scratch::new();
    let remote = Remote::new(vec![layer("f", "shared")]);
    remote.pull(&scratch.store, "x:1");
    let receiving = scratch.store.receive().unwrap();
    let plan = remote.plan(&receiving, None);
    assert!(receiving.has(&plan.layers[0].blob()));
    assert!(receiving.has_unpacked(plan.layers[0].chain_id.as_ref().unwrap()));
    scratch.store.remove("x:1", Force::No, &|_| None).unwrap();
    scratch.store.commit(&receiving, &[remote.image("x:2")]).unwrap();
    drop(receiving);
    let image = scratch.store.get("x:2", None).unwrap();
    assert!(scratch.store.layers(&image).unwrap()[0].join("f").is_file());
}

#[test]
fn made_here_blob_by_blob() {
    let scratch = Scratch::new();
    let receiving = scratch.store.receive().unwrap();
    let tar = layer("f", "built");
    let (digest, size) = receiving.add_stream(&mut &*tar).unwrap();
    let mut config = host_config();
    config["rootfs"] = serde_json::json!({"type": "layers", "diff_ids": [digest]});
    let mut bytes = Vec::new();
    write!(bytes, "{config}").unwrap();
    let config_digest = receiving.add_bytes(&bytes).unwrap();
    let manifest = serde_json::json!({
        "schemaVersion": 2, "mediaType": MANIFEST,
        "config": {"mediaType": "application/vnd.oci.image.config.v1+json", "digest": config_digest, "size": bytes.len()},
        "layers": [{"mediaType": LAYER, "digest": digest, "size": size}],
    })
    .to_string();
    let id = receiving.add_bytes(manifest.as_bytes()).unwrap();
    let top = Blob { media_type: MANIFEST.to_owned(), digest: id, size: manifest.len() as u64 };
    let new = NewImage { top, names: vec!["built:1".parse().unwrap()], platform: None };
    scratch.store.commit(&receiving, &[new]).unwrap();
    assert!(scratch.store.layers(&scratch.store.get("built:1", None).unwrap()).unwrap()[0].join("f").is_file());
}
