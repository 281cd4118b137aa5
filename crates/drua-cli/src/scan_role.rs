//! The `scout-scan` role: layers come in on stdin, what is in them goes out on stdout.
//!
//! Layers are hostile input to twenty parsers. What is left to a parser that they subvert: no privilege, no network, no
//! file system, no descriptors but its three, bounded memory and processor time. The process is confined before it reads
//! its first byte, and while it has one thread: credentials and namespaces are per thread.

use std::io;
use std::os::fd::RawFd;
use std::process::ExitCode;

use nix::sched::CloneFlags;
use rustix::process::{Resource, Rlimit, Signal};

const NOBODY: u32 = 65534;
/// Address space: an executable and an archive at their limits, and what is made of them.
const ADDRESS_SPACE: u64 = 6 << 30;
/// For all layers of an image together.
const CPU_SECONDS: u64 = 3600;
const OPEN_FILES: u64 = 16;

/// Runs the role in a process of its own; call it before any thread exists.
pub fn scan_main() -> ExitCode {
    let served = confine().and_then(|()| drua_scout::serve(io::stdin().lock(), io::stdout().lock()));
    match served {
        Ok(()) => ExitCode::SUCCESS,
        // The parent went away or reports the failure: the answer is missing.
        Err(_) => ExitCode::FAILURE,
    }
}

/// Confines the calling process for good.
///
/// Everything is mandatory but the namespaces and the empty root, which some machines do not let unprivileged users have.
fn confine() -> io::Result<()> {
    rustix::process::set_parent_process_death_signal(Some(Signal::KILL))?;
    close_descriptors();
    limit(Resource::Core, 0)?;
    limit(Resource::Cpu, CPU_SECONDS)?;
    limit(Resource::As, ADDRESS_SPACE)?;
    // Writing files is not its business; a pipe is no file.
    limit(Resource::Fsize, 0)?;
    limit(Resource::Nofile, OPEN_FILES)?;
    let is_root = rustix::process::geteuid().is_root();
    let mut flags = CloneFlags::CLONE_NEWNET | CloneFlags::CLONE_NEWIPC | CloneFlags::CLONE_NEWUTS;
    if !is_root {
        flags |= CloneFlags::CLONE_NEWUSER;
    }
    let isolated = nix::sched::unshare(flags);
    // An empty directory that nobody can write to and that vanishes with the process.
    let rooted = rustix::process::chroot("/proc/self/fdinfo").and_then(|()| rustix::process::chdir("/"));
    tracing::debug!(?isolated, ?rooted, "confined the scanner");
    if is_root {
        nix::unistd::setgroups(&[])?;
        nix::unistd::setgid(NOBODY.into())?;
        nix::unistd::setuid(NOBODY.into())?;
        // Changing the user clears the death signal.
        rustix::process::set_parent_process_death_signal(Some(Signal::KILL))?;
    }
    Ok(rustix::thread::set_no_new_privs(true)?)
}

/// Closes whatever the parent's ancestors may have left open above the standard three.
fn close_descriptors() {
    let Ok(entries) = std::fs::read_dir("/proc/self/fd") else { return };
    let open: Vec<RawFd> =
        entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok()).filter(|fd| *fd > 2).collect();
    for fd in open {
        // One of them was the directory itself, which is closed already.
        let _ = nix::unistd::close(fd);
    }
}

fn limit(resource: Resource, value: u64) -> io::Result<()> {
    // Never above what we were given: raising takes a capability.
    let maximum = rustix::process::getrlimit(resource).maximum.map_or(value, |maximum| maximum.min(value));
    Ok(rustix::process::setrlimit(resource, Rlimit { current: Some(maximum), maximum: Some(maximum) })?)
}
