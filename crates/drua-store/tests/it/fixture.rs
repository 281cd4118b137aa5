//! Stores in their own directories, and archives made to measure.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use drua_store::{Image, Limits, LoadError, Loaded, Store};
use drua_types::{Digest, env};
use serde_json::{Value, json};
use tar::{EntryType, Header};
use tempfile::TempDir;

pub(crate) const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
pub(crate) const INDEX: &str = "application/vnd.oci.image.index.v1+json";
pub(crate) const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
pub(crate) const LAYER: &str = "application/vnd.oci.image.layer.v1.tar";

/// A store in a directory of its own, which goes with it.
pub(crate) struct Scratch {
    pub(crate) store: Store,
    pub(crate) dir: TempDir,
}

impl Scratch {
    pub(crate) fn new() -> Self {
        Self::with(Limits::default())
    }

    pub(crate) fn with(limits: Limits) -> Self {
        let dir = tempfile::tempdir().unwrap();
        Self { store: Store::open_with(dir.path(), limits).unwrap(), dir }
    }

    pub(crate) fn path(&self) -> &Path {
        self.dir.path()
    }

    pub(crate) fn load(&self, archive: &[u8]) -> Result<Vec<Loaded>, LoadError> {
        self.store.load(&mut &*archive, None, &mut |_| {})
    }

    #[track_caller]
    pub(crate) fn load_one(&self, archive: &[u8]) -> Image {
        let loaded = self.load(archive).unwrap();
        assert_eq!(loaded.len(), 1);
        self.store.get(loaded[0].id.as_str(), None).unwrap()
    }

    /// Loads an image of one plain layer, and returns the layer's directory.
    #[track_caller]
    pub(crate) fn unpack(&self, layer: Vec<u8>) -> PathBuf {
        let image = self.load_one(&Oci::default().image("x:1", vec![layer]).archive());
        self.store.layers(&image).unwrap().remove(0)
    }

    #[track_caller]
    pub(crate) fn refuse(&self, layer: Vec<u8>) -> String {
        let error = self.load(&Oci::default().image("x:1", vec![layer]).archive()).unwrap_err();
        self.assert_empty();
        drua_types::error_chain(&error)
    }

    /// Nothing is in the store, and nothing half done either.
    #[track_caller]
    pub(crate) fn assert_empty(&self) {
        assert!(self.store.list().unwrap().is_empty());
        self.assert_tidy();
        assert_eq!(names(&self.path().join("layers")), [""; 0], "no layers");
        assert_eq!(names(&self.path().join("content/blobs/sha256")), [""; 0], "no blobs");
    }

    #[track_caller]
    pub(crate) fn assert_tidy(&self) {
        assert_eq!(names(&self.path().join("content/ingest")), [""; 0], "nothing left in ingest");
        assert!(!names(&self.path().join("layers")).iter().any(|name| name.starts_with('.')), "no temporary layers");
    }
}

pub(crate) fn names(dir: &Path) -> Vec<String> {
    let mut names: Vec<String> =
        std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// The real image of this name, or `None` with a word on stderr when the data is not here.
pub(crate) fn real_image(name: &str) -> Option<Vec<u8>> {
    let root = std::env::var_os(env::DRUA_TEST_DATA)
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data"), PathBuf::from);
    let path = root.join("images").join(name);
    match std::fs::read(&path) {
        Ok(bytes) => Some(bytes),
        Err(error) => {
            eprintln!("SKIPPED: {}: {error}; set {}", path.display(), env::DRUA_TEST_DATA);
            None
        }
    }
}

/// A tar, entry by entry, including what no tar writer would let you write.
pub(crate) struct Tar {
    bytes: Vec<u8>,
}

impl Tar {
    pub(crate) fn new() -> Self {
        Self { bytes: Vec::new() }
    }

    pub(crate) fn header(path: &str, kind: EntryType, size: usize) -> Header {
        let mut header = Header::new_gnu();
        header.as_old_mut().name[..path.len()].copy_from_slice(path.as_bytes());
        header.set_entry_type(kind);
        header.set_size(size as u64);
        header.set_mode(if kind == EntryType::Directory { 0o755 } else { 0o644 });
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(1_700_000_000);
        header
    }

    pub(crate) fn raw(mut self, mut header: Header, data: &[u8]) -> Self {
        header.set_cksum();
        self.bytes.extend_from_slice(header.as_bytes());
        self.bytes.extend_from_slice(data);
        self.bytes.resize(self.bytes.len().next_multiple_of(512), 0);
        self
    }

    pub(crate) fn file(self, path: &str, data: &str) -> Self {
        let header = Self::header(path, EntryType::Regular, data.len());
        self.raw(header, data.as_bytes())
    }

    pub(crate) fn dir(self, path: &str) -> Self {
        self.raw(Self::header(path, EntryType::Directory, 0), b"")
    }

    pub(crate) fn link(self, kind: EntryType, path: &str, target: &str) -> Self {
        let mut header = Self::header(path, kind, 0);
        header.as_old_mut().linkname[..target.len()].copy_from_slice(target.as_bytes());
        self.raw(header, b"")
    }

    pub(crate) fn symlink(self, path: &str, target: &str) -> Self {
        self.link(EntryType::Symlink, path, target)
    }

    pub(crate) fn hard_link(self, path: &str, target: &str) -> Self {
        self.link(EntryType::Link, path, target)
    }

    /// A PAX header for the entry that follows.
    pub(crate) fn pax(self, records: &[(&str, &[u8])]) -> Self {
        let mut data = Vec::new();
        for (key, value) in records {
            let body = key.len() + value.len() + 3;
            let length = (body..).find(|length| body + length.to_string().len() == *length).unwrap();
            write!(data, "{length} {key}=").unwrap();
            data.extend_from_slice(value);
            data.push(b'\n');
        }
        let header = Self::header("pax", EntryType::XHeader, data.len());
        self.raw(header, &data)
    }

    pub(crate) fn end(mut self) -> Vec<u8> {
        self.bytes.resize(self.bytes.len() + 1024, 0);
        self.bytes
    }

    pub(crate) fn unfinished(self) -> Vec<u8> {
        self.bytes
    }
}

pub(crate) fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

pub(crate) fn zstd(bytes: &[u8]) -> Vec<u8> {
    zstd::encode_all(bytes, 1).unwrap()
}

/// An OCI layout under construction.
#[derive(Default)]
pub(crate) struct Oci {
    pub(crate) blobs: BTreeMap<Digest, Vec<u8>>,
    pub(crate) index: Vec<Value>,
}

impl Oci {
    pub(crate) fn blob(&mut self, media_type: &str, bytes: Vec<u8>) -> Value {
        let digest = Digest::of(&bytes);
        let descriptor = json!({"mediaType": media_type, "digest": digest, "size": bytes.len()});
        self.blobs.insert(digest, bytes);
        descriptor
    }

    pub(crate) fn json(&mut self, media_type: &str, value: &Value) -> Value {
        self.blob(media_type, serde_json::to_vec(value).unwrap())
    }

    /// An image for this machine, of plain layers; returns its manifest's descriptor.
    pub(crate) fn manifest(&mut self, layers: Vec<Vec<u8>>, mut config: Value) -> Value {
        let diff_ids: Vec<Digest> = layers.iter().map(|layer| Digest::of(layer)).collect();
        if config.get("rootfs").is_none() {
            config["rootfs"] = json!({"type": "layers", "diff_ids": diff_ids});
        }
        let config = self.json(CONFIG, &config);
        let layers: Vec<Value> = layers.into_iter().map(|layer| self.blob(LAYER, layer)).collect();
        self.json(MANIFEST, &json!({"schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": layers}))
    }

    pub(crate) fn image(mut self, name: &str, layers: Vec<Vec<u8>>) -> Self {
        let descriptor = self.manifest(layers, host_config());
        self.name(descriptor, name);
        self
    }

    pub(crate) fn name(&mut self, mut descriptor: Value, name: &str) {
        if !name.is_empty() {
            descriptor["annotations"] = json!({"org.opencontainers.image.ref.name": name});
        }
        self.index.push(descriptor);
    }

    pub(crate) fn archive(&self) -> Vec<u8> {
        let index = json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": self.index}).to_string();
        let mut tar = Tar::new().file("oci-layout", "{\"imageLayoutVersion\":\"1.0.0\"}").file("index.json", &index);
        for (digest, bytes) in &self.blobs {
            let header = Tar::header(&format!("blobs/sha256/{}", digest.hex()), EntryType::Regular, bytes.len());
            tar = tar.raw(header, bytes);
        }
        tar.end()
    }
}

pub(crate) fn host_config() -> Value {
    let host = drua_types::Platform::host();
    json!({"architecture": host.architecture(), "os": host.os(), "config": {"Cmd": ["/bin/true"], "Env": null}})
}

/// One small layer.
pub(crate) fn layer(name: &str, text: &str) -> Vec<u8> {
    Tar::new().file(name, text).end()
}
