//! Between drua's values and containerd's wire types.

use containerd_shim_protos::cgroups::metrics::{
    BlkIOEntry, BlkIOStat, CPUStat, CPUUsage, MemoryEntry, MemoryOomControl, MemoryStat, Metrics, PidsStat, Throttle,
};
use containerd_shim_protos::protobuf::well_known_types::timestamp::Timestamp as ProtoTimestamp;
use containerd_shim_protos::protobuf::{MessageField, SpecialFields};
use containerd_shim_protos::ttrpc::{self, Code};
use drua_runtime::cgroup::{BlkioEntry, MemoryStats, Stats};
use drua_types::ErrorKind;
use jiff::Timestamp;

/// A point in time on the wire.
pub(crate) fn timestamp(time: Timestamp) -> ProtoTimestamp {
    ProtoTimestamp { seconds: time.as_second(), nanos: time.subsec_nanosecond(), special_fields: SpecialFields::new() }
}

/// The ttrpc status code for a kind of failure.
pub(crate) fn code(kind: ErrorKind) -> Code {
    match kind {
        ErrorKind::NotFound => Code::NOT_FOUND,
        ErrorKind::Conflict => Code::FAILED_PRECONDITION,
        ErrorKind::Invalid => Code::INVALID_ARGUMENT,
        ErrorKind::Denied => Code::PERMISSION_DENIED,
        ErrorKind::Unavailable => Code::UNAVAILABLE,
        ErrorKind::Unsupported => Code::UNIMPLEMENTED,
        ErrorKind::NotModified => Code::ALREADY_EXISTS,
        ErrorKind::Internal => Code::INTERNAL,
    }
}

/// A failure on the wire.
pub(crate) fn status(kind: ErrorKind, message: String) -> ttrpc::Error {
    ttrpc::Error::RpcStatus(ttrpc::get_status(code(kind), message))
}

/// containerd's cgroup v1 metrics, which every client can read; figures of a v2 host are put where they belong there.
pub(crate) fn metrics(stats: &Stats) -> Metrics {
    let mut metrics = Metrics::new();
    metrics.cpu = some(CPUStat {
        usage: some(CPUUsage {
            total: stats.cpu.total_ns,
            kernel: stats.cpu.system_ns,
            user: stats.cpu.user_ns,
            per_cpu: stats.cpu.per_cpu_ns.clone(),
            ..CPUUsage::default()
        }),
        throttling: some(Throttle {
            periods: stats.cpu.periods,
            throttled_periods: stats.cpu.throttled_periods,
            throttled_time: stats.cpu.throttled_ns,
            ..Throttle::default()
        }),
        ..CPUStat::default()
    });
    metrics.memory = some(memory(&stats.memory));
    metrics.memory_oom_control =
        some(MemoryOomControl { oom_kill: stats.memory.oom_kills, ..MemoryOomControl::default() });
    metrics.pids =
        some(PidsStat { current: stats.pids.current, limit: stats.pids.limit.unwrap_or(0), ..PidsStat::default() });
    metrics.blkio = some(BlkIOStat {
        io_service_bytes_recursive: blkio(&stats.blkio_bytes),
        io_serviced_recursive: blkio(&stats.blkio_operations),
        ..BlkIOStat::default()
    });
    metrics
}

fn memory(memory: &MemoryStats) -> MemoryStat {
    // v1 has its own name and one with `total_` that includes child cgroups; v2 has one name for the latter.
    let value = |names: &[&str]| names.iter().find_map(|name| memory.stat.get(*name)).copied().unwrap_or(0);
    MemoryStat {
        usage: some(MemoryEntry {
            limit: memory.limit.unwrap_or(u64::MAX),
            usage: memory.usage,
            max: memory.max_usage,
            failcnt: memory.failures,
            ..MemoryEntry::default()
        }),
        cache: value(&["cache", "file"]),
        rss: value(&["rss", "anon"]),
        mapped_file: value(&["mapped_file", "file_mapped"]),
        pg_fault: value(&["pgfault"]),
        pg_maj_fault: value(&["pgmajfault"]),
        inactive_anon: value(&["inactive_anon"]),
        active_anon: value(&["active_anon"]),
        inactive_file: value(&["inactive_file"]),
        active_file: value(&["active_file"]),
        unevictable: value(&["unevictable"]),
        total_cache: value(&["total_cache", "file"]),
        total_rss: value(&["total_rss", "anon"]),
        total_inactive_file: value(&["total_inactive_file", "inactive_file"]),
        total_active_file: value(&["total_active_file", "active_file"]),
        ..MemoryStat::default()
    }
}

fn blkio(entries: &[BlkioEntry]) -> Vec<BlkIOEntry> {
    let entry = |entry: &BlkioEntry| BlkIOEntry {
        op: entry.operation.clone(),
        major: entry.major,
        minor: entry.minor,
        value: entry.value,
        ..BlkIOEntry::default()
    };
    entries.iter().map(entry).collect()
}

fn some<T>(value: T) -> MessageField<T> {
    MessageField::some(value)
}
