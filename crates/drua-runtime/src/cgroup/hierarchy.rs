//! Where this host mounts its cgroup hierarchies.

use std::io;
use std::path::{Path, PathBuf};

use fs_err as fs;

/// The hierarchies that hold containers. In a hybrid set-up that is the v1 part: the v2 hierarchy beside it has no
/// controllers to speak of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Hierarchies {
    /// cgroup v2 only, mounted here.
    Unified(PathBuf),
    /// cgroup v1: controllers with their mount points. Controllers that are mounted together share one.
    Split {
        /// `(controllers, mount point)`.
        mounts: Vec<(Vec<String>, PathBuf)>,
        /// Whether there is a v2 hierarchy, too.
        hybrid: bool,
    },
}

impl Hierarchies {
    /// Finds the hierarchies of this host.
    pub fn of_host() -> io::Result<Self> {
        Self::parse(&fs::read_to_string("/proc/self/mountinfo")?)
            .ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, "no cgroup file system is mounted"))
    }

    /// Reads `mountinfo` (man 5 proc_pid_mountinfo).
    pub(super) fn parse(mountinfo: &str) -> Option<Self> {
        let mut unified = None;
        let mut mounts: Vec<(Vec<String>, PathBuf)> = Vec::new();
        for line in mountinfo.lines() {
            let Some((left, right)) = line.split_once(" - ") else { continue };
            let Some(mount_point) = left.split(' ').nth(4).map(PathBuf::from) else { continue };
            let mut right = right.split(' ');
            match (right.next(), right.nth(1)) {
                (Some("cgroup2"), _) => unified = unified.or(Some(mount_point)),
                (Some("cgroup"), Some(options)) => {
                    let known = options.split(',').filter(|option| CONTROLLERS.contains(option));
                    let controllers: Vec<String> = known.map(str::to_owned).collect();
                    let seen = mounts.iter().any(|(earlier, _)| *earlier == controllers);
                    if !controllers.is_empty() && !seen {
                        mounts.push((controllers, mount_point));
                    }
                }
                _ => {}
            }
        }
        match (mounts.is_empty(), unified) {
            (false, unified) => Some(Self::Split { mounts, hybrid: unified.is_some() }),
            (true, Some(root)) => Some(Self::Unified(root)),
            (true, None) => None,
        }
    }

    /// The directory of cgroup `path` that has the files of `controller`.
    pub(crate) fn controller(&self, controller: &str, path: &Path) -> Option<PathBuf> {
        let root = match self {
            Self::Unified(root) => root,
            Self::Split { mounts, .. } => {
                let found = mounts.iter().find(|(names, _)| names.iter().any(|name| name == controller));
                &found?.1
            }
        };
        Some(join(root, path))
    }

    /// The directory of cgroup `path` in each hierarchy.
    pub(super) fn directories(&self, path: &Path) -> Vec<PathBuf> {
        match self {
            Self::Unified(root) => vec![join(root, path)],
            Self::Split { mounts, .. } => mounts.iter().map(|(_, root)| join(root, path)).collect(),
        }
    }
}

/// A directory in the container's `/sys/fs/cgroup`, and what it shows: the container's own cgroup.
#[derive(Debug, Clone)]
pub(crate) struct View {
    /// `None`: it is `/sys/fs/cgroup` itself (v2).
    pub(crate) name: Option<String>,
    pub(crate) directory: PathBuf,
    /// Other names of `name`: one for each controller of several that are mounted together.
    pub(crate) links: Vec<String>,
}

const CONTROLLERS: &[&str] = &[
    "blkio",
    "cpu",
    "cpuacct",
    "cpuset",
    "devices",
    "freezer",
    "hugetlb",
    "memory",
    "net_cls",
    "net_prio",
    "perf_event",
    "pids",
    "rdma",
    "misc",
];

pub(super) fn join(root: &Path, path: &Path) -> PathBuf {
    root.join(path.strip_prefix("/").unwrap_or(path))
}
