//! Parts of a project.

use drua_api::Client;
use drua_composefile::{NetworkMode, Project, ServiceName};

use crate::error::ComposeError;
use crate::plan::{self, UpOptions};

/// Keeps these services and what they depend on, with the networks and so on that they use.
pub fn keep_services(project: &mut Project, names: &[String]) {
    let options = UpOptions { services: names.to_vec(), ..UpOptions::default() };
    let kept: Vec<ServiceName> = plan::selected(project, &options).into_iter().cloned().collect();
    project.services.retain(|name, _| kept.contains(name));
    project.drop_unused();
}

/// Names of the services, dependencies first.
pub fn in_order(project: &Project) -> Vec<String> {
    plan::selected(project, &UpOptions::default()).into_iter().map(ToString::to_string).collect()
}

/// Replaces the images' tags by the digests that the engine knows them by.
///
/// # Errors
/// [`ComposeError::Request`] when an image is not there.
pub async fn pin_images(client: &Client, project: &mut Project) -> Result<(), ComposeError> {
    for service in project.services.values_mut() {
        let Some(image) = service.image.clone() else { continue };
        let Ok(reference) = image.parse::<drua_types::ImageRef>() else { continue };
        if reference.digest().is_some() {
            continue;
        }
        let inspected = client.image_inspect(&image).await;
        let inspected = inspected.map_err(ComposeError::request(format!("inspect image `{image}`")))?;
        let digests = inspected.repo_digests.unwrap_or_default();
        if let Some((_, digest)) = digests.first().and_then(|known| known.split_once('@')) {
            service.image = Some(format!("{image}@{digest}"));
        }
    }
    Ok(())
}

/// The services whose containers a service's own shares namespaces with, or takes volumes from.
pub(crate) fn shared_with(service: &drua_composefile::Service) -> Vec<&str> {
    let mut shared = Vec::new();
    if let Some(NetworkMode::Service(name)) = &service.network_mode {
        shared.push(name.as_str());
    }
    for mode in [&service.ipc, &service.pid, &service.uts, &service.cgroup].into_iter().flatten() {
        shared.extend(mode.strip_prefix("service:"));
    }
    let sources = service.volumes_from.iter().filter(|source| !source.starts_with("container:"));
    shared.extend(sources.filter_map(|source| source.split(':').next()));
    shared
}
