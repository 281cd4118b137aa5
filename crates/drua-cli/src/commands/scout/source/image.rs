//! An image's documents, wherever they come from, as the scan's target and its layers.

use std::collections::BTreeMap;

use drua_scout::{Layer, Target, TargetKind};
use serde_json::Value;

/// An image that is ready to be scanned.
#[derive(Debug, Default)]
pub(super) struct ImageDocuments {
    /// As the user said it.
    pub(super) name: String,
    pub(super) manifest_digest: Option<String>,
    pub(super) manifest: Value,
    pub(super) config_digest: Option<String>,
    pub(super) config: Value,
    pub(super) platform: Option<String>,
    pub(super) tags: Vec<String>,
    /// Predicate types of attestations.
    pub(super) attestations: Vec<String>,
    pub(super) layers: Vec<LayerBlob>,
    /// BuildKit's provenance, when it is there.
    pub(super) provenance: Option<Value>,
}

/// A layer's blob.
#[derive(Debug, Clone, Default)]
pub(super) struct LayerBlob {
    /// What its source calls it: a digest, or a path in an archive.
    pub(super) key: String,
    /// `sha256:…` of the blob, when the manifest says it.
    pub(super) digest: Option<String>,
    /// Whether the source has verified that digest.
    pub(super) is_verified: bool,
    pub(super) media_type: String,
}

impl LayerBlob {
    /// A descriptor of a manifest.
    pub(super) fn of_descriptor(descriptor: &Value) -> Self {
        let digest = descriptor["digest"].as_str().unwrap_or_default().to_owned();
        Self {
            key: digest.clone(),
            digest: Some(digest),
            is_verified: false,
            media_type: descriptor["mediaType"].as_str().unwrap_or_default().to_owned(),
        }
    }

    /// Whether it holds files or a component: attestations and Spin's lock files do not.
    pub(super) fn is_scannable(&self) -> bool {
        let ty = self.media_type.as_str();
        ty.is_empty() || ty.contains("tar") || ty.contains("wasm") || ty.contains("diff") || ty.ends_with("layer.v1")
    }
}

impl ImageDocuments {
    /// What was scanned.
    pub(super) fn target(&self) -> Target {
        let text = |value: &Value| value.as_str().map(str::to_owned);
        let map = |value: &Value| -> BTreeMap<String, String> {
            let entries = value.as_object().into_iter().flatten();
            entries.filter_map(|(key, value)| Some((key.clone(), text(value)?))).collect()
        };
        let config = &self.config["config"];
        let platform = self.platform.clone().or_else(|| {
            let (os, arch) = (self.config["os"].as_str()?, self.config["architecture"].as_str()?);
            Some(drua_types::Platform::new(os, arch, self.config["variant"].as_str()).to_string())
        });
        let history = self.config["history"].as_array().into_iter().flatten();
        Target {
            kind: TargetKind::Image,
            name: self.name.clone(),
            digest: self.manifest_digest.clone(),
            image_id: self.config_digest.clone(),
            platform,
            created: text(&self.config["created"]),
            user: text(&config["User"]).unwrap_or_default(),
            labels: map(&config["Labels"]),
            annotations: map(&self.manifest["annotations"]),
            tags: self.tags.clone(),
            history: history.map(|step| text(&step["created_by"]).unwrap_or_default()).collect(),
            attestations: self.attestations.clone(),
            ..Target::default()
        }
    }

    /// Each layer with its instruction.
    pub(super) fn layers(&self) -> Vec<Layer> {
        let diff_ids: Vec<&str> =
            self.config["rootfs"]["diff_ids"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        let history = self.config["history"].as_array().map_or(&[][..], Vec::as_slice);
        let steps: Vec<(usize, &Value)> =
            history.iter().enumerate().filter(|(_, step)| step["empty_layer"].as_bool() != Some(true)).collect();
        // A history that does not fit says nothing about which layer is whose.
        let steps = if steps.len() == self.layers.len() { steps } else { Vec::new() };
        let lines = self.provenance.as_ref().map(dockerfile_lines).unwrap_or_default();
        let layer = |(number, blob): (usize, &LayerBlob)| Layer {
            diff_id: diff_ids.get(number).map(|id| (*id).to_owned()).unwrap_or_default(),
            digest: blob.digest.clone(),
            created_by: steps
                .get(number)
                .and_then(|(_, step)| step["created_by"].as_str())
                .unwrap_or_default()
                .to_owned(),
            history_index: steps.get(number).map(|(index, _)| *index),
            dockerfile_line: blob.digest.as_ref().and_then(|digest| lines.get(digest).copied()),
            ..Layer::default()
        };
        self.layers.iter().enumerate().map(layer).collect()
    }
}

/// Digests of layers → the line of the Dockerfile that made them, from BuildKit's provenance in mode `max`:
/// `metadata.buildkit_metadata.source.locations` has lines by step, `….layers` has layers by step (moby/buildkit,
/// docs/attestations/slsa-definitions.md).
fn dockerfile_lines(statement: &Value) -> BTreeMap<String, u32> {
    let predicate = &statement["predicate"];
    let metadata = [
        &predicate["runDetails"]["metadata"]["buildkit_metadata"],
        &predicate["metadata"]["https://mobyproject.org/buildkit@v1#metadata"],
    ];
    let mut lines = BTreeMap::new();
    for metadata in metadata {
        for (step, layers) in metadata["layers"].as_object().into_iter().flatten() {
            let location = &metadata["source"]["locations"][step.split(':').next().unwrap_or(step)]["locations"][0];
            let Some(line) = location["ranges"][0]["start"]["line"].as_u64().and_then(|line| u32::try_from(line).ok())
            else {
                continue;
            };
            // Each output is a chain of layers of which the last one is the step's own.
            for chain in layers.as_array().into_iter().flatten() {
                let last = chain.as_array().and_then(|chain| chain.last());
                if let Some(digest) = last.and_then(|layer| layer["digest"].as_str()) {
                    lines.insert(digest.to_owned(), line);
                }
            }
        }
    }
    lines
}
