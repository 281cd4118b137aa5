use std::time::Duration;

use drua_types::Digest;

use crate::Store;
use crate::remove::ImageUse;
use crate::storage::StorageError;

/// What a sweep removed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Swept {
    /// Blobs removed.
    pub blobs: u64,
    /// Unpacked layers removed.
    pub layers: u64,
    /// Bytes of both.
    pub bytes: u64,
}

/// What the store takes on disk.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct DiskUsage {
    /// Images that can be seen.
    pub images: u64,
    /// Bytes of all blobs.
    pub content_bytes: u64,
    /// Bytes of the files in all unpacked layers, each once.
    pub layers_bytes: u64,
    /// Bytes of downloads that go on or were interrupted.
    pub partial_bytes: u64,
}

impl Store {
    /// Removes blobs and unpacked layers that no image needs, and images that were forcibly removed while a container
    /// used them and that `in_use` no longer names.
    ///
    /// [`Store::remove`] does this too. Worth calling when a container is removed and at start. Marking and unlinking
    /// hold up whoever brings images in for some milliseconds; removing layers' files happens after that.
    ///
    /// # Errors
    /// When the disk or the database fails; what was removed until then stays removed.
    pub fn sweep(&self, in_use: &dyn Fn(&Digest) -> Option<ImageUse>) -> Result<Swept, StorageError> {
        for id in self.db.removed_images()? {
            let held = self.holds.freeze();
            if !held.is_image_held(&id) && in_use(&id).is_none() {
                self.db.remove_image(&id)?;
            }
        }
        let mut swept = Swept::default();
        let mut retired = Vec::new();
        {
            // Held before recorded: so look at the holds before the records.
            let held = self.holds.freeze();
            self.db.forget_packed()?;
            let (blobs, chain_ids) = (self.db.blobs()?, self.db.chain_ids()?);
            let unwanted = |digest: &Digest| !held.is_held(digest);
            for (digest, bytes) in self.content.list()? {
                if !blobs.contains(&digest) && unwanted(&digest) {
                    self.content.delete(&digest)?;
                    swept.blobs += 1;
                    swept.bytes += bytes;
                }
            }
            for chain_id in self.layers.list()? {
                if !chain_ids.contains(&chain_id) && chain_id != crate::store::empty_layer() && unwanted(&chain_id) {
                    swept.bytes += self.layers.size(&chain_id).unwrap_or(0);
                    swept.layers += 1;
                    retired.push(self.layers.retire(&chain_id)?);
                }
            }
        }
        retired.iter().try_for_each(|name| self.layers.delete(name))?;
        Ok(swept)
    }

    /// Removes what is left of interrupted downloads, except those that go on now; returns how many bytes that freed.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn prune_partials(&self) -> Result<u64, StorageError> {
        let held = self.holds.freeze();
        self.partials.remove_older_than(Duration::ZERO, &|digest| held.is_held(digest))
    }

    /// Adds up what the store takes on disk.
    ///
    /// # Errors
    /// When a directory cannot be read.
    pub fn disk_usage(&self) -> Result<DiskUsage, StorageError> {
        Ok(DiskUsage {
            images: self.db.images()?.len() as u64,
            content_bytes: self.content.list()?.iter().map(|(_, bytes)| bytes).sum(),
            layers_bytes: self.layers.list()?.iter().filter_map(|chain_id| self.layers.size(chain_id)).sum(),
            partial_bytes: self.partials.bytes()?,
        })
    }
}
