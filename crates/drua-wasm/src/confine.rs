//! Takes away from the compile role everything that turning bytes into machine code does not need.
//!
//! A module is hostile input to a large compiler. What is left to a compiler that it subverts: no privilege, no network,
//! no file system, no descriptors but its three, bounded memory, time and output. What it writes is machine code either
//! way, so its artifact is confined again where it runs.
//!
//! Runs before the first thread starts: credentials and namespaces are per thread.

use std::os::fd::RawFd;

use rustix::process::{Resource, Rlimit, Signal};

const NOBODY: u32 = 65534;
/// Address space: a 512 MiB module, its tables and its machine code.
const ADDRESS_SPACE: u64 = 16 << 30;
const CPU_SECONDS: u64 = 600;
const OPEN_FILES: u64 = 16;
/// The largest artifact; machine code is two to ten times the size of its module.
const FILE_SIZE: u64 = 8 << 30;

/// A protection could not be set up.
#[derive(Debug, thiserror::Error)]
#[error("cannot {action}")]
pub(crate) struct ConfineError {
    action: &'static str,
    #[source]
    source: std::io::Error,
}

/// Confines the calling process for good.
///
/// Everything is mandatory but the namespace and the empty root, which need CAP_SYS_ADMIN and CAP_SYS_CHROOT: a daemon
/// that runs without them (rootless, nested) compiles all the same.
pub(crate) fn confine() -> Result<(), ConfineError> {
    must("ask to die with the shim", rustix::process::set_parent_process_death_signal(Some(Signal::KILL)))?;
    close_descriptors();
    limit(Resource::Core, 0)?;
    limit(Resource::Cpu, CPU_SECONDS)?;
    limit(Resource::As, ADDRESS_SPACE)?;
    limit(Resource::Fsize, FILE_SIZE)?;
    limit(Resource::Nofile, OPEN_FILES)?;
    let isolated = nix::sched::unshare(nix::sched::CloneFlags::CLONE_NEWNET);
    // An empty directory that nobody can write to and that vanishes with the process.
    let rooted = rustix::process::chroot("/proc/self/fdinfo").and_then(|()| rustix::process::chdir("/"));
    tracing::debug!(?isolated, ?rooted, "confined the compile role");
    if rustix::process::geteuid().is_root() {
        must("drop the groups", nix::unistd::setgroups(&[]))?;
        must("drop the group", nix::unistd::setgid(NOBODY.into()))?;
        must("drop the user", nix::unistd::setuid(NOBODY.into()))?;
        // Changing the user clears the death signal.
        must("ask to die with the shim", rustix::process::set_parent_process_death_signal(Some(Signal::KILL)))?;
    }
    must("renounce privileges", rustix::thread::set_no_new_privs(true))
}

fn limit(resource: Resource, value: u64) -> Result<(), ConfineError> {
    // Never above what we were given: raising takes a capability.
    let maximum = rustix::process::getrlimit(resource).maximum.map_or(value, |maximum| maximum.min(value));
    let limit = Rlimit { current: Some(maximum), maximum: Some(maximum) };
    must("set a resource limit", rustix::process::setrlimit(resource, limit))
}

/// Closes whatever the shim's ancestors may have left open above the standard three.
fn close_descriptors() {
    let Ok(entries) = std::fs::read_dir("/proc/self/fd") else { return };
    let open: Vec<RawFd> =
        entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok()).filter(|fd| *fd > 2).collect();
    for fd in open {
        // One of them was the directory itself, which is closed already.
        let _ = nix::unistd::close(fd);
    }
}

fn must<E: Into<std::io::Error>>(action: &'static str, result: Result<(), E>) -> Result<(), ConfineError> {
    result.map_err(|source| ConfineError { action, source: source.into() })
}
