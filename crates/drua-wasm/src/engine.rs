//! One engine configuration for the compile role and the runner, and the key under which its artifacts are cached.
//!
//! wasmtime refuses an artifact whose code generation settings or CPU features do not fit; the key only has to make such
//! artifacts miss the cache instead of failing at run time.

use std::fmt::Write as _;
use std::fs::File;
use std::io;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use wasmtime::component::Component;
use wasmtime::{Config, Engine, InstanceAllocationStrategy, Module, PoolingAllocationConfig, WasmBacktraceDetails};

use crate::artifact::Resources;

/// The wasmtime that this crate is built with; `Cargo.lock` pins it and a test compares.
pub(crate) const WASMTIME_VERSION: &str = "48.0.8";
/// Raise it with every change of [`base`] that alters generated code.
const REVISION: u32 = 2;

/// Native stack that a guest may use; the default of half a MiB is too small for interpreters. Only touched pages count.
const MAX_WASM_STACK: usize = 4 << 20;
/// Stack of the fiber a guest runs on: the guest's share and what host functions need.
const FIBER_STACK: usize = MAX_WASM_STACK + (1 << 20);
/// Requests that one HTTP server works on at a time; more wait in line.
pub(crate) const MAX_CONCURRENT_REQUESTS: u32 = 512;

/// What a module needs of its engine beyond the common; its artifact remembers it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Profile {
    /// The component model's `async`, which WASI 0.3 is made of. Without it every store and call is cheaper.
    pub concurrent: bool,
    /// Guest code looks at the clock in loops and calls, so that one request that computes does not hold up the others
    /// and can be ended at its deadline.
    pub interruptible: bool,
}

/// An engine that compiles.
pub(crate) fn compiler(profile: Profile) -> wasmtime::Result<Engine> {
    Engine::new(&base(profile))
}

/// An engine that only loads artifacts: building it probes less of the CPU.
///
/// With `pool`, instances come from a pool that is sized for [`MAX_CONCURRENT_REQUESTS`] instances of one component;
/// where the address space is too small for it (39-bit ARM boards, `ulimit -v`), each instance maps its own memory.
pub(crate) fn runner(profile: Profile, pool: Option<Resources>) -> wasmtime::Result<Engine> {
    let mut config = base(profile);
    config.enable_compiler(false);
    if let Some(resources) = pool {
        let strategy = InstanceAllocationStrategy::Pooling(pooling(resources));
        match Engine::new(config.clone().allocation_strategy(strategy)) {
            Ok(engine) => return Ok(engine),
            Err(error) => tracing::warn!(error = %format!("{error:#}"), "no pool of instances"),
        }
    }
    Engine::new(&config)
}

fn base(profile: Profile) -> Config {
    let mut config = Config::new();
    // Source lines in backtraces when the module carries DWARF; the sections stay on disk until a guest traps.
    config.wasm_backtrace_details(WasmBacktraceDetails::Enable);
    config.concurrency_support(profile.concurrent);
    config.epoch_interruption(profile.interruptible);
    // Threads of WASI preview 1 share their memory.
    config.shared_memory(true);
    config.max_wasm_stack(MAX_WASM_STACK);
    config.async_stack_size(FIBER_STACK);
    config
}

fn pooling(resources: Resources) -> PoolingAllocationConfig {
    let instances = MAX_CONCURRENT_REQUESTS;
    let mut pool = PoolingAllocationConfig::new();
    pool.total_component_instances(instances)
        .total_stacks(instances)
        .total_core_instances(u32::MAX)
        .total_memories(instances.saturating_mul(resources.memories))
        .total_tables(instances.saturating_mul(resources.tables))
        .total_gc_heaps(instances)
        .max_memories_per_module(resources.memories.max(1))
        .max_tables_per_module(resources.tables.max(1))
        .table_elements(usize::try_from(resources.table_elements).unwrap_or(usize::MAX).max(20_000))
        // The per-instance bookkeeping is allocated as needed; these are only walls.
        .max_core_instance_size(16 << 20)
        .max_component_instance_size(16 << 20)
        // Resetting a few dirty pages by memcpy is far cheaper than madvise and the faults after it.
        .linear_memory_keep_resident(128 << 10)
        .table_keep_resident(8 << 10)
        // One component only: every used slot is worth keeping, and no slot is used before the warm ones.
        .max_unused_warm_slots(0);
    pool
}

/// Directory name for artifacts that this build on this CPU makes and loads.
pub(crate) fn cache_key() -> String {
    let mut hash = Sha256::new();
    hash.update(std::env::consts::ARCH);
    for (feature, present) in cpu_features() {
        hash.update([0, u8::from(present)]);
        hash.update(feature);
    }
    let mut key = format!("{WASMTIME_VERSION}-r{REVISION}-");
    for byte in &hash.finalize()[..8] {
        let _ = write!(key, "{byte:02x}");
    }
    key
}

/// The features that cranelift may use. The standard library probes once per process and keeps the answer, which the
/// forked runner inherits: `CPUID` traps on many virtual machines.
#[cfg(target_arch = "x86_64")]
fn cpu_features() -> impl Iterator<Item = (&'static str, bool)> {
    macro_rules! probe {
        ($($feature:tt),+ $(,)?) => { [$(($feature, std::is_x86_feature_detected!($feature))),+] };
    }
    probe![
        "cmpxchg16b",
        "sse3",
        "ssse3",
        "sse4.1",
        "sse4.2",
        "popcnt",
        "avx",
        "avx2",
        "fma",
        "bmi1",
        "bmi2",
        "avxvnni",
        "avx512bitalg",
        "avx512dq",
        "avx512f",
        "avx512vl",
        "avx512vbmi",
        "avx512vnni",
        "lzcnt",
    ]
    .into_iter()
}

/// Elsewhere the architecture alone is the key; wasmtime's own check at load time has the last word.
#[cfg(not(target_arch = "x86_64"))]
fn cpu_features() -> impl Iterator<Item = (&'static str, bool)> {
    std::iter::empty()
}

/// Maps the machine code of a core module.
#[expect(unsafe_code, reason = "loading machine code is this crate's purpose; see SAFETY")]
pub(crate) fn load_module(engine: &Engine, artifact: &File) -> wasmtime::Result<Module> {
    let file = artifact.try_clone()?;
    // SAFETY: the file comes from `cache`, which only hands out regular files that our own compile role wrote, in a
    // directory that nobody but us can write to, and nothing modifies an artifact in place after its rename.
    unsafe { Module::deserialize_open_file(engine, file) }
}

/// Maps the machine code of a component.
///
/// wasmtime offers no such call for an open file, so this reopens it through `/proc/self/fd`; where that is no procfs
/// (a container without `/proc`), the artifact is read into memory instead, which costs its size.
#[expect(unsafe_code, reason = "loading machine code is this crate's purpose; see SAFETY")]
pub(crate) fn load_component(engine: &Engine, artifact: &File) -> wasmtime::Result<Component> {
    if let Some(path) = proc_path(artifact) {
        // SAFETY: as in `load_module`; the magic link of a real procfs leads to the very file that is open.
        return unsafe { Component::deserialize_file(engine, path) };
    }
    let bytes = read_all(artifact)?;
    // SAFETY: as in `load_module`.
    unsafe { Component::deserialize(engine, bytes) }
}

fn proc_path(file: &File) -> Option<String> {
    use std::os::fd::AsRawFd;
    const PROC_SUPER_MAGIC: u64 = 0x9fa0;
    // The container's configuration decides what is mounted there: anything but procfs could answer with another file.
    let proc = rustix::fs::statfs("/proc/self/fd").ok()?;
    (u64::try_from(proc.f_type) == Ok(PROC_SUPER_MAGIC)).then(|| format!("/proc/self/fd/{}", file.as_raw_fd()))
}

fn read_all(file: &File) -> io::Result<Vec<u8>> {
    use std::os::unix::fs::FileExt;
    let length = usize::try_from(file.metadata()?.len()).map_err(io::Error::other)?;
    let mut bytes = vec![0; length];
    file.read_exact_at(&mut bytes, 0)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_key_names_the_wasmtime_in_the_lock_file() {
        let lock = include_str!("../../../Cargo.lock");
        assert!(
            lock.contains(&format!("name = \"wasmtime\"\nversion = \"{WASMTIME_VERSION}\"")),
            "raise WASMTIME_VERSION"
        );
        assert!(cache_key().starts_with(WASMTIME_VERSION));
        assert_eq!(cache_key(), cache_key());
    }

    #[test]
    fn artifacts_move_between_the_engines() {
        let profile = Profile { concurrent: false, interruptible: true };
        let compiler = compiler(profile).expect("an engine");
        let image = compiler.precompile_module(&wat::parse_str("(module)").expect("text")).expect("compiles");
        let mut file = tempfile::tempfile().expect("a file");
        io::Write::write_all(&mut file, &image).expect("write");
        let pool = Resources { memories: 1, tables: 1, table_elements: 10 };
        for pool in [None, Some(pool)] {
            load_module(&runner(profile, pool).expect("an engine"), &file).expect("loads");
        }
    }
}
