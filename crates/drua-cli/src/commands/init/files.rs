//! What becomes of every file, and how all of them get there at once.
//!
//! Everything is written under temporary names first and renamed at the end, so that whatever stops us leaves the project
//! as it was. A file that is replaced is kept beside it.

use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use drua_init::{GeneratedFile, merge_compose, merge_lines};
use tempfile::NamedTempFile;

/// What is done with a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Action {
    /// It is not there yet.
    Create,
    /// It is there and the same.
    Same,
    /// It is there, differs, and stays.
    Keep,
    /// It is there and gets this text.
    Merge(String),
    /// It is there and makes way, with a backup.
    Replace,
}

/// A file of the project with what is to become of it.
#[derive(Debug, Clone)]
pub(super) struct Target {
    pub(super) file: GeneratedFile,
    /// What is there.
    pub(super) old: Option<String>,
    pub(super) action: Action,
}

/// What is done with files that differ when nobody is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Existing {
    /// Leave them as they are
    Keep,
    /// Add what is missing to .dockerignore and the compose file, leave the others
    Merge,
    /// Replace them, with a backup
    Replace,
}

impl Target {
    /// Looks at what is there.
    pub(super) fn of(root: &Path, file: GeneratedFile, existing: Existing) -> anyhow::Result<Self> {
        let path = root.join(&file.path);
        let old = match std::fs::read(&path) {
            Ok(bytes) => Some(String::from_utf8_lossy(&bytes).into_owned()),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
            Err(error) => return Err(error).with_context(|| format!("cannot read `{}`", path.display())),
        };
        let mut target = Self { file, old, action: Action::Create };
        target.action = match &target.old {
            None => Action::Create,
            Some(old) if *old == target.file.text => Action::Same,
            Some(_) => match existing {
                Existing::Keep => Action::Keep,
                Existing::Replace => Action::Replace,
                Existing::Merge => target.merged().map_or(Action::Keep, |text| target.with(text)),
            },
        };
        Ok(target)
    }

    /// The old text with what is missing in it, where that can be said line by line.
    pub(super) fn merged(&self) -> Option<String> {
        let old = self.old.as_deref()?;
        match self.file.path.rsplit('/').next()? {
            ".dockerignore" => Some(merge_lines(old, &self.file.text)),
            "compose.yaml" | "compose.yml" | "docker-compose.yaml" | "docker-compose.yml" => {
                merge_compose(old, &self.file.text)
            }
            _ => None,
        }
    }

    /// The action that gives the file this text.
    pub(super) fn with(&self, text: String) -> Action {
        if self.old.as_ref() == Some(&text) { Action::Same } else { Action::Merge(text) }
    }

    /// What will be in it, where that changes.
    pub(super) fn text(&self) -> Option<&str> {
        match &self.action {
            Action::Create | Action::Replace => Some(&self.file.text),
            Action::Merge(text) => Some(text),
            Action::Same | Action::Keep => None,
        }
    }

    /// In one word.
    pub(super) fn word(&self) -> &'static str {
        match self.action {
            Action::Create => "create",
            Action::Same => "same",
            Action::Keep => "keep",
            Action::Merge(_) => "merge",
            Action::Replace => "replace",
        }
    }
}

/// A file that is written under a temporary name.
struct Staged {
    temporary: NamedTempFile,
    path: PathBuf,
    backup: Option<PathBuf>,
}

/// Writes everything, or nothing. Returns the backups that were made, old and new name.
pub(super) fn write(root: &Path, targets: &[Target], passwords: &[String]) -> anyhow::Result<Vec<(PathBuf, PathBuf)>> {
    let mut staged = Vec::new();
    for target in targets {
        let Some(text) = target.text() else { continue };
        let path = root.join(&target.file.path);
        let backup = target.old.is_some().then(|| free_name(&path));
        staged.push(stage(&path, text, 0o644, backup)?);
    }
    let missing: Vec<&String> = passwords.iter().filter(|path| !root.join(path).exists()).collect();
    if !missing.is_empty() {
        let dir = root.join("secrets");
        fs_err::create_dir_all(&dir)?;
        // Others on this machine stay out here; in a container, any user may have to read the file itself.
        fs_err::set_permissions(&dir, std::fs::Permissions::from_mode(0o700))?;
        if !dir.join(".gitignore").exists() {
            staged.push(stage(&dir.join(".gitignore"), "# Passwords are not for version control.\n*\n", 0o644, None)?);
        }
        for path in missing {
            staged.push(stage(&root.join(path), &password()?, 0o644, None)?);
        }
    }
    commit(staged)
}

fn stage(path: &Path, text: &str, mode: u32, backup: Option<PathBuf>) -> anyhow::Result<Staged> {
    let stage = || -> anyhow::Result<NamedTempFile> {
        let dir = path.parent().context("a file has a folder")?;
        fs_err::create_dir_all(dir)?;
        let mut temporary = tempfile::Builder::new().prefix(".drua-init-").tempfile_in(dir)?;
        temporary.write_all(text.as_bytes())?;
        let mode = std::fs::metadata(path).map_or(mode, |metadata| metadata.permissions().mode() & 0o777);
        temporary.as_file().set_permissions(std::fs::Permissions::from_mode(mode))?;
        Ok(temporary)
    };
    let temporary = stage().with_context(|| format!("cannot write `{}`; nothing was changed", path.display()))?;
    Ok(Staged { temporary, path: path.to_owned(), backup })
}

/// Renames everything into place; what was done before a failure is undone.
fn commit(staged: Vec<Staged>) -> anyhow::Result<Vec<(PathBuf, PathBuf)>> {
    let mut done: Vec<(PathBuf, Option<PathBuf>)> = Vec::new();
    for Staged { temporary, path, backup } in staged {
        let step = || -> anyhow::Result<()> {
            if let Some(backup) = &backup {
                fs_err::copy(&path, backup)?;
            }
            // Without the temporary file, which the error would keep as long as it lives.
            temporary.persist(&path).map_err(|error| error.error)?;
            Ok(())
        };
        if let Err(error) = step() {
            undo(&done);
            return Err(error.context(format!("cannot write `{}`; everything is as it was", path.display())));
        }
        done.push((path, backup));
    }
    Ok(done.into_iter().filter_map(|(path, backup)| Some((path, backup?))).collect())
}

/// Goes on after a failure: each file that can be brought back is.
fn undo(done: &[(PathBuf, Option<PathBuf>)]) {
    for (path, backup) in done {
        let undone = match backup {
            Some(backup) => std::fs::rename(backup, path),
            None => std::fs::remove_file(path),
        };
        if let Err(error) = undone {
            tracing::warn!(path = %path.display(), %error, "cannot undo");
        }
    }
}

/// `Dockerfile.bak`, or the first with a number that is free.
fn free_name(path: &Path) -> PathBuf {
    let name = |number: u32| {
        let mut name = path.as_os_str().to_owned();
        name.push(if number == 1 { ".bak".to_owned() } else { format!(".bak{number}") });
        PathBuf::from(name)
    };
    (1..).map(name).find(|path| !path.exists()).expect("there are more numbers than files")
}

/// 192 random bits.
fn password() -> anyhow::Result<String> {
    let mut bytes = [0; 24];
    std::io::Read::read_exact(&mut fs_err::File::open("/dev/urandom")?, &mut bytes)?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}
