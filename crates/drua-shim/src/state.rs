//! What a task may do next.
//!
//! ```text
//!            create              start              exited
//!   Absent ─────────► Created ─────────► Running ─────────────► Stopped ── delete ──► Deleted
//!                      │  │              │     ▲                  ▲  ▲
//!                      │  │        pause ▼     │ resume           │  │
//!                      │  │              Paused ── exited ────────┘  │
//!                      │  └───────────────────────── exited ─────────┘
//!                      └──────────── delete: the caller kills it first, so that it goes through Stopped
//! ```
//!
//! Pure: [`next`] is the whole truth, and the owner task asks it before it touches anything.

use std::fmt;

/// Where a task is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum State {
    /// Nothing was created yet, or creating failed.
    Absent,
    /// The container exists and its process waits for the start signal.
    Created,
    /// The process runs.
    Running,
    /// The process is frozen.
    Paused,
    /// The process has ended, all its output is on disk and so is its exit record.
    Stopped,
    /// Nothing is left.
    Deleted,
}

/// What somebody asks for, or what happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Event {
    Create,
    Start,
    Pause,
    Resume,
    Signal,
    Delete,
    /// The process ended; never refused.
    Exited,
}

/// The event makes no sense in this state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("cannot {event} a container that is {state}")]
pub(crate) struct Rejected {
    pub(crate) state: State,
    pub(crate) event: Event,
}

/// The state after `event`.
pub(crate) fn next(state: State, event: Event) -> Result<State, Rejected> {
    match (state, event) {
        (State::Absent, Event::Create) => Ok(State::Created),
        (State::Created, Event::Start) => Ok(State::Running),
        (State::Running, Event::Pause) => Ok(State::Paused),
        (State::Paused, Event::Resume) => Ok(State::Running),
        (State::Created | State::Running | State::Paused, Event::Signal) => Ok(state),
        (State::Created | State::Running | State::Paused, Event::Exited) => Ok(State::Stopped),
        (State::Stopped, Event::Delete) => Ok(State::Deleted),
        (State::Absent | State::Stopped | State::Deleted, Event::Exited) => Ok(state),
        (_, Event::Create | Event::Start | Event::Pause | Event::Resume | Event::Signal | Event::Delete) => {
            Err(Rejected { state, event })
        }
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Absent => "not created",
            Self::Created => "created",
            Self::Running => "running",
            Self::Paused => "paused",
            Self::Stopped => "stopped",
            Self::Deleted => "deleted",
        })
    }
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Create => "create",
            Self::Start => "start",
            Self::Pause => "pause",
            Self::Resume => "resume",
            Self::Signal => "signal",
            Self::Delete => "delete",
            Self::Exited => "end",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STATES: [State; 6] =
        [State::Absent, State::Created, State::Running, State::Paused, State::Stopped, State::Deleted];
    const EVENTS: [Event; 7] =
        [Event::Create, Event::Start, Event::Pause, Event::Resume, Event::Signal, Event::Delete, Event::Exited];

    #[test]
    fn a_whole_life() {
        let life = [Event::Create, Event::Start, Event::Pause, Event::Resume, Event::Exited, Event::Delete];
        let end = life.into_iter().try_fold(State::Absent, next);
        assert_eq!(end, Ok(State::Deleted));
    }

    #[test]
    fn an_exit_is_never_refused_and_nothing_leaves_deleted() {
        for state in STATES {
            assert!(next(state, Event::Exited).is_ok());
        }
        for event in EVENTS {
            assert!(next(State::Deleted, event).is_err() || event == Event::Exited);
        }
    }

    #[test]
    fn states_are_reached_only_by_their_own_event() {
        for (state, event) in STATES.into_iter().flat_map(|state| EVENTS.map(|event| (state, event))) {
            match next(state, event) {
                Ok(State::Running) => assert!(matches!(event, Event::Start | Event::Resume | Event::Signal)),
                Ok(State::Paused) => assert!(matches!(event, Event::Pause | Event::Signal)),
                Ok(State::Deleted) => assert!(matches!(event, Event::Delete | Event::Exited)),
                Ok(State::Absent | State::Created | State::Stopped) => {}
                Err(rejected) => assert_eq!(rejected, Rejected { state, event }),
            }
        }
    }

    #[test]
    fn the_words() {
        let rejected = next(State::Running, Event::Delete).unwrap_err();
        assert_eq!(rejected.to_string(), "cannot delete a container that is running");
    }
}
