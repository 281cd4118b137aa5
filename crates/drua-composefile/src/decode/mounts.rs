//! `volumes` and `tmpfs` of a service.

use super::{Decoder, Field, Fields, clean};
use crate::model::{BindOptions, ImageOptions, Mount, MountKind, TmpfsOptions, VolumeOptions};

const RECURSIVE: [&str; 4] = ["enabled", "disabled", "writable", "readonly"];
const PROPAGATIONS: [&str; 6] = ["rprivate", "private", "rshared", "shared", "rslave", "slave"];

pub(super) fn mounts(cx: &mut Decoder<'_>, field: &Field<'_>) -> Vec<Mount> {
    let Some(items) = field.items() else {
        cx.expected(field, "a list");
        return Vec::new();
    };
    let mut mounts = Vec::new();
    for item in items {
        let mount = if item.entries().is_some() { long(cx, &item) } else { short(cx, &item) };
        if let Some(mount) = mount {
            cx.place(&format!("{}#{}", field.path, mount.target), item.node.span);
            mounts.push(mount);
        }
    }
    mounts
}

/// A target must be absolute; `.` and `..` in it are resolved.
fn target(cx: &mut Decoder<'_>, field: &Field<'_>, text: &str) -> Option<String> {
    if !text.starts_with('/') {
        cx.invalid(field, format!("`{text}` is not an absolute path in the container"));
        return None;
    }
    Some(clean(std::path::Path::new(text)).to_string_lossy().into_owned())
}

/// `[source:]target[:option,…]`.
fn short(cx: &mut Decoder<'_>, item: &Field<'_>) -> Option<Mount> {
    let text = cx.string(item)?;
    let parts: Vec<&str> = text.split(':').collect();
    let (source, path, options) = match parts.as_slice() {
        [path] => (None, *path, ""),
        [source, path] => (Some(*source), *path, ""),
        [source, path, options] => (Some(*source), *path, *options),
        _ => {
            cx.invalid(item, format!("`{text}` has too many colons; expected `[source:]target[:options]`"));
            return None;
        }
    };
    if source == Some("") || path.is_empty() || (parts.len() == 3 && options.is_empty()) {
        cx.invalid(item, format!("`{text}` has an empty part; expected `[source:]target[:options]`"));
        return None;
    }
    let is_path = source.is_some_and(|source| source.starts_with(['.', '/', '~']));
    let mut mount = Mount {
        kind: if is_path { MountKind::Bind } else { MountKind::Volume },
        source: source.map(str::to_owned),
        target: target(cx, item, path)?,
        read_only: false,
        consistency: None,
        bind: is_path.then(BindOptions::default),
        // Docker Compose reads nothing into a text this short.
        volume: (!is_path && text.len() > 2).then(VolumeOptions::default),
        tmpfs: None,
        image: None,
    };
    for option in options.split(',').filter(|option| !option.is_empty()) {
        match (option, &mut mount.bind, &mut mount.volume) {
            ("ro", ..) => mount.read_only = true,
            ("rw", ..) => mount.read_only = false,
            ("cached" | "delegated" | "consistent", ..) => mount.consistency = Some(option.to_owned()),
            ("nocopy", _, Some(volume)) => volume.nocopy = true,
            ("z" | "Z", Some(bind), _) => bind.selinux = Some(option.to_owned()),
            // Relabeling a volume is the engine's own business.
            ("z" | "Z", None, _) => {}
            (option, Some(bind), _) if PROPAGATIONS.contains(&option) => bind.propagation = Some(option.to_owned()),
            _ => cx.invalid(item, format!("unknown option `{option}`")),
        }
    }
    Some(mount)
}

fn long(cx: &mut Decoder<'_>, item: &Field<'_>) -> Option<Mount> {
    let mut fields = Fields::open(cx, item)?;
    let kind = fields.take("type");
    if kind.is_none() {
        cx.report
            .error(item.node.span, format!("`{}.type` is missing", item.path))
            .hint("write `type: bind`, `volume`, `tmpfs` or `image`");
    }
    let kind_name =
        kind.as_ref().and_then(|field| cx.one_of(field, &["bind", "volume", "tmpfs", "image", "npipe", "cluster"]));
    let source = fields.take("source").and_then(|field| cx.string(&field));
    let path = fields.take("target");
    if path.is_none() {
        cx.report.error(item.node.span, format!("`{}.target` is missing", item.path));
    }
    let path = path.and_then(|field| {
        let text = cx.string(&field)?;
        target(cx, &field, &text)
    });
    let read_only = fields.take("read_only").and_then(|field| cx.boolean(&field)).unwrap_or(false);
    let consistency = fields.take("consistency").and_then(|field| cx.string(&field));
    let bind = fields.take("bind").and_then(|field| bind_options(cx, &field));
    let volume = fields.take("volume").and_then(|field| volume_options(cx, &field));
    let tmpfs = fields.take("tmpfs").and_then(|field| tmpfs_options(cx, &field));
    let image = fields.take("image").and_then(|field| image_options(cx, &field));
    fields.finish(cx);

    let mut mount =
        Mount { kind: MountKind::Bind, source, target: path?, read_only, consistency, bind, volume, tmpfs, image };
    match kind_name?.as_str() {
        "bind" => {
            if mount.source.is_none() {
                cx.report.error(item.node.span, format!("`{}.source`, the host's path, is missing", item.path));
                return None;
            }
            mount.bind.get_or_insert_default();
        }
        "volume" => mount.kind = MountKind::Volume,
        "tmpfs" => mount.kind = MountKind::Tmpfs,
        "image" => mount.kind = MountKind::Image,
        "npipe" => mount.kind = MountKind::NamedPipe,
        _ => mount.kind = MountKind::Cluster,
    }
    Some(mount)
}

fn bind_options(cx: &mut Decoder<'_>, field: &Field<'_>) -> Option<BindOptions> {
    let mut fields = Fields::open(cx, field)?;
    let options = BindOptions {
        selinux: fields.take("selinux").and_then(|field| cx.one_of(&field, &["z", "Z"])),
        propagation: fields.take("propagation").and_then(|field| cx.one_of(&field, &PROPAGATIONS)),
        create_host_path: fields.take("create_host_path").and_then(|field| cx.boolean(&field)).unwrap_or(true),
        recursive: fields.take("recursive").and_then(|field| cx.one_of(&field, &RECURSIVE)),
    };
    fields.finish(cx);
    Some(options)
}

fn volume_options(cx: &mut Decoder<'_>, field: &Field<'_>) -> Option<VolumeOptions> {
    let mut fields = Fields::open(cx, field)?;
    let options = VolumeOptions {
        labels: fields.take("labels").map(|field| cx.labels(&field)).unwrap_or_default(),
        nocopy: fields.take("nocopy").and_then(|field| cx.boolean(&field)).unwrap_or(false),
        subpath: fields.take("subpath").and_then(|field| cx.string(&field)),
    };
    fields.finish(cx);
    Some(options)
}

fn tmpfs_options(cx: &mut Decoder<'_>, field: &Field<'_>) -> Option<TmpfsOptions> {
    let mut fields = Fields::open(cx, field)?;
    let options = TmpfsOptions {
        size: fields.take("size").and_then(|field| cx.bytes(&field)),
        mode: fields.take("mode").and_then(|field| mode(cx, &field)),
    };
    fields.finish(cx);
    Some(options)
}

fn image_options(cx: &mut Decoder<'_>, field: &Field<'_>) -> Option<ImageOptions> {
    let mut fields = Fields::open(cx, field)?;
    let options = ImageOptions { subpath: fields.string(cx, "subpath") };
    fields.finish(cx);
    Some(options)
}

/// Permission bits: a number (which YAML reads as octal when it starts with 0), or octal text.
fn mode(cx: &mut Decoder<'_>, field: &Field<'_>) -> Option<u32> {
    let Some(text) = field.text() else { return cx.integer_as(field) };
    let mode = u32::from_str_radix(text.trim_start_matches("0o"), 8).ok();
    if mode.is_none() {
        cx.invalid(field, format!("`{text}` is not a mode such as `0755`"));
    }
    mode
}

/// `/path[:options]`.
pub(super) fn tmpfs(cx: &mut Decoder<'_>, field: &Field<'_>) -> Vec<String> {
    let list = cx.string_or_strings(field);
    for entry in &list {
        if !entry.starts_with('/') {
            cx.invalid(field, format!("`{entry}` is not an absolute path in the container"));
        }
    }
    list
}
