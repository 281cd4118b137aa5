//! Waits for conditions on the engine's event stream.
//!
//! The stream is opened before the containers are looked at, and every event about one of them makes us look again: nothing
//! is missed, and nothing is polled.

use drua_api::client::{EventsOptions, LogsOptions};
use drua_api::models::{ContainerState, ContainerStateStatusEnum as State, Event, HealthStatusEnum as Health};
use drua_api::{Client, ClientError, Filters};
use drua_composefile::{Condition, ServiceName};

use crate::error::ComposeError;

/// The condition that has been fulfilled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Waited {
    Started,
    Healthy,
    Completed,
}

/// What a container's state means for a condition.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Fulfilled,
    NotYet,
    Unhealthy,
    NoHealthcheck,
    Exited(i64),
}

/// Waits until all containers fulfil the condition, or one of them cannot any more.
pub(crate) async fn until(
    client: &Client,
    service: &ServiceName,
    containers: &[String],
    condition: Condition,
) -> Result<Waited, ComposeError> {
    let filters = Filters::new().with("type", "container");
    let filters = containers.iter().fold(filters, |filters, name| filters.with("container", name));
    let options = EventsOptions { filters, ..EventsOptions::default() };
    let watch_failed =
        |source: ClientError| ComposeError::Request { what: format!("watch service `{service}`"), source };
    let mut events = client.events(&options).await.map_err(watch_failed)?;
    let mut pending: Vec<&String> = containers.iter().collect();
    loop {
        let mut index = 0;
        while index < pending.len() {
            if is_fulfilled(client, service, pending[index], condition).await? {
                pending.swap_remove(index);
            } else {
                index += 1;
            }
        }
        if pending.is_empty() {
            return Ok(match condition {
                Condition::Started => Waited::Started,
                Condition::Healthy => Waited::Healthy,
                Condition::CompletedSuccessfully => Waited::Completed,
            });
        }
        loop {
            let event = events.next().await.ok_or_else(|| ComposeError::EventsEnded(service.clone()))?;
            if matters(&event.map_err(watch_failed)?) {
                break;
            }
        }
    }
}

/// Events after which the state may be another; health checks run as execs, which do not matter.
fn matters(event: &Event) -> bool {
    let action = event.action.split(':').next().unwrap_or_default();
    matches!(action, "start" | "die" | "stop" | "kill" | "destroy" | "health_status" | "oom" | "restart" | "rename")
}

async fn is_fulfilled(
    client: &Client,
    service: &ServiceName,
    container: &str,
    condition: Condition,
) -> Result<bool, ComposeError> {
    let inspected = client.container_inspect(container).await;
    let inspected = inspected.map_err(ComposeError::request(format!("inspect container `{container}`")))?;
    let (service, container) = (service.clone(), container.to_owned());
    let state = inspected.state.unwrap_or_default();
    match judge(&state, condition) {
        Verdict::Fulfilled => Ok(true),
        Verdict::NotYet => Ok(false),
        Verdict::NoHealthcheck => Err(ComposeError::NoHealthcheck { service, container }),
        Verdict::Unhealthy => {
            let last_words = last_words(client, &container, &state).await;
            Err(ComposeError::Unhealthy { service, container, last_words })
        }
        Verdict::Exited(status) => {
            let last_words = last_words(client, &container, &state).await;
            Err(ComposeError::DependencyExited { service, container, condition, status, last_words })
        }
    }
}

/// How many of its last lines a failed dependency is shown with.
const LAST_WORDS: usize = 5;

/// What the last health check wrote, and the last lines of the container; nothing where they cannot be had.
async fn last_words(client: &Client, container: &str, state: &ContainerState) -> Vec<String> {
    let checks = state.health.as_ref().and_then(|health| health.log.as_ref());
    let check = checks.and_then(|log| log.last()).and_then(|result| result.output.clone()).unwrap_or_default();
    let mut lines: Vec<String> = check.lines().take(LAST_WORDS).map(|line| format!("check: {line}")).collect();
    let options = LogsOptions { tail: Some(LAST_WORDS.to_string()), ..LogsOptions::default() };
    let Ok(mut output) = client.container_logs(container, &options).await else { return lines };
    let mut text = Vec::new();
    while let Some(Ok(frame)) = output.next().await {
        text.extend_from_slice(&frame.payload);
        if text.len() > 1 << 16 {
            break;
        }
    }
    let clean = |line: &str| line.chars().filter(|c| !c.is_control()).take(200).collect::<String>();
    lines.extend(String::from_utf8_lossy(&text).lines().map(clean));
    lines
}

pub(crate) fn judge(state: &ContainerState, condition: Condition) -> Verdict {
    let exited = matches!(state.status, Some(State::EXITED | State::DEAD));
    let exit_code = state.exit_code.unwrap_or_default();
    match condition {
        Condition::Started if state.running == Some(true) || exited => Verdict::Fulfilled,
        Condition::Started => Verdict::NotYet,
        Condition::CompletedSuccessfully if exited && exit_code == 0 => Verdict::Fulfilled,
        Condition::CompletedSuccessfully if exited => Verdict::Exited(exit_code),
        Condition::CompletedSuccessfully => Verdict::NotYet,
        Condition::Healthy if exited => Verdict::Exited(exit_code),
        Condition::Healthy => match state.health.as_ref().and_then(|health| health.status) {
            Some(Health::HEALTHY) => Verdict::Fulfilled,
            Some(Health::UNHEALTHY) => Verdict::Unhealthy,
            Some(Health::STARTING) => Verdict::NotYet,
            Some(Health::NONE | Health::EMPTY) | None => Verdict::NoHealthcheck,
        },
    }
}
