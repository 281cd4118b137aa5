//! `watch`: an edit goes into the containers.
//!
//! ```text
//! inotify ─paths→ quiet for a moment, at most for a deadline ─stamps→ changes ─rules→ batch ─┬─ rebuild (pre-empted by newer edits)
//!                                                                                            ├─ sync: one archive a container, deletes
//!                                                                                            ├─ restart
//!                                                                                            └─ exec
//! ```
//!
//! A path that a service's rule rebuilds on is not also synced into that service. What fails is told, tried once more, and
//! left for the next batch; the other steps of the batch are taken all the same.

mod batch;
mod infer;
mod manifest;
mod rules;
mod state;
mod tree;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use drua_api::Client;
use drua_composefile::Project;
use tokio_util::sync::CancellationToken;

use self::batch::Batch;
use self::rules::Compiled;
use self::state::{Change, State};
use self::tree::Tree;
use crate::error::ComposeError;
use crate::observer::Observer;

pub use infer::infer;

/// How long no event may come before changes are acted upon.
const QUIET: Duration = Duration::from_millis(10);
/// How long changes wait at most, however many more come.
const DEADLINE: Duration = Duration::from_millis(100);

/// How to watch.
#[derive(Debug, Clone, Default)]
pub struct WatchOptions {
    /// Only these services; all that have rules when empty.
    pub services: Vec<String>,
    /// Remove images that a rebuild has replaced.
    pub prune: bool,
    /// Where manifests are kept, by which a later watch sees what changed while nobody watched; nowhere when absent.
    pub state_dir: Option<PathBuf>,
}

/// Watches until cancelled.
///
/// # Errors
/// [`ComposeError::Watch`] when there are no rules, or a path cannot be watched.
pub async fn watch(
    client: &Client,
    project: &Project,
    options: &WatchOptions,
    observer: &dyn Observer,
    cancel: &CancellationToken,
) -> Result<(), ComposeError> {
    let rules = Arc::new(rules::compile(project, &options.services)?);
    if rules.is_empty() {
        return Err(ComposeError::NothingToWatch);
    }
    let mut watcher = Watcher { client, project, options, observer, rules: rules.clone(), state: State::default() };
    let roots = rules::roots(&rules);
    let wanted = rules.clone();
    let tree = Tree::new(&roots, Box::new(move |folder| wanted.iter().any(|rule| rule.reaches(folder))));
    let mut tree = tree.map_err(|error| watcher.failed(&error))?;
    tracing::debug!(folders = tree.len(), "watching");
    watcher.start().await?;
    observer.watching(&roots.iter().map(|root| root.to_string_lossy().into_owned()).collect::<Vec<_>>());
    tokio::select! {
        () = cancel.cancelled() => {}
        result = watcher.run(&mut tree) => result?,
    }
    watcher.save().await;
    Ok(())
}

struct Watcher<'a> {
    client: &'a Client,
    project: &'a Project,
    options: &'a WatchOptions,
    observer: &'a dyn Observer,
    rules: Arc<Vec<Compiled>>,
    state: State,
}

impl Watcher<'_> {
    fn failed(&self, error: &std::io::Error) -> ComposeError {
        let service = self.rules[0].service.clone();
        ComposeError::Watch { service, why: format!("inotify: {error}") }
    }

    /// Every file that some rule counts.
    fn all_files(&self) -> BTreeSet<PathBuf> {
        let mut found = BTreeSet::new();
        for rule in self.rules.iter() {
            let mut below = BTreeSet::new();
            state::walk(&rule.path, &|folder| rule.reaches(folder), &mut below);
            found.extend(below.into_iter().filter(|path| rule.matches(path).is_some()));
        }
        found
    }

    /// Takes stock, sends what `initial_sync` asks for, and what changed since the last watch.
    async fn start(&mut self) -> Result<(), ComposeError> {
        for path in self.all_files() {
            self.state.note(path);
        }
        let mut batch = Batch::default();
        for rule in self.rules.iter().filter(|rule| rule.rule.initial_sync && rule.rule.action.syncs()) {
            for path in self.state.paths() {
                if let Some(relative) = rule.matches(&path) {
                    batch.add_initial(rule, &path, &relative);
                }
            }
        }
        if let Some(missed) = manifest::missed(self, &self.state).await {
            batch.add(&self.rules, &missed);
        }
        self.apply(batch, None).await;
        self.save().await;
        Ok(())
    }

    async fn run(&mut self, tree: &mut Tree) -> Result<(), ComposeError> {
        loop {
            let seen = tree.next().await.map_err(|error| self.failed(&error))?;
            let changes = self.settle(tree, seen).await?;
            if changes.is_empty() {
                continue;
            }
            let mut batch = Batch::default();
            batch.add(&self.rules, &changes);
            self.apply(batch, Some(tree)).await;
            self.save().await;
        }
    }

    /// Collects events until they pause, and finds out what has really changed.
    async fn settle(&mut self, tree: &mut Tree, first: tree::Seen) -> Result<BTreeMap<PathBuf, Change>, ComposeError> {
        let deadline = Instant::now() + DEADLINE;
        let mut paths = first.paths;
        let mut overflow = first.overflow;
        loop {
            let pause = QUIET.min(deadline.saturating_duration_since(Instant::now()));
            match tokio::time::timeout(pause, tree.next()).await {
                Err(_) => break,
                Ok(seen) => {
                    let seen = seen.map_err(|error| self.failed(&error))?;
                    paths.extend(seen.paths);
                    overflow |= seen.overflow;
                }
            }
            if Instant::now() >= deadline {
                break;
            }
        }
        if overflow {
            paths.extend(self.state.paths());
            paths.extend(self.all_files());
        }
        let mut changes = BTreeMap::new();
        for path in paths {
            // Folders are looked at for what is known below them.
            if overflow
                || path.is_dir()
                || !path.exists()
                || self.rules.iter().any(|rule| rule.matches(&path).is_some())
            {
                self.state.look(&path, &mut changes);
            }
        }
        changes.retain(|path, _| self.rules.iter().any(|rule| rule.matches(path).is_some()));
        Ok(changes)
    }

    /// Takes the steps of a batch. While it rebuilds, newer edits that rebuild too start it again.
    async fn apply(&mut self, mut batch: Batch, mut tree: Option<&mut Tree>) {
        while let Some(services) = batch.rebuilds() {
            let names: Vec<String> = services.iter().map(ToString::to_string).collect();
            self.observer.watch_action(&format!("rebuilding {} after changes were detected", names.join(", ")));
            let rebuilt = batch::rebuild(self.client, self.project, self.options, &names, self.observer);
            tokio::pin!(rebuilt);
            let mut newer: Option<tree::Seen> = None;
            let outcome = loop {
                let Some(tree) = tree.as_deref_mut() else { break rebuilt.as_mut().await };
                tokio::select! {
                    outcome = &mut rebuilt => break outcome,
                    seen = tree.next() => match seen {
                        Ok(seen) if self.rules.iter().any(|rule| {
                            batch::rebuilds(rule) && (seen.overflow || seen.paths.iter().any(|path| rule.matches(path).is_some()))
                        }) => {
                            newer = Some(seen);
                            break Ok(());
                        }
                        Ok(seen) => {
                            // It waits for its turn: the stamps still differ then.
                            for path in seen.paths {
                                batch.later.insert(path);
                            }
                        }
                        Err(error) => break Err(self.failed(&error)),
                    },
                }
            };
            if let (Some(seen), Some(tree)) = (newer, tree.as_deref_mut()) {
                self.observer.watch_action("a newer edit came; building again");
                if let Ok(changes) = self.settle(tree, seen).await {
                    batch.add(&self.rules, &changes);
                }
                continue;
            }
            if let Err(error) = outcome {
                self.observer.warning(&format!("rebuild failed: {}", drua_types::error_chain(&error)));
                for path in batch.rebuild_paths() {
                    self.state.forget(&path);
                }
            }
            batch.rebuilt();
        }
        let left = batch.copy_and_restart(self.client, self.project, self.observer).await;
        for path in left {
            self.state.forget(&path);
        }
        if !batch.later.is_empty() {
            let mut changes = BTreeMap::new();
            for path in std::mem::take(&mut batch.later) {
                self.state.look(&path, &mut changes);
            }
            let mut rest = Batch::default();
            rest.add(&self.rules, &changes);
            if rest.rebuilds().is_none() {
                for path in rest.copy_and_restart(self.client, self.project, self.observer).await {
                    self.state.forget(&path);
                }
            }
        }
    }

    async fn save(&self) {
        manifest::save(self, &self.state).await;
    }
}
