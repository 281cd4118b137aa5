//! `/containers/…`, except for streams of output (see [`super::attach`]).

use std::borrow::Cow;
use std::collections::HashMap;

use drua_engine::container::NetworkMode;
use drua_engine::{Container, Engine, RemoveContainer, Status, WaitCondition};
use drua_types::Signal;
use hyper::StatusCode;
use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::blocking;
use crate::filters::Filters;
use crate::http::{self, Call, Failure, Query, Reply};
use crate::wire;

const LIST_FILTERS: [&str; 16] = [
    "ancestor",
    "before",
    "exited",
    "expose",
    "health",
    "id",
    "is-task",
    "isolation",
    "label",
    "name",
    "network",
    "publish",
    "since",
    "status",
    "volume",
    "label!",
];

/// Looks images up on the blocking pool: their documents may be large, and this thread serves everybody.
pub(crate) async fn list(engine: Engine, call: Call) -> Reply {
    blocking(move || listing(&engine, &call.query)).await
}

fn listing(engine: &Engine, query: &Query) -> Reply {
    let filters = Filters::parse(query, &LIST_FILTERS)?;
    let all = query.flag("all") || !filters.values("status").is_empty() || !filters.values("exited").is_empty();
    let limit = query.number::<i64>("limit")?.unwrap_or(0);
    let containers = engine.containers();
    let find = |name: &String| engine.container(name).map_err(Failure::from);
    let before = filters.values("before").first().map(find).transpose()?.map(|found| found.created);
    let since = filters.values("since").first().map(find).transpose()?.map(|found| found.created);
    let now = Timestamp::now();
    let mut images = ImageNames::new(engine);
    let mut listed = Vec::new();
    for container in &containers {
        let shown = all || limit > 0 || container.state.status.is_running();
        let in_time =
            before.is_none_or(|time| container.created < time) && since.is_none_or(|time| container.created > time);
        if shown && in_time && matches(engine, container, &filters) {
            listed.push(wire::container::summary(container, images.of(container), now));
        }
        if limit > 0 && listed.len() >= usize::try_from(limit).unwrap_or(usize::MAX) {
            break;
        }
    }
    http::json(&listed)
}

fn matches(engine: &Engine, container: &Container, filters: &Filters) -> bool {
    let network = |wanted: &str| {
        container.requests.iter().any(|(name, request)| {
            name == wanted || request.network.as_ref().is_some_and(|id| id.as_str().starts_with(wanted))
        }) || (wanted == "host" && container.host.network_mode == NetworkMode::Host)
            || (wanted == "none" && container.host.network_mode == NetworkMode::None)
    };
    let volume = |wanted: &str| {
        container
            .mounts
            .iter()
            .any(|mount| mount.name.as_deref() == Some(wanted) || mount.destination == std::path::Path::new(wanted))
    };
    let ancestor = |wanted: &str| {
        container.config.image == wanted
            || engine.store().get(wanted, None).is_ok_and(|image| image.id == container.image)
    };
    let published = |wanted: &str| {
        container.published.iter().any(|port| {
            port.host_port.to_string() == wanted
                || port.port.to_string() == wanted
                || port.port.number.to_string() == wanted
        })
    };
    let exposed = |wanted: &str| {
        container
            .config
            .exposed_ports
            .iter()
            .any(|port| port.to_string() == wanted || port.number.to_string() == wanted)
    };
    filters.labels(&container.config.labels)
        && filters.any("id", |wanted| container.id.as_str().starts_with(wanted))
        && filters.any("name", |wanted| wire::name_matches(container.name.as_str(), wanted))
        && filters.any("status", |wanted| container.state.status.as_str() == wanted)
        && filters.any("exited", |wanted| {
            container.state.status == Status::Exited && container.state.exit_code.to_string() == wanted
        })
        && filters.any("network", network)
        && filters.any("volume", volume)
        && filters.any("ancestor", ancestor)
        && filters.any("publish", published)
        && filters.any("expose", exposed)
        && filters
            .any("health", |wanted| container.health.as_ref().map_or("none", |health| health.status.as_str()) == wanted)
        && filters.any("is-task", |wanted| !matches!(wanted, "true" | "1"))
}

/// What images of containers are called now: the name they were created by, or the id when the name has moved on.
struct ImageNames<'a> {
    engine: &'a Engine,
    known: HashMap<String, Option<drua_types::Digest>>,
}

impl<'a> ImageNames<'a> {
    fn new(engine: &'a Engine) -> Self {
        Self { engine, known: HashMap::new() }
    }

    fn of<'c>(&mut self, container: &'c Container) -> Cow<'c, str> {
        let name = &container.config.image;
        let engine = self.engine;
        let id =
            self.known.entry(name.clone()).or_insert_with(|| engine.store().get(name, None).ok().map(|image| image.id));
        if id.as_ref() == Some(&container.image) { name.into() } else { container.image.to_string().into() }
    }
}

pub(crate) async fn create(engine: &Engine, mut call: Call) -> Reply {
    let body: Value =
        call.json().await?.ok_or_else(|| Failure::invalid("config cannot be empty in order to create a container"))?;
    let (name, platform) = (call.query.get("name"), call.query.get("platform"));
    let request = wire::create::container(engine, name, platform, body)?;
    let created = engine.create(request).await?;
    http::created(&json!({ "Id": created.id, "Warnings": created.warnings }))
}

pub(crate) fn inspect(engine: &Engine, name: &str) -> Reply {
    let container = engine.container(name)?;
    let mut value = wire::container::inspect(&container, engine.config(), None);
    let execs = engine.execs_of(&container);
    if !execs.is_empty() {
        value["ExecIDs"] = json!(execs);
    }
    http::json(&value)
}

pub(crate) async fn start(engine: &Engine, name: &str) -> Reply {
    engine.start(name).await?;
    http::no_content()
}

/// `signal` and `t` of stop and restart.
fn stop_options(call: &Call) -> Result<(Option<Signal>, Option<i64>), Failure> {
    let signal = call.query.get("signal").map(str::parse).transpose().map_err(Failure::invalid)?;
    Ok((signal, call.query.number("t")?))
}

pub(crate) async fn stop(engine: &Engine, name: &str, call: &Call) -> Reply {
    let (signal, timeout) = stop_options(call)?;
    engine.stop(name, signal, timeout).await?;
    http::no_content()
}

pub(crate) async fn restart(engine: &Engine, name: &str, call: &Call) -> Reply {
    let (signal, timeout) = stop_options(call)?;
    engine.restart(name, signal, timeout).await?;
    http::no_content()
}

pub(crate) async fn kill(engine: &Engine, name: &str, call: &Call) -> Reply {
    let signal = call.query.get("signal").unwrap_or("SIGKILL").parse().map_err(Failure::invalid)?;
    match engine.kill(name, signal).await {
        Err(drua_engine::Error::KillNotRunning { id, .. }) => {
            Err(drua_engine::Error::KillNotRunning { name: name.to_owned(), id }.into())
        }
        result => result.map_err(Failure::from).and_then(|()| http::no_content()),
    }
}

pub(crate) async fn pause(engine: &Engine, name: &str) -> Reply {
    engine.pause(name).await?;
    http::no_content()
}

pub(crate) async fn unpause(engine: &Engine, name: &str) -> Reply {
    engine.unpause(name).await?;
    http::no_content()
}

pub(crate) async fn rename(engine: &Engine, name: &str, call: &Call) -> Reply {
    let new = call.query.get("name").ok_or_else(|| Failure::invalid("Neither old nor new names may be empty"))?;
    engine.rename(name, new).await?;
    http::no_content()
}

pub(crate) async fn update(engine: &Engine, name: &str, mut call: Call) -> Reply {
    let body: Map<String, Value> = call.json().await?.unwrap_or_default();
    let container = engine.container(name)?;
    let update = wire::update::parse(&container, body)?;
    engine.update(name, update.resources, update.policy, update.echo).await?;
    http::json(&json!({ "Warnings": update.warnings }))
}

/// The headers go out before the wait begins to matter: `docker run` starts the container after it has seen them.
pub(crate) fn wait(engine: &Engine, name: &str, call: &Call) -> Reply {
    let condition = match call.query.get("condition").unwrap_or("not-running") {
        "not-running" => WaitCondition::NotRunning,
        "next-exit" => WaitCondition::NextExit,
        "removed" => WaitCondition::Removed,
        other => return Err(Failure::invalid(format!("invalid condition: \"{other}\""))),
    };
    let waited = engine.wait(name, condition)?;
    let (response, sender) = http::stream("application/json");
    tokio::spawn(async move {
        tokio::select! {
            () = sender.closed() => {}
            waited = waited => {
                let mut answer = json!({ "StatusCode": waited.code });
                if let Some(error) = waited.error {
                    answer["Error"] = json!({ "Message": error });
                }
                // The client may have gone.
                let _ = sender.json(&answer).await;
            }
        }
    });
    Ok(response)
}

pub(crate) async fn resize(engine: &Engine, name: &str, call: &Call) -> Reply {
    let size = |key| call.query.number::<u32>(key).map(Option::unwrap_or_default);
    engine.resize(name, size("w")?, size("h")?).await?;
    Ok(http::empty(StatusCode::OK))
}

pub(crate) async fn remove(engine: &Engine, name: &str, call: &Call) -> Reply {
    let options = RemoveContainer { force: call.query.flag("force"), volumes: call.query.flag("v") };
    engine.remove(name, options).await?;
    http::no_content()
}

pub(crate) async fn prune(engine: &Engine, call: &Call) -> Reply {
    let filters = Filters::parse(&call.query, &["label", "label!", "until"])?;
    let until = filters.until(Timestamp::now())?;
    let stopped = |status| matches!(status, Status::Created | Status::Exited);
    let mut deleted = Vec::new();
    for container in engine.containers() {
        if stopped(container.state.status)
            && filters.labels(&container.config.labels)
            && until.is_none_or(|until| container.created <= until)
            && engine.remove(container.id.as_str(), RemoveContainer::default()).await.is_ok()
        {
            deleted.push(container.id.clone());
        }
    }
    http::json(&json!({ "ContainersDeleted": deleted, "SpaceReclaimed": 0 }))
}
