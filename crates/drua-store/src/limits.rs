use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// What the store accepts from archives and layers, all of which are untrusted.
///
/// Entries, bytes and extents are counted over all layers of an operation (a pull, a load, an unpacking), so that many
/// layers just below a limit are not more than one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Entries in tar streams.
    pub entries: u64,
    /// Bytes of decompressed streams, and of the files in them; a file with holes counts with its whole length.
    pub unpacked_bytes: u64,
    /// Bytes that any layer may decompress to, however small it is.
    pub free_bytes: u64,
    /// Beyond these, how many times larger than its blob a decompressed layer may be. What people make stays below 20;
    /// gzip reaches 1,000 and zstd more.
    pub ratio: u64,
    /// Extents of files with holes.
    pub extents: u64,
    /// Bytes of all directories' names, which are kept in memory until a layer is unpacked.
    pub names_bytes: u64,
    /// Bytes of one path or link target.
    pub path_bytes: usize,
    /// Bytes of one PAX header, which holds the extended attributes.
    pub pax_bytes: usize,
    /// Bytes of one manifest, index or configuration.
    pub document_bytes: u64,
    /// Manifests and indexes of one image.
    pub documents: usize,
    /// Layers of one manifest; overlayfs mounts at most 500 lower directories.
    pub layers: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            entries: 1_000_000,
            unpacked_bytes: 64 << 30,
            free_bytes: 1 << 30,
            ratio: 200,
            extents: 4 << 20,
            names_bytes: 64 << 20,
            path_bytes: 4096,
            pax_bytes: 1 << 20,
            document_bytes: 8 << 20,
            documents: 256,
            layers: 500,
        }
    }
}

impl Limits {
    /// Bytes that a layer with a blob of this size may decompress to.
    pub(crate) fn decompressed(&self, compressed: u64) -> u64 {
        compressed.saturating_mul(self.ratio).max(self.free_bytes).min(self.unpacked_bytes)
    }
}

/// What an operation has used of its [`Limits`] so far. Clones share the count.
#[derive(Debug, Clone)]
pub(crate) struct Budget {
    pub(crate) limits: Limits,
    used: Arc<Used>,
}

#[derive(Debug, Default)]
struct Used {
    entries: AtomicU64,
    stream_bytes: AtomicU64,
    file_bytes: AtomicU64,
    extents: AtomicU64,
    names_bytes: AtomicU64,
}

/// An operation wants more than its [`Limits`] allow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{what} are more than the limit of {limit} for one image")]
pub(crate) struct Exceeded {
    what: &'static str,
    limit: u64,
}

impl Budget {
    pub(crate) fn new(limits: Limits) -> Self {
        Self { limits, used: Arc::default() }
    }

    pub(crate) fn entry(&self) -> Result<(), Exceeded> {
        charge(&self.used.entries, 1, self.limits.entries, "its files")
    }

    /// Decompressed bytes.
    pub(crate) fn stream(&self, bytes: u64) -> Result<(), Exceeded> {
        charge(&self.used.stream_bytes, bytes, self.limits.unpacked_bytes, "its decompressed bytes")
    }

    /// The length of a file.
    pub(crate) fn file(&self, bytes: u64) -> Result<(), Exceeded> {
        charge(&self.used.file_bytes, bytes, self.limits.unpacked_bytes, "the bytes of its files")
    }

    pub(crate) fn extents(&self, count: usize) -> Result<(), Exceeded> {
        charge(&self.used.extents, count as u64, self.limits.extents, "the extents of its files with holes")
    }

    /// A directory's path.
    pub(crate) fn name(&self, bytes: usize) -> Result<(), Exceeded> {
        // What the list itself takes, besides the text.
        charge(
            &self.used.names_bytes,
            bytes as u64 + 48,
            self.limits.names_bytes,
            "the names of its directories in bytes",
        )
    }
}

fn charge(used: &AtomicU64, amount: u64, limit: u64, what: &'static str) -> Result<(), Exceeded> {
    // Wrapping is out of reach: each amount is bounded by i64 and the first excess ends the operation.
    let before = used.fetch_add(amount, Ordering::Relaxed);
    if before.saturating_add(amount) > limit { Err(Exceeded { what, limit }) } else { Ok(()) }
}
