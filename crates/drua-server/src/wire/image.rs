//! Images as Docker lists and inspects them.

use drua_store::{HistoryEntry, Image, ImageUsage, ManifestInfo, ManifestKind};
use drua_types::{ImageRef, Platform};
use serde_json::{Map, Value, json};

use super::time;

fn names(names: &[ImageRef]) -> Vec<String> {
    names.iter().map(ImageRef::familiar).collect()
}

/// An entry of `GET /images/json`. Shared size and containers are -1, "not counted"; who counted them sets them.
pub(crate) fn summary(image: &Image, usage: ImageUsage) -> Value {
    let labels = image.config.config().as_ref().and_then(|config| config.labels().clone()).unwrap_or_default();
    json!({
        "Id": image.id,
        "ParentId": "",
        "RepoTags": names(&image.names),
        "RepoDigests": names(&image.repo_digests),
        "Created": image.created.map_or(0, |time| time.as_second()),
        "Size": usage.total,
        "SharedSize": -1,
        "Labels": labels,
        "Containers": -1,
        "Descriptor": descriptor(image),
    })
}

/// An entry of `Manifests`, for `manifests=1`.
pub(crate) fn manifest_summary(info: &ManifestInfo, containers: &[String]) -> Value {
    let mut descriptor =
        json!({ "mediaType": info.blob.media_type, "digest": info.blob.digest, "size": info.blob.size });
    if let Some(platform) = &info.platform {
        descriptor["platform"] = platform_json(platform);
    }
    let unpacked = match &info.kind {
        ManifestKind::Image(Some(image)) => image.size.saturating_sub(image.content_size),
        ManifestKind::Image(None) | ManifestKind::Attestation(_) | ManifestKind::Unknown => 0,
    };
    let mut summary = json!({
        "ID": info.blob.digest,
        "Descriptor": descriptor,
        "Available": info.available,
        "Kind": "unknown",
        "Size": { "Total": info.content_size + unpacked, "Content": info.content_size },
    });
    match &info.kind {
        ManifestKind::Image(_) => {
            summary["Kind"] = json!("image");
            summary["ImageData"] = json!({
                "Platform": info.platform.as_ref().map_or(json!({}), platform_json),
                "Containers": containers,
                "Size": { "Unpacked": unpacked },
            });
        }
        ManifestKind::Attestation(of) => {
            summary["Kind"] = json!("attestation");
            summary["AttestationData"] = json!({ "For": of.as_ref().map_or("", |digest| digest.as_str()) });
        }
        ManifestKind::Unknown => {
            // What is not here and names a platform is an image; Docker shows it the same way.
            if let Some(platform) = &info.platform {
                summary["Kind"] = json!("image");
                summary["ImageData"] =
                    json!({ "Platform": platform_json(platform), "Containers": [], "Size": { "Unpacked": 0 } });
            }
        }
    }
    summary
}

fn descriptor(image: &Image) -> Value {
    json!({ "mediaType": image.media_type, "digest": image.id, "size": image.descriptor_size })
}

fn platform_json(platform: &Platform) -> Value {
    let mut value = json!({ "architecture": platform.architecture(), "os": platform.os() });
    if let Some(variant) = platform.variant() {
        value["variant"] = json!(variant);
    }
    value
}

/// `GET /images/{}/json`.
pub(crate) fn inspect(image: &Image) -> Value {
    let config = image.config.config().clone().unwrap_or_default();
    let list =
        |list: &Option<Vec<String>>| list.as_ref().filter(|list| !list.is_empty()).map_or(Value::Null, |l| json!(l));
    let objects = |keys: &Option<Vec<String>>| match keys {
        Some(keys) if !keys.is_empty() => {
            Value::Object(keys.iter().map(|key| (key.clone(), json!({}))).collect::<Map<_, _>>())
        }
        _ => Value::Null,
    };
    let diff_ids = image.config.rootfs().diff_ids();
    let mut wire_config = json!({
        "Hostname": "",
        "Domainname": "",
        "User": config.user().clone().unwrap_or_default(),
        "AttachStdin": false,
        "AttachStdout": false,
        "AttachStderr": false,
        "Tty": false,
        "OpenStdin": false,
        "StdinOnce": false,
        "Env": list(config.env()),
        "Cmd": list(config.cmd()),
        "Image": "",
        "Volumes": objects(config.volumes()),
        "WorkingDir": config.working_dir().clone().unwrap_or_default(),
        "Entrypoint": list(config.entrypoint()),
        "OnBuild": null,
        "Labels": config.labels().clone().map_or(Value::Null, |labels| json!(labels)),
    });
    if config.exposed_ports().is_some() {
        wire_config["ExposedPorts"] = objects(config.exposed_ports());
    }
    if let Some(signal) = config.stop_signal() {
        wire_config["StopSignal"] = json!(signal);
    }
    json!({
        "Id": image.id,
        "RepoTags": names(&image.names),
        "RepoDigests": names(&image.repo_digests),
        "Parent": "",
        "Comment": image.docker.comment,
        "Created": image.created.map_or_else(|| time(None), |created| created.to_string()),
        "DockerVersion": image.docker.docker_version,
        "Author": image.config.author().clone().unwrap_or_default(),
        "Config": wire_config,
        "Architecture": image.platform.architecture(),
        "Variant": image.platform.variant().unwrap_or_default(),
        "Os": image.platform.os(),
        "Size": image.size,
        "GraphDriver": { "Data": null, "Name": "overlayfs" },
        "RootFS": { "Type": "layers", "Layers": diff_ids },
        "Metadata": { "LastTagTime": time(None) },
        "Descriptor": descriptor(image),
    })
}

/// An entry of `GET /images/{}/history`.
pub(crate) fn history(entry: &HistoryEntry) -> Value {
    json!({
        "Id": entry.id.as_ref().map_or("<missing>".to_owned(), ToString::to_string),
        "Created": entry.created.map_or(0, |time| time.as_second()),
        "CreatedBy": entry.created_by,
        "Tags": if entry.tags.is_empty() { Value::Null } else { json!(entry.tags) },
        "Size": entry.size,
        "Comment": entry.comment,
    })
}
