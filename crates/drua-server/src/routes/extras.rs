//! `/drua/v1/…`: what Docker's API has no word for.

use drua_engine::Engine;
use drua_store::{Annotate, Repair};
use drua_types::{ImageRef, Platform};
use serde_json::{Value, json};

use super::blocking;
use crate::http::{self, Call, Failure, Reply};

/// `POST /drua/v1/system/check?repair=1`: verifies the image store.
///
/// ```json
/// {"Blobs": 4, "Layers": 2, "Bytes": 12345, "Problems": [{"Subject": "…", "Text": "…", "Repaired": "removed"}]}
/// ```
pub(crate) async fn check(engine: Engine, call: Call) -> Reply {
    let repair = if call.query.flag("repair") { Repair::Yes } else { Repair::No };
    blocking(move || {
        let report = engine.check_images(repair)?;
        let problem = |problem: &drua_store::Problem| -> Value {
            json!({ "Subject": problem.subject, "Text": problem.text, "Repaired": problem.repaired })
        };
        http::json(&json!({
            "Blobs": report.blobs,
            "Layers": report.layers,
            "Bytes": report.bytes,
            "Problems": report.problems.iter().map(problem).collect::<Vec<_>>(),
        }))
    })
    .await
}

/// `GET /drua/v1/images/module?name=hello:1`: the WebAssembly module or component that an image runs, as it is.
pub(crate) async fn module(engine: Engine, call: Call) -> Reply {
    let name = call.query.get("name").ok_or_else(|| Failure::invalid("name is missing"))?.to_owned();
    let mut file = blocking(move || Ok(engine.wasm_module(&name)?)).await?;
    let (response, mut sender) = http::stream("application/wasm");
    tokio::task::spawn_blocking(move || {
        if let Err(error) = std::io::copy(&mut file, &mut sender) {
            sender.abort(error);
        }
    });
    Ok(response)
}

fn name(call: &Call) -> Result<ImageRef, Failure> {
    call.query.get("name").ok_or_else(|| Failure::invalid("name is missing"))?.parse().map_err(Failure::invalid)
}

/// `POST /drua/v1/manifests/create?name=app:1&image=app:amd64&image=app:wasm`: an index of images that are here.
pub(crate) async fn create_index(engine: Engine, call: Call) -> Reply {
    let name = name(&call)?;
    let images = call.query.all("image");
    if images.is_empty() {
        return Err(Failure::invalid("no image is named"));
    }
    blocking(move || http::json(&json!({ "Id": engine.make_index(&name, &images)? }))).await
}

/// `POST /drua/v1/manifests/annotate?name=app:1&manifest=sha256:…&platform=linux/arm64&annotation=key=value`.
pub(crate) async fn annotate_index(engine: Engine, call: Call) -> Reply {
    let name = name(&call)?;
    let manifest = call.query.get("manifest").ok_or_else(|| Failure::invalid("manifest is missing"))?.to_owned();
    let platform: Option<Platform> =
        call.query.get("platform").map(|text| text.parse().map_err(Failure::invalid)).transpose()?;
    let pair = |text: String| match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err(Failure::invalid(format!("annotation `{text}` is not KEY=VALUE"))),
    };
    let annotations = call.query.all("annotation").into_iter().map(pair).collect::<Result<_, _>>()?;
    let change = Annotate { platform, annotations };
    blocking(move || http::json(&json!({ "Id": engine.annotate_index(&name, &manifest, &change)? }))).await
}

/// `GET /drua/v1/manifests/inspect?name=app:1`: an image's top-level document, as a registry would give it.
///
/// ```json
/// {"Descriptor": {"mediaType": "…", "digest": "…", "size": 1}, "Document": {…}}
/// ```
pub(crate) async fn inspect_document(engine: Engine, call: Call) -> Reply {
    let name = call.query.get("name").ok_or_else(|| Failure::invalid("name is missing"))?.to_owned();
    blocking(move || {
        let (top, bytes) = engine.store().top_document(&name)?;
        let document: Value = serde_json::from_slice(&bytes)
            .map_err(|error| Failure::new(hyper::StatusCode::INTERNAL_SERVER_ERROR, error.to_string()))?;
        let descriptor = json!({ "mediaType": top.media_type, "digest": top.digest, "size": top.size });
        http::json(&json!({ "Descriptor": descriptor, "Document": document }))
    })
    .await
}
