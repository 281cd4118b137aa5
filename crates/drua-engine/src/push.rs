//! Pushes: an image of the store into a registry. Blobs first, some side by side; then documents, the top one last, so that
//! a registry never names what it has not.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use drua_registry::{Access, ByteStream, Credentials, Repository, Upload, UploadSource};
use drua_store::{Blob, Contents, Packed};
use drua_types::{Digest, ImageRef, Platform};
use futures_util::StreamExt as _;
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinSet;

use crate::engine::Engine;
use crate::registry::{Progress, registry_error};
use crate::{Error, Result, blocking};

/// Blobs on their way at a time, as in Docker.
const AT_ONCE: usize = 5;
/// Bytes read from the disk at a time.
const PIECE_BYTES: usize = 256 << 10;
/// Repositories that are offered as sources of a blob.
const MAX_NEIGHBORS: usize = 3;
/// Layers that are compressed at a time: each keeps a core busy.
const PACK_AT_ONCE: usize = 4;
/// How often amounts are told.
const TELL: Duration = Duration::from_millis(100);

/// What to push.
#[derive(Debug, Clone)]
pub struct PushImage {
    /// The image; its name says where to.
    pub image: ImageRef,
    /// All names that the store has in its repository instead.
    pub all_tags: bool,
    /// This platform's manifest alone.
    pub platform: Option<Platform>,
    /// Who asks.
    pub credentials: Credentials,
}

/// Progress of a push.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PushEvent {
    /// Where to.
    To {
        /// Registry and repository.
        repository: String,
    },
    /// Something about a blob.
    Blob {
        /// The first digits of its digest.
        id: String,
        /// What.
        step: BlobStep,
    },
    /// Not the whole image is here, so only the manifest of the platform that is was pushed.
    Partial {
        /// The index that stayed here.
        index: Blob,
        /// The manifest that went.
        manifest: Blob,
    },
    /// A tag is there.
    Done {
        /// The tag.
        tag: String,
        /// The digest that it stands for now.
        digest: Digest,
        /// Length in bytes of that document.
        size: u64,
    },
}

/// What happens to a blob.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BlobStep {
    /// It will be looked at.
    Preparing,
    /// It is compressed, since registries get no plain tars.
    Compressing {
        /// Bytes done.
        current: u64,
        /// Bytes of the plain layer.
        total: u64,
    },
    /// It goes.
    Pushing {
        /// Bytes gone.
        current: u64,
        /// Bytes of the blob.
        total: u64,
    },
    /// It is there.
    Pushed,
    /// It was there.
    Exists,
    /// It was in this other repository of the registry.
    Mounted(String),
}

type PushProgress = Progress<PushEvent>;

impl Engine {
    /// Pushes an image. Dropping the future cancels it.
    ///
    /// # Errors
    /// [`Error::NotFound`] before the first event when there is no such image here; [`Error::Registry`].
    pub async fn push(&self, request: PushImage, events: mpsc::Sender<PushEvent>) -> Result<()> {
        let progress = Progress::new(events);
        let names = self.names_to_push(&request).await?;
        let repository = self.shared.registries().repository(&request.image, request.credentials.clone(), Access::Push);
        let repository = repository.map_err(|error| Error::Invalid(error.to_string()))?;
        let to = format!("{}/{}", request.image.domain(), request.image.path());
        progress.step(PushEvent::To { repository: to }).await;
        for name in names {
            self.push_one(&repository, &name, request.platform.as_ref(), &progress).await?;
        }
        Ok(())
    }

    /// What there is under the name, which is what Docker calls the image when there is nothing.
    async fn names_to_push(&self, request: &PushImage) -> Result<Vec<ImageRef>> {
        let (shared, image) = (Arc::clone(&self.shared), request.image.clone());
        if !request.all_tags {
            let found = {
                let image = image.clone();
                blocking::run(move || Ok(shared.store.get(&image.to_string(), None).is_ok())).await?
            };
            return match found {
                true => Ok(vec![image]),
                false => Err(not_here(&image.familiar())),
            };
        }
        let repository = (image.domain().to_owned(), image.path().to_owned());
        let images = blocking::run(move || shared.store.list().map_err(Error::image("list the images"))).await?;
        let names = images.into_iter().flat_map(|image| image.names);
        // Names with a digest are where an image came from, or went to; there is nothing to push under them.
        let names = names.filter(|name| name.digest().is_none());
        let found: BTreeSet<ImageRef> =
            names.filter(|name| (name.domain(), name.path()) == (&*repository.0, &*repository.1)).collect();
        match found.is_empty() {
            false => Ok(found.into_iter().collect()),
            true => Err(not_here(&image.familiar_repository())),
        }
    }

    async fn push_one(
        &self,
        repository: &Repository,
        name: &ImageRef,
        platform: Option<&Platform>,
        progress: &PushProgress,
    ) -> Result<()> {
        let contents = self.contents_to_push(repository, name, platform, progress).await?;
        let own = contents.top.digest.clone();
        let packed = Arc::new(self.pack(repository, contents, progress).await?);
        self.push_blobs(repository, name, &packed, progress).await?;
        let tag = name.tag().unwrap_or("latest").to_owned();
        let contents = &packed.contents;
        for document in &contents.documents {
            let bytes = self.bytes_of(&packed, &document.digest).await?;
            let reference = if document.digest == contents.top.digest { &tag } else { document.digest.as_str() };
            let put = repository.put_manifest(reference, &document.media_type, bytes).await;
            put.map_err(|error| push_error(name, error))?;
        }
        let Blob { digest, size, .. } = contents.top.clone();
        if digest != own {
            self.remember(name, &own, &digest).await?;
        }
        progress.step(PushEvent::Done { tag, digest, size }).await;
        self.image_event("push", &own, Some(&name.familiar()));
        Ok(())
    }

    /// Compresses layers that are plain tars, unless the registry has the image just as it is.
    async fn pack(&self, repository: &Repository, contents: Contents, progress: &PushProgress) -> Result<Packed> {
        let plain = self.shared.store.plain_layers(&contents);
        let known = plain.is_empty() || repository.resolve(contents.top.digest.as_str()).await.is_ok();
        if known {
            return Ok(Packed { contents, made: BTreeMap::new() });
        }
        let permits = Arc::new(Semaphore::new(PACK_AT_ONCE));
        let mut jobs = JoinSet::new();
        for layer in plain {
            let (shared, progress, permits) = (Arc::clone(&self.shared), progress.clone(), Arc::clone(&permits));
            jobs.spawn(async move {
                let _permit = permits.acquire_owned().await;
                blocking::run(move || {
                    let mut tell =
                        amounts(&progress, &layer, |current, total| BlobStep::Compressing { current, total });
                    let packed =
                        shared.store.pack_layer(&layer, &mut tell).map_err(Error::image("compress a layer"))?;
                    Ok((layer.digest, packed))
                })
                .await
            });
        }
        let mut packed = BTreeMap::new();
        while let Some(ended) = jobs.join_next().await {
            packed.extend([ended.map_err(|panic| Error::Panicked(panic.to_string()))??]);
        }
        let shared = Arc::clone(&self.shared);
        blocking::run(move || {
            shared.store.pack(contents, packed).map_err(Error::image("make manifests for the registry"))
        })
        .await
    }

    /// Gives the image the name that the registry knows it by, so that a pull of it finds it here.
    async fn remember(&self, name: &ImageRef, id: &Digest, digest: &Digest) -> Result<()> {
        let text = format!("{}/{}@{digest}", name.domain(), name.path());
        let known: ImageRef =
            text.parse().map_err(|error: drua_types::InvalidImageRef| Error::Invalid(error.to_string()))?;
        let (shared, id) = (Arc::clone(&self.shared), id.to_string());
        blocking::run(move || Ok(shared.store.tag(&id, &known).map(drop)?)).await
    }

    async fn bytes_of(&self, packed: &Packed, digest: &Digest) -> Result<Bytes> {
        if let Some(made) = packed.made.get(digest) {
            return Ok(Bytes::copy_from_slice(made));
        }
        let (shared, digest) = (Arc::clone(&self.shared), digest.clone());
        let read = move || shared.store.document(&digest).map_err(Error::image("read a manifest"));
        Ok(blocking::run(read).await?.into())
    }

    /// All that is here; or, when an index is here in part and the registry has not the rest, the platform that is.
    async fn contents_to_push(
        &self,
        repository: &Repository,
        name: &ImageRef,
        platform: Option<&Platform>,
        progress: &PushProgress,
    ) -> Result<Contents> {
        let whole = self.contents(name, platform).await?;
        let mut lacking = false;
        for digest in &whole.missing {
            // Pulled from there, it may well be there.
            lacking = lacking || repository.resolve(digest.as_str()).await.is_err();
        }
        if !lacking {
            return Ok(whole);
        }
        let (shared, text) = (Arc::clone(&self.shared), name.to_string());
        let image = blocking::run(move || Ok(shared.store.get(&text, None)?)).await?;
        let [only] = image.platforms.as_slice() else {
            return Err(Error::NotFound(format!(
                "`{}` is here for some of its platforms only, and the registry has not the others; \
                 push one of them with `--platform`",
                name.familiar()
            )));
        };
        let part = self.contents(name, Some(only)).await?;
        progress.step(PushEvent::Partial { index: whole.top.clone(), manifest: part.top.clone() }).await;
        Ok(part)
    }

    async fn contents(&self, name: &ImageRef, platform: Option<&Platform>) -> Result<Contents> {
        let (shared, name, platform) = (Arc::clone(&self.shared), name.to_string(), platform.cloned());
        blocking::run(move || Ok(shared.store.contents(&name, platform.as_ref())?)).await
    }

    async fn push_blobs(
        &self,
        repository: &Repository,
        name: &ImageRef,
        packed: &Arc<Packed>,
        progress: &PushProgress,
    ) -> Result<()> {
        let contents = &packed.contents;
        for blob in &contents.blobs {
            step(progress, blob, BlobStep::Preparing).await;
        }
        let permits = Arc::new(Semaphore::new(AT_ONCE));
        let mut jobs = JoinSet::new();
        for blob in contents.blobs.clone() {
            let (engine, repository, name) = (self.clone(), repository.clone(), name.clone());
            let (progress, permits, packed) = (progress.clone(), Arc::clone(&permits), Arc::clone(packed));
            jobs.spawn(async move {
                let _permit = permits.acquire_owned().await;
                engine.push_blob(&repository, &name, &blob, &packed, &progress).await
            });
        }
        while let Some(ended) = jobs.join_next().await {
            ended.map_err(|panic| Error::Panicked(panic.to_string()))??;
        }
        Ok(())
    }

    async fn push_blob(
        &self,
        repository: &Repository,
        name: &ImageRef,
        blob: &Blob,
        packed: &Packed,
        progress: &PushProgress,
    ) -> Result<()> {
        let (shared, digest, of) = (Arc::clone(&self.shared), blob.digest.clone(), name.clone());
        let neighbors = blocking::run(move || {
            let names = shared.store.names_with_blob(&digest).map_err(Error::image("look for neighbors"))?;
            let near = names.iter().filter(|name| name.domain() == of.domain() && name.path() != of.path());
            let paths: BTreeSet<String> = near.map(|name| name.path().to_owned()).collect();
            Ok(paths.into_iter().take(MAX_NEIGHBORS).collect::<Vec<_>>())
        });
        let neighbors = neighbors.await?;
        let tell =
            std::sync::Mutex::new(amounts(progress, blob, |current, total| BlobStep::Pushing { current, total }));
        let sent = Arc::new(move |current: u64| crate::lock(&tell)(current));
        let source = match packed.made.get(&blob.digest) {
            Some(made) => made_source(blob, made),
            None => self.upload_source(blob),
        };
        let done = repository.upload(&source, &neighbors, &(sent as _)).await;
        let done = match done.map_err(|error| push_error(name, error))? {
            Upload::Existed => BlobStep::Exists,
            Upload::Mounted(from) => BlobStep::Mounted(from),
            Upload::Sent => BlobStep::Pushed,
        };
        step(progress, blob, done).await;
        Ok(())
    }

    fn upload_source(&self, blob: &Blob) -> UploadSource {
        let (shared, digest) = (Arc::clone(&self.shared), blob.digest.clone());
        let open = move |start: u64, end: u64| -> ByteStream {
            let (sender, mut receiver) = mpsc::channel(4);
            let (shared, digest) = (Arc::clone(&shared), digest.clone());
            blocking::beside(move || {
                let opened = shared.store.blob(&digest).map_err(std::io::Error::other);
                let read = opened.and_then(|file| read_pieces(file, start, end, &sender));
                if let Err(error) = read {
                    // Nobody listening: the upload has ended for another reason.
                    let _ = sender.blocking_send(Err(error));
                }
            });
            futures_util::stream::poll_fn(move |context| receiver.poll_recv(context)).boxed()
        };
        UploadSource { digest: blob.digest.clone(), size: blob.size, open: Arc::new(open) }
    }
}

/// A blob that is in memory.
fn made_source(blob: &Blob, bytes: &[u8]) -> UploadSource {
    let bytes = Bytes::copy_from_slice(bytes);
    let open = move |start: u64, end: u64| -> ByteStream {
        let at = |offset: u64| usize::try_from(offset).unwrap_or(usize::MAX).min(bytes.len());
        let piece = bytes.slice(at(start)..at(end));
        futures_util::stream::iter([Ok(piece)]).boxed()
    };
    UploadSource { digest: blob.digest.clone(), size: blob.size, open: Arc::new(open) }
}

/// Tells amounts of a blob, not too often.
fn amounts(
    progress: &PushProgress,
    blob: &Blob,
    step: impl Fn(u64, u64) -> BlobStep + Send + 'static,
) -> impl FnMut(u64) + Send + 'static {
    let (progress, id, total) = (progress.clone(), blob.digest.short().to_owned(), blob.size);
    let mut told = None::<Instant>;
    move |current| {
        if told.is_none_or(|told| told.elapsed() >= TELL) {
            told = Some(Instant::now());
            progress.amount(PushEvent::Blob { id: id.clone(), step: step(current, total) });
        }
    }
}

/// Sends a file's bytes from `start` to `end`, as long as somebody takes them.
fn read_pieces(mut file: File, start: u64, end: u64, to: &mpsc::Sender<std::io::Result<Bytes>>) -> std::io::Result<()> {
    file.seek(SeekFrom::Start(start))?;
    let mut file = file.take(end - start);
    loop {
        let mut piece = vec![0; PIECE_BYTES];
        let read = file.read(&mut piece)?;
        piece.truncate(read);
        if read == 0 || to.blocking_send(Ok(piece.into())).is_err() {
            return Ok(());
        }
    }
}

async fn step(progress: &PushProgress, blob: &Blob, step: BlobStep) {
    progress.step(PushEvent::Blob { id: blob.digest.short().to_owned(), step }).await;
}

fn not_here(name: &str) -> Error {
    Error::NotFound(format!("An image does not exist locally with the tag: {name}"))
}

fn push_error(name: &ImageRef, source: drua_registry::RegistryError) -> Error {
    registry_error(format!("cannot push `{}`", name.familiar()), source)
}
