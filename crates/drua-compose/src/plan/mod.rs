//! Decides what to do, as a graph of steps. Pure: no I/O, no clock, no order that depends on hashing.
//!
//! ```text
//! create network ─┐
//! create volume ──┼─► create db-1 ─► start db-1 ─► wait db healthy ─┐
//!                 └─► create web-1 ──────────────────────────────────┴─► start web-1
//! ```
//!
//! A step may run as soon as the steps in its `after` are done, so that everything that is independent runs in parallel.

mod control;
mod down;
mod order;
mod up;

use std::fmt;

use drua_composefile::{Condition, Project, ServiceName};

pub use control::{kill, remove, restart, start, stop};
pub use down::{DownOptions, RemoveImages, down};
pub use up::{UpOptions, up};
pub(crate) use up::{conditions, container_name};

use crate::observe::ObservedContainer;

/// Index of a step in its plan.
pub type StepId = usize;

/// What to do.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Plan {
    /// The steps; each comes after those that it depends on.
    pub steps: Vec<Step>,
    /// Containers that run already and stay as they are, as (service, name).
    pub kept: Vec<(String, String)>,
    /// What the user should know before the steps are taken.
    pub warnings: Vec<String>,
}

/// One request to the engine, or one thing to wait for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// What to do.
    pub action: Action,
    /// What has to be done before.
    pub after: Vec<StepId>,
}

/// What a step does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Creates the project's network of this key.
    CreateNetwork(String),
    /// Creates the project's volume of this key.
    CreateVolume(String),
    /// Creates a container.
    CreateContainer(CreateContainer),
    /// Gives a container the name of the one that it replaces.
    Rename {
        /// Its name until then.
        from: String,
        /// Its final name.
        to: String,
    },
    /// Starts a container.
    Start(Target),
    /// Waits until a service's containers fulfil a condition.
    Wait {
        /// The service.
        service: ServiceName,
        /// Names of its containers.
        containers: Vec<String>,
        /// What they have to reach.
        condition: Condition,
        /// Failing is an error, else a warning.
        required: bool,
    },
    /// Stops a container.
    Stop {
        /// Which.
        target: Target,
        /// Seconds until it is killed; the container's own when absent.
        timeout_seconds: Option<i64>,
    },
    /// Stops and starts a container.
    Restart {
        /// Which.
        target: Target,
        /// Seconds until it is killed; the container's own when absent.
        timeout_seconds: Option<i64>,
    },
    /// Sends a signal to a container.
    Kill {
        /// Which.
        target: Target,
        /// The signal; SIGKILL when absent.
        signal: Option<String>,
    },
    /// Removes a container, killing it if it still runs.
    Remove {
        /// Which.
        target: Target,
        /// Its anonymous volumes too.
        volumes: bool,
    },
    /// Removes a network.
    RemoveNetwork(String),
    /// Removes a volume.
    RemoveVolume(String),
    /// Removes an image.
    RemoveImage(String),
}

/// A container to create.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CreateContainer {
    /// Its service.
    pub service: ServiceName,
    /// Its number within the service.
    pub number: u32,
    /// The name that it is created with.
    pub name: String,
    /// The name that it ends up with.
    pub final_name: String,
    /// Id of the container that it replaces.
    pub replaces: Option<String>,
    /// Anonymous volumes of the replaced container, as (name, path).
    pub inherits: Vec<(String, String)>,
    /// Containers that it is linked to, `name:alias`.
    pub links: Vec<String>,
    /// It is a container of `run`.
    pub one_off: Option<OneOff>,
}

/// What is different about a container of `run`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OneOff {
    /// The random part of its name.
    pub slug: String,
    /// The engine removes it when it ends.
    pub auto_remove: bool,
    /// It is also found by the service's name.
    pub use_aliases: bool,
}

/// A container that a step is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// How the engine knows it: an id, or the name of one that is created in the same plan.
    pub container: String,
    /// Its name.
    pub name: String,
    /// Its service; empty for orphans without one.
    pub service: String,
}

/// The services that `up` is about, dependencies first.
pub(crate) fn selected<'p>(project: &'p Project, options: &UpOptions) -> Vec<&'p ServiceName> {
    order::services(project, &options.services, !options.no_dependencies)
}

impl Target {
    fn observed(container: &ObservedContainer) -> Self {
        Self { container: container.id.clone(), name: container.name.clone(), service: container.service.clone() }
    }
}

impl Plan {
    fn push(&mut self, action: Action, after: impl Into<Vec<StepId>>) -> StepId {
        self.steps.push(Step { action, after: after.into() });
        self.steps.len() - 1
    }
}

/// One line a step: `3 start p-web-1 after 1 2`.
impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, step) in self.steps.iter().enumerate() {
            write!(f, "{index} {}", step.action)?;
            if !step.after.is_empty() {
                let after: Vec<String> = step.after.iter().map(ToString::to_string).collect();
                write!(f, " after {}", after.join(" "))?;
            }
            writeln!(f)?;
        }
        Ok(())
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::CreateNetwork(key) => write!(f, "create network {key}"),
            Self::CreateVolume(key) => write!(f, "create volume {key}"),
            Self::CreateContainer(create) => {
                write!(f, "create container {}", create.name)?;
                create.inherits.iter().try_for_each(|(volume, path)| write!(f, " with {volume}:{path}"))
            }
            Self::Rename { from, to } => write!(f, "rename {from} to {to}"),
            Self::Start(target) => write!(f, "start {}", target.name),
            Self::Wait { service, condition, .. } => write!(f, "wait for {service} {condition}"),
            Self::Stop { target, .. } => write!(f, "stop {}", target.name),
            Self::Restart { target, .. } => write!(f, "restart {}", target.name),
            Self::Kill { target, .. } => write!(f, "kill {}", target.name),
            Self::Remove { target, .. } => write!(f, "remove {}", target.name),
            Self::RemoveNetwork(name) => write!(f, "remove network {name}"),
            Self::RemoveVolume(name) => write!(f, "remove volume {name}"),
            Self::RemoveImage(name) => write!(f, "remove image {name}"),
        }
    }
}
