//! Blobs on their way in from elsewhere, in pieces: `content/partial/<hex>`, one file a blob.
//!
//! ```text
//!            begin                      write …                 finish
//! (nothing) ───────► partial/<hex> ◄──────────────► full length ───────► verified ──commit──► blobs/sha256/<hex>
//!                        │ dropped, kill -9, reset                 │ wrong digest
//!                        ▼                                         ▼
//!                    kept: the next `begin` goes on from there   removed
//! ```
//!
//! Nothing here can be seen by readers of the store. A file is only as good as its hash, which is computed again when a
//! later process goes on with it, so it needs no syncing until it is published. What nobody has touched for a day is
//! removed when the store is opened.
//!
//! One writer a blob, any number of followers: a [`Follower`] reads the file while it grows, which is how a layer is
//! unpacked while it is downloaded.

use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use drua_types::{Classify, Digest, ErrorKind, Hint};
use sha2::{Digest as _, Sha256};

use crate::storage::{StorageError, disk_full_hints, private_dir};

/// How long an interrupted download is worth keeping.
const KEEP: Duration = Duration::from_secs(24 * 60 * 60);
const BUFFER_BYTES: usize = 256 << 10;

/// A blob could not be received. Its part that is good is kept, unless the variant says otherwise.
#[derive(Debug, thiserror::Error)]
pub enum ReceiveError {
    /// The disk failed. When it is full, the part is removed.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// More bytes came than the descriptor says. Everything is removed.
    #[error("content `{digest}` has more than the {expected} bytes that its descriptor says")]
    TooLong {
        /// The blob.
        digest: Digest,
        /// Bytes in its descriptor.
        expected: u64,
    },
    /// The end came too early. What came is kept.
    #[error("content `{digest}` ended after {actual} of {expected} bytes")]
    TooShort {
        /// The blob.
        digest: Digest,
        /// Bytes in its descriptor.
        expected: u64,
        /// Bytes that came.
        actual: u64,
    },
    /// The bytes are others than asked for. Everything is removed.
    #[error("content `{expected}` was expected, but `{actual}` came")]
    Digest {
        /// The digest in the descriptor.
        expected: Digest,
        /// The digest of what came.
        actual: Digest,
    },
}

impl Classify for ReceiveError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Storage(error) => error.kind(),
            Self::TooLong { .. } | Self::TooShort { .. } | Self::Digest { .. } => ErrorKind::Invalid,
        }
    }
}

impl Hint for ReceiveError {
    fn hints(&self) -> Vec<String> {
        match self {
            Self::Storage(error) => error.hints(),
            Self::TooShort { .. } => vec!["try again: it goes on where it stopped".to_owned()],
            Self::TooLong { .. } | Self::Digest { .. } => {
                vec!["something between here and the registry changes its answers: a proxy or a mirror?".to_owned()]
            }
        }
    }
}

/// What [`crate::Receiving::begin`] found.
#[derive(Debug)]
pub enum Begin {
    /// The blob is here, verified: nothing is to be done.
    Present,
    /// Another operation is receiving the same blob now. Ask again in a while, say 100 ms: it will be there, or yours.
    Busy,
    /// Bring it, from [`BlobWriter::written`] on.
    Write(BlobWriter),
}

/// The directory `content/partial/` and who writes in it now.
#[derive(Debug)]
pub(crate) struct Partials {
    dir: PathBuf,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    growing: HashMap<Digest, Arc<Growing>>,
    /// Whose files are complete and were verified by this process.
    verified: HashSet<Digest>,
}

/// A blob that somebody writes now.
#[derive(Debug)]
struct Growing {
    path: PathBuf,
    growth: Mutex<Growth>,
    changed: Condvar,
}

#[derive(Debug, Clone, Copy)]
struct Growth {
    written: u64,
    phase: Phase,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Writing,
    /// All is there and verified.
    Complete,
    /// The writer has gone.
    Stopped,
}

impl Growing {
    fn lock(&self) -> MutexGuard<'_, Growth> {
        // Two plain values, always consistent.
        self.growth.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn set(&self, change: impl FnOnce(&mut Growth)) {
        change(&mut self.lock());
        self.changed.notify_all();
    }
}

impl Partials {
    /// Creates the directory when missing; removes what was not touched for a day.
    pub(crate) fn open(dir: PathBuf) -> Result<Self, StorageError> {
        private_dir(&dir, 0o700)?;
        let partials = Self { dir, state: Mutex::default() };
        partials.remove_older_than(KEEP, &|_| false)?;
        Ok(partials)
    }

    /// Removes what nobody writes or holds and has not been touched for `age`; returns how many bytes that freed.
    pub(crate) fn remove_older_than(
        &self,
        age: Duration,
        is_held: &dyn Fn(&Digest) -> bool,
    ) -> Result<u64, StorageError> {
        let mut freed = 0;
        for (path, metadata) in self.files()? {
            let old = metadata.modified().ok().and_then(|time| SystemTime::now().duration_since(time).ok());
            // A clock that was set back makes it as good as new; it is found another day.
            let young = !age.is_zero() && old.is_none_or(|old| old < age);
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            let digest: Option<Digest> = format!("sha256:{name}").parse().ok();
            // The lock is held over the removal, so that nobody begins to write the file in between.
            let mut state = self.lock();
            if young || digest.as_ref().is_some_and(|digest| state.growing.contains_key(digest) || is_held(digest)) {
                continue;
            }
            if let Some(digest) = &digest {
                state.verified.remove(digest);
            }
            fs_err::remove_file(&path).map_err(StorageError::file("remove", &path))?;
            freed += metadata.len();
        }
        Ok(freed)
    }

    /// Bytes of all partial blobs.
    pub(crate) fn bytes(&self) -> Result<u64, StorageError> {
        Ok(self.files()?.iter().map(|(_, metadata)| metadata.len()).sum())
    }

    fn files(&self) -> Result<Vec<(PathBuf, std::fs::Metadata)>, StorageError> {
        let list = || StorageError::file("list", &self.dir);
        let entries = fs_err::read_dir(&self.dir).and_then(Iterator::collect::<io::Result<Vec<_>>>).map_err(list())?;
        // A file that vanishes meanwhile has just been published.
        Ok(entries.into_iter().filter_map(|entry| Some((entry.path(), entry.metadata().ok()?))).collect())
    }

    /// Begins or goes on with a blob; [`Phase::Complete`] when all of it is there already.
    pub(crate) fn begin(self: &Arc<Self>, digest: &Digest, size: u64) -> Result<Started, ReceiveError> {
        let path = self.dir.join(digest.hex());
        let growing = Arc::new(Growing {
            path: path.clone(),
            growth: Mutex::new(Growth { written: 0, phase: Phase::Writing }),
            changed: Condvar::new(),
        });
        {
            let mut state = self.lock();
            if state.growing.contains_key(digest) {
                return Ok(Started::Busy);
            }
            if state.is_verified(digest, &path) {
                return Ok(Started::Complete);
            }
            state.growing.insert(digest.clone(), Arc::clone(&growing));
        }
        // From here on its drop cleans up behind every failure.
        let mut writer = BlobWriter {
            partials: Arc::clone(self),
            digest: digest.clone(),
            size,
            written: 0,
            hash: Sha256::new(),
            file: None,
            growing,
        };
        let options = fs_err::OpenOptions::new().create(true).truncate(false).read(true).write(true).open(&path);
        let file = options.map_err(StorageError::file("open", &path))?.into_parts().0;
        writer.take_up(file)?;
        if writer.written == size {
            return match writer.verify() {
                Ok(()) => Ok(Started::Complete),
                // It was damaged, which can only have happened here: from the beginning, then.
                Err(ReceiveError::Digest { .. }) if size > 0 => self.begin(digest, size),
                Err(error) => Err(error),
            };
        }
        Ok(Started::Write(writer))
    }

    /// A reader that waits for what is not there yet; `None` when nobody writes the blob now.
    pub(crate) fn follow(&self, digest: &Digest) -> Result<Option<Follower>, StorageError> {
        let Some(growing) = self.lock().growing.get(digest).cloned() else { return Ok(None) };
        let opened = fs_err::File::open(&growing.path);
        let file = match opened {
            Ok(file) => file.into_parts().0,
            // Begun, but not created yet, or just published.
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(StorageError::file("open", &growing.path)(error)),
        };
        Ok(Some(Follower { file, position: 0, growing }))
    }

    /// Bytes so far of a blob that somebody writes now.
    pub(crate) fn received(&self, digest: &Digest) -> Option<u64> {
        let growing = self.lock().growing.get(digest).cloned()?;
        let written = growing.lock().written;
        Some(written)
    }

    /// The file of a blob that is complete and verified but not published yet.
    pub(crate) fn verified(&self, digest: &Digest) -> Option<PathBuf> {
        let path = self.dir.join(digest.hex());
        self.lock().is_verified(digest, &path).then_some(path)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Each critical section changes one entry at a time.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn is_verified(&mut self, digest: &Digest, path: &Path) -> bool {
        // Its publication takes the file away.
        let verified = self.verified.contains(digest) && path.is_file();
        if !verified {
            self.verified.remove(digest);
        }
        verified
    }
}

/// How a blob begins.
#[derive(Debug)]
pub(crate) enum Started {
    /// All of it is there, verified.
    Complete,
    Busy,
    Write(BlobWriter),
}

/// Takes one blob in. Dropped before [`BlobWriter::finish`], what it has got so far is kept for the next try.
#[derive(Debug)]
pub struct BlobWriter {
    partials: Arc<Partials>,
    digest: Digest,
    size: u64,
    written: u64,
    hash: Sha256,
    /// `None` once it is finished or removed.
    file: Option<File>,
    growing: Arc<Growing>,
}

impl BlobWriter {
    /// Bytes that are here already, from an earlier try too: the offset for an HTTP `Range`. When a registry answers with
    /// the whole blob all the same, leave out as many of its bytes; the digest is checked over everything at the end.
    pub fn written(&self) -> u64 {
        self.written
    }

    /// Bytes that the blob will have.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Appends bytes. Blocking, but only as long as the page cache takes them.
    ///
    /// # Errors
    /// [`ReceiveError::TooLong`], or when the disk fails; the writer is no good then.
    pub fn write(&mut self, bytes: &[u8]) -> Result<(), ReceiveError> {
        if bytes.len() as u64 > self.size - self.written {
            self.discard();
            return Err(ReceiveError::TooLong { digest: self.digest.clone(), expected: self.size });
        }
        let path = &self.growing.path;
        let Some(file) = &mut self.file else {
            return Err(StorageError::file("write", path)(io::Error::other("an earlier write failed")).into());
        };
        if let Err(error) = file.write_all(bytes) {
            let error = StorageError::file("write", path)(error);
            // A full disk must not be kept full by what cannot be used.
            if matches!(&error, StorageError::File { source, .. } if !disk_full_hints(source).is_empty()) {
                self.discard();
            }
            return Err(error.into());
        }
        self.hash.update(bytes);
        self.written += bytes.len() as u64;
        self.growing.set(|growth| growth.written = self.written);
        Ok(())
    }

    /// Verifies size and digest. Afterwards the blob counts as present for the [`crate::Receiving`] that began it.
    ///
    /// # Errors
    /// [`ReceiveError::TooShort`], [`ReceiveError::Digest`].
    pub fn finish(mut self) -> Result<(), ReceiveError> {
        self.verify()
    }

    fn verify(&mut self) -> Result<(), ReceiveError> {
        if self.written < self.size {
            let (expected, actual) = (self.size, self.written);
            return Err(ReceiveError::TooShort { digest: self.digest.clone(), expected, actual });
        }
        let actual = Digest::from_sha256(std::mem::take(&mut self.hash).finalize().into());
        if actual != self.digest {
            self.discard();
            return Err(ReceiveError::Digest { expected: self.digest.clone(), actual });
        }
        self.file = None;
        self.end(Phase::Complete);
        Ok(())
    }

    /// Hashes what an earlier try left.
    fn take_up(&mut self, mut file: File) -> Result<(), ReceiveError> {
        let path = self.growing.path.clone();
        let failed = |action| StorageError::file(action, &path);
        let length = file.metadata().map_err(failed("look at"))?.len();
        if length > self.size {
            file.set_len(0).map_err(failed("empty"))?;
        }
        let mut buffer = vec![0; BUFFER_BYTES.min(usize::try_from(length).unwrap_or(BUFFER_BYTES))];
        while self.written < length.min(self.size) {
            match file.read(&mut buffer).map_err(failed("read"))? {
                0 => break,
                read => {
                    self.hash.update(&buffer[..read]);
                    self.written += read as u64;
                }
            }
        }
        self.file = Some(file);
        self.growing.set(|growth| growth.written = self.written);
        Ok(())
    }

    fn discard(&mut self) {
        self.file = None;
        let removed = fs_err::remove_file(&self.growing.path);
        if let Err(error) = removed.or_else(|error| if is_missing(&error) { Ok(()) } else { Err(error) }) {
            tracing::warn!(%error, "a useless partial download stays until tomorrow");
        }
        self.end(Phase::Stopped);
    }

    /// Lets others begin, and followers know.
    fn end(&mut self, phase: Phase) {
        let mut state = self.partials.lock();
        if state.growing.get(&self.digest).is_some_and(|current| Arc::ptr_eq(current, &self.growing)) {
            state.growing.remove(&self.digest);
            if phase == Phase::Complete {
                state.verified.insert(self.digest.clone());
            }
        }
        drop(state);
        self.growing.set(|growth| {
            if growth.phase == Phase::Writing {
                growth.phase = phase;
            }
        });
    }
}

impl Drop for BlobWriter {
    fn drop(&mut self) {
        self.end(Phase::Stopped);
    }
}

/// Reads a blob while it is written. Ends where the blob ends; fails when its writer goes away before that.
#[derive(Debug)]
pub(crate) struct Follower {
    file: File,
    position: u64,
    growing: Arc<Growing>,
}

impl io::Read for Follower {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let available = {
            let mut growth = self.growing.lock();
            loop {
                match growth.phase {
                    _ if growth.written > self.position => break growth.written - self.position,
                    Phase::Complete => return Ok(0),
                    Phase::Stopped => return Err(io::Error::new(io::ErrorKind::ConnectionAborted, Stopped)),
                    Phase::Writing => {
                        growth = self.growing.changed.wait(growth).unwrap_or_else(PoisonError::into_inner);
                    }
                }
            }
        };
        let want = buffer.len().min(usize::try_from(available).unwrap_or(usize::MAX));
        let read = self.file.read_at(&mut buffer[..want], self.position)?;
        self.position += read as u64;
        Ok(read)
    }
}

impl Follower {
    /// Waits until everything is there and verified.
    pub(crate) fn wait(&self) -> io::Result<()> {
        let mut growth = self.growing.lock();
        while growth.phase == Phase::Writing {
            growth = self.growing.changed.wait(growth).unwrap_or_else(PoisonError::into_inner);
        }
        match growth.phase {
            Phase::Complete => Ok(()),
            Phase::Writing | Phase::Stopped => Err(io::Error::new(io::ErrorKind::ConnectionAborted, Stopped)),
        }
    }
}

/// The blob's writer went away before the blob was complete.
#[derive(Debug, thiserror::Error)]
#[error("its download stopped")]
struct Stopped;

fn is_missing(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::NotFound
}
