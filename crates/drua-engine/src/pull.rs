//! Pulls: from a name to an image in the store.
//!
//! ```text
//!  resolve ── which manifest? a mirror may answer; the same as before → up to date, nothing is fetched
//!     │ documents: index → manifest → configuration           `Receiving::select` says which
//!     ▼
//!  layers  ── some at a time, lowest first; each is downloaded, verified and unpacked at once (`pull_layers`)
//!     ▼
//!  commit  ── one transaction; until then nobody sees anything of it
//! ```
//!
//! A pull that is dropped or fails keeps what it has downloaded, and the next one goes on from there.

use std::sync::Arc;

use drua_registry::{Credentials, Document, RegistryError, Repository};
use drua_store::{Blob, NewImage, Plan, Receiving, Selection};
use drua_types::{Digest, ImageRef, Platform};
use tokio::sync::mpsc;

use crate::engine::Engine;
use crate::pull_layers::{Layers, Session};
use crate::registry::{Progress, pull_error, reference_in_repository};
use crate::{Error, Result, blocking};

/// More tags than these are not pulled at once.
const MAX_TAGS: usize = 10_000;

/// What to pull.
#[derive(Debug, Clone)]
pub struct PullImage {
    /// The image; with a digest, that counts and not the tag.
    pub image: ImageRef,
    /// All tags of its repository instead.
    pub all_tags: bool,
    /// For this platform; `None` for this machine's, or else WebAssembly.
    pub platform: Option<Platform>,
    /// Who asks.
    pub credentials: Credentials,
}

/// Progress of a pull.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PullEvent {
    /// The image has been found.
    From {
        /// Its repository within the registry.
        repository: String,
        /// Tag or digest.
        reference: String,
    },
    /// Something about a layer.
    Layer {
        /// The first digits of its blob's digest.
        id: String,
        /// What.
        step: LayerStep,
    },
    /// The digest of the image, at the end.
    Digest(Digest),
    /// The end.
    Done {
        /// What was pulled, as people write it.
        image: String,
        /// Whether it was here already.
        up_to_date: bool,
    },
}

/// What happens to a layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LayerStep {
    /// It will be pulled.
    Planned,
    /// It waits for others.
    Waiting,
    /// It comes.
    Downloading {
        /// Bytes here.
        current: u64,
        /// Bytes of its blob.
        total: u64,
    },
    /// Its digest is compared.
    Verifying,
    /// All of it is here, verified.
    Downloaded,
    /// It is unpacked.
    Extracting {
        /// Bytes of its blob done.
        current: u64,
        /// Bytes of its blob.
        total: u64,
    },
    /// Done.
    Complete,
    /// It was here.
    Exists,
}

pub(crate) type PullProgress = Progress<PullEvent>;

impl Engine {
    /// Pulls an image. Dropping the future cancels it; what has been downloaded is kept for the next time.
    ///
    /// # Errors
    /// [`Error::Registry`] in Docker's words, before the first event when there is no such image; [`Error::Image`] when
    /// what comes is no good or the disk fails.
    pub async fn pull(&self, request: PullImage, events: mpsc::Sender<PullEvent>) -> Result<()> {
        let progress = Progress::new(events);
        let sources = self.shared.registries().sources(&request.image, request.credentials.clone());
        let sources = sources.map_err(|error| Error::Invalid(error.to_string()))?;
        if !request.all_tags {
            return self.pull_one(&sources, &request.image, request.platform.as_ref(), &progress).await;
        }
        let origin = sources.last().ok_or_else(|| Error::Invalid("no registry".to_owned()))?;
        let mut tags = origin.tags().await.map_err(|error| pull_error(&request.image, error))?;
        // Lists of referrers, where a registry cannot keep them otherwise, are no images.
        tags.retain(|tag| !tag.strip_prefix("sha256-").is_some_and(|hex| hex.len() == 64));
        tags.truncate(MAX_TAGS);
        for tag in tags {
            let image = format!("{}/{}:{tag}", request.image.domain(), request.image.path());
            let image: ImageRef =
                image.parse().map_err(|error: drua_types::InvalidImageRef| Error::Invalid(error.to_string()))?;
            self.pull_one(&sources, &image, request.platform.as_ref(), &progress).await?;
        }
        Ok(())
    }

    async fn pull_one(
        &self,
        sources: &[Repository],
        image: &ImageRef,
        platform: Option<&Platform>,
        progress: &PullProgress,
    ) -> Result<()> {
        let (source, top) = self.find(sources, image).await?;
        let repository = image.path().to_owned();
        progress.step(PullEvent::From { repository, reference: reference_in_repository(image) }).await;
        let name = recorded_name(image)?;
        let id = top.descriptor.digest.clone();
        let up_to_date = self.was_pushed_as(&name, image, &id, platform).await?
            || !self.bring(&source, top, &name, image, platform, progress).await?;
        if !up_to_date {
            self.precompile(vec![id.clone()]);
        }
        progress.step(PullEvent::Digest(id.clone())).await;
        progress.step(PullEvent::Done { image: image.familiar(), up_to_date }).await;
        self.image_event("pull", &id, Some(&image.familiar()));
        Ok(())
    }

    /// Whether the image that has this name is what was pushed as this document: the same layers, which have been compressed.
    async fn was_pushed_as(
        &self,
        name: &ImageRef,
        image: &ImageRef,
        document: &Digest,
        platform: Option<&Platform>,
    ) -> Result<bool> {
        let pushed = format!("{}/{}@{document}", image.domain(), image.path());
        let (shared, name, platform) = (Arc::clone(&self.shared), name.to_string(), platform.cloned());
        blocking::run(move || {
            let id = |name: &str| shared.store.get(name, platform.as_ref()).ok().map(|image| image.id);
            let here = id(&name);
            Ok(here.is_some() && here == id(&pushed))
        })
        .await
    }

    /// The first source that has the image, and its top-level document.
    async fn find(&self, sources: &[Repository], image: &ImageRef) -> Result<(Repository, Document)> {
        let mut failure = None;
        for source in sources {
            match self.top(source, &reference_in_repository(image)).await {
                Ok(document) => return Ok((source.clone(), document)),
                Err(error) => {
                    if source.is_mirror() {
                        tracing::warn!(error = drua_types::error_chain(&error), %image, "a mirror does not have it");
                    }
                    failure = Some(error);
                }
            }
        }
        let failure = failure.unwrap_or(RegistryError::Unsupported { reason: "no registry to ask".to_owned() });
        Err(pull_error(image, failure))
    }

    /// The document that a tag or digest stands for; from the store, where it is there already.
    async fn top(&self, source: &Repository, reference: &str) -> Result<Document, RegistryError> {
        let resolved = match source.resolve(reference).await {
            // An answer to HEAD has no words; the one to GET has.
            Err(error) if error.is_answer() => None,
            other => other?,
        };
        if let Some(digest) = resolved {
            let shared = Arc::clone(&self.shared);
            let known = blocking::run(move || Ok(shared.store.document(&digest).ok())).await.ok().flatten();
            if let Some(bytes) = known {
                return Document::parse(reference, None, bytes.into());
            }
        }
        source.manifest(reference).await
    }

    /// Brings everything of an image that is not here; `false` when that was nothing.
    async fn bring(
        &self,
        source: &Repository,
        top: Document,
        name: &ImageRef,
        image: &ImageRef,
        platform: Option<&Platform>,
        progress: &PullProgress,
    ) -> Result<bool> {
        let shared = Arc::clone(&self.shared);
        let receiving = blocking::run(move || shared.store.receive().map_err(Error::image("begin a pull"))).await?;
        let session = Arc::new(Session(Arc::new(receiving)));
        let receiving = &session.0;
        let blob = Blob {
            media_type: top.descriptor.media_type.clone(),
            digest: top.descriptor.digest.clone(),
            size: top.descriptor.size,
        };
        let (documents, digest) = (Arc::clone(receiving), blob.digest.clone());
        let bytes = top.bytes;
        blocking::run(move || documents.add_document(&digest, &bytes).map_err(Error::image("keep a manifest"))).await?;
        let plan = plan(source, receiving, &blob, image, platform).await?;
        check(&plan, image, platform)?;
        let layers = Layers::new(Arc::clone(&self.shared), Arc::clone(&session), source.clone(), progress.clone());
        let fetched = layers.bring_all(&plan, image).await?;
        let (shared, receiving, name) = (Arc::clone(&self.shared), Arc::clone(receiving), name.clone());
        blocking::run(move || {
            let before = shared.store.get(&name.to_string(), Some(&plan.platform)).ok();
            let known = before.is_some_and(|before| before.id == blob.digest);
            if known && !fetched {
                return Ok(false);
            }
            let new = NewImage { top: blob, names: vec![name], platform: Some(plan.platform.clone()) };
            shared.store.commit(&receiving, &[new]).map_err(Error::image("complete the pull"))?;
            Ok(true)
        })
        .await
    }
}

/// Fetches documents until it is clear what the image is.
async fn plan(
    source: &Repository,
    receiving: &Arc<Receiving>,
    top: &Blob,
    image: &ImageRef,
    platform: Option<&Platform>,
) -> Result<Plan> {
    loop {
        let (session, top, platform) = (Arc::clone(receiving), top.clone(), platform.cloned());
        let selected = blocking::run(move || {
            session.select(&top, platform.as_ref()).map_err(Error::image("understand the image's manifest"))
        });
        let wanted = match selected.await? {
            Selection::Image(plan) => return Ok(*plan),
            Selection::Fetch(wanted) => wanted,
        };
        for blob in wanted {
            let bytes = match drua_registry::media::is_index(&blob.media_type)
                || drua_registry::media::is_manifest(&blob.media_type)
            {
                true => source.manifest(blob.digest.as_str()).await.map(|document| document.bytes),
                false => source.read_blob(&blob.digest, blob.size).await,
            };
            let bytes = bytes.map_err(|error| pull_error(image, error))?;
            let session = Arc::clone(receiving);
            let add = move || session.add_document(&blob.digest, &bytes).map_err(Error::image("keep a document"));
            blocking::run(add).await?;
        }
    }
}

/// What cannot be pulled, or would not be what was meant.
fn check(plan: &Plan, image: &ImageRef, platform: Option<&Platform>) -> Result<()> {
    if let Some(layer) = plan.layers.iter().find(|layer| drua_registry::media::is_foreign(&layer.media_type)) {
        return Err(Error::Unsupported(format!(
            "cannot pull `{}`: its layer {} may not be kept in registries (`{}`) and has to be fetched from elsewhere, which",
            image.familiar(),
            layer.digest.short(),
            layer.media_type
        )));
    }
    // An index that has nothing for this machine; a single manifest for another one is what was asked for.
    if platform.is_none() && !plan.runs_here && plan.documents.len() > 1 {
        let message = format!(
            "no matching manifest for {} in the manifest list entries; name another platform with `--platform {}`",
            Platform::host(),
            plan.platform
        );
        return Err(Error::NotFound(message));
    }
    Ok(())
}

/// The name that the image gets: with a digest, the tag does not count.
fn recorded_name(image: &ImageRef) -> Result<ImageRef> {
    match image.digest() {
        None => Ok(image.clone()),
        Some(digest) => format!("{}/{}@{digest}", image.domain(), image.path())
            .parse()
            .map_err(|error: drua_types::InvalidImageRef| Error::Invalid(error.to_string())),
    }
}
