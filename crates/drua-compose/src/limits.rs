//! What limits a container's resources and devices, as Docker Compose sends it. Pure.

use drua_api::models::{
    DeviceMapping, DeviceRequest as ApiRequest, HostConfig, ResourcesBlkioWeightDevice, RestartPolicy,
    RestartPolicyNameEnum as PolicyName, ThrottleDevice as ApiThrottle,
};
use drua_composefile::{Blkio, DeviceRequest, Restart, Service, ThrottleDevice};

/// Fills in limits and devices; those of `deploy.resources` win.
pub(crate) fn apply(service: &Service, host: &mut HostConfig) {
    let some = |value: i64| (value != 0).then_some(value);
    host.cgroup_parent.clone_from(&service.cgroup_parent);
    host.memory = service.mem_limit.map(|bytes| bytes.0);
    host.memory_reservation = service.mem_reservation.map(|bytes| bytes.0);
    host.memory_swap = service.memswap_limit.map(|bytes| bytes.0);
    host.memory_swappiness = service.mem_swappiness.map(|value| value.0);
    host.nano_cpus = service.cpus.map(drua_composefile::Cpus::nanos);
    host.cpu_count = some(service.cpu_count);
    host.cpu_percent = service.cpu_percent.map(|percent| (percent.0 * 100.0) as i64);
    host.cpu_period = some(service.cpu_period);
    host.cpu_quota = some(service.cpu_quota);
    host.cpu_realtime_period = some(service.cpu_rt_period);
    host.cpu_realtime_runtime = some(service.cpu_rt_runtime);
    host.cpu_shares = some(service.cpu_shares);
    host.cpuset_cpus.clone_from(&service.cpuset);
    host.pids_limit = service.pids_limit.filter(|limit| *limit != 0);
    host.oom_kill_disable = service.oom_kill_disable.then_some(true);
    host.oom_score_adj = some(service.oom_score_adj);
    host.device_cgroup_rules = list(service.device_cgroup_rules.clone());
    if let Some(limits) = &service.blkio_config {
        blkio(limits, host);
    }
    if let Some(limits) = service.deploy.as_ref().and_then(|deploy| deploy.resources.limits.as_ref()) {
        host.memory = limits.memory.map(|bytes| bytes.0).filter(|bytes| *bytes != 0).or(host.memory);
        host.nano_cpus = limits.cpus.map(drua_composefile::Cpus::nanos).or(host.nano_cpus);
        host.pids_limit = Some(limits.pids).filter(|pids| *pids > 0).or(host.pids_limit);
    }
    devices(service, host);
}

fn blkio(limits: &Blkio, host: &mut HostConfig) {
    let throttle = |devices: &[ThrottleDevice]| {
        list(
            devices
                .iter()
                .map(|device| ApiThrottle { path: Some(device.path.clone()), rate: Some(device.rate.0) })
                .collect(),
        )
    };
    host.blkio_weight = u16::try_from(limits.weight).ok().filter(|weight| *weight > 0);
    host.blkio_weight_device = list(
        limits
            .weight_device
            .iter()
            .map(|device| ResourcesBlkioWeightDevice {
                path: Some(device.path.clone()),
                weight: usize::try_from(device.weight).ok(),
            })
            .collect(),
    );
    host.blkio_device_read_bps = throttle(&limits.device_read_bps);
    host.blkio_device_read_iops = throttle(&limits.device_read_iops);
    host.blkio_device_write_bps = throttle(&limits.device_write_bps);
    host.blkio_device_write_iops = throttle(&limits.device_write_iops);
}

fn devices(service: &Service, host: &mut HostConfig) {
    let mut requests = Vec::new();
    if let Some(reserved) = service.deploy.as_ref().and_then(|deploy| deploy.resources.reservations.as_ref()) {
        host.memory_reservation =
            reserved.memory.map(|bytes| bytes.0).filter(|bytes| *bytes != 0).or(host.memory_reservation);
        requests.extend(reserved.devices.iter().map(|device| request(device, None)));
    }
    // A device that is named the same on both sides and has the form `vendor/class=name` is a CDI device.
    let is_cdi =
        |name: &str| name.split_once('=').is_some_and(|(kind, _)| kind.contains('/') && !kind.starts_with('/'));
    let (cdi, plain): (Vec<_>, Vec<_>) =
        service.devices.iter().partition(|device| device.source == device.target && is_cdi(&device.source));
    if !cdi.is_empty() {
        let ids = cdi.iter().map(|device| device.source.clone()).collect();
        requests.push(ApiRequest { driver: Some("cdi".to_owned()), device_ids: Some(ids), ..ApiRequest::default() });
    }
    requests.extend(service.gpus.iter().map(|gpu| request(gpu, Some("gpu"))));
    host.devices = list(
        plain
            .into_iter()
            .map(|device| DeviceMapping {
                path_on_host: Some(device.source.clone()),
                path_in_container: Some(device.target.clone()),
                cgroup_permissions: Some(device.permissions.clone()),
            })
            .collect(),
    );
    host.device_requests = list(requests);
}

fn request(device: &DeviceRequest, capability: Option<&str>) -> ApiRequest {
    let mut capabilities = device.capabilities.clone();
    capabilities.extend(capability.map(str::to_owned));
    ApiRequest {
        driver: device.driver.clone(),
        count: Some(device.count),
        device_ids: list(device.device_ids.clone()),
        capabilities: Some(vec![capabilities]),
        options: (!device.options.is_empty()).then(|| device.options.clone().into_iter().collect()),
    }
}

/// `deploy.restart_policy` wins over `restart`.
pub(crate) fn restart_policy(service: &Service) -> Option<RestartPolicy> {
    if let Some(policy) = service.deploy.as_ref().and_then(|deploy| deploy.restart_policy.as_ref()) {
        let name = match policy.condition.as_deref() {
            Some("none" | "no") => PolicyName::NO,
            Some("on-failure") => PolicyName::ON_FAILURE,
            Some("unless-stopped") => PolicyName::UNLESS_STOPPED,
            Some("any" | "always") => PolicyName::ALWAYS,
            Some(_) | None => PolicyName::EMPTY,
        };
        let times = policy.max_attempts.and_then(|times| i64::try_from(times).ok());
        return Some(RestartPolicy { name: Some(name), maximum_retry_count: times });
    }
    let (name, times) = match service.restart? {
        Restart::No => (PolicyName::NO, None),
        Restart::Always => (PolicyName::ALWAYS, None),
        Restart::OnFailure(times) => (PolicyName::ON_FAILURE, times),
        Restart::UnlessStopped => (PolicyName::UNLESS_STOPPED, None),
    };
    Some(RestartPolicy { name: Some(name), maximum_retry_count: times.map(i64::from) })
}

fn list<T>(items: Vec<T>) -> Option<Vec<T>> {
    (!items.is_empty()).then_some(items)
}
