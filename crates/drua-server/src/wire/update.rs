//! `POST /containers/{}/update`: what changes of a container's limits and restart policy.

use drua_api::models;
use drua_engine::Container;
use drua_engine::container::{Resources, RestartPolicy};
use serde_json::{Map, Value};

use super::create;
use crate::http::Failure;

/// A change.
#[derive(Debug)]
pub(crate) struct Update {
    /// All limits, the old and the new.
    pub(crate) resources: Resources,
    /// `None` leaves the policy alone.
    pub(crate) policy: Option<RestartPolicy>,
    /// What inspect shows of the change.
    pub(crate) echo: Map<String, Value>,
    /// What the client should know.
    pub(crate) warnings: Vec<String>,
}

/// Docker's lower bound.
const MIN_MEMORY_BYTES: i64 = 6 << 20;

/// Reads the body. Clients send the whole structure, with null, zero and empty in the fields that nobody mentioned.
pub(crate) fn parse(container: &Container, body: Map<String, Value>) -> Result<Update, Failure> {
    let mut update =
        Update { resources: container.host.resources.clone(), policy: None, echo: Map::new(), warnings: Vec::new() };
    for (field, value) in body {
        // Docker's pids limit is the one field whose zero says something: no limit.
        let says_something = is_set(&field, &value) || (field == "PidsLimit" && value.is_number());
        if !says_something {
            continue;
        }
        update.apply(&field, &value)?;
        if field != "KernelMemoryTCP" {
            update.echo.insert(field, value);
        }
    }
    update.check()?;
    Ok(update)
}

impl Update {
    fn apply(&mut self, field: &str, value: &Value) -> Result<(), Failure> {
        let invalid = || Failure::invalid(format!("invalid value for {field}: {value}"));
        let number = || value.as_i64().ok_or_else(invalid);
        let positive = || number().and_then(|number| u64::try_from(number).map_err(|_| invalid()));
        let text = || value.as_str().map(str::to_owned).ok_or_else(invalid);
        let resources = &mut self.resources;
        match field {
            "Memory" => resources.memory = Some(number()?),
            "MemoryReservation" => resources.memory_reservation = Some(number()?),
            "MemorySwap" => resources.memory_swap = Some(number()?),
            "NanoCpus" => {
                resources.nano_cpus = Some(number()?);
                (resources.cpu_period, resources.cpu_quota) = (None, None);
            }
            "CpuShares" => resources.cpu_shares = Some(positive()?),
            "CpuPeriod" => {
                resources.cpu_period = Some(positive()?);
                resources.nano_cpus = None;
            }
            "CpuQuota" => {
                resources.cpu_quota = Some(number()?);
                resources.nano_cpus = None;
            }
            "CpusetCpus" => resources.cpuset_cpus = text()?,
            "CpusetMems" => resources.cpuset_mems = text()?,
            "PidsLimit" => resources.pids = Some(number().map(|limit| if limit <= 0 { -1 } else { limit })?),
            "BlkioWeight" => {
                let weight = number()?;
                let weight = u16::try_from(weight).ok().filter(|weight| (10..=1000).contains(weight));
                resources.blkio_weight =
                    Some(weight.ok_or_else(|| Failure::invalid("Range of blkio weight is from 10 to 1000"))?);
            }
            "RestartPolicy" => {
                let policy: models::RestartPolicy = serde_json::from_value(value.clone()).map_err(|_| invalid())?;
                if policy.name.is_some_and(|name| name != models::RestartPolicyNameEnum::EMPTY) {
                    self.policy = Some(create::restart_policy(Some(policy))?);
                }
            }
            "KernelMemory" | "KernelMemoryTCP" => {
                self.warnings.push(format!("{field} is not supported by this kernel. It is discarded."));
            }
            other => {
                let message = format!("updating `{other}` is not supported: create the container anew with it");
                return Err(Failure::new(hyper::StatusCode::NOT_IMPLEMENTED, message));
            }
        }
        Ok(())
    }

    fn check(&self) -> Result<(), Failure> {
        let resources = &self.resources;
        if resources.memory.is_some_and(|bytes| bytes > 0 && bytes < MIN_MEMORY_BYTES) {
            return Err(Failure::invalid("Minimum memory limit allowed is 6MB"));
        }
        if let (Some(memory), Some(swap)) = (resources.memory, resources.memory_swap)
            && swap > 0
            && swap < memory
        {
            let message = "Memory limit should be smaller than already set memoryswap limit, update the memoryswap at the same time";
            return Err(Failure::invalid(message));
        }
        if resources.nano_cpus.is_some() && (resources.cpu_period.is_some() || resources.cpu_quota.is_some()) {
            return Err(Failure::invalid("Conflicting options: Nano CPUs and CPU Period cannot both be set"));
        }
        Ok(())
    }
}

/// Whether a field of an update asks for something.
fn is_set(field: &str, value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::Bool(on) => *on,
        Value::Number(number) if field == "MemorySwappiness" && number.as_i64() == Some(-1) => false,
        Value::Number(number) => number.as_f64() != Some(0.0),
        Value::String(text) => !text.is_empty(),
        Value::Array(items) => !items.is_empty(),
        Value::Object(fields) => fields.iter().any(|(field, value)| is_set(field, value)),
    }
}
