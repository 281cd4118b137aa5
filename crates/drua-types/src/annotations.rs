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

/// Prefix of the annotations by which a user, not an image, sets how a Wasm guest runs. The engine hands them on unread.
pub const WASM_PREFIX: &str = "dev.drua.wasm.";
/// What the guest may do: [`Grants`](crate::grants::Grants), with commas between them (`--wasm-allow`, compose
/// `x-drua-wasm: allow`).
pub const WASM_ALLOW: &str = "dev.drua.wasm.allow";
/// What the guest may not do, the same way (`--wasm-deny`, compose `x-drua-wasm: deny`).
pub const WASM_DENY: &str = "dev.drua.wasm.deny";
/// How long a command may run, or a request may take to be answered: a number of seconds. Default: no limit.
pub const WASM_TIMEOUT: &str = "dev.drua.wasm.timeout";
/// How many requests one instance of an HTTP component serves before it is replaced. Default 1 (WASI 0.2), 128 (0.3).
pub const WASM_REUSE: &str = "dev.drua.wasm.reuse";
/// How many requests an HTTP component works on at a time; more wait in line. Default 512.
pub const WASM_CONCURRENCY: &str = "dev.drua.wasm.concurrency";
/// What `wasi:config` answers: a JSON object of texts. Without it, the guest's environment.
pub const WASM_CONFIG: &str = "dev.drua.wasm.config";
