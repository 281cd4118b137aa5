//! What goes wrong around a daemon: another one, a bad socket, a full disk, a hungry client.

use std::process::Command;

use drua_e2e::{Cmd, Daemon, Image, Options, Rootfs, binary};

use crate::support::{daemon, docker_cli, load_busybox};

/// Runs a second daemon with these options to its end, which must be an error.
#[track_caller]
fn fails_to_start(options: &Options, complaint: &str) {
    let command = options.command(&binary::drua().unwrap());
    let run = Cmd::new(command.get_program()).args(command.get_args()).run();
    assert!(run.code().is_some_and(|code| code != 0), "{run}");
    run.complains(complaint);
}

#[test]
fn a_second_daemon_says_that_one_runs() {
    let Some(daemon) = daemon() else { return };
    fails_to_start(&daemon.options, "another drua daemon");
    daemon.docker(["ps"]).run().ok();
}

#[test]
fn a_socket_that_cannot_be_made_is_named() {
    let root = tempfile::tempdir().unwrap();
    let options = Options {
        root: root.path().to_owned(),
        prefix: "e99".to_owned(),
        pool: "10.99.0.0/16".to_owned(),
        ..Options::default()
    };
    fs_err::write(root.path().join("run"), "a file where a directory is wanted").unwrap();
    fails_to_start(&options, "run");
}

#[test]
fn a_user_without_rights_is_told_so() {
    let Some(daemon) = daemon() else { return };
    // The binary's directory may be closed to others, so the user gets a copy.
    let program = daemon.dir().join("drua-copy");
    fs_err::copy(binary::drua().unwrap(), &program).unwrap();
    let open = |path: &std::path::Path| Command::new("chmod").arg("755").arg(path).status().unwrap();
    open(daemon.dir());
    open(&program);
    let run = Cmd::new("setpriv")
        .args(["--reuid", "65534", "--regid", "65534", "--clear-groups"])
        .arg(&program)
        .arg("ps")
        .env("DRUA_HOST", daemon.options.host())
        .run();
    assert!(run.code().is_some_and(|code| code != 0), "{run}");
    assert!(run.stderr.to_lowercase().contains("permission denied"), "{run}");
}

#[test]
fn a_client_without_a_daemon_is_told_so() {
    let root = tempfile::tempdir().unwrap();
    let host = format!("unix://{}", root.path().join("none.sock").display());
    let run = Cmd::new(binary::drua().unwrap()).arg("ps").env("DOCKER_HOST", host).env("HOME", root.path()).run();
    assert!(run.code().is_some_and(|code| code != 0), "{run}");
    run.complains("none.sock");
}

#[test]
fn a_full_disk_is_an_error_and_nothing_is_lost() {
    if docker_cli().is_none() {
        return;
    }
    let mounted = |options: &mut Options| {
        let data = options.root.join("data");
        fs_err::create_dir_all(&data).unwrap();
        let mount = ["-t", "tmpfs", "-o", "size=24m", "drua-e2e"];
        assert!(Command::new("mount").args(mount).arg(data).status().unwrap().success());
    };
    let daemon = Daemon::start_with(mounted).unwrap();
    load_busybox(&daemon);
    // Not compressible, whatever the store does: a xorshift sequence.
    let mut state = 0x9E37_79B9_7F4A_7C15_u64;
    let noise: Vec<u8> = std::iter::repeat_with(|| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    })
    .take(4 << 20)
    .flatten()
    .collect();
    let big = Image::linux("big:1").rootfs(Rootfs::new().file("big", 0o644, noise));
    daemon.docker(["load"]).input(big.to_bytes()).run().exits(1).complains("o space left on device");
    assert_eq!(daemon.docker(["images", "-q", "big"]).run().ok(), "");
    daemon.docker(["run", "--rm", "busybox", "echo", "alive"]).run().prints("alive\n").exits(0);
}

#[test]
fn a_client_that_hangs_up_mid_request_is_no_harm() {
    use std::{io::Write as _, os::unix::net::UnixStream};
    let Some(daemon) = daemon() else { return };
    for garbage in [
        "POST /v1.50/images/load HTTP/1.1\r\nHost: d\r\nContent-Length: 100000\r\n\r\nhalf",
        "\0\0\0\0nonsense\r\n\r\n",
    ] {
        let mut stream = UnixStream::connect(daemon.options.socket()).unwrap();
        stream.write_all(garbage.as_bytes()).unwrap();
    }
    daemon.docker(["ps"]).run().ok();
}
