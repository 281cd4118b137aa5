//! `POST /containers/create`: Docker's body → what the engine creates.
//!
//! Nothing that a client asks for is ignored in silence: it is carried out, or discarded with a warning where Docker does so
//! too, or refused.

mod host;
mod inspect;
mod kernel;
mod mounts;
mod network;
mod resources;
mod security;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use drua_api::models;
use drua_engine::container::{Config, HealthCheck, NetworkMode, RestartPolicy};
use drua_engine::{CreateContainer, Engine};
use drua_types::Platform;
use serde_json::{Value, json};

pub(crate) use self::kernel::Kernel;
pub(crate) use self::network::endpoint;
use crate::http::Failure;

type Result<T> = std::result::Result<T, Failure>;

/// Reads the body. `name` and `platform` come from the query.
pub(crate) fn container(
    engine: &Engine,
    name: Option<&str>,
    platform: Option<&str>,
    mut body: Value,
) -> Result<CreateContainer> {
    for key in ["Cmd", "Entrypoint"] {
        // A text alone is a list of one.
        if let Some(text @ Value::String(_)) = body.get(key).cloned() {
            body[key] = json!([text]);
        }
    }
    let echo = body.get("HostConfig").cloned().filter(Value::is_object).unwrap_or_else(|| json!({}));
    let mac = body.get("MacAddress").and_then(Value::as_str).filter(|mac| !mac.is_empty()).map(str::to_owned);
    let request: models::ContainerCreateBody = serde_json::from_value(body)
        .map_err(|error| Failure::invalid(format!("invalid container configuration: {error}")))?;
    let platform = platform.map(str::parse::<Platform>).transpose().map_err(Failure::invalid)?;
    let mut warnings = Vec::new();
    let asked = request.host_config.clone().unwrap_or_default();
    let mut host = host::host_config(engine, asked, &mut warnings)?;
    if request.network_disabled == Some(true) {
        host.network_mode = NetworkMode::None;
    }
    let echo = inspect::host_config(&echo, &host);
    let endpoints = request.networking_config.clone().and_then(|config| config.endpoints_config).unwrap_or_default();
    let mut networks = BTreeMap::new();
    for (network, settings) in endpoints {
        networks.insert(network, endpoint(settings)?);
    }
    if let Some(mac) = mac {
        container_mac(mac, &host.network_mode, &mut networks)?;
    }
    Ok(CreateContainer {
        name: name.map(str::to_owned),
        platform,
        entrypoint_given: request.entrypoint.is_some(),
        config: config(request)?,
        host,
        echo,
        networks,
        warnings,
    })
}

/// The address of the container as a whole, an older spelling, is that of its main network.
fn container_mac(
    mac: String,
    mode: &NetworkMode,
    networks: &mut BTreeMap<String, drua_engine::EndpointRequest>,
) -> Result<()> {
    let name = match mode {
        NetworkMode::Default => "default",
        NetworkMode::Named(name) => name.as_str(),
        NetworkMode::None => return Ok(()),
        NetworkMode::Host | NetworkMode::Container(_) => {
            return Err(Failure::invalid("conflicting options: mac-address and the network mode"));
        }
    };
    let key = if name == "default" && networks.contains_key("bridge") { "bridge" } else { name };
    let request = networks.entry(key.to_owned()).or_default();
    if request.mac.as_ref().is_some_and(|own| !own.eq_ignore_ascii_case(&mac)) {
        return Err(Failure::invalid(
            "the container-wide MAC address must match the endpoint-specific MAC address for the main network, or be left empty",
        ));
    }
    request.mac = Some(mac);
    Ok(())
}

fn unsupported(what: String) -> Failure {
    drua_engine::Error::Unsupported(what).into()
}

pub(crate) fn config(request: models::ContainerCreateBody) -> Result<Config> {
    let mut exposed_ports = BTreeSet::new();
    for port in request.exposed_ports.unwrap_or_default() {
        exposed_ports.insert(port.parse().map_err(Failure::invalid)?);
    }
    let signal = request.stop_signal.filter(|signal| !signal.is_empty());
    Ok(Config {
        image: request.image.unwrap_or_default(),
        hostname: request.hostname.unwrap_or_default(),
        domainname: request.domainname.unwrap_or_default(),
        user: request.user.unwrap_or_default(),
        attach: [request.attach_stdin, request.attach_stdout, request.attach_stderr].map(Option::unwrap_or_default),
        tty: request.tty.unwrap_or_default(),
        open_stdin: request.open_stdin.unwrap_or_default(),
        stdin_once: request.stdin_once.unwrap_or_default(),
        env: request.env.unwrap_or_default(),
        cmd: request.cmd.unwrap_or_default(),
        // `[""]` is how clients say "no entrypoint at all".
        entrypoint: request.entrypoint.unwrap_or_default().into_iter().filter(|word| !word.is_empty()).collect(),
        working_dir: request.working_dir.unwrap_or_default(),
        labels: request.labels.unwrap_or_default().into_iter().collect(),
        exposed_ports,
        volumes: request.volumes.unwrap_or_default().into_iter().collect(),
        stop_signal: signal.map(|signal| signal.parse()).transpose().map_err(Failure::invalid)?,
        stop_timeout: request.stop_timeout,
        healthcheck: request.healthcheck.map(healthcheck).transpose()?,
        shell: request.shell.unwrap_or_default(),
        on_build: request.on_build.unwrap_or_default(),
    })
}

fn healthcheck(check: models::HealthConfig) -> Result<HealthCheck> {
    let duration = |what: &str, nanos: Option<i64>| match nanos.unwrap_or(0) {
        0 => Ok(Duration::ZERO),
        nanos if nanos < 1_000_000 => Err(Failure::invalid(format!("{what} in Healthcheck cannot be less than 1ms"))),
        nanos => Ok(Duration::from_nanos(nanos.unsigned_abs())),
    };
    Ok(HealthCheck {
        test: check.test.unwrap_or_default(),
        interval: duration("Interval", check.interval)?,
        timeout: duration("Timeout", check.timeout)?,
        start_period: duration("StartPeriod", check.start_period)?,
        start_interval: duration("StartInterval", check.start_interval)?,
        retries: u32::try_from(check.retries.unwrap_or(0))
            .map_err(|_| Failure::invalid("Retries in Healthcheck cannot be negative"))?,
    })
}

pub(crate) fn restart_policy(policy: Option<models::RestartPolicy>) -> Result<RestartPolicy> {
    use models::RestartPolicyNameEnum as Name;
    let policy = policy.unwrap_or_default();
    let retries = policy.maximum_retry_count.unwrap_or(0);
    let count = u32::try_from(retries).map_err(|_| Failure::invalid("maximum retry count cannot be negative"))?;
    let name = policy.name.unwrap_or(Name::EMPTY);
    if count > 0 && name != Name::ON_FAILURE {
        return Err(Failure::invalid("maximum retry count can only be used with 'on-failure'"));
    }
    Ok(match name {
        Name::EMPTY | Name::NO => RestartPolicy::No,
        Name::ALWAYS => RestartPolicy::Always,
        Name::UNLESS_STOPPED => RestartPolicy::UnlessStopped,
        Name::ON_FAILURE => RestartPolicy::OnFailure(count),
    })
}
