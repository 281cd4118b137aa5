//! The life of a container, as a pure function.
//!
//! ```text
//!             Start            Started
//!  created ───────────► (start) ───────► running ◄──────────┐
//!     ▲                    │ Failed        │  │ ▲            │ Started
//!     └────────────────────┘        Paused │  │ │ Resumed    │
//!                                          ▼  │ │            │
//!                                       paused┼─┘        restarting
//!                                          │  │ Exited       ▲
//!                                   Exited │  ▼              │ Backoff
//!                                          └► exited ────────┘
//!  any but running/paused ── Remove ──► removing
//! ```

use drua_types::ContainerId;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// Docker's state words.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// Never started, or its last start failed.
    #[default]
    Created,
    /// Its process runs.
    Running,
    /// Its process is frozen.
    Paused,
    /// Waiting for the restart policy's next try.
    Restarting,
    /// Being removed.
    Removing,
    /// Its process has ended.
    Exited,
}

impl Status {
    /// The API's word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Running => "running",
            Self::Paused => "paused",
            Self::Restarting => "restarting",
            Self::Removing => "removing",
            Self::Exited => "exited",
        }
    }

    /// Whether there is a process. A container in back-off counts as running for clients, as in moby.
    pub fn is_running(self) -> bool {
        matches!(self, Self::Running | Self::Paused | Self::Restarting)
    }
}

impl Health {
    /// The API's word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Healthy => "healthy",
            Self::Unhealthy => "unhealthy",
        }
    }
}

/// How well a container with a health check is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Health {
    /// No verdict yet.
    Starting,
    /// The last probe succeeded.
    Healthy,
    /// Too many probes failed.
    Unhealthy,
}

/// State of a container's process.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct State {
    /// Where in the life cycle.
    pub status: Status,
    /// Host pid of its init; 0 when there is none.
    pub pid: u32,
    /// Exit code of the last run.
    pub exit_code: u32,
    /// Why the last start failed.
    pub error: String,
    /// Whether the kernel killed it for want of memory.
    pub oom_killed: bool,
    /// Start of the last run.
    pub started_at: Option<Timestamp>,
    /// End of the last run.
    pub finished_at: Option<Timestamp>,
}

/// What happens to a container.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Event {
    /// Its process runs.
    Started { pid: u32, at: Timestamp },
    /// A start failed; nothing runs.
    Failed { exit_code: u32, error: String },
    /// Its process ended.
    Exited { code: u32, at: Timestamp, oom_killed: bool },
    /// The restart policy will try again.
    Backoff,
    /// The restart policy gave up waiting (a stop during back-off).
    GaveUp,
    /// Frozen.
    Paused,
    /// Thawed.
    Resumed,
    /// Removal began.
    Removing,
}

/// The event does not fit the state.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a container that is {from:?} cannot take `{event}`")]
pub struct Rejected {
    from: Status,
    event: &'static str,
}

/// The state after an event.
pub(crate) fn next(state: &State, event: Event) -> Result<State, Rejected> {
    use Status::{Created, Exited, Paused, Removing, Restarting, Running};
    let rejected = |event| Rejected { from: state.status, event };
    match (state.status, event) {
        (Created | Exited | Restarting, Event::Started { pid, at }) => Ok(State {
            status: Running,
            pid,
            exit_code: 0,
            error: String::new(),
            oom_killed: false,
            started_at: Some(at),
            finished_at: state.finished_at,
        }),
        (Created, Event::Failed { exit_code, error }) => {
            Ok(State { status: Created, pid: 0, exit_code, error, ..state.clone() })
        }
        (Exited | Restarting, Event::Failed { exit_code, error }) => {
            Ok(State { status: Exited, pid: 0, exit_code, error, ..state.clone() })
        }
        (Running | Paused, Event::Exited { code, at, oom_killed }) => {
            Ok(State { status: Exited, pid: 0, exit_code: code, finished_at: Some(at), oom_killed, ..state.clone() })
        }
        (Exited, Event::Backoff) => Ok(State { status: Restarting, ..state.clone() }),
        (Restarting, Event::GaveUp) => Ok(State { status: Exited, ..state.clone() }),
        (Running, Event::Paused) => Ok(State { status: Paused, ..state.clone() }),
        (Paused, Event::Resumed) => Ok(State { status: Running, ..state.clone() }),
        (Created | Exited | Restarting | Removing, Event::Removing) => Ok(State { status: Removing, ..state.clone() }),
        (_, Event::Started { .. }) => Err(rejected("started")),
        (_, Event::Failed { .. }) => Err(rejected("failed")),
        (_, Event::Exited { .. }) => Err(rejected("exited")),
        (_, Event::Backoff) => Err(rejected("backoff")),
        (_, Event::GaveUp) => Err(rejected("gave up")),
        (_, Event::Paused) => Err(rejected("paused")),
        (_, Event::Resumed) => Err(rejected("resumed")),
        (_, Event::Removing) => Err(rejected("removing")),
    }
}

/// Whether a client may start a container in this state; the error is what Docker says.
pub(crate) fn may_start(id: &ContainerId, status: Status) -> crate::Result<()> {
    match status {
        Status::Created | Status::Exited | Status::Restarting => Ok(()),
        Status::Running => Err(crate::Error::AlreadyRunning(id.clone())),
        Status::Paused => Err(crate::Error::StartPaused),
        Status::Removing => Err(crate::Error::MarkedForRemoval(id.clone())),
    }
}
