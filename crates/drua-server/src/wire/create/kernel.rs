//! What this kernel can limit: what it cannot is discarded with a warning, as in Docker.

use std::path::Path;

/// Which controllers and files are there.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Kernel {
    pub(crate) swap_limit: bool,
    pub(crate) swappiness: bool,
    pub(crate) oom_kill_disable: bool,
    pub(crate) pids: bool,
    pub(crate) cpu_shares: bool,
    pub(crate) cpu_quota: bool,
    pub(crate) cpu_realtime: bool,
    pub(crate) cpuset: bool,
    pub(crate) blkio_weight: bool,
    pub(crate) blkio_weight_device: bool,
    pub(crate) blkio_throttle: bool,
}

impl Kernel {
    /// Looks at the host's cgroups: a few `stat` calls.
    pub(crate) fn read() -> Self {
        let root = Path::new("/sys/fs/cgroup");
        let unified = root.join("cgroup.controllers").exists();
        if unified {
            let controllers = std::fs::read_to_string(root.join("cgroup.controllers")).unwrap_or_default();
            let has = |name: &str| controllers.split_whitespace().any(|known| known == name);
            return Self {
                swap_limit: has("memory"),
                swappiness: false,
                oom_kill_disable: false,
                pids: has("pids"),
                cpu_shares: has("cpu"),
                cpu_quota: has("cpu"),
                cpu_realtime: false,
                cpuset: has("cpuset"),
                blkio_weight: has("io"),
                blkio_weight_device: has("io"),
                blkio_throttle: has("io"),
            };
        }
        let has = |controller: &str, file: &str| root.join(controller).join(file).exists();
        Self {
            swap_limit: has("memory", "memory.memsw.limit_in_bytes"),
            swappiness: has("memory", "memory.swappiness"),
            oom_kill_disable: has("memory", "memory.oom_control"),
            pids: has("pids", "tasks"),
            cpu_shares: has("cpu", "cpu.shares"),
            cpu_quota: has("cpu", "cpu.cfs_quota_us"),
            cpu_realtime: has("cpu", "cpu.rt_runtime_us"),
            cpuset: has("cpuset", "cpuset.cpus"),
            blkio_weight: has("blkio", "blkio.weight") || has("blkio", "blkio.bfq.weight"),
            blkio_weight_device: has("blkio", "blkio.weight_device") || has("blkio", "blkio.bfq.weight_device"),
            blkio_throttle: has("blkio", "blkio.throttle.read_bps_device"),
        }
    }
}

/// Numbers of a list such as `0-2,4`; `None` for anything else.
pub(super) fn numbers(list: &str) -> Option<Vec<u32>> {
    const MOST: u32 = 8192;
    let mut numbers = Vec::new();
    for part in list.split(',').map(str::trim).filter(|part| !part.is_empty()) {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (first, last): (u32, u32) = (first.trim().parse().ok()?, last.trim().parse().ok()?);
        if first > last || last > MOST {
            return None;
        }
        numbers.extend(first..=last);
    }
    Some(numbers)
}

/// What is online, `cpu` or `node`, as a list.
pub(super) fn online(kind: &str) -> String {
    let path = format!("/sys/devices/system/{kind}/online");
    std::fs::read_to_string(path).map_or_else(|_| "0".to_owned(), |text| text.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_of_numbers() {
        assert_eq!(numbers("0-2,4"), Some(vec![0, 1, 2, 4]));
        assert_eq!(numbers(""), Some(vec![]));
        for bad in ["a", "2-1", "-1", "0-", "0-99999999"] {
            assert_eq!(numbers(bad), None, "{bad}");
        }
    }
}
