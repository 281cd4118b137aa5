//! The AOT cache on disk: `<aot>/<engine key>/<sha256 of the module>.cwasm`.
//!
//! Loading an artifact means running its machine code, so nothing is taken from a directory or a file that another user
//! could have written. All checks are made on descriptors, so nothing can be swapped between check and use. Directories
//! are 0700; files are 0444, since an unprivileged container process reopens them through `/proc/self/fd`.
//!
//! Writers use a temporary name of their own and rename, so concurrent compilations of one module both succeed and the
//! last one stays.

use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use drua_types::Digest;
use rustix::fs::{AtFlags, Mode, OFlags};

/// The cache directory of this build on this CPU.
#[derive(Debug)]
pub(crate) struct Cache {
    directory: OwnedFd,
    path: PathBuf,
}

/// The AOT cache cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CacheError {
    /// A directory cannot be made or opened.
    #[error("cannot use the AOT cache directory `{}`", path.display())]
    Directory {
        /// The directory.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Others than its owner, or the wrong owner, may write to a directory.
    #[error(
        "the AOT cache directory `{}` is not safe: user {owner}, mode {mode:04o}; it must belong to user {expected} and \
         be writable for no one else",
        path.display()
    )]
    Untrusted {
        /// The directory.
        path: PathBuf,
        /// Its owner.
        owner: u32,
        /// Its permission bits.
        mode: u32,
        /// Who should own it.
        expected: u32,
    },
    /// An artifact cannot be written.
    #[error("cannot {action} the AOT cache file `{}`", path.display())]
    File {
        /// What was attempted.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
}

impl Cache {
    /// Opens, and creates where missing, the cache below `aot`.
    pub(crate) fn open(aot: &Path, key: &str) -> Result<Self, CacheError> {
        let path = aot.join(key);
        let fail = |path: &Path| {
            let path = path.to_owned();
            move |source| CacheError::Directory { path, source }
        };
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(aot).map_err(fail(aot))?;
        let parent = open_directory(rustix::fs::CWD, aot).map_err(fail(aot))?;
        check_ours(&parent, aot)?;
        match rustix::fs::mkdirat(&parent, key, Mode::RWXU) {
            Ok(()) | Err(rustix::io::Errno::EXIST) => {}
            Err(error) => return Err(fail(&path)(error.into())),
        }
        let directory = open_directory(&parent, Path::new(key)).map_err(fail(&path))?;
        check_ours(&directory, &path)?;
        Ok(Self { directory, path })
    }

    /// Opens the artifact of a module if there is one that only we can have written.
    pub(crate) fn get(&self, module: &Digest) -> Option<File> {
        let name = file_name(module);
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let fd = match rustix::fs::openat(&self.directory, &name, flags, Mode::empty()) {
            Ok(fd) => fd,
            Err(rustix::io::Errno::NOENT) => return None,
            Err(error) => {
                tracing::warn!(path = %self.path.join(&name).display(), %error, "cannot open a compiled module");
                return None;
            }
        };
        let file = File::from(fd);
        let metadata = file.metadata().ok()?;
        let ours = metadata.is_file() && metadata.uid() == own_uid() && metadata.mode() & 0o022 == 0;
        if !ours {
            tracing::warn!(path = %self.path.join(&name).display(), "a compiled module is not ours; compiling again");
        }
        ours.then_some(file)
    }

    /// Starts a new artifact under a temporary name.
    pub(crate) fn create(&self, module: &Digest) -> Result<NewArtifact<'_>, CacheError> {
        static COUNTER: AtomicU32 = AtomicU32::new(0);
        let unique = COUNTER.fetch_add(1, Ordering::Relaxed);
        let temporary = format!(".{}.{}.{unique}", module.short(), std::process::id());
        // A process of the same id may have crashed here before us.
        let _ = rustix::fs::unlinkat(&self.directory, &temporary, AtFlags::empty());
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
        let fd = rustix::fs::openat(&self.directory, &temporary, flags, Mode::RUSR | Mode::WUSR).map_err(|error| {
            CacheError::File { action: "create", path: self.path.join(&temporary), source: error.into() }
        })?;
        Ok(NewArtifact { cache: self, temporary, name: file_name(module), file: File::from(fd) })
    }
}

/// An artifact that is being written; dropped without [`NewArtifact::keep`], it leaves nothing behind.
#[derive(Debug)]
pub(crate) struct NewArtifact<'a> {
    cache: &'a Cache,
    temporary: String,
    name: String,
    file: File,
}

impl NewArtifact<'_> {
    /// Where the compiler writes to.
    pub(crate) fn file(&self) -> &File {
        &self.file
    }

    /// Makes it durable and visible, and opens it for reading.
    pub(crate) fn keep(self) -> Result<File, CacheError> {
        let fail = |action| {
            let path = self.cache.path.join(&self.name);
            move |error: rustix::io::Errno| CacheError::File { action, path, source: error.into() }
        };
        let directory = &self.cache.directory;
        rustix::fs::fchmod(&self.file, Mode::from_raw_mode(0o444)).map_err(fail("make readable"))?;
        rustix::fs::fsync(&self.file).map_err(fail("sync"))?;
        // Opened before the rename: the name may already lead to the artifact of a concurrent compilation after it.
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let fd = rustix::fs::openat(directory, &self.temporary, flags, Mode::empty()).map_err(fail("open"))?;
        rustix::fs::renameat(directory, &self.temporary, directory, &self.name).map_err(fail("rename"))?;
        Ok(File::from(fd))
    }
}

impl Drop for NewArtifact<'_> {
    fn drop(&mut self) {
        // After `keep` the name is gone already.
        let _ = rustix::fs::unlinkat(&self.cache.directory, &self.temporary, AtFlags::empty());
    }
}

/// A compiled module in the cache.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The module's SHA-256 in hexadecimal.
    pub module: String,
    /// The engine's key: version, revision and processor.
    pub engine: String,
    /// Whether this binary on this machine can use it.
    pub usable: bool,
    /// Its size in bytes.
    pub bytes: u64,
    /// When it was made.
    pub modified: std::time::SystemTime,
    path: PathBuf,
}

/// What is in a cache directory; one that does not exist is empty.
///
/// # Errors
/// A directory cannot be read.
pub fn list(aot: &Path) -> Result<Vec<Entry>, CacheError> {
    let fail = |path: &Path| {
        let path = path.to_owned();
        move |source| CacheError::Directory { path, source }
    };
    let mut entries = Vec::new();
    let engines = match std::fs::read_dir(aot) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(entries),
        engines => engines.map_err(fail(aot))?,
    };
    let current = crate::engine::cache_key();
    for engine in engines.flatten().filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir())) {
        let key = engine.file_name().to_string_lossy().into_owned();
        for file in std::fs::read_dir(engine.path()).map_err(fail(&engine.path()))?.flatten() {
            let name = file.file_name().to_string_lossy().into_owned();
            let Some((module, metadata)) = name.strip_suffix(".cwasm").zip(file.metadata().ok()) else { continue };
            entries.push(Entry {
                module: module.to_owned(),
                usable: key == current,
                engine: key.clone(),
                bytes: metadata.len(),
                modified: metadata.modified().unwrap_or(std::time::UNIX_EPOCH),
                path: file.path(),
            });
        }
    }
    entries.sort_by_key(|entry| std::cmp::Reverse(entry.modified));
    Ok(entries)
}

/// Removes compiled modules: all of them, or those that this binary cannot use. A guest that runs keeps its own.
///
/// # Errors
/// A directory cannot be read; a file that cannot be removed stays.
pub fn prune(aot: &Path, all: bool) -> Result<Vec<Entry>, CacheError> {
    let mut removed = list(aot)?;
    removed.retain(|entry| (all || !entry.usable) && std::fs::remove_file(&entry.path).is_ok());
    for entry in &removed {
        if let Some(directory) = entry.path.parent() {
            // Only one that is empty goes.
            let _ = std::fs::remove_dir(directory);
        }
    }
    Ok(removed)
}

fn file_name(module: &Digest) -> String {
    format!("{}.cwasm", module.hex())
}

fn open_directory(at: impl std::os::fd::AsFd, path: &Path) -> io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    Ok(rustix::fs::openat(at, path, flags, Mode::empty())?)
}

fn check_ours(directory: &OwnedFd, path: &Path) -> Result<(), CacheError> {
    let stat = rustix::fs::fstat(directory)
        .map_err(|error| CacheError::Directory { path: path.to_owned(), source: error.into() })?;
    if stat.st_uid == own_uid() && stat.st_mode & 0o022 == 0 {
        return Ok(());
    }
    let mode = stat.st_mode & 0o7777;
    Err(CacheError::Untrusted { path: path.to_owned(), owner: stat.st_uid, mode, expected: own_uid() })
}

fn own_uid() -> u32 {
    rustix::process::geteuid().as_raw()
}
