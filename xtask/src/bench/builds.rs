//! Builds: nothing changed, one file changed, commands from nothing, a large context.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::Result;
use drua_e2e::{Cmd, Daemon};

use super::peers::Subject;

const FILES: usize = 50_000;

/// Directories to build in.
struct Contexts {
    steps: PathBuf,
    runs: PathBuf,
    many: PathBuf,
}

/// The same work for drua, by its own CLI and by docker's, and for a docker daemon where there is one.
pub(super) fn subjects(daemon: &Daemon, dockerd: Option<&str>) -> Result<Vec<Subject>> {
    let contexts = contexts(&daemon.dir().join("builds"))?;
    let mut subjects = Vec::new();
    let drua = daemon.options.clone();
    add(&mut subjects, &contexts, "drua", true, move |args| drua.drua(args.iter().copied()));
    let classic = daemon.options.clone();
    if drua_e2e::binary::on_path("docker").is_some() {
        add(&mut subjects, &contexts, "drua by the docker CLI", false, move |args| {
            classic.docker(args.iter().copied()).env("DOCKER_BUILDKIT", "0")
        });
    }
    if let Some(host) = dockerd {
        let host = host.to_owned();
        add(&mut subjects, &contexts, "docker (dockerd, classic)", false, move |args| {
            let docker = Cmd::new("docker").env("DOCKER_HOST", &host).env("HOME", "/nonexistent");
            docker.env("DOCKER_BUILDKIT", "0").args(args.iter().copied())
        });
    }
    Ok(subjects)
}

fn add(
    subjects: &mut Vec<Subject>,
    contexts: &Contexts,
    who: &str,
    many: bool,
    command: impl Fn(&[&str]) -> Cmd + 'static,
) {
    let command = Arc::new(command);
    let text = |path: &Path| path.to_string_lossy().into_owned();
    let (steps, build) = (text(&contexts.steps), Arc::clone(&command));
    let tag = format!("bench/build-{}", who.len());
    let name = tag.clone();
    subjects.push(Subject::new("build, 20 steps, nothing changed", who, move || {
        build(&["build", "-q", "-t", &name, &steps])
    }));
    let (changed, build) = (contexts.steps.clone(), Arc::clone(&command));
    let (count, name) = (AtomicU64::new(0), format!("{tag}-changed"));
    subjects.push(Subject::new("build, 20 steps, the last file changed", who, move || {
        let number = count.fetch_add(1, Ordering::Relaxed);
        // What cannot be written is measured as unchanged, and the figure shows it.
        let _ = std::fs::write(changed.join("last"), format!("{name} {number}"));
        build(&[
            "build",
            "-q",
            "-t",
            &name,
            "-f",
            &changed.join("Changing").to_string_lossy(),
            &changed.to_string_lossy(),
        ])
    }));
    let (runs, build) = (text(&contexts.runs), Arc::clone(&command));
    subjects.push(Subject::new("build, 10 RUN steps from nothing, no network", who, move || {
        build(&["build", "-q", "--no-cache", "--network", "none", &runs])
    }));
    if many {
        let path = text(&contexts.many);
        subjects.push(Subject::new("build, context of 50,000 files, nothing changed", who, move || {
            command(&["build", "-q", &path])
        }));
    }
}

fn contexts(dir: &Path) -> Result<Contexts> {
    let contexts = Contexts { steps: dir.join("steps"), runs: dir.join("runs"), many: dir.join("many") };
    fs_err::create_dir_all(&contexts.steps)?;
    let mut text = "FROM bench/linux\n".to_owned();
    for number in 0..10 {
        fs_err::write(contexts.steps.join(format!("file-{number}")), number.to_string())?;
        text.push_str(&format!("COPY file-{number} /files/\nENV N{number}={number}\n")[..]);
    }
    fs_err::write(contexts.steps.join("Dockerfile"), &text)?;
    fs_err::write(contexts.steps.join("Changing"), text + "COPY last /last\n")?;
    fs_err::write(contexts.steps.join("last"), "")?;
    fs_err::create_dir_all(&contexts.runs)?;
    let runs: String = (0..10).map(|n| format!("RUN [\"/bin/busybox\", \"touch\", \"/made-{n}\"]\n")).collect();
    fs_err::write(contexts.runs.join("Dockerfile"), format!("FROM bench/linux\n{runs}"))?;
    for number in 0..FILES {
        let path = contexts.many.join(format!("{:03}/{number}", number / 250));
        if number % 250 == 0 {
            fs_err::create_dir_all(path.parent().unwrap_or(&contexts.many))?;
        }
        fs_err::write(path, format!("file {number}\n"))?;
    }
    fs_err::write(contexts.many.join("Dockerfile"), "FROM bench/linux\nCOPY . /many/\n")?;
    Ok(contexts)
}
