//! The steps that changes ask for, and how they are taken.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use drua_api::client::{PutArchive, StopOptions};
use drua_api::models::ExecConfig;
use drua_api::{Client, Filters};
use drua_composefile::{Hook, Project, ServiceName, WatchAction};
use tokio_util::sync::CancellationToken;

use super::WatchOptions;
use super::rules::Compiled;
use super::state::Change;
use crate::archive::{self, Entry, Owner};
use crate::commands::ps;
use crate::error::ComposeError;
use crate::hooks;
use crate::labels;
use crate::observer::Observer;
use crate::plan::{Target, UpOptions};

/// What is to be done for one service.
#[derive(Debug, Default)]
struct Work {
    /// Container paths and the files that go there.
    copies: BTreeMap<String, PathBuf>,
    /// Container paths that go, with the files that went.
    deletes: BTreeMap<String, PathBuf>,
    rebuild: BTreeSet<PathBuf>,
    restart: bool,
    execs: Vec<Hook>,
}

/// What changes ask for.
#[derive(Debug, Default)]
pub(super) struct Batch {
    work: BTreeMap<ServiceName, Work>,
    /// Paths that changed while a rebuild ran.
    pub(super) later: BTreeSet<PathBuf>,
}

/// Whether a rule rebuilds.
pub(super) fn rebuilds(rule: &Compiled) -> bool {
    rule.rule.action == WatchAction::Rebuild
}

impl Batch {
    /// Adds what rules make of changes.
    pub(super) fn add(&mut self, rules: &[Compiled], changes: &BTreeMap<PathBuf, Change>) {
        for (path, change) in changes {
            let matching: Vec<(&Compiled, PathBuf)> =
                rules.iter().filter_map(|rule| Some((rule, rule.matches(path)?))).collect();
            for (rule, relative) in &matching {
                let work = self.work.entry(rule.service.clone()).or_default();
                let is_rebuilt = matching.iter().any(|(other, _)| other.service == rule.service && rebuilds(other));
                match rule.rule.action {
                    WatchAction::Rebuild => {
                        work.rebuild.insert(path.clone());
                    }
                    WatchAction::Restart => work.restart = true,
                    // The new image has it.
                    _ if is_rebuilt => {}
                    WatchAction::Sync | WatchAction::SyncRestart | WatchAction::SyncExec => {
                        work.copy(rule, path, relative, *change);
                        work.restart |= rule.rule.action == WatchAction::SyncRestart;
                        if rule.rule.action == WatchAction::SyncExec && !work.execs.contains(&rule.rule.exec) {
                            work.execs.push(rule.rule.exec.clone());
                        }
                    }
                }
            }
        }
    }

    /// Adds a file that is copied since watching begins.
    pub(super) fn add_initial(&mut self, rule: &Compiled, path: &Path, relative: &Path) {
        self.work.entry(rule.service.clone()).or_default().copy(rule, path, relative, Change::Written);
    }

    /// Services to rebuild, if any.
    pub(super) fn rebuilds(&self) -> Option<Vec<ServiceName>> {
        let names: Vec<ServiceName> =
            self.work.iter().filter(|(_, work)| !work.rebuild.is_empty()).map(|(name, _)| name.clone()).collect();
        (!names.is_empty()).then_some(names)
    }

    /// The paths that asked for a rebuild.
    pub(super) fn rebuild_paths(&self) -> Vec<PathBuf> {
        self.work.values().flat_map(|work| work.rebuild.iter().cloned()).collect()
    }

    /// The services have been rebuilt, or could not be; new containers need no restart.
    pub(super) fn rebuilt(&mut self) {
        for work in self.work.values_mut().filter(|work| !work.rebuild.is_empty()) {
            work.rebuild.clear();
            work.restart = false;
        }
    }

    /// Copies, restarts and runs commands, all services at once. Returns the files that could not be delivered.
    pub(super) async fn copy_and_restart(
        &mut self,
        client: &Client,
        project: &Project,
        observer: &dyn Observer,
    ) -> Vec<PathBuf> {
        let work = std::mem::take(&mut self.work);
        let steps = work.into_iter().filter(|(_, work)| !work.is_empty()).map(|(name, work)| async move {
            let mut left = Vec::new();
            for attempt in 0.. {
                match work.deliver(client, project, &name, observer).await {
                    Ok(()) => break,
                    Err(error) => {
                        let why = drua_types::error_chain(&error);
                        if attempt > 0 {
                            observer.warning(&format!("could not sync `{name}`: {why}"));
                            left.extend(work.copies.values().chain(work.deletes.values()).cloned());
                            break;
                        }
                        observer.warning(&format!("could not sync `{name}`, trying again: {why}"));
                        tokio::time::sleep(std::time::Duration::from_millis(200)).await;
                    }
                }
            }
            left
        });
        futures_util::future::join_all(steps).await.into_iter().flatten().collect()
    }
}

impl Work {
    fn is_empty(&self) -> bool {
        self.copies.is_empty() && self.deletes.is_empty() && !self.restart && self.execs.is_empty()
    }

    fn copy(&mut self, rule: &Compiled, path: &Path, relative: &Path, change: Change) {
        let Some(target) = rule.target(relative) else { return };
        match change {
            Change::Written => {
                self.deletes.remove(&target);
                self.copies.insert(target, path.to_owned());
            }
            Change::Removed => {
                self.copies.remove(&target);
                self.deletes.insert(target, path.to_owned());
            }
        }
    }

    async fn deliver(
        &self,
        client: &Client,
        project: &Project,
        name: &ServiceName,
        observer: &dyn Observer,
    ) -> Result<(), ComposeError> {
        let services = [name.to_string()];
        let containers = ps(client, project.name.as_str(), &services, false).await?;
        let one = |container: crate::ProjectContainer| async move {
            let id = container.summary.id.clone().unwrap_or_else(|| container.name.clone());
            let target = Target { container: id, name: container.name, service: name.to_string() };
            if !self.copies.is_empty() || !self.deletes.is_empty() {
                self.sync(client, &target).await?;
                let (copied, removed) = (self.copies.len(), self.deletes.len());
                observer.watch_action(&format!("synced {} ({copied} written, {removed} removed)", target.name));
            }
            if self.restart {
                let options = StopOptions::default();
                let request = client.container_restart(&target.container, &options);
                request.await.map_err(ComposeError::request(format!("restart container `{}`", target.name)))?;
                observer.watch_action(&format!("restarted {}", target.name));
            }
            hooks::run(client, observer, project, &self.execs, &target).await
        };
        let done = futures_util::future::join_all(containers.into_iter().map(one)).await;
        ComposeError::of(done.into_iter().filter_map(Result::err).collect())
    }

    async fn sync(&self, client: &Client, target: &Target) -> Result<(), ComposeError> {
        let what = || format!("copy files into container `{}`", target.name);
        if !self.copies.is_empty() {
            let owner = self.owner(client, target).await?;
            let entries = || {
                let entry = |(name, source): (&String, &PathBuf)| Entry {
                    source: source.clone(),
                    name: PathBuf::from(name.trim_start_matches('/')),
                };
                self.copies.iter().map(entry).collect::<Vec<_>>()
            };
            let (owner, by_name) = match owner {
                Some(owner) => (owner, false),
                None => (Owner::Root, true),
            };
            let put = |as_container_user| {
                let options = PutArchive { keep_kinds: false, copy_owners: as_container_user };
                client.container_archive_put(
                    &target.container,
                    "/",
                    archive::stream(entries(), owner, Vec::new()),
                    options,
                )
            };
            let mut copied = put(by_name).await;
            if by_name && copied.is_err() {
                // The engine does not find the user's name in the container.
                copied = put(false).await;
            }
            copied.map_err(ComposeError::request(what()))?;
        }
        if !self.deletes.is_empty() {
            self.delete(client, target).await?;
        }
        Ok(())
    }

    /// Who owns what is copied: the container's user where it is a number; `None` where it is a name.
    async fn owner(&self, client: &Client, target: &Target) -> Result<Option<Owner>, ComposeError> {
        let inspected = client.container_inspect(&target.container).await;
        let inspected = inspected.map_err(ComposeError::request(format!("inspect container `{}`", target.name)))?;
        let user = inspected.config.and_then(|config| config.user).unwrap_or_default();
        if user.is_empty() || user == "root" {
            return Ok(Some(Owner::Root));
        }
        let (user, group) = user.split_once(':').unwrap_or((&user, &user));
        Ok(user.parse().ok().map(|uid| Owner::Is(uid, group.parse().unwrap_or(uid))))
    }

    /// Removes paths by the engine itself where it can, else by the image's own `rm`.
    async fn delete(&self, client: &Client, target: &Target) -> Result<(), ComposeError> {
        let what = || format!("remove files from container `{}`", target.name);
        let paths: Vec<String> = self.deletes.keys().cloned().collect();
        match client.container_paths_remove(&target.container, &paths).await {
            Ok(()) => return Ok(()),
            // Another engine.
            Err(error) if matches!(error.status(), Some(400 | 404 | 405 | 501)) => {}
            Err(error) => return Err(ComposeError::request(what())(error)),
        }
        let mut cmd = vec!["rm".to_owned(), "-rf".to_owned(), "--".to_owned()];
        cmd.extend(paths);
        let command = ExecConfig {
            cmd: Some(cmd),
            attach_stdout: Some(true),
            attach_stderr: Some(true),
            ..ExecConfig::default()
        };
        let ran = async {
            let id = client.exec_create(&target.container, &command).await?;
            let mut attached = client.exec_start(&id, false, None).await?;
            while attached.output.next().await.transpose()?.is_some() {}
            client.exec_inspect(&id).await
        };
        match ran.await.map_err(ComposeError::request(what()))?.exit_code {
            Some(0) | None => Ok(()),
            Some(status) => {
                Err(ComposeError::Hook { container: target.name.clone(), command: "rm -rf".to_owned(), status })
            }
        }
    }
}

/// Builds the images of services and recreates their containers, those that share an image included.
pub(super) async fn rebuild(
    client: &Client,
    project: &Project,
    options: &WatchOptions,
    services: &[String],
    observer: &dyn Observer,
) -> Result<(), ComposeError> {
    let mut all: BTreeSet<String> = services.iter().cloned().collect();
    for name in services {
        let build = project.services.get(name.as_str()).and_then(|service| service.build.as_ref());
        let same =
            project.services.iter().filter(|(_, service)| service.build.is_some() && service.build.as_ref() == build);
        all.extend(same.map(|(name, _)| name.to_string()));
    }
    let options_up = UpOptions {
        services: all.into_iter().collect(),
        no_dependencies: true,
        build: true,
        quiet_orphans: true,
        ..UpOptions::default()
    };
    crate::up(client, project, &options_up, observer, &CancellationToken::new()).await?;
    if options.prune {
        let filters =
            Filters::new().with("dangling", "true").with("label", &format!("{}={}", labels::PROJECT, project.name));
        // What is still used stays, and is the next rebuild's to remove.
        let _ = client.image_prune(&filters).await;
    }
    Ok(())
}
