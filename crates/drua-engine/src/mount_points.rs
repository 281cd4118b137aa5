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

/// The lower directories of an overlay over these layers, the uppermost first, as an option of the mount.
pub(crate) fn lowerdir(config: &EngineConfig, layers: &[PathBuf]) -> String {
    let below = config.mount_points();
    let paths: Vec<String> = layers.iter().chain([&below]).map(|path| path.display().to_string()).collect();
    format!("lowerdir={}", paths.join(":"))
}
