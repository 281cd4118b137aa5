//! Indexes made here: several images under one name, one for each platform (`manifest create`, `manifest annotate`).

use std::collections::BTreeMap;

use drua_types::{Classify, Digest, ErrorKind, ImageRef, Platform};

use crate::receive::{Blob, NewImage};
use crate::storage::StorageError;
use crate::tree;
use crate::wire::{Descriptor, NewIndex, WirePlatform};
use crate::{LoadError, LookupError, Store, media};

/// An index could not be made.
#[derive(Debug, thiserror::Error)]
pub enum IndexError {
    /// One of the images is not there.
    #[error(transparent)]
    Lookup(#[from] LookupError),
    /// A document cannot be read.
    #[error("failed to read an image")]
    Tree {
        /// Why not.
        #[source]
        source: tree::TreeError,
    },
    /// Two images are for the same platform.
    #[error("`{name}` is for {platform}, as another image of the list is")]
    SamePlatform {
        /// The second of them.
        name: String,
        /// The platform.
        platform: Box<Platform>,
    },
    /// What should be changed is not in the index.
    #[error("`{list}` has no manifest `{manifest}`")]
    NotInIndex {
        /// The index's name.
        list: String,
        /// What was looked for.
        manifest: String,
    },
    /// The index cannot be recorded.
    #[error("failed to record the index")]
    Commit {
        /// Why not.
        #[source]
        source: Box<LoadError>,
    },
    /// The disk failed.
    #[error(transparent)]
    Storage(#[from] StorageError),
}

impl Classify for IndexError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Lookup(error) => error.kind(),
            Self::Tree { source } => source.kind(),
            Self::SamePlatform { .. } => ErrorKind::Conflict,
            Self::NotInIndex { .. } => ErrorKind::NotFound,
            Self::Commit { source } => source.kind(),
            Self::Storage(error) => error.kind(),
        }
    }
}

/// What `manifest annotate` changes of an entry.
#[derive(Debug, Clone, Default)]
pub struct Annotate {
    /// The platform to declare.
    pub platform: Option<Platform>,
    /// Annotations to add or replace.
    pub annotations: BTreeMap<String, String>,
}

impl Store {
    /// Makes an index of images that are here and gives it a name. Of an image that is an index itself, all manifests that
    /// are here come along, attestations included.
    ///
    /// # Errors
    /// [`IndexError::Lookup`] for an image that is not here, [`IndexError::SamePlatform`].
    pub fn make_index(&self, name: &ImageRef, images: &[String]) -> Result<Digest, IndexError> {
        let mut entries: Vec<Descriptor> = Vec::new();
        let mut leases = Vec::new();
        for image in images {
            leases.push(self.acquire(image, None)?.1);
            for entry in self.entries(image)? {
                let platform = entry.platform.as_ref().map(WirePlatform::to_platform);
                let twice = |other: &Descriptor| {
                    !other.is_attestation() && other.platform.as_ref().map(WirePlatform::to_platform) == platform
                };
                if entries.iter().any(|other| other.digest == entry.digest) {
                    continue;
                }
                if let (Some(platform), false, true) = (&platform, entry.is_attestation(), entries.iter().any(twice)) {
                    return Err(IndexError::SamePlatform { name: image.clone(), platform: Box::new(platform.clone()) });
                }
                entries.push(entry);
            }
        }
        self.record_index(name, entries)
    }

    /// Changes what an index says about one of its manifests, named by digest or by an image that is here. The index gets
    /// another digest, and keeps its name.
    ///
    /// # Errors
    /// [`IndexError::NotInIndex`].
    pub fn annotate_index(&self, name: &ImageRef, manifest: &str, change: &Annotate) -> Result<Digest, IndexError> {
        let list = name.familiar();
        let (_, _lease) = self.acquire(&list, None)?;
        let mut entries = self.entries(&list)?;
        let wanted: Option<Digest> = match manifest.parse() {
            Ok(digest) => Some(digest),
            Err(_) => self.find(manifest).ok().map(|found| found.descriptor.digest),
        };
        let entry = entries.iter_mut().find(|entry| Some(&entry.digest) == wanted.as_ref());
        let Some(entry) = entry else {
            return Err(IndexError::NotInIndex { list, manifest: manifest.to_owned() });
        };
        if let Some(platform) = &change.platform {
            entry.platform = Some(wire_platform(platform));
        }
        if !change.annotations.is_empty() {
            entry.annotations.get_or_insert_default().extend(change.annotations.clone());
        }
        self.record_index(name, entries)
    }

    /// The entries that an image would have in an index.
    fn entries(&self, image: &str) -> Result<Vec<Descriptor>, IndexError> {
        let top = self.find(image)?.descriptor;
        let tree_error = |source| IndexError::Tree { source };
        if media::is_index(&top.media_type) {
            let document = tree::parse_document(&self.content, &top, &self.limits).map_err(tree_error)?;
            let here = |entry: &Descriptor| self.blob_size(&entry.digest).is_some();
            return Ok(document.manifests.unwrap_or_default().into_iter().filter(here).collect());
        }
        let document = tree::parse_document(&self.content, &top, &self.limits).map_err(tree_error)?;
        let node = tree::node(&self.content, top.clone(), document, &self.limits).map_err(tree_error)?;
        Ok(vec![Descriptor { platform: Some(wire_platform(&node.config.platform)), ..top }])
    }

    fn record_index(&self, name: &ImageRef, entries: Vec<Descriptor>) -> Result<Digest, IndexError> {
        let bytes = serde_json::to_vec(&NewIndex::new(entries)).expect("strings and numbers serialize");
        let receiving = self.receive()?;
        let digest = receiving.add_bytes(&bytes)?;
        let top = Blob { media_type: media::OCI_INDEX.to_owned(), digest: digest.clone(), size: bytes.len() as u64 };
        let image = NewImage { top, names: vec![name.clone()], platform: None };
        self.commit(&receiving, &[image]).map_err(|source| IndexError::Commit { source: Box::new(source) })?;
        Ok(digest)
    }

    /// The top-level document of an image, as it is in a registry.
    ///
    /// # Errors
    /// As [`Store::get`].
    pub fn top_document(&self, name: &str) -> Result<(Blob, Vec<u8>), LookupError> {
        let top = self.find(name)?.descriptor;
        let bytes = self.document(&top.digest)?;
        Ok((Blob::from(&top), bytes))
    }
}

fn wire_platform(platform: &Platform) -> WirePlatform {
    WirePlatform {
        architecture: platform.architecture().to_owned(),
        os: platform.os().to_owned(),
        variant: platform.variant().map(str::to_owned),
    }
}
