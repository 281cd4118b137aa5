use anyhow::{Context as _, bail};
use drua_api::models::{HostConfig, ResourcesUlimits, RestartPolicy, RestartPolicyNameEnum};
use drua_types::ByteSize;

/// Options that limit what a container may use
#[derive(Debug, Clone, Default, clap::Args)]
#[command(next_help_heading = "Resources")]
pub(crate) struct LimitArgs {
    /// Memory limit (b|k|m|g)
    #[arg(short, long, value_name = "BYTES")]
    memory: Option<ByteSize>,
    /// Memory soft limit (b|k|m|g)
    #[arg(long, value_name = "BYTES")]
    memory_reservation: Option<ByteSize>,
    /// Memory plus swap limit (b|k|m|g); -1 for unlimited swap
    #[arg(long, value_name = "BYTES", allow_hyphen_values = true)]
    memory_swap: Option<String>,
    /// Number of CPUs, for example 1.5
    #[arg(long, value_name = "DECIMAL")]
    cpus: Option<String>,
    /// CPU shares (relative weight)
    #[arg(short = 'c', long, value_name = "N")]
    cpu_shares: Option<i64>,
    /// CPU time in each period, in microseconds
    #[arg(long, value_name = "N")]
    cpu_quota: Option<i64>,
    /// Period of --cpu-quota, in microseconds
    #[arg(long, value_name = "N")]
    cpu_period: Option<i64>,
    /// CPUs in which to allow execution (0-3, 0,1)
    #[arg(long, value_name = "LIST")]
    cpuset_cpus: Option<String>,
    /// Memory nodes in which to allow execution (0-3, 0,1)
    #[arg(long, value_name = "LIST")]
    cpuset_mems: Option<String>,
    /// Maximum number of processes; -1 for unlimited
    #[arg(long, value_name = "N", allow_hyphen_values = true)]
    pids_limit: Option<i64>,
    /// Limit of a process: name=soft[:hard]
    #[arg(long, value_name = "NAME=SOFT[:HARD]")]
    ulimit: Vec<String>,
    /// Size of /dev/shm (b|k|m|g)
    #[arg(long, value_name = "BYTES")]
    shm_size: Option<ByteSize>,
    /// Disable the out-of-memory killer
    #[arg(long)]
    oom_kill_disable: bool,
    /// Preference of the out-of-memory killer (-1000 to 1000)
    #[arg(long, value_name = "N", allow_hyphen_values = true)]
    oom_score_adj: Option<i64>,
    /// Parent cgroup for the container
    #[arg(long, value_name = "PATH")]
    cgroup_parent: Option<String>,
}

impl LimitArgs {
    pub(crate) fn apply(&self, host: &mut HostConfig) -> anyhow::Result<()> {
        let bytes = |size: Option<ByteSize>| {
            size.map(|size| i64::try_from(size.bytes()).context("a size is too large")).transpose()
        };
        host.memory = bytes(self.memory)?;
        host.memory_reservation = bytes(self.memory_reservation)?;
        host.memory_swap = match self.memory_swap.as_deref() {
            Some("-1") => Some(-1),
            Some(text) => bytes(Some(text.parse().context("bad --memory-swap")?))?,
            None => None,
        };
        host.nano_cpus = self.cpus.as_deref().map(nano_cpus).transpose()?;
        host.cpu_shares = self.cpu_shares;
        host.cpu_quota = self.cpu_quota;
        host.cpu_period = self.cpu_period;
        host.cpuset_cpus.clone_from(&self.cpuset_cpus);
        host.cpuset_mems.clone_from(&self.cpuset_mems);
        host.pids_limit = self.pids_limit;
        host.shm_size = bytes(self.shm_size)?;
        host.oom_kill_disable = self.oom_kill_disable.then_some(true);
        host.oom_score_adj = self.oom_score_adj;
        host.cgroup_parent.clone_from(&self.cgroup_parent);
        if !self.ulimit.is_empty() {
            host.ulimits = Some(self.ulimit.iter().map(|text| ulimit(text)).collect::<anyhow::Result<_>>()?);
        }
        Ok(())
    }
}

/// Billionths of a CPU, exactly.
pub(crate) fn nano_cpus(text: &str) -> anyhow::Result<i64> {
    let bad = || anyhow::anyhow!("`--cpus {text}` is not a number of CPUs");
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if whole.len() + fraction.len() == 0 || !digits(whole) || !digits(fraction) {
        return Err(bad());
    }
    if fraction.len() > 9 {
        bail!("`--cpus {text}` is too precise: nine digits after the point are the most");
    }
    let whole: i64 = if whole.is_empty() { 0 } else { whole.parse().map_err(|_| bad())? };
    let nanos: i64 = format!("{fraction:0<9}").parse().map_err(|_| bad())?;
    whole.checked_mul(1_000_000_000).and_then(|cpus| cpus.checked_add(nanos)).ok_or_else(bad)
}

/// `nofile=1024:2048`, `nproc=64`; −1 is unlimited.
pub(crate) fn ulimit(text: &str) -> anyhow::Result<ResourcesUlimits> {
    const NAMES: [&str; 16] = [
        "as",
        "core",
        "cpu",
        "data",
        "fsize",
        "locks",
        "memlock",
        "msgqueue",
        "nice",
        "nofile",
        "nproc",
        "rss",
        "rtprio",
        "rttime",
        "sigpending",
        "stack",
    ];
    let bad = || anyhow::anyhow!("invalid ulimit argument: {text}");
    let (name, limits) = text.split_once('=').ok_or_else(bad)?;
    if !NAMES.contains(&name) {
        bail!("invalid ulimit type: {name}");
    }
    let (soft, hard) = limits.split_once(':').unwrap_or((limits, limits));
    let (soft, hard): (i64, i64) = (soft.parse().map_err(|_| bad())?, hard.parse().map_err(|_| bad())?);
    if hard != -1 && (soft > hard || soft == -1) {
        bail!("ulimit soft limit must be less than or equal to hard limit: {soft} > {hard}");
    }
    Ok(ResourcesUlimits { name: Some(name.to_owned()), soft: Some(soft), hard: Some(hard) })
}

/// `no`, `always`, `unless-stopped`, `on-failure[:max]`.
pub(crate) fn restart_policy(text: &str) -> anyhow::Result<RestartPolicy> {
    let (name, count) = text.split_once(':').map_or((text, None), |(name, count)| (name, Some(count)));
    let name = match name {
        "" | "no" => RestartPolicyNameEnum::NO,
        "always" => RestartPolicyNameEnum::ALWAYS,
        "unless-stopped" => RestartPolicyNameEnum::UNLESS_STOPPED,
        "on-failure" => RestartPolicyNameEnum::ON_FAILURE,
        _ => bail!("`{text}` is not a restart policy: expected no, always, unless-stopped or on-failure[:max-retries]"),
    };
    let count = match count {
        None => 0,
        Some(count) => {
            count.parse().context("invalid restart policy format: maximum retry count must be an integer")?
        }
    };
    Ok(RestartPolicy { name: Some(name), maximum_retry_count: Some(count) })
}
