//! What the host offers, read once by the daemon.

use std::collections::HashSet;
use std::io;
use std::path::Path;

use caps::CapSet;
use fs_err as fs;

use super::capabilities::{Capability, from_caps};
use crate::cgroup::Hierarchies;

/// Facts about the host that change a container's specification.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostFacts {
    /// How cgroups are mounted.
    pub cgroup: CgroupLayout,
    /// Kernel version, major and minor.
    pub kernel: (u32, u32),
    /// Capabilities that this process can hand on: "all" means these.
    pub capabilities: HashSet<Capability>,
    /// Whether swap can be limited.
    pub swap_limit: bool,
    /// Whether `/dev/mqueue` is mounted, which a container that shares the IPC namespace then gets.
    pub has_mqueue: bool,
    /// Numbers of the processors whose thermal throttle counters have to be masked.
    pub thermal_throttle_cpus: Vec<u32>,
}

/// How cgroups are mounted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CgroupLayout {
    /// cgroup v1 only.
    Legacy,
    /// cgroup v1 controllers with a v2 hierarchy beside them.
    Hybrid,
    /// cgroup v2 only.
    Unified,
}

/// The host cannot be examined.
#[derive(Debug, thiserror::Error)]
pub enum ReadHostError {
    /// There are no cgroups.
    #[error("cannot find the cgroup hierarchies of this host")]
    Cgroups(#[source] io::Error),
    /// The process's own capabilities are unknown.
    #[error("cannot read the capabilities of this process")]
    Capabilities(#[source] caps::errors::CapsError),
}

impl HostFacts {
    /// Examines this host.
    pub fn read() -> Result<Self, ReadHostError> {
        let hierarchies = Hierarchies::of_host().map_err(ReadHostError::Cgroups)?;
        let (cgroup, swap_limit) = match &hierarchies {
            Hierarchies::Unified(_) => (CgroupLayout::Unified, true),
            Hierarchies::Split { hybrid, .. } => {
                let memory = hierarchies.controller("memory", Path::new("/"));
                let swap_limit = memory.is_some_and(|memory| memory.join("memory.memsw.limit_in_bytes").exists());
                (if *hybrid { CgroupLayout::Hybrid } else { CgroupLayout::Legacy }, swap_limit)
            }
        };
        let bounding = caps::read(None, CapSet::Bounding).map_err(ReadHostError::Capabilities)?;
        let permitted = caps::read(None, CapSet::Permitted).map_err(ReadHostError::Capabilities)?;
        Ok(Self {
            cgroup,
            kernel: kernel_version(&rustix::system::uname().release().to_string_lossy()),
            capabilities: from_caps(bounding.intersection(&permitted)),
            swap_limit,
            has_mqueue: Path::new("/dev/mqueue").exists(),
            thermal_throttle_cpus: thermal_throttle_cpus(),
        })
    }
}

/// `6.18.44-generic` is 6.18. Nonsense is 0.0, which enables nothing that needs a newer kernel.
pub(super) fn kernel_version(release: &str) -> (u32, u32) {
    let mut numbers = release.split(|c: char| !c.is_ascii_digit()).map(|text| text.parse().unwrap_or(0));
    (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0))
}

fn thermal_throttle_cpus() -> Vec<u32> {
    let Ok(entries) = fs::read_dir("/sys/devices/system/cpu") else { return Vec::new() };
    let numbers = entries.flatten().filter_map(|entry| entry.file_name().to_str()?.strip_prefix("cpu")?.parse().ok());
    let mut cpus: Vec<u32> = numbers.filter(|cpu| Path::new(&thermal_throttle_path(*cpu)).exists()).collect();
    cpus.sort_unstable();
    cpus
}

pub(super) fn thermal_throttle_path(cpu: u32) -> String {
    format!("/sys/devices/system/cpu/cpu{cpu}/thermal_throttle")
}
