//! Pull, push, search, `/auth` and `/distribution`: what talks to registries, and Docker's JSON stream of its progress.

use drua_engine::{
    BlobStep, Credentials, Engine, ImportEvent, LayerStep, PullEvent, PullImage, PushEvent, PushImage, SearchResult,
};
use drua_store::Import;
use drua_types::{Digest, ImageRef, Platform, error_chain};
use hyper::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::mpsc;

use crate::filters::Filters;
use crate::http::{self, Call, Failure, Reply};

/// Events that a pull may be ahead of its client.
const AHEAD: usize = 256;
/// Docker's limits of a search.
const DEFAULT_RESULTS: usize = 25;
const MAX_RESULTS: usize = 100;

/// `X-Registry-Auth`. What cannot be read counts as none, as in Docker.
fn credentials(call: &Call) -> Credentials {
    call.header("x-registry-auth").and_then(|text| Credentials::from_header(text).ok()).unwrap_or_default()
}

/// `POST /images/create?fromImage=…`.
pub(crate) async fn pull(engine: Engine, from: &str, call: &Call) -> Reply {
    let named: ImageRef = from.parse().map_err(Failure::invalid)?;
    let repository = format!("{}/{}", named.domain(), named.path());
    // Docker's rule: all tags where there is none anywhere.
    let untagged = !from.contains('@') && !from.rsplit('/').next().unwrap_or_default().contains(':');
    let (image, all_tags) = match call.query.get("tag") {
        Some(digest) if digest.parse::<Digest>().is_ok() => (format!("{repository}@{digest}").parse(), false),
        Some(tag) => (format!("{repository}:{tag}").parse(), false),
        None => (Ok(named), untagged),
    };
    let platform: Option<Platform> =
        call.query.get("platform").map(str::parse).transpose().map_err(Failure::invalid)?;
    let image = image.map_err(Failure::invalid)?;
    let request = PullImage { image, all_tags, platform, credentials: credentials(call) };
    let (sender, receiver) = mpsc::channel(AHEAD);
    let work = async move { engine.pull(request, sender).await };
    stream(work, receiver, |event| vec![pull_line(event)]).await
}

/// `POST /images/{name}/push`.
pub(crate) async fn push(engine: Engine, name: String, call: &Call) -> Reply {
    let named: ImageRef = name.parse().map_err(Failure::invalid)?;
    let untagged = !name.rsplit('/').next().unwrap_or_default().contains(':');
    let (image, all_tags) = match call.query.get("tag") {
        Some(tag) => (format!("{}/{}:{tag}", named.domain(), named.path()).parse().map_err(Failure::invalid)?, false),
        None => (named, untagged),
    };
    if image.digest().is_some() {
        return Err(Failure::invalid("cannot push a digest reference"));
    }
    let platform = super::images::platform(&call.query)?;
    let request = PushImage { image, all_tags, platform, credentials: credentials(call) };
    let (sender, receiver) = mpsc::channel(AHEAD);
    let work = async move { engine.push(request, sender).await };
    stream(work, receiver, push_lines).await
}

/// `POST /images/create?fromSrc=http://…`.
pub(crate) async fn import(engine: Engine, url: String, import: Import) -> Reply {
    let (sender, receiver) = mpsc::channel(AHEAD);
    let work = async move { engine.import_from_url(&url, import, sender).await };
    stream(work, receiver, |event| vec![import_line(event)]).await
}

fn import_line(event: ImportEvent) -> Value {
    match event {
        ImportEvent::From { url } => json!({ "status": format!("Downloading from {url}") }),
        ImportEvent::Downloading { current, total } => {
            let mut line = amount("", "Importing", current, total);
            line.as_object_mut().map(|line| line.remove("id"));
            line
        }
        ImportEvent::Done(id) => json!({ "status": id }),
    }
}

/// Answers with a status as long as nothing has happened, then with a stream of what does. A client that goes away cancels
/// the work.
async fn stream<E: Send + 'static>(
    work: impl Future<Output = drua_engine::Result<()>> + Send + 'static,
    mut events: mpsc::Receiver<E>,
    lines: impl Fn(E) -> Vec<Value> + Send + 'static,
) -> Reply {
    let mut work = Box::pin(work);
    let mut ended = None;
    let first = tokio::select! {
        biased;
        event = events.recv() => event,
        result = &mut work => {
            result?;
            ended = Some(Ok(()));
            events.try_recv().ok()
        }
    };
    let (response, sender) = http::stream("application/json");
    let mut pending: Vec<Value> = first.map(&lines).unwrap_or_default();
    tokio::spawn(async move {
        loop {
            for line in pending.drain(..) {
                if sender.json(&line).await.is_err() {
                    return;
                }
            }
            tokio::select! {
                biased;
                event = events.recv() => match event {
                    Some(event) => pending = lines(event),
                    // All is told; only the result can be missing.
                    None => break,
                },
                () = sender.closed() => return,
                result = &mut work, if ended.is_none() => {
                    let failed = result.is_err();
                    ended = Some(result);
                    if failed {
                        break;
                    }
                }
            }
        }
        let result = match ended {
            Some(result) => result,
            None => work.await,
        };
        if let Err(error) = result {
            tracing::info!(error = error_chain(&error), "talking to a registry failed");
            // A client that has gone does not hear it.
            let _ = sender.json(&super::images::failure_line(&error)).await;
        }
    });
    Ok(response)
}

fn pull_line(event: PullEvent) -> Value {
    let plain = |id: &str, status: &str| json!({ "status": status, "progressDetail": {}, "id": id });
    match event {
        PullEvent::From { repository, reference } => {
            json!({ "status": format!("Pulling from {repository}"), "id": reference })
        }
        PullEvent::Layer { id, step } => match step {
            LayerStep::Planned => plain(&id, "Pulling fs layer"),
            LayerStep::Waiting => plain(&id, "Waiting"),
            LayerStep::Downloading { current, total } => amount(&id, "Downloading", current, total),
            LayerStep::Verifying => plain(&id, "Verifying Checksum"),
            LayerStep::Downloaded => plain(&id, "Download complete"),
            LayerStep::Extracting { current, total } => amount(&id, "Extracting", current, total),
            LayerStep::Complete => plain(&id, "Pull complete"),
            LayerStep::Exists => plain(&id, "Already exists"),
        },
        PullEvent::Digest(digest) => json!({ "status": format!("Digest: {digest}") }),
        PullEvent::Done { image, up_to_date: true } => {
            json!({ "status": format!("Status: Image is up to date for {image}") })
        }
        PullEvent::Done { image, up_to_date: false } => {
            json!({ "status": format!("Status: Downloaded newer image for {image}") })
        }
    }
}

fn push_lines(event: PushEvent) -> Vec<Value> {
    let plain = |id: &str, status: &str| json!({ "status": status, "progressDetail": {}, "id": id });
    match event {
        PushEvent::To { repository } => {
            vec![json!({ "status": format!("The push refers to repository [{repository}]") })]
        }
        PushEvent::Blob { id, step } => vec![match step {
            BlobStep::Preparing => plain(&id, "Preparing"),
            BlobStep::Compressing { current, total } => amount(&id, "Compressing", current, total),
            BlobStep::Pushing { current, total } => amount(&id, "Pushing", current, total),
            BlobStep::Pushed => plain(&id, "Pushed"),
            BlobStep::Exists => plain(&id, "Layer already exists"),
            BlobStep::Mounted(from) => plain(&id, &format!("Mounted from {from}")),
        }],
        PushEvent::Partial { index, manifest } => {
            let descriptor = |blob: &drua_store::Blob| json!({ "mediaType": blob.media_type, "digest": blob.digest, "size": blob.size });
            let aux = json!({
                "manifestPushedInsteadOfIndex": true,
                "originalIndex": descriptor(&index),
                "selectedManifest": descriptor(&manifest),
            });
            vec![json!({ "progressDetail": {}, "aux": aux })]
        }
        PushEvent::Done { tag, digest, size } => vec![
            json!({ "status": format!("{tag}: digest: {digest} size: {size}") }),
            json!({ "progressDetail": {}, "aux": { "Tag": tag, "Digest": digest, "Size": size } }),
        ],
    }
}

/// A line with an amount, and with the bar that Docker draws for clients that draw none.
fn amount(id: &str, status: &str, current: u64, total: u64) -> Value {
    let done = usize::try_from((current.min(total) * 50).checked_div(total).unwrap_or(0)).unwrap_or(50);
    let bar = format!("[{}>{}]", "=".repeat(done), " ".repeat(50 - done));
    let progress = format!("{bar} {:>8}/{}", decimal(current), decimal(total));
    json!({ "status": status, "progressDetail": { "current": current, "total": total }, "progress": progress, "id": id })
}

/// Go's `%.4g` with a decimal unit: `2.219MB`.
fn decimal(bytes: u64) -> String {
    let (mut value, mut unit) = (bytes as f64, 0);
    const UNITS: [&str; 6] = ["B", "kB", "MB", "GB", "TB", "PB"];
    while value >= 1000.0 && unit + 1 < UNITS.len() {
        value /= 1000.0;
        unit += 1;
    }
    let whole = if value >= 100.0 {
        3
    } else if value >= 10.0 {
        2
    } else {
        1
    };
    let text = format!("{value:.*}", 4 - whole);
    let text = if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.') } else { &text };
    format!("{text}{}", UNITS[unit])
}

/// `GET /images/search`.
pub(crate) async fn search(engine: Engine, call: Call) -> Reply {
    let term = call.query.get("term").ok_or_else(|| Failure::invalid("no search term"))?.to_owned();
    let limit = call.query.number::<usize>("limit")?.filter(|limit| *limit > 0).unwrap_or(DEFAULT_RESULTS);
    if limit > MAX_RESULTS {
        return Err(Failure::invalid(format!("limit {limit} is outside the range of [1, {MAX_RESULTS}]")));
    }
    let filters = Filters::parse(&call.query, &["is-official", "is-automated", "stars"])?;
    let (official, automated) = (filters.flag("is-official")?, filters.flag("is-automated")?);
    let stars = filters
        .values("stars")
        .iter()
        .map(|text| text.parse::<i64>().map_err(|_| Failure::invalid(format!("invalid filter \'stars=[{text}]\'"))));
    let stars = stars.collect::<Result<Vec<_>, _>>()?.into_iter().max().unwrap_or(0);
    let found = engine.search_images(&term, limit, credentials(&call)).await?;
    if found.from_catalog {
        tracing::info!(term, "the registry cannot search: looked for the term in its catalog");
    }
    let shown = |result: &&SearchResult| {
        official.is_none_or(|wanted| wanted == result.is_official)
            && automated.is_none_or(|wanted| wanted == result.is_automated)
            && result.star_count >= stars
    };
    let results: Vec<Value> = found
        .results
        .iter()
        .filter(shown)
        .map(|result| {
            let description = match found.from_catalog {
                true => "(the registry has no search: found by name in its catalog)",
                false => &result.description,
            };
            json!({
                "name": result.name, "description": description, "star_count": result.star_count,
                "is_official": result.is_official, "is_automated": result.is_automated,
            })
        })
        .collect();
    http::json(&results)
}

/// `POST /auth`: whether a registry accepts a name and a password.
pub(crate) async fn auth(engine: Engine, mut call: Call) -> Reply {
    #[derive(Deserialize, Default)]
    struct Server {
        #[serde(default)]
        serveraddress: String,
    }
    let body: Value = call.json().await?.unwrap_or_default();
    let server: Server = serde_json::from_value(body.clone()).unwrap_or_default();
    let credentials = Credentials::from_json(body.to_string().as_bytes()).map_err(Failure::invalid)?;
    match engine.login(&server.serveraddress, credentials).await {
        Ok(login) => {
            let token = login.identity_token.as_ref().map_or("", |token| token.expose());
            http::json(&json!({ "Status": "Login Succeeded", "IdentityToken": token }))
        }
        Err(error) => Err(registry_failure(error)),
    }
}

/// `GET /distribution/{name}/json`.
pub(crate) async fn distribution(engine: Engine, name: String, call: &Call) -> Reply {
    let image: ImageRef = name.parse().map_err(Failure::invalid)?;
    let found = engine.inspect_distribution(&image, credentials(call)).await.map_err(registry_failure)?;
    let platform = |platform: &Platform| {
        let mut value = json!({ "architecture": platform.architecture(), "os": platform.os() });
        if let Some(variant) = platform.variant() {
            value["variant"] = variant.into();
        }
        value
    };
    let descriptor = &found.descriptor;
    http::json(&json!({
        "Descriptor": { "mediaType": descriptor.media_type, "digest": descriptor.digest, "size": descriptor.size },
        "Platforms": found.platforms.iter().map(platform).collect::<Vec<_>>(),
    }))
}

/// 401 is what clients ask for a password upon.
fn registry_failure(error: drua_engine::Error) -> Failure {
    match error.is_unauthorized() {
        true => Failure::new(StatusCode::UNAUTHORIZED, error_chain(&error)),
        false => error.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_look_like_dockers() {
        let line = amount("abc", "Downloading", 1_110_000, 2_219_000);
        let bar = format!("[{}>{}]", "=".repeat(25), " ".repeat(25));
        assert_eq!(line["progress"], format!("{bar}   1.11MB/2.219MB"));
        assert_eq!(amount("abc", "Downloading", 0, 0)["progress"], format!("[>{}]       0B/0B", " ".repeat(50)));
        for (bytes, text) in [(999, "999B"), (1000, "1kB"), (32_768, "32.77kB"), (123_456_789, "123.5MB")] {
            assert_eq!(decimal(bytes), text);
        }
    }
}
