//! What an image archive holds: an OCI layout, a docker-archive, or both in one (as moby writes since version 25).
//!
//! An archive is read once, front to back, since it may come from a pipe: every file goes into the ingest session, and
//! what they mean is decided when all are there. Files are known by digest from then on.

use std::collections::BTreeMap;
use std::io::{self, Read};

use drua_types::{Digest, ImageRef};

use crate::content::{BlobSource as _, Ingest, IngestError};
use crate::decode::{Compression, Decoder, Meter};
use crate::limits::Budget;
use crate::media;
use crate::storage::StorageError;
use crate::tar_stream::{Kind, TarReader, printable};
use crate::tree::{self, Tree};
use crate::wire::{ArchiveItem, Descriptor, Document, IMAGE_NAME, NewManifest, REF_NAME};
use crate::{Limits, LoadError};

/// Files and links of one archive; anything beyond is not an image.
const MAX_FILES: usize = 100_000;
const INDEX: &str = "index.json";
const ITEMS: &str = "manifest.json";

/// An image in an archive.
#[derive(Debug)]
pub(crate) struct ArchivedImage {
    pub(crate) descriptor: Descriptor,
    pub(crate) names: Vec<ImageRef>,
}

#[derive(Debug)]
enum Stored {
    File(Digest, u64),
    /// To this path; docker-archives link layers that occur twice.
    Link(String),
}

/// The files of an archive by their paths.
#[derive(Debug, Default)]
pub(crate) struct Archive {
    files: BTreeMap<String, Stored>,
}

impl Archive {
    /// Takes all files into the session. A file below `blobs/sha256/` must have the digest that it is named by.
    pub(crate) fn read(session: &mut Ingest, stream: &mut dyn Read, limits: Limits) -> Result<Self, LoadError> {
        let decoder = Decoder::new(stream).map_err(|source| LoadError::Read { source })?;
        let mut reader = TarReader::new(Meter::new(decoder, limits.unpacked_bytes), Budget::new(limits));
        let mut archive = Self::default();
        let tar_error = |source| LoadError::Tar { source };
        while let Some(entry) = reader.next_entry().map_err(tar_error)? {
            let Some(path) = clean(&entry.path) else {
                return Err(LoadError::Path { path: printable(&entry.path) });
            };
            let stored = match entry.kind {
                Kind::File if entry.sparse.is_none() => {
                    let mut failure = None;
                    let added = session.add(&mut EntryData { reader: &mut reader, failure: &mut failure }, entry.size);
                    let (digest, size) = match (added, failure) {
                        (Err(_), Some(error)) => return Err(tar_error(error)),
                        (Err(IngestError::Read(source)), None) => return Err(LoadError::Read { source }),
                        (Err(IngestError::Storage(error)), None) => return Err(error.into()),
                        (Ok(added), _) => added,
                    };
                    check_name(&path, &digest)?;
                    Stored::File(digest, size)
                }
                Kind::HardLink | Kind::Symlink => match link_target(&path, &entry.link, entry.kind) {
                    Some(target) => Stored::Link(target),
                    None => return Err(LoadError::Path { path: printable(&entry.link) }),
                },
                _ => continue,
            };
            archive.files.insert(path, stored);
            if archive.files.len() > MAX_FILES {
                return Err(LoadError::NotAnImage { reason: format!("it has more than {MAX_FILES} files") });
            }
        }
        Ok(archive)
    }

    /// The images that the archive says it has.
    pub(crate) fn images(&self, session: &mut Ingest, limits: Limits) -> Result<Vec<ArchivedImage>, LoadError> {
        let items: Vec<ArchiveItem> = self.json(session, ITEMS, limits)?.unwrap_or_default();
        let Some(index) = self.json::<Document>(session, INDEX, limits)? else {
            return match items.is_empty() {
                true => Err(LoadError::NotAnImage { reason: "it has neither index.json nor manifest.json".to_owned() }),
                false => items.iter().map(|item| self.convert(session, item, limits)).collect(),
            };
        };
        let mut images: Vec<ArchivedImage> = Vec::new();
        for descriptor in index.manifests.unwrap_or_default() {
            let tree = tree::read(session, &descriptor, None, &limits)?;
            let names = names(&descriptor, &tree, &items)?;
            let descriptor = Descriptor::new(&descriptor.media_type, descriptor.digest, descriptor.size);
            // moby writes one descriptor for each name.
            match images.iter_mut().find(|image| image.descriptor.digest == descriptor.digest) {
                Some(image) => image.names.extend(names),
                None => images.push(ArchivedImage { descriptor, names }),
            }
        }
        for image in &mut images {
            image.names.sort();
            image.names.dedup();
        }
        if images.is_empty() {
            Err(LoadError::NotAnImage { reason: "its index is empty".to_owned() })
        } else {
            Ok(images)
        }
    }

    /// Makes an OCI manifest for an image of a docker-archive. The same archive always gives the same manifest.
    fn convert(&self, session: &mut Ingest, item: &ArchiveItem, limits: Limits) -> Result<ArchivedImage, LoadError> {
        let (config, config_size) = self.file(&item.config)?;
        let mut layers = Vec::new();
        for path in item.layers.iter().flatten() {
            let (mut digest, mut size) = self.file(path)?;
            let mut decoder = Decoder::new(session.open(&digest)?).map_err(|source| LoadError::Read { source })?;
            if !decoder.compression.is_common() {
                let limit = limits.decompressed(size);
                (digest, size) = session.add(&mut decoder, limit).map_err(|error| match error {
                    IngestError::Read(source) => LoadError::Read { source },
                    IngestError::Storage(error) => error.into(),
                })?;
            }
            layers.push(Descriptor::new(layer_type(decoder.compression), digest, size));
            if layers.len() > limits.layers {
                return Err(LoadError::NotAnImage { reason: format!("it has more than {} layers", limits.layers) });
            }
        }
        let manifest = NewManifest::new(Descriptor::new(media::OCI_CONFIG, config, config_size), layers);
        let bytes = serde_json::to_vec(&manifest).expect("strings and numbers serialize");
        let descriptor = Descriptor::new(media::OCI_MANIFEST, session.add_bytes(&bytes)?, bytes.len() as u64);
        Ok(ArchivedImage { descriptor, names: parse_names(item.repo_tags.iter().flatten())? })
    }

    fn json<T: serde::de::DeserializeOwned>(
        &self,
        session: &Ingest,
        path: &'static str,
        limits: Limits,
    ) -> Result<Option<T>, LoadError> {
        if !self.files.contains_key(path) {
            return Ok(None);
        }
        let (digest, size) = self.file(path)?;
        if size > limits.document_bytes {
            let reason = format!("its {path} has {size} bytes; the limit is {}", limits.document_bytes);
            return Err(LoadError::NotAnImage { reason });
        }
        let bytes = session.read(&digest, limits.document_bytes)?;
        serde_json::from_slice(&bytes).map(Some).map_err(|source| LoadError::Parse { file: path, source })
    }

    fn file(&self, path: &str) -> Result<(Digest, u64), LoadError> {
        let mut at = path.trim_start_matches("./").to_owned();
        // A link to a link is odd but fine; a circle is not.
        for _ in 0..8 {
            match self.files.get(&at) {
                Some(Stored::File(digest, size)) => return Ok((digest.clone(), *size)),
                Some(Stored::Link(target)) => at.clone_from(target),
                None => break,
            }
        }
        Err(LoadError::MissingFile { path: printable(path.as_bytes()) })
    }
}

/// The media type of a layer; of one that is not [common](Compression::is_common), that of what is kept instead.
pub(crate) fn layer_type(compression: Compression) -> &'static str {
    match compression {
        Compression::Plain | Compression::Xz | Compression::Bzip2 => "application/vnd.oci.image.layer.v1.tar",
        Compression::Gzip => "application/vnd.oci.image.layer.v1.tar+gzip",
        Compression::Zstd => "application/vnd.oci.image.layer.v1.tar+zstd",
    }
}

/// Names of an image in a layout: its annotations', and those that a `manifest.json` beside it has for its configuration.
fn names(descriptor: &Descriptor, tree: &Tree, items: &[ArchiveItem]) -> Result<Vec<ImageRef>, LoadError> {
    let is_ours = |item: &&ArchiveItem| {
        let config = |node: &tree::Node| item.config.ends_with(node.config_descriptor.digest.hex());
        tree.nodes.iter().any(config)
    };
    let mut names = parse_names(items.iter().filter(is_ours).flat_map(|item| item.repo_tags.iter().flatten()))?;
    if let Some(name) = descriptor.annotation(IMAGE_NAME) {
        names.extend(parse_names([name])?);
    } else if let Some(name) = descriptor.annotation(REF_NAME) {
        // Where there are whole names, a bare word is the tag of one of them. Alone it has to do as a name.
        if names.is_empty() || name.contains(['/', ':']) {
            names.extend(parse_names([name])?);
        }
    }
    Ok(names)
}

fn parse_names<S: AsRef<str>>(names: impl IntoIterator<Item = S>) -> Result<Vec<ImageRef>, LoadError> {
    let parse = |name: S| name.as_ref().parse().map_err(|source| LoadError::Name { source });
    names.into_iter().map(parse).collect()
}

fn check_name(path: &str, actual: &Digest) -> Result<(), LoadError> {
    let Some(expected) = path.strip_prefix("blobs/sha256/") else { return Ok(()) };
    if expected == actual.hex() {
        return Ok(());
    }
    Err(LoadError::Digest { path: path.to_owned(), actual: actual.clone() })
}

/// A path within the archive without `.`; `None` for one that is absolute, has `..`, or is no text.
fn clean(path: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(path).ok()?;
    if text.starts_with('/') || text.split('/').any(|part| part == "..") {
        return None;
    }
    Some(text.split('/').filter(|part| !part.is_empty() && *part != ".").collect::<Vec<_>>().join("/"))
}

/// Where a link points, as a path within the archive: symbolic links are relative to their directory, hard links are not.
fn link_target(path: &str, target: &[u8], kind: Kind) -> Option<String> {
    if kind == Kind::HardLink {
        return clean(target);
    }
    let target = std::str::from_utf8(target).ok().filter(|target| !target.starts_with('/'))?;
    let mut parts: Vec<&str> = path.split('/').collect();
    parts.pop();
    for part in target.split('/') {
        match part {
            "" | "." => {}
            // `pop` of nothing would be a way out.
            ".." => drop(parts.pop()?),
            part => parts.push(part),
        }
    }
    Some(parts.join("/"))
}

/// The current entry's data as a reader; keeps the archive's own error, which `io::Error` would bury.
struct EntryData<'e, R> {
    reader: &'e mut TarReader<R>,
    failure: &'e mut Option<crate::TarError>,
}

impl<R: Read> Read for EntryData<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.reader.read(buffer).map_err(|error| {
            *self.failure = Some(error);
            io::Error::other("the archive cannot be read")
        })
    }
}

impl From<StorageError> for LoadError {
    fn from(error: StorageError) -> Self {
        Self::Storage(error)
    }
}
