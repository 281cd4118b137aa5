//! Runs a plan: every step as soon as those before it are done, at most [`PARALLEL`] at a time.
//!
//! A failed step takes down the steps that need it and no other; all failures are returned. Cancelling drops the requests
//! that are under way; the engine may still complete them.

use std::collections::BTreeMap;

use drua_api::client::{AttachOptions, FrameStream, PutArchive, RemoveContainer, RequestBody, StopOptions};
use drua_api::{Client, ClientError};
use drua_composefile::{Condition, Project};
use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::error::ComposeError;
use crate::observer::{Observer, Resource, ResourceKind, Status};
use crate::plan::{Action, CreateContainer, Plan, StepId, Target};
use crate::wait::{self, Waited};
use crate::{create, files, hooks, references};

/// How many requests are under way at once; as Docker Compose's default is for creates.
const PARALLEL: usize = 16;

/// A container whose output was attached before it was started.
#[derive(Debug)]
pub(crate) struct AttachedContainer {
    pub(crate) target: Target,
    pub(crate) output: FrameStream,
    /// When the run before this one ended.
    pub(crate) last_end: Option<String>,
}

impl AttachedContainer {
    pub(crate) async fn attach(client: &Client, target: &Target) -> Result<Self, ClientError> {
        let options = AttachOptions { stdout: true, stderr: true, ..AttachOptions::default() };
        let attached = client.container_attach(&target.container, &options).await?;
        let state = client.container_inspect(&target.container).await?.state;
        let last_end = state.and_then(|state| state.finished_at);
        Ok(Self { target: target.clone(), output: attached.output, last_end })
    }
}

/// What steps need.
pub(crate) struct Applier<'a> {
    pub(crate) client: &'a Client,
    pub(crate) observer: &'a dyn Observer,
    /// The project, for plans that create.
    pub(crate) project: Option<&'a Project>,
    /// Ids of images by the name in the file.
    pub(crate) images: BTreeMap<String, String>,
    /// Where the output of containers goes that are started; `None` leaves it alone.
    pub(crate) attach: Option<mpsc::Sender<AttachedContainer>>,
    pub(crate) cancel: CancellationToken,
}

impl Applier<'_> {
    /// # Errors
    /// What the failed steps say, or [`ComposeError::Interrupted`].
    pub(crate) async fn apply(&self, plan: &Plan) -> Result<(), ComposeError> {
        plan.warnings.iter().for_each(|text| self.observer.warning(text));
        for (_, name) in &plan.kept {
            self.observer.status(&container_resource(name), Status::Running);
        }
        tokio::select! {
            () = self.cancel.cancelled() => Err(ComposeError::Interrupted),
            result = self.run(plan) => result,
        }
    }

    async fn run(&self, plan: &Plan) -> Result<(), ComposeError> {
        let mut waiting_for: Vec<usize> = plan.steps.iter().map(|step| step.after.len()).collect();
        let mut ready: Vec<StepId> = (0..plan.steps.len()).rev().filter(|step| waiting_for[*step] == 0).collect();
        let mut under_way = FuturesUnordered::new();
        let mut errors = Vec::new();
        loop {
            while under_way.len() < PARALLEL
                && let Some(step) = ready.pop()
            {
                let action = &plan.steps[step].action;
                under_way.push(async move { (step, self.step(action).await) });
            }
            match under_way.next().await {
                None => return ComposeError::of(errors),
                Some((_, Err(error))) => errors.push(error),
                Some((done, Ok(()))) => {
                    for (step, _) in plan.steps.iter().enumerate().filter(|(_, step)| step.after.contains(&done)) {
                        waiting_for[step] -= 1;
                        if waiting_for[step] == 0 {
                            ready.push(step);
                        }
                    }
                }
            }
        }
    }

    async fn step(&self, action: &Action) -> Result<(), ComposeError> {
        tracing::debug!(step = %action, "compose step");
        match action {
            Action::CreateNetwork(key) => self.create_network(key).await,
            Action::CreateVolume(key) => self.create_volume(key).await,
            Action::CreateContainer(create) => self.create_container(create).await,
            Action::Rename { from, to } => {
                let renamed = self.client.container_rename(from, to).await;
                renamed.map_err(ComposeError::request(format!("rename container `{from}` to `{to}`")))?;
                self.observer.status(&container_resource(to), Status::Recreated);
                Ok(())
            }
            Action::Start(target) => self.start(target).await,
            Action::Wait { service, containers, condition, required } => {
                let waited = self.wait(service, containers, *condition).await;
                match waited {
                    Err(error) if !*required => {
                        self.observer.warning(&format!("optional dependency: {error}"));
                        Ok(())
                    }
                    waited => waited,
                }
            }
            Action::Stop { target, timeout_seconds } => {
                self.before_stop(target).await;
                let options = StopOptions { signal: None, timeout_seconds: *timeout_seconds };
                let request = self.client.container_stop(&target.container, &options);
                self.container(target, "stop", Status::Stopping, Status::Stopped, request).await
            }
            Action::Restart { target, timeout_seconds } => {
                self.before_stop(target).await;
                let options = StopOptions { signal: None, timeout_seconds: *timeout_seconds };
                let request = self.client.container_restart(&target.container, &options);
                self.container(target, "restart", Status::Restarting, Status::Restarted, request).await
            }
            Action::Kill { target, signal } => {
                let request = self.client.container_kill(&target.container, signal.as_deref());
                self.container(target, "kill", Status::Killing, Status::Killed, request).await
            }
            Action::Remove { target, volumes } => {
                let options = RemoveContainer { force: true, volumes: *volumes, link: false };
                let request = self.client.container_remove(&target.container, options);
                let gone = async { ignore_missing(request.await) };
                self.container(target, "remove", Status::Removing, Status::Removed, gone).await
            }
            Action::RemoveNetwork(name) => self.remove_network(name).await,
            Action::RemoveVolume(name) => self.remove_volume(name).await,
            Action::RemoveImage(name) => self.remove_image(name).await,
        }
    }

    async fn create_network(&self, key: &str) -> Result<(), ComposeError> {
        let project = self.project();
        let network = &project.networks[key];
        let body = create::network(project, key, network);
        let created = async {
            match self.client.network_create(&body).await {
                // Somebody else who brings the same project up was faster.
                Err(error) if error.is_conflict() => Ok(()),
                other => other.map(drop),
            }
        };
        let resource = Resource { kind: ResourceKind::Network, name: network.name.clone() };
        self.reported(&resource, Status::Creating, Some(Status::Created), created)
            .await
            .map_err(ComposeError::request(format!("create network `{}`", network.name)))
    }

    async fn create_volume(&self, key: &str) -> Result<(), ComposeError> {
        let project = self.project();
        let volume = &project.volumes[key];
        let body = create::volume(project, key, volume);
        let created = async { self.client.volume_create(&body).await.map(drop) };
        let resource = Resource { kind: ResourceKind::Volume, name: volume.name.clone() };
        self.reported(&resource, Status::Creating, Some(Status::Created), created)
            .await
            .map_err(ComposeError::request(format!("create volume `{}`", volume.name)))
    }

    async fn create_container(&self, create: &CreateContainer) -> Result<(), ComposeError> {
        let project = self.project();
        let service = &references::resolve(self.client, project, &project.services[&create.service]).await?;
        let image = service.image_name(&project.name, &create.service);
        let image_id = self.images.get(&image).map_or("", String::as_str);
        let body = create::container(project, service, create, image_id);
        let (during, after) = match create.replaces {
            // It has been recreated when it has its name.
            Some(_) => (Status::Recreating, None),
            None => (Status::Creating, Some(Status::Created)),
        };
        let created = async {
            let platform = service.platform.as_deref();
            let created = self.client.container_create(Some(&create.name), platform, &body).await?;
            for warning in &created.warnings {
                self.observer.warning(&format!("{}: {warning}", create.final_name));
            }
            inject(self.client, &created.id, &files::injected(project, service)).await
        };
        self.reported(&container_resource(&create.final_name), during, after, created)
            .await
            .map_err(ComposeError::request(format!("create container `{}`", create.final_name)))
    }

    async fn start(&self, target: &Target) -> Result<(), ComposeError> {
        let service = self.project.and_then(|project| project.services.get(target.service.as_str()));
        if let (Some(project), Some(service)) = (self.project, service.filter(|service| !service.pre_start.is_empty()))
        {
            hooks::before_start(self.client, self.observer, project, service, target).await?;
        }
        let started = async {
            if let Some(attach) = &self.attach {
                let attached = AttachedContainer::attach(self.client, target).await?;
                // The receiver is gone only when nobody wants the output any more.
                let _ = attach.send(attached).await;
            }
            self.client.container_start(&target.container, None).await
        };
        self.container(target, "start", Status::Starting, Status::Started, started).await?;
        match (self.project, service) {
            (Some(project), Some(service)) => {
                hooks::run(self.client, self.observer, project, &service.post_start, target).await
            }
            (None, _) | (_, None) => Ok(()),
        }
    }

    /// Commands that are run in a container before it is stopped. What fails is told; it is stopped all the same.
    async fn before_stop(&self, target: &Target) {
        let service = self.project.and_then(|project| Some((project, project.services.get(target.service.as_str())?)));
        if let Some((project, service)) = service
            && let Err(error) = hooks::run(self.client, self.observer, project, &service.pre_stop, target).await
        {
            self.observer.warning(&drua_types::error_chain(&error));
        }
    }

    async fn wait(
        &self,
        service: &drua_composefile::ServiceName,
        containers: &[String],
        condition: Condition,
    ) -> Result<(), ComposeError> {
        let report =
            |status| containers.iter().for_each(|name| self.observer.status(&container_resource(name), status));
        report(Status::Waiting);
        match wait::until(self.client, service, containers, condition).await {
            Ok(Waited::Healthy) => report(Status::Healthy),
            Ok(Waited::Completed) => report(Status::Completed),
            Ok(Waited::Started) => report(Status::Started),
            Err(error) => {
                report(Status::Failed);
                return Err(error);
            }
        }
        Ok(())
    }

    async fn remove_network(&self, name: &str) -> Result<(), ComposeError> {
        let resource = Resource { kind: ResourceKind::Network, name: name.to_owned() };
        self.remove_unless_used(&resource, self.client.network_remove(name)).await
    }

    async fn remove_volume(&self, name: &str) -> Result<(), ComposeError> {
        let resource = Resource { kind: ResourceKind::Volume, name: name.to_owned() };
        self.remove_unless_used(&resource, self.client.volume_remove(name, true)).await
    }

    async fn remove_image(&self, name: &str) -> Result<(), ComposeError> {
        let resource = Resource { kind: ResourceKind::Image, name: name.to_owned() };
        let removed = async { self.client.image_remove(name, false, true).await.map(drop) };
        self.remove_unless_used(&resource, removed).await
    }

    /// Networks, volumes and images may be used by others; that is no failure of `down`.
    async fn remove_unless_used(
        &self,
        resource: &Resource,
        request: impl Future<Output = Result<(), ClientError>>,
    ) -> Result<(), ComposeError> {
        self.observer.status(resource, Status::Removing);
        match ignore_missing(request.await) {
            Ok(()) => self.observer.status(resource, Status::Removed),
            Err(error) if matches!(error.status(), Some(403 | 409)) => {
                self.observer.status(resource, Status::StillInUse);
            }
            Err(error) => {
                self.observer.status(resource, Status::Failed);
                return Err(ComposeError::request(format!("remove `{}`", resource.name))(error));
            }
        }
        Ok(())
    }

    async fn container(
        &self,
        target: &Target,
        verb: &str,
        during: Status,
        after: Status,
        request: impl Future<Output = Result<(), ClientError>>,
    ) -> Result<(), ComposeError> {
        self.reported(&container_resource(&target.name), during, Some(after), request)
            .await
            .map_err(ComposeError::request(format!("{verb} container `{}`", target.name)))
    }

    async fn reported<E>(
        &self,
        resource: &Resource,
        during: Status,
        after: Option<Status>,
        request: impl Future<Output = Result<(), E>>,
    ) -> Result<(), E> {
        self.observer.status(resource, during);
        let result = request.await;
        if let Some(status) = if result.is_ok() { after } else { Some(Status::Failed) } {
            self.observer.status(resource, status);
        }
        result
    }

    fn project(&self) -> &Project {
        self.project.expect("only plans for `up` create, and `up` has a project")
    }
}

/// Copies secrets and configs into a container that has not been started.
pub(crate) async fn inject(client: &Client, id: &str, files: &[files::Injected]) -> Result<(), ClientError> {
    if files.is_empty() {
        return Ok(());
    }
    let archive = crate::archive::of_files(files);
    let options = PutArchive { keep_kinds: false, copy_owners: true };
    client.container_archive_put(id, "/", RequestBody::from(bytes::Bytes::from(archive)), options).await
}

fn ignore_missing(result: Result<(), ClientError>) -> Result<(), ClientError> {
    match result {
        Err(error) if error.is_not_found() => Ok(()),
        other => other,
    }
}

pub(crate) fn container_resource(name: &str) -> Resource {
    Resource { kind: ResourceKind::Container, name: name.to_owned() }
}
