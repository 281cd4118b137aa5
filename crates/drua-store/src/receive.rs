//! Images that come in blob by blob, from a registry or a build.
//!
//! ```text
//! let receiving = store.receive()?;                       // dropped at any point: nothing can be seen of it
//! loop {
//!     match receiving.select(&top, platform)? {
//!         Selection::Fetch(blobs) => …                    // manifests and the configuration, small: `add_document`
//!         Selection::Image(plan) => break plan,
//!     }
//! }
//! for layer in &plan.layers {                             // each in threads of its own
//!     receiving.begin(&layer.blob())? → Begin::Write(writer): writer.write(…)…, writer.finish()
//!     receiving.unpack(layer, …)                          // beside it: reads the blob while it is written
//! }
//! store.commit(&receiving, &[NewImage { … }])             // all at once, or nothing
//! ```
//!
//! Nothing of it is visible before `commit`, which comes after every digest and diff id was verified. Everything that the
//! operation touched is protected from the sweep as long as the [`Receiving`] lives. Blobs that were interrupted, by an
//! error or by `kill -9`, stay in `content/partial/` for a day, and the next `begin` of the same digest goes on there.

use std::collections::BTreeSet;
use std::io::{self, Read};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use drua_types::{Digest, ImageRef, Platform};

use crate::content::{BlobSource, Ingest};
use crate::db::Record;
use crate::layers::{Batch, UnpackError};
use crate::load::{chain_ids, check_complete, take_layers};
use crate::partial::{Begin, Partials, ReceiveError, Started};
use crate::storage::StorageError;
use crate::tree::{self, TreeError};
use crate::unpack::Below;
use crate::wire::Descriptor;
use crate::{Layer, Limits, LoadError, Loaded, Store};

pub use crate::select::{Plan, Selection};

/// A blob and what it is: the essence of an OCI descriptor.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Blob {
    /// Its media type.
    pub media_type: String,
    /// Its digest.
    pub digest: Digest,
    /// Its size in bytes.
    pub size: u64,
}

impl Blob {
    pub(crate) fn descriptor(&self) -> Descriptor {
        Descriptor::new(&self.media_type, self.digest.clone(), self.size)
    }
}

impl From<&Descriptor> for Blob {
    fn from(descriptor: &Descriptor) -> Self {
        let Descriptor { media_type, digest, size, .. } = descriptor.clone();
        Self { media_type, digest, size }
    }
}

/// An image to be committed.
#[derive(Debug, Clone)]
pub struct NewImage {
    /// Its top-level document, index or manifest. Its digest becomes the image's id.
    pub top: Blob,
    /// The names it gets; other images that have them lose them.
    pub names: Vec<ImageRef>,
    /// The platform that must be complete; without one, any.
    pub platform: Option<Platform>,
}

/// An operation that brings images in. See the module's documentation for the order of calls.
///
/// Share it between threads with an `Arc`. All methods block.
#[derive(Debug)]
pub struct Receiving {
    session: Mutex<Ingest>,
    partials: Arc<Partials>,
    batch: Batch,
    pub(crate) limits: Limits,
}

impl Store {
    /// Begins to bring images in.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn receive(&self) -> Result<Receiving, StorageError> {
        Ok(Receiving {
            session: Mutex::new(self.ingest()?),
            partials: Arc::clone(&self.partials),
            batch: Batch::new(&self.layers, self.limits),
            limits: self.limits,
        })
    }

    /// Makes images visible, under their names: verifies that everything fits together, unpacks what runs here and has
    /// not been unpacked yet, syncs, and records all of them in one transaction. Blocking, for a disk's flush at least.
    ///
    /// # Errors
    /// Kind [`drua_types::ErrorKind::Invalid`] when documents contradict each other or content is missing;
    /// [`drua_types::ErrorKind::NotFound`] when the platform is. Nothing is visible then.
    pub fn commit(&self, receiving: &Receiving, images: &[NewImage]) -> Result<Vec<Loaded>, LoadError> {
        let mut records = Vec::new();
        for image in images {
            let descriptor = image.top.descriptor();
            let tree = tree::read(receiving, &descriptor, image.platform.as_ref(), &self.limits)?;
            check_complete(&descriptor.digest, &tree, image.platform.as_ref())?;
            let chain_ids = chain_ids(&tree.nodes);
            chain_ids.iter().chain([&descriptor.digest]).for_each(|digest| receiving.hold(digest));
            for node in &tree.nodes {
                take_layers(receiving, &receiving.batch, node, &mut |_| {})?;
            }
            records.push(Record { descriptor, names: image.names.clone(), blobs: tree.blobs, chain_ids });
        }
        let mut session = receiving.lock();
        for digest in records.iter().flat_map(|record| &record.blobs) {
            if let Some(path) = receiving.partials.verified(digest) {
                session.stage(digest, path);
            }
        }
        self.record(&mut session, &receiving.batch, &records)?;
        drop(session);
        let loaded = |record: Record| Loaded { id: record.descriptor.digest, names: record.names };
        Ok(records.into_iter().map(loaded).collect())
    }
}

/// An unpacked layer that its maker keeps elsewhere on the same filesystem, and does not remove while it is linked.
#[derive(Debug, Clone)]
pub struct LinkedLayer {
    /// The layer together with all below it.
    pub chain_id: Digest,
    /// The directory, in overlay's format.
    pub dir: PathBuf,
    /// Bytes of its files.
    pub size: u64,
}

impl Store {
    /// Makes directories serve as unpacked layers, so that images which have them need not be unpacked. Syncs once.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn link_layers(&self, receiving: &Receiving, layers: &[LinkedLayer]) -> Result<(), StorageError> {
        layers.iter().for_each(|layer| receiving.hold(&layer.chain_id));
        let new: Vec<_> = layers.iter().filter(|layer| !self.layers.has(&layer.chain_id)).collect();
        let Some(first) = new.first() else { return Ok(()) };
        // Their files must be durable before an image says that they are there.
        let dir = fs_err::File::open(&first.dir).map_err(StorageError::file("open", &first.dir))?;
        rustix::fs::syncfs(&dir).map_err(io::Error::from).map_err(StorageError::file("sync", &first.dir))?;
        new.iter().try_for_each(|layer| self.layers.link(&layer.chain_id, &layer.dir, layer.size))
    }
}

impl Receiving {
    /// Whether a blob is here, verified, with this size. If so it is protected from now on.
    pub fn has(&self, blob: &Blob) -> bool {
        self.size(&blob.digest) == Some(blob.size)
    }

    /// Whether a layer is unpacked already, so that its blob need not be unpacked (but is still needed, to be complete).
    pub fn has_unpacked(&self, chain_id: &Digest) -> bool {
        self.hold(chain_id);
        self.batch.has(chain_id)
    }

    /// Protects a blob or a chain id from the sweep until the operation ends.
    pub fn hold(&self, digest: &Digest) {
        self.lock().hold(digest);
    }

    /// Begins a blob, or goes on with one that was interrupted: hashes what is there of it, which takes a second for some
    /// gigabytes.
    ///
    /// # Errors
    /// When the disk fails, or an empty blob has not the digest of nothing.
    pub fn begin(&self, blob: &Blob) -> Result<Begin, ReceiveError> {
        if self.has(blob) {
            return Ok(Begin::Present);
        }
        match self.partials.begin(&blob.digest, blob.size)? {
            Started::Busy => Ok(Begin::Busy),
            Started::Complete => Ok(Begin::Present),
            Started::Write(writer) => Ok(Begin::Write(writer)),
        }
    }

    /// How many bytes of a blob are here that somebody brings in now; `None` when nobody does.
    pub fn received(&self, digest: &Digest) -> Option<u64> {
        self.partials.received(digest)
    }

    /// Takes in a small document, a manifest, index or configuration, and verifies its digest.
    ///
    /// # Errors
    /// [`ReceiveError::Digest`]; [`ReceiveError::TooLong`] for more than [`Limits::document_bytes`].
    pub fn add_document(&self, digest: &Digest, bytes: &[u8]) -> Result<(), ReceiveError> {
        if bytes.len() as u64 > self.limits.document_bytes {
            return Err(ReceiveError::TooLong { digest: digest.clone(), expected: self.limits.document_bytes });
        }
        let actual = Digest::of(bytes);
        if actual != *digest {
            return Err(ReceiveError::Digest { expected: digest.clone(), actual });
        }
        self.lock().add_bytes(bytes)?;
        Ok(())
    }

    /// Takes in a document or a blob that was made here, whatever its digest is.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn add_bytes(&self, bytes: &[u8]) -> Result<Digest, StorageError> {
        self.lock().add_bytes(bytes)
    }

    /// Takes in a blob that was made here, of unknown digest, from a stream; returns its digest and size.
    ///
    /// # Errors
    /// When the stream ends with an error, is longer than [`Limits::unpacked_bytes`], or the disk fails.
    pub fn add_stream(&self, stream: &mut dyn Read) -> Result<(Digest, u64), LoadError> {
        self.lock().add(stream, self.limits.unpacked_bytes).map_err(|error| match error {
            crate::content::IngestError::Read(source) => LoadError::Read { source },
            crate::content::IngestError::Storage(error) => LoadError::Storage(error),
        })
    }

    /// Unpacks a layer of a [`Plan`] and verifies its diff id, reading its blob while a [`crate::BlobWriter`] writes it.
    /// Layers may be unpacked side by side in any order. Does nothing for one that is unpacked already.
    ///
    /// `progress` hears how many bytes of the blob are done, about every half MiB.
    ///
    /// # Errors
    /// [`UnpackError`]; when the blob's writer goes away, its source says so. [`StorageError::Missing`] when the blob is
    /// neither here nor begun.
    pub fn unpack(&self, layer: &Layer, progress: &mut dyn FnMut(u64)) -> Result<(), UnpackError> {
        let Some(chain_id) = &layer.chain_id else { return Ok(()) };
        if self.has_unpacked(chain_id) {
            return Ok(());
        }
        self.batch.add(self, layer, Below::Later, progress)
    }

    /// The bytes of a small document that is here.
    ///
    /// # Errors
    /// [`StorageError::Missing`], [`StorageError::Damaged`].
    pub fn document(&self, digest: &Digest) -> Result<Vec<u8>, StorageError> {
        self.read(digest, self.limits.document_bytes)
    }

    /// What to fetch next for the image below `top`; see [`Selection`].
    ///
    /// Without a platform: the host's, or else WebAssembly, or else the first. A pull of several platforms asks for one
    /// after the other.
    ///
    /// # Errors
    /// When a document is malformed or has not the platform ([`TreeError::Platform`]).
    pub fn select(&self, top: &Blob, platform: Option<&Platform>) -> Result<Selection, TreeError> {
        let selection = crate::select::select(self, &top.descriptor(), platform, &self.limits)?;
        if let Selection::Image(plan) = &selection {
            plan.layers.iter().filter_map(|layer| layer.chain_id.as_ref()).for_each(|chain_id| self.hold(chain_id));
        }
        Ok(selection)
    }

    fn lock(&self) -> MutexGuard<'_, Ingest> {
        // A panic while a blob is added leaves a file that nobody knows.
        self.session.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl BlobSource for Receiving {
    fn find(&self, digest: &Digest) -> Option<PathBuf> {
        let found = {
            let mut session = self.lock();
            // Held before it is looked for: what was seen once stays.
            session.hold(digest);
            session.find(digest)
        };
        found.or_else(|| self.partials.verified(digest))
    }

    fn stream(&self, digest: &Digest) -> Result<Box<dyn Read + Send>, StorageError> {
        match self.partials.follow(digest)? {
            Some(follower) => Ok(Box::new(follower)),
            None => Ok(Box::new(self.open(digest)?)),
        }
    }

    fn settle(&self, digest: &Digest) -> io::Result<()> {
        match self.partials.follow(digest) {
            Ok(Some(follower)) => follower.wait(),
            Ok(None) => Ok(()),
            Err(error) => Err(io::Error::other(error)),
        }
    }
}

/// Digests of blobs, for whoever has to bring or send them.
pub(crate) fn unique(blobs: impl IntoIterator<Item = Blob>) -> Vec<Blob> {
    let mut seen = BTreeSet::new();
    blobs.into_iter().filter(|blob| seen.insert(blob.digest.clone())).collect()
}
