use std::path::Path;

use drua_types::Platform;
use serde_json::{Value, json};

use crate::fixture::{MANIFEST, Oci, Scratch, layer, names};

const MODULE: &[u8] = b"\0asm\x01\0\0\0";

fn artifact(config_type: &str, config: &Value, layers: &[(&str, &str)]) -> Vec<u8> {
    let mut oci = Oci::default();
    let config = oci.json(config_type, config);
    let layers: Vec<Value> = layers
        .iter()
        .enumerate()
        .map(|(number, (media_type, title))| {
            let mut descriptor = oci.blob(media_type, [MODULE, &[0, 1, number as u8]].concat());
            if !title.is_empty() {
                descriptor["annotations"] = json!({"org.opencontainers.image.title": title});
            }
            descriptor
        })
        .collect();
    let manifest = json!({"schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": layers,
        "annotations": {"module.wasm.image/variant": "compat"}});
    let descriptor = oci.json(MANIFEST, &manifest);
    oci.name(descriptor, "hello:wasm");
    oci.archive()
}

#[test]
fn cncf_artifact_becomes_a_root_with_one_file() {
    let config = json!({"created": "2025-01-01T00:00:00Z", "architecture": "wasm", "os": "wasip2",
        "layerDigests": [], "component": {"exports": ["wasi:cli/run@0.2.0"], "imports": [], "target": "wasi:cli/command"}});
    let scratch = Scratch::new();
    let archive = artifact("application/vnd.wasm.config.v0+json", &config, &[("application/wasm", "")]);
    let image = scratch.load_one(&archive);
    assert_eq!(image.platform.to_string(), "wasip2/wasm");
    assert_eq!(image.wasm_module.as_deref(), Some(Path::new("/module.wasm")));
    assert_eq!(image.annotations["module.wasm.image/variant"], "compat");
    assert_eq!(image.config_media_type, "application/vnd.wasm.config.v0+json");
    assert!(scratch.store.get("hello:wasm", Some(&Platform::wasi())).is_ok());
    let root = scratch.store.layers(&image).unwrap().remove(0);
    assert!(std::fs::read(root.join("module.wasm")).unwrap().starts_with(MODULE));
    use std::os::unix::fs::MetadataExt as _;
    assert_eq!(std::fs::metadata(root.join("module.wasm")).unwrap().mode() & 0o777, 0o755);
}

#[test]
fn titles_become_safe_file_names() {
    let config = json!({"architecture": "wasm", "os": "Wasip1", "rootfs": {"type": "layers", "diff_ids": []}});
    for (title, expect) in [
        ("app.wasm", "/app.wasm"),
        ("target/wasm32-wasip1/release/app.wasm", "/app.wasm"),
        ("../../etc/passwd", "/passwd"),
        ("..", "/module.wasm"),
        ("a b", "/module.wasm"),
        (".hidden", "/module.wasm"),
        ("", "/module.wasm"),
    ] {
        let scratch = Scratch::new();
        let kind = "application/vnd.bytecodealliance.wasm.component.layer.v0+wasm";
        let image = scratch.load_one(&artifact(crate::fixture::CONFIG, &config, &[(kind, title)]));
        assert_eq!(image.wasm_module.as_deref(), Some(Path::new(expect)), "{title:?}");
        let root = scratch.store.layers(&image).unwrap().remove(0);
        assert_eq!(format!("/{}", names(&root).join(",")), expect);
    }
}

#[test]
fn several_modules_and_foreign_layers() {
    let scratch = Scratch::new();
    let layers = [
        ("application/vnd.fermyon.spin.application.v1+config", ""),
        ("application/vnd.wasm.content.layer.v1+wasm", ""),
        ("application/vnd.wasm.content.layer.v1+data", ""),
        ("application/vnd.wasm.content.layer.v1+wasm", ""),
    ];
    // Spin's oldest configurations have no platform and no rootfs at all.
    let image = scratch.load_one(&artifact("application/vnd.fermyon.spin.application.v1+config", &json!({}), &layers));
    assert_eq!(image.platform, Platform::wasi());
    let found: Vec<String> = scratch.store.layers(&image).unwrap().iter().flat_map(|root| names(root)).collect();
    assert_eq!(found, ["module-2.wasm", "module.wasm"]);
}

#[test]
fn an_ordinary_root_with_a_module() {
    let mut oci = Oci::default();
    let config = json!({"architecture": "wasm", "os": "wasi", "config": {"Entrypoint": ["/app.wasm"]}});
    let descriptor = oci.manifest(vec![layer("app.wasm", "\0asm")], config);
    oci.name(descriptor, "rootfs:wasm");
    let scratch = Scratch::new();
    let image = scratch.load_one(&oci.archive());
    assert_eq!((&image.platform, &image.wasm_module), (&Platform::wasi(), &None));
    assert!(scratch.store.layers(&image).unwrap()[0].join("app.wasm").is_file());
}
