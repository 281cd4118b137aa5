//! Commands at points of a container's life: `pre_start`, `post_start`, `pre_stop`.

use std::collections::HashMap;

use drua_api::client::{AttachOptions, RemoveContainer, WaitCondition};
use drua_api::models::{ContainerCreateBody, ExecConfig, HostConfig};
use drua_api::{Client, ClientError};
use drua_composefile::{Hook, Project, Service};

use crate::error::ComposeError;
use crate::labels;
use crate::observer::Observer;
use crate::output::{Lines, pump};
use crate::plan::Target;

fn environment(hook: &Hook) -> Vec<String> {
    let set = hook.environment.iter().filter_map(|(name, value)| Some((name, value.as_ref()?)));
    set.map(|(name, value)| format!("{name}={value}")).collect()
}

fn failed(target: &Target, hook: &Hook, status: i64) -> ComposeError {
    let command = hook.command.clone().unwrap_or_default().join(" ");
    ComposeError::Hook { container: target.name.clone(), command, status }
}

/// Runs commands in a running container, one after the other, and shows what they write.
pub(crate) async fn run(
    client: &Client,
    observer: &dyn Observer,
    project: &Project,
    hooks: &[Hook],
    target: &Target,
) -> Result<(), ComposeError> {
    for hook in hooks {
        let what = ComposeError::request(format!("run a hook in container `{}`", target.name));
        let status = exec(client, observer, project, hook, target).await.map_err(what)?;
        if status != 0 {
            return Err(failed(target, hook, status));
        }
    }
    Ok(())
}

async fn exec(
    client: &Client,
    observer: &dyn Observer,
    project: &Project,
    hook: &Hook,
    target: &Target,
) -> Result<i64, ClientError> {
    let command = ExecConfig {
        cmd: hook.command.clone(),
        user: hook.user.clone(),
        working_dir: hook.working_dir.clone(),
        env: Some(environment(hook)),
        privileged: Some(hook.privileged),
        attach_stdout: Some(true),
        attach_stderr: Some(true),
        ..ExecConfig::default()
    };
    let id = client.exec_create(&target.container, &command).await?;
    let attached = client.exec_start(&id, false, None).await?;
    pump(&mut Lines::new(observer, project.name.as_str(), target), attached.output).await?;
    Ok(client.exec_inspect(&id).await?.exit_code.unwrap_or_default())
}

/// Runs the steps of `pre_start`, each in a container of its own with the service's volumes and networks.
pub(crate) async fn before_start(
    client: &Client,
    observer: &dyn Observer,
    project: &Project,
    service: &Service,
    target: &Target,
) -> Result<(), ComposeError> {
    for hook in &service.pre_start {
        let what = ComposeError::request(format!("run a step before container `{}`", target.name));
        let status = step(client, observer, project, service, hook, target).await.map_err(what)?;
        if status != 0 {
            return Err(failed(target, hook, status));
        }
    }
    Ok(())
}

async fn step(
    client: &Client,
    observer: &dyn Observer,
    project: &Project,
    service: &Service,
    hook: &Hook,
    target: &Target,
) -> Result<i64, ClientError> {
    let set = service.environment.iter().filter_map(|(name, value)| Some((name, value.as_ref()?)));
    let mut env: Vec<String> = set.map(|(name, value)| format!("{name}={value}")).collect();
    env.extend(environment(hook));
    let network = service.networks_by_priority().first().and_then(|key| project.networks.get(*key));
    let name = target.service.parse().unwrap_or_else(|_| unreachable_name());
    let body = ContainerCreateBody {
        image: Some(hook.image.clone().unwrap_or_else(|| service.image_name(&project.name, &name))),
        cmd: hook.command.clone(),
        user: hook.user.clone(),
        working_dir: hook.working_dir.clone(),
        env: Some(env),
        labels: Some(HashMap::from([
            (labels::PROJECT.to_owned(), project.name.to_string()),
            (labels::SERVICE.to_owned(), target.service.clone()),
            (labels::VERSION.to_owned(), labels::OUR_VERSION.to_owned()),
            (labels::HOOK.to_owned(), "pre_start".to_owned()),
        ])),
        host_config: Some(HostConfig {
            privileged: Some(hook.privileged),
            volumes_from: Some(vec![target.container.clone()]),
            network_mode: network.map(|network| network.name.clone()),
            ..HostConfig::default()
        }),
        ..ContainerCreateBody::default()
    };
    let id = client.container_create(None, service.platform.as_deref(), &body).await?.id;
    let ran = async {
        let options = AttachOptions { stdout: true, stderr: true, ..AttachOptions::default() };
        let attached = client.container_attach(&id, &options).await?;
        let mut waiter = client.container_wait(&id, WaitCondition::NextExit).await?;
        client.container_start(&id, None).await?;
        pump(&mut Lines::new(observer, project.name.as_str(), target), attached.output).await?;
        Ok(waiter.exit().await?.map_or(-1, |exit| exit.status_code))
    };
    let status: Result<i64, ClientError> = ran.await;
    let options = RemoveContainer { force: true, volumes: true, link: false };
    let removed = client.container_remove(&id, options).await;
    let status = status?;
    removed?;
    Ok(status)
}

/// Targets of plans for `up` are named after services of the file.
fn unreachable_name() -> drua_composefile::ServiceName {
    "service".parse().expect("a plain word is a service's name")
}
