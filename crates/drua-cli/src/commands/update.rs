use anyhow::Context as _;
use drua_api::models::ContainerUpdateBody;
use drua_types::ByteSize;

use super::targets::each;
use crate::context::Context;
use crate::failure::Outcome;
use crate::options::{nano_cpus, restart_policy};

/// Update configuration of one or more containers
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  drua update --memory 512m --memory-swap 1g web     takes effect at once
  drua update --restart unless-stopped web db")]
pub(crate) struct Update {
    /// Block IO (relative weight), between 10 and 1000, or 0 to disable
    #[arg(long, value_name = "WEIGHT")]
    blkio_weight: Option<u16>,
    /// Period of --cpu-quota, in microseconds
    #[arg(long, value_name = "N")]
    cpu_period: Option<i64>,
    /// CPU time in each period, in microseconds
    #[arg(long, value_name = "N", allow_hyphen_values = true)]
    cpu_quota: Option<i64>,
    /// CPU shares (relative weight)
    #[arg(short = 'c', long, value_name = "N")]
    cpu_shares: Option<i64>,
    /// Number of CPUs, for example 1.5
    #[arg(long, value_name = "DECIMAL")]
    cpus: Option<String>,
    /// CPUs in which to allow execution (0-3, 0,1)
    #[arg(long, value_name = "LIST")]
    cpuset_cpus: Option<String>,
    /// Memory nodes in which to allow execution (0-3, 0,1)
    #[arg(long, value_name = "LIST")]
    cpuset_mems: Option<String>,
    /// Memory limit (b|k|m|g)
    #[arg(short, long, value_name = "BYTES")]
    memory: Option<ByteSize>,
    /// Memory soft limit (b|k|m|g)
    #[arg(long, value_name = "BYTES")]
    memory_reservation: Option<ByteSize>,
    /// Memory plus swap limit (b|k|m|g); -1 for unlimited swap
    #[arg(long, value_name = "BYTES", allow_hyphen_values = true)]
    memory_swap: Option<String>,
    /// Maximum number of processes; -1 for unlimited
    #[arg(long, value_name = "N", allow_hyphen_values = true)]
    pids_limit: Option<i64>,
    /// Restart policy: no, always, unless-stopped, on-failure[:max-retries]
    #[arg(long, value_name = "POLICY")]
    restart: Option<String>,
    /// Containers: names, ids, or the beginnings of ids
    #[arg(required = true, value_name = "CONTAINER")]
    containers: Vec<String>,
}

impl Update {
    pub(super) async fn run(self, ctx: &Context) -> Outcome {
        let body = self.body()?;
        let client = ctx.client().await?;
        each(ctx, &self.containers, async |name| {
            for warning in client.container_update(name, &body).await? {
                ctx.ui.warning(&warning);
            }
            Ok(())
        })
        .await
    }

    fn body(&self) -> anyhow::Result<ContainerUpdateBody> {
        let bytes = |size: Option<ByteSize>| {
            size.map(|size| i64::try_from(size.bytes()).context("a size is too large")).transpose()
        };
        let memory_swap = match self.memory_swap.as_deref() {
            Some("-1") => Some(-1),
            Some(text) => bytes(Some(text.parse().context("bad --memory-swap")?))?,
            None => None,
        };
        Ok(ContainerUpdateBody {
            blkio_weight: self.blkio_weight,
            cpu_period: self.cpu_period,
            cpu_quota: self.cpu_quota,
            cpu_shares: self.cpu_shares,
            nano_cpus: self.cpus.as_deref().map(nano_cpus).transpose()?,
            cpuset_cpus: self.cpuset_cpus.clone(),
            cpuset_mems: self.cpuset_mems.clone(),
            memory: bytes(self.memory)?,
            memory_reservation: bytes(self.memory_reservation)?,
            memory_swap,
            pids_limit: self.pids_limit,
            restart_policy: self.restart.as_deref().map(restart_policy).transpose()?,
            ..ContainerUpdateBody::default()
        })
    }
}
