//! What an image's index lists, whether it is here or not: for `images --tree` and `inspect`'s `Manifests`.

use drua_types::{Digest, Platform};

use crate::content::BlobSource as _;
use crate::receive::Blob;
use crate::tree;
use crate::wire::{Descriptor, REFERENCE_DIGEST, WirePlatform};
use crate::{Image, LookupError, Store};

/// One manifest of an image.
#[derive(Debug, Clone)]
pub struct ManifestInfo {
    /// The manifest.
    pub blob: Blob,
    /// As its descriptor declares it, or else its configuration; `unknown/unknown` for attestations.
    pub platform: Option<Platform>,
    /// Whether all its content is here.
    pub available: bool,
    /// Bytes of its blobs that are here.
    pub content_size: u64,
    /// What it is.
    pub kind: ManifestKind,
}

/// What a manifest is.
#[derive(Debug, Clone)]
pub enum ManifestKind {
    /// An image; its details when it is here.
    Image(Option<Box<Image>>),
    /// BuildKit's provenance or SBOM of the manifest with this digest.
    Attestation(Option<Digest>),
    /// Not known: it is not here and does not say.
    Unknown,
}

impl Store {
    /// The manifests of an image in its index's order, nested ones included; of a plain manifest itself alone.
    ///
    /// # Errors
    /// As [`Store::get`].
    pub fn manifests(&self, name: &str) -> Result<Vec<ManifestInfo>, LookupError> {
        let top = self.find(name)?.descriptor;
        let mut found = Vec::new();
        let content = |source| LookupError::Content { name: name.to_owned(), source };
        self.list_manifests(&top, &top, &mut found, 0).map_err(content)?;
        Ok(found)
    }

    fn list_manifests(
        &self,
        top: &Descriptor,
        at: &Descriptor,
        found: &mut Vec<ManifestInfo>,
        depth: usize,
    ) -> Result<(), tree::TreeError> {
        if depth > self.limits.documents || found.len() > self.limits.documents {
            return Err(tree::invalid(&top.digest, "it has too many manifests".to_owned()));
        }
        let platform = at.platform.as_ref().map(WirePlatform::to_platform);
        let kind = if at.is_attestation() {
            ManifestKind::Attestation(at.annotation(REFERENCE_DIGEST).and_then(|digest| digest.parse().ok()))
        } else {
            ManifestKind::Unknown
        };
        let mut info = ManifestInfo { blob: at.into(), platform, available: false, content_size: 0, kind };
        if self.content.size(&at.digest).is_none() {
            found.push(info);
            return Ok(());
        }
        let document = tree::parse_document(&self.content, at, &self.limits)?;
        if let Some(manifests) = &document.manifests {
            return manifests.iter().try_for_each(|below| self.list_manifests(top, below, found, depth + 1));
        }
        let blobs: Vec<&Descriptor> = document.config.iter().chain(document.layers.iter().flatten()).collect();
        let here = |blob: &&&Descriptor| self.content.size(&blob.digest) == Some(blob.size);
        info.available = blobs.iter().all(|blob| here(&blob));
        info.content_size = at.size + blobs.iter().filter(here).map(|blob| blob.size).sum::<u64>();
        if info.available && !at.is_attestation() {
            let node = tree::node(&self.content, at.clone(), document, &self.limits)?;
            info.platform = Some(info.platform.unwrap_or_else(|| node.config.platform.clone()));
            info.kind = ManifestKind::Image(Some(Box::new(self.image(top, Vec::new(), Vec::new(), node))));
        } else if !at.is_attestation() {
            info.kind = ManifestKind::Image(None);
        }
        found.push(info);
        Ok(())
    }
}
