//! Other people's clients: docker-py and Docker's own Compose.

use drua_e2e::{Cmd, guest, http, wait};

use crate::support::{SOON, busybox, load, python_client, wasm_image};

const DOCKER_PY: &str = r#"
import docker
client = docker.from_env()
assert client.ping()
assert client.version()["ApiVersion"] == "1.50"
assert client.containers.run("busybox", ["echo", "hi"], remove=True) == b"hi\n"
assert client.containers.run("app", platform="wasi/wasm", remove=True) == b"Hello from Wasm\n"
container = client.containers.run("busybox", ["sh", "-c", "echo out; sleep 1000"], detach=True, name="box")
assert [c.name for c in client.containers.list()] == ["box"]
for line in container.logs(stream=True, follow=True):
    assert line == b"out\n", line
    break
container.stop(timeout=1)
container.reload()
assert container.status == "exited", container.status
assert container.wait()["StatusCode"] == 137
container.remove()
try:
    client.containers.run("busybox", ["sh", "-c", "exit 3"], remove=True)
    raise SystemExit("no error")
except docker.errors.ContainerError as error:
    assert error.exit_status == 3
try:
    client.images.get("nobody:1")
    raise SystemExit("no error")
except docker.errors.ImageNotFound:
    pass
network = client.networks.create("net")
network.remove()
volume = client.volumes.create("vol")
volume.remove()
print("all well")
"#;

#[test]
fn docker_py_works() {
    let Some(python) = python_client("python") else { return };
    let Some(daemon) = busybox() else { return };
    load(&daemon, &wasm_image("app", &guest::module(guest::HELLO)));
    let run = Cmd::new(python).args(["-c", DOCKER_PY]).env("DOCKER_HOST", daemon.options.host()).run();
    run.exits(0).prints("all well\n");
}

const PROJECT: &str = "\
services:
  heavy:
    image: busybox
    command: sleep 1000
  light:
    image: app
    platform: wasi/wasm
    ports: ['127.0.0.1::8080']
    depends_on: [heavy]
";

#[test]
fn dockers_compose_works() {
    let Some(program) = python_client("docker-compose") else { return };
    let Some(daemon) = busybox() else { return };
    load(&daemon, &wasm_image("app", &guest::http().unwrap()));
    fs_err::write(daemon.dir().join("compose.yaml"), PROJECT).unwrap();
    let compose = |args: &[&str]| {
        let command = Cmd::new(&program).env("DOCKER_HOST", daemon.options.host()).env("HOME", daemon.dir());
        command.dir(daemon.dir()).args(["-p", "theirs"]).args(args).run()
    };
    compose(&["up", "-d"]).ok();
    let port = compose(&["port", "light", "8080"]).ok().to_owned();
    wait::until("the Wasm service", SOON, || http::get(&port, "/").is_ok_and(|answer| answer.status == 200));
    let names = compose(&["ps", "--format", "{{.Service}}"]);
    assert_eq!(names.ok().lines().count(), 2, "{names}");
    let ids = daemon.docker(["ps", "-q"]).run().ok().to_owned();
    compose(&["up", "-d"]).ok();
    assert_eq!(daemon.docker(["ps", "-q"]).run().ok(), ids, "nothing changed, so nothing is made anew");
    compose(&["down", "-t", "1"]).ok();
    assert_eq!(daemon.docker(["ps", "-aq"]).run().ok(), "");
}
