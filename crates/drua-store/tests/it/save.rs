use drua_types::Platform;
use serde_json::{Value, json};

use crate::fixture::{INDEX, Oci, Scratch, host_config, layer, real_image};

fn save(scratch: &Scratch, names: &[&str], platform: Option<&Platform>) -> Vec<u8> {
    let mut archive = Vec::new();
    scratch.store.save(names, platform, &mut archive).unwrap();
    archive
}

fn read_json(archive: &[u8], path: &str) -> Value {
    let mut archive = tar::Archive::new(archive);
    let mut entries = archive.entries().unwrap().map(Result::unwrap);
    let entry = entries.find(|entry| entry.path().unwrap().to_str() == Some(path)).unwrap();
    serde_json::from_reader(entry).unwrap()
}

#[test]
fn busybox_goes_round() {
    let Some(archive) = real_image("busybox-1-musl-amd64.oci.tar") else { return };
    let (one, two) = (Scratch::new(), Scratch::new());
    let image = one.load_one(&archive);
    let saved = save(&one, &["busybox:1.37.0-musl"], None);
    let again = two.load_one(&saved);
    assert_eq!((again.id, again.names, again.size), (image.id, image.names, image.size));
    assert_eq!(save(&two, &["busybox:1.37.0-musl"], None), saved, "the same image gives the same bytes");
}

#[test]
fn both_formats_in_one() {
    let scratch = Scratch::new();
    let image = scratch.load_one(&Oci::default().image("x:1", vec![layer("a", "")]).archive());
    scratch.store.tag("x:1", &"y:2".parse().unwrap()).unwrap();
    let saved = save(&scratch, &["x:1", "y:2"], None);
    let items = read_json(&saved, "manifest.json");
    assert_eq!(items[0]["RepoTags"], json!(["x:1", "y:2"]));
    assert_eq!(items[0]["Config"], format!("blobs/sha256/{}", image.config_digest.hex()));
    assert_eq!(items[0]["Layers"][0], format!("blobs/sha256/{}", image.layers[0].digest.hex()));
    let index = read_json(&saved, "index.json");
    let names: Vec<_> = index["manifests"].as_array().unwrap().iter().map(|m| &m["annotations"]).collect();
    assert_eq!(names[0]["io.containerd.image.name"], "docker.io/library/x:1");
    assert_eq!(names[1]["org.opencontainers.image.ref.name"], "2");
    let second = Scratch::new();
    let loaded = second.load(&saved).unwrap();
    assert_eq!(loaded[0].messages(), ["Loaded image: x:1", "Loaded image: y:2"]);
    // By id there is no name.
    let by_id = Scratch::new().load(&save(&scratch, &[image.id.short()], None)).unwrap();
    assert_eq!(by_id[0].messages(), [format!("Loaded image ID: {}", image.id)]);
}

#[test]
fn the_docker_half_alone_is_enough() {
    let scratch = Scratch::new();
    scratch.load(&Oci::default().image("x:1", vec![layer("a", "")]).archive()).unwrap();
    let saved = save(&scratch, &["x:1"], None);
    let mut without = tar::Builder::new(Vec::new());
    for entry in tar::Archive::new(&*saved).entries().unwrap() {
        let mut entry = entry.unwrap();
        let path = entry.path().unwrap().into_owned();
        if path.to_str() != Some("index.json") {
            let mut header = entry.header().clone();
            without.append_data(&mut header, path, &mut entry).unwrap();
        }
    }
    let image = Scratch::new().load_one(&without.into_inner().unwrap());
    assert_eq!(image.names[0].familiar(), "x:1");
}

#[test]
fn one_platform_of_an_index() {
    let mut oci = Oci::default();
    let here = oci.manifest(vec![layer("here", "")], host_config());
    let wasm = oci.manifest(vec![layer("wasm", "")], json!({"architecture": "wasm", "os": "wasi"}));
    let index = oci.json(INDEX, &json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": [here, wasm]}));
    oci.name(index, "multi:1");
    let scratch = Scratch::new();
    scratch.load(&oci.archive()).unwrap();
    let saved = save(&scratch, &["multi:1"], Some(&Platform::wasi()));
    let image = Scratch::new().load_one(&saved);
    assert_eq!((image.id.as_str(), image.platforms), (wasm["digest"].as_str().unwrap(), vec![Platform::wasi()]));
    let whole = Scratch::new().load_one(&save(&scratch, &["multi:1"], None));
    assert_eq!(whole.platforms.len(), 2);
}

#[test]
fn an_unknown_name_writes_nothing() {
    let scratch = Scratch::new();
    let mut out = Vec::new();
    assert!(scratch.store.save(&["nope"], None, &mut out).is_err());
    assert!(out.is_empty());
}
