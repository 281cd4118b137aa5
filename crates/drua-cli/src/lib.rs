//! drua's command line: one file a command, all of them clients of the Docker Engine API.
//!
//! The crate talks to the daemon through the API only; it never touches `/var/lib/drua`. Commands that Docker has too
//! print the same bytes on stdout. [`ui::Printer`] is the only place that prints; [`failure::Failure`] is how a command
//! fails; [`context::Context`] finds the daemon, and starts one where none runs.

mod autostart;
mod cli;
mod commands;
mod context;
mod contexts;
mod credentials;
pub mod daemon;
mod failure;
mod format;
mod options;
mod plugin;
mod scan_role;
mod session;
mod ui;
pub mod wasm;

use std::ffi::OsString;

pub use daemon::DaemonArgs;
pub use scan_role::scan_main;
pub use wasm::{WasmArgs, WasmCacheCommand, WasmCommand, WasmRunArgs};

/// Runs a command line, the program's name first, and returns the exit code.
///
/// Builds its own runtime: call it before there is one. Background threads may still wait for standard input when it
/// returns, so exit soon after.
pub fn main(args: Vec<OsString>) -> u8 {
    cli::main(args)
}

#[cfg(test)]
mod tests;
