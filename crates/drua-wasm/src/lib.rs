//! The WebAssembly host: it compiles a module into the AOT cache and runs it inside a container's init process.
//!
//! ```text
//!  shim, Create:   prepare() ──stdin: module──►  wasm-compile role (compile_main: confined child, no network)
//!                     │      ◄─stdout: artifact──
//!                     ▼ <aot>/<engine key>/<sha256>.cwasm, opened
//!  container init: WasmRun::run()   after namespaces, pivot_root, cgroup, capabilities and seccomp
//! ```
//!
//! What it deliberately does not do: it makes no namespaces and mounts nothing (drua-runtime does), it resolves no path
//! inside a container (the shim does, and hands over opened files), and it never runs in the daemon. Machine code is
//! only ever loaded from our own cache directory.
//!
//! Concurrency: [`prepare`] and [`compile_main`] leave no thread behind, so that the shim may fork afterwards.
//! [`WasmRun::run`] starts threads of its own and belongs into a process that does nothing else.

mod artifact;
mod cache;
mod compile;
mod confine;
mod engine;
mod prepare;
mod run;
pub mod tool;

pub use artifact::{Kind, Metadata, Resources, Target};
pub use cache::{CacheError, Entry, list as list_cache, prune as prune_cache};
pub use compile::{MODULE_LIMIT, compile_main};
pub use drua_types::wasm::{ImageFacts, Magic, detect, split_entrypoint};
pub use engine::Profile;
pub use prepare::{Compiler, Prepare, PrepareError, Prepared, prepare};
pub use run::{Directory, InvalidSetting, Settings, WasmRun};
