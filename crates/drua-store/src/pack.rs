//! Images as registries get them: layers that are plain tars here go compressed.
//!
//! Builds, imports and archives bring plain tars, which cost nothing to make and little to unpack. A wire and a registry
//! want them smaller. So a push sends gzip instead, as Docker's does: each layer is compressed once, and the copy is kept
//! as long as the plain one is. Diff ids stay what they were. Digests of layers do not, nor those of the manifests and
//! indexes above them: these are made anew for the registry, and are not images of this store.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Read as _};

use drua_types::{Classify, Digest, ErrorKind, Hint};
use flate2::read::GzEncoder;
use serde_json::Value;

use crate::content::{BlobSource as _, IngestError};
use crate::decode::{Compression, Decoder, Meter};
use crate::receive::{Blob, unique};
use crate::storage::{StorageError, disk_full_hints};
use crate::wire::REFERENCE_DIGEST;
use crate::{Contents, Store, media};

/// gzip's own default: higher levels take twice the time for a hundredth of the size.
const LEVEL: u32 = 6;
/// What BuildKit's attestations consist of: JSON that names the manifest it is about.
const STATEMENT: &str = "application/vnd.in-toto+json";

/// An image could not be made ready for a registry.
#[derive(Debug, thiserror::Error)]
pub enum PackError {
    /// A layer could not be read.
    #[error("failed to compress layer `{layer}`")]
    Layer {
        /// The layer's blob.
        layer: Digest,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// A manifest or index is no JSON.
    #[error("failed to parse document `{digest}`")]
    Parse {
        /// The document.
        digest: Digest,
        /// Why.
        #[source]
        source: serde_json::Error,
    },
    /// The disk or the database failed.
    #[error(transparent)]
    Storage(#[from] StorageError),
}

impl Classify for PackError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Layer { .. } | Self::Parse { .. } => ErrorKind::Internal,
            Self::Storage(error) => error.kind(),
        }
    }
}

impl Hint for PackError {
    fn hints(&self) -> Vec<String> {
        match self {
            Self::Layer { source, .. } => disk_full_hints(source),
            Self::Parse { .. } => Vec::new(),
            Self::Storage(error) => error.hints(),
        }
    }
}

/// What goes to a registry.
#[derive(Debug)]
pub struct Packed {
    /// Everything to send, in [`Contents`]' order.
    pub contents: Contents,
    /// Those of it that are not in the store: they were made for the registry.
    pub made: BTreeMap<Digest, Vec<u8>>,
}

impl Store {
    /// The layers of these contents that are plain tars.
    pub fn plain_layers(&self, contents: &Contents) -> Vec<Blob> {
        contents.blobs.iter().filter(|blob| media::gzip_type(&blob.media_type).is_some()).cloned().collect()
    }

    /// Compresses a plain layer, or finds what it became when that was done before. Something that is no plain tar,
    /// whatever its media type says, comes back as it is. `progress` hears how many of its bytes are done. Blocking.
    ///
    /// # Errors
    /// [`PackError::Layer`] when the blob cannot be read, [`StorageError::Damaged`] when it is not what its digest says.
    pub fn pack_layer(&self, plain: &Blob, progress: &mut dyn FnMut(u64)) -> Result<Blob, PackError> {
        let Some(media_type) = media::gzip_type(&plain.media_type) else { return Ok(plain.clone()) };
        let failed = |source| PackError::Layer { layer: plain.digest.clone(), source };
        let packed = |digest, size| Blob { media_type: media_type.to_owned(), digest, size };
        let mut session = self.ingest()?;
        if let Some((digest, size)) = self.db.packed(&plain.digest)? {
            session.hold(&digest);
            if self.content.size(&digest) == Some(size) {
                return Ok(packed(digest, size));
            }
        }
        let start = Decoder::new(self.content.open(&plain.digest)?.take(6)).map(|decoder| decoder.compression);
        if start.map_err(failed)? != Compression::Plain {
            return Ok(plain.clone());
        }
        let file = Told { inner: self.content.open(&plain.digest)?, bytes: 0, tell: progress };
        let mut meter = Meter::new(file, plain.size);
        let mut encoder = GzEncoder::new(&mut meter, flate2::Compression::new(LEVEL));
        let (digest, size) = session.add(&mut encoder, u64::MAX).map_err(|error| match error {
            IngestError::Read(source) => failed(source),
            IngestError::Storage(error) => error.into(),
        })?;
        match meter.digest() {
            actual if actual == plain.digest => {}
            actual => return Err(StorageError::Damaged { digest: plain.digest.clone(), actual }.into()),
        }
        session.publish(&BTreeSet::from([digest.clone()]))?;
        self.db.set_packed(&plain.digest, &digest, size)?;
        Ok(packed(digest, size))
    }

    /// Puts compressed layers in the place of plain ones (by the digests of these), in everything that names them.
    ///
    /// # Errors
    /// When a document cannot be read.
    pub fn pack(&self, mut contents: Contents, layers: BTreeMap<Digest, Blob>) -> Result<Packed, PackError> {
        layers.values().for_each(|blob| contents.lease.hold(&blob.digest));
        let mut swap = Swap { replaced: layers, made: BTreeMap::new() };
        // Each comes after those that it names.
        for document in &contents.documents {
            let mut value: Value = serde_json::from_slice(&self.document(&document.digest)?)
                .map_err(|source| PackError::Parse { digest: document.digest.clone(), source })?;
            self.restate(&value, &mut swap)?;
            if swap.document(&mut value) {
                swap.make(document, value.to_string().into_bytes());
            }
        }
        let new = |blob: Blob| swap.replaced.get(&blob.digest).cloned().unwrap_or(blob);
        contents.blobs = unique(contents.blobs.into_iter().map(new));
        contents.documents = unique(contents.documents.into_iter().map(new));
        contents.top = new(contents.top);
        Ok(Packed { contents, made: swap.made })
    }

    /// Statements name the manifest that they are about by its digest: it gets the new one.
    fn restate(&self, manifest: &Value, swap: &mut Swap) -> Result<(), PackError> {
        for layer in manifest["layers"].as_array().into_iter().flatten() {
            let Some(blob) = blob(layer).filter(|blob| blob.media_type == STATEMENT) else { continue };
            if blob.size > self.limits.document_bytes || swap.replaced.contains_key(&blob.digest) {
                continue;
            }
            let old = String::from_utf8_lossy(&self.document(&blob.digest)?).into_owned();
            let renamed =
                swap.replaced.iter().fold(old.clone(), |text, (from, to)| text.replace(from.hex(), to.digest.hex()));
            if renamed != old {
                swap.make(&blob, renamed.into_bytes());
            }
        }
        Ok(())
    }
}

/// What stands for what now.
struct Swap {
    replaced: BTreeMap<Digest, Blob>,
    made: BTreeMap<Digest, Vec<u8>>,
}

impl Swap {
    fn make(&mut self, old: &Blob, bytes: Vec<u8>) {
        let digest = Digest::of(&bytes);
        let blob = Blob { media_type: old.media_type.clone(), digest: digest.clone(), size: bytes.len() as u64 };
        self.replaced.insert(old.digest.clone(), blob);
        self.made.insert(digest, bytes);
    }

    /// Whether anything in a manifest or index had to change.
    fn document(&self, value: &mut Value) -> bool {
        let mut changed = false;
        for list in ["layers", "manifests"] {
            for descriptor in value[list].as_array_mut().into_iter().flatten() {
                changed |= self.descriptor(descriptor);
            }
        }
        if let Some(subject) = value.get_mut("subject") {
            changed |= self.descriptor(subject);
        }
        changed
    }

    fn descriptor(&self, descriptor: &mut Value) -> bool {
        let mut changed = false;
        if let Some(new) = self.find(&descriptor["digest"]) {
            descriptor["mediaType"] = new.media_type.as_str().into();
            descriptor["digest"] = new.digest.as_str().into();
            descriptor["size"] = new.size.into();
            changed = true;
        }
        if let Some(about) = descriptor.get_mut("annotations").and_then(|all| all.get_mut(REFERENCE_DIGEST))
            && let Some(new) = self.find(about)
        {
            *about = new.digest.as_str().into();
            changed = true;
        }
        changed
    }

    fn find(&self, digest: &Value) -> Option<&Blob> {
        self.replaced.get(&digest.as_str()?.parse::<Digest>().ok()?)
    }
}

fn blob(descriptor: &Value) -> Option<Blob> {
    let media_type = descriptor["mediaType"].as_str()?.to_owned();
    Some(Blob { media_type, digest: descriptor["digest"].as_str()?.parse().ok()?, size: descriptor["size"].as_u64()? })
}

/// Tells how far a file has been read.
struct Told<'t> {
    inner: std::fs::File,
    bytes: u64,
    tell: &'t mut dyn FnMut(u64),
}

impl io::Read for Told<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        self.bytes += read as u64;
        (self.tell)(self.bytes);
        Ok(read)
    }
}
