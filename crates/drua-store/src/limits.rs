/// What the store accepts from archives and layers, all of which are untrusted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Entries in one tar stream.
    pub entries: u64,
    /// Bytes of one decompressed stream: a layer, or a whole archive.
    pub unpacked_bytes: u64,
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
            path_bytes: 4096,
            pax_bytes: 1 << 20,
            document_bytes: 8 << 20,
            documents: 256,
            layers: 500,
        }
    }
}
