//! From stages to an image in the store: layers, configuration, manifest, index, attestation.
//!
//! A layer's blob is a tar that depends on nothing but its files. The unpacked layer is the builder's own snapshot, to
//! which the store links, so that an image that was just built starts without being unpacked.

use std::path::Path;
use std::sync::PoisonError;

use drua_store::{Blob, LayerContent, LinkedLayer, NewImage, Receiving, Store};
use drua_types::{Digest, Platform};
use serde_json::{Value, json};

use crate::error::{BuildError, Result, reference};
use crate::layer::{LayerTar, TarOptions};
use crate::request::{BuildRequest, Provenance};
use crate::solve::{LayerRef, Solver, Stage};

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const INDEX: &str = "application/vnd.oci.image.index.v1+json";
const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
const LAYER: &str = "application/vnd.oci.image.layer.v1.tar";
const STATEMENT: &str = "application/vnd.in-toto+json";

/// What was built.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Built {
    /// The image's id: digest of its index or manifest. `None` when nothing was exported.
    pub id: Option<Digest>,
    /// Digest of the first platform's configuration.
    pub config: Option<Digest>,
    /// Names that the image got.
    pub names: Vec<String>,
    /// Platform, manifest and media type of the document that the id names.
    pub manifests: Vec<(Platform, Digest)>,
    /// Media type of the document that the id names.
    pub media_type: String,
    /// Its size in bytes.
    pub size: u64,
}

struct Exported {
    platform: Platform,
    manifest: Digest,
    size: u64,
    config: Digest,
}

/// Stores an image.
pub(crate) fn export(
    solver: &Solver<'_>,
    stages: &[(Platform, std::sync::Arc<Stage>)],
    dockerfile: &str,
) -> Result<Built> {
    let request = solver.request;
    let names = request.names.iter().map(|name| reference(name)).collect::<Result<Vec<_>>>()?;
    let receiving = solver.store.receive().map_err(BuildError::store)?;
    let mut links = Vec::new();
    let mut exported = Vec::new();
    for (platform, stage) in stages {
        exported.push(manifest(solver, &receiving, platform, stage, &mut links)?);
    }
    let first = exported.first().ok_or_else(|| BuildError::Value("there is no platform to build for".to_owned()))?;
    let single = exported.len() == 1 && request.provenance == Provenance::No;
    let (id, size, media_type) = if single {
        (first.manifest.clone(), first.size, MANIFEST)
    } else {
        let (id, size) = index(solver, &receiving, &exported, dockerfile)?;
        (id, size, INDEX)
    };
    let built = Built {
        id: Some(id.clone()),
        config: Some(first.config.clone()),
        names: names.iter().map(drua_types::ImageRef::familiar).collect(),
        manifests: exported.iter().map(|one| (one.platform.clone(), one.manifest.clone())).collect(),
        media_type: media_type.to_owned(),
        size,
    };
    if !is_there(solver.store, &id, &names) {
        solver.store.link_layers(&receiving, &links).map_err(BuildError::store)?;
        let top = Blob { media_type: media_type.to_owned(), digest: id, size };
        let image = NewImage { top, names, platform: None };
        solver.store.commit(&receiving, &[image]).map_err(BuildError::store)?;
    }
    Ok(built)
}

/// Whether the very image is there with all these names.
fn is_there(store: &Store, id: &Digest, names: &[drua_types::ImageRef]) -> bool {
    store
        .get(id.as_str(), None)
        .is_ok_and(|image| image.id == *id && names.iter().all(|name| image.names.contains(name)))
}

fn manifest(
    solver: &Solver<'_>,
    receiving: &Receiving,
    platform: &Platform,
    stage: &Stage,
    links: &mut Vec<LinkedLayer>,
) -> Result<Exported> {
    let epoch = solver.request.source_date_epoch;
    let mut descriptors: Vec<Value> = Vec::new();
    let mut diff_ids: Vec<String> = Vec::new();
    let mut chain: Option<Digest> = None;
    for layer in &stage.chain.layers {
        match layer {
            LayerRef::Base { layer, .. } => {
                receiving.hold(&layer.digest);
                let mut descriptor = json!({"mediaType": layer.media_type, "digest": layer.digest, "size": layer.size});
                if !layer.annotations.is_empty() {
                    descriptor["annotations"] = json!(layer.annotations);
                }
                descriptors.push(descriptor);
                if let LayerContent::Tar { diff_id } = &layer.content {
                    diff_ids.push(diff_id.to_string());
                }
                chain = layer.chain_id.clone();
            }
            LayerRef::Snapshot { id } => {
                let (digest, size) = layer_blob(solver, receiving, id, epoch)?;
                chain = Some(match &chain {
                    None => digest.clone(),
                    Some(below) => Digest::of(format!("{below} {digest}").as_bytes()),
                });
                if let (Some(chain_id), None) = (&chain, epoch) {
                    let dir = solver.cache.snapshot(id);
                    links.push(LinkedLayer { chain_id: chain_id.clone(), dir, size: solver.cache.size_of(id) });
                }
                descriptors.push(json!({"mediaType": LAYER, "digest": digest, "size": size}));
                diff_ids.push(digest.to_string());
            }
        }
    }
    let mut state = stage.state.clone();
    if state.platform != *platform && !state.platform.satisfies(platform) {
        state.platform = platform.clone();
    }
    state.add_labels_if_any(&solver.request.labels);
    let config = state.document(&diff_ids, solver.started, epoch);
    let config_digest = receiving.add_bytes(&config).map_err(BuildError::store)?;
    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": {"mediaType": CONFIG, "digest": config_digest, "size": config.len()},
        "layers": descriptors,
    });
    let bytes = manifest.to_string().into_bytes();
    let digest = receiving.add_bytes(&bytes).map_err(BuildError::store)?;
    let platform = state.platform.clone();
    Ok(Exported { platform, manifest: digest, size: bytes.len() as u64, config: config_digest })
}

/// The tar of a snapshot in the store.
fn layer_blob(solver: &Solver<'_>, receiving: &Receiving, id: &str, epoch: Option<i64>) -> Result<(Digest, u64)> {
    let variant = epoch.map(|epoch| format!("-{epoch}")).unwrap_or_default();
    if let Some((digest, size)) = solver.cache.tar_of(id, &variant)
        && receiving.has(&Blob { media_type: LAYER.to_owned(), digest: digest.clone(), size })
    {
        return Ok((digest, size));
    }
    solver.check_canceled()?;
    let path = solver.cache.snapshot(id);
    let options = TarOptions { clamp_time: epoch, whole: false };
    let mut tar = LayerTar::open(&path, options).map_err(BuildError::io("read", &path))?;
    let blob = receiving.add_stream(&mut tar).map_err(BuildError::store)?;
    solver.cache.set_tar_of(id, &variant, &blob);
    Ok(blob)
}

fn index(solver: &Solver<'_>, receiving: &Receiving, exported: &[Exported], dockerfile: &str) -> Result<(Digest, u64)> {
    let mut manifests: Vec<Value> = exported
        .iter()
        .map(|one| {
            json!({"mediaType": MANIFEST, "digest": one.manifest, "size": one.size, "platform": wire(&one.platform)})
        })
        .collect();
    if solver.request.provenance != Provenance::No {
        for one in exported {
            manifests.push(attestation(solver, receiving, one, dockerfile)?);
        }
    }
    let bytes = json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": manifests}).to_string().into_bytes();
    let digest = receiving.add_bytes(&bytes).map_err(BuildError::store)?;
    Ok((digest, bytes.len() as u64))
}

fn wire(platform: &Platform) -> Value {
    let mut value = json!({"architecture": platform.architecture(), "os": platform.os()});
    if let Some(variant) = platform.variant() {
        value["variant"] = json!(variant);
    }
    value
}

/// A manifest that says how an image was made, in BuildKit's layout (docs/attestations/attestation-storage.md).
fn attestation(solver: &Solver<'_>, receiving: &Receiving, of: &Exported, dockerfile: &str) -> Result<Value> {
    let statement = statement(solver, of, dockerfile).to_string().into_bytes();
    let layer = receiving.add_bytes(&statement).map_err(BuildError::store)?;
    let empty = b"{}";
    let config = receiving.add_bytes(empty).map_err(BuildError::store)?;
    let predicate = "https://slsa.dev/provenance/v1";
    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "artifactType": "application/vnd.docker.attestation.manifest.v1+json",
        "config": {"mediaType": "application/vnd.oci.empty.v1+json", "digest": config, "size": empty.len()},
        "layers": [{
            "mediaType": STATEMENT, "digest": layer, "size": statement.len(),
            "annotations": {"in-toto.io/predicate-type": predicate},
        }],
        "subject": {"mediaType": MANIFEST, "digest": of.manifest, "size": of.size},
    });
    let bytes = manifest.to_string().into_bytes();
    let digest = receiving.add_bytes(&bytes).map_err(BuildError::store)?;
    Ok(json!({
        "mediaType": MANIFEST, "digest": digest, "size": bytes.len(),
        "platform": {"architecture": "unknown", "os": "unknown"},
        "annotations": {
            "vnd.docker.reference.type": "attestation-manifest",
            "vnd.docker.reference.digest": of.manifest,
        },
    }))
}

fn statement(solver: &Solver<'_>, of: &Exported, dockerfile: &str) -> Value {
    let request = solver.request;
    let time = |seconds: i64| jiff::Timestamp::from_second(seconds).unwrap_or_default().to_string();
    let materials = solver.materials.lock().unwrap_or_else(PoisonError::into_inner);
    let materials: Vec<Value> =
        materials.iter().map(|(uri, digest)| json!({"uri": uri, "digest": {"sha256": digest.hex()}})).collect();
    let subjects: Vec<Value> = request
        .names
        .iter()
        .map(|name| {
            let uri = format!("pkg:docker/{name}?platform={}", of.platform);
            json!({"name": uri, "digest": {"sha256": of.manifest.hex()}})
        })
        .collect();
    let mut parameters = json!({"frontend": "dockerfile.v0", "locals": [{"name": "context"}, {"name": "dockerfile"}]});
    let mut internal = json!({"builderPlatform": Platform::host().to_string()});
    if request.provenance == Provenance::Max {
        parameters["args"] = json!(arguments(request));
        internal["buildConfig"] = json!({"dockerfile": dockerfile});
    }
    let end = request.source_date_epoch.unwrap_or_else(|| jiff::Timestamp::now().as_second());
    json!({
        "_type": "https://in-toto.io/Statement/v1",
        "predicateType": "https://slsa.dev/provenance/v1",
        "subject": subjects,
        "predicate": {
            "buildDefinition": {
                "buildType": "https://github.com/moby/buildkit/blob/master/docs/attestations/slsa-definitions.md",
                "externalParameters": {"configSource": {"path": solver.dockerfile_name}, "request": parameters},
                "internalParameters": internal,
                "resolvedDependencies": materials,
            },
            "runDetails": {
                "builder": {"id": ""},
                "metadata": {
                    "startedOn": time(request.source_date_epoch.unwrap_or(solver.started)),
                    "finishedOn": time(end),
                },
            },
        },
    })
}

fn arguments(request: &BuildRequest) -> Value {
    let mut args = serde_json::Map::new();
    for (name, value) in &request.args {
        args.insert(format!("build-arg:{name}"), json!(value));
    }
    for (name, value) in &request.labels {
        args.insert(format!("label:{name}"), json!(value));
    }
    if let Some(target) = &request.target {
        args.insert("target".to_owned(), json!(target));
    }
    Value::Object(args)
}

/// Reads the files of a stage as one tar, whiteouts applied.
pub(crate) fn whole_tar(solver: &Solver<'_>, stage: &Stage) -> Result<LayerTar> {
    let tree = solver.tree_of(&stage.chain)?;
    let root = tree.root().open_at(Path::new(""), crate::fsutil::DIRECTORY, rustix::fs::Mode::empty());
    let root = root.map_err(BuildError::io("open", Path::new("/")))?;
    let options = TarOptions { clamp_time: solver.request.source_date_epoch, whole: true };
    LayerTar::new(root, options).map_err(BuildError::io("read", Path::new("/")))
}
