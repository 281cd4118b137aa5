//! `run`: a container of a service for one task.

use drua_api::Client;
use drua_composefile::{Mount, PortMapping, Project, ServiceName};

use crate::apply::{Applier, inject};
use crate::error::ComposeError;
use crate::observe::observe;
use crate::observer::Observer;
use crate::plan::{self, CreateContainer, OneOff, UpOptions};
use crate::{create, files, pull, references};
use tokio_util::sync::CancellationToken;

/// What is different from the service.
#[derive(Debug, Clone, Default)]
pub struct RunOptions {
    /// The service.
    pub service: String,
    /// Replaces its command.
    pub command: Vec<String>,
    /// Replaces its entrypoint.
    pub entrypoint: Option<Vec<String>>,
    /// `NAME=value`, or a name to pass through.
    pub environment: Vec<String>,
    /// `NAME=value` labels.
    pub labels: Vec<String>,
    /// The container's name.
    pub name: Option<String>,
    /// The engine removes it when it ends.
    pub remove: bool,
    /// Publish the service's ports.
    pub service_ports: bool,
    /// Further ports.
    pub ports: Vec<PortMapping>,
    /// Further mounts, `source:target[:mode]`.
    pub volumes: Vec<Mount>,
    /// It is found by the service's names.
    pub use_aliases: bool,
    /// Who it runs as.
    pub user: Option<String>,
    /// Where it runs.
    pub working_dir: Option<String>,
    /// With a terminal.
    pub tty: bool,
    /// Stdin is kept open.
    pub interactive: bool,
    /// Leave dependencies alone.
    pub no_dependencies: bool,
    /// Build before.
    pub build: bool,
    /// Capabilities to add.
    pub cap_add: Vec<String>,
    /// Capabilities to drop.
    pub cap_drop: Vec<String>,
    /// When images are pulled; the services' own policies when absent.
    pub pull: Option<String>,
    /// Remove containers of services that are no longer in the file.
    pub remove_orphans: bool,
}

/// Starts what the service depends on and creates a container for one task. Returns its id; starting it is the caller's.
///
/// # Errors
/// As `up`.
pub async fn run_create(
    client: &Client,
    project: &Project,
    options: &RunOptions,
    observer: &dyn Observer,
    cancel: &CancellationToken,
) -> Result<String, ComposeError> {
    let no_such = || ComposeError::NoSuchService(options.service.clone());
    let (name, service) = project.services.get_key_value(options.service.as_str()).ok_or_else(no_such)?;
    let mut service = service.clone();
    adjust(&mut service, options);
    let mut project = project.clone();

    let dependencies: Vec<String> = service.depends_on.keys().map(ToString::to_string).collect();
    let dependencies: Vec<String> =
        dependencies.into_iter().filter(|name| project.services.contains_key(name.as_str())).collect();
    let mut selection = UpOptions {
        build: options.build,
        pull: options.pull.clone(),
        remove_orphans: options.remove_orphans,
        quiet_orphans: true,
        ..UpOptions::default()
    };
    if !options.no_dependencies && !dependencies.is_empty() {
        selection.services = dependencies;
        crate::up(client, &project, &selection, observer, cancel).await?;
        crate::up::wait_for(client, &project, &service, observer, cancel).await?;
    }
    selection.services = vec![name.to_string()];
    selection.no_dependencies = true;
    selection.no_containers = true;
    let images = pull::ensure(client, &project, &selection, observer).await?;
    let observed = observe(client, project.name.as_str()).await?;
    let plan = plan::up(&project, &observed, &images, &selection)?;
    let applier = Applier {
        client,
        observer,
        project: Some(&project),
        images: images.clone(),
        attach: None,
        cancel: cancel.clone(),
    };
    applier.apply(&plan).await?;

    files::check(&project, name, &service)?;
    let slug: String = slug();
    let full_name = options.name.clone().unwrap_or_else(|| format!("{}-{name}-run-{}", project.name, &slug[..12]));
    let create = CreateContainer {
        service: name.clone(),
        number: 1,
        name: full_name.clone(),
        final_name: full_name.clone(),
        replaces: None,
        inherits: Vec::new(),
        links: Vec::new(),
        one_off: Some(OneOff { slug, auto_remove: options.remove, use_aliases: options.use_aliases }),
    };
    let name: ServiceName = name.clone();
    let service = references::resolve(client, &project, &service).await?;
    project.services.insert(name.clone(), service.clone());
    let image = service.image_name(&project.name, &name);
    let body = create::container(&project, &service, &create, images.get(&image).map_or("", String::as_str));
    let created = client.container_create(Some(&full_name), service.platform.as_deref(), &body).await;
    let what = || format!("create container `{full_name}`");
    let created = created.map_err(ComposeError::request(what()))?;
    created.warnings.iter().for_each(|warning| observer.warning(warning));
    let injected = files::injected(&project, &service);
    inject(client, &created.id, &injected).await.map_err(ComposeError::request(what()))?;
    Ok(created.id)
}

fn adjust(service: &mut drua_composefile::Service, options: &RunOptions) {
    service.tty = options.tty;
    service.stdin_open = options.interactive;
    service.container_name = None;
    if !options.command.is_empty() {
        service.command = Some(options.command.clone());
    }
    if let Some(entrypoint) = &options.entrypoint {
        service.entrypoint = Some(entrypoint.clone());
        if options.command.is_empty() {
            service.command = Some(Vec::new());
        }
    }
    for variable in &options.environment {
        let (name, value) = match variable.split_once('=') {
            Some((name, value)) => (name, Some(value.to_owned())),
            None => (variable.as_str(), std::env::var(variable).ok()),
        };
        service.environment.insert(name.to_owned(), value);
    }
    for label in &options.labels {
        let (name, value) = label.split_once('=').unwrap_or((label, ""));
        service.labels.insert(name.to_owned(), value.to_owned());
    }
    if !options.service_ports {
        service.ports.clear();
    }
    service.ports.extend(options.ports.iter().cloned());
    for mount in &options.volumes {
        service.volumes.retain(|known| known.target != mount.target);
        service.volumes.push(mount.clone());
    }
    service.user = options.user.clone().or_else(|| service.user.take());
    service.working_dir = options.working_dir.clone().or_else(|| service.working_dir.take());
    service.cap_add.extend(options.cap_add.iter().cloned());
    service.cap_drop.extend(options.cap_drop.iter().cloned());
}

/// 64 hexadecimal digits that nothing else has.
fn slug() -> String {
    let seed =
        format!("{} {:?} {}", jiff::Timestamp::now().as_nanosecond(), std::thread::current().id(), std::process::id());
    crate::hash::of(&seed)
}
