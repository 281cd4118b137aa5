//! What images take on disk, alone and together.

use std::collections::{BTreeMap, HashMap};

use drua_types::Digest;

use crate::Store;
use crate::storage::StorageError;

/// What one image takes on disk, over all its platforms that are here.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ImageUsage {
    /// Bytes of its blobs and unpacked layers.
    pub total: u64,
    /// Of those, bytes that other images need, too.
    pub shared: u64,
}

impl Store {
    /// What each image takes. The sum of what images have alone, and of what is shared once, is all that images take.
    ///
    /// # Errors
    /// When the disk or the database fails.
    pub fn usage(&self) -> Result<BTreeMap<Digest, ImageUsage>, StorageError> {
        let blob_sizes: HashMap<Digest, u64> = self.content.list()?.into_iter().collect();
        let size_of_layer = |chain_id: &Digest| self.layers.size(chain_id).unwrap_or(0);
        let mut layer_sizes: HashMap<Digest, u64> = HashMap::new();
        let mut usage: BTreeMap<Digest, ImageUsage> = BTreeMap::new();
        let mut add = |pairs: &[(Digest, Digest)], size: &mut dyn FnMut(&Digest) -> u64| {
            let mut users: HashMap<&Digest, usize> = HashMap::new();
            pairs.iter().for_each(|(_, part)| *users.entry(part).or_default() += 1);
            for (image, part) in pairs {
                let bytes = size(part);
                let usage = usage.entry(image.clone()).or_default();
                usage.total += bytes;
                usage.shared += if users[part] > 1 { bytes } else { 0 };
            }
        };
        add(&self.db.image_content()?, &mut |digest| blob_sizes.get(digest).copied().unwrap_or(0));
        add(&self.db.image_layers()?, &mut |chain_id| {
            *layer_sizes.entry(chain_id.clone()).or_insert_with(|| size_of_layer(chain_id))
        });
        Ok(usage)
    }
}
