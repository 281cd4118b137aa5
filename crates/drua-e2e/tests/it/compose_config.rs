//! `drua compose config` beside Docker's own Compose, over the corpus of drua-composefile. No engine is needed.

use std::path::{Path, PathBuf};

use drua_e2e::{Cmd, binary};

use crate::support::python_client;

fn cases() -> Vec<PathBuf> {
    let corpus = binary::workspace().join("crates/drua-composefile/fixtures");
    let entries = fs_err::read_dir(corpus).unwrap().map(|entry| entry.unwrap().path());
    let mut cases: Vec<PathBuf> =
        entries.filter(|path| path.join("expected.yaml").exists() && !path.ends_with("negative")).collect();
    cases.sort();
    cases
}

fn run(program: &Path, before: &[&str], case: &Path, after: &[&str]) -> String {
    let args = fs_err::read_to_string(case.join("args.txt")).unwrap_or_default();
    let words = before.iter().copied().chain(args.split_whitespace()).chain(["config"]).chain(after.iter().copied());
    let cmd = Cmd::new(program).args(words).dir(case);
    let cmd = cmd.env("HOME", "/home/me").env("FROM_SHELL", "shell").env("TAG", "1.2").env("TOKEN", "secret-token");
    cmd.run().exits(0).stdout.clone()
}

#[test]
fn config_is_docker_composes() {
    let Some(oracle) = python_client("docker-compose") else { return };
    let drua = binary::drua().unwrap();
    let mut differ = Vec::new();
    for case in cases() {
        for after in [&[][..], &["--format", "json"], &["--hash", "*"], &["--services"], &["--volumes"], &["--images"]]
        {
            let (mut theirs, mut ours) = (run(&oracle, &[], &case, after), run(&drua, &["compose"], &case, after));
            if !after.is_empty() && !after.contains(&"json") {
                // Docker Compose lists in no particular order.
                let sorted = |text: &str| {
                    let mut lines: Vec<&str> = text.lines().collect();
                    lines.sort_unstable();
                    lines.join("\n")
                };
                (theirs, ours) = (sorted(&theirs), sorted(&ours));
            }
            if theirs != ours {
                differ.push(format!("{} {after:?}\n--- docker compose\n{theirs}\n--- drua\n{ours}", case.display()));
            }
        }
    }
    assert!(differ.is_empty(), "{} differ\n{}", differ.len(), differ.join("\n\n"));
}
