//! How a new process gets into a cgroup: opened by the one who makes it, used by itself.
//!
//! With cgroup v2 the process is born there (`CLONE_INTO_CGROUP`). With v1 it has to move, in each hierarchy.

use std::io;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::fs::{CWD, Mode, OFlags, openat};

use super::hierarchy::{Hierarchies, join};

/// An open way into a cgroup.
#[derive(Debug)]
pub(crate) enum Entrance {
    /// The directory of a cgroup v2.
    Unified(OwnedFd),
    /// `cgroup.procs` in each hierarchy of cgroup v1.
    Split(Vec<OwnedFd>),
}

impl Entrance {
    pub(super) fn of(hierarchies: &Hierarchies, path: &Path, init: Option<u32>) -> io::Result<Self> {
        match hierarchies {
            Hierarchies::Unified(root) => {
                let directory = join(root, path);
                // A cgroup that hands controllers on has no processes of its own (cgroups(7), "no internal processes").
                let hands_on = std::fs::read_to_string(directory.join("cgroup.subtree_control"))?;
                let own = init.filter(|_| !hands_on.trim().is_empty()).and_then(unified_path);
                let directory = own.map_or(directory, |own| join(root, Path::new(&own)));
                let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
                Ok(Self::Unified(openat(CWD, directory, flags, Mode::empty())?))
            }
            Hierarchies::Split { .. } => {
                let open = |directory: &Path| {
                    let flags = OFlags::WRONLY | OFlags::CLOEXEC;
                    Ok(openat(CWD, directory.join("cgroup.procs"), flags, Mode::empty())?)
                };
                let directories = hierarchies.directories(path);
                Ok(Self::Split(directories.iter().map(|directory| open(directory)).collect::<io::Result<_>>()?))
            }
        }
    }

    /// For `clone3`.
    pub(crate) fn unified(&self) -> Option<BorrowedFd<'_>> {
        match self {
            Self::Unified(directory) => Some(directory.as_fd()),
            Self::Split(_) => None,
        }
    }

    /// Moves the calling process there, as far as it was not born there.
    pub(crate) fn enter(&self) -> io::Result<()> {
        let Self::Split(files) = self else { return Ok(()) };
        for file in files {
            rustix::io::write(file, b"0")?;
        }
        Ok(())
    }
}

/// The cgroup v2 of a process.
fn unified_path(pid: u32) -> Option<String> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/cgroup")).ok()?;
    text.lines().find_map(|line| line.strip_prefix("0::").map(str::to_owned))
}
