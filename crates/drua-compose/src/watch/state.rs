//! What files contained when they were last looked at: an event counts only where that has changed.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};

/// What became of a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Change {
    Written,
    Removed,
}

/// The contents of a path, in short.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Stamp {
    digest: [u8; 32],
    executable: bool,
}

/// Stamps by path.
#[derive(Debug, Default)]
pub(super) struct State(BTreeMap<PathBuf, Stamp>);

impl State {
    /// Remembers a path as it is, without calling it a change.
    pub(super) fn note(&mut self, path: PathBuf) {
        if let Some(stamp) = stamp(&path) {
            self.0.insert(path, stamp);
        }
    }

    /// Looks at a path. A folder that is gone takes what was known below it along.
    pub(super) fn look(&mut self, path: &Path, changes: &mut BTreeMap<PathBuf, Change>) {
        match stamp(path) {
            Some(new) => {
                if self.0.get(path) != Some(&new) {
                    self.0.insert(path.to_owned(), new);
                    changes.insert(path.to_owned(), Change::Written);
                }
            }
            None if path.is_dir() => {}
            None => {
                let below: Vec<PathBuf> = self
                    .0
                    .range(path.to_owned()..)
                    .map(|(known, _)| known.clone())
                    .take_while(|known| known.starts_with(path))
                    .collect();
                for known in below {
                    self.0.remove(&known);
                    changes.insert(known, Change::Removed);
                }
            }
        }
    }

    /// Forgets what could not be delivered, so that it counts as changed the next time.
    pub(super) fn forget(&mut self, path: &Path) {
        self.0.remove(path);
    }

    /// Every known path.
    pub(super) fn paths(&self) -> BTreeSet<PathBuf> {
        self.0.keys().cloned().collect()
    }

    /// The stamps as text, for the manifest.
    pub(super) fn digests(&self) -> BTreeMap<String, String> {
        self.0.iter().map(|(path, stamp)| (path.to_string_lossy().into_owned(), hex(stamp))).collect()
    }

    /// What differs from a manifest.
    pub(super) fn differs(&self, manifest: &BTreeMap<String, String>) -> BTreeMap<PathBuf, Change> {
        let mut changes = BTreeMap::new();
        for (path, stamp) in &self.0 {
            if manifest.get(path.to_string_lossy().as_ref()) != Some(&hex(stamp)) {
                changes.insert(path.clone(), Change::Written);
            }
        }
        for path in manifest.keys().map(PathBuf::from).filter(|path| !self.0.contains_key(path)) {
            changes.insert(path, Change::Removed);
        }
        changes
    }
}

fn hex(stamp: &Stamp) -> String {
    let digest: String = stamp.digest[..16].iter().map(|byte| format!("{byte:02x}")).collect();
    if stamp.executable { digest + "x" } else { digest }
}

/// The stamp of a file or a symbolic link; `None` for what is not there, folders and everything else.
fn stamp(path: &Path) -> Option<Stamp> {
    let metadata = std::fs::symlink_metadata(path).ok()?;
    let mut hash = Sha256::new();
    if metadata.is_symlink() {
        hash.update(b"link");
        hash.update(std::fs::read_link(path).ok()?.to_string_lossy().as_bytes());
    } else if metadata.is_file() {
        let mut file = std::fs::File::open(path).ok()?;
        let mut buffer = vec![0; 64 << 10];
        loop {
            match file.read(&mut buffer) {
                Ok(0) => break,
                Ok(count) => hash.update(&buffer[..count]),
                Err(_) => return None,
            }
        }
    } else {
        return None;
    }
    Some(Stamp { digest: hash.finalize().into(), executable: metadata.mode() & 0o111 != 0 })
}

/// Every file below a folder that `wanted` lets through.
pub(super) fn walk(root: &Path, wanted: &dyn Fn(&Path) -> bool, found: &mut BTreeSet<PathBuf>) {
    if !root.is_dir() {
        found.insert(root.to_owned());
        return;
    }
    let mut open = vec![root.to_owned()];
    while let Some(folder) = open.pop() {
        let Ok(listed) = std::fs::read_dir(&folder) else { continue };
        for item in listed.flatten() {
            let path = item.path();
            match item.file_type() {
                Ok(kind) if kind.is_dir() && wanted(&path) => open.push(path),
                Ok(kind) if !kind.is_dir() => {
                    found.insert(path);
                }
                Ok(_) | Err(_) => {}
            }
        }
    }
}
