//! `drua init` on large repositories: how long it looks before it asks.

use std::path::Path;

use anyhow::Result;
use drua_e2e::{Cmd, binary};

use super::{table::Row, timed};

const FILES: usize = 100_000;
const FOLDERS: usize = 1000;

/// Two repositories of as many files: all of them its own, and nearly all of them installed or ignored.
pub(super) fn rows(rounds: usize) -> Result<Vec<Row>> {
    let dir = tempfile::tempdir()?;
    let (own, installed) = (dir.path().join("own"), dir.path().join("installed"));
    fill(&own.join("src"))?;
    fill(&installed.join("node_modules"))?;
    for project in [&own, &installed] {
        fs_err::write(
            project.join("package.json"),
            r#"{"scripts": {"start": "node index.js"}, "dependencies": {"pg": "8"}}"#,
        )?;
        fs_err::write(project.join("index.js"), "require('http').createServer().listen(3000)\n")?;
        fs_err::write(project.join(".gitignore"), "dist/\n*.log\n.env*\n")?;
    }
    Ok(vec![
        row("init: detection in 100,000 files", &own, rounds)?,
        row("init: detection beside 100,000 files of node_modules", &installed, rounds)?,
    ])
}

fn fill(dir: &Path) -> Result<()> {
    for folder in 0..FOLDERS {
        let folder = dir.join(format!("part{}/module{folder}", folder % 20));
        fs_err::create_dir_all(&folder)?;
        for file in 0..FILES / FOLDERS {
            fs_err::write(folder.join(format!("file{file}.js")), "exports.x = 1\n")?;
        }
    }
    Ok(())
}

/// The whole command, from its start to the last byte of its JSON.
fn row(work: &str, project: &Path, rounds: usize) -> Result<Row> {
    let program = binary::drua()?;
    let mut times = Vec::new();
    for round in 0..=rounds {
        let taken = timed(Cmd::new(&program).args(["init", "--dry-run", "--json"]).dir(project).env("HOME", project))?;
        if round > 0 {
            times.push(taken);
        }
    }
    Ok(Row::times(work, "drua", times))
}
