//! Every shape in which a Wasm image comes, images of several platforms, and other tools on our layouts.

use std::path::Path;
use std::time::Duration;

use drua_e2e::{Cmd, Daemon, Image, Rootfs, binary, guest, wait};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::support::{busybox, daemon, load, skip, wasm_image};

pub(crate) const OCI_MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const OCI_INDEX: &str = "application/vnd.oci.image.index.v1+json";
pub(crate) const OCI_CONFIG: &str = "application/vnd.oci.image.config.v1+json";

/// An OCI layout made blob by blob.
pub(crate) struct Layout {
    archive: Rootfs,
    index: Vec<Value>,
}

impl Layout {
    pub(crate) fn new() -> Self {
        Self {
            archive: Rootfs::new().file("oci-layout", 0o644, r#"{"imageLayoutVersion":"1.0.0"}"#),
            index: Vec::new(),
        }
    }

    pub(crate) fn blob(&mut self, media_type: &str, bytes: &[u8]) -> Value {
        let hex = format!("{:x}", Sha256::digest(bytes));
        let archive = std::mem::take(&mut self.archive);
        self.archive = archive.file(&format!("blobs/sha256/{hex}"), 0o644, bytes);
        json!({ "mediaType": media_type, "digest": format!("sha256:{hex}"), "size": bytes.len() })
    }

    pub(crate) fn json(&mut self, media_type: &str, value: &Value) -> Value {
        self.blob(media_type, value.to_string().as_bytes())
    }

    pub(crate) fn manifest(&mut self, config: &Value, layers: &[Value]) -> Value {
        let manifest = json!({ "schemaVersion": 2, "mediaType": OCI_MANIFEST, "config": config, "layers": layers });
        self.json(OCI_MANIFEST, &manifest)
    }

    pub(crate) fn name(&mut self, mut descriptor: Value, name: &str) {
        descriptor["annotations"] = json!({ "io.containerd.image.name": name });
        self.index.push(descriptor);
    }

    pub(crate) fn finish(self) -> Vec<u8> {
        let index = json!({ "schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": self.index });
        self.archive.file("index.json", 0o644, index.to_string()).finish()
    }
}

fn tree(daemon: &Daemon) -> String {
    daemon.drua(["images", "--tree"]).run().ok().to_owned()
}

#[track_caller]
pub(crate) fn wait_until_compiled(daemon: &Daemon) {
    wait::until("the module to be compiled ahead of time", Duration::from_secs(60), || {
        let tree = tree(daemon);
        tree.contains("compiled") && !tree.contains("not compiled")
    });
}

#[test]
fn a_module_becomes_an_artifact_or_an_image() {
    let Some(daemon) = daemon() else { return };
    let file = daemon.dir().join("hello.wasm");
    fs_err::write(&file, guest::module(guest::HELLO)).unwrap();
    let file = file.to_string_lossy();
    daemon.drua(["image", "import-wasm", &file, "hello:artifact"]).run().prints("Loaded image: hello:artifact\n").ok();
    daemon.drua(["image", "import-wasm", "--as", "image", "--label", "team=web", &file, "hello:image"]).run().ok();
    wait_until_compiled(&daemon);
    for image in ["hello:artifact", "hello:image"] {
        daemon.docker(["run", "--rm", image]).run().prints("Hello from Wasm\n").ok();
    }
    let manifest = daemon.drua(["manifest", "inspect", "hello:artifact"]).run();
    assert!(manifest.ok().contains("application/vnd.wasm.config.v0+json"), "{manifest}");
    assert!(manifest.ok().contains(r#""org.opencontainers.image.title": "hello.wasm""#), "{manifest}");
    let label = daemon.docker(["inspect", "-f", "{{.Config.Labels.team}} {{.Os}}", "hello:image"]).run();
    assert_eq!(label.ok(), "web wasi");
    // A component says what it needs and offers.
    let component = daemon.dir().join("component.wasm");
    fs_err::write(&component, guest::component(guest::HELLO).unwrap()).unwrap();
    daemon.drua(["image", "import-wasm", &component.to_string_lossy(), "component:1"]).run().ok();
    assert_eq!(daemon.docker(["inspect", "-f", "{{.Os}}", "component:1"]).run().ok(), "wasip2");
    daemon.docker(["run", "--rm", "component:1"]).run().prints("Hello from Wasm\n").ok();
    let not = daemon.dir().join("not.wasm");
    fs_err::write(&not, "#!/bin/sh\n").unwrap();
    daemon.drua(["image", "import-wasm", &not.to_string_lossy(), "x:1"]).run().exits(1).complains("not a WebAssembly");
}

#[test]
fn one_name_for_three_platforms() {
    let Some(daemon) = busybox() else { return };
    load(&daemon, &wasm_image("hello:wasm", &guest::module(guest::HELLO)));
    let foreign = Image::new("foreign:1", "linux", "s390x").rootfs(Rootfs::new().file("bin/x", 0o755, "x"));
    load(&daemon, &foreign.config("Cmd", json!(["/bin/x"])));
    let create = daemon.drua(["manifest", "create", "app:1", "busybox:latest", "hello:wasm", "foreign:1"]);
    assert_eq!(create.run().ok(), "Created manifest list docker.io/library/app:1");
    daemon.docker(["rmi", "busybox:latest", "busybox:test", "hello:wasm", "foreign:1"]).run().ok();
    daemon.docker(["run", "--rm", "app:1", "echo", "linux"]).run().prints("linux\n").ok();
    daemon.docker(["run", "--rm", "--platform", "wasi/wasm", "app:1"]).run().prints("Hello from Wasm\n").ok();
    let tree = tree(&daemon);
    for platform in ["linux/s390x", "wasi/wasm"] {
        assert!(tree.contains(platform), "{tree}");
    }
    let summary = daemon.api("GET", "/images/json?manifests=1", "").unwrap();
    let images: Value = serde_json::from_str(&summary.body).unwrap();
    let kinds: Vec<&str> =
        images[0]["Manifests"].as_array().unwrap().iter().filter_map(|manifest| manifest["Kind"].as_str()).collect();
    assert_eq!(kinds, ["image"; 3]);
    // Without an emulator for it, the error says how to get one.
    let run = daemon.docker(["run", "--rm", "--platform", "linux/s390x", "app:1"]).run();
    assert_ne!(run.code(), Some(0), "{run}");
    if !Path::new("/proc/sys/fs/binfmt_misc/qemu-s390x").exists() {
        run.complains("qemu-user-static");
    }
    let wasm = daemon.drua(["image", "inspect", "--platform", "wasi/wasm", "-f", "{{.Architecture}}", "app:1"]).run();
    assert_eq!(wasm.ok(), "wasm");
    daemon.drua(["manifest", "create", "app:2", "app:1", "app:1"]).run().ok();
    let id = daemon.docker(["inspect", "-f", "{{.Id}}", "--type", "image", "app:1"]).run().ok().to_owned();
    assert_eq!(daemon.docker(["inspect", "-f", "{{.Id}}", "--type", "image", "app:2"]).run().ok(), id);
    let manifest: Value = serde_json::from_str(daemon.drua(["manifest", "inspect", "app:1"]).run().ok()).unwrap();
    let digest = manifest["manifests"][2]["digest"].as_str().unwrap();
    daemon.drua(["manifest", "annotate", "--arch", "arm64", "--variant", "v8", "app:1", digest]).run().ok();
    assert!(daemon.drua(["manifest", "inspect", "app:1"]).run().ok().contains(r#""architecture": "arm64""#));
}

#[test]
fn a_spin_application_is_kept_as_it_is() {
    let Some(daemon) = daemon() else { return };
    let mut layout = Layout::new();
    let app = json!({
        "spin_lock_version": 1, "metadata": {"name": "app"}, "triggers": [],
        "components": [{"id": "c", "source": {"digest": "sha256:x"}, "files": [{"content": {"inline": "aGk="}}]}],
    });
    let layers = [
        layout.json("application/vnd.fermyon.spin.application.v1+config", &app),
        layout.blob("application/vnd.wasm.content.layer.v1+wasm", &guest::module(guest::HELLO)),
        layout.blob("application/vnd.wasm.content.layer.v1+data", b"a static file"),
        layout.blob("application/vnd.wasm.content.bundle.v1.tar+gzip", b"an archive, which is not ours to open"),
    ];
    let config = json!({
        "architecture": "wasm", "os": "Wasip1", "config": {"Labels": {"com.fermyon.spin.lockedAppDigest": "x"}},
        "rootfs": {"type": "layers", "diff_ids": []},
    });
    let config = layout.json(OCI_CONFIG, &config);
    let manifest = layout.manifest(&config, &layers);
    layout.name(manifest, "docker.io/library/spin:1");
    // Very old pushes have the application itself as their configuration.
    let locked = layout.json("application/vnd.fermyon.spin.application.v1+config", &app);
    let manifest = layout.manifest(&locked, &layers[1..2]);
    layout.name(manifest, "docker.io/library/spin:old");
    daemon.docker(["load", "-q"]).input(layout.finish()).run().ok();
    let inspect = daemon.docker(["inspect", "-f", "{{.Os}}/{{.Architecture}} {{len .RootFS.Layers}}", "spin:1"]).run();
    assert_eq!(inspect.ok(), "wasip1/wasm 0");
    daemon.docker(["history", "spin:1"]).run().ok();
    let ids = |daemon: &Daemon| daemon.docker(["images", "-q", "--no-trunc"]).run().ok().to_owned();
    let before = ids(&daemon);
    let saved = daemon.dir().join("spin.tar").to_string_lossy().into_owned();
    daemon.docker(["save", "-o", &saved, "spin:1", "spin:old"]).run().ok();
    daemon.docker(["rmi", "spin:1", "spin:old"]).run().ok();
    daemon.docker(["load", "-q", "-i", &saved]).run().ok();
    assert_eq!(ids(&daemon), before);
}

#[test]
fn attestations_are_shown_as_such() {
    let Some(daemon) = daemon() else { return };
    let mut layout = Layout::new();
    let layer_bytes = Rootfs::new().file("f", 0o644, "x").finish();
    let layer = layout.blob("application/vnd.oci.image.layer.v1.tar", &layer_bytes);
    let config = layout.json(
        OCI_CONFIG,
        &json!({"architecture": "amd64", "os": "linux", "rootfs": {"type": "layers", "diff_ids": [layer["digest"]]}}),
    );
    let mut image = layout.manifest(&config, &[layer]);
    image["platform"] = json!({"architecture": "amd64", "os": "linux"});
    let statement = layout.json("application/vnd.in-toto+json", &json!({"_type": "https://in-toto.io/Statement/v0.1"}));
    let config = layout.json(OCI_CONFIG, &json!({"architecture": "unknown", "os": "unknown"}));
    let mut attestation = layout.manifest(&config, &[statement]);
    attestation["platform"] = json!({"architecture": "unknown", "os": "unknown"});
    attestation["annotations"] =
        json!({"vnd.docker.reference.type": "attestation-manifest", "vnd.docker.reference.digest": image["digest"]});
    let foreign = json!({
        "mediaType": OCI_MANIFEST, "digest": format!("sha256:{}", "0".repeat(64)), "size": 10,
        "platform": {"architecture": "arm64", "os": "linux"},
    });
    let of = image["digest"].as_str().unwrap()[7..19].to_owned();
    let index = json!({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [image, foreign, attestation]});
    let top = layout.json(OCI_INDEX, &index);
    layout.name(top, "docker.io/library/built:1");
    daemon.docker(["load", "-q"]).input(layout.finish()).run().ok();
    let tree = tree(&daemon);
    assert!(tree.contains(&format!("attestation of {of}")), "{tree}");
    assert!(tree.lines().any(|line| line.contains("linux/arm64") && line.contains("not here")), "{tree}");
    let inspect = daemon.api("GET", "/images/built:1/json?manifests=1", "").unwrap();
    let inspect: Value = serde_json::from_str(&inspect.body).unwrap();
    let kinds: Vec<&str> =
        inspect["Manifests"].as_array().unwrap().iter().filter_map(|manifest| manifest["Kind"].as_str()).collect();
    assert_eq!(kinds, ["image", "image", "attestation"]);
    daemon.docker(["image", "ls", "--tree"]).run().ok();
}

fn skopeo(args: &[&str]) -> Option<Cmd> {
    let program = binary::on_path("skopeo").or_else(|| skip("no skopeo on PATH"))?;
    // It unpacks archives where there is room, and asks nobody for a policy.
    Some(Cmd::new(program).arg("--insecure-policy").args(args))
}

#[test]
fn skopeo_reads_what_we_write_and_we_read_what_it_writes() {
    let Some(daemon) = busybox() else { return };
    let layers = |name| daemon.docker(["inspect", "-f", "{{.RootFS.Layers}}", name]).run().ok().to_owned();
    // Our own store, as it lies on disk.
    let content = format!("oci:{}:busybox:latest", daemon.dir().join("data/content").display());
    let Some(inspect) = skopeo(&["inspect", "--raw", &content]) else { return };
    assert!(inspect.run().ok().contains("schemaVersion"));
    // What `save` writes, both ways.
    let saved = daemon.dir().join("saved.tar").to_string_lossy().into_owned();
    daemon.docker(["save", "-o", &saved, "busybox:latest"]).run().ok();
    for source in [format!("docker-archive:{saved}"), format!("oci-archive:{saved}")] {
        skopeo(&["inspect", &source]).unwrap().run().ok();
    }
    // What skopeo writes: a directory, an OCI archive, a docker archive.
    let path = |name: &str| daemon.dir().join(name).to_string_lossy().into_owned();
    let (directory, archive, docker) = (path("layout"), path("oci.tar"), path("docker.tar"));
    let copies = [
        (format!("oci:{directory}:copied:1"), directory),
        (format!("oci-archive:{archive}:copied:2"), archive),
        (format!("docker-archive:{docker}:copied:3"), docker),
    ];
    for (number, (target, file)) in copies.iter().enumerate() {
        skopeo(&["copy", "-q", &content, target]).unwrap().run().ok();
        let name = format!("copied:{}", number + 1);
        daemon.drua(["load", "-i", file]).run().prints(&format!("Loaded image: {name}\n")).ok();
        daemon.docker(["run", "--rm", &name, "echo", "copied"]).run().prints("copied\n").ok();
    }
    assert_eq!(layers("copied:1"), layers("busybox:latest"));
    let empty = path("empty");
    fs_err::create_dir(&empty).unwrap();
    daemon.drua(["load", "-i", &empty]).run().exits(1).complains("not an OCI layout");
}

/// podman on storage of its own, for images only.
fn podman(daemon: &Daemon, args: &[&str]) -> Option<Cmd> {
    let program = binary::on_path("podman").or_else(|| skip("no podman on PATH"))?;
    let at = |name: &str| daemon.dir().join(name).to_string_lossy().into_owned();
    let storage = ["--root", &at("podman"), "--runroot", &at("podman-run"), "--storage-driver", "vfs"];
    Some(Cmd::new(program).env("HOME", daemon.dir()).args(storage).args(args.iter().copied()))
}

#[test]
fn podman_reads_what_we_write_and_we_read_what_it_writes() {
    let Some(daemon) = busybox() else { return };
    // Our own store as it lies on disk, then what `save` writes.
    let content = format!("oci:{}:busybox:latest", daemon.dir().join("data/content").display());
    let Some(pull) = podman(&daemon, &["pull", "-q", &content]) else { return };
    let pulled = pull.run().ok().lines().last().unwrap_or_default().to_owned();
    let saved = daemon.dir().join("saved.tar").to_string_lossy().into_owned();
    daemon.drua(["save", "-o", &saved, "busybox:test"]).run().ok();
    let load = podman(&daemon, &["load", "-i", &saved]).unwrap().run();
    assert!(load.ok().contains("busybox:test"), "{load}");
    let config = daemon.drua(["manifest", "inspect", "busybox:latest"]).run();
    let config: Value = serde_json::from_str(config.ok()).unwrap();
    // podman's ids are digests of configurations; an index has no one.
    if let Some(digest) = config["config"]["digest"].as_str() {
        assert_eq!(digest.trim_start_matches("sha256:"), pulled);
    }
    let layers = |name: &str| daemon.docker(["inspect", "-f", "{{json .RootFS.Layers}}", name]).run().ok().to_owned();
    let theirs = podman(&daemon, &["image", "inspect", "-f", "{{json .RootFS.Layers}}", "busybox:test"]).unwrap().run();
    assert_eq!(theirs.ok(), layers("busybox:test"));
    // And back, in both of its formats.
    for (format, file) in [("oci-archive", "oci.tar"), ("docker-archive", "docker.tar")] {
        let file = daemon.dir().join(file).to_string_lossy().into_owned();
        podman(&daemon, &["save", "-q", "--format", format, "-o", &file, "busybox:test"]).unwrap().run().ok();
        daemon.docker(["rmi", "busybox:test"]).run();
        daemon.drua(["load", "-i", &file]).run().ok();
        assert_eq!(layers("busybox:test"), layers("busybox:latest"), "{format}");
        daemon.docker(["run", "--rm", "busybox:test", "echo", format]).run().prints(&format!("{format}\n")).ok();
    }
}

#[test]
fn the_store_is_checked_and_repaired() {
    let Some(daemon) = busybox() else { return };
    assert!(daemon.drua(["system", "check"]).run().ok().ends_with("no problems"));
    let layers = daemon.dir().join("data/layers");
    let layer = fs_err::read_dir(&layers).unwrap().next().unwrap().unwrap().path();
    fs_err::write(layer.join("fs/bin/busybox"), "damaged").unwrap();
    let run = daemon.drua(["system", "check"]).run();
    run.exits(1);
    assert!(run.stdout.contains("is not what the image has there"), "{run}");
    let run = daemon.drua(["system", "check", "--repair"]).run();
    assert!(run.ok().contains("(unpacked again)"), "{run}");
    daemon.docker(["run", "--rm", "busybox", "echo", "mended"]).run().prints("mended\n").ok();
    assert!(daemon.drua(["system", "check"]).run().ok().ends_with("no problems"));
}

#[test]
fn what_the_disk_holds_adds_up() {
    let Some(daemon) = busybox() else { return };
    load(&daemon, &wasm_image("hello:wasm", &guest::module(guest::HELLO)));
    let usage = daemon.api("GET", "/system/df", "").unwrap();
    let usage: Value = serde_json::from_str(&usage.body).unwrap();
    let number = |value: &Value| value.as_i64().unwrap();
    let alone: i64 = usage["Images"]
        .as_array()
        .unwrap()
        .iter()
        .map(|image| number(&image["Size"]) - number(&image["SharedSize"]))
        .sum();
    assert_eq!(alone, number(&usage["LayersSize"]));
    let pruned = daemon.drua(["system", "prune", "-af"]).run();
    assert!(pruned.ok().contains("Total reclaimed space"), "{pruned}");
    let usage = daemon.api("GET", "/system/df", "").unwrap();
    let usage: Value = serde_json::from_str(&usage.body).unwrap();
    assert_eq!(number(&usage["LayersSize"]), 0);
}

#[test]
fn a_container_in_the_making_keeps_its_image() {
    let Some(daemon) = busybox() else { return };
    let archive = daemon.dir().join("kept.tar").to_string_lossy().into_owned();
    daemon.docker(["save", "-o", &archive, "busybox:latest"]).run().ok();
    std::thread::scope(|scope| {
        let pruning = scope.spawn(|| {
            for _ in 0..40 {
                let pruned = daemon.api("POST", "/images/prune?filters=%7B%22dangling%22%3A%5B%22false%22%5D%7D", "");
                assert_eq!(pruned.unwrap().status, 200);
            }
        });
        let mut created = 0;
        while !pruning.is_finished() {
            daemon.docker(["load", "-q", "-i", &archive]).run().ok();
            let body = r#"{"Image": "busybox:latest", "Cmd": ["true"]}"#;
            let answer = daemon.api("POST", "/containers/create", body).unwrap();
            if answer.status == 404 {
                continue;
            }
            assert_eq!(answer.status, 201);
            let id: Value = serde_json::from_str(&answer.body).unwrap();
            let id = id["Id"].as_str().unwrap();
            daemon.docker(["start", "-a", id]).run().ok();
            daemon.docker(["rm", id]).run().ok();
            created += 1;
        }
        println!("{created} containers");
    });
}

#[test]
fn an_image_is_mounted_in_another_ones_container() {
    let Some(daemon) = busybox() else { return };
    let data = Image::linux("data:1")
        .rootfs(Rootfs::new().file("models/small.bin", 0o644, "weights").file("top", 0o644, "t"))
        .rootfs(Rootfs::new().file("models/.wh.gone", 0o644, "").file("models/second", 0o644, "2"));
    load(&daemon, &data.config("Cmd", json!(["/none"])));
    let mount = "type=image,source=data:1,target=/data";
    let run = daemon.docker(["run", "--rm", "--mount", mount, "busybox", "cat", "/data/models/small.bin", "/data/top"]);
    run.run().prints("weightst").ok();
    let sub = "type=image,source=data:1,target=/data,image-subpath=models";
    let run = daemon.docker(["run", "--rm", "--mount", sub, "busybox", "ls", "/data"]);
    run.run().prints("second\nsmall.bin\n").ok();
    let run = daemon.docker(["run", "--rm", "--mount", mount, "busybox", "touch", "/data/new"]).run();
    run.exits(1).complains("Read-only file system");
    daemon.docker(["create", "--name", "user", "--mount", mount, "busybox"]).run().ok();
    daemon.docker(["rmi", "data:1"]).run().exits(1).complains("conflict");
    daemon.docker(["image", "prune", "-af"]).run().ok();
    assert_eq!(daemon.docker(["inspect", "-f", "{{(index .Mounts 0).Type}}", "user"]).run().ok(), "image");
    daemon.docker(["rm", "user"]).run().ok();
    daemon.docker(["rmi", "data:1"]).run().ok();
    let missing = daemon.docker(["create", "--mount", mount, "busybox"]).run();
    missing.exits(1).complains("No such image: data:1");
}
