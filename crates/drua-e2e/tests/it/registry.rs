//! Pull, push, login, search: against Debian's `docker-registry`, and against a registry that misbehaves.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use drua_e2e::registry::{NAME, PASSWORD, Registry, Setup, USER};
use drua_e2e::scripted::{Answer, Fault, Request, Scripted, tunnel_to};
use drua_e2e::{Daemon, Image, Rootfs, wait};
use serde_json::json;
use sha2::{Digest as _, Sha256};

use crate::support::{SOON, busybox, daemon, load, python_client, skip};

/// A registry, or `None` and a message.
pub(crate) fn registry(setup: Setup) -> Option<Registry> {
    if Registry::program().is_none() {
        return skip("no docker-registry on PATH");
    }
    Some(Registry::start(setup).unwrap_or_else(|err| panic!("{err:#}")))
}

pub(crate) fn images(daemon: &Daemon) -> Vec<String> {
    let run = daemon.docker(["images", "--format", "{{.Repository}}:{{.Tag}}"]).run();
    run.ok().lines().map(str::to_owned).collect()
}

/// What is left of downloads.
pub(crate) fn partials(daemon: &Daemon) -> Vec<u64> {
    let files = fs_err::read_dir(daemon.dir().join("data/content/partial")).unwrap();
    files.map(|file| file.unwrap().metadata().unwrap().len()).collect()
}

#[test]
fn images_go_there_and_come_back() {
    let (Some(daemon), Some(registry)) = (busybox(), registry(Setup::default())) else { return };
    let name = format!("{}/team/box:1", registry.host());
    daemon.docker(["tag", "busybox", &name]).run().ok();
    let push = daemon.docker(["push", &name]).run();
    let told = push.ok().split_once("1: digest: ").and_then(|(_, rest)| rest.split_once(" size: "));
    let id = told.unwrap_or_else(|| panic!("{push}")).0.to_owned();
    let push = daemon.docker(["push", &name]).run();
    assert!(push.ok().contains("Layer already exists"), "{push}");
    daemon.docker(["rmi", &name, "busybox", "busybox:test"]).run().ok();
    assert!(images(&daemon).is_empty());

    let pull = daemon.docker(["pull", &name]).run();
    let expected = [
        "1: Pulling from team/box",
        ": Pulling fs layer",
        ": Download complete",
        ": Pull complete",
        &format!("Digest: {id}"),
        &format!("Status: Downloaded newer image for {name}"),
    ];
    expected.iter().for_each(|text| assert!(pull.ok().contains(text), "{text}\n{pull}"));
    daemon.docker(["run", "--rm", &name, "echo", "came back"]).run().prints("came back\n").ok();
    let again = daemon.docker(["pull", &name]).run();
    assert!(again.ok().contains(&format!("Status: Image is up to date for {name}")), "{again}");
    // By digest, which is the only name that it gets then.
    daemon.docker(["rmi", &name]).run().ok();
    let by_digest = format!("{}/team/box@{id}", registry.host());
    daemon.docker(["pull", "-q", &by_digest]).run().ok();
    let digests = daemon.docker(["inspect", "-f", "{{json .RepoDigests}} {{json .RepoTags}}", &by_digest]).run();
    assert_eq!(digests.ok(), format!("[\"{by_digest}\"] []"));
}

#[test]
fn run_pulls_what_is_missing() {
    let (Some(daemon), Some(registry)) = (busybox(), registry(Setup::default())) else { return };
    let name = format!("{}/box:1", registry.host());
    daemon.docker(["tag", "busybox", &name]).run().ok();
    daemon.docker(["push", "-q", &name]).run().ok();
    daemon.docker(["rmi", &name, "busybox", "busybox:test"]).run().ok();
    daemon.docker(["run", "--rm", "--pull", "never", &name, "true"]).run().exits(125).complains("No such image");
    let run = daemon.docker(["run", "--rm", &name, "echo", "hi"]).run();
    run.prints("hi\n").complains(&format!("Unable to find image '{name}' locally"));
    daemon.docker(["rmi", &name]).run().ok();
    let run = daemon.drua(["run", "--rm", &name, "echo", "hi"]).run();
    run.prints("hi\n").complains(&format!("Unable to find image '{name}' locally"));
    let run = daemon.drua(["run", "--rm", "--pull", "always", &name, "echo", "hi"]).run();
    run.prints("hi\n").complains("Status: Image is up to date");
    let missing = format!("{}/nothing:1", registry.host());
    let run = daemon.docker(["run", "--rm", &missing, "true"]).run();
    run.exits(125).complains(&format!("manifest for {missing} not found"));
    let missing = format!("{}/box:2", registry.host());
    daemon.docker(["pull", &missing]).run().exits(1).complains(&format!("manifest for {missing} not found"));
}

#[test]
fn drua_has_the_same_verbs() {
    let (Some(daemon), Some(registry)) = (busybox(), registry(Setup { password: true, tls: false })) else { return };
    let host = registry.host();
    let name = format!("{host}/box:1");
    daemon.drua(["tag", "busybox", &name]).run().ok();
    daemon.drua(["push", &name]).run().exits(1).complains("no basic auth credentials");
    daemon
        .drua(["login", "-u", USER, "--password-stdin", &host])
        .input("wrong")
        .run()
        .exits(1)
        .complains("unauthorized");
    let login = daemon.drua(["login", "-u", USER, "--password-stdin", &host]).input(PASSWORD).run();
    login.prints("Login Succeeded\n").complains("stored unencrypted").exits(0);
    // Docker's CLI finds what ours has kept, and the other way round.
    daemon.docker(["push", "-q", &name]).run().ok();
    daemon.drua(["tag", "busybox", &format!("{host}/box:2")]).run().ok();
    let push = daemon.drua(["push", "-a", &format!("{host}/box")]).run();
    assert!(push.ok().contains("1: digest: sha256:") && push.stdout.contains("2: digest: sha256:"), "{push}");
    daemon.drua(["rmi", &name, &format!("{host}/box:2"), "busybox", "busybox:test"]).run().ok();
    let pull = daemon.drua(["pull", "-a", &format!("{host}/box")]).run();
    assert!(pull.ok().contains("1: Pulling from box") && pull.stdout.contains("2: Pulling from box"), "{pull}");
    assert_eq!(images(&daemon).len(), 2);
    let search = daemon.drua(["search", "--format", "{{.Name}}", &format!("{host}/bo")]).run();
    assert_eq!(search.ok(), "box");
    daemon.drua(["logout", &host]).run().prints(&format!("Removing login credentials for {host}\n")).ok();
    daemon.docker(["pull", &name]).run().exits(1).complains("pull access denied");
    let login = daemon.docker(["login", "-u", USER, "--password-stdin", &host]).input(PASSWORD).run();
    assert!(login.ok().contains("Login Succeeded"), "{login}");
    daemon.drua(["pull", "-q", &name]).run().prints(&format!("{name}\n")).ok();
}

#[test]
fn private_cas_are_known_by_certs_d_or_not_at_all() {
    let Some(registry) = registry(Setup { password: false, tls: true }) else { return };
    if crate::support::docker_cli().is_none() {
        return;
    }
    let start = |arguments: &[&str]| {
        let proxy = tunnel_to(registry.port());
        let started = Daemon::start_with(|options| {
            options.flags = arguments.iter().map(Into::into).collect();
            options.environment.insert("HTTPS_PROXY".to_owned(), proxy);
        });
        started.unwrap_or_else(|err| panic!("{err:#}"))
    };
    let image = || Image::linux(&format!("{NAME}/small:1")).rootfs(Rootfs::new().file("x", 0o644, "x"));
    let strict = start(&[]);
    load(&strict, &image());
    let push = strict.docker(["push", &format!("{NAME}/small:1")]).run();
    push.exits(1).complains("UnknownIssuer").complains("certs.d/registry.test/ca.crt");
    let lax = start(&["--insecure-registry", NAME]);
    load(&lax, &image());
    lax.docker(["push", &format!("{NAME}/small:1")]).run().ok();
    lax.docker(["rmi", &format!("{NAME}/small:1")]).run().ok();
    lax.docker(["pull", &format!("{NAME}/small:1")]).run().ok();
}

#[test]
fn docker_py_pulls() {
    let (Some(daemon), Some(registry)) = (busybox(), registry(Setup { password: true, tls: false })) else { return };
    let Some(python) = python_client("python") else { return };
    let name = format!("{}/box", registry.host());
    let script = format!(
        "import docker\n\
         c = docker.from_env()\n\
         auth = {{'username': '{USER}', 'password': '{PASSWORD}'}}\n\
         c.images.get('busybox').tag('{name}', 'v1')\n\
         lines = list(c.images.push('{name}', 'v1', auth_config=auth, stream=True, decode=True))\n\
         assert lines[-1]['aux']['Tag'] == 'v1', lines\n\
         c.images.remove('{name}:v1')\n\
         image = c.images.pull('{name}', 'v1', auth_config=auth)\n\
         assert image.tags.count('{name}:v1') == 1, image.tags\n\
         data = c.images.get_registry_data('{name}:v1', auth_config=auth)\n\
         assert data.id == image.id, (data.id, image.id)\n\
         assert data.has_platform('linux/' + image.attrs['Architecture'])\n\
         try:\n    c.images.pull('{name}', 'none', auth_config=auth)\n    assert False\n\
         except docker.errors.NotFound:\n    print('fine')\n"
    );
    let host = daemon.options.host();
    let run = drua_e2e::Cmd::new(python).env("DOCKER_HOST", host).env("HOME", daemon.dir()).args(["-c", &script]).run();
    assert_eq!(run.ok(), "fine");
}

/// An image that a test serves by itself.
pub(crate) struct Served {
    documents: BTreeMap<String, (String, Vec<u8>)>,
    /// Digest of the layer.
    layer: String,
}

pub(crate) fn digest(bytes: &[u8]) -> String {
    let hex: String = Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect();
    format!("sha256:{hex}")
}

/// An image whose one layer is this tar.
pub(crate) fn served(layer: Vec<u8>, diff_id: &str) -> Served {
    served_as("application/vnd.oci.image.layer.v1.tar", layer, diff_id)
}

/// An image with one layer of this media type.
pub(crate) fn served_as(media_type: &str, layer: Vec<u8>, diff_id: &str) -> Served {
    let architecture = if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" };
    let config = json!({
        "architecture": architecture, "os": "linux", "config": { "Cmd": ["/x"] },
        "rootfs": { "type": "layers", "diff_ids": [diff_id] },
    });
    let config = config.to_string().into_bytes();
    let descriptor = |media_type: &str, bytes: &[u8]| json!({ "mediaType": media_type, "digest": digest(bytes), "size": bytes.len() });
    let manifest_type = "application/vnd.oci.image.manifest.v1+json";
    let manifest = json!({
        "schemaVersion": 2, "mediaType": manifest_type,
        "config": descriptor("application/vnd.oci.image.config.v1+json", &config),
        "layers": [descriptor(media_type, &layer)],
    });
    let manifest = manifest.to_string().into_bytes();
    let name = digest(&layer);
    let mut documents = BTreeMap::new();
    documents.insert("/v2/x/manifests/latest".to_owned(), (manifest_type.to_owned(), manifest));
    for blob in [config, layer] {
        documents.insert(format!("/v2/x/blobs/{}", digest(&blob)), ("application/octet-stream".to_owned(), blob));
    }
    Served { documents, layer: name }
}

impl Served {
    /// Serves it; what happens to the layer is up to `fault`.
    pub(crate) fn start(self, fault: impl Fn(&Request, Answer) -> Answer + Send + Sync + 'static) -> Scripted {
        Scripted::start(move |request| {
            if request.path() == "/v2/" {
                return Answer::new(200, "{}");
            }
            let Some((media_type, body)) = self.documents.get(request.path()) else {
                return Answer::new(404, r#"{"errors":[{"code":"BLOB_UNKNOWN","message":"blob unknown"}]}"#);
            };
            let answer = Answer::new(200, body.clone()).header("Content-Type", media_type.clone());
            if request.path().ends_with(&self.layer) { fault(request, answer.ranged(request)) } else { answer }
        })
    }
}

/// A tar of some size that does not compress.
fn big_layer() -> Vec<u8> {
    let mut state = 1_u64;
    let content = std::iter::repeat_with(|| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 56) as u8
    });
    let content: Vec<u8> = content.take(8 << 20).collect();
    Rootfs::new().file("x", 0o755, content).finish()
}

#[test]
fn a_killed_daemon_goes_on_with_its_pull() {
    let Some(mut daemon) = daemon() else { return };
    let (layer, half) = (big_layer(), 5 << 20);
    let id = digest(&layer);
    let stalls = Arc::new(AtomicUsize::new(1));
    let counter = Arc::clone(&stalls);
    let server = served(layer, &id).start(move |_, answer| match counter.swap(0, Ordering::SeqCst) {
        1 => answer.fault(Fault::StallAfter(half)),
        _ => answer,
    });
    let name = format!("{}/x", server.host());
    let pull = daemon.docker(["pull", &name]).session();
    wait::until("half of the layer", SOON, || partials(&daemon).iter().any(|length| *length >= 4 << 20));
    daemon.kill();
    pull.kill();
    daemon.restart().unwrap_or_else(|err| panic!("{err:#}"));
    assert!(images(&daemon).is_empty(), "nothing half can be seen");
    daemon.docker(["pull", "-q", &name]).run().ok();
    let ranges: Vec<String> = server
        .requests()
        .iter()
        .map(|request| request.header("range").to_owned())
        .filter(|range| !range.is_empty())
        .collect();
    assert_eq!(ranges.len(), 1, "{ranges:?}");
    let start: u64 = ranges[0].trim_start_matches("bytes=").split('-').next().unwrap().parse().unwrap();
    assert!(start >= 4 << 20, "{ranges:?}");
    assert!(partials(&daemon).is_empty(), "what is complete is no longer partial");
}

#[test]
fn ctrl_c_ends_a_pull() {
    let Some(daemon) = daemon() else { return };
    let layer = big_layer();
    let id = digest(&layer);
    let server = served(layer, &id).start(|_, answer| answer.fault(Fault::StallAfter(5 << 20)));
    let name = format!("{}/x", server.host());
    let pull = daemon.docker(["pull", &name]).session();
    wait::until("half of the layer", SOON, || partials(&daemon).iter().any(|length| *length >= 4 << 20));
    pull.kill();
    // The daemon hangs up on the registry, long before its patience with a stalled one ends.
    wait::until("the unpacked part to be gone", SOON, || {
        let mut layers = fs_err::read_dir(daemon.dir().join("data/layers")).unwrap();
        layers.next().is_none()
    });
    assert_eq!(partials(&daemon).len(), 1, "what has been downloaded is kept");
}

#[test]
fn two_pulls_share_a_download() {
    let Some(daemon) = daemon() else { return };
    let layer = big_layer();
    let id = digest(&layer);
    let server = served(layer, &id).start(|_, answer| answer.fault(Fault::Throttle(8 << 20)));
    let name = format!("{}/x", server.host());
    let first = daemon.docker(["pull", "-q", &name]).session();
    wait::until("the download to begin", SOON, || !partials(&daemon).is_empty());
    // The second shows how far the first has come.
    let second = daemon.api("POST", &format!("/images/create?fromImage={name}&tag=latest"), "").unwrap();
    first.finish().ok();
    let lines: Vec<serde_json::Value> =
        second.body.lines().map(|line| serde_json::from_str(line).expect("a JSON object a line")).collect();
    let shown =
        lines.iter().filter(|line| line["status"] == "Downloading" && line["progressDetail"]["current"].is_u64());
    assert!(shown.count() > 1, "{}", second.body);
    assert_eq!(server.count("GET", &format!("/v2/x/blobs/{id}")), 1);
}

/// Pulls an image that must be refused; nothing of it may stay, and the next, better one works.
#[track_caller]
pub(crate) fn refuses(
    bad: Served,
    complaint: &str,
    fault: impl Fn(&Request, Answer) -> Answer + Send + Sync + 'static,
) {
    let Some(daemon) = daemon() else { return };
    let server = bad.start(fault);
    let name = format!("{}/x", server.host());
    daemon.docker(["pull", &name]).run().exits(1).complains(complaint);
    assert!(images(&daemon).is_empty());
    wait::until("the unpacked part to be gone", SOON, || {
        fs_err::read_dir(daemon.dir().join("data/layers")).unwrap().next().is_none()
    });
    let layer = Rootfs::new().file("y", 0o644, "y").finish();
    let id = digest(&layer);
    let good = served(layer, &id).start(|_, answer| answer);
    daemon.docker(["pull", "-q", &format!("{}/x", good.host())]).run().ok();
}

pub(crate) fn small_layer() -> Vec<u8> {
    Rootfs::new().file("x", 0o644, "content\n").finish()
}

#[test]
fn a_layer_with_another_digest_is_refused() {
    let image = served(small_layer(), &digest(&small_layer()));
    let mut wrong = small_layer();
    wrong[600] ^= 1;
    refuses(image, "was expected, but", move |_, _| Answer::new(200, wrong.clone()));
}

#[test]
fn a_layer_with_another_diff_id_is_refused() {
    refuses(served(small_layer(), &digest(b"other")), "but the image's configuration says", |_, answer| answer);
}

#[test]
fn a_truncated_layer_is_refused() {
    let image = served(small_layer(), &digest(&small_layer()));
    refuses(image, "its manifest says", |_, _| Answer::new(200, &small_layer()[..700]));
}

#[test]
fn a_layer_that_never_comes_is_an_error() {
    let image = served(small_layer(), &digest(&small_layer()));
    refuses(image, "the connection broke", |_, answer| answer.fault(Fault::CloseAfter(0)));
}

#[test]
fn manifests_beyond_limits_are_refused() {
    let Some(daemon) = daemon() else { return };
    let descriptor =
        |media_type: &str, size: u64| json!({ "mediaType": media_type, "digest": digest(b"{}"), "size": size });
    let tar = "application/vnd.oci.image.layer.v1.tar+gzip";
    let foreign = "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip";
    let config = "application/vnd.oci.image.config.v1+json";
    let many: Vec<_> = (0..10_000).map(|_| descriptor(tar, 2)).collect();
    let body = Arc::new(Mutex::new(String::new()));
    let answer = Arc::clone(&body);
    let server = Scripted::start(move |request| match request.path() {
        "/v2/" => Answer::new(200, "{}"),
        path if path.contains("/manifests/") => Answer::new(200, answer.lock().unwrap().clone())
            .header("Content-Type", "application/vnd.oci.image.manifest.v1+json"),
        path if path.contains("/blobs/") => Answer::new(200, "{}"),
        _ => Answer::new(404, ""),
    });
    let name = format!("{}/x", server.host());
    for (manifest, complaint) in [
        (json!({ "schemaVersion": 2, "config": descriptor(config, 2), "layers": many }), "the limit is 500"),
        (json!({ "schemaVersion": 2, "config": descriptor(config, 1 << 40), "layers": [] }), "bytes; the limit is"),
        (
            json!({ "schemaVersion": 2, "config": descriptor(config, 2), "layers": [], "manifests": [] }),
            "both `layers` and",
        ),
        (
            json!({ "schemaVersion": 2, "config": descriptor(config, 2), "layers": [descriptor(foreign, 2)] }),
            "diff ids",
        ),
        (json!({ "schemaVersion": 1, "name": "x" }), "schema 1, which is obsolete"),
    ] {
        *body.lock().unwrap() = manifest.to_string();
        daemon.docker(["pull", &name]).run().exits(1).complains(complaint);
    }
    assert!(images(&daemon).is_empty());
}
