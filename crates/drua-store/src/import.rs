use std::io::{self, Read};

use drua_types::{Classify, Digest, ErrorKind, Hint, ImageRef, Platform};
use jiff::Timestamp;
use oci_spec::image::Config;
use serde_json::json;

use crate::Store;
use crate::archive::layer_type;
use crate::changes::{self, ChangeError};
use crate::content::{BlobSource as _, IngestError};
use crate::db::Record;
use crate::decode::{self, Compression, Decoder, Meter};
use crate::layers::{Batch, UnpackError};
use crate::limits::Budget;
use crate::load::chain_ids;
use crate::media;
use crate::storage::StorageError;
use crate::tree::{self, TreeError};
use crate::wire::{Descriptor, NewManifest};

/// What `docker import` says about the image that a root filesystem becomes.
#[derive(Debug, Clone, Default)]
pub struct Import {
    /// The image's name; without one it is dangling.
    pub name: Option<ImageRef>,
    /// The image's comment; Docker's default is `Imported from -`.
    pub message: String,
    /// Dockerfile instructions: CMD, ENTRYPOINT, ENV, EXPOSE, LABEL, STOPSIGNAL, USER, VOLUME, WORKDIR; ONBUILD is ignored.
    pub changes: Vec<String>,
    /// What it runs on; the host by default.
    pub platform: Option<Platform>,
}

/// A root filesystem could not be imported. Nothing of it is left in the store.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// The tar could not be read or decompressed.
    #[error("failed to read the archive")]
    Read {
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// An instruction is wrong.
    #[error(transparent)]
    Change(#[from] ChangeError),
    /// The stream is no tar, or a hostile one.
    #[error("failed to import the root filesystem")]
    Layer {
        /// Why.
        #[source]
        source: UnpackError,
    },
    /// The stream ends without a tar's end marker.
    #[error("failed to import the root filesystem: the archive is truncated")]
    Truncated,
    /// The documents that were made do not fit together.
    #[error("failed to make an image of the root filesystem")]
    Tree {
        /// Why.
        #[source]
        source: TreeError,
    },
    /// The disk or the database failed.
    #[error(transparent)]
    Storage(#[from] StorageError),
}

impl Classify for ImportError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Read { .. } | Self::Change(_) | Self::Truncated => ErrorKind::Invalid,
            Self::Layer { source } => source.kind(),
            Self::Tree { source } => source.kind(),
            Self::Storage(error) => error.kind(),
        }
    }
}

impl Hint for ImportError {
    fn hints(&self) -> Vec<String> {
        match self {
            Self::Layer { source } => source.hints(),
            Self::Storage(error) => error.hints(),
            _ => Vec::new(),
        }
    }
}

impl Store {
    /// Makes an image with one layer of the tar of a root filesystem, plain or compressed. The layer is kept as it came,
    /// unless that is xz or bzip2, which layers of images cannot be: then it is kept plain.
    ///
    /// # Errors
    /// Kind [`ErrorKind::Invalid`] for a stream that is no tar, damaged or hostile, and for bad instructions.
    pub fn import(&self, tar: &mut dyn Read, import: Import) -> Result<Digest, ImportError> {
        let mut config = Config::default();
        import.changes.iter().try_for_each(|change| changes::apply(&mut config, change))?;
        let platform = import.platform.unwrap_or_else(Platform::host);
        let mut session = self.ingest()?;
        let mut tar = decode::common(tar).map_err(|source| ImportError::Read { source })?;
        let (blob, size) = session.add(&mut *tar, self.limits.unpacked_bytes).map_err(|error| match error {
            IngestError::Read(source) => ImportError::Read { source },
            IngestError::Storage(error) => ImportError::Storage(error),
        })?;
        let (diff_id, compression) = self.measure(session.open(&blob)?, size)?;
        let config = configuration(&config, &platform, &import.message, &diff_id);
        let config_digest = session.add_bytes(&config)?;
        let config_descriptor = Descriptor::new(media::OCI_CONFIG, config_digest, config.len() as u64);
        let layer = Descriptor::new(layer_type(compression), blob, size);
        let manifest = serde_json::to_vec(&NewManifest::new(config_descriptor, vec![layer]));
        let manifest = manifest.expect("strings and numbers serialize");
        let id = session.add_bytes(&manifest)?;
        let descriptor = Descriptor::new(media::OCI_MANIFEST, id.clone(), manifest.len() as u64);
        let tree =
            tree::read(&session, &descriptor, None, &self.limits).map_err(|source| ImportError::Tree { source })?;
        let batch = Batch::new(&self.layers, self.limits);
        let chain_ids = chain_ids(&tree.nodes);
        // Unpacked whatever its platform is: that is what finds out whether it is the tar of a root filesystem at all.
        for layer in tree.nodes.iter().flat_map(|node| &node.layers) {
            chain_ids.iter().for_each(|chain_id| session.hold(chain_id));
            let unpacked = batch.complete(&session, layer, &[], &mut |_| {});
            unpacked.map_err(|source| ImportError::Layer { source })?;
        }
        if !chain_ids.iter().all(|chain_id| batch.ended(chain_id)) {
            return Err(ImportError::Truncated);
        }
        let names = import.name.into_iter().collect();
        self.record(&mut session, &batch, &[Record { descriptor, names, blobs: tree.blobs, chain_ids }])?;
        Ok(id)
    }

    /// Digest of the decompressed stream.
    fn measure(&self, blob: std::fs::File, size: u64) -> Result<(Digest, Compression), ImportError> {
        let read = |source| ImportError::Read { source };
        let decoder = Decoder::new(blob).map_err(read)?;
        let compression = decoder.compression;
        let mut stream = Meter::charged(decoder, &Budget::new(self.limits), size);
        stream.drain().map_err(read)?;
        if stream.bytes == 0 {
            return Err(ImportError::Truncated);
        }
        Ok((stream.digest(), compression))
    }
}

fn configuration(config: &Config, platform: &Platform, message: &str, diff_id: &Digest) -> Vec<u8> {
    let now = Timestamp::now().to_string();
    let message = if message.is_empty() { "Imported from -" } else { message };
    let mut fields = json!({
        "created": now,
        "architecture": platform.architecture(),
        "os": platform.os(),
        "comment": message,
        "config": config,
        "rootfs": {"type": "layers", "diff_ids": [diff_id]},
        "history": [{"created": now, "comment": message}],
    });
    if let Some(variant) = platform.variant() {
        fields["variant"] = json!(variant);
    }
    serde_json::to_vec(&fields).expect("a JSON value serializes")
}
