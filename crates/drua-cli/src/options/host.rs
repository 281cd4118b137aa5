use anyhow::{Context as _, bail};
use drua_api::models::{DeviceRequest, HostConfig, ResourcesBlkioWeightDevice, ThrottleDevice};
use drua_types::ByteSize;

use super::key_values;

/// Options that few containers need
#[derive(Debug, Clone, Default, clap::Args)]
#[command(next_help_heading = "Host")]
pub(crate) struct HostArgs {
    /// Tendency to swap, 0 to 100; -1 is the host's
    #[arg(long, value_name = "N", allow_hyphen_values = true)]
    memory_swappiness: Option<i64>,
    /// Block I/O weight, 10 to 1000; 0 for none
    #[arg(long, value_name = "N")]
    blkio_weight: Option<u16>,
    /// Block I/O weight of a device
    #[arg(long, value_name = "DEVICE:WEIGHT")]
    blkio_weight_device: Vec<String>,
    /// Limit reading from a device, in bytes a second
    #[arg(long, value_name = "DEVICE:BYTES")]
    device_read_bps: Vec<String>,
    /// Limit writing to a device, in bytes a second
    #[arg(long, value_name = "DEVICE:BYTES")]
    device_write_bps: Vec<String>,
    /// Limit reading from a device, in operations a second
    #[arg(long, value_name = "DEVICE:N")]
    device_read_iops: Vec<String>,
    /// Limit writing to a device, in operations a second
    #[arg(long, value_name = "DEVICE:N")]
    device_write_iops: Vec<String>,
    /// Period of real-time scheduling, in microseconds
    #[arg(long, value_name = "N")]
    cpu_rt_period: Option<i64>,
    /// Real-time scheduling in each period, in microseconds
    #[arg(long, value_name = "N")]
    cpu_rt_runtime: Option<i64>,
    /// Allow devices besides: `c 189:* rwm`
    #[arg(long, value_name = "RULE")]
    device_cgroup_rule: Vec<String>,
    /// Devices of a driver: `all`, a number, or `device=<id>`
    #[arg(long, value_name = "REQUEST")]
    gpus: Option<String>,
    /// Link to another container on the default network: container[:alias]
    #[arg(long, value_name = "CONTAINER[:ALIAS]")]
    link: Vec<String>,
    /// Driver of volumes that --volume makes
    #[arg(long, value_name = "DRIVER")]
    volume_driver: Option<String>,
    /// Option of the storage driver
    #[arg(long, value_name = "KEY=VALUE")]
    storage_opt: Vec<String>,
}

impl HostArgs {
    pub(crate) fn apply(&self, host: &mut HostConfig) -> anyhow::Result<()> {
        host.memory_swappiness = self.memory_swappiness;
        host.blkio_weight = self.blkio_weight;
        let weight = |text: &String| {
            let (path, weight) = device(text)?;
            let weight = weight.parse().with_context(|| format!("invalid weight for device: {text}"))?;
            Ok(ResourcesBlkioWeightDevice { path: Some(path.to_owned()), weight: Some(weight) })
        };
        host.blkio_weight_device = list(&self.blkio_weight_device, weight)?;
        let bytes = |text: &String| {
            let (path, rate) = device(text)?;
            let rate: ByteSize = rate.parse().with_context(|| format!("invalid rate for device: {text}"))?;
            Ok(ThrottleDevice { path: Some(path.to_owned()), rate: Some(i64::try_from(rate.bytes())?) })
        };
        host.blkio_device_read_bps = list(&self.device_read_bps, bytes)?;
        host.blkio_device_write_bps = list(&self.device_write_bps, bytes)?;
        let operations = |text: &String| {
            let (path, rate) = device(text)?;
            let rate = rate.parse().with_context(|| format!("invalid rate for device: {text}"))?;
            Ok(ThrottleDevice { path: Some(path.to_owned()), rate: Some(rate) })
        };
        host.blkio_device_read_iops = list(&self.device_read_iops, operations)?;
        host.blkio_device_write_iops = list(&self.device_write_iops, operations)?;
        host.cpu_realtime_period = self.cpu_rt_period;
        host.cpu_realtime_runtime = self.cpu_rt_runtime;
        host.device_cgroup_rules = list(&self.device_cgroup_rule, |rule| Ok(rule.clone()))?;
        host.device_requests = self.gpus.as_deref().map(gpus).transpose()?.map(|request| vec![request]);
        host.links = list(&self.link, |link| Ok(link.clone()))?;
        host.volume_driver.clone_from(&self.volume_driver);
        host.storage_opt = Some(key_values(&self.storage_opt)).filter(|map| !map.is_empty());
        Ok(())
    }
}

/// `None` where nothing was given, as the API wants it.
fn list<T>(words: &[String], read: impl Fn(&String) -> anyhow::Result<T>) -> anyhow::Result<Option<Vec<T>>> {
    let items = words.iter().map(read).collect::<anyhow::Result<Vec<_>>>()?;
    Ok(Some(items).filter(|items| !items.is_empty()))
}

/// `/dev/sda:100`
fn device(text: &str) -> anyhow::Result<(&str, &str)> {
    match text.split_once(':') {
        Some((path, value)) if path.starts_with("/dev/") && !value.is_empty() => Ok((path, value)),
        _ => bail!("bad format for device path: {text}"),
    }
}

/// `all`, `2`, `device=0`, `"device=0,1",capabilities=compute`
fn gpus(text: &str) -> anyhow::Result<DeviceRequest> {
    let mut request = DeviceRequest { capabilities: Some(vec![vec!["gpu".to_owned()]]), ..DeviceRequest::default() };
    for field in text.trim_matches('"').split(',') {
        match field.split_once('=') {
            None if field == "all" => request.count = Some(-1),
            None => match field.parse() {
                Ok(count) => request.count = Some(count),
                Err(_) => request.device_ids.get_or_insert_default().push(field.to_owned()),
            },
            Some(("count", "all")) => request.count = Some(-1),
            Some(("count", count)) => request.count = Some(count.parse().context("count must be an integer")?),
            Some(("device", id)) => request.device_ids.get_or_insert_default().push(id.to_owned()),
            Some(("driver", driver)) => request.driver = Some(driver.to_owned()),
            Some(("capabilities", capability)) => {
                request.capabilities = Some(vec![vec!["gpu".to_owned(), capability.to_owned()]]);
            }
            Some((key, _)) => bail!("unexpected key '{key}' in '{field}'"),
        }
    }
    Ok(request)
}
