//! `/images/…`.

use std::collections::BTreeMap;

use drua_engine::Engine;
use drua_store::{Force, Image, Import, LoadEvent, ManifestInfo, ManifestKind, Removed};
use drua_types::{Classify, Digest, ImageRef, Platform, error_chain};
use hyper::StatusCode;
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Value, json};

use super::blocking;
use crate::filters::Filters;
use crate::http::{self, Call, Failure, Query, Reply};
use crate::wire;

/// Inspect, history, save and load name a platform as OCI's JSON object; some clients send plain text all the same.
pub(super) fn platform(query: &Query) -> Result<Option<Platform>, Failure> {
    query.get("platform").map(parse_platform).transpose()
}

fn parse_platform(text: &str) -> Result<Platform, Failure> {
    #[derive(Deserialize)]
    struct Wire {
        os: String,
        architecture: String,
        #[serde(default)]
        variant: String,
    }
    if text.starts_with('{') {
        let wire: Wire =
            serde_json::from_str(text).map_err(|error| Failure::invalid(format!("invalid platform: {error}")))?;
        return Ok(Platform::new(&wire.os, &wire.architecture, Some(&wire.variant)));
    }
    text.parse().map_err(Failure::invalid)
}

pub(crate) async fn list(engine: Engine, call: Call) -> Reply {
    let known = ["dangling", "label", "label!", "before", "since", "reference", "until"];
    let filters = Filters::parse(&call.query, &known)?;
    let dangling = filters.flag("dangling")?;
    let manifests = call.query.flag("manifests");
    let until = filters.until(Timestamp::now())?;
    let shared_size = call.query.flag("shared-size");
    blocking(move || {
        let usage = engine.store().usage()?;
        let containers = engine.containers();
        let mut listed = Vec::new();
        let mut images = engine.store().list()?;
        images.sort_by_key(|image| std::cmp::Reverse(image.created));
        let created = |name: &String| engine.store().get(name, None).map(|image| image.created).map_err(Failure::from);
        let before = filters.values("before").first().map(created).transpose()?;
        let since = filters.values("since").first().map(created).transpose()?;
        for image in &mut images {
            if !filters.values("reference").is_empty() {
                // Of an image with several names, only those that were asked for are shown.
                image.names.retain(|name| filters.any("reference", |wanted| matches_reference(name, wanted)));
            }
            let shown = dangling.is_none_or(|dangling| dangling == image.names.is_empty())
                && filters.labels(&labels(image))
                && is_older(image, until)
                && filters.any("reference", |wanted| image.names.iter().any(|name| matches_reference(name, wanted)))
                && before.is_none_or(|time| image.created < time)
                && since.is_none_or(|time| image.created > time);
            if !shown {
                continue;
            }
            let users: Vec<String> =
                containers.iter().filter(|c| c.image == image.id).map(|c| c.id.to_string()).collect();
            let image_usage = usage.get(&image.id).copied().unwrap_or_default();
            let mut summary = wire::image::summary(image, image_usage);
            if shared_size {
                summary["SharedSize"] = json!(image_usage.shared);
            }
            if manifests {
                summary["Manifests"] = json!(manifest_summaries(&engine, &image.id)?);
                summary["Containers"] = json!(users.len());
            }
            listed.push(summary);
        }
        http::json(&listed)
    })
    .await
}

fn labels(image: &Image) -> BTreeMap<String, String> {
    let labels = image.config.config().as_ref().and_then(|config| config.labels().clone());
    labels.unwrap_or_default().into_iter().collect()
}

/// Whether an image passes an `until` filter. One without a date is older than any.
fn is_older(image: &Image, until: Option<Timestamp>) -> bool {
    until.is_none_or(|until| image.created.is_none_or(|created| created <= until))
}

/// One entry a manifest of the index, here or not, attestations included.
fn manifest_summaries(engine: &Engine, id: &Digest) -> Result<Vec<Value>, Failure> {
    let containers = engine.containers();
    let users = |manifest: &Digest| -> Vec<String> {
        containers.iter().filter(|c| c.manifest == *manifest).map(|c| c.id.to_string()).collect()
    };
    let manifests = engine.store().manifests(id.as_str())?;
    let summary = |info: &ManifestInfo| {
        let mut value = wire::image::manifest_summary(info, &users(&info.blob.digest));
        // drua's own: whether the first start will have to compile.
        if let ManifestKind::Image(Some(image)) = &info.kind
            && let Some(compiled) = engine.is_compiled(image)
        {
            value["ImageData"]["Wasm"] = json!({ "Compiled": compiled });
        }
        value
    };
    Ok(manifests.iter().map(summary).collect())
}

/// `reference` filters: a name with or without tag, `*` for any text.
fn matches_reference(name: &ImageRef, wanted: &str) -> bool {
    let fits = |text: &str| glob(wanted.as_bytes(), text.as_bytes());
    fits(&name.familiar()) || fits(&name.familiar_repository()) || fits(&name.to_string())
}

/// Matches `*` (any text) and `?` (any byte). Linear but for restarts at the last `*`, since an earlier one never has to
/// give anything back.
fn glob(pattern: &[u8], text: &[u8]) -> bool {
    let (mut at, mut pos) = (0, 0);
    // Where the last `*` is in the pattern, and up to where it has eaten the text.
    let mut star: Option<(usize, usize)> = None;
    while pos < text.len() {
        match (pattern.get(at), star) {
            (Some(b'*'), _) => {
                star = Some((at, pos));
                at += 1;
            }
            (Some(&byte), _) if byte == b'?' || byte == text[pos] => {
                at += 1;
                pos += 1;
            }
            (_, Some((star_at, eaten))) => {
                star = Some((star_at, eaten + 1));
                at = star_at + 1;
                pos = eaten + 1;
            }
            (_, None) => return false,
        }
    }
    pattern[at..].iter().all(|&byte| byte == b'*')
}

pub(crate) async fn inspect(engine: Engine, name: String, call: Call) -> Reply {
    let platform = platform(&call.query)?;
    let manifests = call.query.flag("manifests");
    if manifests && platform.is_some() {
        return Err(Failure::invalid("conflicting options: manifests and platform cannot be used together"));
    }
    blocking(move || {
        let image = engine.store().get(&name, platform.as_ref())?;
        let mut value = wire::image::inspect(&image);
        if manifests {
            value["Manifests"] = json!(manifest_summaries(&engine, &image.id)?);
        }
        http::json(&value)
    })
    .await
}

pub(crate) async fn history(engine: Engine, name: String, call: Call) -> Reply {
    let platform = platform(&call.query)?;
    blocking(move || {
        let entries = engine.store().history(&name, platform.as_ref())?;
        http::json(&entries.iter().map(wire::image::history).collect::<Vec<_>>())
    })
    .await
}

pub(crate) async fn tag(engine: Engine, name: String, call: Call) -> Reply {
    let repository = call.query.get("repo").ok_or_else(|| Failure::invalid("repo is missing"))?;
    let target: ImageRef = match call.query.get("tag") {
        Some(tag) => format!("{repository}:{tag}").parse().map_err(Failure::invalid)?,
        None => repository.parse().map_err(Failure::invalid)?,
    };
    blocking(move || Ok(engine.tag_image(&name, &target)?)).await?;
    Ok(http::empty(StatusCode::CREATED))
}

fn removed_json(removed: &[Removed]) -> Vec<Value> {
    let entry = |removed: &Removed| match removed {
        Removed::Untagged(name) => json!({ "Untagged": name.familiar() }),
        Removed::Deleted(id) => json!({ "Deleted": id }),
    };
    removed.iter().map(entry).collect()
}

pub(crate) async fn remove(engine: Engine, name: String, call: Call) -> Reply {
    let force = if call.query.flag("force") { Force::Yes } else { Force::No };
    let platforms: Vec<Platform> =
        call.query.all("platforms").iter().map(|text| parse_platform(text)).collect::<Result<_, _>>()?;
    if !platforms.is_empty() {
        let removed = blocking(move || Ok(engine.remove_platforms(&name, &platforms)?)).await?;
        return http::json(&removed_json(&removed));
    }
    let removed = blocking(move || Ok(engine.remove_image(&name, force)?)).await?;
    http::json(&removed_json(&removed))
}

pub(crate) async fn prune(engine: Engine, call: Call) -> Reply {
    let filters = Filters::parse(&call.query, &["dangling", "label", "label!", "until"])?;
    let all = filters.flag("dangling")? == Some(false);
    let until = filters.until(Timestamp::now())?;
    blocking(move || {
        let chosen =
            |image: &Image| (all || image.names.is_empty()) && filters.labels(&labels(image)) && is_older(image, until);
        let chosen: Vec<Digest> = engine.store().list()?.into_iter().filter(chosen).map(|image| image.id).collect();
        let (removed, reclaimed) = engine.prune_images(&chosen)?;
        http::json(&json!({ "ImagesDeleted": removed_json(&removed), "SpaceReclaimed": reclaimed }))
    })
    .await
}

/// `POST /images/create`: a pull or an import.
pub(crate) async fn create(engine: Engine, call: Call) -> Reply {
    if let Some(name) = call.query.get("fromImage").map(str::to_owned) {
        return super::registry::pull(engine, &name, &call).await;
    }
    match call.query.get("fromSrc") {
        Some("-") => import(engine, call).await,
        Some(url) => {
            let url = url.to_owned();
            let import = import_options(&call, &format!("Imported from {url}"))?;
            super::registry::import(engine, url, import).await
        }
        None => Err(Failure::invalid("either fromImage or fromSrc is needed")),
    }
}

fn import_options(call: &Call, message: &str) -> Result<Import, Failure> {
    let name: Option<ImageRef> = match (call.query.get("repo"), call.query.get("tag")) {
        (None, _) => None,
        (Some(repo), None) => Some(repo.parse().map_err(Failure::invalid)?),
        (Some(repo), Some(tag)) => Some(format!("{repo}:{tag}").parse().map_err(Failure::invalid)?),
    };
    Ok(Import {
        name,
        message: call.query.get("message").unwrap_or(message).to_owned(),
        changes: call.query.all("changes"),
        platform: platform(&call.query)?,
    })
}

async fn import(engine: Engine, call: Call) -> Reply {
    let import = import_options(&call, "Imported from -")?;
    let mut body = call.into_reader();
    let id = blocking(move || Ok(engine.import_image(&mut body, import)?)).await?;
    let (response, sender) = http::stream("application/json");
    tokio::spawn(async move { sender.json(&json!({ "status": id })).await });
    Ok(response)
}

/// Errors that come before the first answer are statuses; later ones are the stream's last object.
pub(crate) fn load(engine: Engine, call: Call) -> Reply {
    let quiet = call.query.flag("quiet");
    let platform = platform(&call.query)?;
    let mut body = call.into_reader();
    let (response, sender) = http::stream("application/json");
    tokio::task::spawn_blocking(move || {
        let mut progress = |event: LoadEvent| {
            if !quiet {
                let LoadEvent::Layer { id, current, total } = event;
                let detail = json!({ "current": current, "total": total });
                // The load goes on when the client has gone: what has arrived whole is kept.
                let _ = sender
                    .blocking_json(&json!({ "status": "Loading layer", "progressDetail": detail, "id": id.short() }));
            }
        };
        let _ = match engine.load_images(&mut body, platform.as_ref(), &mut progress) {
            Ok(loaded) => {
                let messages = loaded.iter().flat_map(drua_store::Loaded::messages);
                messages
                    .map(|message| json!({ "stream": format!("{message}\n") }))
                    .try_for_each(|line| sender.blocking_json(&line))
            }
            Err(error) => {
                tracing::info!(kind = ?error.kind(), error = error_chain(&error), "an archive was refused");
                sender.blocking_json(&failure_line(&error))
            }
        };
    });
    Ok(response)
}

pub(super) fn failure_line(error: &dyn std::error::Error) -> Value {
    let message = error_chain(error);
    json!({ "errorDetail": { "message": message }, "error": message })
}

pub(crate) async fn save(engine: Engine, names: Vec<String>, call: &Call) -> Reply {
    let platform = platform(&call.query)?;
    // Several names may also come in one parameter, separated by commas.
    let names: Vec<String> = names.iter().flat_map(|names| names.split(',')).map(str::to_owned).collect();
    let lookup = engine.clone();
    let names = blocking(move || {
        // Looked up first: a missing image is a 404, not a broken stream.
        names.iter().try_for_each(|name| lookup.store().get(name, None).map(drop))?;
        Ok(names)
    })
    .await?;
    let (response, sender) = http::stream("application/x-tar");
    tokio::task::spawn_blocking(move || {
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let mut out = std::io::BufWriter::with_capacity(256 << 10, sender);
        if let Err(error) = engine.save_images(&names, platform.as_ref(), &mut out) {
            tracing::warn!(error = error_chain(&error), "saving images ended early");
        }
    });
    Ok(response)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reference_patterns() {
        let name: ImageRef = "bitnami/redis:7".parse().expect("valid");
        for pattern in ["bitnami/redis", "bitnami/redis:7", "bitnami/*", "*redis*", "bitnami/redis:?"] {
            assert!(matches_reference(&name, pattern), "{pattern}");
        }
        assert!(!matches_reference(&name, "redis"));
    }

    #[test]
    fn globs() {
        let fits = |pattern: &str, text: &str| glob(pattern.as_bytes(), text.as_bytes());
        for (pattern, text) in [("", ""), ("*", ""), ("**", "a"), ("a*b*c", "aXbXbXc"), ("?b*", "ab"), ("*ab", "aab")] {
            assert!(fits(pattern, text), "{pattern} {text}");
        }
        for (pattern, text) in [("", "a"), ("?", ""), ("a*b", "abc"), ("a", "ab"), ("ab", "a"), ("*a?", "ba")] {
            assert!(!fits(pattern, text), "{pattern} {text}");
        }
        // Took longer than the age of the universe once.
        assert!(!fits(&"*a".repeat(50), &"a".repeat(49)));
        assert!(!fits(&format!("{}b", "*a".repeat(40)), &"a".repeat(200)));
    }
}
