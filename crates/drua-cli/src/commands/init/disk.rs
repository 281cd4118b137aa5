//! A project on disk, as detection sees it.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;

use drua_init::{MAX_FILE_BYTES, Tree, Unreadable};
use ignore::{WalkBuilder, WalkState};

/// Files that are looked at; what lies beyond changes no choice that matters.
const MAX_FILES: usize = 300_000;
/// Folders below each other; sources of Java lie eight deep.
const MAX_DEPTH: usize = 12;
/// Threads that list folders.
const THREADS: usize = 4;

/// Folders that tools fill and that say nothing about the project.
const SKIPPED: [&str; 20] = [
    ".git",
    ".hg",
    ".svn",
    "node_modules",
    "bower_components",
    ".venv",
    "venv",
    "__pycache__",
    ".tox",
    ".mypy_cache",
    ".pytest_cache",
    ".ruff_cache",
    ".next",
    ".nuxt",
    ".gradle",
    ".idea",
    ".terraform",
    ".cache",
    "_build",
    "vendor",
];

/// The files below a folder.
#[derive(Debug)]
pub(super) struct Disk {
    root: PathBuf,
    files: Vec<String>,
    /// What could not be listed.
    pub(super) notes: Vec<String>,
}

impl Disk {
    /// Lists a folder: not what `.gitignore` names, nor what tools fill.
    pub(super) fn list(root: &Path) -> Self {
        let (sender, found) = mpsc::channel::<Result<String, String>>();
        let count = AtomicUsize::new(0);
        let mut walk = WalkBuilder::new(root);
        walk.hidden(false).require_git(false).git_global(false).max_depth(Some(MAX_DEPTH)).threads(THREADS);
        walk.filter_entry(|entry| {
            let dir = entry.file_type().is_some_and(|kind| kind.is_dir());
            let skipped = entry.file_name().to_str().is_some_and(|name| SKIPPED.contains(&name));
            entry.depth() == 0 || !dir || !skipped
        });
        walk.build_parallel().run(|| {
            let (sender, count) = (sender.clone(), &count);
            Box::new(move |entry| {
                let message = match entry {
                    Ok(entry) if entry.file_type().is_some_and(|kind| kind.is_dir()) => return WalkState::Continue,
                    // A name that is not UTF-8 is no manifest's.
                    Ok(entry) => match entry.path().strip_prefix(root).ok().and_then(Path::to_str) {
                        Some(path) => Ok(path.to_owned()),
                        None => return WalkState::Continue,
                    },
                    Err(error) => Err(error.to_string()),
                };
                let over = count.fetch_add(1, Ordering::Relaxed) >= MAX_FILES;
                // The receiver lives until all threads have ended.
                let sent = sender.send(message);
                if over || sent.is_err() { WalkState::Quit } else { WalkState::Continue }
            })
        });
        drop(sender);
        let mut disk = Self { root: root.to_owned(), files: Vec::new(), notes: Vec::new() };
        for message in found {
            match message {
                Ok(file) => disk.files.push(file),
                Err(problem) => disk.notes.push(format!("cannot list everything: {problem}")),
            }
        }
        if disk.files.len() > MAX_FILES {
            disk.notes.push(format!("more than {MAX_FILES} files: the rest was not looked at"));
        }
        // Go's vendored modules are sources that a build needs.
        if root.join("vendor/modules.txt").is_file() {
            disk.files.push("vendor/modules.txt".to_owned());
        }
        disk.files.sort_unstable();
        disk
    }
}

impl Tree for Disk {
    fn files(&self) -> &[String] {
        &self.files
    }

    fn read(&self, path: &str) -> Result<String, Unreadable> {
        let fail = |reason: String| Unreadable { path: path.to_owned(), reason };
        let full = self.root.join(path);
        let metadata = std::fs::metadata(&full).map_err(|error| fail(plain(&error)))?;
        if !metadata.is_file() {
            return Err(fail("it is not a regular file".to_owned()));
        }
        if metadata.len() > MAX_FILE_BYTES as u64 {
            return Err(fail(format!("it has more than {} MiB", MAX_FILE_BYTES >> 20)));
        }
        let bytes = std::fs::read(&full).map_err(|error| fail(plain(&error)))?;
        String::from_utf8(bytes).map_err(|_| fail("it is not UTF-8".to_owned()))
    }
}

/// The system's words without its number.
fn plain(error: &std::io::Error) -> String {
    let text = error.to_string();
    text.split(" (os error").next().unwrap_or(&text).to_lowercase()
}
