use std::collections::HashMap;

use anyhow::{Context as _, bail};
use drua_api::models::{
    Mount, MountBindOptions, MountBindOptionsPropagationEnum, MountImageOptions, MountTmpfsOptions, MountType,
    MountVolumeOptions, MountVolumeOptionsDriverConfig,
};
use drua_types::ByteSize;

/// Reads a `--mount` value: `type=bind,source=/a,target=/b,readonly`.
pub(crate) fn parse(text: &str) -> anyhow::Result<Mount> {
    let mut mount = Mount { typ: Some(MountType::VOLUME), ..Mount::default() };
    for field in csv_fields(text)? {
        let (key, value) = field.split_once('=').map_or((field.as_str(), None), |(key, value)| (key, Some(value)));
        set(&mut mount, key, value, &field)?;
    }
    check(mount)
}

/// Fields between commas; a field in double quotes may contain some.
fn csv_fields(text: &str) -> anyhow::Result<Vec<String>> {
    let mut fields = vec![String::new()];
    let mut quoted = false;
    for c in text.chars() {
        match c {
            '"' => quoted = !quoted,
            ',' if !quoted => fields.push(String::new()),
            c => fields.last_mut().expect("there is always a field").push(c),
        }
    }
    if quoted {
        bail!("a quote is not closed in `{text}`");
    }
    Ok(fields)
}

fn set(mount: &mut Mount, key: &str, value: Option<&str>, field: &str) -> anyhow::Result<()> {
    let key = key.to_ascii_lowercase();
    let flag = || match value {
        None => Ok(true),
        Some("true" | "1") => Ok(true),
        Some("false" | "0") => Ok(false),
        Some(value) => Err(anyhow::anyhow!("invalid value for {key}: {value}")),
    };
    let text = || value.map(str::to_owned).with_context(|| format!("invalid field '{field}' must be a key=value pair"));
    match key.as_str() {
        "readonly" | "ro" => mount.read_only = Some(flag()?),
        "type" => mount.typ = Some(kind(&text()?)?),
        "source" | "src" => mount.source = Some(text()?),
        "target" | "dst" | "destination" => mount.target = Some(text()?),
        "consistency" => mount.consistency = Some(text()?),
        "bind-propagation" => bind(mount).propagation = Some(propagation(&text()?)?),
        "bind-nonrecursive" => bind(mount).non_recursive = Some(flag()?),
        "bind-recursive" => {
            let options = bind(mount);
            match text()?.as_str() {
                "enabled" => {}
                "disabled" => options.non_recursive = Some(true),
                "writable" => options.read_only_non_recursive = Some(true),
                "readonly" => options.read_only_force_recursive = Some(true),
                other => {
                    bail!("invalid value for bind-recursive: {other}: must be enabled, disabled, writable or readonly")
                }
            }
        }
        "bind-create-src" => bind(mount).create_mountpoint = Some(flag()?),
        "volume-nocopy" => volume(mount).no_copy = Some(flag()?),
        "volume-subpath" => volume(mount).subpath = Some(text()?),
        "volume-driver" => driver(mount).name = Some(text()?),
        "volume-label" => pair(volume(mount).labels.get_or_insert_default(), &text()?),
        "volume-opt" => pair(driver(mount).options.get_or_insert_default(), &text()?),
        "image-subpath" => mount.image_options.get_or_insert_with(MountImageOptions::default).subpath = Some(text()?),
        "tmpfs-size" => tmpfs(mount).size_bytes = Some(i64::try_from(text()?.parse::<ByteSize>()?.bytes())?),
        "tmpfs-mode" => {
            let mode = i64::from_str_radix(&text()?, 8).map_err(|_| anyhow::anyhow!("invalid value for {field}"))?;
            tmpfs(mount).mode = Some(mode);
        }
        _ if value.is_none() => bail!("invalid field '{field}' must be a key=value pair"),
        _ => bail!("unexpected key '{key}' in '{field}'"),
    }
    Ok(())
}

fn check(mount: Mount) -> anyhow::Result<Mount> {
    let kind = mount.typ.unwrap_or(MountType::VOLUME);
    if mount.target.as_deref().unwrap_or_default().is_empty() {
        bail!("target is required");
    }
    if kind != MountType::BIND && mount.bind_options.is_some() {
        bail!("cannot mix 'bind-*' options with mount type '{kind}'");
    }
    if kind != MountType::VOLUME && mount.volume_options.is_some() {
        bail!("cannot mix 'volume-*' options with mount type '{kind}'");
    }
    if kind != MountType::TMPFS && mount.tmpfs_options.is_some() {
        bail!("cannot mix 'tmpfs-*' options with mount type '{kind}'");
    }
    if kind != MountType::IMAGE && mount.image_options.is_some() {
        bail!("cannot mix 'image-*' options with mount type '{kind}'");
    }
    Ok(mount)
}

fn kind(text: &str) -> anyhow::Result<MountType> {
    match text.to_ascii_lowercase().as_str() {
        "bind" => Ok(MountType::BIND),
        "volume" => Ok(MountType::VOLUME),
        "tmpfs" => Ok(MountType::TMPFS),
        "image" => Ok(MountType::IMAGE),
        other => bail!("mount type `{other}` is not supported: expected bind, volume, tmpfs or image"),
    }
}

fn propagation(text: &str) -> anyhow::Result<MountBindOptionsPropagationEnum> {
    text.parse()
        .map_err(|_| anyhow::anyhow!("invalid propagation `{text}`: expected [r]private, [r]shared or [r]slave"))
}

fn bind(mount: &mut Mount) -> &mut MountBindOptions {
    mount.bind_options.get_or_insert_default()
}

fn volume(mount: &mut Mount) -> &mut MountVolumeOptions {
    mount.volume_options.get_or_insert_default()
}

fn driver(mount: &mut Mount) -> &mut MountVolumeOptionsDriverConfig {
    volume(mount).driver_config.get_or_insert_default()
}

fn tmpfs(mount: &mut Mount) -> &mut MountTmpfsOptions {
    mount.tmpfs_options.get_or_insert_default()
}

fn pair(map: &mut HashMap<String, String>, text: &str) {
    let (key, value) = text.split_once('=').unwrap_or((text, ""));
    map.insert(key.to_owned(), value.to_owned());
}
