//! Registries, where they touch the engine: what went wrong in Docker's words, logins, searches, looks at manifests.

use drua_registry::{Credentials, Document, Login, Manifest, RegistryError, Repository, SearchResults};
use drua_types::{Classify as _, ErrorKind, Hint as _, ImageRef, Platform};
use tokio::sync::mpsc;

use crate::engine::Engine;
use crate::{Error, Result};

/// What a registry has under a name.
#[derive(Debug, Clone)]
pub struct Distribution {
    /// Media type, digest and size of the manifest or index.
    pub descriptor: drua_registry::Descriptor,
    /// What it is for.
    pub platforms: Vec<Platform>,
}

/// The way back to the client of a long operation. A client that does not keep up misses amounts, but no steps.
#[derive(Debug, Clone)]
pub(crate) struct Progress<T>(mpsc::Sender<T>);

impl<T> Progress<T> {
    pub(crate) fn new(sender: mpsc::Sender<T>) -> Self {
        Self(sender)
    }

    /// A step. Nobody listening is no error.
    pub(crate) async fn step(&self, event: T) {
        let _ = self.0.send(event).await;
    }

    /// An amount; the next one will do as well.
    pub(crate) fn amount(&self, event: T) {
        let _ = self.0.try_send(event);
    }
}

impl Engine {
    /// Tries credentials on a registry: `docker login`.
    ///
    /// # Errors
    /// [`Error::Registry`]; see [`Error::is_unauthorized`].
    pub async fn login(&self, server: &str, credentials: Credentials) -> Result<Login> {
        let result = self.shared.registries().login(server, credentials).await;
        result.map_err(|source| registry_error(format!("cannot log in to `{server}`"), source))
    }

    /// Searches a registry for repositories; the term may begin with the registry: `localhost:5000/redis`.
    ///
    /// # Errors
    /// [`Error::Registry`].
    pub async fn search_images(&self, term: &str, limit: usize, credentials: Credentials) -> Result<SearchResults> {
        let (domain, words) = match term.split_once('/') {
            Some((domain, rest)) if domain.contains(['.', ':']) || domain == "localhost" => (Some(domain), rest),
            _ => (None, term),
        };
        let domain = domain.filter(|domain| !matches!(*domain, "docker.io" | "index.docker.io"));
        let result = self.shared.registries().search(domain, words, limit, credentials).await;
        result.map_err(|source| {
            let server = domain.unwrap_or("docker.io");
            let mut error = registry_error(format!("cannot search the registry `{server}`"), source);
            if let Error::Registry { message, source, .. } = &mut error
                && matches!(**source, RegistryError::NotFound { .. })
            {
                message.push_str(": it offers neither a search nor a catalog");
            }
            error
        })
    }

    /// Looks at what a registry has under a name, without pulling it.
    ///
    /// # Errors
    /// [`Error::Registry`].
    pub async fn inspect_distribution(&self, image: &ImageRef, credentials: Credentials) -> Result<Distribution> {
        let access = drua_registry::Access::Pull;
        let repository = self.shared.registries().repository(image, credentials, access);
        let repository = repository.map_err(|error| Error::Invalid(error.to_string()))?;
        let failed = |source| pull_error(image, source);
        let document = repository.manifest(&reference_in_repository(image)).await.map_err(failed)?;
        let platforms = platforms(&repository, &document).await.map_err(failed)?;
        Ok(Distribution { descriptor: document.descriptor, platforms })
    }
}

async fn platforms(repository: &Repository, document: &Document) -> Result<Vec<Platform>, RegistryError> {
    /// A platform in a configuration.
    const MAX_CONFIG_BYTES: u64 = 8 << 20;
    match &document.manifest {
        Manifest::Index { manifests } => {
            Ok(manifests.iter().filter_map(|one| Some(one.platform.as_ref()?.platform())).collect())
        }
        Manifest::Image { config, .. } if config.size <= MAX_CONFIG_BYTES => {
            let bytes = repository.read_blob(&config.digest, config.size).await?;
            let fields: Option<drua_registry::PlatformFields> = serde_json::from_slice(&bytes).ok();
            // An artifact's configuration has no platform, and need not be JSON.
            Ok(fields.filter(|fields| !fields.os.is_empty()).map(|fields| fields.platform()).into_iter().collect())
        }
        Manifest::Image { .. } => Ok(Vec::new()),
    }
}

/// The digest or the tag, as the registry's API takes it.
pub(crate) fn reference_in_repository(image: &ImageRef) -> String {
    match (image.digest(), image.tag()) {
        (Some(digest), _) => digest.to_string(),
        (None, tag) => tag.unwrap_or("latest").to_owned(),
    }
}

/// A failure with what was attempted, and with what to do about it: the API has no other place for that.
pub(crate) fn registry_error(message: String, source: RegistryError) -> Error {
    let hint = match &source {
        RegistryError::Connect { untrusted: true, .. } | RegistryError::RateLimited { .. } => source.hints().pop(),
        _ => None,
    };
    let message = hint.map_or(message.clone(), |hint| format!("{message} ({hint})"));
    Error::Registry { message, kind: source.kind(), source: Box::new(source) }
}

/// A failed pull in Docker's words, which clients match: docker-py tells a missing image by them, and `docker run` by 404.
pub(crate) fn pull_error(image: &ImageRef, source: RegistryError) -> Error {
    let repository = image.familiar_repository();
    let message = match &source {
        RegistryError::Unauthorized { .. }
        | RegistryError::Denied { .. }
        | RegistryError::NotFound { repository: true, .. } => {
            format!("pull access denied for {repository}, repository does not exist or may require 'docker login'")
        }
        RegistryError::NotFound { repository: false, .. } => format!("manifest for {} not found", image.familiar()),
        _ => return registry_error(format!("cannot pull `{}`", image.familiar()), source),
    };
    Error::Registry { message, kind: ErrorKind::NotFound, source: Box::new(source) }
}
