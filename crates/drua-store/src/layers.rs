//! Unpacked layers on disk, each once, under its chain id.

use std::collections::BTreeSet;
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use drua_sys::root_fs::remove_tree;
use drua_types::{Classify, Digest, ErrorKind, Hint};
use serde::{Deserialize, Serialize};

use crate::Limits;
use crate::content::BlobSource;
use crate::decode::Ahead;
use crate::image::{Layer, LayerContent};
use crate::limits::Budget;
use crate::storage::{StorageError, disk_full_hints, private_dir, sync_dir};
use crate::unpack::{ApplyError, Below, Settled, Unpacked, settle, unpack};

/// A layer could not be made ready for use.
#[derive(Debug, thiserror::Error)]
pub enum UnpackError {
    /// The disk failed.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// The layer's tar is no good, or its files cannot be created.
    #[error("failed to unpack layer `{layer}`")]
    Apply {
        /// The layer's blob.
        layer: Digest,
        /// What went wrong.
        #[source]
        source: Box<ApplyError>,
    },
    /// The layer's blob cannot be read or decompressed.
    #[error("failed to read layer `{layer}`")]
    Read {
        /// The layer's blob.
        layer: Digest,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// The layer is another than the configuration says.
    #[error("layer `{layer}` unpacks to `{actual}`, but the image's configuration says `{expected}`")]
    DiffId {
        /// The layer's blob.
        layer: Digest,
        /// The configuration's diff id.
        expected: Digest,
        /// What its tar really has.
        actual: Digest,
    },
}

impl Classify for UnpackError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Storage(error) => error.kind(),
            Self::Apply { source, .. } => source.kind(),
            Self::Read { .. } | Self::DiffId { .. } => ErrorKind::Invalid,
        }
    }
}

impl Hint for UnpackError {
    fn hints(&self) -> Vec<String> {
        match self {
            Self::Storage(error) => error.hints(),
            Self::Apply { source, .. } => source.hints(),
            Self::Read { source, .. } => disk_full_hints(source),
            Self::DiffId { .. } => vec!["the image is damaged: build, save or pull it again".to_owned()],
        }
    }
}

/// `layers/<chain id>/layer.json`.
#[derive(Debug, Serialize, Deserialize)]
struct LayerRecord {
    version: u32,
    /// Bytes of file data.
    size: u64,
}

/// The directory `layers/`.
#[derive(Debug, Clone)]
pub(crate) struct Layers {
    dir: PathBuf,
}

impl Layers {
    /// Creates the directory when missing, and removes what a killed process left half made.
    pub(crate) fn open(dir: &Path) -> Result<Self, StorageError> {
        // Not for others: images may have set-id programs and old libraries (CVE-2021-41091).
        private_dir(dir, 0o700)?;
        let layers = Self { dir: dir.to_owned() };
        for name in layers.names()?.iter().filter(|name| name.starts_with('.')) {
            layers.delete(name)?;
        }
        Ok(layers)
    }

    /// The root of an unpacked layer, whether it is there or not.
    pub(crate) fn path(&self, chain_id: &Digest) -> PathBuf {
        self.dir.join(chain_id.hex()).join("fs")
    }

    pub(crate) fn has(&self, chain_id: &Digest) -> bool {
        self.dir.join(chain_id.hex()).is_dir()
    }

    /// Bytes of the files in an unpacked layer; `None` when it is not unpacked.
    pub(crate) fn size(&self, chain_id: &Digest) -> Option<u64> {
        let json = fs_err::read(self.dir.join(chain_id.hex()).join("layer.json")).ok()?;
        serde_json::from_slice::<LayerRecord>(&json).ok().map(|record| record.size)
    }

    /// Every chain id that is unpacked.
    pub(crate) fn list(&self) -> Result<Vec<Digest>, StorageError> {
        Ok(self.names()?.iter().filter_map(|name| format!("sha256:{name}").parse().ok()).collect())
    }

    /// Makes a directory elsewhere serve as a layer: `fs` becomes a link to it. A layer that is there stays.
    pub(crate) fn link(&self, chain_id: &Digest, target: &Path, size: u64) -> Result<(), StorageError> {
        let made = tempfile::Builder::new().prefix(&format!(".tmp-{}-", chain_id.short())).tempdir_in(&self.dir);
        let dir = made.map_err(StorageError::file("create a directory in", &self.dir))?;
        let fill = || -> io::Result<()> {
            fs_err::os::unix::fs::symlink(target, dir.path().join("fs"))?;
            let record = LayerRecord { version: 1, size };
            fs_err::write(dir.path().join("layer.json"), serde_json::to_vec(&record)?)
        };
        fill().map_err(StorageError::file("write in", dir.path()))?;
        match fs_err::rename(dir.path(), self.dir.join(chain_id.hex())) {
            Ok(()) => drop(dir.keep()),
            Err(_) if self.has(chain_id) => {}
            Err(error) => return Err(StorageError::file("publish", dir.path())(error)),
        }
        Ok(())
    }

    /// Takes a layer out of use at once, by a rename; [`Layers::delete`] of the returned name does the slow part.
    pub(crate) fn retire(&self, chain_id: &Digest) -> Result<String, StorageError> {
        // Unique even if an earlier removal of the same layer failed half-way.
        static COUNTER: AtomicU64 = AtomicU64::new(0);
        let name = format!(".tmp-old-{}-{}", chain_id.short(), COUNTER.fetch_add(1, Ordering::Relaxed));
        let from = self.dir.join(chain_id.hex());
        fs_err::rename(&from, self.dir.join(&name)).map_err(StorageError::file("retire", &from))?;
        Ok(name)
    }

    /// Removes a directory below `layers/`.
    pub(crate) fn delete(&self, name: &str) -> Result<(), StorageError> {
        let dir = fs_err::File::open(&self.dir).map_err(StorageError::file("open", &self.dir))?;
        match remove_tree(std::os::fd::AsFd::as_fd(&dir), name.as_ref()) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(StorageError::file("remove", &self.dir.join(name))(error))
            }
            _ => Ok(()),
        }
    }

    /// What is in the directory and is no layer, nor on its way to be one.
    pub(crate) fn strangers(&self) -> Result<Vec<PathBuf>, StorageError> {
        let known = |name: &String| name.starts_with(".tmp-") || format!("sha256:{name}").parse::<Digest>().is_ok();
        Ok(self.names()?.into_iter().filter(|name| !known(name)).map(|name| self.dir.join(name)).collect())
    }

    fn names(&self) -> Result<Vec<String>, StorageError> {
        let list = StorageError::file("list", &self.dir);
        let entries = fs_err::read_dir(&self.dir).and_then(Iterator::collect::<io::Result<Vec<_>>>).map_err(list)?;
        Ok(entries.into_iter().filter_map(|entry| entry.file_name().into_string().ok()).collect())
    }
}

/// Layers on their way in: unpacked under temporary names, then published together. Dropped, it leaves nothing behind.
///
/// Layers may be added from several threads at once, in any order.
pub(crate) struct Batch {
    layers: Layers,
    budget: Budget,
    new: Mutex<Vec<New>>,
}

#[derive(Debug, Clone)]
struct New {
    chain_id: Digest,
    temporary: String,
    /// What [`settle`] has to look at once the layers below are there.
    implied: BTreeSet<PathBuf>,
    /// Whether the archive's end marker was there.
    ended: bool,
}

impl Batch {
    pub(crate) fn new(layers: &Layers, limits: Limits) -> Self {
        Self { layers: layers.clone(), budget: Budget::new(limits), new: Mutex::default() }
    }

    /// Where a layer of this batch is until it is published.
    pub(crate) fn staged_path(&self, chain_id: &Digest) -> PathBuf {
        self.path(chain_id)
    }

    /// Whether a layer is unpacked, published or not.
    pub(crate) fn has(&self, chain_id: &Digest) -> bool {
        self.layers.has(chain_id) || self.lock().iter().any(|new| new.chain_id == *chain_id)
    }

    /// Whether the tar of a layer that was added had an end marker; `true` for all others.
    pub(crate) fn ended(&self, chain_id: &Digest) -> bool {
        self.lock().iter().all(|new| new.chain_id != *chain_id || new.ended)
    }

    /// Unpacks one layer and verifies its diff id. With [`Below::Later`], [`Batch::complete`] must follow.
    pub(crate) fn add(
        &self,
        source: &dyn BlobSource,
        layer: &Layer,
        below: Below<'_>,
        progress: &mut dyn FnMut(u64),
    ) -> Result<(), UnpackError> {
        let Some(chain_id) = layer.chain_id.clone() else { return Ok(()) };
        let temporary = self.temporary(&chain_id)?;
        let fs = self.layers.dir.join(&temporary).join("fs");
        let result = match &layer.content {
            LayerContent::Tar { .. } => read_tar(source, layer, &self.budget, progress, &mut |stream| {
                unpack(stream, &fs, below, &self.budget).map_err(Box::new)
            }),
            LayerContent::Wasm { file_name } => copy_module(source, layer, &fs.join(file_name)),
            LayerContent::Opaque => Ok(Unpacked::default()),
        };
        match result.and_then(|unpacked| self.describe(&temporary, &unpacked).map(|()| unpacked)) {
            Ok(Unpacked { implied, ended, .. }) => {
                self.lock().push(New { chain_id, temporary, implied, ended });
                Ok(())
            }
            Err(error) => {
                self.discard(&temporary);
                Err(error)
            }
        }
    }

    /// Brings a layer into its final shape, over the ones below it (chain ids, topmost first), all of them complete:
    /// unpacks it where that has not been done, and settles what was unpacked before its neighbors.
    pub(crate) fn complete(
        &self,
        source: &dyn BlobSource,
        layer: &Layer,
        below: &[Digest],
        progress: &mut dyn FnMut(u64),
    ) -> Result<(), UnpackError> {
        let Some(chain_id) = &layer.chain_id else { return Ok(()) };
        if self.layers.has(chain_id) {
            return Ok(());
        }
        let lowers: Vec<PathBuf> = below.iter().map(|chain_id| self.path(chain_id)).collect();
        let Some(new) = self.lock().iter().find(|new| new.chain_id == *chain_id).cloned() else {
            return self.add(source, layer, Below::Here(&lowers), progress);
        };
        let fs = self.layers.dir.join(&new.temporary).join("fs");
        let apply = |source| UnpackError::Apply { layer: layer.digest.clone(), source: Box::new(source) };
        match settle(&fs, &lowers, &new.implied).map_err(apply)? {
            Settled::Done => Ok(()),
            Settled::Again => {
                self.lock().retain(|new| new.chain_id != *chain_id);
                self.discard(&new.temporary);
                self.add(source, layer, Below::Here(&lowers), progress)
            }
        }
    }

    /// Makes an empty layer, for images that have no root filesystem at all.
    pub(crate) fn add_empty(&self, chain_id: &Digest) -> Result<(), UnpackError> {
        let temporary = self.temporary(chain_id)?;
        self.describe(&temporary, &Unpacked::default())?;
        let chain_id = chain_id.clone();
        self.lock().push(New { chain_id, temporary, implied: BTreeSet::new(), ended: true });
        Ok(())
    }

    /// Verifies a layer's diff id without unpacking it.
    pub(crate) fn verify(
        &self,
        source: &dyn BlobSource,
        layer: &Layer,
        progress: &mut dyn FnMut(u64),
    ) -> Result<(), UnpackError> {
        if !matches!(layer.content, LayerContent::Tar { .. }) {
            return Ok(());
        }
        read_tar(source, layer, &self.budget, progress, &mut |stream| {
            let drained = io::copy(stream, &mut io::sink());
            drained
                .map(|_| Unpacked::default())
                .map_err(|source| Box::new(ApplyError::Tar { source: crate::TarError::Read { source } }))
        })
        .map(|_| ())
    }

    /// Makes everything durable and gives it its real names. A layer that somebody else was faster with is dropped.
    pub(crate) fn publish(&self) -> Result<(), StorageError> {
        let mut pending = self.lock();
        if pending.is_empty() {
            return Ok(());
        }
        let dir = fs_err::File::open(&self.layers.dir).map_err(StorageError::file("open", &self.layers.dir))?;
        // One call for all files of all layers; the rename must not become durable before what it names.
        let synced = rustix::fs::syncfs(&dir).map_err(io::Error::from);
        synced.map_err(StorageError::file("sync", &self.layers.dir))?;
        while let Some(new) = pending.pop() {
            let from = self.layers.dir.join(&new.temporary);
            match fs_err::rename(&from, self.layers.dir.join(new.chain_id.hex())) {
                Ok(()) => {}
                Err(_) if self.layers.has(&new.chain_id) => self.discard(&new.temporary),
                Err(error) => {
                    self.discard(&new.temporary);
                    return Err(StorageError::file("publish", &from)(error));
                }
            }
        }
        sync_dir(&self.layers.dir)
    }

    /// Puts this batch's copy of a layer in the place of the one that is there, in one step.
    pub(crate) fn replace(&self, chain_id: &Digest) -> Result<(), StorageError> {
        let dir = fs_err::File::open(&self.layers.dir).map_err(StorageError::file("open", &self.layers.dir))?;
        let synced = rustix::fs::syncfs(&dir).map_err(io::Error::from);
        synced.map_err(StorageError::file("sync", &self.layers.dir))?;
        let Some(new) = self.lock().iter().find(|new| new.chain_id == *chain_id).cloned() else { return Ok(()) };
        let flags = rustix::fs::RenameFlags::EXCHANGE;
        let swapped = rustix::fs::renameat_with(&dir, new.temporary.as_str(), &dir, chain_id.hex(), flags);
        swapped.map_err(|error| StorageError::file("replace", &self.layers.path(chain_id))(error.into()))?;
        // What has the temporary name now is the old one, which goes when this is dropped.
        sync_dir(&self.layers.dir)
    }

    fn path(&self, chain_id: &Digest) -> PathBuf {
        match self.lock().iter().find(|new| new.chain_id == *chain_id) {
            Some(new) => self.layers.dir.join(&new.temporary).join("fs"),
            None => self.layers.path(chain_id),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Vec<New>> {
        // Each critical section leaves a list of whole entries.
        self.new.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn temporary(&self, chain_id: &Digest) -> Result<String, StorageError> {
        let prefix = format!(".tmp-{}-", chain_id.short());
        let private = std::fs::Permissions::from_mode(0o700);
        let made = tempfile::Builder::new().prefix(&prefix).permissions(private).tempdir_in(&self.layers.dir);
        // Kept: our own removal copes with any depth, `TempDir`'s does not.
        let path = made.map_err(StorageError::file("create a directory in", &self.layers.dir))?.keep();
        let fs = path.join("fs");
        fs_err::create_dir(&fs).map_err(StorageError::file("create directory", &fs))?;
        let mode = std::fs::Permissions::from_mode(0o755);
        fs_err::set_permissions(&fs, mode).map_err(StorageError::file("set the mode of", &fs))?;
        Ok(path.file_name().unwrap_or_default().to_string_lossy().into_owned())
    }

    fn describe(&self, temporary: &str, unpacked: &Unpacked) -> Result<(), UnpackError> {
        let path = self.layers.dir.join(temporary).join("layer.json");
        let record = LayerRecord { version: 1, size: unpacked.bytes };
        let json = serde_json::to_vec(&record).expect("two numbers serialize");
        Ok(fs_err::write(&path, json).map_err(StorageError::file("write", &path))?)
    }

    fn discard(&self, temporary: &str) {
        if let Err(error) = self.layers.delete(temporary) {
            tracing::warn!(%error, "a half-made layer stays until the next start");
        }
    }
}

impl Drop for Batch {
    fn drop(&mut self) {
        for new in self.lock().iter() {
            self.discard(&new.temporary);
        }
    }
}

impl std::fmt::Debug for Batch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Batch").field("new", &self.lock().len()).finish_non_exhaustive()
    }
}

type Consume<'c> = &'c mut dyn FnMut(&mut dyn io::Read) -> Result<Unpacked, Box<ApplyError>>;

/// Decompresses a tar layer into `consume`, which reads it to its end, and compares the diff id.
fn read_tar(
    source: &dyn BlobSource,
    layer: &Layer,
    budget: &Budget,
    progress: &mut dyn FnMut(u64),
    consume: Consume<'_>,
) -> Result<Unpacked, UnpackError> {
    let LayerContent::Tar { diff_id } = &layer.content else { return Ok(Unpacked::default()) };
    let read = |source| UnpackError::Read { layer: layer.digest.clone(), source };
    let blob = source.stream(&layer.digest)?;
    let mut stream = Ahead::new(blob, layer.size, budget, progress).map_err(read)?;
    let apply = |source| UnpackError::Apply { layer: layer.digest.clone(), source };
    let unpacked = consume(&mut stream).map_err(apply)?;
    let actual = stream.finish().map_err(read)?;
    if actual != *diff_id {
        return Err(UnpackError::DiffId { layer: layer.digest.clone(), expected: diff_id.clone(), actual });
    }
    Ok(unpacked)
}

fn copy_module(source: &dyn BlobSource, layer: &Layer, to: &Path) -> Result<Unpacked, UnpackError> {
    // Nothing but the blob's digest says whether the module is the right one.
    source.settle(&layer.digest).map_err(|source| UnpackError::Read { layer: layer.digest.clone(), source })?;
    let mut blob = source.open(&layer.digest)?;
    let mut file = fs_err::File::create_new(to).map_err(StorageError::file("create", to))?;
    let bytes = io::copy(&mut blob, &mut file).map_err(StorageError::file("write", to))?;
    // Readable and executable for any user that the container runs as.
    file.set_permissions(std::fs::Permissions::from_mode(0o755)).map_err(StorageError::file("set the mode of", to))?;
    // The epoch, so that the directory depends on nothing but the image.
    let time = std::fs::FileTimes::new().set_modified(std::time::UNIX_EPOCH);
    file.file().set_times(time).map_err(StorageError::file("set the times of", to))?;
    Ok(Unpacked { bytes, ended: true, implied: BTreeSet::new() })
}
