//! What a container has used, read from the control files of either cgroup version.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;

use fs_err as fs;
use serde::{Deserialize, Serialize};

use super::hierarchy::Hierarchies;

/// Usage of all controllers. Times are in nanoseconds, sizes in bytes.
///
/// Serialises because it crosses from the shim to the engine; the envelope there carries a version.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stats {
    /// Processor time.
    pub cpu: CpuStats,
    /// Memory.
    pub memory: MemoryStats,
    /// Processes and threads.
    pub pids: PidsStats,
    /// Bytes by block device and operation.
    pub blkio_bytes: Vec<BlkioEntry>,
    /// Operations by block device and operation.
    pub blkio_operations: Vec<BlkioEntry>,
}

/// Processor time.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CpuStats {
    /// In all.
    pub total_ns: u64,
    /// In user mode.
    pub user_ns: u64,
    /// In kernel mode.
    pub system_ns: u64,
    /// By processor; empty with cgroup v2.
    pub per_cpu_ns: Vec<u64>,
    /// Quota periods that have passed.
    pub periods: u64,
    /// Of those, how many used up their quota.
    pub throttled_periods: u64,
    /// Time spent waiting for the next period.
    pub throttled_ns: u64,
}

/// Memory.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemoryStats {
    /// Now, page cache included.
    pub usage: u64,
    /// The most there ever was.
    pub max_usage: u64,
    /// The limit; `None` is unlimited.
    pub limit: Option<u64>,
    /// How often the limit was hit.
    pub failures: u64,
    /// Processes killed for lack of memory.
    pub oom_kills: u64,
    /// Everything in `memory.stat`, by the names of the cgroup version.
    pub stat: BTreeMap<String, u64>,
}

impl MemoryStats {
    /// What `docker stats` shows: usage without the inactive part of the page cache.
    pub fn working_set(&self) -> u64 {
        let inactive = self.stat.get("total_inactive_file").or_else(|| self.stat.get("inactive_file"));
        self.usage.saturating_sub(inactive.copied().unwrap_or(0))
    }
}

/// Processes and threads.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PidsStats {
    /// Now.
    pub current: u64,
    /// The limit; `None` is unlimited.
    pub limit: Option<u64>,
}

/// One number of block I/O.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BlkioEntry {
    /// Major number of the device.
    pub major: u64,
    /// Minor number of the device.
    pub minor: u64,
    /// `read`, `write`, `discard` …, in lower case.
    pub operation: String,
    /// Bytes or operations.
    pub value: u64,
}

/// Limits at or above this stand for "unlimited" in cgroup v1 (`PAGE_COUNTER_MAX` pages).
const V1_UNLIMITED: u64 = 0x7fff_ffff_ffff_0000;

pub(super) fn read(hierarchies: &Hierarchies, path: &Path) -> io::Result<Stats> {
    match hierarchies {
        Hierarchies::Unified(_) => {
            let directory = hierarchies.controller("", path).expect("the unified hierarchy has every controller");
            read_v2(&directory)
        }
        Hierarchies::Split { .. } => read_v1(hierarchies, path),
    }
}

fn read_v1(hierarchies: &Hierarchies, path: &Path) -> io::Result<Stats> {
    let mut stats = Stats::default();
    if let Some(directory) = hierarchies.controller("cpuacct", path) {
        // USER_HZ is 100 on every architecture that we build for.
        const NS_PER_TICK: u64 = 10_000_000;
        stats.cpu.total_ns = number(&directory, "cpuacct.usage")?;
        let per_cpu = text(&directory, "cpuacct.usage_percpu")?;
        stats.cpu.per_cpu_ns = per_cpu.split_whitespace().filter_map(|word| word.parse().ok()).collect();
        let split = pairs(&directory, "cpuacct.stat")?;
        stats.cpu.user_ns = value(&split, "user") * NS_PER_TICK;
        stats.cpu.system_ns = value(&split, "system") * NS_PER_TICK;
    }
    if let Some(directory) = hierarchies.controller("cpu", path) {
        let throttling = pairs(&directory, "cpu.stat")?;
        stats.cpu.periods = value(&throttling, "nr_periods");
        stats.cpu.throttled_periods = value(&throttling, "nr_throttled");
        stats.cpu.throttled_ns = value(&throttling, "throttled_time");
    }
    if let Some(directory) = hierarchies.controller("memory", path) {
        stats.memory = MemoryStats {
            usage: number(&directory, "memory.usage_in_bytes")?,
            max_usage: number(&directory, "memory.max_usage_in_bytes")?,
            limit: limit(&directory, "memory.limit_in_bytes")?.filter(|limit| *limit < V1_UNLIMITED),
            failures: number(&directory, "memory.failcnt")?,
            oom_kills: value(&pairs(&directory, "memory.oom_control")?, "oom_kill"),
            stat: pairs(&directory, "memory.stat")?,
        };
    }
    if let Some(directory) = hierarchies.controller("pids", path) {
        stats.pids = PidsStats { current: number(&directory, "pids.current")?, limit: limit(&directory, "pids.max")? };
    }
    if let Some(directory) = hierarchies.controller("blkio", path) {
        stats.blkio_bytes = blkio_v1(&text(&directory, "blkio.throttle.io_service_bytes_recursive")?);
        stats.blkio_operations = blkio_v1(&text(&directory, "blkio.throttle.io_serviced_recursive")?);
    }
    Ok(stats)
}

fn read_v2(directory: &Path) -> io::Result<Stats> {
    let cpu = pairs(directory, "cpu.stat")?;
    let io = text(directory, "io.stat")?;
    Ok(Stats {
        cpu: CpuStats {
            total_ns: value(&cpu, "usage_usec") * 1000,
            user_ns: value(&cpu, "user_usec") * 1000,
            system_ns: value(&cpu, "system_usec") * 1000,
            per_cpu_ns: Vec::new(),
            periods: value(&cpu, "nr_periods"),
            throttled_periods: value(&cpu, "nr_throttled"),
            throttled_ns: value(&cpu, "throttled_usec") * 1000,
        },
        memory: MemoryStats {
            usage: number(directory, "memory.current")?,
            max_usage: number(directory, "memory.peak")?,
            limit: limit(directory, "memory.max")?,
            failures: value(&pairs(directory, "memory.events")?, "max"),
            oom_kills: value(&pairs(directory, "memory.events")?, "oom_kill"),
            stat: pairs(directory, "memory.stat")?,
        },
        pids: PidsStats { current: number(directory, "pids.current")?, limit: limit(directory, "pids.max")? },
        blkio_bytes: blkio_v2(&io, "bytes"),
        blkio_operations: blkio_v2(&io, "ios"),
    })
}

/// `8:0 Read 4096`; the `Total` lines are sums.
pub(super) fn blkio_v1(text: &str) -> Vec<BlkioEntry> {
    let entries = text.lines().filter_map(|line| {
        let mut words = line.split_whitespace();
        let (major, minor) = words.next()?.split_once(':')?;
        let operation = words.next()?.to_ascii_lowercase();
        let value = words.next()?.parse().ok()?;
        Some(BlkioEntry { major: major.parse().ok()?, minor: minor.parse().ok()?, operation, value })
    });
    entries.filter(|entry| entry.operation != "total").collect()
}

/// `8:0 rbytes=4096 wbytes=0 rios=1 wios=0 dbytes=0 dios=0`.
pub(super) fn blkio_v2(text: &str, unit: &str) -> Vec<BlkioEntry> {
    let mut entries = Vec::new();
    for line in text.lines() {
        let mut words = line.split_whitespace();
        let Some((major, minor)) = words.next().and_then(|device| device.split_once(':')) else { continue };
        let (Ok(major), Ok(minor)) = (major.parse(), minor.parse()) else { continue };
        for (key, value) in words.filter_map(|word| word.split_once('=')) {
            let operation = match key.strip_suffix(unit) {
                Some("r") => "read",
                Some("w") => "write",
                Some("d") => "discard",
                _ => continue,
            };
            if let Ok(value) = value.parse() {
                entries.push(BlkioEntry { major, minor, operation: operation.to_owned(), value });
            }
        }
    }
    entries
}

/// A control file; empty when the kernel does not have it.
fn text(directory: &Path, file: &str) -> io::Result<String> {
    match fs::read_to_string(directory.join(file)) {
        Err(err) if err.kind() == io::ErrorKind::NotFound && directory.exists() => Ok(String::new()),
        other => other,
    }
}

fn number(directory: &Path, file: &str) -> io::Result<u64> {
    Ok(text(directory, file)?.trim().parse().unwrap_or(0))
}

/// `max` is unlimited.
fn limit(directory: &Path, file: &str) -> io::Result<Option<u64>> {
    Ok(text(directory, file)?.trim().parse().ok())
}

fn pairs(directory: &Path, file: &str) -> io::Result<BTreeMap<String, u64>> {
    let text = text(directory, file)?;
    let pair = |line: &str| {
        let (key, value) = line.split_once(' ')?;
        Some((key.to_owned(), value.parse().ok()?))
    };
    Ok(text.lines().filter_map(pair).collect())
}

fn value(pairs: &BTreeMap<String, u64>, key: &str) -> u64 {
    pairs.get(key).copied().unwrap_or(0)
}
