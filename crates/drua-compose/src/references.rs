//! References to other services' containers: `network_mode: service:x`, `volumes_from: [x]` and their like.

use drua_api::Client;
use drua_composefile::{NetworkMode, Project, Service, ServiceName};

use crate::error::ComposeError;
use crate::observe::Observed;
use crate::plan;

/// The service with every reference replaced by the id of a container that is there.
pub(crate) async fn resolve(client: &Client, project: &Project, service: &Service) -> Result<Service, ComposeError> {
    let mut ids = Vec::new();
    for name in crate::select::shared_with(service) {
        let Some((name, other)) = project.services.get_key_value(name) else { continue };
        let container = plan::container_name(project, name, other, 1);
        let inspected = client.container_inspect(&container).await;
        let inspected = inspected.map_err(ComposeError::request(format!("inspect container `{container}`")))?;
        ids.push((name.clone(), inspected.id.unwrap_or_default()));
    }
    Ok(replaced(service, &|name| ids.iter().find(|(known, _)| known == name).map(|(_, id)| id.clone())))
}

/// As [`resolve`], by what was observed; references to what is not there stay.
pub(crate) fn resolve_observed(observed: &Observed, service: &Service) -> Service {
    replaced(service, &|name| observed.of_service(name.as_str()).first().map(|container| container.id.clone()))
}

fn replaced(service: &Service, id: &dyn Fn(&ServiceName) -> Option<String>) -> Service {
    let mut service = service.clone();
    let container = |name: &str| name.parse().ok().and_then(|name| id(&name));
    if let Some(NetworkMode::Service(name)) = &service.network_mode
        && let Some(id) = id(name)
    {
        service.network_mode = Some(NetworkMode::Container(id));
    }
    for mode in [&mut service.ipc, &mut service.pid, &mut service.uts].into_iter().flatten() {
        if let Some(id) = mode.strip_prefix("service:").and_then(container) {
            *mode = format!("container:{id}");
        }
    }
    for source in &mut service.volumes_from {
        if let Some(rest) = source.strip_prefix("container:") {
            *source = rest.to_owned();
            continue;
        }
        let (name, mode) = source.split_once(':').unwrap_or((source, ""));
        if let Some(id) = container(name) {
            *source = if mode.is_empty() { id } else { format!("{id}:{mode}") };
        }
    }
    service
}
