//! Named volumes and bind mounts.

use drua_e2e::{Image, Rootfs};
use serde_json::json;

use crate::support::{busybox, daemon, inspect, load};

#[test]
fn volumes_can_be_created_listed_and_removed() {
    let Some(daemon) = daemon() else { return };
    daemon.docker(["volume", "create", "--label", "k=v", "data"]).run().prints("data\n").ok();
    daemon.docker(["volume", "create", "data"]).run().prints("data\n").ok();
    assert_eq!(daemon.docker(["volume", "ls", "-q"]).run().ok(), "data");
    let run = daemon.docker(["volume", "inspect", "-f", "{{.Driver}} {{.Scope}} {{.Labels.k}}", "data"]).run();
    assert_eq!(run.ok(), "local local v");
    daemon.docker(["volume", "rm", "data"]).run().prints("data\n").ok();
    daemon.docker(["volume", "rm", "data"]).run().exits(1).complains("o such volume");
}

#[test]
fn a_volume_outlives_its_containers() {
    let Some(daemon) = busybox() else { return };
    daemon.docker(["run", "--rm", "-v", "data:/data", "busybox", "sh", "-c", "echo kept > /data/file"]).run().ok();
    daemon.docker(["run", "--rm", "-v", "data:/other:ro", "busybox", "cat", "/other/file"]).run().prints("kept\n").ok();
    daemon
        .docker(["run", "--rm", "-v", "data:/d:ro", "busybox", "touch", "/d/x"])
        .run()
        .exits(1)
        .complains("Read-only");
    daemon.docker(["run", "-d", "--name", "user", "-v", "data:/data", "busybox", "sleep", "1000"]).run().ok();
    daemon.docker(["volume", "rm", "data"]).run().exits(1).complains("volume is in use");
    let mount = inspect(&daemon, "user", "{{range .Mounts}}{{.Type}} {{.Name}} {{.Destination}} {{.RW}}{{end}}");
    assert_eq!(mount, "volume data /data true");
}

#[test]
fn an_empty_volume_takes_the_images_files_and_owner() {
    let Some(daemon) = busybox() else { return };
    let rootfs = Rootfs::new().owned_dir("data", 0o750, 1234).file("data/seed", 0o644, "seed\n");
    let volumes = json!({ "/data": {} });
    load(&daemon, &Image::linux("seeded").rootfs(rootfs).config("Volumes", volumes).config("Cmd", json!(["/x"])));
    daemon.docker(["create", "--name", "box", "-v", "data:/data", "seeded"]).run().ok();
    drop(daemon.docker(["start", "box"]).run());
    let look = ["run", "--rm", "-v", "data:/v", "busybox", "sh", "-c", "stat -c %u:%a /v; cat /v/seed"];
    daemon.docker(look).run().prints("1234:750\nseed\n").ok();
}

#[test]
fn anonymous_volumes_go_with_rm() {
    let Some(daemon) = busybox() else { return };
    daemon.docker(["run", "--rm", "-v", "/scratch", "busybox", "touch", "/scratch/x"]).run().ok();
    assert_eq!(daemon.docker(["volume", "ls", "-q"]).run().ok(), "");
}

#[test]
fn bind_mounts_share_the_hosts_directory() {
    let Some(daemon) = busybox() else { return };
    let dir = daemon.dir().join("shared");
    let bind = format!("{}:/mnt", dir.display());
    // `-v` creates a source that is missing, `--mount` does not.
    daemon.docker(["run", "--rm", "-v", &bind, "busybox", "touch", "/mnt/made"]).run().ok();
    assert!(dir.join("made").exists());
    let missing = format!("type=bind,source={},target=/mnt", daemon.dir().join("missing").display());
    let run = daemon.docker(["run", "--rm", "--mount", &missing, "busybox", "true"]).run();
    run.exits(125).complains("bind source path does not exist");
    daemon.docker(["run", "--rm", "-v", "relative/path:/mnt", "busybox", "true"]).run().exits(125);
}

#[test]
fn tmpfs_mounts_are_empty_and_writable() {
    let Some(daemon) = busybox() else { return };
    let script = "touch /scratch/x && grep -c ' /scratch tmpfs ' /proc/mounts";
    daemon.docker(["run", "--rm", "--tmpfs", "/scratch", "busybox", "sh", "-c", script]).run().prints("1\n").ok();
}
