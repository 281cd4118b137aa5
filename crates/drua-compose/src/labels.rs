//! The labels by which Docker Compose and drua recognise what belongs to a project.

use drua_composefile::{Project, Service, ServiceName};

/// The project's name; on containers, networks and volumes.
pub const PROJECT: &str = "com.docker.compose.project";
/// The service's name.
pub const SERVICE: &str = "com.docker.compose.service";
/// Hash of the service's configuration, see [`config_hash`](crate::config_hash).
pub const CONFIG_HASH: &str = "com.docker.compose.config-hash";
/// 1 for the first container of a service.
pub const CONTAINER_NUMBER: &str = "com.docker.compose.container-number";
/// `True` for containers of `run`, else `False`.
pub const ONE_OFF: &str = "com.docker.compose.oneoff";
/// The random part of the name of a container of `run`.
pub const SLUG: &str = "com.docker.compose.slug";
/// On a container that ran a hook: which kind.
pub const HOOK: &str = "com.docker.compose.hook";
/// The version of the program that created it.
pub const VERSION: &str = "com.docker.compose.version";
/// Id of the image that the container was created from.
pub const IMAGE: &str = "com.docker.compose.image";
/// `service:condition:restart`, comma separated.
pub const DEPENDS_ON: &str = "com.docker.compose.depends_on";
/// The project's folder.
pub const WORKING_DIR: &str = "com.docker.compose.project.working_dir";
/// The project's compose files, comma separated.
pub const CONFIG_FILES: &str = "com.docker.compose.project.config_files";
/// The project's `.env` files, comma separated; only when they were named.
pub const ENVIRONMENT_FILE: &str = "com.docker.compose.project.environment_file";
/// On a container that is being created to replace another: the other's id.
pub const REPLACE: &str = "com.docker.compose.replace";
/// The key of a network.
pub const NETWORK: &str = "com.docker.compose.network";
/// The key of a volume.
pub const VOLUME: &str = "com.docker.compose.volume";

/// What [`VERSION`] says on things that drua creates.
pub(crate) const OUR_VERSION: &str = env!("CARGO_PKG_VERSION");

/// The labels that every container of a service has, apart from those that name the single container.
pub(crate) fn of_service(project: &Project, name: &ServiceName, service: &Service) -> Vec<(&'static str, String)> {
    let paths = |paths: &[std::path::PathBuf]| -> String {
        let paths: Vec<_> = paths.iter().map(|path| path.to_string_lossy()).collect();
        paths.join(",")
    };
    let dependencies: Vec<String> = service
        .depends_on
        .iter()
        .map(|(name, dependency)| format!("{name}:{}:{}", dependency.condition, dependency.restart))
        .collect();
    let mut labels = vec![
        (PROJECT, project.name.to_string()),
        (SERVICE, name.to_string()),
        (ONE_OFF, "False".to_owned()),
        (VERSION, OUR_VERSION.to_owned()),
        (DEPENDS_ON, dependencies.join(",")),
        (WORKING_DIR, project.working_dir.to_string_lossy().into_owned()),
        (CONFIG_FILES, paths(&project.config_files)),
    ];
    if !project.environment_files.is_empty() {
        labels.push((ENVIRONMENT_FILE, paths(&project.environment_files)));
    }
    labels
}

/// Names of the services in a [`DEPENDS_ON`] label.
pub(crate) fn dependencies(label: &str) -> impl Iterator<Item = &str> {
    label.split(',').filter_map(|entry| entry.split(':').next()).filter(|name| !name.is_empty())
}
