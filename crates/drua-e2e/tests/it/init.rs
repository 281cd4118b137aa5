//! `drua init`, for real: what it writes is built and run as it stands, by toolchains that `cargo xtask init-images` has
//! made, without a network.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use drua_e2e::{Cmd, Daemon, binary, guest, http, wait};

use crate::support::{SOON, daemon, skip};

/// Long enough for a compiler.
const BUILD: Duration = Duration::from_secs(300);
/// From an edit to an answer that shows it; a compiler may be between them.
const EDIT: Duration = Duration::from_secs(120);

/// A project with what should come of it.
struct Project {
    /// Archives of `cargo xtask init-images`.
    images: &'static [&'static str],
    files: Vec<(&'static str, String)>,
    /// For `drua init --yes`.
    options: &'static [&'static str],
    port: u16,
    /// What stands in an answer before and after the edit of this file.
    edit: (&'static str, &'static str, &'static str),
    /// The user that its process has.
    user: &'static str,
}

#[track_caller]
fn with_images(names: &[&str]) -> Option<Daemon> {
    let dir = binary::target_dir().join("demo/toolchains");
    let archives: Vec<PathBuf> = names.iter().map(|name| dir.join(format!("{name}.tar"))).collect();
    if archives.iter().any(|archive| !archive.exists()) {
        return skip("no base images; `cargo xtask init-images` builds them");
    }
    let daemon = daemon()?;
    for archive in archives {
        daemon.drua(["load", "-q", "-i", &archive.to_string_lossy()]).limit(BUILD).run().ok();
    }
    Some(daemon)
}

fn write(dir: &Path, files: &[(&str, String)]) {
    for (path, text) in files {
        let path = dir.join(path);
        fs_err::create_dir_all(path.parent().unwrap()).unwrap();
        fs_err::write(path, text).unwrap();
    }
}

fn compose<'a>(daemon: &Daemon, dir: &Path, args: impl IntoIterator<Item = &'a str>) -> Cmd {
    daemon.drua(["compose"]).args(args).dir(dir).limit(BUILD)
}

fn shows(port: u16, text: &str) -> bool {
    http::get(&format!("127.0.0.1:{port}"), "/").is_ok_and(|answer| answer.status == 200 && answer.body.contains(text))
}

/// The user of a container's process, as the kernel sees it.
fn user_of(daemon: &Daemon, container: &str) -> String {
    let pid = daemon.docker(["inspect", "-f", "{{.State.Pid}}", container]).run().ok().to_owned();
    let status = fs_err::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("Uid:")).unwrap();
    line.split_whitespace().next().unwrap().to_owned()
}

impl Project {
    /// Generates, builds, runs, asks, edits, stops.
    #[track_caller]
    fn prove(self) {
        let Some(daemon) = with_images(self.images) else { return };
        let dir = daemon.dir().join("shop");
        write(&dir, &self.files);
        let target = dir.to_string_lossy().into_owned();
        let init = daemon.drua(["init", "--yes", &target]).args(self.options).run();
        assert!(init.exits(0).stderr.contains("CREATED: Dockerfile"), "{init}");
        let started = Instant::now();
        let up = compose(&daemon, &dir, ["up", "--build", "--detach"]).run();
        up.exits(0);
        let (file, before, after) = self.edit;
        wait::until("an answer", SOON, || shows(self.port, before));
        let taken = started.elapsed();
        let service = compose(&daemon, &dir, ["ps", "-q"]).run().ok().to_owned();
        let wasm = self.user.is_empty();
        if !wasm {
            let health =
                || daemon.docker(["inspect", "-f", "{{.State.Health.Status}}", &service]).run().ok().to_owned();
            wait::until("the health check", SOON, || health() == "healthy");
            assert_eq!(user_of(&daemon, &service), self.user);
        }
        let image = daemon.docker(["inspect", "-f", "{{.Image}}", &service]).run().ok().to_owned();
        let size = daemon.docker(["image", "inspect", "-f", "{{.Size}}", &image]).run().ok().to_owned();
        println!("{}: built and answering in {taken:.1?}, {} kB", self.files[0].0, size.parse::<u64>().unwrap() / 1000);
        let watch = compose(&daemon, &dir, ["watch"]).limit(EDIT).session();
        let text = fs_err::read_to_string(dir.join(file)).unwrap().replace(before, after);
        let (mut next, mut newlines) = (Instant::now(), String::new());
        wait::until("the edit", EDIT, || {
            // The watcher may not be there yet at the first edit; one more newline is one more edit.
            if Instant::now() >= next {
                next += Duration::from_secs(10);
                newlines.push('\n');
                fs_err::write(dir.join(file), format!("{text}{newlines}")).unwrap();
            }
            shows(self.port, after)
        });
        watch.kill();
        let service = compose(&daemon, &dir, ["ps", "-q"]).run().ok().to_owned();
        let stopping = Instant::now();
        daemon.docker(["stop", &service]).run().ok();
        let taken = stopping.elapsed();
        assert!(taken < Duration::from_millis(1500), "took {taken:?} to stop: a signal did not arrive");
        compose(&daemon, &dir, ["down", "-v"]).run().ok();
    }
}

#[test]
fn a_python_project_with_flask() {
    let app = "from flask import Flask\n\napp = Flask(__name__)\n\n\n@app.get(\"/\")\ndef index():\n    return \"hello from flask\"\n";
    Project {
        images: &["python"],
        files: vec![
            ("app.py", app.to_owned()),
            ("requirements.txt", "flask\ngunicorn\n".to_owned()),
            (".python-version", "3.11\n".to_owned()),
        ],
        options: &["--set", "start=gunicorn --bind 0.0.0.0:18101 --worker-tmp-dir /dev/shm app:app", "--port", "18101"],
        port: 18101,
        edit: ("app.py", "hello from flask", "edited flask"),
        user: "10001",
    }
    .prove();
}

#[test]
fn a_node_project_with_express() {
    let made = binary::target_dir().join("demo/toolchains/node-project");
    let read = |name: &str| std::fs::read_to_string(made.join(name)).unwrap_or_default();
    let server = "const express = require(\"express\");\nconst app = express();\n\
        app.get(\"/\", (request, response) => response.send(\"hello from express\"));\n\
        app.get(\"/healthz\", (request, response) => response.send(\"well\"));\n\
        app.listen(process.env.PORT || 18102);\n";
    Project {
        images: &["node"],
        files: vec![
            ("server.js", server.to_owned()),
            ("package.json", read("package.json")),
            ("package-lock.json", read("package-lock.json")),
        ],
        options: &[],
        port: 18102,
        edit: ("server.js", "hello from express", "edited express"),
        user: "10001",
    }
    .prove();
}

const GO: &str = "package main\n\nimport (\n\t\"fmt\"\n\t\"net/http\"\n)\n\nfunc main() {\n\
    \thttp.HandleFunc(\"/\", func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, \"hello from go\") })\n\
    \thttp.ListenAndServe(\":18103\", nil)\n}\n";

#[test]
fn a_go_project() {
    Project {
        images: &["go", "alpine"],
        files: vec![("main.go", GO.to_owned()), ("go.mod", "module shop\n\ngo 1.27\n".to_owned())],
        options: &["--set", "health=/"],
        port: 18103,
        edit: ("main.go", "hello from go", "edited go"),
        user: "10001",
    }
    .prove();
}

#[test]
fn a_rust_project() {
    let main = "use std::io::{Read, Write};\n\nfn main() {\n\
        \x20   let listener = std::net::TcpListener::bind(\"0.0.0.0:18104\").unwrap();\n\
        \x20   for stream in listener.incoming() {\n\
        \x20       let mut stream = stream.unwrap();\n\
        \x20       let _ = stream.read(&mut [0; 1024]);\n\
        \x20       let body = \"hello from rust\";\n\
        \x20       let _ = write!(stream, \"HTTP/1.1 200 OK\\r\\nConnection: close\\r\\nContent-Length: {}\\r\\n\\r\\n{body}\", body.len());\n\
        \x20   }\n}\n";
    let manifest = "[package]\nname = \"shop\"\nversion = \"0.1.0\"\nedition = \"2024\"\n";
    Project {
        images: &["rust", "debian"],
        files: vec![
            ("src/main.rs", main.to_owned()),
            ("Cargo.toml", manifest.to_owned()),
            ("Cargo.lock", "version = 4\n\n[[package]]\nname = \"shop\"\nversion = \"0.1.0\"\n".to_owned()),
            ("rust-toolchain.toml", "[toolchain]\nchannel = \"1.95\"\n".to_owned()),
        ],
        options: &[],
        port: 18104,
        edit: ("src/main.rs", "hello from rust", "edited rust"),
        user: "10001",
    }
    .prove();
}

#[test]
fn a_c_project() {
    let main = "#include <arpa/inet.h>\n#include <string.h>\n#include <unistd.h>\n\nint main(void) {\n\
        \x20   struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons(18105)};\n\
        \x20   int s = socket(AF_INET, SOCK_STREAM, 0), on = 1;\n\
        \x20   setsockopt(s, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);\n\
        \x20   if (bind(s, (void *)&at, sizeof at) || listen(s, 8)) return 1;\n\
        \x20   for (;;) {\n\
        \x20       char buffer[1024];\n\
        \x20       int c = accept(s, 0, 0);\n\
        \x20       const char *answer = \"HTTP/1.1 200 OK\\r\\nConnection: close\\r\\n\\r\\nhello from c\";\n\
        \x20       if (read(c, buffer, sizeof buffer) > 0 && write(c, answer, strlen(answer)) < 0) return 1;\n\
        \x20       close(c);\n\
        \x20   }\n}\n";
    Project {
        images: &["gcc", "debian"],
        files: vec![
            ("main.c", main.to_owned()),
            ("Makefile", "shop: main.c\n\tcc -O2 -Wall -o shop main.c\n".to_owned()),
        ],
        options: &[],
        port: 18105,
        edit: ("main.c", "hello from c", "edited c"),
        user: "10001",
    }
    .prove();
}

#[test]
fn a_static_site() {
    Project {
        images: &["nginx"],
        files: vec![("index.html", "<!doctype html><title>hello from html</title>\n".to_owned())],
        options: &["--port", "18106"],
        port: 18106,
        edit: ("index.html", "hello from html", "edited html"),
        user: "10001",
    }
    .prove();
}

#[test]
fn a_go_project_as_linux_and_wasm_under_one_tag() {
    let Some(daemon) = with_images(&["go", "alpine"]) else { return };
    let dir = daemon.dir().join("shop");
    let main = "package main\n\nimport (\n\t\"fmt\"\n\t\"runtime\"\n)\n\nfunc main() { fmt.Println(\"hello from\", runtime.GOOS) }\n";
    write(&dir, &[("main.go", main.to_owned()), ("go.mod", "module shop\n\ngo 1.27\n".to_owned())]);
    let target = dir.to_string_lossy().into_owned();
    daemon.drua(["init", "--yes", "--set", "target=both", &target]).run().exits(0);
    let linux = format!("linux/{}", if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" });
    let platforms = format!("{linux},wasi/wasm");
    daemon.drua(["build", "--platform", &platforms, "-t", "shop", &target]).limit(BUILD).run().exits(0);
    daemon.drua(["run", "--rm", "--platform", &linux, "shop"]).run().prints("hello from linux\n").ok();
    daemon.drua(["run", "--rm", "--platform", "wasi/wasm", "shop"]).run().prints("hello from wasip1\n").ok();
    // WebAssembly alone, by compose.
    daemon
        .drua(["init", "--yes", "--wasm", "--existing", "replace", &target])
        .run()
        .exits(0)
        .complains("REPLACED: Dockerfile");
    let up = compose(&daemon, &dir, ["up", "--build"]).run();
    assert!(up.exits(0).stdout.contains("hello from wasip1"), "{up}");
    compose(&daemon, &dir, ["down"]).run().ok();
}

#[test]
fn a_module_that_is_there() {
    let Some(daemon) = daemon() else { return };
    let dir = daemon.dir().join("shop");
    fs_err::create_dir_all(&dir).unwrap();
    fs_err::write(dir.join("hello.wasm"), guest::module(guest::HELLO)).unwrap();
    daemon.drua(["init", "--yes", &dir.to_string_lossy()]).run().exits(0);
    let up = compose(&daemon, &dir, ["up", "--build"]).run();
    assert!(up.exits(0).stdout.contains("Hello from Wasm"), "{up}");
    compose(&daemon, &dir, ["down"]).run().ok();
}
