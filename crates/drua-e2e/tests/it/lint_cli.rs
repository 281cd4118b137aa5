//! `drua lint` as a command: what it prints, writes and ends with; `drua build --check`; the language server's pipe.

use std::path::Path;

use drua_e2e::{Cmd, Run, binary};
use serde_json::{Value, json};

/// Expects stdout to contain something.
trait Shows {
    fn shows(&self, part: &str) -> &Self;
}

impl Shows for Run {
    #[track_caller]
    fn shows(&self, part: &str) -> &Self {
        assert!(self.stdout.contains(part), "expected on stdout {part:?}\n{self}");
        self
    }
}

fn project(files: &[(&str, &[u8])]) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    for (path, content) in files {
        let path = dir.path().join(path);
        fs_err::create_dir_all(path.parent().unwrap()).unwrap();
        fs_err::write(path, content).unwrap();
    }
    dir
}

fn drua(args: &[&str], dir: &Path) -> Cmd {
    Cmd::new(binary::drua().unwrap()).args(args).dir(dir).env("HOME", dir)
}

fn lint(args: &[&str], dir: &Path) -> Run {
    drua(&["lint"], dir).args(args).run()
}

fn codes(run: &Run) -> Vec<String> {
    let report: Value = serde_json::from_str(&run.stdout).unwrap();
    report["findings"].as_array().unwrap().iter().map(|found| found["rule"].as_str().unwrap().to_owned()).collect()
}

const OLD: &[u8] = b"FROM debian:13 as build\nENV A b\nRUN apt-get update && apt-get install curl\nCMD a b\n";

#[test]
fn findings_are_shown_mended_and_counted() {
    let dir =
        project(&[("Dockerfile", OLD), ("sub/compose.yaml", b"version: \"3\"\nservices:\n  web:\n    image: nginx\n")]);
    let run = lint(&[], dir.path());
    run.exits(1);
    for part in [
        "Dockerfile:1:16: style FromAsCasing",
        "3 | RUN apt-get update && apt-get install curl",
        "sub/compose.yaml:1:1: info DC1001",
    ] {
        run.shows(part);
    }
    run.complains("`--fix` mends");
    let diff = lint(&["--diff"], dir.path());
    diff.shows("-ENV A b\n");
    diff.shows("+ENV A=b\n");
    assert_eq!(fs_err::read(dir.path().join("Dockerfile")).unwrap(), OLD);
    lint(&["--fix"], dir.path()).exits(1).complains("mended");
    let text = fs_err::read_to_string(dir.path().join("Dockerfile")).unwrap();
    let expected = "FROM debian:13 AS build\nENV A=b\nRUN apt-get update && apt-get install -y curl && rm -rf /var/lib/apt/lists/*\nCMD a b\n";
    assert_eq!(text, expected);
    let compose = fs_err::read_to_string(dir.path().join("sub/compose.yaml")).unwrap();
    assert_eq!(compose, "services:\n  web:\n    image: nginx\n");
    lint(&["--fix"], dir.path());
    assert_eq!(fs_err::read_to_string(dir.path().join("Dockerfile")).unwrap(), expected);
}

#[test]
fn thresholds_configuration_and_baselines_decide_the_exit_code() {
    let dir = project(&[("Dockerfile", b"FROM debian\n"), (".hadolint.yaml", b"override:\n  style:\n    - DL3006\n")]);
    lint(&[], dir.path()).exits(0).shows("style DL3006");
    lint(&["--fail-on", "style"], dir.path()).exits(1);
    fs_err::create_dir(dir.path().join(".drua")).unwrap();
    fs_err::write(dir.path().join(".drua/lint.toml"), "[rules]\nDL3006 = \"error\"\n").unwrap();
    lint(&[], dir.path()).exits(1).shows("error DL3006");
    lint(&["--fail-on", "never"], dir.path()).exits(0);
    lint(&["--ignore", "untagged-image"], dir.path()).exits(0);
    lint(&["--write-baseline", "known.json"], dir.path()).exits(0);
    lint(&["--baseline", "known.json"], dir.path()).exits(0).complains("1 in the baseline");
    lint(&["--ignore", "DL9"], dir.path()).exits(2).complains("there is no rule `DL9`");
    fs_err::write(dir.path().join(".drua/lint.toml"), "rulez = 1\n").unwrap();
    lint(&[], dir.path()).exits(1).complains("lint.toml");
}

#[test]
fn formats_for_machines_can_be_read_by_them() {
    let dir = project(&[("a b/Dockerfile", OLD)]);
    let json = lint(&["--format", "json"], dir.path());
    assert!(codes(&json).contains(&"DL3008".to_owned()), "{json}");
    let sarif: Value = serde_json::from_str(&lint(&["--format", "sarif"], dir.path()).stdout).unwrap();
    assert_eq!(sarif["version"], "2.1.0");
    let result = &sarif["runs"][0]["results"][0];
    assert_eq!(result["locations"][0]["physicalLocation"]["artifactLocation"]["uri"], "a%20b/Dockerfile");
    lint(&["--format", "github"], dir.path()).shows("::warning file=a b/Dockerfile,line=3,");
    lint(&["--explain", "dl3025"], dir.path()).exits(0).shows("JSONArgsRecommended");
    lint(&["--explain", "DL3O08"], dir.path()).exits(1).complains("did you mean `DL3008`");
    drua(&["lint", "-", "--format", "json"], dir.path()).input("FROM debian\n").run().shows("DL3006");
}

#[test]
fn files_that_cannot_be_read_are_named_and_the_others_are_looked_at() {
    let dir = project(&[
        ("Dockerfile", b"FROM debian\n"),
        ("b/Dockerfile", b"FROM \xff\xfe\n"),
        ("c/Dockerfile", &[b'#'; 5 << 20]),
    ]);
    let run = lint(&[], dir.path());
    run.exits(1)
        .shows("DL3006")
        .complains("`b/Dockerfile` is not text: byte 5")
        .complains("`c/Dockerfile` has 5242880 bytes");
    lint(&["nowhere"], dir.path()).exits(1).complains("nowhere");
    lint(&["--fix", "b/Dockerfile"], dir.path()).exits(1);
    assert_eq!(fs_err::read(dir.path().join("b/Dockerfile")).unwrap(), b"FROM \xff\xfe\n");
}

#[test]
fn files_are_looked_at_together() {
    let dockerfile =
        b"FROM alpine:3.22 AS app\nWORKDIR /app\nCOPY . .\nCOPY gone.txt /x\nEXPOSE 80\nUSER 1000\nCMD [\"./a\"]\n";
    let compose =
        b"services:\n  web:\n    build: {context: ., target: ap}\n    ports: [\"80:8080\"]\n    mem_limit: 64m\n";
    let dir = project(&[("Dockerfile", dockerfile), ("compose.yaml", compose), (".git/HEAD", b"x"), (".env", b"A=b")]);
    let found = codes(&lint(&["--format", "json"], dir.path()));
    for code in ["DR2001", "DR2008", "DR4003", "DR1020"] {
        assert!(found.iter().any(|known| known == code), "{code} is not in {found:?}");
    }
    fs_err::write(dir.path().join(".dockerignore"), "gone.txt\n").unwrap();
    let found = codes(&lint(&["--format", "json"], dir.path()));
    for code in ["DR2002", "DR2003", "CopyIgnoredFile"] {
        assert!(found.iter().any(|known| known == code), "{code} is not in {found:?}");
    }
    fs_err::write(dir.path().join("compose.yaml"), "services:\n  web:\n    imagee: a\n").unwrap();
    lint(&["compose.yaml"], dir.path()).exits(1).shows("compose.yaml:3:5: error DC0001");
}

#[test]
fn build_check_says_what_buildkit_says() {
    let dir = project(&[("Dockerfile", b"FROM alpine:3.22 as x\nCMD a b\n")]);
    let run = drua(&["build", "--check", "."], dir.path()).run();
    run.exits(1).shows("Check complete, 2 warnings have been found!");
    run.shows("WARNING: JSONArgsRecommended - https://docs.docker.com/go/dockerfile/rule/json-args-recommended/\n");
    run.shows("   2 | >>> CMD a b\n");
    fs_err::write(dir.path().join("Dockerfile"), "FROM alpine:3.22 AS x\n").unwrap();
    drua(&["build", "--check", "."], dir.path()).run().exits(0).shows("Check complete, no warnings found.");
}

#[test]
fn the_language_server_speaks_over_its_pipe() {
    let dir = project(&[("Dockerfile", b"FROM debian\n")]);
    let uri = format!("file://{}/Dockerfile", dir.path().display());
    let messages = [
        json!({"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": {"capabilities": {}}}),
        json!({"jsonrpc": "2.0", "method": "textDocument/didOpen",
               "params": {"textDocument": {"uri": uri, "languageId": "dockerfile", "version": 1, "text": "FROM debian\nENV A b\n"}}}),
        json!({"jsonrpc": "2.0", "id": 2, "method": "shutdown"}),
        json!({"jsonrpc": "2.0", "method": "exit"}),
    ];
    let mut input = String::new();
    for message in messages {
        let body = message.to_string();
        input.push_str("Content-Length: ");
        input.push_str(&body.len().to_string());
        input.push_str("\r\n\r\n");
        input.push_str(&body);
    }
    let run = drua(&["lint", "--lsp"], dir.path()).input(input).run();
    run.exits(0).shows("\"codeActionProvider\"").shows("textDocument/publishDiagnostics").shows("LegacyKeyValueFormat");
    drua(&["lint", "--lsp"], dir.path()).input("Content-Length: no\r\n\r\n").run().exits(1).complains("Content-Length");
}
