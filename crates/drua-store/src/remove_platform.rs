//! Removing some platforms of an image: their manifests go, the index that lists them stays, and so does the image's id.

use std::collections::BTreeSet;

use drua_types::{Digest, Platform};

use crate::content::BlobSource as _;
use crate::remove::{ImageUse, RemoveError, Removed, short};
use crate::tree::{self, Node, TreeError};
use crate::wire::{Descriptor, REFERENCE_DIGEST};
use crate::{LookupError, Store};

/// What an image needs.
#[derive(Debug, Default)]
struct Needed {
    blobs: BTreeSet<Digest>,
    chain_ids: BTreeSet<Digest>,
}

impl Store {
    /// Removes these platforms of an image, with the attestations that are about them, and sweeps; returns the digests of
    /// the manifests that went. At least one platform stays: the last one goes with its image.
    ///
    /// `used_by` names a container of a manifest, `in_use` one of an image; both are asked while nobody can begin to use
    /// the image.
    ///
    /// # Errors
    /// As [`Store::get`]; [`RemoveError::LastPlatform`]; [`RemoveError::PlatformInUse`].
    pub fn remove_platforms(
        &self,
        name: &str,
        platforms: &[Platform],
        used_by: &dyn Fn(&Digest) -> Option<ImageUse>,
        in_use: &dyn Fn(&Digest) -> Option<ImageUse>,
    ) -> Result<Vec<Removed>, RemoveError> {
        let top = self.find(name)?.descriptor;
        let content = |source| LookupError::Content { name: name.to_owned(), source };
        let nodes = self.tree(&top, None).map_err(content)?.nodes;
        let (mut gone, mut kept): (Vec<Node>, Vec<Node>) = (Vec::new(), Vec::new());
        for platform in platforms {
            if !nodes.iter().any(|node| node.config.platform.satisfies(platform)) {
                let available = nodes.iter().map(|node| node.config.platform.clone()).collect();
                let (name, platform) = (name.to_owned(), platform.clone());
                return Err(LookupError::Platform { name, platform, available }.into());
            }
        }
        for node in nodes {
            match platforms.iter().any(|platform| node.config.platform.satisfies(platform)) {
                true => gone.push(node),
                false => kept.push(node),
            }
        }
        if kept.is_empty() {
            return Err(RemoveError::LastPlatform { name: name.to_owned() });
        }
        let mut needed = Needed { blobs: BTreeSet::new(), chain_ids: crate::load::chain_ids(&kept) };
        let digests: BTreeSet<Digest> = gone.iter().map(|node| node.descriptor.digest.clone()).collect();
        self.gather_needed(&top, &digests, &mut needed, 0).map_err(content)?;
        {
            let held = self.holds.freeze();
            if held.is_image_held(&top.digest) {
                return Err(RemoveError::Busy { image: top.digest.short().to_owned() });
            }
            digests.iter().try_for_each(|digest| refuse_if_used(digest, used_by(digest)))?;
            self.db.set_parts(&top.digest, &needed.blobs, &needed.chain_ids)?;
        }
        self.sweep(in_use)?;
        Ok(digests.into_iter().map(Removed::Deleted).collect())
    }

    /// Everything below `at` that is here, but for what belongs to manifests that go.
    fn gather_needed(
        &self,
        at: &Descriptor,
        gone: &BTreeSet<Digest>,
        needed: &mut Needed,
        depth: usize,
    ) -> Result<(), TreeError> {
        if depth > self.limits.documents {
            return Err(tree::invalid(&at.digest, "it has too many manifests".to_owned()));
        }
        let about = at.annotation(REFERENCE_DIGEST).and_then(|text| text.parse::<Digest>().ok());
        let goes = gone.contains(&at.digest) || about.is_some_and(|digest| gone.contains(&digest));
        if goes || self.content.size(&at.digest).is_none() || !needed.blobs.insert(at.digest.clone()) {
            return Ok(());
        }
        let document = tree::parse_document(&self.content, at, &self.limits)?;
        let parts = document.config.iter().chain(document.layers.iter().flatten());
        needed.blobs.extend(parts.map(|part| part.digest.clone()).filter(|part| self.content.size(part).is_some()));
        document.manifests.iter().flatten().try_for_each(|below| self.gather_needed(below, gone, needed, depth + 1))
    }
}

/// A container needs the layers of its manifest, whether it runs or not.
fn refuse_if_used(manifest: &Digest, user: Option<ImageUse>) -> Result<(), RemoveError> {
    match user {
        None => Ok(()),
        Some(user) => {
            Err(RemoveError::PlatformInUse { image: manifest.short().to_owned(), container: short(&user.container_id) })
        }
    }
}
