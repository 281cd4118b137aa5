//! What registries get: compressed layers, lists of platforms, Wasm in all its shapes; and what comes back of it.

use std::time::Duration;

use drua_e2e::registry::{Registry, Setup};
use drua_e2e::scripted::{Answer, Scripted};
use drua_e2e::{Cmd, Daemon, Image, Rootfs, binary, guest};
use serde_json::{Value, json};

use crate::registry::{digest, images, registry};
use crate::shapes::{Layout, OCI_CONFIG, OCI_MANIFEST, wait_until_compiled};
use crate::support::{busybox, daemon, inspect, load, wasm_image, wasm_layer_image};

/// A manifest as the registry has it.
fn manifest(registry: &Registry, name: &str, reference: &str) -> Value {
    let accept = "Accept: application/vnd.oci.image.index.v1+json, application/vnd.oci.image.manifest.v1+json";
    let url = format!("http://{}/v2/{name}/manifests/{reference}", registry.host());
    serde_json::from_str(Cmd::new("curl").args(["-s", "-H", accept, &url]).run().ok()).unwrap()
}

fn text(length: usize) -> String {
    "some text that gzip likes. ".repeat(length / 27)
}

#[test]
fn what_was_built_here_goes_compressed() {
    let (Some(daemon), Some(registry)) = (daemon(), registry(Setup::default())) else { return };
    let context = daemon.dir().join("context");
    fs_err::create_dir(&context).unwrap();
    fs_err::write(context.join("Dockerfile"), "FROM scratch\nCOPY text /text\nCMD [\"/x\"]\n").unwrap();
    fs_err::write(context.join("text"), text(1 << 20)).unwrap();
    let name = format!("{}/built:1", registry.host());
    daemon.drua(["build", "-q", "-t", &name, &context.to_string_lossy()]).run().ok();
    let (id, layers) = (inspect(&daemon, &name, "{{.Id}}"), inspect(&daemon, &name, "{{json .RootFS.Layers}}"));
    let push = daemon.drua(["push", &name]).run();
    let pushed = push.ok().split_once("digest: ").unwrap_or_else(|| panic!("{push}")).1[..71].to_owned();
    let mut top = manifest(&registry, "built", "1");
    if let Some(first) = top["manifests"][0]["digest"].as_str() {
        top = manifest(&registry, "built", first);
    }
    let layer = &top["layers"][0];
    assert_eq!(layer["mediaType"], "application/vnd.oci.image.layer.v1.tar+gzip");
    assert!(layer["size"].as_u64().unwrap() < 100_000, "{layer}");
    // Here it is what it was, and known by what was pushed.
    assert_eq!(inspect(&daemon, &name, "{{.Id}}"), id);
    let digests = inspect(&daemon, &name, "{{json .RepoDigests}}");
    assert!(digests.contains(&pushed), "{digests}");
    let pull = daemon.drua(["pull", &name]).run();
    assert!(pull.ok().contains("Image is up to date"), "{pull}");
    let push = daemon.docker(["push", &name]).run();
    assert!(push.ok().contains("Layer already exists") && push.stdout.contains(&pushed), "{push}");
    // To another repository it is mounted, and not compressed again.
    let other = format!("{}/other:1", registry.host());
    daemon.docker(["tag", &name, &other]).run().ok();
    let push = daemon.docker(["push", &other]).run();
    assert!(push.ok().contains("Mounted from built"), "{push}");
    // What comes back has the same files under the same diff ids.
    daemon.docker(["rmi", "-f", &name, &other]).run().ok();
    assert!(images(&daemon).is_empty());
    daemon.docker(["pull", "-q", &name]).run().ok();
    assert_eq!(inspect(&daemon, &name, "{{json .RootFS.Layers}}"), layers);
    assert_eq!(inspect(&daemon, &name, "{{.Id}}"), pushed);
}

#[test]
fn provenance_follows_the_manifest_that_it_is_about() {
    let (Some(daemon), Some(registry)) = (daemon(), registry(Setup::default())) else { return };
    let context = daemon.dir().join("context");
    fs_err::create_dir(&context).unwrap();
    fs_err::write(context.join("Dockerfile"), "FROM scratch\nCOPY Dockerfile /\n").unwrap();
    let name = format!("{}/built:1", registry.host());
    let context = context.to_string_lossy();
    daemon.drua(["build", "-q", "--provenance=true", "-t", &name, &context]).run().ok();
    daemon.drua(["push", "-q", &name]).run().ok();
    let top = manifest(&registry, "built", "1");
    let image = top["manifests"][0]["digest"].as_str().unwrap_or_else(|| panic!("no index: {top}")).to_owned();
    let about = &top["manifests"][1]["annotations"]["vnd.docker.reference.digest"];
    assert_eq!(about, &json!(image), "{top}");
    let attestation = manifest(&registry, "built", top["manifests"][1]["digest"].as_str().unwrap());
    assert_eq!(attestation["subject"]["digest"], json!(image));
    // Debian's registry keeps no lists of referrers: so the tag is there that clients keep them under.
    let list = manifest(&registry, "built", &image.replace(':', "-"));
    assert_eq!(list["manifests"][0]["digest"], top["manifests"][1]["digest"], "{list}");
    // Which is no image, and no reason for a pull of all tags to fail.
    daemon.docker(["rmi", "-f", &name]).run().ok();
    daemon.drua(["pull", "-a", &format!("{}/built", registry.host())]).run().ok();
    assert_eq!(images(&daemon), [name]);
}

#[test]
fn a_list_of_three_platforms_goes_and_comes() {
    let (Some(daemon), Some(registry)) = (busybox(), registry(Setup::default())) else { return };
    load(&daemon, &wasm_image("hello:wasm", &guest::module(guest::HELLO)));
    let foreign = Image::new("foreign:1", "linux", "s390x").rootfs(Rootfs::new().file("bin/x", 0o755, text(100_000)));
    load(&daemon, &foreign.config("Cmd", json!(["/bin/x"])));
    let list = format!("{}/app:1", registry.host());
    daemon.drua(["manifest", "create", &list, "busybox:latest", "hello:wasm", "foreign:1"]).run().ok();
    let push = daemon.drua(["manifest", "push", "--purge", &list]).run();
    let pushed = push.ok().to_owned();
    assert!(pushed.starts_with("sha256:") && pushed.len() == 71, "{push}");
    assert!(!images(&daemon).contains(&list), "--purge");
    let top = manifest(&registry, "app", "1");
    assert_eq!(top["manifests"].as_array().unwrap().len(), 3);
    daemon.docker(["rmi", "busybox:latest", "busybox:test", "hello:wasm", "foreign:1"]).run().ok();
    // By itself this machine's comes; the others when they are asked for, beside it.
    daemon.docker(["run", "--rm", &list, "echo", "linux"]).run().prints("linux\n").exits(0);
    assert_eq!(daemon.docker(["pull", "-q", "--platform", "wasi/wasm", &list]).run().ok(), list);
    daemon.docker(["run", "--rm", "--platform", "wasi/wasm", &list]).run().prints("Hello from Wasm\n").ok();
    daemon.docker(["pull", "-q", "--platform", "linux/s390x", &list]).run().ok();
    daemon.docker(["run", "--rm", &list, "echo", "still"]).run().prints("still\n").ok();
    let missing = daemon.docker(["pull", "--platform", "linux/riscv64", &list]).run();
    missing.exits(1).complains("linux/riscv64");
    let here = || {
        let tree = daemon.drua(["images", "--tree"]).run().ok().to_owned();
        tree.lines()
            .filter(|line| line.contains('/') && line.contains("linux/s390x") && !line.contains("not here"))
            .count()
    };
    assert_eq!(here(), 1);
    // One goes, and the others stay under the same id.
    let id = inspect(&daemon, &list, "{{.Id}}");
    let removed = daemon.drua(["rmi", "--platform", "linux/s390x", &list]).run();
    assert!(removed.ok().starts_with("Deleted: sha256:"), "{removed}");
    assert_eq!((here(), inspect(&daemon, &list, "{{.Id}}")), (0, id));
    daemon.drua(["rmi", "--platform", "linux/s390x", &list]).run().exits(1).complains("linux/s390x");
    let last = daemon.drua([
        "rmi",
        "--platform",
        "wasi/wasm",
        "--platform",
        "linux/amd64",
        "--platform",
        "linux/arm64",
        &list,
    ]);
    assert_ne!(last.run().code(), Some(0));
    daemon.docker(["run", "--rm", &list, "echo", "left"]).run().prints("left\n").ok();
    assert_eq!(daemon.drua(["system", "check"]).run().code(), Some(0));
}

/// Pushes an image, removes it, pulls it again: it is the same, and is known to be there.
#[track_caller]
fn goes_round(daemon: &Daemon, name: &str) -> String {
    let push = daemon.docker(["push", name]).run();
    let pushed = push.ok().split_once("digest: ").unwrap_or_else(|| panic!("{push}")).1[..71].to_owned();
    daemon.docker(["rmi", "-f", name]).run().ok();
    let pull = daemon.docker(["pull", name]).run();
    assert!(pull.ok().contains(&format!("Digest: {pushed}")), "{pull}");
    let again = daemon.docker(["push", name]).run();
    assert!(again.ok().contains(&pushed), "{again}");
    let platform = daemon.docker(["inspect", "-f", "{{.Os}}/{{.Architecture}}", name]).run();
    daemon.docker(["history", name]).run().ok();
    platform.ok().to_owned()
}

#[test]
fn every_shape_of_wasm_goes_round_and_runs() {
    let (Some(daemon), Some(registry)) = (daemon(), registry(Setup::default())) else { return };
    let module = guest::module(guest::HELLO);
    let name = |shape: &str| format!("{}/{shape}:1", registry.host());
    let runs = |name: &str, options: &[&str]| {
        let run = daemon.docker(["run", "--rm"].into_iter().chain(options.iter().copied()).chain([name])).run();
        run.prints("Hello from Wasm\n").exits(0);
    };
    // A root filesystem for wasi/wasm.
    load(&daemon, &wasm_image(&name("rootfs"), &module));
    assert_eq!(goes_round(&daemon, &name("rootfs")), "wasi/wasm");
    runs(&name("rootfs"), &[]);
    // One that says nothing of Wasm, and is run by a runtime's name.
    let scratch = Image::linux(&name("scratch")).rootfs(Rootfs::new().file("app.wasm", 0o755, &module));
    load(&daemon, &scratch.config("Entrypoint", json!(["/app.wasm"])));
    goes_round(&daemon, &name("scratch"));
    runs(&name("scratch"), &["--runtime", "io.containerd.wasmtime.v1"]);
    // runwasi's: a module for a layer, and an image's configuration.
    load(&daemon, &wasm_layer_image(&name("layer"), &module));
    assert_eq!(goes_round(&daemon, &name("layer")), "wasi/wasm");
    runs(&name("layer"), &[]);
    // The CNCF's artifact, as wkg pushes it.
    let file = daemon.dir().join("hello.wasm");
    fs_err::write(&file, &module).unwrap();
    daemon.drua(["image", "import-wasm", &file.to_string_lossy(), &name("artifact")]).run().ok();
    assert_eq!(goes_round(&daemon, &name("artifact")), "wasip1/wasm");
    runs(&name("artifact"), &[]);
    // What crun's users mark with an annotation.
    let mut layout = Layout::new();
    let layer_bytes = Rootfs::new().file("app.wasm", 0o755, &module).finish();
    let layer = layout.blob("application/vnd.oci.image.layer.v1.tar", &layer_bytes);
    let architecture = if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" };
    let config = layout.json(
        OCI_CONFIG,
        &json!({"architecture": architecture, "os": "linux", "config": {"Entrypoint": ["/app.wasm"]},
                "rootfs": {"type": "layers", "diff_ids": [layer["digest"]]}}),
    );
    let top = layout.json(
        OCI_MANIFEST,
        &json!({"schemaVersion": 2, "mediaType": OCI_MANIFEST, "config": config, "layers": [layer],
                "annotations": {"module.wasm.image/variant": "compat"}}),
    );
    layout.name(top, &name("compat"));
    daemon.docker(["load", "-q"]).input(layout.finish()).run().ok();
    goes_round(&daemon, &name("compat"));
    runs(&name("compat"), &[]);
    // Spin's layout: kept and moved as it is; to run it is refused, in words.
    let mut layout = Layout::new();
    let app = json!({"spin_lock_version": 1, "metadata": {"name": "app"}, "triggers": [], "components": []});
    let layers = [
        layout.json("application/vnd.fermyon.spin.application.v1+config", &app),
        layout.blob("application/vnd.wasm.content.layer.v1+wasm", &module),
        layout.blob("application/vnd.wasm.content.layer.v1+data", b"a static file"),
        layout.blob("application/vnd.wasm.content.bundle.v1.tar+gzip", b"an archive"),
    ];
    let config = layout.json(
        OCI_CONFIG,
        &json!({"architecture": "wasm", "os": "Wasip1", "rootfs": {"type": "layers", "diff_ids": []}}),
    );
    let top = layout.manifest(&config, &layers);
    layout.name(top, &name("spin"));
    daemon.docker(["load", "-q"]).input(layout.finish()).run().ok();
    assert_eq!(goes_round(&daemon, &name("spin")), "wasip1/wasm");
    let run = daemon.docker(["run", "--rm", &name("spin")]).run();
    assert!(run.code() != Some(0) && run.stderr.to_lowercase().contains("spin"), "{run}");
    // What came in was compiled beside everything else, where its platform tells what it is.
    daemon.docker(["rmi", "-f", &name("spin"), &name("scratch"), &name("compat")]).run().ok();
    wait_until_compiled(&daemon);
}

#[test]
fn a_push_chooses_the_shape() {
    let (Some(daemon), Some(registry)) = (daemon(), registry(Setup::default())) else { return };
    let name = format!("{}/hello:1", registry.host());
    let module = guest::module(guest::HELLO);
    load(&daemon, &wasm_image(&name, &module).config("Labels", json!({"team": "web"})));
    let push = daemon.drua(["push", "--as", "artifact", &name]).run();
    assert!(push.ok().contains("1: digest: "), "{push}");
    // The environment that every image has by default has no place in an artifact.
    push.complains("an artifact has no environment");
    let artifact = manifest(&registry, "hello", "1");
    assert_eq!(artifact["config"]["mediaType"], "application/vnd.wasm.config.v0+json", "{artifact}");
    assert_eq!(artifact["layers"][0]["digest"], json!(digest(&module)));
    assert_eq!(artifact["annotations"]["team"], "web");
    daemon.docker(["run", "--rm", &name]).run().prints("Hello from Wasm\n").ok();
    // It is one already.
    let again = daemon.drua(["push", "--as", "artifact", &name]).run();
    assert!(again.ok().contains("Layer already exists"), "{again}");
    daemon.drua(["push", "-q", "--as", "image", &name]).run().ok();
    let image = manifest(&registry, "hello", "1");
    assert_eq!(image["layers"][0]["mediaType"], "application/vnd.oci.image.layer.v1.tar+gzip", "{image}");
    daemon.docker(["run", "--rm", &name]).run().prints("Hello from Wasm\n").ok();
    let linux = format!("{}/linux:1", registry.host());
    load(&daemon, &Image::linux(&linux).rootfs(Rootfs::new().file("x", 0o755, "x")).config("Cmd", json!(["/x"])));
    daemon.drua(["push", "--as", "artifact", &linux]).run().exits(1).complains("is no WebAssembly image");
}

#[test]
fn an_archive_is_imported_from_a_url() {
    let Some(daemon) = daemon() else { return };
    let rootfs = Rootfs::new().file("hello.txt", 0o644, "from the web\n").finish();
    let packed = match binary::on_path("xz") {
        Some(xz) => {
            let file = daemon.dir().join("rootfs.tar");
            fs_err::write(&file, &rootfs).unwrap();
            Cmd::new(xz).arg("-k").arg(&file).run().ok();
            fs_err::read(daemon.dir().join("rootfs.tar.xz")).unwrap()
        }
        None => rootfs.clone(),
    };
    let server = Scripted::start(move |request| match request.path() {
        "/rootfs.tar.xz" => Answer::new(200, packed.clone()),
        "/moved" => Answer::new(302, "").header("Location", "/rootfs.tar.xz"),
        "/half" => Answer::new(200, packed.clone()).header("Content-Length", "100000"),
        _ => Answer::new(404, "nothing here"),
    });
    let url = |path: &str| format!("http://{}/{path}", server.host());
    for (client, path) in [("drua", "rootfs.tar.xz"), ("docker", "moved")] {
        let (name, url) = (format!("web:{client}"), url(path));
        let args = ["import", "-c", "CMD [\"/x\"]", &url, &name];
        let run =
            if client == "drua" { daemon.drua(args) } else { daemon.docker(args) }.limit(Duration::from_secs(60)).run();
        assert!(run.ok().contains("sha256:"), "{run}");
        assert_eq!(
            inspect(&daemon, &name, "{{index .RootFS.Layers 0}} {{.Config.Cmd}}"),
            format!("{} [/x]", digest(&rootfs))
        );
    }
    daemon.drua(["import", &url("nothing"), "x:1"]).run().exits(1).complains("nothing here");
    let half = daemon.drua(["import", &url("half"), "x:1"]).run();
    assert_ne!(half.code(), Some(0), "{half}");
    assert_eq!(images(&daemon).len(), 2);
}
