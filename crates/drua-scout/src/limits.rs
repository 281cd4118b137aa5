//! How much of untrusted input is read before it is given up, with a note in the document.

/// Limits of a scan; the defaults are meant for images of up to a few hundred gigabytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of one database, manifest or lock file. Default: 256 MiB.
    pub document_bytes: u64,
    /// Bytes of one executable, archive of classes, or Wasm module. Default: 512 MiB.
    pub binary_bytes: u64,
    /// Bytes that come out of all compressed parts of one file. Default: 1 GiB.
    pub inflated_bytes: u64,
    /// Archives in archives, components in components. Default: 8.
    pub depth: usize,
    /// Parts of one archive. Default: 200,000.
    pub parts: usize,
    /// Entries of one layer. Default: 10 million.
    pub entries: u64,
    /// Bytes that come out of one compressed layer. Default: 256 GiB.
    pub layer_bytes: u64,
    /// Packages of one file. Default: 200,000.
    pub packages: usize,
    /// Bytes of one path or name. Default: 4096, as Linux has it.
    pub name_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            document_bytes: 256 << 20,
            binary_bytes: 512 << 20,
            inflated_bytes: 1 << 30,
            depth: 8,
            parts: 200_000,
            entries: 10_000_000,
            layer_bytes: 256 << 30,
            packages: 200_000,
            name_bytes: 4096,
        }
    }
}
