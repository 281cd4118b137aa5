//! The engine's door for the server: finds the container, asks its actor, waits where the verb means waiting.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use drua_store::Store;
use drua_types::{ContainerId, ContainerName, NetworkId, Signal};
use tokio::sync::{oneshot, watch};

use crate::config::EngineConfig;
use crate::container::actor::{Command, Handle};
use crate::container::exec::Execs;
use crate::container::{Container, Resources, RestartPolicy, Status};
use crate::db::{Db, Table};
use crate::events::{EventBus, Scope};
use crate::log_changes::LogChanges;
use crate::network::{EndpointRequest, Networks};
use crate::shim::{AttachStreams, Attached};
use crate::shim_pool::ShimPool;
use crate::volume::Volumes;
use crate::{Error, Result};

/// What containers' actors and the facade share.
pub(crate) struct Shared {
    pub(crate) config: EngineConfig,
    pub(crate) db: Db,
    pub(crate) shims: Arc<ShimPool>,
    pub(crate) store: Store,
    pub(crate) networks: Networks,
    pub(crate) volumes: Volumes,
    pub(crate) events: EventBus,
    pub(crate) registry: Registry,
    pub(crate) leases: crate::files::Leases,
    /// Image registries.
    pub(crate) registries: RwLock<drua_registry::Registry>,
    /// How fast is fast enough, for all downloads together.
    pub(crate) pace: drua_registry::Pace,
    pub(crate) execs: Execs,
    pub(crate) log_changes: LogChanges,
    pub(crate) settings: RwLock<Arc<crate::Settings>>,
}

impl Shared {
    /// The settings in force.
    pub(crate) fn settings(&self) -> Arc<crate::Settings> {
        self.settings.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The registries, as they are to be reached now.
    pub(crate) fn registries(&self) -> drua_registry::Registry {
        self.registries.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Saves a container's record.
    pub(crate) fn save(&self, container: &Container) -> Result<()> {
        self.db.put(Table::Containers, container.id.as_str(), container)
    }
}

/// Which containers there are, by id and by name. Data only; nobody waits while holding its lock.
#[derive(Debug, Default)]
pub(crate) struct Registry {
    index: Mutex<Index>,
}

#[derive(Debug, Default)]
struct Index {
    handles: HashMap<ContainerId, Handle>,
    names: BTreeMap<ContainerName, ContainerId>,
}

impl Registry {
    /// Takes a name, before the container that will bear it exists.
    pub(crate) fn reserve(&self, name: &ContainerName, id: &ContainerId) -> Result<()> {
        let mut index = crate::lock(&self.index);
        if let Some(holder) = index.names.get(name) {
            return Err(Error::NameInUse { name: name.to_string(), holder: holder.clone() });
        }
        index.names.insert(name.clone(), id.clone());
        Ok(())
    }

    /// Gives a name back.
    pub(crate) fn release(&self, name: &ContainerName) {
        crate::lock(&self.index).names.remove(name);
    }

    pub(crate) fn insert(&self, id: ContainerId, handle: Handle) {
        crate::lock(&self.index).handles.insert(id, handle);
    }

    pub(crate) fn remove(&self, container: &Container) {
        let mut index = crate::lock(&self.index);
        index.handles.remove(&container.id);
        index.names.remove(&container.name);
    }

    pub(crate) fn rename(&self, id: &ContainerId, old: &ContainerName, new: &ContainerName) -> Result<()> {
        if old == new {
            let message = "Renaming a container with the same name as its current name".to_owned();
            return Err(Error::Invalid(message));
        }
        self.reserve(new, id)?;
        self.release(old);
        Ok(())
    }

    /// Full id, then exact name, then unique id prefix (moby's order).
    pub(crate) fn find(&self, text: &str) -> Result<Handle> {
        let index = crate::lock(&self.index);
        let wanted = text.strip_prefix('/').unwrap_or(text);
        let by_id = |id: &ContainerId| index.handles.get(id).cloned();
        if let Some(handle) = wanted.parse().ok().and_then(|id| by_id(&id)) {
            return Ok(handle);
        }
        let by_name = wanted.parse::<ContainerName>().ok().and_then(|name| index.names.get(&name).cloned());
        if let Some(handle) = by_name.and_then(|id| by_id(&id)) {
            return Ok(handle);
        }
        let mut matches = index.handles.iter().filter(|(id, _)| !wanted.is_empty() && id.as_str().starts_with(wanted));
        match (matches.next(), matches.next()) {
            (Some((_, handle)), None) => Ok(handle.clone()),
            (Some(_), Some(_)) => Err(Error::AmbiguousId(wanted.to_owned())),
            (None, _) => Err(Error::NoSuchContainer(wanted.to_owned())),
        }
    }

    /// Pictures of all containers, newest first.
    pub(crate) fn snapshots(&self) -> Vec<Arc<Container>> {
        let handles: Vec<Handle> = crate::lock(&self.index).handles.values().cloned().collect();
        let mut containers: Vec<_> =
            handles.iter().map(Handle::snapshot).filter(|container| !container.removed).collect();
        containers.sort_by(|a, b| b.created.cmp(&a.created).then_with(|| a.id.cmp(&b.id)));
        containers
    }
}

/// How `rm` removes.
#[derive(Debug, Clone, Copy, Default)]
pub struct RemoveContainer {
    /// Kill it first when it runs.
    pub force: bool,
    /// Also remove its anonymous volumes.
    pub volumes: bool,
}

/// What `wait` waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WaitCondition {
    /// Not running now, or the next exit.
    NotRunning,
    /// The next exit.
    NextExit,
    /// Removal.
    Removed,
}

/// How a wait ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Waited {
    /// The exit code.
    pub code: u32,
    /// Why the container failed to start, if it did.
    pub error: Option<String>,
}

/// All of drua's state on this machine. Cheap to clone.
#[derive(Clone)]
pub struct Engine {
    pub(crate) shared: Arc<Shared>,
}

impl std::fmt::Debug for Engine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Engine").field("data_root", &self.shared.config.data_root).finish_non_exhaustive()
    }
}

impl Engine {
    /// The configuration it was opened with.
    pub fn config(&self) -> &EngineConfig {
        &self.shared.config
    }

    /// The settings in force.
    pub fn settings(&self) -> Arc<crate::Settings> {
        self.shared.settings()
    }

    /// Puts other settings in force, for what is created, pulled and pushed from now on.
    ///
    /// # Errors
    /// [`Error::Invalid`] for a registry that cannot be understood; then everything stays as it is.
    pub fn set_settings(&self, settings: crate::Settings) -> Result<()> {
        let shared = &self.shared;
        let registries = drua_registry::Settings {
            insecure: settings.insecure_registries.clone(),
            mirrors: settings.registry_mirrors.clone(),
            ..shared.config.registries.clone()
        };
        registries.check().map_err(|error| Error::Invalid(error.to_string()))?;
        let before = self.settings();
        let same = |old: &crate::Settings| {
            (&old.insecure_registries, &old.registry_mirrors)
                == (&settings.insecure_registries, &settings.registry_mirrors)
        };
        if !same(&before) {
            let registry = drua_registry::Registry::new(registries);
            *shared.registries.write().unwrap_or_else(PoisonError::into_inner) = registry;
        }
        *shared.settings.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(settings);
        Ok(())
    }

    /// The image store. Its calls block.
    pub fn store(&self) -> &Store {
        &self.shared.store
    }

    /// What happens, as it happens.
    pub fn events(&self) -> &EventBus {
        &self.shared.events
    }

    /// Tells everyone that something was done with a container by a way that the engine does not see.
    pub fn publish_container_event(&self, container: &Container, action: &str) {
        let attributes = container.event_attributes();
        self.shared.events.publish(Scope::Container, action, container.id.as_str(), attributes);
    }

    /// Pictures of all containers, newest first. Never waits.
    pub fn containers(&self) -> Vec<Arc<Container>> {
        self.shared.registry.snapshots()
    }

    /// The picture of one container by id, name or unique id prefix.
    ///
    /// # Errors
    /// [`Error::NoSuchContainer`], [`Error::AmbiguousId`].
    pub fn container(&self, name: &str) -> Result<Arc<Container>> {
        Ok(self.shared.registry.find(name)?.snapshot())
    }

    /// Starts a container.
    ///
    /// # Errors
    /// [`Error::AlreadyRunning`]; [`Error::Task`] when its command cannot be run; [`Error::Network`].
    pub async fn start(&self, name: &str) -> Result<()> {
        self.shared.registry.find(name)?.call(|reply| Command::Start { reply }).await
    }

    /// Sends the stop signal, waits up to `timeout` seconds (-1: for ever; `None`: the container's own, 10), then kills.
    ///
    /// # Errors
    /// [`Error::AlreadyStopped`].
    pub async fn stop(&self, name: &str, signal: Option<Signal>, timeout: Option<i64>) -> Result<()> {
        let handle = self.shared.registry.find(name)?;
        let container = handle.snapshot();
        if !container.state.status.is_running() {
            return Err(Error::AlreadyStopped(container.id.clone()));
        }
        let mut watch = handle.watch();
        let signal = signal.or(container.config.stop_signal).unwrap_or(Signal::TERM);
        let timeout = timeout.or(container.config.stop_timeout).unwrap_or(10);
        let stopped = end(&handle, &mut watch, container.exits, signal, timeout).await?;
        let attributes = stopped.event_attributes();
        self.shared.events.publish(Scope::Container, "stop", stopped.id.as_str(), attributes);
        Ok(())
    }

    /// Stops (when running) and starts.
    ///
    /// # Errors
    /// Those of [`Engine::stop`] and [`Engine::start`].
    pub async fn restart(&self, name: &str, signal: Option<Signal>, timeout: Option<i64>) -> Result<()> {
        match self.stop(name, signal, timeout).await {
            Ok(()) | Err(Error::AlreadyStopped(_)) => {}
            Err(error) => return Err(error),
        }
        self.start(name).await?;
        let container = self.container(name)?;
        let attributes = container.event_attributes();
        self.shared.events.publish(Scope::Container, "restart", container.id.as_str(), attributes);
        Ok(())
    }

    /// Sends a signal to the container's init.
    ///
    /// # Errors
    /// [`Error::KillNotRunning`].
    pub async fn kill(&self, name: &str, signal: Signal) -> Result<()> {
        let handle = self.shared.registry.find(name)?;
        let container = handle.snapshot();
        let stops = signal == Signal::KILL || Some(signal) == container.config.stop_signal.or(Some(Signal::TERM));
        let mut watch = handle.watch();
        handle.call(|reply| Command::Kill { signal, stop: stops, reply }).await?;
        if signal == Signal::KILL {
            // As in moby: the answer to SIGKILL comes when the container is gone.
            let exits = container.exits;
            let gone = watch.wait_for(|now| now.exits > exits || now.removed);
            let _ = tokio::time::timeout(Duration::from_secs(12), gone).await;
        }
        Ok(())
    }

    /// Freezes a container.
    ///
    /// # Errors
    /// [`Error::Paused`], [`Error::NotRunning`].
    pub async fn pause(&self, name: &str) -> Result<()> {
        self.shared.registry.find(name)?.call(|reply| Command::Pause { reply }).await
    }

    /// Thaws a container.
    ///
    /// # Errors
    /// [`Error::NotPaused`].
    pub async fn unpause(&self, name: &str) -> Result<()> {
        self.shared.registry.find(name)?.call(|reply| Command::Resume { reply }).await
    }

    /// Tells a container's terminal its new size in characters.
    ///
    /// # Errors
    /// [`Error::NotRunning`].
    pub async fn resize(&self, name: &str, width: u32, height: u32) -> Result<()> {
        self.shared.registry.find(name)?.call(|reply| Command::Resize { width, height, reply }).await
    }

    /// Renames a container.
    ///
    /// # Errors
    /// [`Error::NameInUse`]; [`Error::Invalid`] for a bad or unchanged name.
    pub async fn rename(&self, name: &str, new: &str) -> Result<()> {
        let new = new.strip_prefix('/').unwrap_or(new);
        let new = new.parse().map_err(|error: drua_types::InvalidName| Error::Invalid(error.to_string()))?;
        self.shared.registry.find(name)?.call(|reply| Command::Rename { name: new, reply }).await
    }

    /// Changes limits and restart policy of a container; live when it runs. `resources` are all of them, `echo` is what
    /// inspect shows of the change.
    ///
    /// # Errors
    /// [`Error::NoSuchContainer`]; the kernel's refusal.
    pub async fn update(
        &self,
        name: &str,
        resources: Resources,
        policy: Option<RestartPolicy>,
        echo: serde_json::Map<String, serde_json::Value>,
    ) -> Result<()> {
        let resources = Box::new(resources);
        let handle = self.shared.registry.find(name)?;
        handle.call(|reply| Command::Update { resources, policy, echo, reply }).await
    }

    /// Removes a container.
    ///
    /// # Errors
    /// [`Error::RemoveRunning`], [`Error::RemovePaused`] without `force`; [`Error::RemovalInProgress`].
    pub async fn remove(&self, name: &str, options: RemoveContainer) -> Result<()> {
        let handle = self.shared.registry.find(name)?;
        let container = handle.snapshot();
        if container.state.status == Status::Removing {
            return Err(Error::RemovalInProgress(container.name.to_string()));
        }
        if options.force && container.state.status.is_running() {
            let mut watch = handle.watch();
            match end(&handle, &mut watch, container.exits, Signal::KILL, 10).await {
                // It ended by itself meanwhile, or goes with its exit: both are what was asked for.
                Ok(_) | Err(Error::KillNotRunning { .. } | Error::NoSuchContainer(_)) => {}
                Err(error) => return Err(error),
            }
        }
        let removed = handle.call(|reply| Command::Remove { volumes: options.volumes, reply }).await;
        match removed {
            Err(Error::NoSuchContainer(_)) if options.force || container.host.auto_remove => Ok(()),
            result => result,
        }
    }

    /// Begins to wait: everything that happens after this call returns is seen by the returned future.
    ///
    /// # Errors
    /// [`Error::NoSuchContainer`].
    pub fn wait(&self, name: &str, condition: WaitCondition) -> Result<impl Future<Output = Waited> + Send + 'static> {
        let handle = self.shared.registry.find(name)?;
        let watch = handle.watch();
        let exits = handle.snapshot().exits;
        Ok(wait(watch, condition, exits))
    }

    /// Registers a client for a container's stdio. The receiver delivers the connection: at once when it runs, else at
    /// the next start, before the first output. What is on the connection is defined by the shim's attach protocol.
    ///
    /// # Errors
    /// [`Error::AttachPaused`], [`Error::AttachRestarting`], [`Error::MarkedForRemoval`].
    pub async fn attach(&self, name: &str, streams: AttachStreams) -> Result<oneshot::Receiver<Attached>> {
        self.shared.registry.find(name)?.call(|reply| Command::Attach { streams, reply }).await
    }

    /// Tells everybody what happened to a container where only the caller knows: `detach`, for instance.
    pub fn announce(&self, name: &str, action: &str) {
        if let Ok(container) = self.container(name) {
            let attributes = container.event_attributes();
            self.shared.events.publish(Scope::Container, action, container.id.as_str(), attributes);
        }
    }

    /// Host pids of a container's processes.
    ///
    /// # Errors
    /// [`Error::NotRunning`].
    pub async fn pids(&self, name: &str) -> Result<Vec<u32>> {
        self.shared.registry.find(name)?.call(|reply| Command::Pids { reply }).await
    }

    /// Connects a container to a network; live when it runs.
    ///
    /// # Errors
    /// [`Error::NoSuchNetwork`]; [`Error::Denied`] when it is connected already.
    pub async fn connect(&self, network: &str, container: &str, request: EndpointRequest) -> Result<()> {
        let network: NetworkId = self.shared.networks.find(network)?.id.clone();
        self.shared.registry.find(container)?.call(|reply| Command::Connect { network, request, reply }).await
    }

    /// Disconnects a container from a network; live when it runs.
    ///
    /// # Errors
    /// [`Error::NoSuchNetwork`]; [`Error::Denied`] when it is not connected.
    pub async fn disconnect(&self, network: &str, container: &str) -> Result<()> {
        let network = self.shared.networks.find(network)?.id.clone();
        self.shared.registry.find(container)?.call(|reply| Command::Disconnect { network, reply }).await
    }
}

/// Signals a container until it has ended: `signal` first, SIGKILL after `timeout` seconds (-1: never).
async fn end(
    handle: &Handle,
    watch: &mut watch::Receiver<Arc<Container>>,
    exits: u64,
    signal: Signal,
    timeout: i64,
) -> Result<Arc<Container>> {
    let ended = move |now: &Arc<Container>| now.exits > exits || now.removed || !now.state.status.is_running();
    let sent = handle.call(|reply| Command::Kill { signal, stop: true, reply }).await;
    if let Err(error) = sent
        && !ended(&handle.snapshot())
    {
        return Err(error);
    }
    let gone = || Error::NoSuchContainer(handle.snapshot().id.to_string());
    let patience = u64::try_from(timeout).map_or(Duration::MAX, Duration::from_secs);
    if let Ok(result) = tokio::time::timeout(patience, watch.wait_for(ended)).await {
        return result.map(|now| now.clone()).map_err(|_| gone());
    }
    match handle.call(|reply| Command::Kill { signal: Signal::KILL, stop: true, reply }).await {
        Ok(()) | Err(Error::KillNotRunning { .. }) => {}
        Err(error) => return Err(error),
    }
    match tokio::time::timeout(Duration::from_secs(10), watch.wait_for(ended)).await {
        Ok(result) => result.map(|now| now.clone()).map_err(|_| gone()),
        Err(_) => {
            let id = handle.snapshot().id.clone();
            let message = "its process does not end on SIGKILL; it is probably stuck in the kernel".to_owned();
            Err(Error::Shim { id, message })
        }
    }
}

async fn wait(mut watch: watch::Receiver<Arc<Container>>, condition: WaitCondition, exits: u64) -> Waited {
    let done = |now: &Arc<Container>| {
        let exited = now.exits > exits;
        match condition {
            _ if now.removed => true,
            WaitCondition::NotRunning => exited || !now.state.status.is_running(),
            WaitCondition::NextExit => exited,
            WaitCondition::Removed => false,
        }
    };
    // The sender goes only after it has published the removed picture.
    // The very picture that satisfied the condition: a restart may already have made a new one.
    let woken = watch.wait_for(done).await.ok().map(|now| now.clone());
    let last = woken.unwrap_or_else(|| watch.borrow().clone());
    // Whoever waits for removal has heard of a failed start from the start itself.
    let failed = condition != WaitCondition::Removed && !last.state.error.is_empty();
    let error = failed.then(|| last.state.error.clone());
    Waited { code: last.state.exit_code, error }
}

/// Takes a container out of the database and the indexes. Blocking; safe to repeat.
pub(crate) fn forget_container(shared: &Shared, container: &Container, volumes: bool) -> Result<()> {
    shared.db.delete(Table::Containers, container.id.as_str())?;
    shared.registry.remove(container);
    shared.execs.forget(shared, &container.id)?;
    if volumes {
        shared.volumes.remove_anonymous_of(&shared.db, &shared.events, container);
    }
    Ok(())
}
