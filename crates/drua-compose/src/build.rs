//! Building images through the API: contexts become archives, equal builds run once.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use drua_api::Client;
use drua_api::client::{BuildOptions as ApiOptions, RequestBody};
use drua_composefile::{Build, Project, Service, ServiceName, is_remote};
use drua_dockerfile::{Ignore, read_ignore_file};
use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;

use crate::archive::{self, Entry, Owner};
use crate::error::ComposeError;
use crate::observer::{Observer, Resource, ResourceKind, Status};

/// The largest number of files of a context.
const MAX_FILES: usize = 2_000_000;
/// The name of a Dockerfile that is not in the context.
const OUTSIDE: &str = ".drua.dockerfile";

/// How to build.
#[derive(Debug, Clone, Default)]
pub struct BuildOptions {
    /// Only these services; all that are built when empty.
    pub services: Vec<String>,
    /// Run every step.
    pub no_cache: bool,
    /// Pull base images even where they are there.
    pub pull: bool,
    /// Further build arguments, which win.
    pub args: BTreeMap<String, Option<String>>,
}

/// Builds the images of services, services with the same build together.
///
/// # Errors
/// [`ComposeError::Build`] with what failed.
pub async fn build(
    client: &Client,
    project: &Project,
    options: &BuildOptions,
    observer: &dyn Observer,
) -> Result<(), ComposeError> {
    if let Some(unknown) = options.services.iter().find(|name| !project.services.contains_key(name.as_str())) {
        return Err(ComposeError::NoSuchService(unknown.clone()));
    }
    let mut builds: Vec<(&ServiceName, &Service, &Build, Vec<String>)> = Vec::new();
    for (name, service) in &project.services {
        let wanted = options.services.is_empty() || options.services.iter().any(|wanted| wanted == name.as_str());
        let Some(build) = service.build.as_ref().filter(|_| wanted) else { continue };
        let image = service.image_name(&project.name, name);
        match builds.iter_mut().find(|(_, other, same, _)| *same == build && other.platform == service.platform) {
            Some((.., names)) => names.push(image),
            None => builds.push((name, service, build, vec![image])),
        }
    }
    let mut under_way: FuturesUnordered<_> = builds
        .into_iter()
        .map(|(name, service, build, mut images)| async move {
            images.dedup();
            let resource = Resource { kind: ResourceKind::Image, name: images[0].clone() };
            observer.status(&resource, Status::Building);
            let built = one(client, project, service, build, images, options, observer).await;
            observer.status(&resource, if built.is_ok() { Status::Built } else { Status::Failed });
            built.map_err(|why| ComposeError::Build { service: name.clone(), why })
        })
        .collect();
    let mut errors = Vec::new();
    while let Some(built) = under_way.next().await {
        errors.extend(built.err());
    }
    ComposeError::of(errors)
}

async fn one(
    client: &Client,
    project: &Project,
    service: &Service,
    build: &Build,
    images: Vec<String>,
    options: &BuildOptions,
    observer: &dyn Observer,
) -> Result<(), String> {
    if !build.additional_contexts.is_empty() || !build.secrets.is_empty() || !build.ssh.is_empty() {
        return Err(
            "`additional_contexts`, `secrets` and `ssh` need BuildKit's protocol, which the API's plain build has not"
                .to_owned(),
        );
    }
    let context = build.context.clone().unwrap_or_else(|| project.working_dir.to_string_lossy().into_owned());
    let mut tags = images.clone();
    tags.extend(build.tags.iter().cloned());
    let mut args = build.args.clone();
    args.extend(options.args.clone());
    let platform = service.platform.clone().or_else(|| build.platforms.first().cloned());
    let mut request = ApiOptions {
        tags,
        dockerfile: build.dockerfile.clone(),
        remote: None,
        args,
        labels: build.labels.clone(),
        target: build.target.clone(),
        platform,
        network: build.network.clone(),
        extra_hosts: build.extra_hosts.iter().map(|(host, address)| format!("{host}:{address}")).collect(),
        cache_from: build.cache_from.iter().filter(|from| !from.contains('=')).cloned().collect(),
        shm_size: build.shm_size.map(|size| size.0),
        no_cache: build.no_cache || options.no_cache,
        pull: build.pull || options.pull,
    };
    let body = if is_remote(&context) {
        request.remote = Some(context);
        RequestBody::empty()
    } else {
        let folder = PathBuf::from(&context);
        let dockerfile = build.dockerfile.clone().unwrap_or_else(|| "Dockerfile".to_owned());
        let (name, text) = outside_dockerfile(&folder, &dockerfile, build.dockerfile_inline.as_deref())?;
        request.dockerfile = Some(name);
        let entries = {
            let (folder, dockerfile) = (folder.clone(), dockerfile.clone());
            let listed = tokio::task::spawn_blocking(move || list_context(&folder, &dockerfile)).await;
            listed.map_err(|error| error.to_string())??
        };
        archive::stream(entries, Owner::Root, text.into_iter().collect())
    };
    let mut progress =
        client.image_build_context(body, &request).await.map_err(|error| drua_types::error_chain(&error))?;
    while let Some(line) = progress.next().await {
        let line = line.map_err(|error| drua_types::error_chain(&error))?;
        if let Some(error) = line.error {
            return Err(error);
        }
        for text in [line.stream, line.status].into_iter().flatten() {
            for text in text.lines().filter(|text| !text.trim().is_empty()) {
                observer.build_output(&images[0], text);
            }
        }
    }
    Ok(())
}

/// The name of the Dockerfile within the archive, and its text where it is not in the context.
type NamedText = (String, Option<(String, Vec<u8>)>);

fn outside_dockerfile(folder: &Path, dockerfile: &str, inline: Option<&str>) -> Result<NamedText, String> {
    if let Some(text) = inline {
        return Ok((OUTSIDE.to_owned(), Some((OUTSIDE.to_owned(), text.as_bytes().to_vec()))));
    }
    let path = drua_composefile::clean_path(&folder.join(dockerfile));
    if let Ok(inside) = path.strip_prefix(folder) {
        return Ok((inside.to_string_lossy().into_owned(), None));
    }
    let text = fs_err::read(&path).map_err(|error| error.to_string())?;
    Ok((OUTSIDE.to_owned(), Some((OUTSIDE.to_owned(), text))))
}

/// The ignore patterns of a context: those of the Dockerfile's own file, else `.dockerignore`.
pub(crate) fn ignore_of(folder: &Path, dockerfile: &str) -> Result<Ignore, String> {
    let own = folder.join(format!("{dockerfile}.dockerignore"));
    let shared = folder.join(".dockerignore");
    let text = [own, shared].iter().find_map(|path| std::fs::read_to_string(path).ok()).unwrap_or_default();
    Ignore::new(&read_ignore_file(&text)).map_err(|error| error.to_string())
}

/// Everything of a context that is not ignored, folders before what is in them.
fn list_context(folder: &Path, dockerfile: &str) -> Result<Vec<Entry>, String> {
    let ignore = ignore_of(folder, dockerfile)?;
    // Docker sends these two in any case: the build needs them.
    let kept = |name: &str| name == dockerfile || name == ".dockerignore";
    let mut entries = Vec::new();
    let mut open = vec![PathBuf::new()];
    while let Some(below) = open.pop() {
        let listed = fs_err::read_dir(folder.join(&below)).map_err(|error| error.to_string())?;
        for item in listed {
            let item = item.map_err(|error| error.to_string())?;
            let name = below.join(item.file_name());
            let text = name.to_string_lossy().into_owned();
            let is_dir = item.file_type().is_ok_and(|kind| kind.is_dir());
            let ignored = ignore.matches(&text) && !kept(&text);
            if is_dir && (!ignored || ignore.may_take_back_below(&text)) {
                open.push(name.clone());
            }
            if !ignored {
                entries.push(Entry { source: item.path(), name });
            }
            if entries.len() > MAX_FILES {
                return Err(format!("`{}` has more than {MAX_FILES} files", folder.display()));
            }
        }
    }
    entries.sort_by(|left, right| left.name.cmp(&right.name));
    Ok(entries)
}
