//! What containers use, read from their cgroups and network namespaces without asking anybody: a stuck shim does not matter.

use std::collections::BTreeMap;
use std::path::PathBuf;

use drua_runtime::cgroup::{Cgroup, Stats};
use jiff::Timestamp;

use crate::container::{Container, NetworkMode};
use crate::engine::Engine;
use crate::{Error, Result};

/// One reading. Counters grow; what a client shows is the difference of two.
#[derive(Debug, Clone)]
pub struct Sample {
    /// When it was read.
    pub read: Timestamp,
    /// The container's own; `None` when it does not run.
    pub usage: Option<Stats>,
    /// Processor time of the whole machine since boot, in nanoseconds, idle time included.
    pub system_ns: u64,
    /// Processors of the machine.
    pub online_cpus: u32,
    /// Memory of the machine in bytes: the limit of a container that has none.
    pub machine_memory: u64,
    /// Counters of the container's interfaces by name; empty on the host's network.
    pub networks: BTreeMap<String, Interface>,
}

/// Counters of a network interface (`/proc/net/dev`).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names are the kernel's")]
pub struct Interface {
    pub rx_bytes: u64,
    pub rx_packets: u64,
    pub rx_errors: u64,
    pub rx_dropped: u64,
    pub tx_bytes: u64,
    pub tx_packets: u64,
    pub tx_errors: u64,
    pub tx_dropped: u64,
}

/// Reads one container again and again.
#[derive(Debug, Default)]
pub struct Sampler {
    cgroup: Option<(u32, Cgroup)>,
}

impl Sampler {
    /// Reads the container as it is in this picture. Blocking, some hundred microseconds.
    ///
    /// # Errors
    /// When the machine's own figures cannot be read; a container that has just ended is one that does not run.
    pub fn sample(&mut self, engine: &Engine, container: &Container) -> Result<Sample> {
        let read = |path: &str| fs_err::read_to_string(path).map_err(Error::io("read", path));
        let (system_ns, online_cpus) = machine_time(&read("/proc/stat")?);
        let machine_memory = total_memory(&read("/proc/meminfo")?);
        let pid = container.state.pid;
        let usage = if pid == 0 { None } else { self.usage(engine, container) };
        let own_network = !matches!(container.host.network_mode, NetworkMode::Host | NetworkMode::None);
        let networks = match &usage {
            Some(_) if own_network => interfaces(&read(&format!("/proc/{pid}/net/dev")).unwrap_or_default()),
            _ => BTreeMap::new(),
        };
        Ok(Sample { read: Timestamp::now(), usage, system_ns, online_cpus, machine_memory, networks })
    }

    fn usage(&mut self, engine: &Engine, container: &Container) -> Option<Stats> {
        let pid = container.state.pid;
        if self.cgroup.as_ref().is_none_or(|(known, _)| *known != pid) {
            self.cgroup = Some((pid, Cgroup::open(&cgroup_path(engine, container)?).ok()?));
        }
        let (_, cgroup) = self.cgroup.as_ref()?;
        // It may end at any time, and its cgroup with it.
        cgroup.stats().ok()
    }
}

/// The container's cgroup, as its specification has it.
fn cgroup_path(engine: &Engine, container: &Container) -> Option<PathBuf> {
    let text = fs_err::read(engine.config().bundle(&container.id).join("config.json")).ok()?;
    let spec: serde_json::Value = serde_json::from_slice(&text).ok()?;
    spec["linux"]["cgroupsPath"].as_str().map(PathBuf::from)
}

/// The sum of the first line of `/proc/stat` without guest time, which is in user time already, and the number of CPUs.
fn machine_time(stat: &str) -> (u64, u32) {
    // USER_HZ is 100 on every architecture that we build for.
    const NS_PER_TICK: u64 = 10_000_000;
    let mut lines = stat.lines().take_while(|line| line.starts_with("cpu"));
    let sum =
        |line: &str| line.split_whitespace().skip(1).take(8).filter_map(|word| word.parse::<u64>().ok()).sum::<u64>();
    let total = lines.next().map(sum).unwrap_or_default();
    (total.saturating_mul(NS_PER_TICK), u32::try_from(lines.count()).unwrap_or(u32::MAX))
}

fn total_memory(meminfo: &str) -> u64 {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"));
    let kib = line.and_then(|rest| rest.trim().trim_end_matches("kB").trim().parse::<u64>().ok());
    kib.unwrap_or(0).saturating_mul(1024)
}

/// `eth0: rx_bytes packets errs drop fifo frame compressed multicast tx_bytes packets errs drop …`, without loopback.
fn interfaces(dev: &str) -> BTreeMap<String, Interface> {
    let interface = |line: &str| {
        let (name, counters) = line.split_once(':')?;
        let counters: Vec<u64> = counters.split_whitespace().filter_map(|word| word.parse().ok()).collect();
        let [rx_bytes, rx_packets, rx_errors, rx_dropped, _, _, _, _, tx_bytes, tx_packets, tx_errors, tx_dropped, ..] =
            counters[..]
        else {
            return None;
        };
        let counters =
            Interface { rx_bytes, rx_packets, rx_errors, rx_dropped, tx_bytes, tx_packets, tx_errors, tx_dropped };
        Some((name.trim().to_owned(), counters))
    };
    dev.lines().filter_map(interface).filter(|(name, _)| name != "lo").collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_tables_are_read() {
        let stat = "cpu  100 5 50 800 20 3 2 1 40 0\ncpu0 50 0 0 0\ncpu1 50 0 0 0\nintr 1\n";
        assert_eq!(machine_time(stat), (981 * 10_000_000, 2));
        assert_eq!(machine_time(""), (0, 0));
        assert_eq!(total_memory("MemTotal:  16 kB\nMemFree: 1 kB\n"), 16384);
        let dev = "Inter-|   Receive\n face |bytes\n    lo: 1 1 0 0 0 0 0 0 1 1 0 0 0 0 0 0\n  eth0:10 2 3 4 0 0 0 0 50 6 7 8 0 0 0 0\n";
        let found = interfaces(dev);
        assert_eq!(found.keys().collect::<Vec<_>>(), ["eth0"]);
        assert_eq!((found["eth0"].rx_bytes, found["eth0"].tx_bytes, found["eth0"].tx_dropped), (10, 50, 8));
    }
}
