//! Namespaces, limits and the rest of the Linux section.

use std::collections::HashMap;
use std::path::Path;

use oci_spec::runtime::{
    Linux, LinuxBlockIo, LinuxCpu, LinuxMemory, LinuxNamespace, LinuxNamespaceType, LinuxPids, LinuxResources,
    LinuxThrottleDeviceBuilder, LinuxWeightDeviceBuilder, PosixRlimit, PosixRlimitBuilder, PosixRlimitType,
};

use super::{
    Capability, CgroupLayout, ContainerSpec, HostFacts, Namespace, Resources, SeccompMode, SpecError, Ulimit, devices,
    mounts,
};
use crate::seccomp::Profile;

/// Sysctls of every container with a network of its own: ping and low ports need no rights there.
const NETWORK_SYSCTLS: [(&str, &str); 2] =
    [("net.ipv4.ping_group_range", "0 2147483647"), ("net.ipv4.ip_unprivileged_port_start", "0")];

pub(super) fn section(
    spec: &ContainerSpec,
    host: &HostFacts,
    capabilities: &std::collections::HashSet<Capability>,
) -> Result<Linux, SpecError> {
    let mut resources = resources(&spec.resources, host)?;
    resources.set_devices(Some(devices::cgroup_rules(spec)?));
    let seccomp = match &spec.seccomp {
        SeccompMode::Unconfined => None,
        SeccompMode::Default if spec.privileged => None,
        SeccompMode::Default => Some(Profile::docker_default().resolve(capabilities, host.kernel)),
        SeccompMode::Custom(json) => Some(Profile::from_json(json)?.resolve(capabilities, host.kernel)),
    };
    let mut linux = Linux::default();
    linux
        .set_namespaces(Some(namespaces(spec, host)?))
        .set_cgroups_path(Some(spec.cgroup_path()))
        .set_resources(Some(resources))
        .set_devices(Some(devices::nodes(spec)))
        .set_masked_paths(Some(mounts::masked_paths(spec, host)))
        .set_readonly_paths(Some(mounts::readonly_paths(spec)))
        .set_rootfs_propagation(mounts::rootfs_propagation(spec).map(str::to_owned))
        .set_sysctl(Some(sysctls(spec)))
        .set_seccomp(seccomp);
    Ok(linux)
}

/// The cgroup limits alone, as [`Sandbox::update`](crate::sandbox::Sandbox::update) takes them.
pub fn resources(resources: &Resources, host: &HostFacts) -> Result<LinuxResources, SpecError> {
    let mut linux = LinuxResources::default();
    linux.set_memory(memory(resources, host)).set_cpu(cpu(resources)?);
    if let Some(limit) = resources.pids_limit {
        let mut pids = LinuxPids::default();
        // Docker's 0 and −1 both mean unlimited.
        pids.set_limit(if limit <= 0 { -1 } else { limit });
        linux.set_pids(Some(pids));
    }
    linux.set_block_io(block_io(resources));
    Ok(linux)
}

fn block_io(resources: &Resources) -> Option<LinuxBlockIo> {
    let weight = resources.blkio_weight.filter(|weight| *weight != 0);
    let [read_bps, write_bps, read_iops, write_iops] = resources.blkio_throttle.each_ref().map(|limits| {
        let convert = |(major, minor, rate): &(i64, i64, u64)| {
            let device = LinuxThrottleDeviceBuilder::default().major(*major).minor(*minor).rate(*rate);
            device.build().expect("every field is given")
        };
        let devices: Vec<_> = limits.iter().map(convert).collect();
        Some(devices).filter(|devices| !devices.is_empty())
    });
    let weights = resources.blkio_weight_devices.iter().map(|(major, minor, weight)| {
        let device = LinuxWeightDeviceBuilder::default().major(*major).minor(*minor).weight(*weight);
        device.build().expect("every field is given or has a default")
    });
    let weights = Some(weights.collect::<Vec<_>>()).filter(|devices| !devices.is_empty());
    let throttles = [&read_bps, &write_bps, &read_iops, &write_iops];
    if weight.is_none() && weights.is_none() && throttles.iter().all(|devices| devices.is_none()) {
        return None;
    }
    let mut block_io = LinuxBlockIo::default();
    block_io
        .set_weight(weight)
        .set_weight_device(weights)
        .set_throttle_read_bps_device(read_bps)
        .set_throttle_write_bps_device(write_bps)
        .set_throttle_read_iops_device(read_iops)
        .set_throttle_write_iops_device(write_iops);
    Some(block_io)
}

fn memory(resources: &Resources, host: &HostFacts) -> Option<LinuxMemory> {
    let limit = resources.memory.filter(|bytes| *bytes != 0);
    let reservation = resources.memory_reservation.filter(|bytes| *bytes != 0);
    let swap = match resources.memory_swap.filter(|bytes| *bytes != 0) {
        Some(swap) => Some(swap),
        None => limit.map(|limit| limit.saturating_mul(2)),
    };
    let swap = swap.filter(|_| host.swap_limit);
    let swappiness = resources.memory_swappiness.filter(|_| host.cgroup != CgroupLayout::Unified);
    if limit.is_none() && reservation.is_none() && swap.is_none() && swappiness.is_none() && !resources.oom_kill_disable
    {
        return None;
    }
    let mut memory = LinuxMemory::default();
    memory.set_limit(limit).set_reservation(reservation).set_swap(swap).set_swappiness(swappiness);
    if resources.oom_kill_disable && host.cgroup != CgroupLayout::Unified {
        memory.set_disable_oom_killer(Some(true));
    }
    Some(memory)
}

fn cpu(resources: &Resources) -> Result<Option<LinuxCpu>, SpecError> {
    const PERIOD_US: u64 = 100_000;
    let set = |number: Option<u64>| number.filter(|number| *number != 0);
    let mut quota = resources.cpu_quota.filter(|quota| *quota != 0);
    let mut period = set(resources.cpu_period);
    if let Some(nano_cpus) = set(resources.nano_cpus) {
        if quota.is_some() || period.is_some() {
            return Err(SpecError::CpuConflict);
        }
        period = Some(PERIOD_US);
        quota = i64::try_from(u128::from(nano_cpus) * u128::from(PERIOD_US) / 1_000_000_000).ok();
    }
    let text = |text: &Option<String>| text.clone().filter(|text| !text.is_empty());
    let (cpus, mems, shares) = (text(&resources.cpuset_cpus), text(&resources.cpuset_mems), set(resources.cpu_shares));
    let (rt_period, rt_runtime) = (set(resources.cpu_rt_period), resources.cpu_rt_runtime.filter(|time| *time != 0));
    let realtime = rt_period.is_some() || rt_runtime.is_some();
    if quota.is_none() && period.is_none() && cpus.is_none() && mems.is_none() && shares.is_none() && !realtime {
        return Ok(None);
    }
    let mut cpu = LinuxCpu::default();
    cpu.set_shares(shares).set_quota(quota).set_period(period).set_cpus(cpus).set_mems(mems);
    cpu.set_realtime_period(rt_period).set_realtime_runtime(rt_runtime);
    Ok(Some(cpu))
}

fn namespaces(spec: &ContainerSpec, host: &HostFacts) -> Result<Vec<LinuxNamespace>, SpecError> {
    let default_cgroupns = match (spec.privileged, host.cgroup) {
        (true, CgroupLayout::Legacy | CgroupLayout::Hybrid) => Namespace::Host,
        (false, CgroupLayout::Legacy | CgroupLayout::Hybrid) | (_, CgroupLayout::Unified) => Namespace::Private,
    };
    let wanted = [
        (LinuxNamespaceType::Mount, &Namespace::Private),
        (LinuxNamespaceType::Network, &spec.network),
        (LinuxNamespaceType::Uts, &spec.uts),
        (LinuxNamespaceType::Pid, &spec.pid),
        (LinuxNamespaceType::Ipc, &spec.ipc),
        (LinuxNamespaceType::Cgroup, spec.cgroupns.as_ref().unwrap_or(&default_cgroupns)),
    ];
    let mut namespaces = Vec::new();
    for (kind, source) in wanted {
        let path = match source {
            Namespace::Host => continue,
            Namespace::Private => None,
            Namespace::Path(path) => {
                require_absolute("namespace", path)?;
                Some(path.clone())
            }
        };
        let mut namespace = LinuxNamespace::default();
        namespace.set_typ(kind).set_path(path);
        namespaces.push(namespace);
    }
    Ok(namespaces)
}

fn sysctls(spec: &ContainerSpec) -> HashMap<String, String> {
    let mut sysctls: HashMap<String, String> = HashMap::new();
    if spec.network != Namespace::Host {
        sysctls.extend(NETWORK_SYSCTLS.map(|(key, value)| (key.to_owned(), value.to_owned())));
    }
    sysctls.extend(spec.sysctls.clone());
    sysctls
}

pub(super) fn rlimits(ulimits: &[Ulimit]) -> Result<Vec<PosixRlimit>, SpecError> {
    let number = |limit: i64| u64::try_from(limit).unwrap_or(u64::MAX);
    let convert = |ulimit: &Ulimit| {
        let builder = PosixRlimitBuilder::default().typ(rlimit_type(&ulimit.name)?);
        let builder = builder.soft(number(ulimit.soft)).hard(number(ulimit.hard));
        Ok(builder.build().expect("every field has a default"))
    };
    ulimits.iter().map(convert).collect()
}

fn rlimit_type(name: &str) -> Result<PosixRlimitType, SpecError> {
    Ok(match name.to_ascii_lowercase().as_str() {
        "as" => PosixRlimitType::RlimitAs,
        "core" => PosixRlimitType::RlimitCore,
        "cpu" => PosixRlimitType::RlimitCpu,
        "data" => PosixRlimitType::RlimitData,
        "fsize" => PosixRlimitType::RlimitFsize,
        "locks" => PosixRlimitType::RlimitLocks,
        "memlock" => PosixRlimitType::RlimitMemlock,
        "msgqueue" => PosixRlimitType::RlimitMsgqueue,
        "nice" => PosixRlimitType::RlimitNice,
        "nofile" => PosixRlimitType::RlimitNofile,
        "nproc" => PosixRlimitType::RlimitNproc,
        "rss" => PosixRlimitType::RlimitRss,
        "rtprio" => PosixRlimitType::RlimitRtprio,
        "rttime" => PosixRlimitType::RlimitRttime,
        "sigpending" => PosixRlimitType::RlimitSigpending,
        "stack" => PosixRlimitType::RlimitStack,
        _ => return Err(SpecError::Ulimit(name.to_owned())),
    })
}

pub(super) fn require_absolute(what: &'static str, path: &Path) -> Result<(), SpecError> {
    if path.is_absolute() {
        return Ok(());
    }
    Err(SpecError::NotAbsolute { what, path: path.display().to_string() })
}
