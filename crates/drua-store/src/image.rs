use std::collections::BTreeMap;
use std::path::PathBuf;

use drua_types::{Digest, ImageRef, Platform};
use jiff::Timestamp;
use oci_spec::image::ImageConfiguration;

use crate::config::DockerFields;

/// What a layer gives to the root filesystem.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LayerContent {
    /// A tar, plain or compressed.
    Tar {
        /// Digest of the uncompressed tar.
        diff_id: Digest,
    },
    /// One WebAssembly module, which becomes one file in the root directory.
    Wasm {
        /// The file's name.
        file_name: String,
    },
    /// Nothing: a blob that only its own tools understand (Spin's application, attestations).
    Opaque,
}

/// One layer of an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layer {
    /// The layer's blob.
    pub digest: Digest,
    /// The blob's size in bytes.
    pub size: u64,
    /// The blob's media type.
    pub media_type: String,
    /// The descriptor's annotations.
    pub annotations: BTreeMap<String, String>,
    /// What it is in the root filesystem.
    pub content: LayerContent,
    /// The layer together with all below it; `None` for [`LayerContent::Opaque`].
    pub chain_id: Option<Digest>,
}

impl Layer {
    /// The layer's blob.
    pub fn blob(&self) -> crate::Blob {
        crate::Blob { media_type: self.media_type.clone(), digest: self.digest.clone(), size: self.size }
    }
}

/// An image, seen for one platform.
#[derive(Debug, Clone)]
pub struct Image {
    /// Digest of the top-level descriptor, index or manifest: what Docker shows as the image's id.
    pub id: Digest,
    /// Media type of the top-level descriptor.
    pub media_type: String,
    /// Size in bytes of the top-level document.
    pub descriptor_size: u64,
    /// The manifest for [`Image::platform`]; the same as `id` unless that is an index.
    pub manifest_digest: Digest,
    /// Media type of the manifest.
    pub manifest_media_type: String,
    /// Size in bytes of the manifest.
    pub manifest_size: u64,
    /// Digest of the configuration.
    pub config_digest: Digest,
    /// Tags, sorted. Empty for a dangling image.
    pub names: Vec<ImageRef>,
    /// `repository@id` for every repository that has a name of this image, sorted.
    pub repo_digests: Vec<ImageRef>,
    /// What it runs on.
    pub platform: Platform,
    /// Every platform that the store has all content for.
    pub platforms: Vec<Platform>,
    /// When it was made.
    pub created: Option<Timestamp>,
    /// Bytes of this platform's blobs plus its unpacked layers: about what it takes on disk, as Docker's containerd store
    /// counts. Layers shared with other images count in each.
    pub size: u64,
    /// Bytes of this platform's blobs alone.
    pub content_size: u64,
    /// The configuration, with what was missing filled in.
    pub config: ImageConfiguration,
    /// What Docker adds to it.
    pub docker: DockerFields,
    /// The manifest's annotations.
    pub annotations: BTreeMap<String, String>,
    /// Media type of the configuration.
    pub config_media_type: String,
    /// The layers, lowest first.
    pub layers: Vec<Layer>,
    /// Where the first module layer is in the root filesystem, for example `/module.wasm`; `None` for ordinary images.
    /// Such images often have no entrypoint: this is the one to assume.
    pub wasm_module: Option<PathBuf>,
}

impl Image {
    /// Chain ids of the layers that make the root filesystem, lowest first; empty for an image without one.
    pub fn chain_ids(&self) -> impl DoubleEndedIterator<Item = &Digest> {
        self.layers.iter().filter_map(|layer| layer.chain_id.as_ref())
    }
}
