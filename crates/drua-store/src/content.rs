//! Blobs by digest in an OCI image layout (image-spec image-layout.md), and sessions that bring blobs in.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{self, Read, Write as _};
use std::path::{Path, PathBuf};

use drua_types::Digest;

use crate::decode::Meter;
use crate::holds::Lease;
use crate::storage::{StorageError, private_dir, sync_dir};
use crate::wire::{Descriptor, NewIndex};

/// Up to so many blobs are synced one by one, which leaves alone what others have written to the disk.
const SYNC_EACH: usize = 4;
const LAYOUT: &str = "{\"imageLayoutVersion\":\"1.0.0\"}";

/// Where blobs can be read from: the store, or a session over it.
pub(crate) trait BlobSource {
    /// The file that has the blob; `None` when it is not there.
    fn find(&self, digest: &Digest) -> Option<PathBuf>;

    /// Opens a blob.
    fn open(&self, digest: &Digest) -> Result<File, StorageError> {
        let open = || {
            let path = self.find(digest).ok_or_else(|| StorageError::Missing { digest: digest.clone() })?;
            let opened = fs_err::File::open(&path).map_err(StorageError::file("open", &path))?;
            Ok(opened.into_parts().0)
        };
        // Somebody else may have published it between the two steps; then it has another path.
        open().or_else(|_: StorageError| open())
    }

    /// Reads a blob from its start, and waits for what is still on its way in.
    fn stream(&self, digest: &Digest) -> Result<Box<dyn Read + Send>, StorageError> {
        Ok(Box::new(self.open(digest)?))
    }

    /// Waits until a blob is there as a whole.
    fn settle(&self, _digest: &Digest) -> io::Result<()> {
        Ok(())
    }

    /// A blob's size; `None` when it is not there.
    fn size(&self, digest: &Digest) -> Option<u64> {
        fs_err::metadata(self.find(digest)?).ok().map(|metadata| metadata.len())
    }

    /// Reads a document that is at most `limit` long, and verifies it.
    fn read(&self, digest: &Digest, limit: u64) -> Result<Vec<u8>, StorageError> {
        let path = self.find(digest).ok_or_else(|| StorageError::Missing { digest: digest.clone() })?;
        let mut bytes = Vec::new();
        let mut file = Meter::new(self.open(digest)?, limit);
        file.read_to_end(&mut bytes).map_err(StorageError::file("read", &path))?;
        match file.digest() {
            actual if actual == *digest => Ok(bytes),
            actual => Err(StorageError::Damaged { digest: digest.clone(), actual }),
        }
    }
}

/// The directory `content/`.
#[derive(Debug, Clone)]
pub(crate) struct Content {
    dir: PathBuf,
    blobs: PathBuf,
    ingest: PathBuf,
}

impl Content {
    /// Creates the layout when missing, and removes what a killed process left in `ingest/`. `partial/` is another's.
    pub(crate) fn open(dir: &Path) -> Result<Self, StorageError> {
        let content = Self { dir: dir.to_owned(), blobs: dir.join("blobs/sha256"), ingest: dir.join("ingest") };
        match fs_err::remove_dir_all(&content.ingest) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(StorageError::file("empty", &content.ingest)(error));
            }
            _ => {}
        }
        for path in [dir, &dir.join("blobs"), &content.blobs, &content.ingest] {
            private_dir(path, 0o700)?;
        }
        content.replace("oci-layout", LAYOUT.as_bytes())?;
        Ok(content)
    }

    /// Begins bringing blobs in; `holds` keeps the sweep away from them.
    pub(crate) fn ingest(&self, holds: Lease) -> Result<Ingest, StorageError> {
        let made = tempfile::Builder::new().prefix("session-").tempdir_in(&self.ingest);
        let dir = made.map_err(StorageError::file("create a directory in", &self.ingest))?;
        Ok(Ingest { content: self.clone(), dir, holds, staged: BTreeMap::new(), counter: 0 })
    }

    /// Every blob and its size.
    pub(crate) fn list(&self) -> Result<Vec<(Digest, u64)>, StorageError> {
        let mut found = Vec::new();
        for entry in fs_err::read_dir(&self.blobs).map_err(StorageError::file("list", &self.blobs))? {
            let entry = entry.map_err(StorageError::file("list", &self.blobs))?;
            let digest = entry.file_name().to_str().and_then(|name| format!("sha256:{name}").parse().ok());
            if let (Some(digest), Ok(metadata)) = (digest, entry.metadata()) {
                found.push((digest, metadata.len()));
            }
        }
        Ok(found)
    }

    /// What is among the blobs and is none.
    pub(crate) fn strangers(&self) -> Result<Vec<PathBuf>, StorageError> {
        let list = || StorageError::file("list", &self.blobs);
        let entries = fs_err::read_dir(&self.blobs).and_then(Iterator::collect::<io::Result<Vec<_>>>).map_err(list())?;
        let is_blob = |entry: &fs_err::DirEntry| {
            let name = entry.file_name().to_str().map(|name| format!("sha256:{name}").parse::<Digest>().is_ok());
            name == Some(true) && entry.file_type().is_ok_and(|kind| kind.is_file())
        };
        Ok(entries.into_iter().filter(|entry| !is_blob(entry)).map(|entry| entry.path()).collect())
    }

    /// Removes a blob.
    pub(crate) fn delete(&self, digest: &Digest) -> Result<(), StorageError> {
        let path = self.blobs.join(digest.hex());
        match fs_err::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(StorageError::file("remove", &path)(error)),
            _ => Ok(()),
        }
    }

    /// Writes `index.json` unless it says the same already.
    pub(crate) fn write_index(&self, manifests: Vec<Descriptor>) -> Result<(), StorageError> {
        let json = serde_json::to_vec(&NewIndex::new(manifests)).expect("strings and numbers serialize");
        self.replace("index.json", &json)
    }

    fn replace(&self, name: &str, bytes: &[u8]) -> Result<(), StorageError> {
        let path = self.dir.join(name);
        if fs_err::read(&path).is_ok_and(|old| old == bytes) {
            return Ok(());
        }
        let write = || -> io::Result<()> {
            let mut file = tempfile::Builder::new().prefix("file-").tempfile_in(&self.ingest)?;
            file.write_all(bytes)?;
            file.as_file().sync_all()?;
            file.persist(&path)?;
            Ok(())
        };
        write().map_err(StorageError::file("write", &path))?;
        sync_dir(&self.dir)
    }
}

impl BlobSource for Content {
    fn find(&self, digest: &Digest) -> Option<PathBuf> {
        Some(self.blobs.join(digest.hex())).filter(|path| path.is_file())
    }
}

/// A session that brings blobs in. Dropped before [`Ingest::publish`], it leaves nothing behind.
#[derive(Debug)]
pub(crate) struct Ingest {
    content: Content,
    dir: tempfile::TempDir,
    holds: Lease,
    staged: BTreeMap<Digest, PathBuf>,
    counter: u64,
}

impl Ingest {
    /// Takes a stream in; returns its digest and size. `limit` bounds it.
    pub(crate) fn add(&mut self, stream: &mut dyn Read, limit: u64) -> Result<(Digest, u64), IngestError> {
        self.counter += 1;
        let path = self.dir.path().join(format!("incoming-{}", self.counter));
        let mut meter = Meter::new(stream, limit);
        if let Err(error) = copy(&mut meter, &path) {
            // The session may go on; what it could not take must not fill the disk until it ends.
            let _ = fs_err::remove_file(&path);
            return Err(error);
        }
        let bytes = meter.bytes;
        let digest = meter.digest();
        self.hold(&digest);
        if self.find(&digest).is_some() {
            fs_err::remove_file(&path).map_err(StorageError::file("remove", &path))?;
        } else {
            self.staged.insert(digest.clone(), path);
        }
        Ok((digest, bytes))
    }

    /// Takes a document in that we made ourselves.
    pub(crate) fn add_bytes(&mut self, bytes: &[u8]) -> Result<Digest, StorageError> {
        match self.add(&mut &*bytes, u64::MAX) {
            Ok((digest, _)) => Ok(digest),
            Err(IngestError::Storage(error)) => Err(error),
            Err(IngestError::Read(source)) => {
                Err(StorageError::File { action: "read", path: PathBuf::from("memory"), source })
            }
        }
    }

    /// Keeps the sweep away from a digest, blob or chain id, until the session ends.
    pub(crate) fn hold(&mut self, digest: &Digest) {
        self.holds.hold(digest);
    }

    /// Counts a file with verified content as a blob of this session.
    pub(crate) fn stage(&mut self, digest: &Digest, path: PathBuf) {
        self.hold(digest);
        self.staged.insert(digest.clone(), path);
    }

    /// Makes the staged blobs among `wanted` durable and gives them their real names; the others are left.
    ///
    /// The session must outlive the database transaction that references the blobs: it has the holds.
    pub(crate) fn publish(&mut self, wanted: &BTreeSet<Digest>) -> Result<(), StorageError> {
        let wanted = self.staged.iter().filter(|(digest, _)| wanted.contains(digest));
        let staged: Vec<(Digest, PathBuf)> = wanted.map(|(digest, path)| (digest.clone(), path.clone())).collect();
        // Of many blobs one call makes all durable; a rename must not become durable before what it names.
        let each = staged.len() <= SYNC_EACH;
        if !each {
            let dir = fs_err::File::open(&self.content.dir).map_err(StorageError::file("open", &self.content.dir))?;
            let synced = rustix::fs::syncfs(&dir).map_err(io::Error::from);
            synced.map_err(StorageError::file("sync", &self.content.dir))?;
        }
        for (digest, path) in staged {
            let target = self.content.blobs.join(digest.hex());
            let sync = |file: fs_err::File| if each { file.sync_all() } else { Ok(()) };
            let published = fs_err::File::open(&path).and_then(sync).and_then(|()| fs_err::rename(&path, &target));
            match published {
                // A partial blob serves every session that wants it; another one was faster.
                Err(error) if error.kind() == io::ErrorKind::NotFound && target.is_file() => {}
                result => result.map_err(StorageError::file("publish", &target))?,
            }
            self.staged.remove(&digest);
        }
        sync_dir(&self.content.blobs)
    }
}

impl BlobSource for Ingest {
    fn find(&self, digest: &Digest) -> Option<PathBuf> {
        self.staged.get(digest).filter(|path| path.is_file()).cloned().or_else(|| self.content.find(digest))
    }
}

/// Why a stream could not be taken in: its own fault, or the disk's.
#[derive(Debug)]
pub(crate) enum IngestError {
    Read(io::Error),
    Storage(StorageError),
}

impl From<StorageError> for IngestError {
    fn from(error: StorageError) -> Self {
        Self::Storage(error)
    }
}

/// As `io::copy`, but tells the reader's errors from the file's.
fn copy(from: &mut dyn Read, path: &Path) -> Result<(), IngestError> {
    let mut file = fs_err::File::create_new(path).map_err(StorageError::file("create", path))?;
    let mut buffer = vec![0; 128 << 10];
    loop {
        let read = match from.read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(read) => read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(IngestError::Read(error)),
        };
        file.write_all(&buffer[..read]).map_err(StorageError::file("write", path))?;
    }
}
