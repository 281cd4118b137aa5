use std::io::IsTerminal as _;
use std::time::Duration;

use drua_api::Client;
use drua_api::client::ListContainers;
use drua_api::models::{ContainerCpuStats, ContainerStatsResponse};
use drua_types::exit;
use futures_util::future::join_all;
use tokio::time::{MissedTickBehavior, interval};

use super::ps::id;
use crate::context::Context;
use crate::failure::{Failure, Outcome};
use crate::format::{Format, Listing, Row};
use crate::ui::{binary_size, decimal_size};

/// Display a live stream of container(s) resource usage statistics
#[derive(Debug, clap::Args)]
pub(crate) struct Stats {
    /// Show all containers (default shows just running)
    #[arg(short, long)]
    all: bool,
    /// Format output: table, json, 'table TEMPLATE', or a Go template
    #[arg(long, value_name = "FORMAT")]
    format: Option<String>,
    /// Only pull the first result
    #[arg(long)]
    no_stream: bool,
    /// Do not truncate output
    #[arg(long)]
    no_trunc: bool,
    /// Containers: names, ids, or the beginnings of ids [default: all that run]
    #[arg(value_name = "CONTAINER")]
    containers: Vec<String>,
}

const LISTING: Listing = Listing {
    headings: &[
        ("ID", "CONTAINER ID"),
        ("Container", "CONTAINER"),
        ("Name", "NAME"),
        ("CPUPerc", "CPU %"),
        ("MemUsage", "MEM USAGE / LIMIT"),
        ("MemPerc", "MEM %"),
        ("NetIO", "NET I/O"),
        ("BlockIO", "BLOCK I/O"),
        ("PIDs", "PIDS"),
    ],
    default: "{{.ID}}\t{{.Name}}\t{{.CPUPerc}}\t{{.MemUsage}}\t{{.MemPerc}}\t{{.NetIO}}\t{{.BlockIO}}\t{{.PIDs}}",
};

/// How often a live table is renewed.
const PERIOD: Duration = Duration::from_secs(1);
/// Clears the screen and goes to its top.
const CLEAR: &str = "\x1b[H\x1b[J";

impl Stats {
    /// The command for containers that another command has found.
    pub(super) fn of(containers: Vec<String>, format: Option<String>, no_stream: bool, no_trunc: bool) -> Self {
        Self { all: true, format, no_stream, no_trunc, containers }
    }

    pub(super) async fn run(self, ctx: &Context) -> Outcome {
        let format = Format::parse(self.format.as_deref(), LISTING.default)?;
        let client = ctx.client().await?;
        let live = !self.no_stream && std::io::stdout().is_terminal();
        let mut period = interval(PERIOD);
        period.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            period.tick().await;
            let rows = self.sample(&client).await?;
            let text = LISTING.render(&rows, &format)?;
            ctx.ui.data(if live { format!("{CLEAR}{text}") } else { text }.as_bytes())?;
            if self.no_stream {
                return Ok(exit::OK);
            }
        }
    }

    /// One sample of each container, all taken at the same time.
    async fn sample(&self, client: &Client) -> Result<Vec<Row>, Failure> {
        let names = if self.containers.is_empty() {
            let list = client.container_list(&ListContainers { all: self.all, ..ListContainers::default() }).await?;
            list.into_iter().filter_map(|container| container.id).collect()
        } else {
            self.containers.clone()
        };
        let samples = names.iter().map(async |name| {
            let mut stream = client.container_stats(name, false).await?;
            let sample = stream.next().await.transpose()?;
            Ok(sample.map(|sample| row(name, &sample, self.no_trunc)))
        });
        let rows: Result<Vec<Option<Row>>, Failure> = join_all(samples).await.into_iter().collect();
        Ok(rows?.into_iter().flatten().collect())
    }
}

fn row(container: &str, sample: &ContainerStatsResponse, no_trunc: bool) -> Row {
    let memory = sample.memory_stats.clone().unwrap_or_default();
    let detail = |key: &str| memory.stats.as_ref().and_then(|stats| stats.get(key).copied());
    // Page cache that can be dropped at once does not count: `inactive_file` of cgroup v2, `total_…` of v1.
    let cache = detail("total_inactive_file").or_else(|| detail("inactive_file")).unwrap_or_default();
    let usage = memory.usage.unwrap_or_default();
    let used = if cache < usage { usage - cache } else { usage } as f64;
    let limit = memory.limit.unwrap_or_default() as f64;
    let size = |bytes: u64| decimal_size(i64::try_from(bytes).unwrap_or(i64::MAX), 3);
    let networks = sample.networks.iter().flatten().map(|(_, network)| network);
    let (received, sent) = networks.fold((0, 0), |(received, sent), network| {
        (received + network.rx_bytes.unwrap_or_default(), sent + network.tx_bytes.unwrap_or_default())
    });
    let (read, written) = block_io(sample);
    let pids = sample.pids_stats.as_ref().and_then(|pids| pids.current).unwrap_or_default();
    Row::new()
        .with("Container", container)
        .with("ID", id(sample.id.as_deref().unwrap_or(container), no_trunc))
        .with("Name", sample.name.as_deref().unwrap_or_default().trim_start_matches('/'))
        .with("CPUPerc", format!("{:.2}%", cpu_percent(sample)))
        .with("MemUsage", format!("{} / {}", binary_size(used), binary_size(limit)))
        .with("MemPerc", format!("{:.2}%", if limit > 0.0 { used / limit * 100.0 } else { 0.0 }))
        .with("NetIO", format!("{} / {}", size(received), size(sent)))
        .with("BlockIO", format!("{} / {}", size(read), size(written)))
        .with("PIDs", pids.to_string())
}

/// CPU time of the container over CPU time of the machine, times the number of CPUs.
fn cpu_percent(sample: &ContainerStatsResponse) -> f64 {
    let total = |stats: &Option<ContainerCpuStats>| {
        let usage = stats.as_ref().and_then(|stats| stats.cpu_usage.as_ref()).and_then(|usage| usage.total_usage);
        usage.unwrap_or_default() as f64
    };
    let system = |stats: &Option<ContainerCpuStats>| {
        stats.as_ref().and_then(|stats| stats.system_cpu_usage).unwrap_or_default() as f64
    };
    let used = total(&sample.cpu_stats) - total(&sample.precpu_stats);
    let available = system(&sample.cpu_stats) - system(&sample.precpu_stats);
    let cpus = sample.cpu_stats.as_ref().and_then(|stats| stats.online_cpus).unwrap_or(1);
    if used > 0.0 && available > 0.0 { used / available * f64::from(cpus.max(1)) * 100.0 } else { 0.0 }
}

/// Bytes read and written, over all devices.
fn block_io(sample: &ContainerStatsResponse) -> (u64, u64) {
    let entries = sample.blkio_stats.iter().flat_map(|stats| stats.io_service_bytes_recursive.iter().flatten());
    entries.fold((0, 0), |(read, written), entry| {
        let value = entry.value.unwrap_or_default();
        match entry.op.as_deref().and_then(|op| op.chars().next()) {
            Some('r' | 'R') => (read + value, written),
            Some('w' | 'W') => (read, written + value),
            _ => (read, written),
        }
    })
}
