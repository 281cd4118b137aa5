//! Execs: further processes in a running container, as clients know them.
//!
//! ```text
//!   create ──► created ── start ──► running ── its process ended ──► exited ── 5 minutes ──► (forgotten)
//!                           └── it could not be run ────────────────────▲
//! ```
//!
//! The process and its output are the shim's; here is the record, which is saved at each step: a daemon that comes back
//! asks the shim how its execs fare. They go with their container.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use drua_runtime::oci::{BoxBuilder, Process};
use drua_runtime::spec::{self, ContainerSpec, HostFacts};
use drua_runtime::users;
use drua_types::ContainerId;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use super::Container;
use crate::config::EngineConfig;
use crate::db::Table;
use crate::engine::Shared;
use crate::events::Scope;
use crate::{Error, Result, layered};

/// How long an exec that has ended can be inspected, as in moby.
const KEPT: Duration = Duration::from_secs(300);
/// How many execs are remembered in all.
const MAX_EXECS: usize = 100_000;

/// What to run.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ExecConfig {
    /// The command and its arguments.
    pub cmd: Vec<String>,
    /// `user[:group]`; empty is the container's.
    pub user: String,
    /// Absolute working directory; empty is the container's.
    pub working_dir: String,
    /// Variables over the container's.
    pub env: Vec<String>,
    /// Whether it has a pseudo terminal.
    pub tty: bool,
    /// Whether standard input, output and error are wanted.
    pub attach: [bool; 3],
    /// Whether it gets all capabilities.
    pub privileged: bool,
    /// Keys that detach; empty is the default.
    pub detach_keys: String,
}

/// Where an exec is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ExecState {
    /// Not started yet.
    Created,
    /// Its process runs.
    Running {
        /// Process id on the host; 0 in the moment before it is known.
        pid: u32,
    },
    /// Its process has ended, or could not be run.
    Exited {
        /// The exit code.
        code: u32,
        /// When.
        at: Timestamp,
        /// Process id that it had; 0 when it never ran.
        pid: u32,
    },
}

/// One exec.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Exec {
    /// 64 hexadecimal digits.
    pub id: String,
    /// Whose.
    pub container: ContainerId,
    /// What it runs.
    pub config: ExecConfig,
    /// How far it is.
    pub state: ExecState,
}

impl Exec {
    /// Whether it can be started or runs.
    pub fn is_alive(&self) -> bool {
        !matches!(self.state, ExecState::Exited { .. })
    }
}

/// All execs, by id.
#[derive(Debug, Default)]
pub(crate) struct Execs {
    known: Mutex<HashMap<String, Arc<watch::Sender<Exec>>>>,
}

impl Execs {
    /// Takes note of an exec, and forgets those that ended long ago.
    pub(crate) fn insert(&self, shared: &Shared, exec: Exec) -> Result<()> {
        let now = Timestamp::now();
        let mut known = crate::lock(&self.known);
        let mut gone = Vec::new();
        known.retain(|id, slot| {
            let keep = !matches!(slot.borrow().state, ExecState::Exited { at, .. } if age(at, now) > KEPT);
            if !keep {
                gone.push(id.clone());
            }
            keep
        });
        if known.len() >= MAX_EXECS {
            return Err(Error::Conflict(format!("there are {MAX_EXECS} execs already")));
        }
        shared.db.put(Table::Execs, &exec.id, &exec)?;
        known.insert(exec.id.clone(), Arc::new(watch::channel(exec).0));
        drop(known);
        gone.iter().try_for_each(|id| shared.db.delete(Table::Execs, id))
    }

    /// Takes over a record of an earlier daemon.
    pub(crate) fn restore(&self, exec: Exec) {
        crate::lock(&self.known).insert(exec.id.clone(), Arc::new(watch::channel(exec).0));
    }

    pub(crate) fn find(&self, id: &str) -> Result<Arc<watch::Sender<Exec>>> {
        crate::lock(&self.known).get(id).cloned().ok_or_else(|| Error::NotFound(format!("No such exec instance: {id}")))
    }

    /// Ids of a container's execs that have not ended, sorted.
    pub(crate) fn of(&self, container: &ContainerId) -> Vec<String> {
        let known = crate::lock(&self.known);
        let own = known.values().filter(|slot| slot.borrow().container == *container && slot.borrow().is_alive());
        let mut ids: Vec<String> = own.map(|slot| slot.borrow().id.clone()).collect();
        ids.sort();
        ids
    }

    /// Forgets the execs of a container that is gone.
    pub(crate) fn forget(&self, shared: &Shared, container: &ContainerId) -> Result<()> {
        let mut known = crate::lock(&self.known);
        let own = known.iter().filter(|(_, slot)| slot.borrow().container == *container);
        let ids: Vec<String> = own.map(|(id, _)| id.clone()).collect();
        for id in &ids {
            known.remove(id);
        }
        drop(known);
        ids.iter().try_for_each(|id| shared.db.delete(Table::Execs, id))
    }
}

fn age(at: Timestamp, now: Timestamp) -> Duration {
    Duration::try_from(now.duration_since(at)).unwrap_or_default()
}

/// Tells everybody about an exec; `action` is `exec_create` or `exec_start`.
pub(crate) fn announce(shared: &Shared, container: &Container, action: &str, cmd: &[String], id: &str) {
    let mut attributes: BTreeMap<String, String> = container.event_attributes();
    attributes.insert("execID".to_owned(), id.to_owned());
    let action = format!("{action}: {}", cmd.join(" "));
    shared.events.publish(Scope::Container, &action, container.id.as_str(), attributes);
}

/// Tells everybody about the end of an exec.
pub(crate) fn announce_end(shared: &Shared, container: &Container, id: &str, code: impl ToString) {
    let mut attributes = container.event_attributes();
    attributes.insert("execID".to_owned(), id.to_owned());
    attributes.insert("exitCode".to_owned(), code.to_string());
    shared.events.publish(Scope::Container, "exec_die", container.id.as_str(), attributes);
}

/// The process of an exec, confined as the container's own is, names resolved in the container's files. `size` is the
/// terminal's, as (rows, columns). Blocking.
pub(crate) fn process(
    config: &EngineConfig,
    container: &Container,
    exec: &ExecConfig,
    size: Option<(u16, u16)>,
) -> Result<Process> {
    let mut layers = vec![config.container_dir(&container.id).join("upper")];
    layers.extend(container.layers.iter().cloned());
    let file = |path| layered::read(&layers, path, users::MAX_FILE_BYTES as u64);
    let user = if exec.user.is_empty() { &container.config.user } else { &exec.user };
    let host = &container.host;
    let mut spec = ContainerSpec::new(container.id.as_str(), exec.cmd.clone());
    spec.user = users::resolve(user, &host.group_add, &file("/etc/passwd"), &file("/etc/group"))
        .map_err(|error| Error::Invalid(error.to_string()))?;
    let own = super::Config { tty: exec.tty, ..container.config.clone() };
    spec.env = super::spec::environment(&own, &spec.user.home);
    for variable in &exec.env {
        let name = |variable: &str| variable.split('=').next().unwrap_or_default().to_owned();
        spec.env.retain(|known| name(known) != name(variable));
        if variable.contains('=') {
            spec.env.push(variable.clone());
        }
    }
    spec.cwd = [&exec.working_dir, &container.config.working_dir]
        .into_iter()
        .find(|dir| !dir.is_empty())
        .cloned()
        .unwrap_or_else(|| "/".to_owned());
    spec.tty = exec.tty;
    spec.privileged = host.privileged || exec.privileged;
    spec.cap_add = host.cap_add.clone();
    spec.cap_drop = host.cap_drop.clone();
    spec.ulimits = host.ulimits.iter().map(super::spec::ulimit).collect();
    spec.no_new_privileges = host.no_new_privileges;
    spec.oom_score_adj = host.oom_score_adj;
    let facts = HostFacts::read().map_err(|error| Error::Spec(Box::new(error)))?;
    let built = spec::build(&spec, &facts).map_err(|error| Error::Spec(Box::new(error)))?;
    let mut process = built.process().clone().ok_or_else(|| Error::Invalid("the exec has no process".to_owned()))?;
    if let Some((rows, columns)) = size.filter(|_| exec.tty) {
        let size = BoxBuilder::default().height(u64::from(rows)).width(u64::from(columns)).build();
        process.set_console_size(size.ok());
    }
    Ok(process)
}
