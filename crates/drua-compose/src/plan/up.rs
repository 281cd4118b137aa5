//! The plan for `up`: create what is missing, replace what has changed, start what does not run.

use std::collections::{BTreeMap, BTreeSet};

use drua_composefile::{Condition, Project, Service, ServiceName};

use super::{Action, CreateContainer, Plan, StepId, Target};
use crate::error::ComposeError;
use crate::hash::config_hash;
use crate::observe::{Observed, ObservedContainer};
use crate::references;

/// How to bring a project up.
#[derive(Debug, Clone, Default)]
pub struct UpOptions {
    /// Only these services and what they depend on; all when empty.
    pub services: Vec<String>,
    /// Leave the dependencies of named services alone.
    pub no_dependencies: bool,
    /// Replace containers even if nothing has changed.
    pub force_recreate: bool,
    /// Keep containers even if something has changed.
    pub no_recreate: bool,
    /// Do not start anything.
    pub no_start: bool,
    /// Remove containers of services that are no longer in the file.
    pub remove_orphans: bool,
    /// Do not carry anonymous volumes over from replaced containers.
    pub renew_anonymous_volumes: bool,
    /// Wait until services with a health check are healthy.
    pub wait: bool,
    /// How many containers, by service; wins over the file.
    pub scale: BTreeMap<String, u32>,
    /// Seconds until a container that has to stop is killed; its own when absent.
    pub timeout_seconds: Option<i64>,
    /// Build images even where they are there.
    pub build: bool,
    /// Never build.
    pub no_build: bool,
    /// `always`, `missing` or `never`; the services' own policies when absent.
    pub pull: Option<String>,
    /// Also replace the containers of dependencies whose configuration has not changed, with `force_recreate`.
    pub always_recreate_deps: bool,
    /// Say nothing of orphans.
    pub quiet_orphans: bool,
    /// Networks and volumes only.
    pub no_containers: bool,
}

/// Plans `up`. `images` has the id of every image that a selected service needs, by the name in the file.
///
/// # Errors
/// [`ComposeError::NoSuchService`], [`ComposeError::ExternalMissing`], [`ComposeError::ForeignNetwork`].
pub fn up(
    project: &Project,
    observed: &Observed,
    images: &BTreeMap<String, String>,
    options: &UpOptions,
) -> Result<Plan, ComposeError> {
    let named = options.services.iter().chain(options.scale.keys());
    if let Some(unknown) = named.into_iter().find(|name| !project.services.contains_key(name.as_str())) {
        return Err(ComposeError::NoSuchService(unknown.clone()));
    }
    let selected = super::selected(project, options);
    let mut planner = Planner {
        project,
        observed,
        images,
        options,
        plan: Plan::default(),
        done: BTreeMap::new(),
        waits: BTreeMap::new(),
    };
    planner.orphans();
    let networks = planner.networks(&selected)?;
    let volumes = planner.volumes(&selected)?;
    if options.no_containers {
        return Ok(planner.plan);
    }
    for name in &selected {
        if project.services[*name].provider.is_none() {
            planner.service(name, &networks, &volumes);
        }
    }
    if options.wait && !options.no_start {
        planner.wait_for_all(&selected);
    }
    Ok(planner.plan)
}

/// Steps that create networks or volumes, by key; keys of what exists already are absent.
type Created = BTreeMap<String, StepId>;

/// What planning one service left behind for those that depend on it.
#[derive(Default)]
struct Done {
    /// Steps after which its containers run.
    started: Vec<StepId>,
    /// Steps after which containers that are created anew have their names.
    created: Vec<StepId>,
    /// Names of its containers.
    containers: Vec<String>,
    /// Some container is being replaced or restarted.
    restarted: bool,
}

struct Planner<'a> {
    project: &'a Project,
    observed: &'a Observed,
    images: &'a BTreeMap<String, String>,
    options: &'a UpOptions,
    plan: Plan,
    done: BTreeMap<&'a ServiceName, Done>,
    /// Waits by service and condition, shared by all dependents that agree on whether it is required.
    waits: BTreeMap<(&'a ServiceName, &'static str, bool), StepId>,
}

impl<'a> Planner<'a> {
    fn orphans(&mut self) {
        let known = |name: &str| self.project.services.contains_key(name) || self.project.disabled.contains_key(name);
        let orphans: Vec<&ObservedContainer> =
            self.observed.containers.iter().filter(|container| !known(&container.service)).collect();
        if self.options.remove_orphans {
            for orphan in orphans {
                self.stop_and_remove(orphan, Vec::new());
            }
        } else if !orphans.is_empty() && !self.options.quiet_orphans {
            let names: Vec<&str> = orphans.iter().map(|container| container.name.as_str()).collect();
            let text = format!(
                "containers of services that are not in the file: {}; remove them with `--remove-orphans`",
                names.join(", ")
            );
            self.plan.warnings.push(text);
        }
    }

    fn networks(&mut self, selected: &[&ServiceName]) -> Result<Created, ComposeError> {
        let mut created = Created::new();
        let used: BTreeSet<&String> =
            selected.iter().flat_map(|name| self.project.services[*name].networks.keys()).collect();
        for (key, network) in self.project.networks.iter().filter(|(key, _)| used.contains(key)) {
            match self.observed.networks.get(&network.name) {
                None if network.external => {
                    return Err(ComposeError::ExternalMissing { kind: "network", name: network.name.clone() });
                }
                None => {
                    created.insert(key.clone(), self.plan.push(Action::CreateNetwork(key.clone()), []));
                }
                Some(there) if !network.external && there.project.as_deref() != Some(self.project.name.as_str()) => {
                    let project = self.project.name.to_string();
                    return Err(ComposeError::ForeignNetwork { name: network.name.clone(), project });
                }
                Some(_) => {}
            }
        }
        Ok(created)
    }

    fn volumes(&mut self, selected: &[&ServiceName]) -> Result<Created, ComposeError> {
        let mut created = Created::new();
        let mounts = selected.iter().flat_map(|name| &self.project.services[*name].volumes);
        let used: BTreeSet<&String> = mounts
            .filter(|mount| mount.kind == drua_composefile::MountKind::Volume)
            .filter_map(|mount| mount.source.as_ref())
            .collect();
        for (key, volume) in self.project.volumes.iter().filter(|(key, _)| used.contains(key)) {
            match self.observed.volumes.get(&volume.name) {
                None if volume.external => {
                    return Err(ComposeError::ExternalMissing { kind: "volume", name: volume.name.clone() });
                }
                None => {
                    created.insert(key.clone(), self.plan.push(Action::CreateVolume(key.clone()), []));
                }
                // Its data is what counts, so that it is used all the same.
                Some(owner) if !volume.external && owner.as_deref() != Some(self.project.name.as_str()) => {
                    let text = format!(
                        "volume `{}` exists already and does not belong to project `{}`; say `external: true` if it should be used",
                        volume.name, self.project.name
                    );
                    self.plan.warnings.push(text);
                }
                Some(_) => {}
            }
        }
        Ok(created)
    }

    fn service(&mut self, name: &'a ServiceName, networks: &Created, volumes: &Created) {
        let service = &self.project.services[name];
        let existing = self.observed.of_service(name.as_str());
        let wanted = self.options.scale.get(name.as_str()).copied().unwrap_or_else(|| service.replicas());
        let mut foundation = foundation(service, networks, volumes);
        let shared = crate::select::shared_with(service);
        let shared: Vec<&Done> =
            shared.into_iter().filter_map(|name| self.done.get(name.parse::<ServiceName>().ok().as_ref()?)).collect();
        foundation.extend(shared.iter().flat_map(|done| &done.created));
        // A namespace that is made anew takes those who share it along.
        let moved = shared.iter().any(|done| !done.created.is_empty());
        let gate = self.gate(service);
        let restart = self.must_restart(service);
        let mut done = Done::default();
        for (index, container) in existing.iter().enumerate() {
            if index >= wanted as usize {
                self.stop_and_remove(container, Vec::new());
            } else if (moved && !self.options.no_recreate) || self.is_outdated(name, service, container, networks) {
                self.replace(name, service, container, &foundation, &gate, &mut done);
            } else {
                self.keep(container, restart, &gate, &mut done);
            }
        }
        let mut numbers: BTreeSet<u32> = existing.iter().map(|container| container.number).collect();
        for _ in existing.len()..wanted as usize {
            let number = (1..).find(|number| numbers.insert(*number)).unwrap_or(u32::MAX);
            let full_name = container_name(self.project, name, service, number);
            let create = CreateContainer {
                service: name.clone(),
                number,
                name: full_name.clone(),
                final_name: full_name.clone(),
                replaces: None,
                inherits: Vec::new(),
                links: self.links(service),
                one_off: None,
            };
            let created = self.plan.push(Action::CreateContainer(create), foundation.clone());
            done.created.push(created);
            self.start(name, full_name.clone(), full_name, created, &gate, &mut done);
        }
        self.done.insert(name, done);
    }

    /// What has to be done before a container of the service starts: its dependencies' conditions.
    fn gate(&mut self, service: &'a Service) -> Vec<StepId> {
        let mut gate = Vec::new();
        for (name, dependency) in &service.depends_on {
            // Not there when `--no-deps` left it out.
            let Some((name, done)) = self.done.get_key_value(name) else { continue };
            let name = *name;
            match dependency.condition {
                Condition::Started => gate.extend(&done.started),
                Condition::Healthy => gate.extend(self.wait(name, dependency.condition, dependency.required)),
                Condition::CompletedSuccessfully => {
                    gate.extend(self.wait(name, dependency.condition, dependency.required));
                }
            }
        }
        gate.sort_unstable();
        gate.dedup();
        gate
    }

    fn wait(&mut self, name: &'a ServiceName, condition: Condition, required: bool) -> Option<StepId> {
        let done = self.done.get(name)?;
        if done.containers.is_empty() || self.options.no_start {
            return None;
        }
        let key = (name, if condition == Condition::Healthy { "healthy" } else { "completed" }, required);
        if let Some(step) = self.waits.get(&key) {
            return Some(*step);
        }
        let action = Action::Wait { service: name.clone(), containers: done.containers.clone(), condition, required };
        let step = self.plan.push(action, done.started.clone());
        self.waits.insert(key, step);
        Some(step)
    }

    fn wait_for_all(&mut self, selected: &[&'a ServiceName]) {
        for name in selected {
            let healthcheck = self.project.services[*name].healthcheck.as_ref();
            if healthcheck.is_some_and(|check| !check.disable) {
                self.wait(name, Condition::Healthy, true);
            }
        }
    }

    /// Whether a dependency with `restart: true` is being replaced.
    fn must_restart(&self, service: &Service) -> bool {
        let mut restarting = service.depends_on.iter().filter(|(_, dependency)| dependency.restart);
        restarting.any(|(name, _)| self.done.get(name).is_some_and(|done| done.restarted))
    }

    fn is_outdated(
        &self,
        name: &ServiceName,
        service: &Service,
        container: &ObservedContainer,
        created_networks: &Created,
    ) -> bool {
        if self.options.no_recreate {
            return false;
        }
        let image = self.images.get(&service.image_name(&self.project.name, name));
        let named =
            self.options.services.is_empty() || self.options.services.iter().any(|wanted| wanted == name.as_str());
        let forced = if named { self.options.force_recreate } else { self.options.always_recreate_deps };
        forced
            || container.config_hash.as_deref()
                != Some(config_hash(&references::resolve_observed(self.observed, service)).as_str())
            || (image.is_some() && container.image_id.as_ref() != image)
            || service.networks.keys().any(|key| created_networks.contains_key(key))
            || !self.is_attached(service, container)
            || !self.has_volumes(service, container)
    }

    /// Whether the container is on the networks that have the names now; they may have been removed and created again.
    fn is_attached(&self, service: &Service, container: &ObservedContainer) -> bool {
        let Some(attached) = &container.networks else { return true };
        let mut networks = service.networks.keys().filter_map(|key| self.project.networks.get(key));
        networks.all(|network| {
            let there = self.observed.networks.get(&network.name).map(|network| network.id.as_str());
            match attached.get(&network.name).map(String::as_str) {
                // The engine knows the network by name only while the container has never run.
                Some("") => true,
                attached => attached == there,
            }
        })
    }

    fn has_volumes(&self, service: &Service, container: &ObservedContainer) -> bool {
        let Some(mounted) = &container.volumes else { return true };
        let mounts =
            service.volumes.iter().filter_map(|mount| Some((self.project.volumes.get(mount.source.as_ref()?)?, mount)));
        mounts
            .into_iter()
            .all(|(volume, mount)| mounted.iter().any(|(name, path)| *name == volume.name && *path == mount.target))
    }

    fn keep(&mut self, container: &ObservedContainer, restart: bool, gate: &[StepId], done: &mut Done) {
        done.containers.push(container.name.clone());
        if container.running && !restart {
            self.plan.kept.push((container.service.clone(), container.name.clone()));
            return;
        }
        if self.options.no_start {
            return;
        }
        let mut after = gate.to_vec();
        if container.running {
            after.push(self.stop(container, Vec::new()));
            done.restarted = true;
        }
        done.started.push(self.plan.push(Action::Start(Target::observed(container)), after));
    }

    /// Creates the new one first: when that fails, the old one still runs.
    fn replace(
        &mut self,
        name: &'a ServiceName,
        service: &Service,
        old: &ObservedContainer,
        foundation: &[StepId],
        gate: &[StepId],
        done: &mut Done,
    ) {
        let final_name = container_name(self.project, name, service, old.number);
        let temporary = format!("{}_{final_name}", old.id.chars().take(12).collect::<String>());
        let create = CreateContainer {
            service: name.clone(),
            number: old.number,
            name: temporary.clone(),
            final_name: final_name.clone(),
            replaces: Some(old.id.clone()),
            inherits: if self.options.renew_anonymous_volumes { Vec::new() } else { self.inherited(service, old) },
            links: self.links(service),
            one_off: None,
        };
        let created = self.plan.push(Action::CreateContainer(create), foundation);
        let removed = self.stop_and_remove(old, vec![created]);
        let renamed = self.plan.push(Action::Rename { from: temporary, to: final_name.clone() }, [removed]);
        done.restarted = true;
        done.created.push(renamed);
        self.start(name, final_name.clone(), final_name, renamed, gate, done);
    }

    /// `links` of a service, by the names of the containers.
    fn links(&self, service: &Service) -> Vec<String> {
        let mut links = Vec::new();
        for link in &service.links {
            let (name, alias) = link.split_once(':').unwrap_or((link, link));
            let Some((name, target)) = self.project.services.get_key_value(name) else { continue };
            links.push(format!("{}:{alias}", container_name(self.project, name, target, 1)));
        }
        links
    }

    /// Anonymous volumes of the old container, declared by the image or the file: their data goes on in the new one.
    fn inherited(&self, service: &Service, old: &ObservedContainer) -> Vec<(String, String)> {
        // Engines name anonymous volumes by 64 hexadecimal digits.
        let is_anonymous = |name: &str| name.len() == 64 && name.bytes().all(|byte| byte.is_ascii_hexdigit());
        let is_named_now = |path: &str| {
            service
                .volumes
                .iter()
                .any(|mount| mount.target == path && (mount.source.is_some() || mount.tmpfs.is_some()))
        };
        let mounts = old.volumes.iter().flatten();
        mounts.filter(|(name, path)| is_anonymous(name) && !is_named_now(path)).cloned().collect()
    }

    fn start(
        &mut self,
        service: &ServiceName,
        container: String,
        name: String,
        created: StepId,
        gate: &[StepId],
        done: &mut Done,
    ) {
        done.containers.push(name.clone());
        if self.options.no_start {
            return;
        }
        let mut after = vec![created];
        after.extend(gate);
        let target = Target { container, name, service: service.to_string() };
        done.started.push(self.plan.push(Action::Start(target), after));
    }

    fn stop(&mut self, container: &ObservedContainer, after: Vec<StepId>) -> StepId {
        let target = Target::observed(container);
        self.plan.push(Action::Stop { target, timeout_seconds: self.options.timeout_seconds }, after)
    }

    fn stop_and_remove(&mut self, container: &ObservedContainer, after: Vec<StepId>) -> StepId {
        let after = if container.running { vec![self.stop(container, after)] } else { after };
        // Its anonymous volumes stay: what replaces it may have inherited them, and data is not `up`'s to remove.
        let volumes = self.options.renew_anonymous_volumes;
        self.plan.push(Action::Remove { target: Target::observed(container), volumes }, after)
    }
}

/// Waits for the conditions that a service has on containers that are there.
pub(crate) fn conditions(observed: &Observed, service: &Service) -> Plan {
    let mut plan = Plan::default();
    for (name, dependency) in &service.depends_on {
        let containers: Vec<String> =
            observed.of_service(name.as_str()).into_iter().map(|container| container.name.clone()).collect();
        if dependency.condition != Condition::Started && !containers.is_empty() {
            let (condition, required) = (dependency.condition, dependency.required);
            plan.push(Action::Wait { service: name.clone(), containers, condition, required }, []);
        }
    }
    plan
}

fn foundation(service: &Service, networks: &Created, volumes: &Created) -> Vec<StepId> {
    let networks = service.networks.keys().filter_map(|key| networks.get(key));
    let volumes = service.volumes.iter().filter_map(|mount| volumes.get(mount.source.as_ref()?));
    let steps: BTreeSet<StepId> = networks.chain(volumes).copied().collect();
    steps.into_iter().collect()
}

pub(crate) fn container_name(project: &Project, name: &ServiceName, service: &Service, number: u32) -> String {
    service.container_name.clone().unwrap_or_else(|| format!("{}-{name}-{number}", project.name))
}
