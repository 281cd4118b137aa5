//! Keys in the OCI runtime specification's `annotations` by which the engine talks to the shim.

/// The Wasm [`Flavor`](crate::Flavor) that rules 1–4 of the recognition order chose; absent for other containers.
pub const FLAVOR: &str = "dev.drua.flavor";
/// Absolute path in the container of the module that an image's Wasm layer became. It runs whatever the command says, as
/// under runwasi's shims; the command stays the guest's argv.
pub const MODULE: &str = "dev.drua.module";
/// Absolute path of the directory that caches compiled modules. Default `/var/lib/drua/aot`.
pub const AOT_CACHE: &str = "dev.drua.aot-cache";
/// Absolute path of the container's directory on disk: the shim writes `exit.json` there.
pub const STATE_DIR: &str = "dev.drua.state-dir";
/// Set to `true` when the engine wants the shim to run its own init as PID 1 (`--init`).
pub const INIT: &str = "dev.drua.init";
/// Set to `true` when the end of an attached client's input is the end of the container's standard input.
pub const STDIN_ONCE: &str = "dev.drua.stdin-once";
