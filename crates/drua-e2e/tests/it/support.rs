//! What most tests begin with.

use std::{
    path::PathBuf,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use drua_e2e::{Daemon, Image, Layer, Rootfs, binary, wait};
use serde_json::json;

/// Long enough for anything that should happen soon.
pub(crate) const SOON: Duration = Duration::from_secs(20);

/// Set by `make test`: a client that is missing fails the tests that need it.
const STRICT: &str = "DRUA_E2E_STRICT";

/// A new daemon, or `None` and a message where there is no docker CLI to drive it with.
#[track_caller]
pub(crate) fn daemon() -> Option<Daemon> {
    docker_cli()?;
    match Daemon::start() {
        Ok(daemon) => Some(daemon),
        Err(err) => panic!("{err:#}"),
    }
}

/// The docker CLI, or `None` and a message.
#[track_caller]
pub(crate) fn docker_cli() -> Option<PathBuf> {
    binary::on_path("docker").or_else(|| skip("no docker CLI on PATH"))
}

/// A new daemon with the image `busybox`.
#[track_caller]
pub(crate) fn busybox() -> Option<Daemon> {
    let daemon = daemon()?;
    load_busybox(&daemon);
    Some(daemon)
}

/// Gives a daemon the image `busybox`, also tagged `busybox:test`: the official one where the test data has it, else the
/// one of Debian's package that `cargo xtask demo-images` makes.
#[track_caller]
pub(crate) fn load_busybox(daemon: &Daemon) {
    let own = binary::target_dir().join("demo/busybox.tar");
    let official = binary::test_data("images/busybox-1-musl-amd64.oci.tar");
    // An older dockerd cannot read that.
    let path = if drua_e2e::is_oracle() { own } else { official.unwrap_or(own) };
    let run = daemon.docker(["load", "-q", "-i", &path.to_string_lossy()]).run();
    let loaded = run.ok().strip_prefix("Loaded image: ").expect("docker load names the image");
    daemon.docker(["tag", loaded, "busybox:latest"]).run().ok();
    daemon.docker(["tag", loaded, "busybox:test"]).run().ok();
    daemon.docker(["rmi", loaded]).run().ok();
}

/// Loads an image with the docker CLI.
#[track_caller]
pub(crate) fn load(daemon: &Daemon, image: &Image) {
    daemon.docker(["load", "-q"]).input(image.to_bytes()).run().ok();
}

/// An image for `wasi/wasm` whose entrypoint is `/app.wasm`.
pub(crate) fn wasm_image(reference: &str, module: &[u8]) -> Image {
    Image::wasi(reference)
        .rootfs(Rootfs::new().file("app.wasm", 0o755, module))
        .config("Entrypoint", json!(["/app.wasm"]))
}

/// An image for `wasi/wasm` that is nothing but a module.
pub(crate) fn wasm_layer_image(reference: &str, module: &[u8]) -> Image {
    Image::wasi(reference).layer(Layer::Wasm(module.to_vec())).config("Entrypoint", json!(["/app.wasm"]))
}

/// One field of `docker inspect`.
#[track_caller]
pub(crate) fn inspect(daemon: &Daemon, object: &str, template: &str) -> String {
    daemon.docker(["inspect", "-f", template, object]).run().ok().to_owned()
}

/// Where a published port can be reached, as `127.0.0.1:port`.
#[track_caller]
pub(crate) fn published(daemon: &Daemon, container: &str, port: &str) -> String {
    let run = daemon.docker(["port", container, port]).run();
    let first = run.ok().lines().next().expect("the port is published").to_owned();
    let number = first.rsplit(':').next().expect("`docker port` prints address:port");
    format!("127.0.0.1:{number}")
}

/// Waits until a container's log contains this text.
#[track_caller]
pub(crate) fn wait_for_log(daemon: &Daemon, container: &str, text: &str) {
    wait::until(&format!("`{text}` in the log of `{container}`"), SOON, || {
        let run = daemon.docker(["logs", container]).run();
        run.stdout.contains(text) || run.stderr.contains(text)
    });
}

/// Waits until a container has this status.
#[track_caller]
pub(crate) fn wait_for_status(daemon: &Daemon, container: &str, status: &str) {
    wait::until(&format!("`{container}` to be {status}"), SOON, || {
        inspect(daemon, container, "{{.State.Status}}") == status
    });
}

/// Now, as `docker events --since` takes it.
pub(crate) fn now() -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("the clock is after 1970");
    format!("{}.{:09}", now.as_secs(), now.subsec_nanos())
}

/// The events since a moment, as `type action` lines.
#[track_caller]
pub(crate) fn events(daemon: &Daemon, since: &str) -> Vec<String> {
    let format = "{{.Type}} {{.Action}}";
    let run = daemon.docker(["events", "--since", since, "--until", &now(), "--format", format]).run();
    run.ok().lines().map(str::to_owned).collect()
}

/// The programs of the Python environment that `make test` prepares, or `None` and a message.
#[track_caller]
pub(crate) fn python_client(program: &str) -> Option<PathBuf> {
    let path = binary::target_dir().join("e2e/venv/bin").join(program);
    if path.exists() { Some(path) } else { skip("no target/e2e/venv; `make test` prepares it") }
}

/// Says why a test does nothing; where [`STRICT`] is `1`, that fails it.
#[track_caller]
pub(crate) fn skip<T>(why: &str) -> Option<T> {
    assert!(std::env::var_os(STRICT).is_none_or(|value| value != "1"), "{why}, and {STRICT} is 1");
    println!("skipped: {why}");
    None
}
