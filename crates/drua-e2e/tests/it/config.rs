//! daemon.json, reloading, TLS, socket activation, contexts.

use std::process::{Command, Stdio};
use std::time::Duration;

use drua_e2e::{Cmd, Daemon, binary, wait};
use rustix::process::{Pid, Signal, kill_process};

use crate::support::docker_cli;

fn drua(args: &[&str]) -> drua_e2e::Run {
    Cmd::new(binary::drua().unwrap()).args(args).run()
}

#[test]
fn the_configuration_file_is_checked() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("daemon.json");
    let file = path.to_string_lossy().into_owned();
    let validate = |text: &str, flags: &[&str]| {
        std::fs::write(&path, text).unwrap();
        let args = ["daemon", "--validate", "--config-file", &file].iter().chain(flags).copied().collect::<Vec<_>>();
        drua(&args)
    };
    validate("{}", &[]).prints("configuration OK\n").ok();
    validate(r#"{"debug": true, "labels": ["a=b"], "hosts": ["unix:///x"]}"#, &[]).prints("configuration OK\n").ok();
    validate(r#"{"data-rot": "/x"}"#, &[]).exits(1).complains("did you mean `data-root`?");
    validate(r#"{"data-root": "/x"}"#, &["--data-root", "/y"]).exits(1).complains("both as a flag and in the");
    validate(r#"{"tlsverify": true}"#, &[]).exits(1).complains("TLS needs");
    validate("{} x", &[]).exits(1).complains("invalid JSON");
    drua(&["daemon", "--validate", "--config-file", "/nonexistent"]).exits(1).complains("cannot be read");
}

/// A daemon with a configuration file of its own.
fn configured(text: &str) -> Option<(tempfile::TempDir, std::path::PathBuf, Daemon)> {
    docker_cli()?;
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("daemon.json");
    std::fs::write(&path, text).unwrap();
    let file = path.clone();
    let daemon = Daemon::start_with(|options| options.flags = vec!["--config-file".into(), file.into()]).unwrap();
    Some((dir, path, daemon))
}

#[test]
fn settings_change_on_sighup_and_are_defaults() {
    let text = r#"{"labels": ["a=b"], "default-shm-size": "32m", "default-ipc-mode": "shareable", "dns": ["10.9.9.9"],
        "default-ulimits": {"nofile": {"Name": "nofile", "Soft": 111, "Hard": 222}}}"#;
    let Some((_dir, path, daemon)) = configured(text) else { return };
    crate::support::load_busybox(&daemon);
    let labels = || daemon.docker(["info", "-f", "{{json .Labels}}"]).run().ok().to_owned();
    assert_eq!(labels(), "[\"a=b\"]");
    let script = "ulimit -n; grep -c 10.9.9.9 /etc/resolv.conf; df -k /dev/shm | tail -1 | awk '{print $2}'";
    daemon.docker(["run", "--rm", "busybox", "sh", "-c", script]).run().prints("111\n1\n32768\n").ok();
    std::fs::write(&path, r#"{"labels": ["c=d"], "debug": true}"#).unwrap();
    let pid = Pid::from_raw(daemon.pid().cast_signed()).unwrap();
    kill_process(pid, Signal::HUP).unwrap();
    wait::until("the new labels", Duration::from_secs(20), || labels() == "[\"c=d\"]");
    std::fs::write(&path, r#"{"nope": 1}"#).unwrap();
    kill_process(pid, Signal::HUP).unwrap();
    wait::until("the complaint", Duration::from_secs(20), || {
        daemon.log().contains("the configuration is not reloaded")
    });
    assert_eq!(labels(), "[\"c=d\"]", "what is wrong changes nothing");
    kill_process(pid, Signal::USR1).unwrap();
    wait::until("the dump", Duration::from_secs(20), || {
        let entries = std::fs::read_dir(daemon.dir().join("run")).unwrap().flatten();
        entries.into_iter().any(|entry| entry.file_name().to_string_lossy().starts_with("debug-"))
    });
}

/// An authority, a server and a client, made with openssl.
fn certificates(dir: &std::path::Path) -> bool {
    let script = r#"set -e
        openssl req -x509 -newkey rsa:2048 -nodes -keyout ca-key.pem -out ca.pem -subj /CN=ca -days 2 -addext basicConstraints=critical,CA:TRUE
        for name in server client; do
            openssl req -newkey rsa:2048 -nodes -keyout $name-key.pem -out $name.csr -subj /CN=$name
            printf 'subjectAltName=DNS:localhost,IP:127.0.0.1\nextendedKeyUsage=serverAuth,clientAuth\n' > ext
            openssl x509 -req -in $name.csr -CA ca.pem -CAkey ca-key.pem -CAcreateserial -out $name.pem -days 2 -extfile ext
        done
        mkdir client; cp ca.pem client/ca.pem; cp client.pem client/cert.pem; cp client-key.pem client/key.pem"#;
    let made = Command::new("sh").arg("-c").arg(script).current_dir(dir).stderr(Stdio::null()).status();
    made.is_ok_and(|status| status.success())
}

#[test]
fn tcp_with_certificates() {
    if docker_cli().is_none() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    if binary::on_path("openssl").is_none() {
        crate::support::skip::<()>("no openssl on PATH");
        return;
    }
    assert!(certificates(dir.path()), "openssl works");
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let path = |name: &str| dir.path().join(name).into_os_string();
    let address = format!("tcp://127.0.0.1:{port}");
    let host = address.clone();
    let daemon = Daemon::start_with(|options| {
        options.flags = vec!["--tlsverify".into(), "--tlscacert".into(), path("ca.pem")];
        options.flags.extend(["--tlscert".into(), path("server.pem"), "--tlskey".into(), path("server-key.pem")]);
        options.flags.extend(["--host".into(), host.into()]);
    })
    .unwrap();
    let client = dir.path().join("client");
    let with = |program: std::path::PathBuf| {
        Cmd::new(program)
            .env("DOCKER_HOST", &address)
            .env("DOCKER_TLS_VERIFY", "1")
            .env("DOCKER_CERT_PATH", &client)
            .env("HOME", dir.path())
    };
    with(binary::on_path("docker").unwrap()).args(["ps", "-q"]).run().prints("").ok();
    with(binary::drua().unwrap()).args(["ps", "-q"]).run().prints("").ok();
    // Without a certificate, and without TLS at all.
    let plain = Cmd::new(binary::drua().unwrap()).env("DOCKER_HOST", &address).env("HOME", dir.path());
    plain.args(["ps"]).run().exits(1);
    let nobody = dir.path().join("nobody");
    std::fs::create_dir(&nobody).unwrap();
    std::fs::copy(client.join("ca.pem"), nobody.join("ca.pem")).unwrap();
    let anonymous = with(binary::drua().unwrap()).env("DOCKER_CERT_PATH", &nobody);
    anonymous.args(["ps"]).run().exits(1);
    // As a context.
    let spec = format!("host={address},ca={0}/ca.pem,cert={0}/cert.pem,key={0}/key.pem", client.display());
    let context = || Cmd::new(binary::drua().unwrap()).env("HOME", dir.path());
    context().args(["context", "create", "--docker", &spec, "far"]).run().ok();
    context().args(["-c", "far", "ps", "-q"]).run().prints("").ok();
    context().args(["context", "use", "far"]).run().ok();
    context().args(["context", "show"]).run().prints("far\n").ok();
    context().args(["ps", "-q"]).run().prints("").ok();
    // Docker's own CLI reads the same files.
    let docker = Cmd::new(binary::on_path("docker").unwrap()).env("HOME", dir.path());
    docker.args(["--context", "far", "ps", "-q"]).run().prints("").ok();
    context().args(["context", "rm", "far"]).run().exits(1).complains("is in use");
    context().args(["context", "rm", "-f", "far"]).run().ok();
    assert_eq!(daemon.docker(["ps", "-q"]).run().ok(), "");
}

/// `ssh` stands for itself: a script that runs the rest of its command line here.
#[test]
fn hosts_by_ssh() {
    let Some(daemon) = crate::support::busybox() else { return };
    let dir = tempfile::tempdir().unwrap();
    let script = format!(
        "#!/bin/sh\nwhile [ \"$1\" != -- ]; do shift; done\nshift 2\nshift\nDRUA_HOST=unix://{}/run/drua.sock exec {} \"$@\"\n",
        daemon.dir().display(),
        binary::drua().unwrap().display()
    );
    let ssh = dir.path().join("ssh");
    std::fs::write(&ssh, script).unwrap();
    std::fs::set_permissions(&ssh, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let path = format!("{}:{}", dir.path().display(), std::env::var("PATH").unwrap());
    let far = |args: &[&str]| {
        let command = Cmd::new(binary::drua().unwrap()).env("PATH", &path).env("HOME", dir.path());
        command.args(["-H", "ssh://me@there:2222"]).args(args.iter().copied())
    };
    far(&["run", "--rm", "busybox", "echo", "over there"]).run().prints("over there\n").ok();
    far(&["run", "--rm", "-i", "busybox", "cat"]).input("in\n").run().prints("in\n").ok();
    far(&["ps", "-q"]).run().prints("").ok();
}

#[test]
fn completions_for_three_shells() {
    for (shell, mark) in [("bash", "complete -F"), ("zsh", "#compdef drua"), ("fish", "complete -c drua")] {
        let run = drua(&["completion", shell]);
        assert!(run.ok().contains(mark), "{shell}");
    }
}
