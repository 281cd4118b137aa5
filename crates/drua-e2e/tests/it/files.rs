//! Files of containers: cp, diff, export, commit.

use drua_e2e::Daemon;

use crate::support::{busybox, inspect};

/// A path in the test's directory with this content.
fn host_file(daemon: &Daemon, name: &str, content: &str) -> String {
    let path = daemon.dir().join(name);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(&path, content).unwrap();
    path.to_string_lossy().into_owned()
}

/// Two containers of the same make, one running and one that never ran.
fn pair(daemon: &Daemon, options: &[&str]) -> [&'static str; 2] {
    let with = |start: &[&'static str], end: &[&'static str]| {
        start.iter().copied().chain(options.iter().copied()).chain(end.iter().copied()).collect::<Vec<_>>().join("\n")
    };
    let run = with(&["run", "-d", "--name", "live"], &["busybox", "sleep", "1000"]);
    daemon.docker(run.lines()).run().ok();
    let create = with(&["create", "--name", "still"], &["busybox", "sleep", "1000"]);
    daemon.docker(create.lines()).run().ok();
    ["live", "still"]
}

#[test]
fn cp_goes_both_ways_running_or_not() {
    let Some(daemon) = busybox() else { return };
    let one = host_file(&daemon, "tree/one", "1\n");
    host_file(&daemon, "tree/sub/two", "2\n");
    let tree = daemon.dir().join("tree").to_string_lossy().into_owned();
    for name in pair(&daemon, &["-v", "/vol"]) {
        for (source, target) in [
            (one.as_str(), "/tmp/renamed"),
            (&one, "/vol/"),
            (&tree, "/srv"),
            (&format!("{tree}/."), "/opt2"),
            (&tree, "/vol"),
        ] {
            daemon.docker(["cp", source, &format!("{name}:{target}")]).run().ok();
        }
        for (path, content) in [
            ("/tmp/renamed", "1\n"),
            ("/vol/one", "1\n"),
            ("/srv/sub/two", "2\n"),
            ("/opt2/sub/two", "2\n"),
            ("/vol/tree/one", "1\n"),
        ] {
            let back = daemon.dir().join("back");
            daemon.docker(["cp", &format!("{name}:{path}"), &back.to_string_lossy()]).run().ok();
            assert_eq!(std::fs::read_to_string(&back).unwrap(), content, "{name}:{path}");
            std::fs::remove_file(back).unwrap();
        }
        let copied = daemon.dir().join("copied");
        daemon.docker(["cp", &format!("{name}:/srv/."), &copied.to_string_lossy()]).run().ok();
        assert_eq!(std::fs::read_to_string(copied.join("sub/two")).unwrap(), "2\n");
        std::fs::remove_dir_all(copied).unwrap();
        let missing = daemon.docker(["cp", &format!("{name}:/nope"), "-"]).run();
        missing.exits(1).complains("Could not find the file /nope in container");
        daemon.docker(["cp", &one, &format!("{name}:/nope/deep/")]).run().exits(1);
    }
    // What was copied into the one that did not run is there when it runs.
    daemon.docker(["start", "still"]).run().ok();
    daemon.docker(["cp", "still:/vol/tree/sub/two", &daemon.dir().join("two").to_string_lossy()]).run().ok();
    let whole = daemon.docker(["cp", "live:/", "-"]).run();
    assert!(whole.stdout.len() > 500_000, "the whole root");
}

#[test]
fn links_are_followed_inside_the_container_only() {
    let Some(daemon) = busybox() else { return };
    let secret = host_file(&daemon, "secret", "of the host");
    let script = format!(
        "mkdir -p /real /var/x; echo in > /real/file; ln -s /real /dir; ln -s /real/file /file; ln -s {secret} /escape; \
         ln -s ../../../../../../.. /up; touch /ready; sleep 1000"
    );
    daemon.docker(["run", "-d", "--name", "box", "busybox", "sh", "-c", &script]).run().ok();
    drua_e2e::wait::until("the script", crate::support::SOON, || {
        daemon.docker(["cp", "box:/ready", "-"]).run().code() == Some(0)
    });
    let out = daemon.dir().join("out");
    let copy = |options: &[&str], path: &str| {
        let (from, to) = (format!("box:{path}"), out.to_string_lossy().into_owned());
        let args = ["cp"].iter().copied().chain(options.iter().copied()).chain([from.as_str(), to.as_str()]);
        daemon.docker(args.collect::<Vec<_>>()).run()
    };
    for stop in [false, true] {
        if stop {
            daemon.docker(["stop", "-t", "0", "box"]).run().ok();
        }
        copy(&["-L"], "/file").ok();
        assert_eq!(std::fs::read_to_string(&out).unwrap(), "in\n");
        std::fs::remove_file(&out).unwrap();
        copy(&[], "/file").ok();
        assert_eq!(std::fs::read_link(&out).unwrap().to_string_lossy(), "/real/file");
        std::fs::remove_file(&out).unwrap();
        copy(&[], "/dir/file").ok();
        std::fs::remove_file(&out).unwrap();
        copy(&["-L"], "/escape").exits(1);
        copy(&[], &format!("/up{secret}")).exits(1).complains("Could not find the file");
        // Written through a link: into the container.
        let one = host_file(&daemon, "one", "1\n");
        daemon.docker(["cp", &one, "box:/dir/"]).run().ok();
        copy(&[], "/real/one").ok();
        std::fs::remove_file(&out).unwrap();
    }
    assert_eq!(std::fs::read_to_string(&secret).unwrap(), "of the host");
}

/// A container that swaps a directory for a link to elsewhere all the time gets nothing of the host's.
#[test]
fn a_racing_container_stays_inside() {
    let Some(daemon) = busybox() else { return };
    let victim = daemon.dir().join("victim");
    std::fs::create_dir(&victim).unwrap();
    let script = format!(
        "mkdir -p /a /b; ln -s {} /c; touch /ready; while :; do mv /a /t; mv /c /a; mv /a /c; mv /t /a; done",
        victim.display()
    );
    daemon.docker(["run", "-d", "--name", "box", "busybox", "sh", "-c", &script]).run().ok();
    let tree = daemon.dir().join("tree");
    for index in 0..40 {
        host_file(&daemon, &format!("tree/{index}/file"), "x");
    }
    for _ in 0..10 {
        // It may fail: the directory is there half of the time.
        drop(daemon.docker(["cp", &format!("{}/.", tree.display()), "box:/a/"]).run());
    }
    assert_eq!(std::fs::read_dir(&victim).unwrap().count(), 0);
}

#[test]
fn what_is_read_only_is_not_written() {
    let Some(daemon) = busybox() else { return };
    let one = host_file(&daemon, "one", "1\n");
    daemon.docker(["volume", "create", "data"]).run().ok();
    for name in pair(&daemon, &["--read-only", "-v", "data:/ro:ro", "-v", "data:/rw", "--tmpfs", "/scratch"]) {
        let cp = |target: &str| daemon.docker(["cp", &one, &format!("{name}:{target}")]).run();
        cp("/ro/").exits(1).complains("mounted volume is marked read-only");
        cp("/tmp/").exits(1).complains("container rootfs is marked read-only");
        cp("/rw/").ok();
        cp("/proc/sys/kernel/").exits(1);
        cp("/sys/").exits(1);
    }
    daemon.docker(["cp", &one, "live:/scratch/"]).run().ok();
    daemon.docker(["cp", "live:/scratch/one", "-"]).run().ok();
    daemon.docker(["cp", "live:/proc/self/environ", "-"]).run().exits(1);
}

#[test]
fn the_archive_api_is_dockers() {
    let Some(daemon) = busybox() else { return };
    let one = host_file(&daemon, "one", "1\n");
    daemon.docker(["create", "--name", "box", "-u", "1234:5678", "busybox", "true"]).run().ok();
    daemon.docker(["cp", &one, "box:/tmp/plain"]).run().ok();
    let get = |method: &str, query: &str| {
        daemon.api(method, &format!("/containers/box/archive?{query}"), "").expect("the daemon answers")
    };
    let head = get("HEAD", "path=/bin/sh");
    assert_eq!(head.status, 200);
    assert!(head.headers.iter().any(|line| line.to_lowercase().starts_with("x-docker-container-path-stat: ")));
    assert_eq!(get("HEAD", "path=/nope").status, 404);
    assert_eq!(get("GET", "path=").status, 400);
    assert_eq!(get("PUT", "path=/bin/sh").status, 400);
    assert_eq!(get("PUT", "path=/nope").status, 404);
    assert_eq!(get("PUT", "path=/tmp").status, 200, "an empty body is an empty archive");
}

#[test]
fn diff_shows_what_changed() {
    let Some(daemon) = busybox() else { return };
    let script = "rm /etc/passwd; echo x >> /etc/group; mkdir /new; touch /new/file; chmod 711 /root";
    daemon.docker(["run", "--name", "box", "busybox", "sh", "-c", script]).run().ok();
    let run = daemon.docker(["diff", "box"]).run();
    assert_eq!(run.ok(), "C /etc\nC /etc/group\nD /etc/passwd\nA /new\nA /new/file\nC /root");
    daemon.docker(["run", "--name", "same", "busybox", "true"]).run().ok();
    assert_eq!(daemon.docker(["diff", "same"]).run().ok(), "");
    daemon.docker(["diff", "nobody"]).run().exits(1).complains("No such container");
}

#[test]
fn export_is_the_root_without_volumes() {
    let Some(daemon) = busybox() else { return };
    for name in pair(&daemon, &["-v", "/vol"]) {
        daemon.docker(["cp", &host_file(&daemon, "one", "1\n"), &format!("{name}:/vol/in-volume")]).run().ok();
        daemon.docker(["cp", &host_file(&daemon, "two", "2\n"), &format!("{name}:/in-root")]).run().ok();
        let file = daemon.dir().join("export.tar");
        daemon.docker(["export", "-o", &file.to_string_lossy(), name]).run().ok();
        let list = std::process::Command::new("tar").arg("-tf").arg(&file).output().unwrap();
        let names = String::from_utf8_lossy(&list.stdout).into_owned();
        assert!(names.lines().any(|line| line == "in-root") && names.lines().any(|line| line == "bin/sh"), "{names}");
        assert!(!names.contains("in-volume"), "{names}");
        assert!(!names.lines().any(|line| line.starts_with("proc/") && line.len() > 5), "{names}");
    }
    let file = daemon.dir().join("export.tar");
    daemon.docker(["import", &file.to_string_lossy(), "again"]).run().ok();
    daemon.docker(["run", "--rm", "again", "cat", "/in-root"]).run().prints("2\n").ok();
}

#[test]
fn commit_makes_an_image() {
    let Some(daemon) = busybox() else { return };
    let script = "echo kept > /kept; rm /etc/group; mkdir -p /data; touch /ready; sleep 1000";
    daemon.docker(["run", "-d", "--name", "box", "-e", "A=1", "busybox", "sh", "-c", script]).run().ok();
    drua_e2e::wait::until("the script", crate::support::SOON, || {
        daemon.docker(["cp", "box:/ready", "-"]).run().code() == Some(0)
    });
    let run = daemon
        .docker([
            "commit",
            "-a",
            "me",
            "-m",
            "why",
            "-c",
            "CMD [\"cat\", \"/kept\"]",
            "-c",
            "LABEL k=v",
            "box",
            "made:1",
        ])
        .run();
    assert!(run.ok().starts_with("sha256:"));
    assert_eq!(inspect(&daemon, "box", "{{.State.Status}}"), "running");
    let format = "{{.Author}} {{.Comment}} {{.Config.Labels.k}} {{json .Config.Cmd}} {{len .RootFS.Layers}}";
    assert_eq!(inspect(&daemon, "made:1", format), "me why v [\"cat\",\"/kept\"] 2");
    daemon.docker(["run", "--rm", "made:1"]).run().prints("kept\n").ok();
    daemon.docker(["run", "--rm", "made:1", "sh", "-c", "echo $A; ls /etc/group"]).run().prints("1\n").exits(1);
    daemon.docker(["commit", "nobody", "x"]).run().exits(1).complains("No such container");
    daemon.docker(["commit", "-c", "NOPE 1", "box"]).run().exits(1).complains("is not a valid change command");
}
