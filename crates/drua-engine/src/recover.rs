//! Opening the engine: what an earlier daemon left behind becomes the present state again.
//!
//! A container that was running is found through its shim's socket. If its process ended meanwhile, the shim (or its exit
//! record on disk) says how and when, and clients hear `die` late rather than never.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use containerd_shim_protos::types::task::Status as TaskStatus;
use drua_store::Store;
use drua_types::{ContainerId, annotations};
use jiff::Timestamp;

use crate::config::EngineConfig;
use crate::container::{Container, RestartPolicy, State, Status, actor};
use crate::db::{Db, Table};
use crate::engine::{Engine, Registry, Shared};
use crate::events::EventBus;
use crate::network::Networks;
use crate::shim::{Exit, ExitRecord, Shim};
use crate::shim_pool::ShimPool;
use crate::volume::Volumes;
use crate::{Error, Result, blocking};

/// What is reported when nobody knows how a process ended, as Docker does.
const UNKNOWN_EXIT: u32 = 255;
/// The longest path that a socket can have (`unix(7)`).
const MAX_SOCKET_PATH: usize = 107;
/// A container whose shim died is killed.
const KILLED: u32 = 137;

/// How a process ended whose shim is gone: by its record, else killed just now.
pub(crate) fn exit_without_shim(state_dir: &Path) -> Exit {
    match ExitRecord::read(state_dir) {
        Some(record) => Exit { code: record.status, at: record.exited_at, oom_killed: record.oom_killed },
        None => Exit { code: KILLED, at: Timestamp::now(), oom_killed: false },
    }
}

impl Engine {
    /// Opens the state of `config`, takes over running containers and starts those whose restart policy says so.
    ///
    /// # Errors
    /// When directories, the database, the image store or the default network cannot be set up. A single container that
    /// cannot be restored is logged and shown as exited.
    pub async fn open(config: EngineConfig) -> Result<Self> {
        let (shared, records) = blocking::run(move || load(config)).await?;
        let shared = Arc::new(shared);
        let mut restored = Vec::new();
        for mut container in records {
            if shared.registry.reserve(&container.name, &container.id).is_err() {
                tracing::error!(container.id = %container.id, name = %container.name, "two containers have one name");
                continue;
            }
            let shim = reconnect(&shared, &mut container).await;
            restored.push((container, shim));
        }
        let known = shared.db.keys(Table::Containers)?;
        sweep(&shared, &restored, &known).await;
        shared.networks.restore(&shared.config, restored.iter().map(|(container, _)| container))?;
        let running: Vec<_> =
            restored.iter().map(|(container, shim)| (Arc::new(container.clone()), shim.clone())).collect();
        crate::execs::restore(&shared, &running).await?;
        drop(running);
        for (container, shim) in &restored {
            if shim.is_some() {
                shared.volumes.adopt(container);
            }
        }
        shared.volumes.unmount_idle();
        let mut to_start = Vec::new();
        for (container, shim) in restored {
            let id = container.id.clone();
            let due = shim.is_none() && wants_start(&container);
            let removable = container.state.status == Status::Removing
                || (shim.is_none() && container.host.auto_remove && container.state.status == Status::Exited);
            let handle = actor::spawn(shared.clone(), container, shim);
            shared.registry.insert(id.clone(), handle);
            if removable {
                to_start.push((id, Due::Remove));
            } else if due {
                to_start.push((id, Due::Start));
            }
        }
        let engine = Self { shared };
        if known.len() == engine.containers().len() {
            // With a record that nobody can read, nobody knows which images are in use.
            let store = engine.clone();
            blocking::beside(move || store.sweep_images());
        }
        let shims = engine.shared.shims.clone();
        blocking::beside(move || shims.warm());
        let background = engine.clone();
        tokio::spawn(async move {
            for (id, due) in to_start {
                let result = match due {
                    Due::Start => background.start(id.as_str()).await,
                    Due::Remove => {
                        let options = crate::RemoveContainer { force: true, volumes: true };
                        background.remove(id.as_str(), options).await
                    }
                };
                if let Err(error) = result {
                    tracing::warn!(container.id = %id, %error, "left as it is after the restart");
                }
            }
        });
        Ok(engine)
    }
}

enum Due {
    Start,
    Remove,
}

fn load(config: EngineConfig) -> Result<(Shared, Vec<Container>)> {
    let longest = config.bundle(&ContainerId::random()).join("shim.sock");
    if longest.as_os_str().len() > MAX_SOCKET_PATH {
        let excess = longest.as_os_str().len() - MAX_SOCKET_PATH;
        let root = config.exec_root.display();
        return Err(Error::Invalid(format!(
            "the exec root `{root}` is {excess} bytes too long: the paths of sockets in it would exceed {MAX_SOCKET_PATH} bytes"
        )));
    }
    make_dirs(&config)?;
    let db = Db::open(&config.database())?;
    let store = Store::open(&config.data_root).map_err(Error::image("open the image store"))?;
    let networks = Networks::open(&config, &db)?;
    let volumes = Volumes::open(&config.volumes(), &db)?;
    let records = db.all::<Container>(Table::Containers)?;
    let shims = Arc::new(ShimPool::new(config.shim.clone(), config.exec_root.join("shim")));
    config.registries.check().map_err(|error| Error::Invalid(error.to_string()))?;
    let shared = Shared {
        shims,
        registries: drua_registry::Registry::new(config.registries.clone()).into(),
        pace: drua_registry::Pace::default(),
        config,
        db,
        store,
        networks,
        volumes,
        events: EventBus::default(),
        registry: Registry::default(),
        leases: crate::files::Leases::default(),
        execs: Default::default(),
        log_changes: Default::default(),
        settings: std::sync::RwLock::default(),
    };
    Ok((shared, records))
}

fn make_dirs(config: &EngineConfig) -> Result<()> {
    use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
    let data = ["containers", "volumes", "aot"].map(|name| config.data_root.join(name));
    let exec = ["shim", "netns"].map(|name| config.exec_root.join(name));
    let roots = [config.data_root.clone(), config.exec_root.clone()];
    for dir in roots.iter().chain(&data).chain(&exec) {
        // Images and volumes hold set-id files of foreign provenance: local users must not reach them (CVE-2021-41091).
        let mode = match dir {
            dir if data.contains(dir) => 0o700,
            dir if *dir == config.data_root => 0o710,
            _ => 0o711,
        };
        std::fs::DirBuilder::new().recursive(true).mode(mode).create(dir).map_err(Error::io("create", dir))?;
        // Also where the directory was there already.
        std::fs::set_permissions(dir, std::fs::Permissions::from_mode(mode))
            .map_err(Error::io("set the mode of", dir))?;
    }
    Ok(())
}

/// Brings a record's state up to date; returns the shim when the container still runs.
async fn reconnect(shared: &Shared, container: &mut Container) -> Option<Shim> {
    if !matches!(container.state.status, Status::Running | Status::Paused) {
        if !container.endpoints.is_empty() || !container.published.is_empty() {
            // The last daemon ended between the exit and the end of the teardown.
            container.endpoints.clear();
            container.published.clear();
            if let Err(error) = shared.save(container) {
                tracing::error!(container.id = %container.id, %error, "state is not saved");
            }
        }
        return None;
    }
    // A task in status 2 (running) or 4 (paused) is alive; the actor's waiter does the rest, also for one that has
    // stopped meanwhile: its shim still answers `wait`.
    if let Ok(shim) = Shim::connect(&shared.config, &container.id).await
        && let Ok(state) = shim.state().await
    {
        tracing::info!(container.id = %container.id, status = ?state.status, "took over");
        // A pause may have been under way.
        container.state.status = match state.status.enum_value() {
            Ok(TaskStatus::PAUSED) => Status::Paused,
            _ => Status::Running,
        };
        return Some(shim);
    }
    let dir = shared.config.container_dir(&container.id);
    let exit = match ExitRecord::read(&dir) {
        Some(record) => Exit { code: record.status, at: record.exited_at, oom_killed: record.oom_killed },
        None => Exit { code: UNKNOWN_EXIT, at: Timestamp::now(), oom_killed: false },
    };
    tracing::warn!(container.id = %container.id, code = exit.code, "its shim is gone");
    container.state = State {
        status: Status::Exited,
        pid: 0,
        exit_code: exit.code,
        finished_at: Some(exit.at),
        oom_killed: exit.oom_killed,
        ..container.state.clone()
    };
    container.exits += 1;
    container.endpoints.clear();
    container.published.clear();
    if let Err(error) = shared.save(container) {
        tracing::error!(container.id = %container.id, %error, "state is not saved");
    }
    let mut attributes = container.event_attributes();
    attributes.insert("exitCode".to_owned(), exit.code.to_string());
    shared.events.publish(crate::Scope::Container, "die", container.id.as_str(), attributes);
    None
}

fn wants_start(container: &Container) -> bool {
    match container.host.restart {
        RestartPolicy::No => false,
        RestartPolicy::Always => container.state.started_at.is_some(),
        RestartPolicy::UnlessStopped => container.state.started_at.is_some() && !container.manually_stopped,
        RestartPolicy::OnFailure(max) => {
            let failed = container.state.exit_code != 0 && container.state.started_at.is_some();
            failed && !container.manually_stopped && (max == 0 || container.restart_count < max)
        }
    }
}

/// Ends and removes what dead or unrecorded runs have left: shims with their processes, bundles, network namespaces,
/// directories of containers whose creation or removal was cut short.
///
/// A container whose record is there but was not restored (another version's, or a damaged one) is left alone, whole.
async fn sweep(shared: &Shared, restored: &[(Container, Option<Shim>)], known: &[String]) {
    let is_restored = |id: &ContainerId| restored.iter().any(|(container, _)| container.id == *id);
    let foreign = |id: &ContainerId| !is_restored(id) && known.iter().any(|key| key == id.as_str());
    let alive = |id: &ContainerId| {
        foreign(id) || restored.iter().any(|(container, shim)| container.id == *id && shim.is_some())
    };
    for dir in entries(&shared.config.exec_root.join("shim")) {
        match bundle_owner(&dir) {
            Some(id) if alive(&id) => {}
            Some(id) => Shim::discard(&shared.config, &shared.shims, &id).await,
            None => drop(crate::remove_dir(&dir)),
        }
    }
    for path in entries(&shared.config.exec_root.join("netns")) {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let in_use = known.iter().any(|id| id.starts_with(&name) && id.parse().is_ok_and(|id| alive(&id)));
        if !in_use {
            // Pinned or a leftover file: either way it goes, and if it does not, the next start says so.
            let _ = drua_net::netns::remove(&path);
        }
    }
    crate::container::host_mounts::sweep(&shared.config, |name| {
        known.iter().any(|id| id.starts_with(name) && id.parse().is_ok_and(|id| alive(&id)))
    });
    for dir in entries(&shared.config.data_root.join("containers")) {
        let id = dir.file_name().and_then(|name| name.to_str()?.parse::<ContainerId>().ok());
        if id.is_some_and(|id| !is_restored(&id) && !foreign(&id))
            && let Err(error) = crate::remove_dir(&dir)
        {
            tracing::warn!(%error, "the directory of a container that is gone stays");
        }
    }
}

fn entries(dir: &Path) -> Vec<PathBuf> {
    std::fs::read_dir(dir).into_iter().flatten().flatten().map(|entry| entry.path()).collect()
}

/// The container whose bundle this is: the directory's name is only a part of its id.
fn bundle_owner(bundle: &Path) -> Option<ContainerId> {
    let spec: serde_json::Value = serde_json::from_slice(&fs_err::read(bundle.join("config.json")).ok()?).ok()?;
    let state_dir = spec["annotations"][annotations::STATE_DIR].as_str()?;
    Path::new(state_dir).file_name()?.to_str()?.parse().ok()
}
