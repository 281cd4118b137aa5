//! `docker run` of Wasm containers.

use std::time::{Duration, Instant};

use drua_e2e::{Daemon, Image, Rootfs, binary, guest, http, wait};
use serde_json::json;

use crate::support::{
    SOON, daemon, inspect, load, load_busybox, published, wait_for_log, wasm_image, wasm_layer_image,
};

const RUN: [&str; 4] = ["run", "--rm", "--platform", "wasi/wasm"];

fn with(text: &str) -> Option<Daemon> {
    let daemon = daemon()?;
    load(&daemon, &wasm_image("app", &guest::module(text)));
    Some(daemon)
}

#[test]
fn a_command_runs() {
    let Some(daemon) = with(guest::HELLO) else { return };
    let run = daemon.docker(RUN).arg("app").run();
    run.exits(0).prints("Hello from Wasm\n");
    assert_eq!(run.stderr, "");
}

#[test]
fn a_component_runs() {
    let Some(daemon) = daemon() else { return };
    load(&daemon, &wasm_image("app", &guest::component(guest::HELLO).unwrap()));
    daemon.docker(RUN).arg("app").run().prints("Hello from Wasm\n").exits(0);
}

#[test]
fn an_image_of_wasm_layers_runs() {
    let Some(daemon) = daemon() else { return };
    load(&daemon, &wasm_layer_image("app", &guest::module(guest::HELLO)));
    daemon.docker(RUN).arg("app").run().prints("Hello from Wasm\n").exits(0);
}

#[test]
fn a_runtime_by_name_is_enough() {
    let Some(daemon) = daemon() else { return };
    let rootfs = Rootfs::new().file("app.wasm", 0o755, guest::module(guest::HELLO));
    load(&daemon, &Image::linux("app").rootfs(rootfs).config("Entrypoint", json!(["/app.wasm"])));
    for runtime in ["io.containerd.wasmtime.v1", "io.containerd.wasmedge.v1"] {
        daemon.docker(["run", "--rm", "--runtime", runtime, "app"]).run().prints("Hello from Wasm\n").exits(0);
    }
    daemon.docker(["run", "--rm", "--runtime", "io.containerd.nope.v1", "app"]).run().exits(125).complains("nope");
}

#[test]
fn file_magic_decides_without_a_hint() {
    let Some(daemon) = daemon() else { return };
    let rootfs = Rootfs::new().file("app", 0o755, guest::module(guest::HELLO));
    load(&daemon, &Image::linux("app").rootfs(rootfs).config("Entrypoint", json!(["/app"])));
    daemon.docker(["run", "--rm", "app"]).run().prints("Hello from Wasm\n").exits(0);
}

#[test]
fn exit_codes_pass_through_and_traps_are_137() {
    let Some(daemon) = with(guest::EXIT) else { return };
    daemon.docker(RUN).arg("app").run().exits(42);
    load(&daemon, &wasm_image("trap", &guest::module(guest::TRAP)));
    daemon.docker(RUN).arg("trap").run().exits(137).complains("unreachable");
}

#[test]
fn an_import_that_is_not_granted_is_named() {
    let Some(daemon) = with(guest::GREEDY) else { return };
    let run = daemon.docker(RUN).arg("app").run();
    assert_ne!(run.code(), Some(0), "{run}");
    run.complains("launch_missiles");
}

#[test]
fn a_file_that_only_claims_to_be_wasm_is_refused() {
    let Some(daemon) = daemon() else { return };
    load(&daemon, &wasm_image("app", b"\0asm\x01\0\0\0 and then nonsense"));
    let run = daemon.docker(RUN).arg("app").run();
    assert_ne!(run.code(), Some(0), "{run}");
    assert_ne!(run.code(), None, "{run}");
}

#[test]
fn arguments_and_environment_arrive() {
    let Some(daemon) = with(guest::ARGS) else { return };
    let run = daemon.docker(RUN).args(["-e", "COLOR=blue", "app", "one", "two words"]).run();
    let lines: Vec<&str> = run.ok().lines().collect();
    assert_eq!(lines[..3], ["/app.wasm", "one", "two words"]);
    assert!(lines.contains(&"COLOR=blue"), "{run}");
}

#[test]
fn stdin_arrives() {
    let Some(daemon) = with(guest::CAT) else { return };
    daemon.docker(RUN).args(["-i", "app"]).input("one\ntwo\n").run().prints("one\ntwo\n").exits(0);
    daemon.docker(RUN).arg("app").run().prints("").exits(0);
}

#[test]
fn files_and_mounts_are_the_containers() {
    let Some(daemon) = with(guest::COPY) else { return };
    let data = daemon.dir().join("exchange");
    fs_err::create_dir(&data).unwrap();
    fs_err::write(data.join("in"), "through the wall\n").unwrap();
    let bind = format!("{}:/data", data.display());
    daemon.docker(RUN).args(["-v", &bind, "app"]).run().exits(0);
    assert_eq!(fs_err::read_to_string(data.join("out")).unwrap(), "through the wall\n");
    // Without the mount there is nothing to copy.
    daemon.docker(RUN).arg("app").run().exits(1);
    // A read-only mount is one.
    fs_err::remove_file(data.join("out")).unwrap();
    daemon.docker(RUN).args(["-v", &format!("{bind}:ro"), "app"]).run().exits(1);
}

#[test]
fn http_components_are_served() {
    let Some(daemon) = daemon() else { return };
    load(&daemon, &wasm_image("app", &guest::http().unwrap()));
    let options = ["run", "-d", "--name", "web", "--platform", "wasi/wasm", "-p", "127.0.0.1::8080", "app"];
    daemon.docker(options).run().ok();
    let address = published(&daemon, "web", "8080/tcp");
    let answer = wait::poll(SOON, || http::get(&address, "/").ok()).expect("the component answers");
    assert_eq!((answer.status, answer.body.as_str()), (200, "Hello from Wasm\n"));
    daemon.docker(["stop", "-t", "5", "web"]).run().ok();
    assert!(http::get(&address, "/").is_err());
}

#[test]
fn the_http_address_can_be_chosen() {
    let Some(daemon) = daemon() else { return };
    load_busybox(&daemon);
    load(&daemon, &wasm_image("app", &guest::http().unwrap()));
    daemon.docker(["network", "create", "net"]).run().ok();
    let address = "WASMTIME_HTTP_PROXY_SOCKET_ADDR=0.0.0.0:9999";
    daemon
        .docker(["run", "-d", "--name", "web", "--network", "net", "--platform", "wasi/wasm", "-e", address, "app"])
        .run()
        .ok();
    wait::until("the Linux container to reach the Wasm container", SOON, || {
        let get = ["run", "--rm", "--network", "net", "busybox", "wget", "-qO-", "http://web:9999/"];
        daemon.docker(get).run().stdout == "Hello from Wasm\n"
    });
}

#[test]
fn an_endless_loop_can_be_stopped() {
    let Some(daemon) = with(guest::LOOP) else { return };
    daemon.docker(["run", "-d", "--name", "spin", "--platform", "wasi/wasm", "app"]).run().ok();
    wait_for_log(&daemon, "spin", "looping");
    let start = Instant::now();
    daemon.docker(["stop", "-t", "2", "spin"]).run().ok();
    assert!(start.elapsed() < Duration::from_secs(10));
    let code = inspect(&daemon, "spin", "{{.State.ExitCode}}");
    assert!(code == "137" || code == "143", "exit code {code}");
}

#[test]
fn wasm_runs_inside_the_same_sandbox() {
    let Some(daemon) = with(guest::LOOP) else { return };
    daemon.docker(["run", "-d", "--name", "spin", "-m", "128m", "--platform", "wasi/wasm", "app"]).run().ok();
    wait_for_log(&daemon, "spin", "looping");
    let pid = inspect(&daemon, "spin", "{{.State.Pid}}");
    let status = fs_err::read_to_string(format!("/proc/{pid}/status")).unwrap();
    assert!(status.contains("Seccomp:\t2"), "{status}");
    let effective = status.lines().find_map(|line| line.strip_prefix("CapEff:\t")).unwrap();
    let effective = u64::from_str_radix(effective, 16).unwrap();
    assert_eq!(effective & !0xa804_25fb, 0, "more capabilities than Docker's default: {effective:x}");
    for namespace in ["net", "mnt", "pid", "ipc", "uts"] {
        let of = |pid: &str| fs_err::read_link(format!("/proc/{pid}/ns/{namespace}")).unwrap();
        assert_ne!(of(&pid), of("self"), "{namespace}");
    }
    let root = fs_err::read_dir(format!("/proc/{pid}/root")).unwrap();
    assert!(root.filter_map(Result::ok).all(|entry| entry.file_name() != "home"), "the host's files are visible");
}

#[test]
fn the_second_start_uses_the_compiled_module() {
    let Some(daemon) = with(guest::HELLO) else { return };
    daemon.docker(RUN).arg("app").run().exits(0);
    let cached = || {
        let mut files = Vec::new();
        for dir in fs_err::read_dir(daemon.dir().join("data/aot")).unwrap().filter_map(Result::ok) {
            if let Ok(entries) = fs_err::read_dir(dir.path()) {
                files.extend(entries.filter_map(Result::ok).filter_map(|entry| {
                    let modified = entry.metadata().ok()?.modified().ok()?;
                    Some((entry.path(), modified))
                }));
            }
        }
        files
    };
    let first = cached();
    assert_eq!(first.iter().filter(|(path, _)| path.extension().is_some_and(|ext| ext == "cwasm")).count(), 1);
    daemon.docker(RUN).arg("app").run().exits(0);
    assert_eq!(cached(), first);
}

#[test]
fn linux_programs_in_a_wasm_image_run_as_linux() {
    let Some(daemon) = daemon() else { return };
    // A static one, since the image holds nothing else.
    let program = binary::target_dir().join("demo/busybox/root/usr/bin/busybox");
    let program = fs_err::read(program).expect("`cargo xtask demo-images` stages busybox-static");
    let rootfs = Rootfs::new().file("busybox", 0o755, program);
    let image = Image::wasi("mixed").rootfs(rootfs).config("Entrypoint", json!(["/busybox", "echo", "native"]));
    load(&daemon, &image);
    daemon.docker(RUN).arg("mixed").run().prints("native\n").exits(0);
}

#[test]
fn grants_narrow_what_a_guest_may_do() {
    let Some(daemon) = with(guest::ARGS) else { return };
    let deny = ["--annotation", "dev.drua.wasm.deny=env", "--annotation", "dev.drua.wasm.allow=env=SHOWN"];
    let run = daemon.docker(RUN).args(deny).args(["-e", "SHOWN=1", "-e", "HIDDEN=1", "app"]).run();
    run.exits(0);
    assert!(run.stdout.contains("SHOWN=1") && !run.stdout.contains("HIDDEN"), "{}", run.stdout);
    let run = daemon.drua(RUN).args(["--wasm-deny", "env", "-e", "HIDDEN=1", "app"]).run();
    assert!(!run.stdout.contains("HIDDEN"), "{}", run.stdout);
    daemon.docker(RUN).args(["--annotation", "dev.drua.wasm.deny=everything", "app"]).run().complains("is not a grant");
    daemon.docker(RUN).args(["--annotation", "dev.drua.module=/x", "app"]).run().complains("is not for users");
}

#[test]
fn modules_without_a_daemon() {
    let dir = tempfile::tempdir().unwrap();
    let cache = dir.path().join("cache");
    let drua = |args: &[&str]| {
        let output = std::process::Command::new(binary::drua().unwrap()).arg("wasm").args(args).output().unwrap();
        (output.status.code(), String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned())
    };
    let write = |name: &str, bytes: &[u8]| {
        let path = dir.path().join(name);
        fs_err::write(&path, bytes).unwrap();
        path.display().to_string()
    };
    let (hello, http) =
        (write("hello.wasm", &guest::module(guest::HELLO)), write("http.wasm", &guest::http().unwrap()));
    let cache = cache.display().to_string();
    assert_eq!(drua(&["run", "--cache", &cache, &hello]), (Some(0), "Hello from Wasm\n".to_owned()));
    let (code, text) = drua(&["inspect", &http]);
    assert!(code == Some(0) && text.contains("component") && text.contains("wasi:http/incoming-handler"), "{text}");
    let (code, text) = drua(&["inspect", "--format", "json", &hello]);
    let json: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert!(code == Some(0) && json["Imports"][0] == "wasi_snapshot_preview1 fd_write", "{text}");
    assert!(drua(&["wit", &http]).1.contains("export wasi:http/incoming-handler@0.2"));
    assert!(drua(&["validate", &hello]).0 == Some(0));
    let broken = write("broken.wasm", &guest::module(guest::HELLO)[..40]);
    assert!(drua(&["validate", &broken]).1.starts_with("error: not a valid module: "));
    assert!(drua(&["inspect", &broken]).0 == Some(1));
    assert!(drua(&["cache", "ls", "--cache", &cache]).1.lines().count() == 2);
    assert!(drua(&["cache", "prune", "--all", "--cache", &cache]).1.starts_with("1 removed"));
    assert!(drua(&["runtimes"]).1.contains("io.containerd.wasmedge.v1"));
}
