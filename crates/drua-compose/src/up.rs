//! `up`: images, plan, apply; and in the foreground, output until everything has exited or the caller has had enough.

use std::collections::BTreeMap;

use drua_api::Client;
use drua_composefile::Project;
use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::apply::{Applier, AttachedContainer};
use crate::error::ComposeError;
use crate::observe::observe;
use crate::observer::Observer;
use crate::output::{self, Lines};
use crate::plan::{self, Plan, Target, UpOptions};

/// How the caller interrupts `up` in the foreground.
#[derive(Debug, Clone, Default)]
pub struct Signals {
    /// Stop everything gracefully (the first Ctrl-C).
    pub stop: CancellationToken,
    /// Kill what has not stopped yet (the second one).
    pub kill: CancellationToken,
}

/// How `up` in the foreground ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UpOutcome {
    /// All containers have exited.
    AllExited,
    /// The caller asked to stop, and everything has been stopped.
    Interrupted,
}

/// Brings a project up and returns when everything has been started.
///
/// # Errors
/// [`ComposeError`]; what could be started runs.
pub async fn up(
    client: &Client,
    project: &Project,
    options: &UpOptions,
    observer: &dyn Observer,
    cancel: &CancellationToken,
) -> Result<(), ComposeError> {
    let (plan, images) = prepare(client, project, options, observer, cancel).await?;
    let applier = Applier { client, observer, project: Some(project), images, attach: None, cancel: cancel.clone() };
    applier.apply(&plan).await
}

/// Brings a project up and shows its output until all containers have exited, or the caller signals.
///
/// # Errors
/// [`ComposeError`]; what could be started runs. Interrupting before everything has been started stops what has been.
pub async fn up_attached(
    client: &Client,
    project: &Project,
    options: &UpOptions,
    observer: &dyn Observer,
    signals: &Signals,
) -> Result<UpOutcome, ComposeError> {
    let (plan, images) = match prepare(client, project, options, observer, &signals.stop).await {
        Err(ComposeError::Interrupted) => return Ok(UpOutcome::Interrupted),
        prepared => prepared?,
    };
    let (sender, receiver) = mpsc::channel(16);
    let all_stopped = CancellationToken::new();
    let show = show(client, project, observer, receiver, &all_stopped);
    tokio::pin!(show);
    let mut shown_all = false;

    let applied = {
        let applied = attach_and_apply(client, project, observer, images, sender, &plan, &signals.stop);
        tokio::pin!(applied);
        loop {
            tokio::select! {
                applied = &mut applied => break applied,
                () = &mut show, if !shown_all => shown_all = true,
            }
        }
    };
    match applied {
        Ok(()) => tokio::select! {
            () = &mut show, if !shown_all => return Ok(UpOutcome::AllExited),
            () = signals.stop.cancelled(), if !shown_all => {}
            else => return Ok(UpOutcome::AllExited),
        },
        Err(ComposeError::Interrupted) => {}
        Err(error) => return Err(error),
    }

    let stopping = stop_all(client, project, options, observer, signals);
    tokio::pin!(stopping);
    let stopped = loop {
        tokio::select! {
            stopped = &mut stopping => break stopped,
            () = &mut show, if !shown_all => shown_all = true,
        }
    };
    stopped?;
    all_stopped.cancel();
    if !shown_all {
        // Their last words; the streams end since the containers have.
        show.await;
    }
    Ok(UpOutcome::Interrupted)
}

async fn prepare(
    client: &Client,
    project: &Project,
    options: &UpOptions,
    observer: &dyn Observer,
    cancel: &CancellationToken,
) -> Result<(Plan, BTreeMap<String, String>), ComposeError> {
    let prepared = async {
        for name in plan::selected(project, options) {
            crate::files::check(project, name, &project.services[name])?;
        }
        let images = crate::pull::ensure(client, project, options, observer).await?;
        let observed = observe(client, project.name.as_str()).await?;
        let plan = plan::up(project, &observed, &images, options)?;
        Ok((plan, images))
    };
    tokio::select! {
        () = cancel.cancelled() => Err(ComposeError::Interrupted),
        prepared = prepared => prepared,
    }
}

/// Waits for the conditions that a service has on those it depends on.
pub(crate) async fn wait_for(
    client: &Client,
    project: &Project,
    service: &drua_composefile::Service,
    observer: &dyn Observer,
    cancel: &CancellationToken,
) -> Result<(), ComposeError> {
    let observed = observe(client, project.name.as_str()).await?;
    let plan = plan::conditions(&observed, service);
    let applier =
        Applier { client, observer, project: None, images: BTreeMap::new(), attach: None, cancel: cancel.clone() };
    applier.apply(&plan).await
}

/// Attaches to what runs already, then applies. Owns the sender, so that the receiver sees when no more will come.
async fn attach_and_apply(
    client: &Client,
    project: &Project,
    observer: &dyn Observer,
    images: BTreeMap<String, String>,
    sender: mpsc::Sender<AttachedContainer>,
    plan: &Plan,
    cancel: &CancellationToken,
) -> Result<(), ComposeError> {
    for (service, name) in &plan.kept {
        let target = Target { container: name.clone(), name: name.clone(), service: service.clone() };
        let attached = AttachedContainer::attach(client, &target).await;
        let attached = attached.map_err(ComposeError::request(format!("attach to container `{name}`")))?;
        // The receiver lives as long as this future.
        let _ = sender.send(attached).await;
    }
    let applier =
        Applier { client, observer, project: Some(project), images, attach: Some(sender), cancel: cancel.clone() };
    applier.apply(plan).await
}

/// Shows the output of every container that comes in, until all have exited and no more will come.
async fn show(
    client: &Client,
    project: &Project,
    observer: &dyn Observer,
    mut attached: mpsc::Receiver<AttachedContainer>,
    all_stopped: &CancellationToken,
) {
    let mut followed = FuturesUnordered::new();
    let mut more = true;
    while more || !followed.is_empty() {
        tokio::select! {
            next = attached.recv(), if more => match next {
                Some(attached) if wants_output(project, &attached.target) => {
                    let lines = Lines::new(observer, project.name.as_str(), &attached.target);
                    followed.push(follow(client, observer, lines, attached, all_stopped));
                }
                Some(_) => {}
                None => more = false,
            },
            Some(()) = followed.next() => {}
        }
    }
}

async fn follow(
    client: &Client,
    observer: &dyn Observer,
    mut lines: Lines<'_>,
    attached: AttachedContainer,
    all_stopped: &CancellationToken,
) {
    let AttachedContainer { target, output, last_end } = attached;
    let followed = output::follow(client, &mut lines, &target.name, output, last_end, all_stopped).await;
    if let Err(error) = followed {
        observer.warning(&format!("lost the output of {}: {}", lines.label(), drua_types::error_chain(&error)));
    }
}

fn wants_output(project: &Project, target: &Target) -> bool {
    project.services.get(target.service.as_str()).is_none_or(|service| service.attach != Some(false))
}

/// Stops the selected services, and kills what is left when the caller loses patience.
async fn stop_all(
    client: &Client,
    project: &Project,
    options: &UpOptions,
    observer: &dyn Observer,
    signals: &Signals,
) -> Result<(), ComposeError> {
    let services: Vec<String> = plan::selected(project, options).into_iter().map(ToString::to_string).collect();
    let applier = |cancel: &CancellationToken| Applier {
        client,
        observer,
        project: Some(project),
        images: BTreeMap::new(),
        attach: None,
        cancel: cancel.clone(),
    };
    let observed = observe(client, project.name.as_str()).await?;
    let plan = plan::stop(&observed, &services, options.timeout_seconds);
    match applier(&signals.kill).apply(&plan).await {
        Err(ComposeError::Interrupted) => {
            let observed = observe(client, project.name.as_str()).await?;
            applier(&CancellationToken::new()).apply(&plan::kill(&observed, &services, None)).await
        }
        stopped => stopped,
    }
}
