//! What the containers have, written down, so that the next watch sees what changed meanwhile.
//!
//! ```text
//! <state_dir>/<project>.json   {"containers": ["<id>", …], "files": {"<path>": "<digest>", …}}
//! ```
//!
//! It counts only for the very containers that it was written for: others were made of the image as it is.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::Watcher;
use super::state::{Change, State};
use crate::commands::ps;

/// The largest manifest that is read, in bytes.
const MAX_BYTES: u64 = 64 << 20;

#[derive(Debug, Default, Serialize, Deserialize)]
struct Manifest {
    containers: Vec<String>,
    files: BTreeMap<String, String>,
}

fn path(watcher: &Watcher<'_>) -> Option<PathBuf> {
    Some(watcher.options.state_dir.as_ref()?.join(format!("{}.json", watcher.project.name)))
}

async fn containers(watcher: &Watcher<'_>) -> Vec<String> {
    let services: Vec<String> = watcher.rules.iter().map(|rule| rule.service.to_string()).collect();
    let listed = ps(watcher.client, watcher.project.name.as_str(), &services, true).await.unwrap_or_default();
    let mut ids: Vec<String> = listed.into_iter().filter_map(|container| container.summary.id).collect();
    ids.sort();
    ids
}

/// What changed since the last watch of the same containers; `None` where there is nothing to compare with.
pub(super) async fn missed(watcher: &Watcher<'_>, state: &State) -> Option<BTreeMap<PathBuf, Change>> {
    let path = path(watcher)?;
    if std::fs::metadata(&path).ok()?.len() > MAX_BYTES {
        return None;
    }
    let manifest: Manifest = serde_json::from_slice(&std::fs::read(&path).ok()?).ok()?;
    if manifest.containers != containers(watcher).await {
        return None;
    }
    Some(state.differs(&manifest.files))
}

/// Writes down what the containers have now. That it cannot be written costs no more than the comparison.
pub(super) async fn save(watcher: &Watcher<'_>, state: &State) {
    let Some(path) = path(watcher) else { return };
    let manifest = Manifest { containers: containers(watcher).await, files: state.digests() };
    let written = serde_json::to_vec(&manifest).map_err(std::io::Error::other).and_then(|bytes| {
        fs_err::create_dir_all(path.parent().unwrap_or(&path))?;
        let temporary = path.with_extension("new");
        fs_err::write(&temporary, bytes)?;
        fs_err::rename(&temporary, &path)
    });
    if let Err(error) = written {
        tracing::warn!(%error, "cannot write down what the containers have");
    }
}
