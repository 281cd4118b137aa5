//! Image archives as `docker load` takes them: an OCI layout with Docker's `manifest.json` beside it.
//!
//! Deterministic: the same input gives the same bytes, so a rebuilt image keeps its id.

use std::{collections::BTreeSet, io::Write, path::Path};

use anyhow::{Context as _, Result};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use tar::{Builder, EntryType, Header};

/// An image to be written as an archive.
#[derive(Clone, Debug)]
pub struct Image {
    reference: String,
    os: String,
    architecture: String,
    config: Value,
    layers: Vec<Layer>,
}

/// One layer of an image.
#[derive(Clone, Debug)]
pub enum Layer {
    /// A tar archive of files.
    Tar(Vec<u8>),
    /// A Wasm module by itself, as the CNCF's artifact format has it.
    Wasm(Vec<u8>),
}

impl Image {
    /// An image for Linux on this machine's architecture.
    #[must_use]
    pub fn linux(reference: &str) -> Self {
        let architecture = if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" };
        Self::new(reference, "linux", architecture)
    }

    /// An image for `wasi/wasm`.
    #[must_use]
    pub fn wasi(reference: &str) -> Self {
        Self::new(reference, "wasi", "wasm")
    }

    /// An image for any platform. A reference without a tag gets `latest`, since Docker loads no other.
    #[must_use]
    pub fn new(reference: &str, os: &str, architecture: &str) -> Self {
        let tagged = reference.rsplit('/').next().is_some_and(|name| name.contains(':'));
        let path = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
        Self {
            reference: if tagged { reference.to_owned() } else { format!("{reference}:latest") },
            os: os.to_owned(),
            architecture: architecture.to_owned(),
            config: json!({ "Env": [path] }),
            layers: Vec::new(),
        }
    }

    /// Adds a layer.
    #[must_use]
    pub fn layer(mut self, layer: Layer) -> Self {
        self.layers.push(layer);
        self
    }

    /// Adds a layer of files.
    #[must_use]
    pub fn rootfs(self, rootfs: Rootfs) -> Self {
        self.layer(Layer::Tar(rootfs.finish()))
    }

    /// Sets a key of the image's configuration, in Docker's words: `Cmd`, `Entrypoint`, `User`, `ExposedPorts`, …
    #[must_use]
    pub fn config(mut self, key: &str, value: Value) -> Self {
        self.config[key] = value;
        self
    }

    /// Writes the archive to a file.
    ///
    /// # Errors
    ///
    /// When the file cannot be written.
    pub fn save(&self, path: &Path) -> Result<()> {
        let write = || -> Result<()> {
            fs_err::create_dir_all(path.parent().unwrap_or(Path::new(".")))?;
            let mut file = fs_err::File::create(path)?;
            file.write_all(&self.to_bytes())?;
            Ok(())
        };
        write().with_context(|| format!("cannot write image `{}` to `{}`", self.reference, path.display()))
    }

    /// The archive.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let diff_ids: Vec<String> = self.layers.iter().map(|layer| format!("sha256:{}", hex(layer.bytes()))).collect();
        let config = json!({
            "architecture": self.architecture, "os": self.os, "config": self.config,
            "created": "2026-01-01T00:00:00Z", "rootfs": { "type": "layers", "diff_ids": diff_ids },
        })
        .to_string();
        let layers: Vec<Value> =
            self.layers.iter().map(|layer| descriptor(layer.media_type(), layer.bytes())).collect();
        let manifest = json!({
            "schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "config": descriptor("application/vnd.oci.image.config.v1+json", config.as_bytes()), "layers": layers,
        })
        .to_string();
        let mut top = descriptor("application/vnd.oci.image.manifest.v1+json", manifest.as_bytes());
        top["annotations"] =
            json!({ "io.containerd.image.name": self.reference, "org.opencontainers.image.ref.name": self.reference });
        top["platform"] = json!({ "architecture": self.architecture, "os": self.os });
        let index = json!({
            "schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json", "manifests": [top],
        });
        let mut archive = Rootfs::new();
        archive = archive.file("oci-layout", 0o644, r#"{"imageLayoutVersion":"1.0.0"}"#);
        for blob in self.layers.iter().map(Layer::bytes).chain([config.as_bytes(), manifest.as_bytes()]) {
            archive = archive.file(&format!("blobs/sha256/{}", hex(blob)), 0o644, blob);
        }
        // Docker's older format has no word for layers that are no tar archives.
        if self.layers.iter().all(|layer| matches!(layer, Layer::Tar(_))) {
            let path = |bytes: &[u8]| format!("blobs/sha256/{}", hex(bytes));
            let paths: Vec<String> = self.layers.iter().map(|layer| path(layer.bytes())).collect();
            let docker = json!([{ "Config": path(config.as_bytes()), "RepoTags": [self.reference], "Layers": paths }]);
            archive = archive.file("manifest.json", 0o644, docker.to_string());
        }
        archive.file("index.json", 0o644, index.to_string()).finish()
    }
}

impl Layer {
    fn bytes(&self) -> &[u8] {
        match self {
            Self::Tar(bytes) | Self::Wasm(bytes) => bytes,
        }
    }

    fn media_type(&self) -> &'static str {
        match self {
            Self::Tar(_) => "application/vnd.oci.image.layer.v1.tar",
            Self::Wasm(_) => "application/wasm",
        }
    }
}

fn descriptor(media_type: &str, bytes: &[u8]) -> Value {
    json!({ "mediaType": media_type, "digest": format!("sha256:{}", hex(bytes)), "size": bytes.len() })
}

fn hex(bytes: &[u8]) -> String {
    format!("{:x}", Sha256::digest(bytes))
}

/// A tar archive of files that belong to root, made entry by entry. Parent directories appear by themselves.
pub struct Rootfs {
    builder: Builder<Vec<u8>>,
    dirs: BTreeSet<String>,
}

impl std::fmt::Debug for Rootfs {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Rootfs").field("dirs", &self.dirs).finish_non_exhaustive()
    }
}

impl Default for Rootfs {
    fn default() -> Self {
        Self::new()
    }
}

impl Rootfs {
    /// An empty archive.
    #[must_use]
    pub fn new() -> Self {
        Self { builder: Builder::new(Vec::new()), dirs: BTreeSet::new() }
    }

    /// Adds a regular file.
    #[must_use]
    pub fn file(mut self, path: &str, mode: u32, content: impl AsRef<[u8]>) -> Self {
        self.parents(path);
        self.entry(EntryType::Regular, path, mode, "", content.as_ref());
        self
    }

    /// Adds a directory.
    #[must_use]
    pub fn dir(self, path: &str, mode: u32) -> Self {
        self.owned_dir(path, mode, 0)
    }

    /// Adds a directory that belongs to this user and the group of the same number.
    #[must_use]
    pub fn owned_dir(mut self, path: &str, mode: u32, owner: u64) -> Self {
        self.parents(path);
        if self.dirs.insert(path.to_owned()) {
            self.entry_of(owner, EntryType::Directory, path, mode, "", &[]);
        }
        self
    }

    /// Adds a symbolic link.
    #[must_use]
    pub fn symlink(mut self, path: &str, target: &str) -> Self {
        self.parents(path);
        self.entry(EntryType::Symlink, path, 0o777, target, &[]);
        self
    }

    /// Adds an entry exactly as told, however wrong: for tests of what an unpacker must refuse.
    #[must_use]
    pub fn raw(mut self, kind: EntryType, path: &str, target: &str, content: &[u8]) -> Self {
        self.entry(kind, path, 0o644, target, content);
        self
    }

    /// The archive.
    #[must_use]
    pub fn finish(self) -> Vec<u8> {
        self.builder.into_inner().expect("writing to memory does not fail")
    }

    fn parents(&mut self, path: &str) {
        for (at, _) in path.match_indices('/') {
            let dir = &path[..at];
            if !dir.is_empty() && self.dirs.insert(dir.to_owned()) {
                self.entry(EntryType::Directory, dir, 0o755, "", &[]);
            }
        }
    }

    fn entry(&mut self, kind: EntryType, path: &str, mode: u32, target: &str, content: &[u8]) {
        self.entry_of(0, kind, path, mode, target, content);
    }

    fn entry_of(&mut self, owner: u64, kind: EntryType, path: &str, mode: u32, target: &str, content: &[u8]) {
        let mut header = Header::new_gnu();
        header.set_entry_type(kind);
        header.set_mode(mode);
        header.set_uid(owner);
        header.set_gid(owner);
        header.set_mtime(0);
        header.set_size(content.len() as u64);
        // The names go in as they are: `Builder::append_data` would refuse the bad ones that tests need.
        copy_into(&mut header.as_gnu_mut().expect("a GNU header was made above").name, path);
        copy_into(&mut header.as_gnu_mut().expect("a GNU header was made above").linkname, target);
        if kind == EntryType::Char {
            header.set_device_major(1).and_then(|()| header.set_device_minor(3)).expect("small numbers fit");
        }
        header.set_cksum();
        self.builder.append(&header, content).expect("writing to memory does not fail");
    }
}

fn copy_into(field: &mut [u8; 100], text: &str) {
    let bytes = text.as_bytes();
    assert!(bytes.len() <= field.len(), "name too long for a fixture: {text}");
    field[..bytes.len()].copy_from_slice(bytes);
}
