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
//! [`Observer`]. Images are built by the engine.

mod apply;
mod archive;
mod build;
mod commands;
mod create;
mod error;
mod files;
mod hash;
mod hooks;
pub mod labels;
mod limits;
mod locate;
mod observe;
mod observer;
mod output;
pub mod plan;
mod pull;
mod references;
mod run;
mod select;
mod up;
mod wait;
mod watch;

pub use archive::{copy_archive, unpack_copy};
pub use build::{BuildOptions, build};
pub use commands::{ControlOptions, LogsOptions, ProjectContainer, down, kill, logs, ps, remove, restart, start, stop};
pub use drua_composefile as file;
pub use error::ComposeError;
pub use hash::config_hash;
pub use locate::{ProjectError, ProjectOptions};
pub use observe::{Observed, ObservedContainer, ObservedNetwork, observe};
pub use observer::{Observer, OutputLine, Resource, ResourceKind, Status};
pub use plan::{DownOptions, RemoveImages, UpOptions};
pub use pull::{PullOptions, pull, push};
pub use run::{RunOptions, run_create};
pub use select::{in_order, keep_services, pin_images};
pub use up::{Signals, UpOutcome, up, up_attached};
pub use watch::{WatchOptions, infer, watch};

#[cfg(test)]
mod tests;
