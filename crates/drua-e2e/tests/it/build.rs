//! Building images: with the docker CLI that has no buildx, with docker-py, with `drua build`.

use std::path::{Path, PathBuf};

use drua_e2e::{Cmd, Daemon, guest, wait};
use serde_json::Value;

use crate::support::{SOON, busybox, python_client};

/// Writes a context; names with slashes make directories.
fn context(daemon: &Daemon, name: &str, files: &[(&str, &str)]) -> PathBuf {
    let dir = daemon.dir().join(name);
    for (path, content) in files {
        let path = dir.join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content).unwrap();
    }
    dir
}

/// `docker build` as it is where no buildx is installed.
fn docker_build<'a>(daemon: &Daemon, dir: &'a Path, args: &[&'a str]) -> Cmd {
    let all = ["build"].into_iter().chain(args.iter().copied()).chain([dir.to_str().unwrap()]);
    daemon.docker(all).env("DOCKER_BUILDKIT", "0")
}

fn drua_build<'a>(daemon: &Daemon, dir: &'a Path, args: &[&'a str]) -> Cmd {
    daemon.drua(["build"].into_iter().chain(args.iter().copied()).chain([dir.to_str().unwrap()]))
}

fn run(daemon: &Daemon, args: &[&str]) -> String {
    daemon.docker(["run", "--rm"].into_iter().chain(args.iter().copied())).run().ok().to_owned()
}

fn inspect(daemon: &Daemon, image: &str) -> Value {
    let text = daemon.docker(["image", "inspect", image]).run().ok().to_owned();
    serde_json::from_str::<Value>(&text).unwrap()[0].take()
}

#[test]
fn the_docker_cli_builds_with_modern_language() {
    let Some(daemon) = busybox() else { return };
    let dockerfile = r#"# syntax=docker/dockerfile:1
ARG BASE=busybox
FROM $BASE AS tools
ARG WHO=nobody
ENV GREETING="hello $WHO"
WORKDIR /work/deep
RUN echo "$GREETING from $WHO" > greeting && rm /bin/ash
RUN <<EOF
set -e
echo one > /lines
echo two >> /lines
EOF
COPY <<-"CONF" /etc/app.conf
	raw $HOME
	CONF
FROM tools AS unused
RUN false
FROM busybox
COPY --from=tools /work /lines /copied/
COPY --chown=12:34 --chmod=u=rw,go= src/ /src/
COPY --from=tools --link /etc/app.conf /etc/linked.conf
ENV A=1 B="two words"
EXPOSE 80 53/udp
LABEL org.example="yes"
VOLUME /data
USER 12
STOPSIGNAL SIGINT
HEALTHCHECK --interval=5s CMD ["true"]
ENTRYPOINT ["/bin/sh", "-c"]
CMD ["cat /copied/deep/greeting /copied/lines /etc/linked.conf; ls -ln /src"]
"#;
    let files =
        [("Dockerfile", dockerfile), ("src/a.txt", "a\n"), ("src/skip.md", "no\n"), (".dockerignore", "**/*.md\n")];
    let dir = context(&daemon, "modern", &files);
    let built = docker_build(&daemon, &dir, &["-t", "modern:1", "--build-arg", "WHO=drua"]).run();
    assert!(built.ok().contains("Successfully tagged modern:1"), "{built}");
    let output = run(&daemon, &["modern:1"]);
    assert!(output.starts_with("hello drua from drua\none\ntwo\nraw $HOME\n"), "{output}");
    assert!(output.contains("-rw-------    1 12       34"), "{output}");
    assert!(!output.contains("skip.md"), "{output}");
    let image = inspect(&daemon, "modern:1");
    let config = &image["Config"];
    assert_eq!(config["User"], "12");
    assert_eq!(config["StopSignal"], "SIGINT");
    assert_eq!(config["Labels"]["org.example"], "yes");
    assert_eq!(config["Entrypoint"], serde_json::json!(["/bin/sh", "-c"]));
    assert!(config["ExposedPorts"]["53/udp"].is_object() && config["Volumes"]["/data"].is_object(), "{config}");
    assert!(config["Env"].as_array().unwrap().contains(&"B=two words".into()), "{config}");
    let history = daemon.docker(["history", "--no-trunc", "--format", "{{.CreatedBy}}", "modern:1"]).run();
    let lines: Vec<&str> = history.ok().lines().collect();
    assert_eq!(lines[0], r#"CMD ["cat /copied/deep/greeting /copied/lines /etc/linked.conf; ls -ln /src"]"#);
    assert!(lines.contains(&"COPY --chown=12:34 --chmod=u=rw,go= src/ /src/ # buildkit"), "{history}");
    // What was removed in an earlier stage is still in the base.
    assert_eq!(run(&daemon, &["--entrypoint", "/bin/ls", "modern:1", "/bin/ash"]), "/bin/ash");
}

#[test]
fn steps_come_from_the_cache_until_something_changes() {
    let Some(mut daemon) = busybox() else { return };
    let dockerfile = "FROM busybox\nRUN cat /proc/sys/kernel/random/uuid > /first\nARG X=1\nCOPY a /a\nRUN cat /proc/sys/kernel/random/uuid > /second\nENV N=1\n";
    let dir = context(&daemon, "cached", &[("Dockerfile", dockerfile), ("a", "1"), ("b", "1")]);
    let id =
        |daemon: &Daemon, args: &[&str]| docker_build(daemon, &dir, &[&["-q"], args].concat()).run().ok().to_owned();
    let cached = |daemon: &Daemon| docker_build(daemon, &dir, &[]).run().ok().matches("Using cache").count();
    let first = id(&daemon, &[]);
    assert_eq!(id(&daemon, &[]), first, "nothing changed");
    assert_eq!(cached(&daemon), 3);
    // Times do not count, and neither do files that are not copied.
    std::fs::File::open(dir.join("a")).unwrap().set_modified(std::time::SystemTime::UNIX_EPOCH).unwrap();
    std::fs::write(dir.join("b"), "2").unwrap();
    assert_eq!(cached(&daemon), 3);
    daemon.kill();
    daemon.restart().unwrap();
    assert_eq!(cached(&daemon), 3, "the cache survives kill -9");
    assert_eq!(id(&daemon, &["--build-arg", "UNKNOWN=1"]), first);
    assert_ne!(id(&daemon, &["--build-arg", "X=2"]), first);
    std::fs::write(dir.join("a"), "2").unwrap();
    assert_eq!(cached(&daemon), 1);
    std::fs::write(dir.join("a"), "1").unwrap();
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::set_permissions(dir.join("a"), std::fs::Permissions::from_mode(0o600)).unwrap();
    assert_eq!(cached(&daemon), 1, "the mode counts");
    assert_ne!(id(&daemon, &["--no-cache"]), first);
    let deleted = daemon.docker(["builder", "prune", "-af"]).env("DOCKER_BUILDKIT", "0").run();
    assert!(deleted.ok().contains("Total reclaimed space"), "{deleted}");
    // What an image needs stays where it is.
    let first_id = first.trim_start_matches("sha256:");
    assert_eq!(run(&daemon, &[first_id, "wc", "-c", "/first"]), "37 /first");
    assert_eq!(cached(&daemon), 0);
}

#[test]
fn failures_name_the_line_and_keep_the_exit_code() {
    let Some(daemon) = busybox() else { return };
    let dir = context(
        &daemon,
        "failing",
        &[("Dockerfile", "FROM busybox\nRUN true\nRUN echo it broke; \\\n  exit 7\nRUN never\n")],
    );
    let failed = docker_build(&daemon, &dir, &[]).run();
    failed.exits(7).complains("The command '/bin/sh -c echo it broke;   exit 7' returned a non-zero code: 7");
    let failed = drua_build(&daemon, &dir, &[]).run();
    failed.exits(1).complains("   3 | >>> RUN echo it broke; \\\n   4 | >>>   exit 7").complains("it broke");
    for (name, dockerfile, expected) in [
        ("typo", "FROM busybox\nRNU x\n", "unknown instruction: RNU (did you mean RUN?)"),
        ("missing-file", "FROM busybox\nCOPY nothing /\n", "\"/nothing\": not found"),
        ("outside", "FROM busybox\nCOPY ../../etc/passwd /\n", "\"/etc/passwd\": not found"),
        ("link", "FROM busybox\nCOPY link/passwd /\n", "not found"),
        (
            "cycle",
            "FROM busybox AS a\nCOPY --from=b / /\nFROM busybox AS b\nCOPY --from=a / /\n",
            "circular dependency",
        ),
        ("stage", "FROM busybox\nCOPY --from=7 / /\n", "invalid from flag value 7"),
        ("heredoc", "FROM busybox\nRUN <<EOF\n", "unterminated heredoc"),
        ("image", "FROM nowhere.invalid/none:1\n", "failed to resolve image"),
        ("required", "FROM busybox\nRUN --mount=type=secret,id=x,required true\n", "secret x: not found"),
        ("insecure", "FROM busybox\nRUN --security=insecure true\n", "not allowed"),
        ("program", "FROM busybox\nRUN [\"/no/such\"]\n", "no such file or directory"),
    ] {
        let dir = context(&daemon, name, &[("Dockerfile", dockerfile)]);
        let _ = std::os::unix::fs::symlink("/etc", dir.join("link"));
        docker_build(&daemon, &dir, &[]).run().exits(1).complains(expected);
    }
    docker_build(&daemon, &dir, &["--target", "nowhere"])
        .run()
        .exits(1)
        .complains("target stage \"nowhere\" could not be found");
    docker_build(&daemon, &dir, &["-f", "Nofile"]).run().exits(1);
    // Nothing is left running or lying about.
    assert!(daemon.docker(["ps", "-aq"]).run().ok().is_empty());
}

#[test]
fn mounts_of_run() {
    let Some(daemon) = busybox() else { return };
    let dockerfile = r#"FROM busybox AS other
RUN mkdir /out && echo from-other > /out/file
FROM busybox
RUN --mount=type=secret,id=token --mount=type=secret,id=env,env=TOKEN_ENV test "$(cat /run/secrets/token | rev)" = eulav-terc3s && test "$(echo $TOKEN_ENV | rev)" = eulav-terc3s
RUN --mount=type=cache,target=/cache,id=shared echo run >> /cache/log && cp /cache/log /log
RUN --mount=type=bind,from=other,source=/out,target=/bound --mount=type=tmpfs,target=/scratch cat /bound/file > /bound-copy && touch /scratch/x && ! touch /bound/no
RUN --mount=target=/ctx cat /ctx/a.txt > /from-context
RUN --network=none test ! -e /sys/class/net/eth0
ARG AGAIN
RUN --mount=type=cache,target=/cache,id=shared echo $AGAIN >> /cache/log && cp /cache/log /log2
"#;
    let dir = context(&daemon, "mounts", &[("Dockerfile", dockerfile), ("a.txt", "in context\n")]);
    let secret = daemon.dir().join("secret");
    std::fs::write(&secret, "s3cret-value").unwrap();
    let (one, two) = (format!("id=token,src={}", secret.display()), format!("id=env,src={}", secret.display()));
    let args = ["-t", "mounts:1", "--secret", &one, "--secret", &two];
    drua_build(&daemon, &dir, &args).run().ok();
    let shown = run(
        &daemon,
        &["mounts:1", "sh", "-c", "cat /log /bound-copy /from-context /log2; ls -a / /run /cache 2>&1 || true"],
    );
    assert!(shown.starts_with("run\nfrom-other\nin context\nrun\n\n"), "{shown}");
    for gone in ["ctx", "bound\n", "scratch", "secrets", ".dockerenv"] {
        assert!(!shown.contains(gone), "{gone} is in the image: {shown}");
    }
    drua_build(&daemon, &dir, &[&args[..], &["--build-arg", "AGAIN=second"]].concat()).run().ok();
    assert_eq!(run(&daemon, &["mounts:1", "tail", "-1", "/log2"]), "second", "the cache mount is the same");
    let archive = daemon.docker(["save", "mounts:1"]).run();
    let history = daemon.docker(["history", "--no-trunc", "mounts:1"]).run();
    for text in [&archive.stdout, &history.stdout, &daemon.log()] {
        assert!(!text.contains("s3cret-value"), "a secret is in an image, its history or the log");
    }
}

#[test]
fn layers_say_what_was_removed_and_keep_owners_and_links() {
    let Some(daemon) = busybox() else { return };
    let dockerfile = r#"FROM busybox
RUN mkdir -p /d/sub && echo 1 > /d/sub/f && echo 2 > /d/g && ln -s g /d/l && ln /d/g /d/h && chown 5:6 /d/g && chmod 4755 /d/g && mkfifo /d/p
RUN rm -r /d/sub && mkdir /d/sub && echo 3 > /d/sub/new
RUN rm /d/l
"#;
    let dir = context(&daemon, "layers", &[("Dockerfile", dockerfile)]);
    docker_build(&daemon, &dir, &["-t", "layers:1"]).run().ok();
    let look = ["layers:1", "sh", "-c", "ls /d /d/sub; stat -c '%u:%g %a %h' /d/g"];
    let expected = "/d:\ng\nh\np\nsub\n\n/d/sub:\nnew\n5:6 4755 2";
    assert_eq!(run(&daemon, &look), expected);
    // The blobs say the same as the directories: through an archive and back.
    let archive = daemon.dir().join("layers.tar");
    daemon.docker(["save", "-o", archive.to_str().unwrap(), "layers:1"]).run().ok();
    daemon.docker(["rmi", "layers:1"]).run().ok();
    daemon.docker(["builder", "prune", "-af"]).env("DOCKER_BUILDKIT", "0").run().ok();
    daemon.docker(["load", "-i", archive.to_str().unwrap()]).run().ok();
    assert_eq!(run(&daemon, &look), expected);
}

#[test]
fn add_unpacks_archives_and_onbuild_waits_for_its_turn() {
    let Some(daemon) = busybox() else { return };
    let base = "FROM busybox\nONBUILD COPY app.txt /app.txt\nONBUILD RUN cat /app.txt > /built\n";
    let dir = context(&daemon, "onbuild", &[("Dockerfile", base)]);
    docker_build(&daemon, &dir, &["-t", "base:onbuild"]).run().ok();
    let child = "FROM base:onbuild\nADD files.tar.gz /unpacked/\nADD --unpack=false files.tar.gz /kept.tgz\nCOPY --parents deep/./er/x.txt /p/\nCOPY --exclude=**/*.log deep /e/\n";
    let files = [("Dockerfile", child), ("app.txt", "trigger\n"), ("deep/er/x.txt", "x\n"), ("deep/er/y.log", "y\n")];
    let dir = context(&daemon, "child", &files);
    let tar = drua_e2e::Rootfs::new().file("in/side", 0o640, "inside\n").finish();
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    std::io::Write::write_all(&mut gzip, &tar).unwrap();
    std::fs::write(dir.join("files.tar.gz"), gzip.finish().unwrap()).unwrap();
    docker_build(&daemon, &dir, &["-t", "child:1"]).run().ok();
    let look = [
        "child:1",
        "sh",
        "-c",
        "cat /built /unpacked/in/side /p/er/x.txt; stat -c %a /unpacked/in/side; test -s /kept.tgz; find /e -type f",
    ];
    assert_eq!(run(&daemon, &look), "trigger\ninside\nx\n640\n/e/er/x.txt");
    assert!(inspect(&daemon, "child:1")["Config"]["OnBuild"].is_null());
}

#[test]
fn drua_build_has_outputs_contexts_and_metadata() {
    let Some(daemon) = busybox() else { return };
    let dockerfile = "FROM busybox AS build\nRUN echo made > /made\nFROM scratch AS files\nCOPY --from=build /made /out/\nCOPY --from=extra /x /out/\nFROM busybox\nCOPY --from=files / /\n";
    let dir = context(&daemon, "outputs", &[("Dockerfile", dockerfile)]);
    let extra = context(&daemon, "extra", &[("x", "from extra\n")]);
    let named = format!("extra={}", extra.display());
    let out = daemon.dir().join("out");
    let output = format!("type=local,dest={}", out.display());
    drua_build(&daemon, &dir, &["--target", "files", "--build-context", &named, "-o", &output]).run().ok();
    assert_eq!(std::fs::read_to_string(out.join("out/made")).unwrap(), "made\n");
    assert_eq!(std::fs::read_to_string(out.join("out/x")).unwrap(), "from extra\n");
    assert!(!daemon.docker(["images", "-aq"]).run().ok().lines().any(|id| id.is_empty()));
    let (iid, meta) = (daemon.dir().join("iid"), daemon.dir().join("meta"));
    let args = ["-q", "-t", "a:1", "-t", "b:2", "--label", "l=v", "--build-context", &named];
    let files = ["--iidfile", iid.to_str().unwrap(), "--metadata-file", meta.to_str().unwrap()];
    let built = drua_build(&daemon, &dir, &[&args[..], &files[..]].concat()).run();
    assert_eq!(std::fs::read_to_string(&iid).unwrap(), built.ok());
    let meta: Value = serde_json::from_slice(&std::fs::read(&meta).unwrap()).unwrap();
    assert_eq!(meta["containerimage.digest"], built.ok());
    assert_eq!(inspect(&daemon, "b:2")["Config"]["Labels"]["l"], "v");
    // A Dockerfile on standard input, and events for machines.
    let piped = daemon.drua(["build", "-q", "-"]).input("FROM busybox\nRUN echo piped\n").run();
    assert!(piped.ok().starts_with("sha256:"), "{piped}");
    let raw = drua_build(&daemon, &dir, &["--progress", "rawjson", "--build-context", &named]).run();
    let events = raw.stderr.lines().filter(|line| serde_json::from_str::<Value>(line).is_ok()).count();
    assert!(events > 5, "{raw}");
}

#[test]
fn two_builds_have_one_digest_with_source_date_epoch() {
    let Some(daemon) = busybox() else { return };
    let dockerfile = "FROM busybox\nWORKDIR /w\nRUN date > /dev/null && echo x > /w/f\nCOPY a /w/\nENV A=1\n";
    let dir = context(&daemon, "repro", &[("Dockerfile", dockerfile), ("a", "a")]);
    let args = ["-q", "--no-cache", "--build-arg", "SOURCE_DATE_EPOCH=1700000000", "--provenance=mode=max"];
    let id = || drua_build(&daemon, &dir, &args).run().ok().to_owned();
    let first = id();
    std::fs::File::open(dir.join("a")).unwrap().set_modified(std::time::SystemTime::now()).unwrap();
    assert_eq!(id(), first);
    assert_eq!(inspect(&daemon, &first)["Created"], "2023-11-14T22:13:20Z");
}

#[test]
fn one_dockerfile_for_linux_and_wasm_under_one_tag() {
    let Some(daemon) = busybox() else { return };
    let dockerfile = "FROM --platform=$BUILDPLATFORM busybox AS build\nARG TARGETARCH\nCOPY . /in\nRUN mkdir /app && if [ $TARGETARCH = wasm ]; then cp /in/app.wasm /app/app; else printf '#!/bin/sh\\necho Hello from Linux\\n' > /app/app && chmod +x /app/app; fi\nFROM busybox AS run-amd64\nFROM busybox AS run-arm64\nFROM scratch AS run-wasm\nFROM run-$TARGETARCH\nLABEL size=small\nCOPY --from=build /app/app /app\nENTRYPOINT [\"/app\"]\n";
    let dir = context(&daemon, "both", &[("Dockerfile", dockerfile)]);
    std::fs::write(dir.join("app.wasm"), guest::module(guest::HELLO)).unwrap();
    let host = if cfg!(target_arch = "aarch64") { "linux/arm64" } else { "linux/amd64" };
    let platforms = format!("{host},wasi/wasm");
    drua_build(&daemon, &dir, &["-t", "both:1", "--platform", &platforms]).run().ok();
    assert_eq!(run(&daemon, &["--platform", host, "both:1"]), "Hello from Linux");
    assert_eq!(run(&daemon, &["--platform", "wasi/wasm", "both:1"]), "Hello from Wasm");
    let bad = context(&daemon, "bad-wasm", &[("Dockerfile", "FROM scratch\nRUN echo\n")]);
    let failed = drua_build(&daemon, &bad, &["--platform", "wasi/wasm"]).run();
    failed.exits(1).complains("cannot run commands for wasi/wasm");
}

#[test]
fn a_client_that_leaves_ends_its_build_and_a_killed_daemon_keeps_what_was_done() {
    let Some(mut daemon) = busybox() else { return };
    // Nobody else's.
    let sleep = format!("sleep {}", 100_000 + std::process::id());
    let dockerfile =
        format!("FROM busybox\nRUN cat /proc/sys/kernel/random/uuid > /first\nRUN echo waiting && {sleep}\n");
    let dir = context(&daemon, "leaving", &[("Dockerfile", &dockerfile)]);
    let pattern = format!("^{sleep}$");
    let sleeping = || {
        let children = std::process::Command::new("pgrep").args(["-f", &pattern]).output().unwrap();
        String::from_utf8_lossy(&children.stdout).lines().count()
    };
    let session = docker_build(&daemon, &dir, &[]).session();
    session.wait_for("waiting");
    session.kill();
    wait::until("the command is killed", SOON, || sleeping() == 0);
    let session = docker_build(&daemon, &dir, &[]).session();
    session.wait_for("waiting");
    daemon.kill();
    session.kill();
    daemon.restart().unwrap();
    wait::until("the orphan is killed", SOON, || sleeping() == 0);
    std::fs::write(dir.join("Dockerfile"), dockerfile.replace(&sleep, "true")).unwrap();
    let again = docker_build(&daemon, &dir, &[]).run();
    assert_eq!(again.ok().matches("Using cache").count(), 1, "{again}");
}

#[test]
fn stages_that_need_nothing_of_each_other_run_side_by_side() {
    let Some(daemon) = busybox() else { return };
    // Each waits for the other: one after the other would never end.
    let wait = |own: &str, other: &str| {
        format!(
            "RUN --mount=type=cache,target=/meet touch /meet/{own}; i=0; until [ -e /meet/{other} ]; do i=$((i+1)); [ $i -lt 600 ] || exit 1; sleep 0.1; done; touch /{own}\n"
        )
    };
    let dockerfile = format!(
        "FROM busybox AS a\n{}FROM busybox AS b\n{}FROM busybox\nCOPY --from=a /a /\nCOPY --from=b /b /\n",
        wait("a", "b"),
        wait("b", "a")
    );
    let dir = context(&daemon, "parallel", &[("Dockerfile", &dockerfile)]);
    docker_build(&daemon, &dir, &["-t", "parallel:1"]).run().ok();
    assert_eq!(run(&daemon, &["parallel:1", "ls", "/a", "/b"]), "/a\n/b");
}

#[test]
fn docker_py_builds() {
    let Some(daemon) = busybox() else { return };
    let Some(python) = python_client("python") else { return };
    let script = r#"
import docker, io
client = docker.from_env()
image, logs = client.images.build(fileobj=io.BytesIO(b"FROM busybox\nRUN echo built\nLABEL a=b\n"), tag="py:1", rm=True)
assert image.labels == {"a": "b"}, image.labels
assert any("built" in line.get("stream", "") for line in logs)
try:
    client.images.build(fileobj=io.BytesIO(b"FROM busybox\nRUN exit 3\n"))
except docker.errors.BuildError as error:
    assert "returned a non-zero code: 3" in str(error), error
else:
    raise SystemExit("no error")
print("ok")
"#;
    let run = Cmd::new(python).args(["-c", script]).env("DOCKER_HOST", daemon.options.host()).run();
    assert_eq!(run.ok(), "ok");
}
