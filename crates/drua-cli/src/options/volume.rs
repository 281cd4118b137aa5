use std::path::{Component, Path, PathBuf};

use anyhow::bail;

/// One `--volume` value.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Volume {
    /// A bind mount or a named volume, as the API's `Binds` takes it: `source:target[:mode]`.
    Bind(String),
    /// A volume without a name, mounted there.
    Anonymous(String),
}

/// `target`, `source:target` or `source:target:mode`; a source that begins with `/`, `.` or `~` is a path on the host,
/// made absolute here, anything else is the name of a volume.
pub(crate) fn parse(text: &str, working_dir: &Path) -> anyhow::Result<Volume> {
    let parts: Vec<&str> = text.split(':').collect();
    let (source, rest) = match parts.as_slice() {
        [target] => {
            if !target.starts_with('/') {
                bail!("invalid volume specification: '{text}': a volume without a name needs an absolute path");
            }
            return Ok(Volume::Anonymous((*target).to_owned()));
        }
        [_, target] | [_, target, _] if target.is_empty() => bail!("invalid volume specification: '{text}'"),
        [source, target] => (*source, (*target).to_owned()),
        [source, target, mode] => (*source, format!("{target}:{mode}")),
        _ => bail!("invalid spec: {text}: too many colons"),
    };
    if source.is_empty() {
        bail!("invalid spec: {text}: empty section between colons");
    }
    Ok(Volume::Bind(format!("{}:{rest}", host_path(source, working_dir)?)))
}

fn host_path(source: &str, working_dir: &Path) -> anyhow::Result<String> {
    if !source.starts_with('.') {
        return Ok(source.to_owned());
    }
    let mut path = PathBuf::new();
    for component in working_dir.join(source).components() {
        match component {
            Component::ParentDir => {
                path.pop();
            }
            Component::CurDir => {}
            other @ (Component::RootDir | Component::Normal(_) | Component::Prefix(_)) => path.push(other),
        }
    }
    match path.to_str() {
        Some(path) => Ok(path.to_owned()),
        None => bail!("the working directory's path is not UTF-8"),
    }
}
