use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Read, Write};

use drua_types::{Classify, Digest, ErrorKind, Hint, ImageRef, Platform};

use crate::content::BlobSource as _;
use crate::lookup::NamedBy;
use crate::storage::{StorageError, disk_full_hints};
use crate::store::named;
use crate::tree::TreeError;
use crate::wire::{ArchiveItem, Descriptor, NewIndex};
use crate::{LookupError, Store};

/// Images could not be saved.
#[derive(Debug, thiserror::Error)]
pub enum SaveError {
    /// There is no such image.
    #[error(transparent)]
    Lookup(#[from] LookupError),
    /// An image's content cannot be read.
    #[error("failed to read image `{id}`")]
    Tree {
        /// The image.
        id: Digest,
        /// Why not.
        #[source]
        source: TreeError,
    },
    /// The disk failed.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// The archive could not be written, or a blob could not be read while it was.
    #[error("failed to write `{file}` to the archive")]
    Write {
        /// The file within the archive.
        file: String,
        /// Why not.
        #[source]
        source: io::Error,
    },
}

impl Classify for SaveError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Lookup(error) => error.kind(),
            Self::Storage(error) => error.kind(),
            Self::Tree { .. } | Self::Write { .. } => ErrorKind::Internal,
        }
    }
}

impl Hint for SaveError {
    fn hints(&self) -> Vec<String> {
        match self {
            Self::Lookup(error) => error.hints(),
            Self::Storage(error) => error.hints(),
            Self::Write { source, .. } => disk_full_hints(source),
            Self::Tree { .. } => Vec::new(),
        }
    }
}

/// What goes into the archive.
#[derive(Default)]
struct Contents {
    blobs: BTreeSet<Digest>,
    index: Vec<Descriptor>,
    /// One for each manifest, with all its names.
    items: BTreeMap<Digest, ArchiveItem>,
}

impl Store {
    /// Writes images into one tar that is an OCI layout and a docker-archive at once, as moby does since version 25.
    ///
    /// Images that are named by id have no name in it. With `platform`, only that platform's manifest is written; without,
    /// all content that is there. The same images always give the same bytes.
    ///
    /// # Errors
    /// As [`Store::get`], before anything is written; then [`SaveError::Write`].
    pub fn save(&self, names: &[&str], platform: Option<&Platform>, out: &mut dyn Write) -> Result<(), SaveError> {
        let mut contents = Contents::default();
        for name in names {
            self.gather(name, platform, &mut contents)?;
        }
        let mut tar = tar::Builder::new(out);
        write_bytes(&mut tar, "oci-layout", b"{\"imageLayoutVersion\":\"1.0.0\"}")?;
        for digest in &contents.blobs {
            let size = self.content.size(digest).ok_or_else(|| StorageError::Missing { digest: digest.clone() })?;
            let file = self.content.open(digest)?;
            write_entry(&mut tar, &blob_path(digest), size, &mut file.take(size))?;
        }
        let index = serde_json::to_vec(&NewIndex::new(contents.index)).expect("strings and numbers serialize");
        write_bytes(&mut tar, "index.json", &index)?;
        let items: Vec<&ArchiveItem> = contents.items.values().collect();
        let items = serde_json::to_vec(&items).expect("strings serialize");
        write_bytes(&mut tar, "manifest.json", &items)?;
        let finished = tar.into_inner().and_then(|out| out.flush());
        finished.map_err(|source| SaveError::Write { file: "the end".to_owned(), source })
    }

    fn gather(&self, name: &str, platform: Option<&Platform>, contents: &mut Contents) -> Result<(), SaveError> {
        let image = self.get(name, platform)?;
        let found = self.find(name)?;
        let tree_error = |source| SaveError::Tree { id: image.id.clone(), source };
        let tree = self.tree(&found.descriptor, platform).map_err(tree_error)?;
        let top = match (platform, tree.choose(platform)) {
            (Some(_), Some(node)) => {
                contents.blobs.extend([node.descriptor.digest.clone(), node.config_descriptor.digest.clone()]);
                contents.blobs.extend(node.layers.iter().map(|layer| layer.digest.clone()));
                Descriptor::new(&node.descriptor.media_type, node.descriptor.digest.clone(), node.descriptor.size)
            }
            _ => {
                contents.blobs.extend(tree.blobs.iter().cloned());
                found.descriptor
            }
        };
        let name = match found.by {
            NamedBy::Name(name) if name.digest().is_none() => Some(name),
            NamedBy::Name(_) | NamedBy::Id => None,
        };
        let item = contents.items.entry(image.manifest_digest).or_insert_with(|| ArchiveItem {
            config: blob_path(&image.config_digest),
            repo_tags: None,
            layers: Some(image.layers.iter().map(|layer| blob_path(&layer.digest)).collect()),
        });
        let descriptor = match &name {
            Some(name) => named(&top, name, name.tag().unwrap_or("latest").to_owned()),
            None => top,
        };
        let tags = name.as_ref().map(ImageRef::familiar);
        let repo_tags = item.repo_tags.get_or_insert_default();
        repo_tags.extend(tags.filter(|tag| !repo_tags.contains(tag)).into_iter().collect::<Vec<_>>());
        if !contents.index.contains(&descriptor) {
            contents.index.push(descriptor);
        }
        Ok(())
    }
}

fn blob_path(digest: &Digest) -> String {
    format!("blobs/sha256/{}", digest.hex())
}

fn write_bytes(tar: &mut tar::Builder<&mut dyn Write>, path: &str, bytes: &[u8]) -> Result<(), SaveError> {
    write_entry(tar, path, bytes.len() as u64, &mut &*bytes)
}

fn write_entry(
    tar: &mut tar::Builder<&mut dyn Write>,
    path: &str,
    size: u64,
    data: &mut dyn Read,
) -> Result<(), SaveError> {
    let mut header = tar::Header::new_ustar();
    header.set_entry_type(tar::EntryType::Regular);
    header.set_mode(0o644);
    header.set_uid(0);
    header.set_gid(0);
    header.set_size(size);
    header.set_mtime(0);
    let write = |source| SaveError::Write { file: path.to_owned(), source };
    tar.append_data(&mut header, path, data).map_err(write)
}
