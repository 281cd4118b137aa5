//! Mounts in Docker's two spellings.

use std::path::PathBuf;

use drua_api::models;
use drua_engine::container::{MountKind, MountRequest, ReadOnlyDepth, VolumeSpec};

use super::Result;
use crate::http::Failure;

/// Words that `--tmpfs` takes besides those with a value.
const TMPFS_WORDS: [&str; 22] = [
    "async",
    "atime",
    "defaults",
    "dev",
    "diratime",
    "dirsync",
    "exec",
    "noatime",
    "nodev",
    "nodiratime",
    "noexec",
    "norelatime",
    "nostrictatime",
    "nosuid",
    "relatime",
    "ro",
    "rw",
    "strictatime",
    "suid",
    "sync",
    "private",
    "rprivate",
];
const TMPFS_KEYS: [&str; 7] = ["gid", "mode", "mpol", "nr_blocks", "nr_inodes", "size", "uid"];

fn request(kind: MountKind, source: Option<String>, destination: &str) -> MountRequest {
    MountRequest::new(kind, source, PathBuf::from(destination))
}

/// `source:destination[:options]`, where a source without a leading slash is a volume; or a destination alone.
pub(super) fn bind(bind: &str) -> Result<MountRequest> {
    let invalid = || Failure::invalid(format!("invalid volume specification: '{bind}'"));
    let parts: Vec<&str> = bind.split(':').collect();
    let (source, destination, mode) = match parts.as_slice() {
        [destination] => (None, *destination, ""),
        [source, destination] => (Some(*source), *destination, ""),
        [source, destination, mode] => (Some(*source), *destination, *mode),
        _ => return Err(invalid()),
    };
    if destination.is_empty() || source == Some("") {
        return Err(invalid());
    }
    let kind = if source.is_some_and(|source| source.starts_with('/')) { MountKind::Bind } else { MountKind::Volume };
    let mut mount = request(kind, source.map(str::to_owned), destination);
    mount.mode = mode.to_owned();
    for option in mode.split(',').filter(|option| !option.is_empty()) {
        match option {
            "ro" => mount.read_only = true,
            "rw" | "z" | "Z" | "cached" | "delegated" | "consistent" => {}
            "nocopy" if kind == MountKind::Volume => mount.no_copy = true,
            "private" | "rprivate" | "shared" | "rshared" | "slave" | "rslave" if kind == MountKind::Bind => {
                option.clone_into(&mut mount.propagation);
            }
            _ => return Err(Failure::invalid(format!("invalid mode: {mode}"))),
        }
    }
    Ok(mount)
}

/// `--tmpfs <destination>:<options>`.
pub(super) fn tmpfs(destination: &str, options: &str) -> Result<MountRequest> {
    let options: Vec<String> = options.split(',').filter(|option| !option.is_empty()).map(str::to_owned).collect();
    for option in &options {
        let known = match option.split_once('=') {
            Some((key, _)) => TMPFS_KEYS.contains(&key),
            None => TMPFS_WORDS.contains(&option.as_str()),
        };
        if !known {
            return Err(Failure::invalid(format!("invalid tmpfs option [{option:?}]")));
        }
    }
    Ok(MountRequest { tmpfs_options: options, ..request(MountKind::Tmpfs, None, destination) })
}

/// `--mount`: an object whose options must be those of its type.
pub(super) fn long(mount: models::Mount) -> Result<MountRequest> {
    use models::MountType as Type;
    let name = mount.typ.map(|kind| kind.to_string()).unwrap_or_default();
    let invalid = |message: &str| Failure::invalid(format!("invalid mount config for type \"{name}\": {message}"));
    let kind = match mount.typ {
        Some(Type::BIND) => MountKind::Bind,
        Some(Type::VOLUME) => MountKind::Volume,
        Some(Type::TMPFS) => MountKind::Tmpfs,
        Some(Type::IMAGE) => MountKind::Image,
        _ => return Err(invalid("mount type unknown")),
    };
    let foreign = [
        (kind != MountKind::Bind && mount.bind_options.is_some(), "field BindOptions must not be specified"),
        (kind != MountKind::Volume && mount.volume_options.is_some(), "field VolumeOptions must not be specified"),
        (kind != MountKind::Tmpfs && mount.tmpfs_options.is_some(), "field TmpfsOptions must not be specified"),
        (kind != MountKind::Image && mount.image_options.is_some(), "field ImageOptions must not be specified"),
    ];
    if let Some((_, message)) = foreign.iter().find(|(is, _)| *is) {
        return Err(invalid(message));
    }
    let target =
        mount.target.filter(|target| !target.is_empty()).ok_or_else(|| invalid("field Target must not be empty"))?;
    let source = mount.source.filter(|source| !source.is_empty());
    match (kind, &source) {
        (MountKind::Bind | MountKind::Image, None) => return Err(invalid("field Source must not be empty")),
        (MountKind::Bind, Some(path)) if !path.starts_with('/') => {
            return Err(invalid(&format!("invalid mount path: '{path}' mount path must be absolute")));
        }
        (MountKind::Tmpfs, Some(_)) => return Err(invalid("field Source must not be specified")),
        _ => {}
    }
    let read_only = mount.read_only.unwrap_or_default();
    let mut asked =
        MountRequest { read_only, create_source: kind != MountKind::Bind, ..request(kind, source, &target) };
    if let Some(bind) = mount.bind_options {
        bind_options(&mut asked, &bind).map_err(invalid)?;
    }
    if let Some(volume) = mount.volume_options {
        volume_options(&mut asked, volume).map_err(|message| invalid(&message))?;
    }
    if let Some(image) = mount.image_options {
        asked.subpath = image.subpath.filter(|path| !path.is_empty()).map(PathBuf::from);
    }
    if let Some(options) = mount.tmpfs_options {
        tmpfs_options(&mut asked, options).map_err(|message| invalid(&message))?;
    }
    Ok(asked)
}

fn bind_options(asked: &mut MountRequest, bind: &models::MountBindOptions) -> std::result::Result<(), &'static str> {
    let set = |flag: Option<bool>| flag.unwrap_or_default();
    let (top, force) = (set(bind.read_only_non_recursive), set(bind.read_only_force_recursive));
    asked.propagation = bind.propagation.map(|propagation| propagation.to_string()).unwrap_or_default();
    asked.create_source = set(bind.create_mountpoint);
    asked.non_recursive = set(bind.non_recursive);
    asked.read_only_depth = if top { ReadOnlyDepth::Top } else { ReadOnlyDepth::Recursive };
    match () {
        () if top && !asked.read_only => Err("mount options conflict: !ReadOnly && BindOptions.ReadOnlyNonRecursive"),
        () if force && !asked.read_only => {
            Err("mount options conflict: !ReadOnly && BindOptions.ReadOnlyForceRecursive")
        }
        () if top && force => Err("mount options conflict: ReadOnlyNonRecursive && BindOptions.ReadOnlyForceRecursive"),
        () if force && asked.non_recursive => {
            Err("mount options conflict: NonRecursive && BindOptions.ReadOnlyForceRecursive")
        }
        () => Ok(()),
    }
}

fn volume_options(asked: &mut MountRequest, volume: models::MountVolumeOptions) -> std::result::Result<(), String> {
    let driver = volume.driver_config.unwrap_or_default();
    asked.no_copy = volume.no_copy.unwrap_or_default();
    asked.volume = VolumeSpec {
        driver: driver.name.unwrap_or_default(),
        options: driver.options.unwrap_or_default().into_iter().collect(),
        labels: volume.labels.unwrap_or_default().into_iter().collect(),
    };
    if let Some(path) = volume.subpath.filter(|path| !path.is_empty()) {
        if asked.source.is_none() {
            return Err("must not set Subpath when using anonymous volumes".to_owned());
        }
        let path = PathBuf::from(path);
        let leaves = path.components().any(|part| matches!(part, std::path::Component::ParentDir));
        if path.is_absolute() || leaves {
            return Err(format!("invalid subpath `{}`: it must be a relative path inside the volume", path.display()));
        }
        asked.subpath = Some(path);
    }
    Ok(())
}

fn tmpfs_options(asked: &mut MountRequest, tmpfs: models::MountTmpfsOptions) -> std::result::Result<(), String> {
    asked.tmpfs_options.extend(tmpfs.size_bytes.filter(|size| *size > 0).map(|size| format!("size={size}")));
    asked.tmpfs_options.extend(tmpfs.mode.map(|mode| format!("mode={mode:o}")));
    for option in tmpfs.options.unwrap_or_default() {
        let text = match option.as_slice() {
            [word] if TMPFS_WORDS.contains(&word.as_str()) => word.clone(),
            [key, value] if TMPFS_KEYS.contains(&key.as_str()) => format!("{key}={value}"),
            _ => return Err(format!("invalid option array of TmpfsOptions: {option:?}")),
        };
        asked.tmpfs_options.push(text);
    }
    Ok(())
}
