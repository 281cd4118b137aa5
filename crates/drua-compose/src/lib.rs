//! Reconciles a Compose project with an engine, through the Docker API.
//!
//! ```text
//! ProjectOptions ─load→ Project ─┐
//!                                ├─plan→ Plan (a graph of steps) ─apply→ engine
//! engine ─observe→ Observed ─────┘
//! ```
//!
//! Planning is pure: [`plan::up`] and its siblings decide everything from values, so that they can be tested without an
//! engine. Applying runs every step as soon as the steps before it are done. Conditions of dependencies (healthy, completed)
//! are awaited on the engine's event stream, never by polling.
//!
//! Labels, names, hashes and aliases are Docker Compose's, so that either can take over what the other has started.
//!
//! The crate talks to the API only: it runs against dockerd as well. It prints nothing: what happens goes to an
//! [`Observer`]. It does not build images.

mod apply;
mod commands;
mod create;
mod error;
mod hash;
pub mod labels;
mod locate;
mod observe;
mod observer;
mod output;
pub mod plan;
mod up;
mod wait;

pub use commands::{ControlOptions, LogsOptions, ProjectContainer, down, kill, logs, ps, remove, restart, start, stop};
pub use drua_composefile as file;
pub use error::ComposeError;
pub use hash::config_hash;
pub use locate::{ProjectError, ProjectOptions};
pub use observe::{Observed, ObservedContainer, ObservedNetwork, observe};
pub use observer::{Observer, OutputLine, Resource, ResourceKind, Status};
pub use plan::{DownOptions, RemoveImages, UpOptions};
pub use up::{Signals, UpOutcome, up, up_attached};

#[cfg(test)]
mod tests;
