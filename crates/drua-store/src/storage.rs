use std::io;
use std::path::{Path, PathBuf};

use drua_types::{Classify, Digest, ErrorKind, Hint};

/// The disk or the database below the store failed.
#[derive(Debug, thiserror::Error)]
pub enum StorageError {
    /// A file operation failed.
    #[error("failed to {action} `{}`", path.display())]
    File {
        /// What was attempted, for example `write`.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// A database operation failed.
    #[error("failed to {action} in the image database")]
    Database {
        /// What was attempted, for example `record images`.
        action: &'static str,
        /// Why not.
        #[source]
        source: rusqlite::Error,
    },
    /// A blob that should be there is not.
    #[error("content `{digest}` is missing")]
    Missing {
        /// The blob.
        digest: Digest,
    },
    /// A blob's bytes are not what its name says.
    #[error("content `{digest}` is damaged: it has digest `{actual}`")]
    Damaged {
        /// The blob.
        digest: Digest,
        /// What was found.
        actual: Digest,
    },
}

impl StorageError {
    /// For `map_err`: says what was attempted on which path.
    pub(crate) fn file(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::File { action, path: path.to_owned(), source }
    }

    /// For `map_err`: says what was attempted in the database.
    pub(crate) fn database(action: &'static str) -> impl FnOnce(rusqlite::Error) -> Self {
        move |source| Self::Database { action, source }
    }
}

impl Classify for StorageError {
    fn kind(&self) -> ErrorKind {
        ErrorKind::Internal
    }
}

impl Hint for StorageError {
    fn hints(&self) -> Vec<String> {
        match self {
            Self::File { source, .. } => disk_full_hints(source),
            Self::Missing { .. } | Self::Damaged { .. } => vec!["load or pull the image again".to_owned()],
            Self::Database { .. } => Vec::new(),
        }
    }
}

/// What to do about a full disk; nothing for other errors.
pub(crate) fn disk_full_hints(error: &io::Error) -> Vec<String> {
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            vec!["free some space, for example with `drua rmi` of images that nothing uses".to_owned()]
        }
        _ => Vec::new(),
    }
}

/// Makes a directory entry durable: fsync(2) of the directory.
pub(crate) fn sync_dir(path: &Path) -> Result<(), StorageError> {
    fs_err::File::open(path).and_then(|dir| dir.sync_all()).map_err(StorageError::file("sync", path))
}

/// Creates a directory with exactly `mode`, or sets the mode of the one that is there.
pub(crate) fn private_dir(path: &Path, mode: u32) -> Result<(), StorageError> {
    use std::os::unix::fs::PermissionsExt as _;
    let created = fs_err::create_dir_all(path);
    let result = created.and_then(|()| fs_err::set_permissions(path, std::fs::Permissions::from_mode(mode)));
    result.map_err(StorageError::file("create directory", path))
}
