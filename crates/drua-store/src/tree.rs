//! From a top-level descriptor to the manifests below it, their configurations and layers.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use drua_types::{Classify, Digest, ErrorKind, Platform};

use crate::Limits;
use crate::config::{self, ParsedConfig};
use crate::content::BlobSource;
use crate::image::{Layer, LayerContent};
use crate::media;
use crate::storage::StorageError;
use crate::wire::{Descriptor, Document, TITLE, WirePlatform};

/// An image's documents do not fit together.
#[derive(Debug, thiserror::Error)]
pub enum TreeError {
    /// A blob could not be read.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// A document is not the JSON it should be.
    #[error("failed to parse {what} `{digest}`")]
    Parse {
        /// `manifest` or `configuration`.
        what: &'static str,
        /// The document.
        digest: Digest,
        /// Why not.
        #[source]
        source: serde_json::Error,
    },
    /// There is nothing for the platform.
    #[error("no match for platform in manifest `{digest}`: it has nothing for {platform}")]
    Platform {
        /// The index or manifest.
        digest: Digest,
        /// What was asked for.
        platform: Box<Platform>,
    },
    /// A document contradicts itself or the one that names it.
    #[error("`{digest}` is not a valid image: {reason}")]
    Invalid {
        /// The document.
        digest: Digest,
        /// What is wrong.
        reason: String,
    },
}

impl Classify for TreeError {
    fn kind(&self) -> ErrorKind {
        match self {
            // A manifest that names what is not there is the archive's fault when it comes in.
            Self::Storage(StorageError::Missing { .. } | StorageError::Damaged { .. }) => ErrorKind::Invalid,
            Self::Storage(error) => error.kind(),
            Self::Platform { .. } => ErrorKind::NotFound,
            Self::Parse { .. } | Self::Invalid { .. } => ErrorKind::Invalid,
        }
    }
}

/// A manifest with everything it needs.
#[derive(Debug)]
pub(crate) struct Node {
    pub(crate) descriptor: Descriptor,
    pub(crate) config_descriptor: Descriptor,
    pub(crate) annotations: BTreeMap<String, String>,
    pub(crate) config: ParsedConfig,
    pub(crate) layers: Vec<Layer>,
}

impl Node {
    /// Bytes of the manifest's, the configuration's and the layers' blobs.
    pub(crate) fn content_size(&self) -> u64 {
        let layers: u64 = self.layers.iter().map(|layer| layer.size).sum();
        self.descriptor.size + self.config_descriptor.size + layers
    }

    /// Where the first module layer's file is in the root filesystem.
    pub(crate) fn wasm_module(&self) -> Option<PathBuf> {
        self.layers.iter().find_map(|layer| match &layer.content {
            LayerContent::Wasm { file_name } => Some(PathBuf::from("/").join(file_name)),
            LayerContent::Tar { .. } | LayerContent::Opaque => None,
        })
    }
}

/// Everything below a top-level descriptor that is there.
#[derive(Debug, Default)]
pub(crate) struct Tree {
    /// Documents and layers.
    pub(crate) blobs: BTreeSet<Digest>,
    /// Manifests of images that are complete, in the index's order.
    pub(crate) nodes: Vec<Node>,
    /// Platforms of manifests that lack content, and the first blob that is missing.
    pub(crate) incomplete: Vec<(Option<Platform>, Digest)>,
}

impl Tree {
    /// The manifest to use: of the platform asked for, or else the host's, or else what is there.
    pub(crate) fn choose(&self, platform: Option<&Platform>) -> Option<&Node> {
        let find = |wanted: &dyn Fn(&Platform) -> bool| self.nodes.iter().find(|node| wanted(&node.config.platform));
        match platform {
            // `wasi/wasm` is also satisfied by its other spellings, but the very one goes first.
            Some(platform) => find(&|p| p == platform).or_else(|| find(&|p| p.satisfies(platform))),
            None => find(&|p| *p == Platform::host()).or_else(|| find(&Platform::is_wasm)).or(self.nodes.first()),
        }
    }
}

/// Reads the tree below `top`. With a platform, other platforms are left out.
pub(crate) fn read(
    source: &dyn BlobSource,
    top: &Descriptor,
    platform: Option<&Platform>,
    limits: &Limits,
) -> Result<Tree, TreeError> {
    let mut tree = Tree::default();
    let mut pending = vec![top.clone()];
    let mut documents = 0;
    while let Some(descriptor) = pending.pop() {
        documents += 1;
        if documents > limits.documents {
            return Err(invalid(&top.digest, format!("it has more than {} manifests", limits.documents)));
        }
        let declared = descriptor.platform.as_ref().map(WirePlatform::to_platform);
        let is_image = !descriptor.is_attestation();
        if let (Some(wanted), Some(declared), true) = (platform, &declared, is_image)
            && !declared.satisfies(wanted)
        {
            continue;
        }
        let Some(size) = source.size(&descriptor.digest) else {
            tree.incomplete.push((declared, descriptor.digest));
            continue;
        };
        if size != descriptor.size {
            let reason = format!("it has {size} bytes, its descriptor says {}", descriptor.size);
            return Err(invalid(&descriptor.digest, reason));
        }
        let document = parse_document(source, &descriptor, limits)?;
        match document.manifests {
            Some(manifests) => {
                tree.blobs.insert(descriptor.digest);
                // Reversed: `pending` is a stack and the index's order counts.
                pending.extend(manifests.into_iter().rev());
            }
            None => add_manifest(source, &mut tree, descriptor, document, platform, limits)?,
        }
    }
    Ok(tree)
}

/// Reads a manifest or an index and makes sure that it is only one of them, and the one that it was announced as.
pub(crate) fn parse_document(
    source: &dyn BlobSource,
    descriptor: &Descriptor,
    limits: &Limits,
) -> Result<Document, TreeError> {
    let digest = &descriptor.digest;
    let announced = descriptor.media_type.as_str();
    check_kind(descriptor)?;
    let bytes = read_document(source, descriptor, limits)?;
    let document: Document = serde_json::from_slice(&bytes).map_err(|source| TreeError::Parse {
        what: "manifest",
        digest: digest.clone(),
        source,
    })?;
    if document.media_type.as_deref().is_some_and(|own| own != announced) {
        return Err(invalid(digest, format!("its media type is not the announced `{announced}`")));
    }
    // CVE-2021-41190: the same bytes must not mean one thing to us and another to the next reader.
    let is_index = document.manifests.is_some() && document.layers.is_none() && document.config.is_none();
    let is_manifest = document.manifests.is_none() && document.config.is_some();
    if is_index != media::is_index(announced) || is_manifest != media::is_manifest(announced) {
        return Err(invalid(digest, format!("its content does not fit its media type `{announced}`")));
    }
    Ok(document)
}

/// Whether a descriptor is one of a document that we read.
pub(crate) fn check_kind(descriptor: &Descriptor) -> Result<(), TreeError> {
    let announced = descriptor.media_type.as_str();
    if media::is_index(announced) || media::is_manifest(announced) {
        return Ok(());
    }
    let reason = match announced {
        "application/vnd.docker.distribution.manifest.v1+json"
        | "application/vnd.docker.distribution.manifest.v1+prettyjws" => {
            "it has Docker's image format of 2014 (schema 1), which is no longer supported: push it again".to_owned()
        }
        _ => format!("`{announced}` is neither a manifest nor an index"),
    };
    Err(invalid(&descriptor.digest, reason))
}

/// Whether a document is small enough to be read into memory.
pub(crate) fn check_size(descriptor: &Descriptor, limits: &Limits) -> Result<(), TreeError> {
    if descriptor.size > limits.document_bytes {
        let reason = format!("it has {} bytes; the limit is {}", descriptor.size, limits.document_bytes);
        return Err(invalid(&descriptor.digest, reason));
    }
    Ok(())
}

fn read_document(source: &dyn BlobSource, descriptor: &Descriptor, limits: &Limits) -> Result<Vec<u8>, TreeError> {
    check_size(descriptor, limits)?;
    Ok(source.read(&descriptor.digest, limits.document_bytes)?)
}

fn add_manifest(
    source: &dyn BlobSource,
    tree: &mut Tree,
    descriptor: Descriptor,
    document: Document,
    platform: Option<&Platform>,
    limits: &Limits,
) -> Result<(), TreeError> {
    let digest = descriptor.digest.clone();
    let no_config = || invalid(&digest, "it has no configuration".to_owned());
    let config_descriptor = document.config.as_ref().ok_or_else(no_config)?;
    let layers = document.layers.as_deref().unwrap_or_default();
    check_layers(&digest, layers, limits)?;
    let is_image = !descriptor.is_attestation();
    let mut blobs = BTreeSet::from([digest.clone()]);
    let missing = present(source, layers.iter().chain([config_descriptor]), &mut blobs)?;
    if let (Some(missing), true) = (&missing, is_image) {
        let platform = descriptor.platform.as_ref().map(WirePlatform::to_platform);
        tree.incomplete.push((platform, missing.clone()));
    }
    if missing.is_some() || !is_image {
        tree.blobs.append(&mut blobs);
        return Ok(());
    }
    let node = node(source, descriptor, document, limits)?;
    if platform.is_some_and(|wanted| !node.config.platform.satisfies(wanted)) {
        return Ok(());
    }
    tree.blobs.append(&mut blobs);
    tree.nodes.push(node);
    Ok(())
}

/// Reads a manifest's configuration and what it says about the layers, which need not be there.
pub(crate) fn node(
    source: &dyn BlobSource,
    descriptor: Descriptor,
    document: Document,
    limits: &Limits,
) -> Result<Node, TreeError> {
    let digest = descriptor.digest.clone();
    let config_descriptor = document.config.ok_or_else(|| invalid(&digest, "it has no configuration".to_owned()))?;
    let layers = document.layers.unwrap_or_default();
    check_layers(&digest, &layers, limits)?;
    let config = read_document(source, &config_descriptor, limits)?;
    let config = config::parse(&config, &fallback_platform(&descriptor, &layers)).map_err(|source| {
        TreeError::Parse { what: "configuration", digest: config_descriptor.digest.clone(), source }
    })?;
    let layers = describe_layers(&digest, layers, config.configuration.rootfs().diff_ids())?;
    let annotations = document.annotations.unwrap_or_default();
    Ok(Node { descriptor, config_descriptor, annotations, config, layers })
}

fn check_layers(manifest: &Digest, layers: &[Descriptor], limits: &Limits) -> Result<(), TreeError> {
    if layers.len() > limits.layers {
        return Err(invalid(manifest, format!("it has {} layers; the limit is {}", layers.len(), limits.layers)));
    }
    Ok(())
}

/// Adds the blobs that are there; returns the first that is not.
fn present<'d>(
    source: &dyn BlobSource,
    wanted: impl Iterator<Item = &'d Descriptor>,
    blobs: &mut BTreeSet<Digest>,
) -> Result<Option<Digest>, TreeError> {
    let mut missing = None;
    for blob in wanted {
        match source.size(&blob.digest) {
            Some(size) if size == blob.size => drop(blobs.insert(blob.digest.clone())),
            Some(size) => {
                return Err(invalid(&blob.digest, format!("it has {size} bytes, its manifest says {}", blob.size)));
            }
            None => missing = missing.or_else(|| Some(blob.digest.clone())),
        }
    }
    Ok(missing)
}

/// What a configuration without platform is for.
fn fallback_platform(descriptor: &Descriptor, layers: &[Descriptor]) -> Platform {
    match &descriptor.platform {
        Some(platform) => platform.to_platform(),
        None if layers.iter().any(|layer| media::is_wasm_layer(&layer.media_type)) => Platform::wasi(),
        None => Platform::host(),
    }
}

fn describe_layers(manifest: &Digest, layers: Vec<Descriptor>, diff_ids: &[String]) -> Result<Vec<Layer>, TreeError> {
    let tars = layers.iter().filter(|layer| media::is_tar_layer(&layer.media_type)).count();
    let one_each = diff_ids.len() == layers.len();
    if !one_each && diff_ids.len() != tars {
        let reason = format!("{tars} layers, but {} diff ids in its configuration", diff_ids.len());
        return Err(invalid(manifest, reason));
    }
    let mut next_diff = 0;
    let mut names = BTreeSet::new();
    let mut chain: Option<Digest> = None;
    let mut described = Vec::with_capacity(layers.len());
    for layer in layers {
        let content = if media::is_tar_layer(&layer.media_type) {
            let diff_id = diff_ids[next_diff].parse().map_err(|error| invalid(manifest, format!("{error}")))?;
            next_diff += 1;
            LayerContent::Tar { diff_id }
        } else {
            next_diff += usize::from(one_each);
            match media::is_wasm_layer(&layer.media_type) {
                true => LayerContent::Wasm { file_name: module_name(&layer, &mut names) },
                false => LayerContent::Opaque,
            }
        };
        let diff = match &content {
            LayerContent::Tar { diff_id } => Some(diff_id.clone()),
            // Not a tar, so there is no diff id: the directory depends on the module and on its name.
            LayerContent::Wasm { file_name } => {
                Some(Digest::of(format!("dev.drua.wasm-layer\0{file_name}\0{}", layer.digest).as_bytes()))
            }
            LayerContent::Opaque => None,
        };
        let chain_id = diff.map(|diff| next_chain_id(chain.as_ref(), &diff));
        chain = chain_id.clone().or(chain);
        described.push(Layer {
            digest: layer.digest,
            size: layer.size,
            media_type: layer.media_type,
            annotations: layer.annotations.unwrap_or_default(),
            content,
            chain_id,
        });
    }
    Ok(described)
}

/// OCI image-spec, config.md#layer-chainid.
fn next_chain_id(below: Option<&Digest>, diff: &Digest) -> Digest {
    match below {
        None => diff.clone(),
        Some(below) => Digest::of(format!("{below} {diff}").as_bytes()),
    }
}

/// A module's file name: the layer's title without its directories, if that is a plain name that no other layer has.
fn module_name(layer: &Descriptor, taken: &mut BTreeSet<String>) -> String {
    let title = layer.annotation(TITLE).and_then(|title| title.rsplit('/').next());
    let plain = |name: &&str| {
        let word = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-' | '+');
        !name.is_empty() && name.len() <= 128 && !name.starts_with(['.', '-']) && name.chars().all(word)
    };
    let mut name = title.filter(plain).unwrap_or("module.wasm").to_owned();
    let mut number = 1;
    while !taken.insert(name.clone()) {
        number += 1;
        name = format!("module-{number}.wasm");
    }
    name
}

pub(crate) fn invalid(digest: &Digest, reason: String) -> TreeError {
    TreeError::Invalid { digest: digest.clone(), reason }
}
