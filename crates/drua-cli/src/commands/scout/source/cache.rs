//! What is known about layers, by the digest of their blobs: a layer never changes, so it is scanned once.
//!
//! ```text
//! <cache>/layers/<scanner's version>/<sha256 of the blob>     as `drua_scout::write_scanned` writes it
//! ```

use std::io::{BufReader, BufWriter, Write as _};
use std::path::{Path, PathBuf};

use drua_scout::{CATALOG_VERSION, Scanned, read_scanned, write_scanned};
use drua_types::Digest;
use drua_types::env::DRUA_SCOUT_CACHE;

/// Entries that were not used for this long are removed.
const KEEP: std::time::Duration = std::time::Duration::from_secs(90 * 24 * 3600);

/// The cache; without a directory it is always empty.
#[derive(Debug, Clone)]
pub(super) struct Cache {
    dir: Option<PathBuf>,
}

impl Cache {
    /// Where the environment says.
    pub(super) fn open() -> Self {
        Self { dir: directory().map(|dir| dir.join(format!("layers/{CATALOG_VERSION}"))) }
    }

    /// One that holds nothing.
    pub(super) fn none() -> Self {
        Self { dir: None }
    }

    fn path(&self, digest: &str) -> Option<PathBuf> {
        let digest: Digest = digest.parse().ok()?;
        Some(self.dir.as_ref()?.join(digest.hex()))
    }

    pub(super) fn get(&self, digest: &str) -> Option<Scanned> {
        let file = fs_err::File::open(self.path(digest)?).ok()?;
        // Used today: kept for longer. Not being able to say so costs a scan in three months.
        let _ = file.file().set_modified(std::time::SystemTime::now());
        read_scanned(&mut BufReader::with_capacity(256 << 10, file)).ok()
    }

    /// Keeps what was found; a cache that cannot be written to is one that is empty the next time.
    pub(super) fn put(&self, digest: &str, scanned: &Scanned) {
        let Some(path) = self.path(digest) else { return };
        if let Err(error) = write(&path, scanned) {
            tracing::warn!(path = %path.display(), %error, "cannot keep what is known about a layer");
        }
    }

    /// Removes what nobody has asked for in a long time.
    pub(super) fn sweep(&self) {
        let Some(entries) = self.dir.as_ref().and_then(|dir| fs_err::read_dir(dir).ok()) else { return };
        for entry in entries.flatten() {
            let age = entry.metadata().ok().and_then(|metadata| metadata.modified().ok()?.elapsed().ok());
            if age.is_some_and(|age| age > KEEP) {
                let _ = fs_err::remove_file(entry.path());
            }
        }
    }
}

fn write(path: &Path, scanned: &Scanned) -> std::io::Result<()> {
    let dir = path.parent().unwrap_or(path);
    fs_err::create_dir_all(dir)?;
    let mut file = tempfile::NamedTempFile::new_in(dir)?;
    let mut writer = BufWriter::with_capacity(256 << 10, file.as_file_mut());
    write_scanned(&mut writer, scanned)?;
    writer.flush()?;
    drop(writer);
    file.persist(path).map_err(|error| error.error)?;
    Ok(())
}

/// `DRUA_SCOUT_CACHE`, else below the user's cache directory. None when there is no such place, or none is wanted.
pub(in crate::commands::scout) fn directory() -> Option<PathBuf> {
    match std::env::var_os(DRUA_SCOUT_CACHE) {
        Some(dir) => Some(PathBuf::from(dir)).filter(|dir| !dir.as_os_str().is_empty()),
        None => {
            let base = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from).filter(|dir| dir.is_absolute());
            let base = base.or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".cache")))?;
            Some(base.join("drua/scout"))
        }
    }
}
