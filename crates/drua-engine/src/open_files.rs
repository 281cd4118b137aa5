//! How many files the daemon may have open: each client, each follower of a log and each shim is one or two.
//!
//! The soft limit is 1,024 almost everywhere, for the sake of programs that use `select(2)`; we do not, so the daemon takes the
//! hard one. Containers are such programs perhaps: their shims go back to what was (`drua_types::env::SHIM_OPEN_FILES`).

use std::sync::OnceLock;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

static BEFORE: OnceLock<Rlimit> = OnceLock::new();

/// Raises the soft limit to the hard one. For the daemon, once, before it starts anything.
pub fn raise() {
    let before = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: before.maximum, maximum: before.maximum };
    match setrlimit(Resource::Nofile, raised) {
        Ok(()) => drop(BEFORE.set(before)),
        Err(error) => tracing::warn!(%error, "the limit of open files stays at {:?}", before.current),
    }
}

/// The soft limit that containers get; `None` when it was not changed.
pub(crate) fn before() -> Option<u64> {
    BEFORE.get().and_then(|limit| limit.current)
}
