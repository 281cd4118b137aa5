use std::collections::BTreeSet;
use std::io::{self, Read};

use drua_types::{Classify, Digest, ErrorKind, Hint, ImageRef, InvalidImageRef, Platform};

use crate::archive::{Archive, ArchivedImage};
use crate::content::{BlobSource, Ingest};
use crate::db::Record;
use crate::layers::{Batch, UnpackError};
use crate::storage::StorageError;
use crate::tar_stream::TarError;
use crate::tree::{self, Node, Tree, TreeError};
use crate::{Layer, LayerContent, Store};

/// Progress of [`Store::load`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LoadEvent {
    /// A layer is being verified and, if it can run here, unpacked. Told at least at its end, where both numbers agree.
    Layer {
        /// The layer's diff id, or its blob's digest when it is no tar.
        id: Digest,
        /// Bytes of the blob done.
        current: u64,
        /// Bytes of the blob.
        total: u64,
    },
}

/// An image that was loaded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Loaded {
    /// The image's id.
    pub id: Digest,
    /// Names that it got; other images that had them have lost them.
    pub names: Vec<ImageRef>,
}

impl Loaded {
    /// What `docker load` prints: `Loaded image: busybox:latest` for each name, or `Loaded image ID: sha256:…`.
    pub fn messages(&self) -> Vec<String> {
        match self.names.is_empty() {
            true => vec![format!("Loaded image ID: {}", self.id)],
            false => self.names.iter().map(|name| format!("Loaded image: {}", name.familiar())).collect(),
        }
    }
}

/// An archive could not be loaded. Nothing of it is left in the store.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The archive could not be read or decompressed.
    #[error("failed to read the archive")]
    Read {
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// The archive is no tar.
    #[error("failed to load the archive")]
    Tar {
        /// What is wrong.
        #[source]
        source: TarError,
    },
    /// A path in the archive leads out of it.
    #[error("invalid path `{path}` in the archive")]
    Path {
        /// The path.
        path: String,
    },
    /// A blob is not what its name says.
    #[error("`{path}` has digest `{actual}`: the archive is damaged")]
    Digest {
        /// The blob's path.
        path: String,
        /// Its real digest.
        actual: Digest,
    },
    /// The archive's manifest names a file that is not in it.
    #[error("`{path}` is missing in the archive")]
    MissingFile {
        /// The file.
        path: String,
    },
    /// The archive has no image.
    #[error("the archive is not an image: {reason}")]
    NotAnImage {
        /// What is missing.
        reason: String,
    },
    /// `index.json` or `manifest.json` is malformed.
    #[error("failed to parse `{file}` of the archive")]
    Parse {
        /// Which.
        file: &'static str,
        /// Why.
        #[source]
        source: serde_json::Error,
    },
    /// An image in the archive has a name that is none.
    #[error("the archive has an image with an invalid name")]
    Name {
        /// What is wrong with it.
        #[source]
        source: InvalidImageRef,
    },
    /// An image's documents do not fit together.
    #[error("failed to load an image of the archive")]
    Tree {
        /// What is wrong.
        #[source]
        source: TreeError,
    },
    /// An image has not all content for any platform.
    #[error("image `{id}` is incomplete: content `{missing}` is not in the archive")]
    Incomplete {
        /// The image.
        id: Digest,
        /// One blob that is missing.
        missing: Digest,
    },
    /// An image is not there for the platform that was asked for.
    #[error("image `{id}` was found but does not provide the specified platform ({platform})")]
    Platform {
        /// The image.
        id: Digest,
        /// The platform.
        platform: Platform,
    },
    /// A layer is no good.
    #[error("failed to load a layer")]
    Layer {
        /// Why.
        #[source]
        source: UnpackError,
    },
    /// The disk or the database failed.
    #[error(transparent)]
    Storage(StorageError),
}

impl From<TreeError> for LoadError {
    fn from(source: TreeError) -> Self {
        Self::Tree { source }
    }
}

impl From<UnpackError> for LoadError {
    fn from(source: UnpackError) -> Self {
        Self::Layer { source }
    }
}

impl Classify for LoadError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Platform { .. } => ErrorKind::NotFound,
            Self::Tree { source } => source.kind(),
            Self::Layer { source } => source.kind(),
            Self::Storage(error) => error.kind(),
            Self::Read { .. }
            | Self::Tar { .. }
            | Self::Path { .. }
            | Self::Digest { .. }
            | Self::MissingFile { .. }
            | Self::NotAnImage { .. }
            | Self::Parse { .. }
            | Self::Name { .. }
            | Self::Incomplete { .. } => ErrorKind::Invalid,
        }
    }
}

impl Hint for LoadError {
    fn hints(&self) -> Vec<String> {
        match self {
            Self::NotAnImage { .. } => {
                vec!["for the tar of a root filesystem, use `drua import FILE NAME`".to_owned()]
            }
            Self::Layer { source } => source.hints(),
            Self::Storage(error) => error.hints(),
            _ => Vec::new(),
        }
    }
}

impl Store {
    /// Takes in the images of an archive: an OCI layout, a docker-archive, or both in one, plain or compressed
    /// with gzip, zstd, xz or bzip2.
    ///
    /// Every digest, size and diff id is verified; layers for platforms that run here are unpacked. Of an index it is
    /// enough that one platform is complete. With `platform`, only that one is taken. All or nothing: a failure, a
    /// `kill -9` or a full disk leaves the store as it was.
    ///
    /// # Errors
    /// Kind [`ErrorKind::Invalid`] for an archive that is damaged, hostile or none; [`ErrorKind::NotFound`] when it has
    /// not the platform; [`ErrorKind::Internal`] when the disk fails.
    pub fn load(
        &self,
        archive: &mut dyn Read,
        platform: Option<&Platform>,
        on: &mut dyn FnMut(LoadEvent),
    ) -> Result<Vec<Loaded>, LoadError> {
        let mut session = self.ingest()?;
        let archive = Archive::read(&mut session, archive, self.limits)?;
        let images = archive.images(&mut session, self.limits)?;
        let batch = Batch::new(&self.layers, self.limits);
        let mut records = Vec::new();
        for ArchivedImage { descriptor, names } in images {
            let tree = tree::read(&session, &descriptor, platform, &self.limits)?;
            check_complete(&descriptor.digest, &tree, platform)?;
            let chain_ids = chain_ids(&tree.nodes);
            chain_ids.iter().for_each(|chain_id| session.hold(chain_id));
            for node in &tree.nodes {
                take_layers(&session, &batch, node, on)?;
            }
            records.push(Record { descriptor, names, blobs: tree.blobs, chain_ids });
        }
        self.record(&mut session, &batch, &records)?;
        let loaded = |record: Record| Loaded { id: record.descriptor.digest, names: record.names };
        Ok(records.into_iter().map(loaded).collect())
    }

    /// Steps 2 and 3 of the crate's rule: sync and rename, then one transaction.
    pub(crate) fn record(&self, session: &mut Ingest, batch: &Batch, records: &[Record]) -> Result<(), StorageError> {
        let wanted: BTreeSet<Digest> = records.iter().flat_map(|record| record.blobs.iter().cloned()).collect();
        batch.publish()?;
        session.publish(&wanted)?;
        self.db.record(records)?;
        self.write_index()
    }
}

/// Verifies a manifest's layers, and unpacks them when they run here.
pub(crate) fn take_layers(
    source: &dyn BlobSource,
    batch: &Batch,
    node: &Node,
    on: &mut dyn FnMut(LoadEvent),
) -> Result<(), UnpackError> {
    let mut below: Vec<Digest> = Vec::new();
    for layer in &node.layers {
        let Some(chain_id) = &layer.chain_id else { continue };
        let event = |current| LoadEvent::Layer { id: shown_id(layer), current, total: layer.size };
        let mut progress = |current| on(event(current));
        if node.config.platform.runs_here() || batch.has(chain_id) {
            batch.complete(source, layer, &below, &mut progress)?;
        } else {
            batch.verify(source, layer, &mut progress)?;
        }
        on(event(layer.size));
        below.insert(0, chain_id.clone());
    }
    Ok(())
}

pub(crate) fn chain_ids(nodes: &[Node]) -> BTreeSet<Digest> {
    nodes.iter().flat_map(|node| &node.layers).filter_map(|layer| layer.chain_id.clone()).collect()
}

fn shown_id(layer: &Layer) -> Digest {
    match &layer.content {
        LayerContent::Tar { diff_id } => diff_id.clone(),
        LayerContent::Wasm { .. } | LayerContent::Opaque => layer.digest.clone(),
    }
}

pub(crate) fn check_complete(id: &Digest, tree: &Tree, platform: Option<&Platform>) -> Result<(), LoadError> {
    if !tree.nodes.is_empty() {
        return Ok(());
    }
    match (tree.incomplete.first(), platform) {
        (Some((_, missing)), _) => Err(LoadError::Incomplete { id: id.clone(), missing: missing.clone() }),
        (None, Some(platform)) => Err(LoadError::Platform { id: id.clone(), platform: platform.clone() }),
        (None, None) => Err(LoadError::NotAnImage { reason: format!("`{id}` names no manifest") }),
    }
}
