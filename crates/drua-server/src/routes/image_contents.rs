//! `/drua/v1/images/…`: what an image consists of, blob by blob. `docker save` has it too, but only as one stream of
//! everything; who knows most layers already (`drua scout`) asks for the others alone.

use std::io::Write as _;

use drua_engine::Engine;
use drua_store::{Image, LayerContent, ManifestKind, StorageError, Store};
use drua_types::{Digest, error_chain};
use serde_json::{Value, json};

use super::{blocking, images};
use crate::http::{self, Call, Failure, Reply};

/// `GET /drua/v1/images/contents?name=app:1&platform=linux/amd64`.
///
/// ```json
/// {"Id": "sha256:…", "Names": ["…"], "Platform": "linux/amd64", "ManifestDigest": "sha256:…", "Manifest": {…},
///  "ConfigDigest": "sha256:…", "Config": {…},
///  "Layers": [{"Digest": "sha256:…", "DiffId": "sha256:…", "MediaType": "…", "Size": 1}],
///  "Attestations": [{"PredicateType": "…", "Digest": "sha256:…", "Size": 1}]}
/// ```
/// `DiffId` is empty for layers that are no tar.
pub(crate) async fn contents(engine: Engine, call: Call) -> Reply {
    let name = required(&call, "name")?;
    let platform = images::platform(&call.query)?;
    blocking(move || {
        let store = engine.store();
        let (image, _lease) = store.acquire(&name, platform.as_ref())?;
        let document = |digest: &Digest| -> Result<Value, Failure> {
            serde_json::from_slice(&store.document(digest)?)
                .map_err(|error| Failure::new(hyper::StatusCode::INTERNAL_SERVER_ERROR, error))
        };
        // Wasm artifacts may have a configuration that is none.
        let config = document(&image.config_digest).unwrap_or(Value::Null);
        http::json(&json!({
            "Id": image.id,
            "Names": image.names.iter().map(ToString::to_string).collect::<Vec<_>>(),
            "Platform": image.platform.to_string(),
            "ManifestDigest": image.manifest_digest,
            "Manifest": document(&image.manifest_digest)?,
            "ConfigDigest": image.config_digest,
            "Config": config,
            "Layers": image.layers.iter().map(layer).collect::<Vec<_>>(),
            "Attestations": attestations(store, &image)?,
        }))
    })
    .await
}

fn layer(layer: &drua_store::Layer) -> Value {
    let diff_id = match &layer.content {
        LayerContent::Tar { diff_id } => diff_id.as_str(),
        LayerContent::Wasm { .. } | LayerContent::Opaque => "",
    };
    json!({ "Digest": layer.digest, "DiffId": diff_id, "MediaType": layer.media_type, "Size": layer.size })
}

/// BuildKit's attestation manifests that name this image's manifest.
fn attestations(store: &Store, image: &Image) -> Result<Vec<Value>, Failure> {
    let mut found = Vec::new();
    for info in store.manifests(image.id.as_str())? {
        let is_ours =
            matches!(&info.kind, ManifestKind::Attestation(of) if of.as_ref() == Some(&image.manifest_digest));
        if !is_ours || !info.available {
            continue;
        }
        let document: Value = serde_json::from_slice(&store.document(&info.blob.digest)?).unwrap_or_default();
        for layer in document["layers"].as_array().into_iter().flatten() {
            let predicate = layer["annotations"]["in-toto.io/predicate-type"].as_str().unwrap_or_default();
            found.push(json!({ "PredicateType": predicate, "Digest": layer["digest"], "Size": layer["size"] }));
        }
    }
    Ok(found)
}

/// `GET /drua/v1/images/blob?name=app:1&digest=sha256:…`: one blob of an image, as it is stored.
pub(crate) async fn blob(engine: Engine, call: Call) -> Reply {
    let name = required(&call, "name")?;
    let digest: Digest = required(&call, "digest")?.parse().map_err(Failure::invalid)?;
    let wanted = digest.clone();
    let (file, lease) = blocking(move || {
        let contents = engine.store().contents(&name, None)?;
        let is_part = contents.blobs.iter().chain(&contents.documents).any(|blob| blob.digest == wanted);
        if !is_part {
            return Err(Failure::from(StorageError::Missing { digest: wanted }));
        }
        Ok((engine.store().open_blob(&wanted)?, contents.lease))
    })
    .await?;
    let (response, sender) = http::stream("application/octet-stream");
    tokio::task::spawn_blocking(move || {
        // Nothing may remove the blob while it is read.
        let _lease = lease;
        let mut file = std::io::BufReader::with_capacity(256 << 10, file);
        let mut out = std::io::BufWriter::with_capacity(256 << 10, sender);
        if let Err(error) = std::io::copy(&mut file, &mut out).and_then(|_| out.flush()) {
            tracing::warn!(%digest, error = error_chain(&error), "sending a blob ended early");
        }
    });
    Ok(response)
}

fn required(call: &Call, name: &str) -> Result<String, Failure> {
    call.query.get(name).map(str::to_owned).ok_or_else(|| Failure::invalid(format!("{name} is missing")))
}
