//! Removal, also of a container whose creator is gone.

use std::io;
use std::path::Path;

use drua_types::error_chain;
use fs_err as fs;

use super::error::DeleteError;
use crate::cgroup::Cgroup;

/// Kills what runs in the cgroup, and removes cgroup and state directory. What is missing already is no failure.
///
/// # Errors
/// Names everything that could not be removed; the rest is.
pub fn destroy(state_dir: &Path, cgroup_path: &Path) -> Result<(), DeleteError> {
    let mut failures = Vec::new();
    if let Err(err) = Cgroup::open(cgroup_path).and_then(|cgroup| cgroup.remove()) {
        failures.push(error_chain(&err));
    }
    match fs::remove_dir_all(state_dir) {
        Err(err) if err.kind() != io::ErrorKind::NotFound => failures.push(err.to_string()),
        Ok(()) | Err(_) => {}
    }
    if failures.is_empty() { Ok(()) } else { Err(DeleteError(failures)) }
}
