//! Takes the wait out of the next cgroup join.
//!
//! Writing `cgroup.procs` takes the kernel's `cgroup_threadgroup_rwsem` for writing. After an idle moment that waits for an
//! RCU grace period, 6 to 17 ms; while the last writer is recent it takes microseconds. So a process that will start a
//! container soon writes itself where it already is, beside its other work: nothing changes but the semaphore's state.

use std::path::PathBuf;

/// Prepares the kernel for cgroup joins in the next few milliseconds. Blocks for as long as the join would have: call it
/// on a thread of its own. Needs no right beyond writing the caller's own cgroup; a refusal has had its effect too.
pub fn expect_joins() {
    let Some(procs) = own_procs_file() else { return };
    let _ = std::fs::write(procs, "0");
}

/// `cgroup.procs` of the caller's own cgroup in some hierarchy with processes (`cgroups(7)`, `/proc/[pid]/cgroup`).
fn own_procs_file() -> Option<PathBuf> {
    let text = fs_err::read_to_string("/proc/self/cgroup").ok()?;
    text.lines().find_map(|line| {
        let mut fields = line.splitn(3, ':').skip(1);
        let (controllers, path) = (fields.next()?, fields.next()?.trim_start_matches('/'));
        let root = match controllers {
            "" => PathBuf::from("/sys/fs/cgroup"),
            names if names.starts_with("name=") => return None,
            names => PathBuf::from("/sys/fs/cgroup").join(names),
        };
        let procs = root.join(path).join("cgroup.procs");
        procs.exists().then_some(procs)
    })
}
