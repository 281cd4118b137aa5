use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use drua_types::{Classify, Digest, ErrorKind, Hint, ImageRef, Platform};

use crate::content::{BlobSource as _, Content, Ingest};
use crate::db::{Db, OpenDbError};
use crate::holds::{Holds, Lease};
use crate::image::{Image, LayerContent};
use crate::layers::{Batch, Layers, UnpackError};
use crate::partial::Partials;
use crate::storage::{StorageError, private_dir};
use crate::tree::{self, Node, Tree, TreeError};
use crate::wire::{Descriptor, IMAGE_NAME, REF_NAME};
use crate::{Limits, LookupError};

/// A killed predecessor may need a moment to die.
const LOCK_PATIENCE: Duration = Duration::from_secs(5);

/// The store could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The disk or the database failed.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// Another process has this data root open.
    #[error("the data root `{}` is in use by another process", data_root.display())]
    InUse {
        /// The data root.
        data_root: PathBuf,
    },
    /// A newer version of drua has been here.
    #[error("the image database has schema version {found}; this drua knows versions up to {known}")]
    TooNew {
        /// What is there.
        found: i64,
        /// What we know.
        known: i64,
    },
}

impl Classify for OpenError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Storage(error) => error.kind(),
            Self::InUse { .. } => ErrorKind::Unavailable,
            Self::TooNew { .. } => ErrorKind::Conflict,
        }
    }
}

impl Hint for OpenError {
    fn hints(&self) -> Vec<String> {
        match self {
            Self::Storage(error) => error.hints(),
            Self::InUse { .. } => vec!["stop the other daemon, or use another `--data-root`".to_owned()],
            Self::TooNew { .. } => vec!["use the newer drua again, or another `--data-root`".to_owned()],
        }
    }
}

/// Images of one data root; see the crate's documentation for what lies where.
#[derive(Debug)]
pub struct Store {
    pub(crate) content: Content,
    pub(crate) layers: Layers,
    pub(crate) db: Db,
    pub(crate) holds: Arc<Holds>,
    pub(crate) partials: Arc<Partials>,
    pub(crate) limits: Limits,
    /// Serializes unpacking on demand: a burst of starts of a new image unpacks it once.
    unpacking: Mutex<()>,
    /// Serializes writing `index.json`, so that the last writer has seen the last change.
    index: Mutex<()>,
    /// flock(2)ed as long as the store is open.
    _lock: File,
}

impl Store {
    /// Opens the store below `data_root`, creating what is missing and removing what a killed process left half done.
    ///
    /// # Errors
    /// [`OpenError::InUse`] when another process has it open, five seconds long.
    pub fn open(data_root: &Path) -> Result<Self, OpenError> {
        Self::open_with(data_root, Limits::default())
    }

    /// [`Store::open`] with other limits on what comes in.
    ///
    /// # Errors
    /// As [`Store::open`].
    pub fn open_with(data_root: &Path, limits: Limits) -> Result<Self, OpenError> {
        if !data_root.exists() {
            private_dir(data_root, 0o710)?;
        }
        let content_dir = data_root.join("content");
        private_dir(&content_dir, 0o700)?;
        let lock = lock(&content_dir.join(".lock"), data_root)?;
        let db = Db::open(&data_root.join("state.db")).map_err(|error| match error {
            OpenDbError::Storage(error) => OpenError::Storage(error),
            OpenDbError::TooNew { found, known } => OpenError::TooNew { found, known },
        })?;
        let store = Self {
            content: Content::open(&content_dir)?,
            layers: Layers::open(&data_root.join("layers"))?,
            db,
            holds: Arc::default(),
            partials: Arc::new(Partials::open(content_dir.join("partial"))?),
            limits,
            unpacking: Mutex::new(()),
            index: Mutex::new(()),
            _lock: lock,
        };
        // A process that was killed between its transaction and this left the file behind the database.
        store.write_index()?;
        Ok(store)
    }

    /// Every image, each for the platform that would run here. Order is by id.
    ///
    /// # Errors
    /// Only when the database fails; an image whose content is damaged is logged and left out.
    pub fn list(&self) -> Result<Vec<Image>, StorageError> {
        let mut names = self.db.names()?;
        let mut images = Vec::new();
        for descriptor in self.db.images()? {
            let names = names.remove(&descriptor.digest).unwrap_or_default();
            match self.describe(&descriptor, names, None) {
                Ok(Some(image)) => images.push(image),
                Ok(None) => tracing::warn!(image.id = %descriptor.digest, "an image has lost its content"),
                Err(error) => {
                    let error = drua_types::error_chain(&error);
                    tracing::warn!(image.id = %descriptor.digest, error, "an image cannot be read");
                }
            }
        }
        Ok(images)
    }

    /// Gives an image one more name; an image that had it loses it.
    ///
    /// # Errors
    /// As [`Store::get`].
    pub fn tag(&self, name: &str, target: &ImageRef) -> Result<Digest, LookupError> {
        let id = self.find(name)?.descriptor.digest;
        self.db.set_name(target, &id)?;
        self.write_index()?;
        Ok(id)
    }

    /// The directories that make the image's root filesystem, topmost first: lower directories for overlayfs.
    ///
    /// Unpacks what is missing. There is always at least one; an image without layers has an empty one. The layers stay
    /// as long as the image is there, or a container uses it when it is removed.
    ///
    /// # Errors
    /// When a layer's blob is missing, damaged or not what the configuration says, or cannot be written.
    pub fn layers(&self, image: &Image) -> Result<Vec<PathBuf>, UnpackError> {
        let empty = empty_layer();
        let mut chain: Vec<&Digest> = image.chain_ids().collect();
        if chain.is_empty() {
            chain.push(&empty);
        }
        let paths = chain.iter().rev().map(|chain_id| self.layers.path(chain_id)).collect();
        if chain.iter().all(|chain_id| self.layers.has(chain_id)) {
            return Ok(paths);
        }
        let _one_at_a_time = self.unpacking.lock().unwrap_or_else(PoisonError::into_inner);
        let mut holds = Lease::new(&self.holds);
        chain.iter().for_each(|chain_id| holds.hold(chain_id));
        let batch = Batch::new(&self.layers, self.limits);
        let mut below: Vec<Digest> = Vec::new();
        for layer in &image.layers {
            let Some(chain_id) = &layer.chain_id else { continue };
            batch.complete(&self.content, layer, &below, &mut |_| {})?;
            below.insert(0, chain_id.clone());
        }
        if below.is_empty() && !batch.has(&empty) {
            batch.add_empty(&empty)?;
        }
        batch.publish()?;
        Ok(paths)
    }

    /// A directory with nothing in it, for overlays that need one more layer. It is never swept.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn empty_layer(&self) -> Result<PathBuf, UnpackError> {
        let empty = empty_layer();
        if !self.layers.has(&empty) {
            let _one_at_a_time = self.unpacking.lock().unwrap_or_else(PoisonError::into_inner);
            let batch = Batch::new(&self.layers, self.limits);
            batch.add_empty(&empty)?;
            batch.publish()?;
        }
        Ok(self.layers.path(&empty))
    }

    /// A blob of the store, for whoever copies images elsewhere.
    ///
    /// # Errors
    /// [`StorageError::Missing`] when it is not there.
    pub fn blob(&self, digest: &Digest) -> Result<File, StorageError> {
        self.content.open(digest)
    }

    pub(crate) fn ingest(&self) -> Result<Ingest, StorageError> {
        self.content.ingest(Lease::new(&self.holds))
    }

    pub(crate) fn tree(&self, top: &Descriptor, platform: Option<&Platform>) -> Result<Tree, TreeError> {
        tree::read(&self.content, top, platform, &self.limits)
    }

    /// The image for a platform; `None` when there is none for it.
    pub(crate) fn describe(
        &self,
        top: &Descriptor,
        names: Vec<ImageRef>,
        platform: Option<&Platform>,
    ) -> Result<Option<Image>, TreeError> {
        let mut tree = self.tree(top, None)?;
        let platforms = tree.nodes.iter().map(|node| node.config.platform.clone()).collect();
        let chosen = tree.choose(platform).map(|node| node.descriptor.digest.clone());
        let position = chosen.and_then(|digest| tree.nodes.iter().position(|node| node.descriptor.digest == digest));
        Ok(position.map(|position| self.image(top, names, platforms, tree.nodes.swap_remove(position))))
    }

    pub(crate) fn image(&self, top: &Descriptor, names: Vec<ImageRef>, platforms: Vec<Platform>, node: Node) -> Image {
        let content_size = node.content_size();
        let unpacked: u64 = node.layers.iter().map(|layer| self.unpacked_size(layer)).sum();
        let wasm_module = node.wasm_module();
        let (names, by_digest): (Vec<_>, Vec<_>) = names.into_iter().partition(|name| name.digest().is_none());
        let created = node.config.configuration.created().as_ref().and_then(|text| text.parse().ok());
        Image {
            id: top.digest.clone(),
            media_type: top.media_type.clone(),
            descriptor_size: top.size,
            manifest_digest: node.descriptor.digest,
            manifest_media_type: node.descriptor.media_type,
            manifest_size: node.descriptor.size,
            config_digest: node.config_descriptor.digest,
            config_media_type: node.config_descriptor.media_type,
            repo_digests: repo_digests(&names, &by_digest, &top.digest),
            names,
            platform: node.config.platform,
            platforms,
            created,
            size: content_size + unpacked,
            content_size,
            config: node.config.configuration,
            docker: node.config.docker,
            annotations: node.annotations,
            layers: node.layers,
            wasm_module,
        }
    }

    /// Bytes of a layer's files; 0 while it is not unpacked.
    pub(crate) fn unpacked_size(&self, layer: &crate::Layer) -> u64 {
        match (&layer.content, &layer.chain_id) {
            (LayerContent::Opaque, _) | (_, None) => 0,
            (LayerContent::Tar { .. } | LayerContent::Wasm { .. }, Some(chain_id)) => {
                self.layers.size(chain_id).unwrap_or(0)
            }
        }
    }

    /// Brings `index.json` in line with the database, so that other tools find the images by name.
    pub(crate) fn write_index(&self) -> Result<(), StorageError> {
        let _one_at_a_time = self.index.lock().unwrap_or_else(PoisonError::into_inner);
        let names: BTreeMap<Digest, Vec<ImageRef>> = self.db.names()?;
        let mut manifests = Vec::new();
        for image in self.db.images()? {
            match names.get(&image.digest) {
                Some(names) => manifests.extend(names.iter().map(|name| named(&image, name, name.familiar()))),
                None => manifests.push(image),
            }
        }
        self.content.write_index(manifests)
    }
}

/// The chain id of the layer that images without layers get.
pub(crate) fn empty_layer() -> Digest {
    Digest::of(b"dev.drua.empty-layer")
}

/// A top-level descriptor with its name, as an `index.json` has it.
pub(crate) fn named(image: &Descriptor, name: &ImageRef, ref_name: String) -> Descriptor {
    let annotations = [(IMAGE_NAME.to_owned(), name.to_string()), (REF_NAME.to_owned(), ref_name)];
    Descriptor { annotations: Some(annotations.into()), ..image.clone() }
}

/// `repository@id` for every repository with a name of the image.
fn repo_digests(names: &[ImageRef], by_digest: &[ImageRef], id: &Digest) -> Vec<ImageRef> {
    let of_tags = names.iter().map(|name| format!("{}/{}@{id}", name.domain(), name.path()));
    let mut found: Vec<ImageRef> =
        of_tags.filter_map(|text| text.parse().ok()).chain(by_digest.iter().cloned()).collect();
    found.sort();
    found.dedup();
    found
}

fn lock(path: &Path, data_root: &Path) -> Result<File, OpenError> {
    let file = fs_err::OpenOptions::new().create(true).truncate(false).write(true).open(path);
    let file = file.map_err(StorageError::file("open", path))?.into_parts().0;
    let deadline = Instant::now() + LOCK_PATIENCE;
    loop {
        match rustix::fs::flock(&file, rustix::fs::FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => return Ok(file),
            Err(rustix::io::Errno::WOULDBLOCK) if Instant::now() < deadline => {
                std::thread::sleep(Duration::from_millis(20));
            }
            Err(rustix::io::Errno::WOULDBLOCK) => return Err(OpenError::InUse { data_root: data_root.to_owned() }),
            Err(error) => return Err(StorageError::file("lock", path)(io::Error::from(error)).into()),
        }
    }
}
