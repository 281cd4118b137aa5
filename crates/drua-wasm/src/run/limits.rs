//! What one instance may take, with an error that says which limit it reached.
//!
//! The container's cgroup is the wall around the whole process; these limits stand in front of it, where there is still
//! somebody to say what happened.

use wasmtime::ResourceLimiter;

/// More elements than this in one table are refused: 80 MB of the host's memory.
const MAX_TABLE: usize = 10_000_000;

/// A guest reached a limit.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub(super) enum LimitReached {
    #[error(
        "the guest asked for {} of memory, and the container's limit is {} (`-m`, `--memory`)",
        mebibytes(*wanted),
        mebibytes(*limit)
    )]
    Memory { wanted: u64, limit: u64 },
    #[error("the guest asked for a table of {wanted} elements, and the limit is {MAX_TABLE}")]
    Table { wanted: usize },
    #[error("the guest ran longer than its limit of {seconds} s (`{annotation}`)", annotation = drua_types::annotations::WASM_TIMEOUT)]
    Time { seconds: f64 },
    #[error("the guest used more processor time than its limit (`--ulimit cpu`)")]
    Cpu,
}

fn mebibytes(bytes: u64) -> String {
    format!("{:.1} MiB", bytes as f64 / f64::from(1 << 20))
}

/// The limits of one store.
#[derive(Debug, Clone, Default)]
pub(super) struct Limits {
    /// Linear memory over all memories of the instance, in bytes.
    memory: Option<u64>,
    used: u64,
}

impl Limits {
    pub(super) fn new(memory: Option<u64>) -> Self {
        Self { memory, used: 0 }
    }
}

impl ResourceLimiter for Limits {
    fn memory_growing(&mut self, current: usize, desired: usize, _: Option<usize>) -> wasmtime::Result<bool> {
        let wanted = self.used.saturating_sub(current as u64).saturating_add(desired as u64);
        if let Some(limit) = self.memory.filter(|limit| wanted > *limit) {
            return Err(LimitReached::Memory { wanted, limit }.into());
        }
        self.used = wanted;
        Ok(true)
    }

    fn table_growing(&mut self, _: usize, desired: usize, _: Option<usize>) -> wasmtime::Result<bool> {
        if desired > MAX_TABLE { Err(LimitReached::Table { wanted: desired }.into()) } else { Ok(true) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memories_add_up() {
        let mut limits = Limits::new(Some(100));
        assert!(limits.memory_growing(0, 60, None).is_ok());
        assert!(limits.memory_growing(0, 30, None).is_ok());
        let error = limits.memory_growing(60, 71, None).expect_err("too much");
        assert_eq!(error.downcast_ref(), Some(&LimitReached::Memory { wanted: 101, limit: 100 }));
        assert!(limits.memory_growing(60, 70, None).is_ok());
        assert!(limits.table_growing(0, MAX_TABLE + 1, None).is_err());
    }
}
