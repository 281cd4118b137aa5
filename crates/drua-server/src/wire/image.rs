//! Images as Docker lists and inspects them.

use drua_store::{HistoryEntry, Image};
use drua_types::ImageRef;
use serde_json::{Map, Value, json};

use super::time;

fn names(names: &[ImageRef]) -> Vec<String> {
    names.iter().map(ImageRef::familiar).collect()
}

/// An entry of `GET /images/json`; -1 containers means "not counted".
pub(crate) fn summary(image: &Image, containers: Option<usize>) -> Value {
    let labels = image.config.config().as_ref().and_then(|config| config.labels().clone()).unwrap_or_default();
    json!({
        "Id": image.id,
        "ParentId": "",
        "RepoTags": names(&image.names),
        "RepoDigests": names(&image.repo_digests),
        "Created": image.created.map_or(0, |time| time.as_second()),
        "Size": image.size,
        "SharedSize": -1,
        "Labels": labels,
        "Containers": containers.map_or(json!(-1), |count| json!(count)),
        "Descriptor": descriptor(image),
    })
}

/// The per-platform entry that `manifests=1` asks for.
pub(crate) fn manifest_summary(image: &Image, containers: &[String]) -> Value {
    json!({
        "ID": image.manifest_digest,
        "Descriptor": {
            "mediaType": image.manifest_media_type,
            "digest": image.manifest_digest,
            "size": image.manifest_size,
            "platform": platform(image),
        },
        "Available": true,
        "Kind": "image",
        "Size": { "Total": image.size, "Content": image.content_size },
        "ImageData": {
            "Platform": platform(image),
            "Containers": containers,
            "Size": { "Unpacked": image.size.saturating_sub(image.content_size) },
        },
    })
}

fn descriptor(image: &Image) -> Value {
    json!({ "mediaType": image.media_type, "digest": image.id, "size": image.descriptor_size })
}

fn platform(image: &Image) -> Value {
    let mut value = json!({ "architecture": image.platform.architecture(), "os": image.platform.os() });
    if let Some(variant) = image.platform.variant() {
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
        "Created": time(image.created),
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
