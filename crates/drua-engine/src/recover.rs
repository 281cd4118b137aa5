//! Opening the engine: what an earlier daemon left behind becomes the present state again.
//!
//! A container that was running is found through its shim's socket. If its process ended meanwhile, the shim (or its exit
//! record on disk) says how and when, and clients hear `die` late rather than never.

use std::path::{Path, PathBuf};
use std::sync::Arc;

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
use crate::volume::Volumes;
use crate::{Error, Result, blocking};

/// What is reported when nobody knows how a process ended, as Docker does.
const UNKNOWN_EXIT: u32 = 255;
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
        sweep(&shared.config, &restored).await;
        shared.networks.restore(&shared.config, restored.iter().map(|(container, _)| container))?;
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
    make_dirs(&config)?;
    let db = Db::open(&config.database())?;
    let store = Store::open(&config.data_root).map_err(Error::image("open the image store"))?;
    let networks = Networks::open(&config, &db)?;
    let volumes = Volumes::open(&config.volumes(), &db)?;
    let records = db.all::<Container>(Table::Containers)?;
    let shared =
        Shared { config, db, store, networks, volumes, events: EventBus::default(), registry: Registry::default() };
    Ok((shared, records))
}

fn make_dirs(config: &EngineConfig) -> Result<()> {
    use std::os::unix::fs::DirBuilderExt as _;
    let data = ["containers", "volumes", "aot"].map(|name| config.data_root.join(name));
    let exec = ["shim", "netns"].map(|name| config.exec_root.join(name));
    let roots = [config.data_root.clone(), config.exec_root.clone()];
    for dir in roots.iter().chain(&data).chain(&exec) {
        // Not for other users: images hold setuid files of foreign provenance (CVE-2021-41091).
        let mode = if dir.ends_with("aot") { 0o700 } else { 0o711 };
        std::fs::DirBuilder::new().recursive(true).mode(mode).create(dir).map_err(Error::io("create", dir))?;
    }
    Ok(())
}

/// Brings a record's state up to date; returns the shim when the container still runs.
async fn reconnect(shared: &Shared, container: &mut Container) -> Option<Shim> {
    if !matches!(container.state.status, Status::Running | Status::Paused) {
        return None;
    }
    // A task in status 2 (running) or 4 (paused) is alive; the actor's waiter does the rest, also for one that has
    // stopped meanwhile: its shim still answers `wait`.
    if let Ok(shim) = Shim::connect(&shared.config, &container.id).await
        && let Ok(state) = shim.state().await
    {
        tracing::info!(container.id = %container.id, status = ?state.status, "took over");
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
async fn sweep(config: &EngineConfig, restored: &[(Container, Option<Shim>)]) {
    let alive = |id: &ContainerId| restored.iter().any(|(container, shim)| container.id == *id && shim.is_some());
    for dir in entries(&config.exec_root.join("shim")) {
        match bundle_owner(&dir) {
            Some(id) if alive(&id) => {}
            Some(id) => Shim::discard(config, &id).await,
            None => drop(fs_err::remove_dir_all(&dir)),
        }
    }
    for path in entries(&config.exec_root.join("netns")) {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if !restored.iter().any(|(container, shim)| shim.is_some() && container.id.as_str().starts_with(&name)) {
            // Pinned or a leftover file: either way it goes, and if it does not, the next start says so.
            let _ = drua_net::netns::remove(&path);
        }
    }
    for dir in entries(&config.data_root.join("containers")) {
        let id = dir.file_name().and_then(|name| name.to_str()?.parse::<ContainerId>().ok());
        if id.is_some_and(|id| !restored.iter().any(|(container, _)| container.id == id))
            && let Err(error) = fs_err::remove_dir_all(&dir)
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
