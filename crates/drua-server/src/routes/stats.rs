//! `GET /containers/{}/stats`.

use std::time::Duration;

use drua_engine::usage::{BlkioEntry, Stats};
use drua_engine::{Container, Engine, Sample, Sampler};
use serde_json::{Map, Value, json};
use tokio::time::{MissedTickBehavior, interval};

use super::blocking;
use crate::http::{self, Call, Failure, Reply};
use crate::wire;

/// Docker's cadence.
const PERIOD: Duration = Duration::from_secs(1);

pub(crate) async fn stats(engine: Engine, name: &str, call: Call) -> Reply {
    let container = engine.container(name)?;
    let stream = call.query.get("stream").is_none() || call.query.flag("stream");
    let one_shot = call.query.flag("one-shot");
    if stream && one_shot {
        return Err(Failure::invalid("cannot have stream=true and one-shot=true"));
    }
    let mut reader = Reader { engine: engine.clone(), sampler: Sampler::default(), before: None };
    if !stream {
        if !container.state.status.is_running() || one_shot {
            let (reader, container) = (reader, container);
            return http::json(&blocking(move || reader.once(&container)).await?);
        }
        // Two readings, so that there is something to compare.
        (reader, _) = read(reader, container.clone()).await?;
        tokio::time::sleep(PERIOD).await;
        let (_, value) = read(reader, engine.container(container.id.as_str())?).await?;
        return http::json(&value);
    }
    let (response, sender) = http::stream("application/json");
    tokio::spawn(async move {
        let mut ticks = interval(PERIOD);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = sender.closed() => return,
                _ = ticks.tick() => {}
            }
            let Ok(container) = engine.container(container.id.as_str()) else { return };
            let value;
            match read(reader, container).await {
                Ok(result) => (reader, value) = result,
                Err(_) => return,
            }
            if sender.json(&value).await.is_err() {
                return;
            }
        }
    });
    Ok(response)
}

/// Remembers the reading before.
struct Reader {
    engine: Engine,
    sampler: Sampler,
    before: Option<Sample>,
}

async fn read(mut reader: Reader, container: std::sync::Arc<Container>) -> Result<(Reader, Value), Failure> {
    blocking(move || {
        let sample = reader.sampler.sample(&reader.engine, &container)?;
        let value = answer(&container, &sample, reader.before.as_ref());
        reader.before = Some(sample);
        Ok((reader, value))
    })
    .await
}

impl Reader {
    fn once(mut self, container: &Container) -> Result<Value, Failure> {
        let sample = self.sampler.sample(&self.engine, container)?;
        Ok(answer(container, &sample, None))
    }
}

/// Docker's statistics; all zero for a container that does not run.
fn answer(container: &Container, sample: &Sample, before: Option<&Sample>) -> Value {
    let nothing = Stats::default();
    let usage = sample.usage.as_ref();
    let time =
        |sample: Option<&Sample>| wire::time(sample.filter(|sample| sample.usage.is_some()).map(|sample| sample.read));
    let mut value = json!({
        "name": format!("/{}", container.name),
        "id": container.id,
        "read": time(Some(sample)),
        "preread": time(before),
        "num_procs": 0,
        "storage_stats": {},
        "pids_stats": pids(usage),
        "blkio_stats": blkio(usage.unwrap_or(&nothing)),
        "cpu_stats": cpu(usage, sample),
        "precpu_stats": cpu(before.and_then(|before| before.usage.as_ref()), before.unwrap_or(sample)),
        "memory_stats": memory(usage, sample),
    });
    if usage.is_some() && !sample.networks.is_empty() {
        let networks = sample.networks.iter().map(|(name, counters)| {
            let counters = json!({
                "rx_bytes": counters.rx_bytes,
                "rx_packets": counters.rx_packets,
                "rx_errors": counters.rx_errors,
                "rx_dropped": counters.rx_dropped,
                "tx_bytes": counters.tx_bytes,
                "tx_packets": counters.tx_packets,
                "tx_errors": counters.tx_errors,
                "tx_dropped": counters.tx_dropped,
            });
            (name.clone(), counters)
        });
        value["networks"] = Value::Object(networks.collect());
    }
    value
}

fn pids(usage: Option<&Stats>) -> Value {
    match usage {
        Some(usage) => json!({ "current": usage.pids.current, "limit": usage.pids.limit.unwrap_or(u64::MAX) }),
        None => json!({}),
    }
}

fn cpu(usage: Option<&Stats>, sample: &Sample) -> Value {
    let nothing = Stats::default();
    let cpu = &usage.unwrap_or(&nothing).cpu;
    let mut value = json!({
        "cpu_usage": {
            "total_usage": cpu.total_ns,
            "usage_in_kernelmode": cpu.system_ns,
            "usage_in_usermode": cpu.user_ns,
        },
        "throttling_data": {
            "periods": cpu.periods,
            "throttled_periods": cpu.throttled_periods,
            "throttled_time": cpu.throttled_ns,
        },
    });
    if usage.is_some() {
        value["system_cpu_usage"] = json!(sample.system_ns);
        value["online_cpus"] = json!(sample.online_cpus);
        if !cpu.per_cpu_ns.is_empty() {
            // Of the processors that could be there, the kernel lists more than are.
            let online = usize::try_from(sample.online_cpus).unwrap_or(usize::MAX).min(cpu.per_cpu_ns.len());
            value["cpu_usage"]["percpu_usage"] = json!(cpu.per_cpu_ns[..online]);
        }
    }
    value
}

fn memory(usage: Option<&Stats>, sample: &Sample) -> Value {
    let Some(usage) = usage else { return json!({}) };
    let memory = &usage.memory;
    let limit = memory.limit.map_or(sample.machine_memory, |limit| limit.min(sample.machine_memory));
    let mut value = json!({ "usage": memory.usage, "stats": memory.stat, "limit": limit });
    // Names that only cgroup v1 has.
    if memory.stat.contains_key("total_inactive_file") {
        value["max_usage"] = json!(memory.max_usage);
        value["failcnt"] = json!(memory.failures);
    }
    value
}

fn blkio(usage: &Stats) -> Value {
    let entries = |entries: &[BlkioEntry]| -> Value {
        let entry = |entry: &BlkioEntry| json!({ "major": entry.major, "minor": entry.minor, "op": entry.operation, "value": entry.value });
        if entries.is_empty() { Value::Null } else { entries.iter().map(entry).collect() }
    };
    let mut value: Map<String, Value> = Map::new();
    value.insert("io_service_bytes_recursive".to_owned(), entries(&usage.blkio_bytes));
    value.insert("io_serviced_recursive".to_owned(), entries(&usage.blkio_operations));
    for name in [
        "io_queue_recursive",
        "io_service_time_recursive",
        "io_wait_time_recursive",
        "io_merged_recursive",
        "io_time_recursive",
        "sectors_recursive",
    ] {
        value.insert(name.to_owned(), Value::Null);
    }
    Value::Object(value)
}
