//! What goes to registries: compressed layers, and documents that name them.

use std::collections::BTreeMap;
use std::io::Read as _;

use drua_store::{Blob, Force, Packed, Repair, Store};
use drua_types::{Digest, Platform};
use serde_json::{Value, json};

use crate::fixture::{INDEX, LAYER, MANIFEST, Oci, Scratch, gzip, host_config, layer};

fn pack(store: &Store, name: &str) -> Packed {
    let contents = store.contents(name, None).unwrap();
    let plain = store.plain_layers(&contents);
    let layers: BTreeMap<Digest, Blob> =
        plain.iter().map(|layer| (layer.digest.clone(), store.pack_layer(layer, &mut |_| {}).unwrap())).collect();
    store.pack(contents, layers).unwrap()
}

fn made(packed: &Packed, digest: &Digest) -> Value {
    serde_json::from_slice(&packed.made[digest]).unwrap()
}

#[test]
fn plain_layers_are_compressed_once_and_the_others_stay() {
    let scratch = Scratch::new();
    let (plain, squeezed) = (layer("a", &"text ".repeat(1000)), gzip(&layer("b", "text")));
    let mut config = host_config();
    config["rootfs"] = json!({"type": "layers", "diff_ids": [Digest::of(&plain), Digest::of(&layer("b", "text"))]});
    let mut oci = Oci::default();
    let descriptor = oci.manifest(vec![plain.clone(), squeezed.clone()], config);
    oci.name(descriptor, "x:1");
    let image = scratch.load_one(&oci.archive());
    let packed = pack(&scratch.store, "x:1");
    assert_ne!(packed.contents.top.digest, image.id);
    let layers = made(&packed, &packed.contents.top.digest)["layers"].clone();
    assert_eq!(layers[0]["mediaType"], format!("{LAYER}+gzip"));
    // It says that it is plain, and is not: what it really is shows when it is read.
    assert_eq!((&layers[1]["mediaType"], &layers[1]["digest"]), (&json!(LAYER), &json!(Digest::of(&squeezed))));
    let digest: Digest = layers[0]["digest"].as_str().unwrap().parse().unwrap();
    let mut bytes = Vec::new();
    scratch.store.blob(&digest).unwrap().read_to_end(&mut bytes).unwrap();
    assert_eq!(json!(bytes.len()), layers[0]["size"]);
    assert!(bytes.len() * 5 < plain.len());
    let mut again = Vec::new();
    flate2::read::GzDecoder::new(&bytes[..]).read_to_end(&mut again).unwrap();
    assert_eq!(Digest::of(&again), Digest::of(&plain), "the diff id is what it was");
    // The second time nothing is compressed; a sweep leaves the copy; nothing is amiss.
    assert_eq!(pack(&scratch.store, "x:1").contents.top, packed.contents.top);
    assert_eq!(scratch.store.sweep(&|_| None).unwrap().blobs, 0);
    assert_eq!(scratch.store.check(Repair::No, &|_| None).unwrap().problems.len(), 0);
    let usage = scratch.store.usage().unwrap()[&image.id].total;
    let disk = scratch.store.disk_usage().unwrap();
    assert_eq!(usage, disk.content_bytes + disk.layers_bytes, "the copy counts as the image's");
    drop(packed);
    scratch.store.remove("x:1", Force::No, &|_| None).unwrap();
    scratch.assert_empty();
}

#[test]
fn an_index_and_its_attestation_follow() {
    let scratch = Scratch::new();
    let mut oci = Oci::default();
    let mut image = oci.manifest(vec![layer("a", &"text ".repeat(100))], host_config());
    image["platform"] = json!({"os": "linux", "architecture": Platform::host().architecture()});
    let old = image["digest"].as_str().unwrap().to_owned();
    let statement = oci.json("application/vnd.in-toto+json", &json!({"subject": [{"digest": {"sha256": &old[7..]}}]}));
    let empty = oci.json("application/vnd.oci.empty.v1+json", &json!({}));
    let mut attestation = oci.json(
        MANIFEST,
        &json!({"schemaVersion": 2, "mediaType": MANIFEST, "config": empty, "layers": [statement],
                "subject": {"mediaType": MANIFEST, "digest": old, "size": image["size"]}}),
    );
    attestation["platform"] = json!({"os": "unknown", "architecture": "unknown"});
    attestation["annotations"] =
        json!({"vnd.docker.reference.type": "attestation-manifest", "vnd.docker.reference.digest": old});
    let index = oci.json(INDEX, &json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": [image, attestation]}));
    oci.name(index, "x:1");
    scratch.load_one(&oci.archive());
    let packed = pack(&scratch.store, "x:1");
    let index = made(&packed, &packed.contents.top.digest);
    let digest = |value: &Value| value["digest"].as_str().unwrap().parse::<Digest>().unwrap();
    let (image, attestation) = (digest(&index["manifests"][0]), digest(&index["manifests"][1]));
    assert_ne!(image.as_str(), old);
    assert_eq!(index["manifests"][1]["annotations"]["vnd.docker.reference.digest"], json!(image));
    let attestation = made(&packed, &attestation);
    assert_eq!(attestation["subject"]["digest"], json!(image));
    let statement = made(&packed, &digest(&attestation["layers"][0]));
    assert_eq!(statement["subject"][0]["digest"]["sha256"], image.hex());
    assert_eq!(packed.contents.documents.last(), Some(&packed.contents.top), "named last");
    let sent: Vec<&Digest> = packed.contents.blobs.iter().map(|blob| &blob.digest).collect();
    assert!(sent.contains(&&digest(&attestation["layers"][0])), "the new statement goes, too");
}

#[test]
fn a_platform_goes_and_the_others_stay() {
    let scratch = Scratch::new();
    let mut oci = Oci::default();
    let mut entries = Vec::new();
    for architecture in [Platform::host().architecture(), "s390x", "riscv64"] {
        let mut config = host_config();
        config["architecture"] = json!(architecture);
        let mut manifest = oci.manifest(vec![layer("base", "same"), layer("own", architecture)], config);
        manifest["platform"] = json!({"os": "linux", "architecture": architecture});
        entries.push(manifest);
    }
    let index = oci.json(INDEX, &json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": entries}));
    oci.name(index, "x:1");
    let image = scratch.load_one(&oci.archive());
    assert_eq!(image.platforms.len(), 3);
    let remove = |platforms: &[&str]| {
        let platforms: Vec<Platform> = platforms.iter().map(|text| text.parse().unwrap()).collect();
        scratch.store.remove_platforms("x:1", &platforms, &|_| None, &|_| None)
    };
    let blobs = || crate::fixture::names(&scratch.path().join("content/blobs/sha256")).len();
    let before = blobs();
    assert_eq!(remove(&["linux/s390x"]).unwrap().len(), 1);
    assert_eq!(blobs(), before - 3, "manifest, configuration and the layer of its own");
    let left = scratch.store.get("x:1", None).unwrap();
    assert_eq!((left.id, left.platforms.len()), (image.id, 2));
    let text = |result: Result<Vec<drua_store::Removed>, drua_store::RemoveError>| result.unwrap_err().to_string();
    assert!(text(remove(&["linux/s390x"])).contains("does not provide the specified platform"));
    let host = Platform::host().to_string();
    assert!(text(remove(&["linux/riscv64", &host])).contains("is here for no other"));
    let user = drua_store::ImageUse { container_id: "0123456789abcdef".to_owned(), running: false };
    let used =
        scratch.store.remove_platforms("x:1", &["linux/riscv64".parse().unwrap()], &|_| Some(user.clone()), &|_| None);
    assert!(text(used).contains("is being used by container 0123456789ab"));
    assert_eq!(scratch.store.check(Repair::No, &|_| None).unwrap().problems.len(), 0);
}
