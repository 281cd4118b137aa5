//! Secrets and configs: files are mounted, everything else is copied into the container before it starts.

use drua_api::models::{Mount as ApiMount, MountBindOptions, MountType};
use drua_composefile::{FileMode, FileObject, FileReference, Project, Service, ServiceName};

use crate::error::ComposeError;

/// A file to copy into a container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Injected {
    /// Absolute.
    pub(crate) path: String,
    pub(crate) content: String,
    pub(crate) mode: u32,
    pub(crate) uid: u64,
    pub(crate) gid: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Secret,
    Config,
}

impl Kind {
    fn word(self) -> &'static str {
        if self == Self::Secret { "secret" } else { "config" }
    }
}

fn all<'p>(
    project: &'p Project,
    service: &'p Service,
) -> impl Iterator<Item = (Kind, &'p FileReference, &'p FileObject)> {
    let secrets = service
        .secrets
        .iter()
        .filter_map(|reference| Some((Kind::Secret, reference, project.secrets.get(reference.source.as_deref()?)?)));
    let configs = service
        .configs
        .iter()
        .filter_map(|reference| Some((Kind::Config, reference, project.configs.get(reference.source.as_deref()?)?)));
    secrets.chain(configs)
}

fn target(kind: Kind, reference: &FileReference) -> String {
    let folder = if kind == Kind::Secret { "/run/secrets/" } else { "/" };
    let given = reference.target.as_deref().or(reference.source.as_deref()).unwrap_or_default();
    if given.starts_with('/') { given.to_owned() } else { format!("{folder}{given}") }
}

/// What keeps a service's secrets and configs from being used, if anything does.
pub(crate) fn check(project: &Project, name: &ServiceName, service: &Service) -> Result<(), ComposeError> {
    for (kind, reference, object) in all(project, service) {
        let key = reference.source.clone().unwrap_or_default();
        let refuse =
            |why: String| ComposeError::FileObject { kind: kind.word(), key: key.clone(), service: name.clone(), why };
        if object.external {
            return Err(refuse("external ones are kept by Swarm, which the engine is not".to_owned()));
        }
        if object.driver.is_some() || object.template_driver.is_some() {
            return Err(refuse("it asks for a driver, which the engine does not have".to_owned()));
        }
        if let Some(variable) = object.environment.as_ref().filter(|_| object.value.is_none()) {
            return Err(refuse(format!("the environment variable `{variable}` is not set")));
        }
        if service.read_only && object.file.is_none() {
            return Err(refuse("only one with a `file` can be given to a service that is `read_only`".to_owned()));
        }
    }
    Ok(())
}

/// Secrets and configs that are files, as mounts.
pub(crate) fn mounts(project: &Project, service: &Service) -> Vec<ApiMount> {
    let files =
        all(project, service).filter_map(|(kind, reference, object)| Some((kind, reference, object.file.as_ref()?)));
    files
        .map(|(kind, reference, file)| ApiMount {
            target: Some(target(kind, reference)),
            source: Some(file.clone()),
            typ: Some(MountType::BIND),
            read_only: Some(true),
            bind_options: (kind == Kind::Secret).then(MountBindOptions::default),
            ..ApiMount::default()
        })
        .collect()
}

/// Secrets and configs that are not files.
pub(crate) fn injected(project: &Project, service: &Service) -> Vec<Injected> {
    let number = |text: &Option<String>| text.as_deref().and_then(|text| text.parse().ok()).unwrap_or_default();
    let contents = all(project, service).filter_map(|(kind, reference, object)| {
        Some((kind, reference, object.content.as_ref().or(object.value.as_ref())?))
    });
    contents
        .filter(|(_, _, content)| !content.is_empty())
        .map(|(kind, reference, content)| Injected {
            path: target(kind, reference),
            content: content.clone(),
            mode: reference.mode.map_or(0o444, |FileMode(mode)| mode),
            uid: number(&reference.uid),
            gid: number(&reference.gid),
        })
        .collect()
}
