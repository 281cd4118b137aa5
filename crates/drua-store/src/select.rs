//! Which documents and layers an image needs, found out step by step as its documents come in.

use drua_types::{Digest, Platform};

use crate::content::BlobSource;
use crate::receive::Blob;
use crate::tree::{self, TreeError};
use crate::wire::{Descriptor, Document, WirePlatform};
use crate::{Layer, Limits};

/// Depth to which indexes may name indexes.
const MAX_DEPTH: usize = 4;

/// The next step towards an image.
#[derive(Debug)]
pub enum Selection {
    /// These documents are needed first: bring them with [`crate::Receiving::add_document`] and ask again.
    Fetch(Vec<Blob>),
    /// This is the image; its documents are all here.
    Image(Box<Plan>),
}

/// An image whose documents are here, and whose layers may not be.
#[derive(Debug, Clone)]
pub struct Plan {
    /// The documents from the top down to the manifest, the manifest last.
    pub documents: Vec<Blob>,
    /// The configuration.
    pub config: Blob,
    /// What it runs on.
    pub platform: Platform,
    /// The layers, lowest first, foreign ones included.
    pub layers: Vec<Layer>,
    /// Whether unpacking is worth while now: it runs on this machine.
    pub runs_here: bool,
}

/// One step: the image for `platform` below `top`, or what is missing to know it.
pub(crate) fn select(
    source: &dyn BlobSource,
    top: &Descriptor,
    platform: Option<&Platform>,
    limits: &Limits,
) -> Result<Selection, TreeError> {
    let mut documents = Vec::new();
    match walk(source, top, platform, limits, &mut documents, 0)? {
        Some(selection) => Ok(selection),
        None => Err(TreeError::Platform {
            digest: top.digest.clone(),
            platform: Box::new(platform.cloned().unwrap_or_else(Platform::host)),
        }),
    }
}

/// `None` when there is nothing for the platform below `at`.
fn walk(
    source: &dyn BlobSource,
    at: &Descriptor,
    platform: Option<&Platform>,
    limits: &Limits,
    above: &mut Vec<Blob>,
    depth: usize,
) -> Result<Option<Selection>, TreeError> {
    if depth > MAX_DEPTH {
        return Err(tree::invalid(&at.digest, format!("its indexes are nested deeper than {MAX_DEPTH}")));
    }
    tree::check_kind(at)?;
    if source.size(&at.digest).is_none() {
        return Ok(Some(Selection::Fetch(vec![at.into()])));
    }
    let document = tree::parse_document(source, at, limits)?;
    above.push(at.into());
    let Some(manifests) = document.manifests.clone() else {
        let selection = plan(source, at, document, platform, limits, above)?;
        above.pop();
        return Ok(selection);
    };
    if manifests.len() > limits.documents {
        return Err(tree::invalid(&at.digest, format!("it has more than {} manifests", limits.documents)));
    }
    for candidate in order(manifests, platform) {
        if let Some(selection) = walk(source, &candidate, platform, limits, above, depth + 1)? {
            return Ok(Some(selection));
        }
    }
    above.pop();
    Ok(None)
}

/// Those that may be it, the best first. What does not say its platform has to be looked into.
fn order(manifests: Vec<Descriptor>, platform: Option<&Platform>) -> Vec<Descriptor> {
    let declared = |descriptor: &Descriptor| descriptor.platform.as_ref().map(WirePlatform::to_platform);
    let rank = |descriptor: &Descriptor| match (platform, declared(descriptor)) {
        (Some(wanted), Some(declared)) if declared == *wanted => Some(0),
        (Some(wanted), Some(declared)) if declared.satisfies(wanted) => Some(1),
        (Some(_), Some(_)) => None,
        (None, Some(declared)) if declared == Platform::host() => Some(0),
        (None, Some(declared)) if declared.is_wasm() => Some(2),
        (None, Some(_)) => Some(3),
        (_, None) => Some(1),
    };
    let images = manifests.into_iter().filter(|descriptor| !descriptor.is_attestation());
    let mut ranked: Vec<(u8, Descriptor)> = images.filter_map(|one| Some((rank(&one)?, one))).collect();
    // Stable: among equals the index's order counts.
    ranked.sort_by_key(|(rank, _)| *rank);
    ranked.into_iter().map(|(_, descriptor)| descriptor).collect()
}

fn plan(
    source: &dyn BlobSource,
    manifest: &Descriptor,
    document: Document,
    platform: Option<&Platform>,
    limits: &Limits,
    above: &[Blob],
) -> Result<Option<Selection>, TreeError> {
    let Some(config) = &document.config else {
        return Err(tree::invalid(&manifest.digest, "it has no configuration".to_owned()));
    };
    tree::check_size(config, limits)?;
    if source.size(&config.digest).is_none() {
        return Ok(Some(Selection::Fetch(vec![config.into()])));
    }
    let config = Blob::from(config);
    let node = tree::node(source, manifest.clone(), document, limits)?;
    if platform.is_some_and(|wanted| !node.config.platform.satisfies(wanted)) {
        return Ok(None);
    }
    Ok(Some(Selection::Image(Box::new(Plan {
        documents: above.to_vec(),
        config,
        runs_here: node.config.platform.runs_here(),
        platform: node.config.platform,
        layers: node.layers,
    }))))
}

impl Plan {
    /// The layers whose blobs have to come along, each once.
    pub fn blobs(&self) -> Vec<Blob> {
        crate::receive::unique(self.layers.iter().map(Layer::blob))
    }

    /// The manifest's digest.
    pub fn manifest(&self) -> &Digest {
        &self.documents.last().expect("a plan is made from a manifest").digest
    }
}
