//! A layer below all images with nothing but the places where every container has something mounted.
//!
//! Most images lack some of them. The runtime would make them in each container's own directory, a dozen files and
//! directories to be created and removed again around every run; here they are made once. An image that has one of them
//! covers it with its own.

use std::fs::Permissions;
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use crate::config::EngineConfig;
use crate::{Error, Result};

const DIRECTORIES: [&str; 4] = ["dev", "etc", "proc", "sys"];
const FILES: [&str; 3] = ["etc/hostname", "etc/hosts", "etc/resolv.conf"];

/// Makes what is missing of it. Blocking.
pub(crate) fn make(config: &EngineConfig) -> Result<()> {
    let dir = config.mount_points();
    fill(&dir).map_err(Error::io("make the mount points in", &dir))
}

fn fill(dir: &Path) -> io::Result<()> {
    for path in [dir.to_owned()].into_iter().chain(DIRECTORIES.map(|name| dir.join(name))) {
        std::fs::create_dir_all(&path)?;
        std::fs::set_permissions(&path, Permissions::from_mode(0o755))?;
    }
    for path in FILES.map(|name| dir.join(name)) {
        std::fs::OpenOptions::new().create(true).append(true).open(&path)?;
        std::fs::set_permissions(&path, Permissions::from_mode(0o644))?;
    }
    Ok(())
}

/// The lower directories of an overlay over these layers, the uppermost first.
pub(crate) fn lowers(config: &EngineConfig, layers: &[PathBuf]) -> Vec<PathBuf> {
    layers.iter().cloned().chain([config.mount_points()]).collect()
}

/// The same, as an option of the mount.
pub(crate) fn lowerdir(config: &EngineConfig, layers: &[PathBuf]) -> String {
    let paths: Vec<String> = lowers(config, layers).iter().map(|path| path.display().to_string()).collect();
    format!("lowerdir={}", paths.join(":"))
}
