//! `drua init` as a command: what it prints, what it refuses, and that nothing is half-written.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use drua_e2e::{Cmd, Session, binary};
use serde_json::Value;

use crate::support::skip;

fn init(args: &[&str], dir: &Path) -> Cmd {
    Cmd::new(binary::drua().unwrap()).args(["init"]).args(args).dir(dir).env("HOME", dir)
}

fn project(files: &[(&str, &str)]) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    for (path, text) in files {
        let path = dir.path().join(path);
        fs_err::create_dir_all(path.parent().unwrap()).unwrap();
        fs_err::write(path, text).unwrap();
    }
    dir
}

fn names(dir: &Path) -> Vec<String> {
    let mut names: Vec<String> =
        fs_err::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

const FLASK: [(&str, &str); 2] =
    [("requirements.txt", "flask\npsycopg\n"), ("app.py", "from flask import Flask\napp = Flask(__name__)\n")];

#[test]
fn yes_writes_and_says_why() {
    let dir = project(&FLASK);
    let run = init(&["--yes"], dir.path()).run();
    for part in [
        "Python with Flask\n",
        "  requirements.txt: names flask\n",
        "PostgreSQL  requirements.txt: names psycopg",
        "note: Flask's own server is for development",
        "CREATED: Dockerfile\n",
        "web will answer on http://127.0.0.1:8000",
        "Start it: drua compose up --build --watch",
    ] {
        run.exits(0).complains(part);
    }
    let expected =
        [".dockerignore", "Dockerfile", "README.Docker.md", "app.py", "compose.yaml", "requirements.txt", "secrets"];
    assert_eq!(names(dir.path()), expected);
    assert_eq!(names(&dir.path().join("secrets")), [".gitignore", "postgres-password.txt"]);
    let mode = fs_err::metadata(dir.path().join("secrets")).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode, 0o700);
    // Again: nothing changes; and after an edit, the user's file stays.
    let again = init(&["--yes"], dir.path()).run();
    again.exits(0).complains("unchanged: Dockerfile");
    fs_err::write(dir.path().join("Dockerfile"), "FROM mine\n").unwrap();
    init(&["--yes"], dir.path()).run().exits(0).complains("KEPT: Dockerfile");
    let diff = init(&["--diff"], dir.path()).run();
    assert!(diff.ok().contains("-FROM mine") && diff.stdout.contains("+# syntax=docker/dockerfile:1"), "{diff}");
    init(&["--yes", "--existing", "replace"], dir.path())
        .run()
        .exits(0)
        .complains("REPLACED: Dockerfile (was kept as Dockerfile.bak)");
    assert_eq!(fs_err::read_to_string(dir.path().join("Dockerfile.bak")).unwrap(), "FROM mine\n");
}

#[test]
fn merging_adds_what_is_missing() {
    let dir = project(&FLASK);
    fs_err::write(dir.path().join("docker-compose.yml"), "services:\n  web:\n    image: mine # stays\n").unwrap();
    fs_err::write(dir.path().join(".dockerignore"), "dist\n").unwrap();
    let run = init(&["--yes", "--existing", "merge"], dir.path()).run();
    run.exits(0).complains("MERGED: docker-compose.yml").complains("MERGED: .dockerignore");
    let compose = fs_err::read_to_string(dir.path().join("docker-compose.yml")).unwrap();
    assert!(
        compose.starts_with("services:\n  web:\n    image: mine # stays\n") && compose.contains("\n  postgres:\n"),
        "{compose}"
    );
    assert!(fs_err::read_to_string(dir.path().join(".dockerignore")).unwrap().starts_with("dist\n"));
    assert!(!dir.path().join("compose.yaml").exists());
}

#[test]
fn json_and_dry_runs_write_nothing() {
    let dir = project(&FLASK);
    let run = init(&["--dry-run", "--json"], dir.path()).run();
    let json: Value = serde_json::from_str(run.ok()).unwrap();
    assert_eq!((json["version"].as_i64(), json["written"].as_bool()), (Some(1), Some(false)));
    let service = &json["services"][0];
    assert_eq!(
        (service["stack"].as_str(), service["settings"]["port"]["value"].as_str()),
        (Some("python"), Some("8000"))
    );
    assert_eq!(json["databases"][0]["evidence"]["file"], "requirements.txt");
    assert_eq!(json["files"][0]["action"], "create");
    let run = init(&["--dry-run"], dir.path()).run();
    assert!(run.ok().contains("--- Dockerfile (create)\n# syntax=docker/dockerfile:1"), "{run}");
    assert_eq!(names(dir.path()), ["app.py", "requirements.txt"]);
    let written: Value = serde_json::from_str(init(&["--json"], dir.path()).run().ok()).unwrap();
    assert_eq!(written["written"], true);
}

#[test]
fn what_cannot_be_is_refused_with_a_way_out() {
    let dir = project(&FLASK);
    for (args, code, words) in [
        (vec![], 1, vec!["there is no terminal to ask at", "drua init --yes"]),
        (vec!["--yes", "nowhere"], 1, vec!["nowhere", "hint:"]),
        (vec!["--yes", "app.py"], 2, vec!["`app.py` is not a folder"]),
        (vec!["--yes", "--lang", "pyton"], 2, vec!["there is no stack `pyton`", "did you mean `python`?"]),
        (vec!["--yes", "--port", "99999"], 2, vec!["`99999` cannot be the port"]),
        (vec!["--yes", "--set", "prot=1"], 2, vec!["there is no setting `prot`", "did you mean `port`?"]),
        (vec!["--yes", "--wasm"], 2, vec!["has no setting `target`", "docs/init.md"]),
        (vec!["--yes", "--service", "api"], 2, vec!["nothing that runs was found in `api`"]),
        (vec!["--yes", "--template", "."], 2, vec!["has no templates", "Dockerfile.j2"]),
    ] {
        let run = init(&args, dir.path()).run();
        run.exits(code);
        for word in words {
            run.complains(word);
        }
    }
    assert_eq!(names(dir.path()), ["app.py", "requirements.txt"], "nothing is written");
    fs_err::create_dir(dir.path().join("mine")).unwrap();
    fs_err::write(dir.path().join("mine/Dockerfile.j2"), "FROM {{ nothing.here }}\n").unwrap();
    let run = init(&["--yes", "--template", "mine"], dir.path()).run();
    run.exits(1).complains("cannot render the template `Dockerfile.j2`");
    assert!(!dir.path().join("compose.yaml").exists());
}

#[test]
fn places_that_are_difficult() {
    // Nothing there; blanks and umlauts; a manifest that is a folder, a pipe or garbage.
    let dir = project(&[("Mein Büro/api/go.mod", "module a\n"), ("Mein Büro/api/main.go", "package main\n")]);
    let office = dir.path().join("Mein Büro");
    init(&["--yes"], &office).run().exits(0).complains("CREATED: api/Dockerfile");
    let empty = project(&[]);
    init(&["--yes"], empty.path()).run().exits(0).complains("nothing here is known");
    let broken = project(&[("package.json/x", ""), ("Cargo.toml", "[[["), ("src/main.rs", "")]);
    init(&["--yes"], broken.path()).run().exits(0).complains("cannot read `Cargo.toml`");
    let pipe = project(&[("app.py", "")]);
    rustix::fs::mknodat(
        rustix::fs::CWD,
        pipe.path().join("requirements.txt"),
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::RWXU,
        0,
    )
    .unwrap();
    init(&["--yes"], pipe.path()).run().exits(0).complains("it is not a regular file");
    // A work tree of git has a file `.git`.
    let tree = project(&[(".git", "gitdir: /nowhere\n"), ("index.html", "")]);
    init(&["--yes"], tree.path()).run().exits(0).complains("Static site");
}

/// The command at a terminal of its own, by util-linux's `script`.
fn at_a_terminal(dir: &Path) -> Option<Session> {
    let Some(script) = binary::on_path("script") else { return skip("no `script` of util-linux on PATH") };
    let line = format!("{} init", binary::drua().unwrap().display());
    Some(Cmd::new(script).args(["-qec", &line, "/dev/null"]).dir(dir).env("HOME", dir).env("TERM", "xterm").session())
}

#[test]
fn a_dialogue_writes_at_its_end() {
    let dir = project(&FLASK);
    let Some(mut session) = at_a_terminal(dir.path()) else { return };
    session.wait_for("Is that right?");
    session.type_in("\r");
    session.wait_for("Start it now");
    session.type_in("n\r");
    let run = session.finish();
    run.exits(0);
    assert!(dir.path().join("Dockerfile").exists() && dir.path().join("compose.yaml").exists(), "{run}");
}

#[test]
fn ctrl_c_writes_nothing() {
    for keys in ["\x03", "\x1b[B\r\x03", "\x1b[B\r\r\r\x03"] {
        let dir = project(&FLASK);
        let Some(mut session) = at_a_terminal(dir.path()) else { return };
        session.wait_for("Is that right?");
        session.type_in(keys);
        let run = session.finish();
        assert!(run.exits(130).stdout.contains("nothing was written"), "{run}");
        assert_eq!(names(dir.path()), ["app.py", "requirements.txt"], "{keys:?}");
    }
}
