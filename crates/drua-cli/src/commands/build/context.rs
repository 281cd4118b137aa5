//! Where a build's files are: a directory, a git repository, standard input.

use std::io::{self, Read as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use drua_api::client::RequestBody;
use drua_dockerfile::{Ignore, read_ignore_file};
use serde_json::{Value, json};

use crate::failure::Failure;
use crate::session::{channel_stream, read_in_background};

/// A build's files.
#[derive(Debug)]
pub(super) enum Source {
    /// A directory; and the Dockerfile's path in it, or its text when it lies elsewhere.
    Dir { path: PathBuf, dockerfile: Option<String>, text: Option<String>, _clone: Option<tempfile::TempDir> },
    /// A Dockerfile alone.
    Text(String),
    /// An archive that has been read.
    Archive { bytes: Vec<u8>, dockerfile: Option<String> },
}

/// Finds out what the argument means.
pub(super) fn resolve(context: &str, file: Option<&str>) -> Result<Source, Failure> {
    if context == "-" {
        let mut bytes = Vec::new();
        io::stdin().lock().read_to_end(&mut bytes)?;
        let dockerfile = file.map(str::to_owned);
        // Text has no zero bytes, archives do.
        return Ok(match bytes[..bytes.len().min(512)].contains(&0) || bytes.starts_with(&[0x1f, 0x8b]) {
            true => Source::Archive { bytes, dockerfile },
            false => Source::Text(String::from_utf8_lossy(&bytes).into_owned()),
        });
    }
    let clone = if is_git(context) { Some(clone(context)?) } else { None };
    let (path, temporary) = match clone {
        Some((dir, path)) => (path, Some(dir)),
        None => (PathBuf::from(context), None),
    };
    let path = fs_err::canonicalize(&path)?;
    if !path.is_dir() {
        return Err(Failure::message(format!("unable to prepare context: `{context}` is not a directory")));
    }
    let mut dockerfile = None;
    let mut text = None;
    match file {
        None => {}
        Some("-") => {
            let mut source = String::new();
            io::stdin().lock().read_to_string(&mut source)?;
            text = Some(source);
        }
        Some(file) => {
            // Relative to where we are, as Docker has it; in a clone relative to the clone.
            let whole = if temporary.is_some() { path.join(file) } else { PathBuf::from(file) };
            let whole = if whole.exists() { whole } else { path.join(file) };
            let found = fs_err::canonicalize(&whole)?;
            match found.strip_prefix(&path) {
                Ok(inside) => dockerfile = Some(inside.display().to_string()),
                Err(_) => {
                    text = Some(fs_err::read_to_string(&found)?);
                    dockerfile = Some(file.to_owned());
                }
            }
        }
    }
    Ok(Source::Dir { path, dockerfile, text, _clone: temporary })
}

impl Source {
    pub(super) fn dockerfile(&self) -> Option<&str> {
        match self {
            Self::Dir { dockerfile, .. } | Self::Archive { dockerfile, .. } => dockerfile.as_deref(),
            Self::Text(_) => None,
        }
    }

    pub(super) fn dockerfile_text(&self) -> Option<&str> {
        match self {
            Self::Dir { text, .. } => text.as_deref(),
            Self::Text(text) => Some(text),
            Self::Archive { .. } => None,
        }
    }

    /// The Dockerfile's name and text.
    pub(super) fn read_dockerfile(&self) -> Result<(String, String), Failure> {
        match self {
            Self::Dir { text: Some(text), dockerfile, .. } => {
                Ok((dockerfile.clone().unwrap_or_else(|| "Dockerfile".to_owned()), text.clone()))
            }
            Self::Dir { path, dockerfile, text: None, .. } => {
                let name = dockerfile.clone().unwrap_or_else(|| "Dockerfile".to_owned());
                let text = fs_err::read_to_string(path.join(&name))?;
                Ok((name, text))
            }
            Self::Text(text) => Ok(("Dockerfile".to_owned(), text.clone())),
            Self::Archive { .. } => Err(Failure::message("the Dockerfile inside an archive cannot be checked")
                .hint("unpack it and check the folder, or hand over the Dockerfile alone")),
        }
    }

    /// The ignore file's text: the Dockerfile's own, or that of the context.
    pub(super) fn read_ignore(&self, dockerfile: &str) -> Result<Option<String>, Failure> {
        let Self::Dir { path, .. } = self else { return Ok(None) };
        let own = path.join(format!("{dockerfile}.dockerignore"));
        let file = [own, path.join(".dockerignore")].into_iter().find(|file| file.is_file());
        Ok(file.map(fs_err::read_to_string).transpose()?)
    }

    pub(super) fn has_no_files(&self) -> bool {
        matches!(self, Self::Text(_))
    }

    /// The directory as the daemon can check it.
    pub(super) fn local(&self) -> Result<Value, Failure> {
        match self {
            Self::Dir { path, .. } => dir_json(path),
            Self::Text(_) | Self::Archive { .. } => Ok(Value::Null),
        }
    }

    /// The files as a request's body.
    pub(super) fn upload(self) -> Result<RequestBody, Failure> {
        match self {
            Self::Text(_) => Ok(RequestBody::empty()),
            Self::Archive { bytes, .. } => Ok(bytes::Bytes::from(bytes).into()),
            Self::Dir { path, dockerfile, _clone, .. } => {
                let (reader, writer) = io::pipe()?;
                let ignore = ignore_of(&path, dockerfile.as_deref())?;
                std::thread::spawn(move || {
                    let _clone = _clone;
                    let mut tar = tar::Builder::new(io::BufWriter::with_capacity(256 << 10, writer));
                    tar.follow_symlinks(false);
                    // The daemon says that the archive was cut off, which is all that can be told.
                    let _ = append(&mut tar, &path, Path::new(""), &ignore).and_then(|()| tar.into_inner().map(drop));
                });
                Ok(RequestBody::from_stream(channel_stream(read_in_background(reader))))
            }
        }
    }
}

fn dir_json(path: &Path) -> Result<Value, Failure> {
    let metadata = fs_err::metadata(path)?;
    Ok(json!({"path": path, "device": metadata.dev(), "inode": metadata.ino()}))
}

/// What `--build-context` names.
pub(super) fn named(place: &str) -> Result<Value, Failure> {
    if let Some(image) = place.strip_prefix("docker-image://") {
        return Ok(json!({"image": image}));
    }
    if let Some(target) = place.strip_prefix("target:") {
        return Ok(json!({"target": target}));
    }
    Ok(json!({"dir": dir_json(&fs_err::canonicalize(place)?)?}))
}

fn ignore_of(context: &Path, dockerfile: Option<&str>) -> Result<Ignore, Failure> {
    let own = context.join(format!("{}.dockerignore", dockerfile.unwrap_or("Dockerfile")));
    let text = std::fs::read_to_string(own).or_else(|_| std::fs::read_to_string(context.join(".dockerignore")));
    let mut patterns = read_ignore_file(&text.unwrap_or_default());
    // The daemon needs them even where COPY must not see them.
    patterns.extend(["!.dockerignore".to_owned(), format!("!{}", dockerfile.unwrap_or("Dockerfile"))]);
    Ok(Ignore::new(&patterns)?)
}

fn append<W: io::Write>(tar: &mut tar::Builder<W>, root: &Path, below: &Path, ignore: &Ignore) -> io::Result<()> {
    let mut entries = std::fs::read_dir(root.join(below))?.collect::<io::Result<Vec<_>>>()?;
    entries.sort_by_key(std::fs::DirEntry::file_name);
    for entry in entries {
        let path = below.join(entry.file_name());
        let text = path.to_string_lossy();
        let ignored = ignore.matches(&text);
        let is_dir = entry.file_type()?.is_dir();
        if !ignored {
            tar.append_path_with_name(entry.path(), &path)?;
        }
        if is_dir && (!ignored || ignore.may_take_back_below(&text)) {
            append(tar, root, &path, ignore)?;
        }
    }
    Ok(())
}

fn is_git(context: &str) -> bool {
    let (address, _) = context.split_once('#').unwrap_or((context, ""));
    address.starts_with("git://")
        || address.starts_with("git@")
        || ((address.starts_with("https://") || address.starts_with("http://")) && address.ends_with(".git"))
}

/// `URL#ref:directory`, with git as it is installed here.
fn clone(context: &str) -> Result<(tempfile::TempDir, PathBuf), Failure> {
    let (address, fragment) = context.split_once('#').unwrap_or((context, ""));
    let (reference, below) = fragment.split_once(':').unwrap_or((fragment, ""));
    let dir = tempfile::tempdir()?;
    let git = |args: &[&str]| -> Result<(), Failure> {
        let output = Command::new("git").arg("-C").arg(dir.path()).args(args).env("GIT_TERMINAL_PROMPT", "0").output();
        let output = output.map_err(|error| {
            Failure::new(error).hint("git contexts need git: install it, or clone the repository yourself")
        })?;
        match output.status.success() {
            true => Ok(()),
            false => Err(Failure::message(format!(
                "failed to fetch {address}: {}",
                String::from_utf8_lossy(&output.stderr).trim()
            ))),
        }
    };
    git(&["init", "-q"])?;
    git(&["remote", "add", "origin", "--", address])?;
    let reference = if reference.is_empty() { "HEAD" } else { reference };
    git(&["fetch", "-q", "--depth", "1", "origin", "--", reference])?;
    git(&["checkout", "-q", "FETCH_HEAD"])?;
    let path = dir.path().join(below.trim_start_matches('/'));
    let path = fs_err::canonicalize(&path)?;
    if !path.starts_with(fs_err::canonicalize(dir.path())?) {
        return Err(Failure::message(format!("`{below}` leaves the repository")));
    }
    Ok((dir, path))
}
