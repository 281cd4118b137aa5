//! Images of services: looked up, pulled or built, each once.

use std::collections::BTreeMap;

use drua_api::Client;
use drua_composefile::{Project, Service, ServiceName};
use drua_types::ImageRef;
use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;

use crate::build::{self, BuildOptions};
use crate::error::{ComposeError, PullError};
use crate::observer::{Observer, Resource, ResourceKind, Status};
use crate::plan::{self, UpOptions};

/// What is done about an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wish {
    Use,
    Pull,
    Build,
    Refuse,
}

/// Ids of the images of these services, by name; what is missing is pulled or built, as policies and options say.
pub(crate) async fn ensure(
    client: &Client,
    project: &Project,
    options: &UpOptions,
    observer: &dyn Observer,
) -> Result<BTreeMap<String, String>, ComposeError> {
    let mut wanted: BTreeMap<String, &ServiceName> = BTreeMap::new();
    for name in plan::selected(project, options) {
        let service = &project.services[name];
        if service.provider.is_none() {
            wanted.entry(service.image_name(&project.name, name)).or_insert(name);
        }
    }
    let mut looked_up: FuturesUnordered<_> = wanted
        .into_iter()
        .map(|(image, name)| async move {
            let inspected = match client.image_inspect(&image).await {
                Ok(inspected) => Ok(Some(inspected)),
                Err(error) if error.is_not_found() => Ok(None),
                Err(error) => Err(ComposeError::request(format!("inspect image `{image}`"))(error)),
            };
            (image, name, inspected)
        })
        .collect();
    let mut ids = BTreeMap::new();
    let (mut to_pull, mut to_build) = (Vec::new(), Vec::new());
    while let Some((image, name, inspected)) = looked_up.next().await {
        let inspected = inspected?;
        let last_pull = inspected.as_ref().and_then(|image| image.metadata.as_ref()?.last_tag_time.clone());
        match wish(&project.services[name], options, inspected.is_some(), last_pull.as_deref()) {
            Wish::Use => {
                ids.insert(image, inspected.and_then(|inspected| inspected.id).unwrap_or_default());
            }
            Wish::Pull => to_pull.push((image, name)),
            Wish::Build => to_build.push(name.clone()),
            Wish::Refuse => return Err(ComposeError::ImageMissing { service: name.clone(), image, source: None }),
        }
    }
    let mut pulls: FuturesUnordered<_> = to_pull
        .into_iter()
        .map(|(image, name)| async move {
            let pulled = pull_one(client, &image, project.services[name].platform.as_deref(), observer).await;
            (image, name, pulled)
        })
        .collect();
    let mut errors = Vec::new();
    while let Some((image, name, pulled)) = pulls.next().await {
        match pulled {
            Ok(()) => {
                let id = image_id(client, &image).await?;
                ids.insert(image, id);
            }
            Err(_) if project.services[name].build.is_some() && !options.no_build => to_build.push(name.clone()),
            Err(source) => {
                errors.push(ComposeError::ImageMissing { service: name.clone(), image, source: Some(source) });
            }
        }
    }
    ComposeError::of(errors)?;
    if !to_build.is_empty() {
        let build_options =
            BuildOptions { services: to_build.iter().map(ToString::to_string).collect(), ..BuildOptions::default() };
        build::build(client, project, &build_options, observer).await?;
        for name in to_build {
            let image = project.services[&name].image_name(&project.name, &name);
            let id = image_id(client, &image).await?;
            ids.insert(image, id);
        }
    }
    Ok(ids)
}

fn wish(service: &Service, options: &UpOptions, is_there: bool, last_pull: Option<&str>) -> Wish {
    let policy = options.pull.as_deref().or(service.pull_policy.as_deref());
    let builds = service.build.is_some() && !options.no_build;
    if builds && (options.build || policy == Some("build")) {
        return Wish::Build;
    }
    match policy {
        Some("never") if is_there => Wish::Use,
        Some("never") if builds => Wish::Build,
        Some("never") => Wish::Refuse,
        // What is built here is in no registry, unless the file names it.
        Some("always") if service.image.is_some() => Wish::Pull,
        Some(policy) if is_there && service.image.is_some() && is_due(policy, last_pull) => Wish::Pull,
        _ if is_there => Wish::Use,
        Some("missing" | "always") if service.image.is_some() => Wish::Pull,
        _ if builds => Wish::Build,
        _ if service.image.is_some() => Wish::Pull,
        _ => Wish::Refuse,
    }
}

/// Whether an image is older than its policy (`daily`, `weekly`, `every_12h`) allows.
fn is_due(policy: &str, last_pull: Option<&str>) -> bool {
    let hours = |hours: u64| std::time::Duration::from_secs(hours * 3600);
    let age = match policy {
        "daily" | "refresh" => hours(24),
        "weekly" => hours(24 * 7),
        _ => match policy.strip_prefix("every_").and_then(drua_composefile::parse_duration) {
            Some(duration) => duration.0,
            None => return false,
        },
    };
    let Some(last) = last_pull.and_then(|text| text.parse::<jiff::Timestamp>().ok()) else { return true };
    let since = jiff::Timestamp::now().duration_since(last);
    std::time::Duration::try_from(since).is_ok_and(|since| since > age)
}

async fn image_id(client: &Client, image: &str) -> Result<String, ComposeError> {
    let inspected = client.image_inspect(image).await;
    Ok(inspected.map_err(ComposeError::request(format!("inspect image `{image}`")))?.id.unwrap_or_default())
}

async fn pull_one(
    client: &Client,
    image: &str,
    platform: Option<&str>,
    observer: &dyn Observer,
) -> Result<(), PullError> {
    let resource = Resource { kind: ResourceKind::Image, name: image.to_owned() };
    observer.status(&resource, Status::Pulling);
    let pulled = request(client, image, platform).await;
    observer.status(&resource, if pulled.is_ok() { Status::Pulled } else { Status::Failed });
    pulled
}

async fn request(client: &Client, image: &str, platform: Option<&str>) -> Result<(), PullError> {
    let (repository, tag) = repository_and_tag(image)?;
    let mut progress = client.image_pull(&repository, Some(&tag), platform).await.map_err(PullError::Request)?;
    while let Some(line) = progress.next().await {
        if let Some(error) = line.map_err(PullError::Request)?.error {
            return Err(PullError::Reported(error));
        }
    }
    Ok(())
}

fn repository_and_tag(image: &str) -> Result<(String, String), PullError> {
    let reference: ImageRef = image.parse().map_err(|error| PullError::Reported(format!("{error}")))?;
    let tag = match (reference.digest(), reference.tag()) {
        (Some(digest), _) => digest.to_string(),
        (None, tag) => tag.unwrap_or("latest").to_owned(),
    };
    Ok((reference.familiar_repository(), tag))
}

/// How to pull.
#[derive(Debug, Clone, Default)]
pub struct PullOptions {
    /// Only these services; all when empty.
    pub services: Vec<String>,
    /// What they depend on too.
    pub include_dependencies: bool,
    /// Leave out services that are built.
    pub ignore_buildable: bool,
    /// What cannot be pulled is a warning.
    pub ignore_failures: bool,
    /// Only what is not there: `missing`.
    pub only_missing: bool,
}

/// Pulls the images of services.
///
/// # Errors
/// [`ComposeError::ImageMissing`] for what cannot be pulled.
pub async fn pull(
    client: &Client,
    project: &Project,
    options: &PullOptions,
    observer: &dyn Observer,
) -> Result<(), ComposeError> {
    let selection = UpOptions {
        services: options.services.clone(),
        no_dependencies: !options.include_dependencies,
        ..UpOptions::default()
    };
    let mut wanted: BTreeMap<&str, &ServiceName> = BTreeMap::new();
    for name in plan::selected(project, &selection) {
        let service = &project.services[name];
        let skipped = (options.ignore_buildable && service.build.is_some()) || service.provider.is_some();
        if let Some(image) = service.image.as_deref().filter(|_| !skipped) {
            wanted.entry(image).or_insert(name);
        }
    }
    let mut under_way: FuturesUnordered<_> = wanted
        .into_iter()
        .map(|(image, name)| async move {
            let service = &project.services[name];
            if options.only_missing && client.image_inspect(image).await.is_ok() {
                return Ok(());
            }
            match pull_one(client, image, service.platform.as_deref(), observer).await {
                Err(source) if options.ignore_failures || service.build.is_some() => {
                    observer.warning(&format!("{image}: {}", drua_types::error_chain(&source)));
                    Ok(())
                }
                pulled => pulled.map_err(|source| ComposeError::ImageMissing {
                    service: name.clone(),
                    image: image.to_owned(),
                    source: Some(source),
                }),
            }
        })
        .collect();
    let mut errors = Vec::new();
    while let Some(pulled) = under_way.next().await {
        errors.extend(pulled.err());
    }
    ComposeError::of(errors)
}

/// Sends the images of services that are built to their registries, with what the client knows of those.
///
/// # Errors
/// [`ComposeError::Request`], or what the registry said.
pub async fn push(
    client: &Client,
    project: &Project,
    services: &[String],
    ignore_failures: bool,
    observer: &dyn Observer,
) -> Result<(), ComposeError> {
    let selection = UpOptions { services: services.to_vec(), no_dependencies: true, ..UpOptions::default() };
    let mut errors = Vec::new();
    for name in plan::selected(project, &selection) {
        let service = &project.services[name];
        let Some(image) = service.image.as_deref().filter(|_| service.build.is_some()) else { continue };
        let pushed = async {
            let (repository, tag) = repository_and_tag(image)?;
            let mut progress = client.image_push(&repository, Some(&tag), None).await.map_err(PullError::Request)?;
            while let Some(line) = progress.next().await {
                if let Some(error) = line.map_err(PullError::Request)?.error {
                    return Err(PullError::Reported(error));
                }
            }
            Ok(())
        };
        let resource = Resource { kind: ResourceKind::Image, name: image.to_owned() };
        observer.status(&resource, Status::Pushing);
        match pushed.await {
            Ok(()) => observer.status(&resource, Status::Pushed),
            Err(error) => {
                observer.status(&resource, Status::Failed);
                let why = drua_types::error_chain(&error);
                if ignore_failures {
                    observer.warning(&format!("cannot push `{image}`: {why}"));
                } else {
                    errors.push(ComposeError::Push { image: image.to_owned(), why });
                }
            }
        }
    }
    ComposeError::of(errors)
}
