//! The binary as a shim under Debian's containerd, with directories and a socket of its own.

use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use drua_e2e::{Image, Rootfs, binary, guest, wait};
use serde_json::json;

use crate::support::wasm_image;

const PATIENCE: Duration = Duration::from_secs(60);

struct Containerd {
    dir: tempfile::TempDir,
    child: Child,
}

impl Containerd {
    /// A containerd that finds our binary under the names of three shims; `None` where it is not installed.
    fn start() -> Option<Self> {
        let Some(containerd) = binary::on_path("containerd").filter(|_| binary::on_path("ctr").is_some()) else {
            assert!(std::env::var_os("DRUA_E2E_STRICT").is_none(), "containerd is not installed");
            return None;
        };
        let dir = tempfile::tempdir().unwrap();
        for name in ["drua", "wasmtime", "wasmedge"] {
            let link = dir.path().join(format!("containerd-shim-{name}-v1"));
            fs_err::os::unix::fs::symlink(binary::drua().unwrap(), link).unwrap();
        }
        let at = |name: &str| dir.path().join(name).display().to_string();
        let config = format!(
            "version = 2\nroot = {:?}\nstate = {:?}\ndisabled_plugins = [\"io.containerd.grpc.v1.cri\"]\n\
             [grpc]\naddress = {:?}\n[ttrpc]\naddress = {:?}\n",
            at("root"),
            at("state"),
            at("sock"),
            at("sock.ttrpc")
        );
        fs_err::write(dir.path().join("config.toml"), config).unwrap();
        let path = format!("{}:{}", dir.path().display(), std::env::var("PATH").unwrap_or_default());
        let child = Command::new(containerd)
            .args(["-c", &at("config.toml")])
            .env("PATH", path)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let this = Self { dir, child };
        wait::until("containerd to answer", PATIENCE, || this.ctr(&["version"]).status.success());
        Some(this)
    }

    fn ctr(&self, args: &[&str]) -> Output {
        Command::new("ctr").arg("-a").arg(self.dir.path().join("sock")).args(args).output().unwrap()
    }

    fn import(&self, image: &Image, platform: &str) {
        let archive = self.dir.path().join("image.tar");
        image.save(&archive).unwrap();
        let output = self.ctr(&["image", "import", "--platform", platform, path(&archive)]);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
}

impl Drop for Containerd {
    fn drop(&mut self) {
        let pid = rustix::process::Pid::from_child(&self.child);
        let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
        let _ = self.child.wait();
    }
}

fn path(path: &Path) -> &str {
    path.to_str().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn containerd_runs_both_hulls() {
    let Some(containerd) = Containerd::start() else { return };
    let name = "docker.io/library/app:latest";
    containerd.import(&wasm_image(name, &guest::module(guest::HELLO)), "wasi/wasm");
    for runtime in ["io.containerd.drua.v1", "io.containerd.wasmtime.v1", "io.containerd.wasmedge.v1"] {
        let id = runtime.replace('.', "-");
        let run = containerd.ctr(&["run", "--rm", "--platform", "wasi/wasm", "--runtime", runtime, name, &id]);
        assert!(run.status.success(), "{runtime}: {}", text(&run.stderr));
        assert_eq!(text(&run.stdout), "Hello from Wasm\n", "{runtime}");
    }
    let Some(busybox) = binary::on_path("busybox") else { return };
    let rootfs = Rootfs::new().file("bin/busybox", 0o755, fs_err::read(busybox).unwrap()).symlink("bin/sh", "busybox");
    let linux = "docker.io/library/side:latest";
    containerd.import(&Image::linux(linux).rootfs(rootfs).config("Cmd", json!(["sh"])), "linux");
    let run = ["run", "--rm", "--runtime", "io.containerd.drua.v1", linux, "side", "/bin/sh", "-c", "echo hi; exit 7"];
    let run = containerd.ctr(&run);
    assert_eq!((run.status.code(), text(&run.stdout)), (Some(7), "hi\n".to_owned()), "{}", text(&run.stderr));
}
