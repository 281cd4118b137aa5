//! `--mount type=image`: an image's root filesystem, or a directory of it, to be read in a container of another image.
//!
//! The container's mount is an overlay of the image's unpacked layers, without an upper directory. The image counts as used
//! by the container, so that nothing removes it.

use std::path::{Path, PathBuf};

use drua_store::Lease;
use drua_sys::root_fs::Root;
use rustix::fs::OFlags;

use crate::container::{MountKind, MountPoint, MountRequest};
use crate::engine::Shared;
use crate::{Error, Result, layered};

/// Options of a mount are one page for the kernel.
const MAX_LOWERDIR_BYTES: usize = 3900;

/// Finds the image and where its layers are; the lease protects it until the container is recorded.
pub(crate) fn resolve(shared: &Shared, request: &MountRequest, destination: PathBuf) -> Result<(MountPoint, Lease)> {
    let name = request.source.as_deref().unwrap_or_default();
    // Not 404, which would make clients pull the container's own image.
    let invalid = |error: &dyn std::error::Error| Error::Invalid(format!("image mount of `{name}`: {error}"));
    let (image, lease) = shared.store.acquire(name, None).map_err(|error| invalid(&error))?;
    let mut lowers = shared.store.layers(&image).map_err(Error::image("unpack the mounted image"))?;
    if let Some(subpath) = &request.subpath {
        lowers = below(&lowers, subpath)?;
        if lowers.is_empty() {
            let path = subpath.display();
            return Err(Error::Invalid(format!("image mount of `{name}`: it has no directory `{path}`")));
        }
    }
    if lowers.len() == 1 {
        lowers.push(shared.store.empty_layer().map_err(Error::image("make an empty layer"))?);
    }
    let bytes: usize = lowers.iter().map(|path| path.as_os_str().len() + 1).sum();
    if bytes > MAX_LOWERDIR_BYTES {
        return Err(Error::Unsupported(format!("an image mount of {} layers", lowers.len())));
    }
    let mount = MountPoint {
        kind: MountKind::Image,
        name: Some(image.id.to_string()),
        source: PathBuf::from(name),
        destination,
        writable: false,
        propagation: String::new(),
        mode: request.mode.clone(),
        tmpfs_options: Vec::new(),
        anonymous: false,
        no_copy: true,
        lowers,
        non_recursive: false,
        read_only_depth: crate::container::ReadOnlyDepth::default(),
        // The layers are those of the part already.
        subpath: None,
    };
    Ok((mount, lease))
}

/// The directory `subpath` in every layer that has it, down to the one that hides those below.
fn below(layers: &[PathBuf], subpath: &Path) -> Result<Vec<PathBuf>> {
    use std::path::Component;
    let parts: PathBuf = subpath.components().filter(|part| matches!(part, Component::Normal(_))).collect();
    if subpath.components().any(|part| part == Component::ParentDir) {
        return Err(Error::Invalid(format!("the image subpath `{}` must not contain `..`", subpath.display())));
    }
    let mut found = Vec::new();
    for layer in layers {
        let Ok(root) = Root::open(layer) else { continue };
        // Without links on the way, so that what the kernel finds under the joined path later is what was seen here.
        if root.open_no_links(&parts, OFlags::PATH | OFlags::DIRECTORY).is_ok() {
            found.push(layer.join(&parts));
        }
        if layered::hides_below(&root, &parts) {
            break;
        }
    }
    Ok(found)
}
