//! Everything that an image consists of, for whoever copies it elsewhere.

use std::collections::BTreeSet;

use drua_types::{Digest, ImageRef, Platform};

use crate::content::BlobSource as _;
use crate::receive::Blob;
use crate::storage::StorageError;
use crate::tree;
use crate::wire::Descriptor;
use crate::{Lease, LookupError, Store};

/// What has to be copied, and in which order: first `blobs`, then `documents` in their order, of which the last is the
/// one to be named.
#[derive(Debug)]
pub struct Contents {
    /// The document that stands for the image: its index, or the manifest of the platform that was asked for.
    pub top: Blob,
    /// Manifests and indexes, each after those that it names; attestations included.
    pub documents: Vec<Blob>,
    /// Configurations and layers, each once.
    pub blobs: Vec<Blob>,
    /// Manifests of `top` that are not here, or not whole: other platforms that were never pulled.
    pub missing: Vec<Digest>,
    /// Keeps all of it from being removed.
    pub lease: Lease,
}

impl Store {
    /// What an image consists of: all that is here, or with `platform` only that platform's manifest.
    ///
    /// # Errors
    /// As [`Store::get`].
    pub fn contents(&self, name: &str, platform: Option<&Platform>) -> Result<Contents, LookupError> {
        let (image, mut lease) = self.acquire(name, platform)?;
        let top = match platform {
            Some(_) => Descriptor::new(&image.manifest_media_type, image.manifest_digest.clone(), image.manifest_size),
            None => Descriptor::new(&image.media_type, image.id.clone(), image.descriptor_size),
        };
        let content = |source| LookupError::Content { name: name.to_owned(), source };
        let mut found = Contents {
            top: Blob::from(&top),
            documents: Vec::new(),
            blobs: Vec::new(),
            missing: Vec::new(),
            lease: self.lease(),
        };
        let mut seen = BTreeSet::new();
        self.gather_contents(&top, &mut found, &mut seen, 0).map_err(content)?;
        found.blobs.iter().chain(&found.documents).for_each(|blob| lease.hold(&blob.digest));
        found.lease = lease;
        Ok(found)
    }

    /// Whether `at` and everything below it is here; documents are appended after those that they name.
    fn gather_contents(
        &self,
        at: &Descriptor,
        found: &mut Contents,
        seen: &mut BTreeSet<Digest>,
        depth: usize,
    ) -> Result<(), tree::TreeError> {
        if !seen.insert(at.digest.clone()) {
            return Ok(());
        }
        if depth > self.limits.documents || seen.len() > 100 * self.limits.documents {
            return Err(tree::invalid(&at.digest, "it has too many manifests".to_owned()));
        }
        if self.content.size(&at.digest).is_none() {
            found.missing.push(at.digest.clone());
            return Ok(());
        }
        let document = tree::parse_document(&self.content, at, &self.limits)?;
        for below in document.manifests.iter().flatten() {
            self.gather_contents(below, found, seen, depth + 1)?;
        }
        let blobs: Vec<&Descriptor> = document.config.iter().chain(document.layers.iter().flatten()).collect();
        if blobs.iter().any(|blob| self.content.size(&blob.digest) != Some(blob.size)) {
            found.missing.push(at.digest.clone());
            return Ok(());
        }
        found.blobs.extend(blobs.into_iter().filter(|blob| seen.insert(blob.digest.clone())).map(Blob::from));
        found.documents.push(at.into());
        Ok(())
    }

    /// A blob's size in bytes; `None` when it is not here.
    pub fn blob_size(&self, digest: &Digest) -> Option<u64> {
        self.content.size(digest)
    }

    /// A small document of the store, verified: a manifest, index or configuration.
    ///
    /// # Errors
    /// [`StorageError::Missing`], [`StorageError::Damaged`], or when it is longer than [`crate::Limits::document_bytes`].
    pub fn document(&self, digest: &Digest) -> Result<Vec<u8>, StorageError> {
        self.content.read(digest, self.limits.document_bytes)
    }

    /// A blob's file, not verified again: it was when it came in.
    ///
    /// # Errors
    /// [`StorageError::Missing`], or when it cannot be opened.
    pub fn open_blob(&self, digest: &Digest) -> Result<std::fs::File, StorageError> {
        self.content.open(digest)
    }

    /// Names of images that have this blob: a registry that knows one of them may mount the blob from there.
    ///
    /// # Errors
    /// When the database fails.
    pub fn names_with_blob(&self, digest: &Digest) -> Result<Vec<ImageRef>, StorageError> {
        self.db.names_with_blob(digest)
    }
}
