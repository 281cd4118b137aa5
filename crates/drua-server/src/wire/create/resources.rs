//! Limits, with Docker's checks (moby daemon/daemon_unix.go, `verifyPlatformContainerResources`).

use std::path::PathBuf;

use drua_api::models;
use drua_engine::container::{DeviceLimit, Resources};

use super::Result;
use super::kernel::{Kernel, numbers, online};
use crate::http::Failure;

const MIN_MEMORY_BYTES: i64 = 6 << 20;

/// The limits that are asked for; what this kernel cannot do is left out and said in `warnings`.
pub(super) fn resources(host: &models::HostConfig, warnings: &mut Vec<String>) -> Result<Resources> {
    let kernel = Kernel::read();
    let mut resources = Resources {
        memory: positive(host.memory),
        memory_reservation: positive(host.memory_reservation),
        memory_swap: host.memory_swap.filter(|bytes| *bytes != 0),
        memory_swappiness: host.memory_swappiness.filter(|percent| *percent != -1).map(i64::unsigned_abs),
        nano_cpus: positive(host.nano_cpus),
        cpu_shares: positive(host.cpu_shares).map(i64::unsigned_abs),
        cpu_period: host.cpu_period.filter(|period| *period != 0).map(i64::unsigned_abs),
        cpu_quota: host.cpu_quota.filter(|quota| *quota != 0),
        cpu_rt_period: positive(host.cpu_realtime_period).map(i64::unsigned_abs),
        cpu_rt_runtime: host.cpu_realtime_runtime.filter(|time| *time != 0),
        cpuset_cpus: host.cpuset_cpus.clone().unwrap_or_default(),
        cpuset_mems: host.cpuset_mems.clone().unwrap_or_default(),
        pids: positive(host.pids_limit),
        blkio_weight: host.blkio_weight.filter(|weight| *weight != 0),
        blkio_weight_devices: weights(host)?,
        blkio_throttle: [
            throttles(&host.blkio_device_read_bps)?,
            throttles(&host.blkio_device_write_bps)?,
            throttles(&host.blkio_device_read_iops)?,
            throttles(&host.blkio_device_write_iops)?,
        ],
        oom_kill_disable: host.oom_kill_disable.unwrap_or_default(),
    };
    memory(&mut resources, host, kernel, warnings)?;
    cpus(&mut resources, host, kernel, warnings)?;
    block_io(&mut resources, kernel, warnings)?;
    if resources.pids.is_some() && !kernel.pids {
        discard(warnings, "PIDs limit capabilities or the cgroup is not mounted. PIDs limit discarded.");
        resources.pids = None;
    }
    Ok(resources)
}

fn positive(number: Option<i64>) -> Option<i64> {
    number.filter(|number| *number > 0)
}

fn discard(warnings: &mut Vec<String>, what: &str) {
    warnings.push(format!("Your kernel does not support {what}"));
}

fn invalid<T>(message: &str) -> Result<T> {
    Err(Failure::invalid(message))
}

fn memory(
    resources: &mut Resources,
    host: &models::HostConfig,
    kernel: Kernel,
    warnings: &mut Vec<String>,
) -> Result<()> {
    let asked = host.memory.unwrap_or(0);
    if asked < 0 || (asked > 0 && asked < MIN_MEMORY_BYTES) {
        return invalid("Minimum memory limit allowed is 6MB");
    }
    if resources.memory_swap.is_some_and(|swap| swap > 0) && resources.memory.is_none() {
        return invalid("You should always set the Memory limit when using Memoryswap limit, see usage");
    }
    if let (Some(memory), Some(swap)) = (resources.memory, resources.memory_swap)
        && swap > 0
        && swap < memory
    {
        return invalid("Minimum memoryswap limit should be larger than memory limit, see usage");
    }
    if resources.memory.is_some() && resources.memory_swap.is_some_and(|swap| swap != -1) && !kernel.swap_limit {
        discard(warnings, "swap limit capabilities or the cgroup is not mounted. Memory limited without swap.");
        resources.memory_swap = None;
    }
    if let Some(percent) = host.memory_swappiness.filter(|percent| *percent != -1) {
        if !(0..=100).contains(&percent) {
            return invalid(&format!("Invalid value: {percent}, valid memory swappiness range is 0-100"));
        }
        if !kernel.swappiness {
            discard(
                warnings,
                "memory swappiness capabilities or the cgroup is not mounted. Memory swappiness discarded.",
            );
            resources.memory_swappiness = None;
        }
    }
    if let Some(reservation) = host.memory_reservation.filter(|bytes| *bytes != 0) {
        if reservation < MIN_MEMORY_BYTES {
            return invalid("Minimum memory reservation allowed is 6MB");
        }
        if resources.memory.is_some_and(|memory| memory < reservation) {
            return invalid("Minimum memory limit can not be less than memory reservation limit, see usage");
        }
    }
    if resources.oom_kill_disable && !kernel.oom_kill_disable {
        warnings.push("Your kernel does not support OomKillDisable. OomKillDisable discarded.".to_owned());
        resources.oom_kill_disable = false;
    }
    if resources.oom_kill_disable && resources.memory.is_none() {
        warnings.push("OOM killer is disabled for the container, but no memory limit is set, this can result in the system running out of resources.".to_owned());
    }
    Ok(())
}

fn cpus(
    resources: &mut Resources,
    host: &models::HostConfig,
    kernel: Kernel,
    warnings: &mut Vec<String>,
) -> Result<()> {
    if resources.nano_cpus.is_some() && resources.cpu_period.is_some() {
        return invalid("Conflicting options: Nano CPUs and CPU Period cannot both be set");
    }
    if resources.nano_cpus.is_some() && resources.cpu_quota.is_some() {
        return invalid("Conflicting options: Nano CPUs and CPU Quota cannot both be set");
    }
    let count = std::thread::available_parallelism().map_or(1, usize::from);
    let most = i64::try_from(count).unwrap_or(i64::MAX).saturating_mul(1_000_000_000);
    if host.nano_cpus.is_some_and(|nanos| nanos < 0 || nanos > most) {
        return invalid(&format!("Range of CPUs is from 0.01 to {count}.00, as there are only {count} CPUs available"));
    }
    if host.cpu_shares.is_some_and(|shares| shares < 0) {
        return invalid("CPU shares cannot be negative");
    }
    if host.cpu_period.is_some_and(|period| period != 0 && !(1000..=1_000_000).contains(&period)) {
        return invalid("CPU cfs period can not be less than 1ms (i.e. 1000) or larger than 1s (i.e. 1000000)");
    }
    if resources.cpu_quota.is_some_and(|quota| quota > 0 && quota < 1000) {
        return invalid("CPU cfs quota can not be less than 1ms (i.e. 1000)");
    }
    if resources.cpu_shares.is_some() && !kernel.cpu_shares {
        discard(warnings, "CPU shares or the cgroup is not mounted. Shares discarded.");
        resources.cpu_shares = None;
    }
    if (resources.nano_cpus.is_some() || resources.cpu_quota.is_some()) && !kernel.cpu_quota {
        return invalid(
            "NanoCPUs can not be set, as your kernel does not support CPU CFS scheduler or the cgroup is not mounted",
        );
    }
    if (resources.cpu_rt_period.is_some() || resources.cpu_rt_runtime.is_some()) && !kernel.cpu_realtime {
        return invalid("Your kernel does not support CPU real-time scheduler");
    }
    if let (Some(period), Some(runtime)) = (resources.cpu_rt_period, resources.cpu_rt_runtime)
        && u64::try_from(runtime).is_ok_and(|runtime| runtime > period)
    {
        return invalid("cpu real-time runtime cannot be higher than cpu real-time period");
    }
    for (what, noun, kind, list) in [
        ("cpus", "CPUs", "cpu", &mut resources.cpuset_cpus),
        ("mems", "memory nodes", "node", &mut resources.cpuset_mems),
    ] {
        if list.is_empty() {
            continue;
        }
        if !kernel.cpuset {
            discard(warnings, "cpuset or the cgroup is not mounted. Cpuset discarded.");
            list.clear();
            continue;
        }
        let Some(asked) = numbers(list) else {
            return invalid(&format!("Invalid value {list} for cpuset {what}"));
        };
        let available = online(kind);
        let there = numbers(&available).unwrap_or_default();
        if asked.iter().any(|number| !there.contains(number)) {
            return invalid(&format!("Requested {noun} are not available - requested {list}, available: {available}"));
        }
    }
    Ok(())
}

fn block_io(resources: &mut Resources, kernel: Kernel, warnings: &mut Vec<String>) -> Result<()> {
    if resources.blkio_weight.is_some_and(|weight| !(10..=1000).contains(&weight)) {
        return invalid("Range of blkio weight is from 10 to 1000");
    }
    if resources.blkio_weight.is_some() && !kernel.blkio_weight {
        discard(warnings, "Block I/O weight or the cgroup is not mounted. Weight discarded.");
        resources.blkio_weight = None;
    }
    if !resources.blkio_weight_devices.is_empty() && !kernel.blkio_weight_device {
        discard(warnings, "Block I/O weight_device or the cgroup is not mounted. Weight-device discarded.");
        resources.blkio_weight_devices.clear();
    }
    if resources.blkio_throttle.iter().any(|limits| !limits.is_empty()) && !kernel.blkio_throttle {
        discard(warnings, "Block I/O throttling or the cgroup is not mounted. Block I/O limits discarded.");
        resources.blkio_throttle = Default::default();
    }
    Ok(())
}

fn weights(host: &models::HostConfig) -> Result<Vec<DeviceLimit>> {
    let weight = |device: &models::ResourcesBlkioWeightDevice| {
        let path = PathBuf::from(device.path.clone().unwrap_or_default());
        match device.weight.unwrap_or(0) {
            weight @ 10..=1000 => Ok(DeviceLimit { path, limit: u64::try_from(weight).unwrap_or(0) }),
            weight => Err(Failure::invalid(format!("invalid weight for device {}: {weight}", path.display()))),
        }
    };
    host.blkio_weight_device.iter().flatten().map(weight).collect()
}

fn throttles(devices: &Option<Vec<models::ThrottleDevice>>) -> Result<Vec<DeviceLimit>> {
    let throttle = |device: &models::ThrottleDevice| {
        let path = PathBuf::from(device.path.clone().unwrap_or_default());
        let rate = u64::try_from(device.rate.unwrap_or(0));
        let limit = rate.map_err(|_| Failure::invalid(format!("invalid rate for device {}", path.display())))?;
        Ok(DeviceLimit { path, limit })
    };
    devices.iter().flatten().map(throttle).collect()
}
