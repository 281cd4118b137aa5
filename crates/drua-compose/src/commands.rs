//! The verbs beside `up`.

use std::collections::BTreeMap;

use drua_api::Client;
use drua_api::client::{EventsOptions, LogsOptions as ApiLogsOptions};
use drua_api::models::ContainerSummary;
use drua_api::{ClientError, Filters};
use drua_composefile::Project;
use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use tokio_util::sync::CancellationToken;

use crate::apply::Applier;
use crate::error::ComposeError;
use crate::labels;
use crate::observe::{self, Observed, observe};
use crate::observer::Observer;
use crate::output::{Lines, pump};
use crate::plan::{self, DownOptions, Plan, Target};

/// Which containers a verb is about, and how patient it is.
#[derive(Debug, Clone, Default)]
pub struct ControlOptions {
    /// Only these services; all when empty.
    pub services: Vec<String>,
    /// Seconds until a container is killed; its own when absent.
    pub timeout_seconds: Option<i64>,
    /// `kill`: the signal; SIGKILL when absent.
    pub signal: Option<String>,
    /// `rm`: stop what runs first; else what runs stays.
    pub stop_first: bool,
    /// `rm`: remove anonymous volumes too.
    pub volumes: bool,
}

/// Takes a project down. Without a file, everything that the engine has under `name` goes.
///
/// # Errors
/// Every step that failed; the others have been done.
pub async fn down(
    client: &Client,
    name: &str,
    project: Option<&Project>,
    options: &DownOptions,
    observer: &dyn Observer,
    cancel: &CancellationToken,
) -> Result<(), ComposeError> {
    let observed = observe(client, name).await?;
    apply(client, &plan::down(name, project, &observed, options), observer, cancel).await
}

macro_rules! control {
    ($(#[$doc:meta])* $verb:ident, |$observed:ident, $options:ident| $plan:expr) => {
        $(#[$doc])*
        ///
        /// # Errors
        /// [`ComposeError::NoSuchService`] for a service without containers; every step that failed.
        pub async fn $verb(
            client: &Client,
            name: &str,
            options: &ControlOptions,
            observer: &dyn Observer,
            cancel: &CancellationToken,
        ) -> Result<(), ComposeError> {
            let observed = observe(client, name).await?;
            check_services(&observed, &options.services)?;
            let ($observed, $options) = (&observed, options);
            apply(client, &$plan, observer, cancel).await
        }
    };
}

control! {
    /// Starts existing containers, dependencies first.
    start, |observed, options| plan::start(observed, &options.services)
}
control! {
    /// Stops containers, dependents first.
    stop, |observed, options| plan::stop(observed, &options.services, options.timeout_seconds)
}
control! {
    /// Restarts containers, dependencies first.
    restart, |observed, options| plan::restart(observed, &options.services, options.timeout_seconds)
}
control! {
    /// Kills containers.
    kill, |observed, options| plan::kill(observed, &options.services, options.signal.as_deref())
}
control! {
    /// Removes stopped containers.
    remove, |observed, options| plan::remove(observed, &options.services, options.stop_first, options.volumes)
}

async fn apply(
    client: &Client,
    plan: &Plan,
    observer: &dyn Observer,
    cancel: &CancellationToken,
) -> Result<(), ComposeError> {
    let images = BTreeMap::new();
    Applier { client, observer, project: None, images, attach: None, cancel: cancel.clone() }.apply(plan).await
}

fn check_services(observed: &Observed, services: &[String]) -> Result<(), ComposeError> {
    match services.iter().find(|name| observed.of_service(name).is_empty()) {
        Some(unknown) => Err(ComposeError::NoSuchService(unknown.clone())),
        None => Ok(()),
    }
}

/// A container of a project.
#[derive(Debug, Clone)]
pub struct ProjectContainer {
    /// Its name.
    pub name: String,
    /// Its service.
    pub service: String,
    /// Its number within the service.
    pub number: u32,
    /// Everything that the engine lists about it.
    pub summary: ContainerSummary,
}

/// Lists a project's containers by service and number; stopped ones only with `all`.
///
/// # Errors
/// [`ComposeError::Request`].
pub async fn ps(
    client: &Client,
    name: &str,
    services: &[String],
    all: bool,
) -> Result<Vec<ProjectContainer>, ComposeError> {
    let summaries = observe::list_containers(client, name).await?;
    let mut containers: Vec<ProjectContainer> = summaries
        .into_iter()
        .map(|summary| {
            let observed = observe::container(summary.clone());
            (
                observed.running,
                ProjectContainer { name: observed.name, service: observed.service, number: observed.number, summary },
            )
        })
        .filter(|(running, container)| {
            (all || *running) && (services.is_empty() || services.contains(&container.service))
        })
        .map(|(_, container)| container)
        .collect();
    containers.sort_by(|a, b| (&a.service, a.number, &a.name).cmp(&(&b.service, b.number, &b.name)));
    Ok(containers)
}

/// What to show of a project's logs.
#[derive(Debug, Clone, Default)]
pub struct LogsOptions {
    /// Only these services; all when empty.
    pub services: Vec<String>,
    /// Go on with new output, also of containers that are started later.
    pub follow: bool,
    /// `all` or a number of lines for each container.
    pub tail: Option<String>,
    /// Start each line with its time.
    pub timestamps: bool,
    /// Unix time or RFC 3339.
    pub since: Option<String>,
    /// As `since`.
    pub until: Option<String>,
}

/// Delivers logs to the observer: container after container, or all at once with `follow`, until `cancel`.
///
/// # Errors
/// [`ComposeError::Request`] when the project's containers or one container's logs cannot be read.
pub async fn logs(
    client: &Client,
    name: &str,
    options: &LogsOptions,
    observer: &dyn Observer,
    cancel: &CancellationToken,
) -> Result<(), ComposeError> {
    let delivered = async {
        if options.follow {
            follow_logs(client, name, options, observer).await
        } else {
            all_logs(client, name, options, observer).await
        }
    };
    tokio::select! {
        () = cancel.cancelled() => Ok(()),
        delivered = delivered => delivered,
    }
}

async fn all_logs(
    client: &Client,
    name: &str,
    options: &LogsOptions,
    observer: &dyn Observer,
) -> Result<(), ComposeError> {
    for container in ps(client, name, &options.services, true).await? {
        one_log(client, name, &target(container), options, observer).await?;
    }
    Ok(())
}

async fn follow_logs(
    client: &Client,
    name: &str,
    options: &LogsOptions,
    observer: &dyn Observer,
) -> Result<(), ComposeError> {
    let filters = Filters::new()
        .with("type", "container")
        .with("event", "start")
        .with("label", &format!("{}={name}", labels::PROJECT))
        .with("label", &format!("{}=False", labels::ONE_OFF));
    let watch_failed = |source: ClientError| ComposeError::Request { what: format!("watch project `{name}`"), source };
    let mut events =
        client.events(&EventsOptions { filters, ..EventsOptions::default() }).await.map_err(watch_failed)?;
    let mut followed = FuturesUnordered::new();
    for container in ps(client, name, &options.services, true).await? {
        let options = options.clone();
        followed.push(followed_log(client, name, target(container), options, observer));
    }
    loop {
        tokio::select! {
            Some(log) = followed.next() => log?,
            event = events.next() => {
                let Some(event) = event else { return Ok(()) };
                let event = event.map_err(watch_failed)?;
                let attribute = |key: &str| event.actor.attributes.get(key).cloned().unwrap_or_default();
                let started = Target { container: event.actor.id.clone(), name: attribute("name"), service: attribute(labels::SERVICE) };
                if options.services.is_empty() || options.services.contains(&started.service) {
                    // What it wrote before has been shown, or belongs to an earlier run.
                    let since = Some(format!("{}.{:09}", event.time_nano / 1_000_000_000, event.time_nano % 1_000_000_000));
                    let options = LogsOptions { since, tail: None, ..options.clone() };
                    followed.push(followed_log(client, name, started, options, observer));
                }
            }
        }
    }
}

async fn followed_log(
    client: &Client,
    name: &str,
    target: Target,
    options: LogsOptions,
    observer: &dyn Observer,
) -> Result<(), ComposeError> {
    one_log(client, name, &target, &options, observer).await
}

async fn one_log(
    client: &Client,
    name: &str,
    target: &Target,
    options: &LogsOptions,
    observer: &dyn Observer,
) -> Result<(), ComposeError> {
    let what = || format!("read the logs of container `{}`", target.name);
    let options = ApiLogsOptions {
        follow: options.follow,
        timestamps: options.timestamps,
        tail: options.tail.clone(),
        since: options.since.clone(),
        until: options.until.clone(),
        ..ApiLogsOptions::default()
    };
    let output = match client.container_logs(&target.container, &options).await {
        // It went between the listing and now.
        Err(error) if error.is_not_found() => return Ok(()),
        output => output.map_err(ComposeError::request(what()))?,
    };
    pump(&mut Lines::new(observer, name, target), output).await.map_err(ComposeError::request(what()))
}

fn target(container: ProjectContainer) -> Target {
    let id = container.summary.id.unwrap_or_else(|| container.name.clone());
    Target { container: id, name: container.name, service: container.service }
}
