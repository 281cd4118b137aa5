//! The compiled form of a module on disk: machine code, then a trailer that says what it is.
//!
//! ```text
//!  ┌───────────────────────┬───────────────┬──────────────────────────────────────────────────────────────┐
//!  │ wasmtime's ELF image  │ metadata JSON │ image length u64 · JSON length u32 · version u32 ·           │
//!  │ (mapped, not read)    │               │ SHA-256 of image and JSON · magic, 8 bytes   (little-endian) │
//!  └───────────────────────┴───────────────┴──────────────────────────────────────────────────────────────┘
//! ```
//!
//! The trailer stands at the end because wasmtime maps the file from its start and ignores what follows the image. A
//! cache hit checks magic, version and lengths (one `pread`); the hash is checked once, when the file enters the cache.

use std::fs::File;
use std::io::{self, Write};
use std::os::unix::fs::FileExt;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::engine::Profile;

/// Version of the trailer and of [`Metadata`]; a reader refuses every other.
const VERSION: u32 = 2;
const MAGIC: &[u8; 8] = b"druaCWSM";
const TRAILER: usize = 8 + 4 + 4 + 32 + 8;
/// Metadata is a few hundred bytes; more is not ours.
const METADATA_LIMIT: u32 = 64 << 10;

/// A core module or a component.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// A core module; its host interface is WASI preview 1.
    Module,
    /// A component; its host interface is WASI 0.2 or 0.3.
    Component,
}

/// What running the module means, by its exports.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Target {
    /// It exports `wasi:http/incoming-handler` (0.2) or `wasi:http/handler` (0.3): an HTTP server.
    Serve,
    /// It exports `_start` or `wasi:cli/run`: a command.
    Command,
    /// It exports neither: only a named function can be called.
    Library,
}

/// What the compiler learned about a module.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Metadata {
    /// Core module or component.
    pub kind: Kind,
    /// What running it means.
    pub target: Target,
    /// What it needs of its engine.
    pub profile: Profile,
    /// What one instance of it takes, where that can be known beforehand.
    pub resources: Option<Resources>,
}

/// What one instance takes; the HTTP server sizes its pool by it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resources {
    /// Linear memories, over all core instances.
    pub memories: u32,
    /// Tables, over all core instances.
    pub tables: u32,
    /// Elements of the largest table at the start.
    pub table_elements: u64,
}

/// A file is not a whole, current artifact.
#[derive(Debug, thiserror::Error)]
pub(crate) enum InvalidArtifact {
    #[error("cannot read the artifact")]
    Read(#[source] io::Error),
    #[error("the artifact of {0} bytes is too short")]
    Short(u64),
    #[error("the artifact has no trailer of ours")]
    Magic,
    #[error("the artifact has version {0}, not {VERSION}")]
    Version(u32),
    #[error("the artifact's lengths do not add up to its {0} bytes")]
    Length(u64),
    #[error("the artifact's metadata cannot be read")]
    Metadata(#[source] serde_json::Error),
    #[error("the artifact does not match its checksum")]
    Checksum,
}

/// Writes an artifact: the compile role's output.
pub(crate) fn write(out: &mut impl Write, image: &[u8], metadata: &Metadata) -> io::Result<()> {
    let json = serde_json::to_vec(metadata)?;
    let mut hash = Sha256::new();
    hash.update(image);
    hash.update(&json);
    out.write_all(image)?;
    out.write_all(&json)?;
    out.write_all(&(image.len() as u64).to_le_bytes())?;
    out.write_all(&(json.len() as u32).to_le_bytes())?;
    out.write_all(&VERSION.to_le_bytes())?;
    out.write_all(&hash.finalize())?;
    out.write_all(MAGIC)?;
    out.flush()
}

/// Reads the metadata of an artifact after checking its trailer, in two `pread`s.
pub(crate) fn read(file: &File) -> Result<Metadata, InvalidArtifact> {
    let (trailer, _) = Trailer::of(file)?;
    let mut json = vec![0; trailer.json_length as usize];
    file.read_exact_at(&mut json, trailer.image_length).map_err(InvalidArtifact::Read)?;
    serde_json::from_slice(&json).map_err(InvalidArtifact::Metadata)
}

/// Reads the metadata of an artifact after checking every byte of it.
pub(crate) fn verify(file: &File) -> Result<Metadata, InvalidArtifact> {
    let (trailer, length) = Trailer::of(file)?;
    let mut hash = Sha256::new();
    let mut buffer = vec![0; 256 << 10];
    let mut offset = 0;
    let end = length - TRAILER as u64;
    while offset < end {
        let want = buffer.len().min(usize::try_from(end - offset).unwrap_or(usize::MAX));
        let chunk = &mut buffer[..want];
        file.read_exact_at(chunk, offset).map_err(InvalidArtifact::Read)?;
        hash.update(&*chunk);
        offset += want as u64;
    }
    if hash.finalize().as_slice() != trailer.hash {
        return Err(InvalidArtifact::Checksum);
    }
    read(file)
}

struct Trailer {
    image_length: u64,
    json_length: u32,
    hash: [u8; 32],
}

impl Trailer {
    /// The trailer of `file`, whose lengths fit the file, and the file's length.
    fn of(file: &File) -> Result<(Self, u64), InvalidArtifact> {
        let length = file.metadata().map_err(InvalidArtifact::Read)?.len();
        let start = length.checked_sub(TRAILER as u64).ok_or(InvalidArtifact::Short(length))?;
        let mut bytes = [0; TRAILER];
        file.read_exact_at(&mut bytes, start).map_err(InvalidArtifact::Read)?;
        let trailer = Self::parse(&bytes)?;
        if trailer.image_length.checked_add(u64::from(trailer.json_length)) != Some(start) {
            return Err(InvalidArtifact::Length(length));
        }
        Ok((trailer, length))
    }

    fn parse(bytes: &[u8; TRAILER]) -> Result<Self, InvalidArtifact> {
        let (image_length, rest) = bytes.split_first_chunk().expect("the trailer has this field");
        let (json_length, rest) = rest.split_first_chunk().expect("the trailer has this field");
        let (version, rest) = rest.split_first_chunk().expect("the trailer has this field");
        let (hash, magic) = rest.split_first_chunk().expect("the trailer has this field");
        if magic != MAGIC {
            return Err(InvalidArtifact::Magic);
        }
        let version = u32::from_le_bytes(*version);
        if version != VERSION {
            return Err(InvalidArtifact::Version(version));
        }
        let json_length = u32::from_le_bytes(*json_length);
        if json_length > METADATA_LIMIT {
            return Err(InvalidArtifact::Length(u64::from(json_length)));
        }
        Ok(Self { image_length: u64::from_le_bytes(*image_length), json_length, hash: *hash })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> (File, Metadata) {
        let metadata =
            Metadata { kind: Kind::Module, target: Target::Command, profile: Profile::default(), resources: None };
        let mut file = tempfile::tempfile().expect("a temporary file");
        write(&mut file, b"image", &metadata).expect("writing");
        (file, metadata)
    }

    #[test]
    fn what_is_written_is_read() {
        let (file, metadata) = sample();
        assert_eq!(read(&file).expect("valid"), metadata);
        assert_eq!(verify(&file).expect("valid"), metadata);
    }

    #[test]
    fn damage_is_noticed() {
        let (file, _) = sample();
        let length = file.metadata().expect("stat").len();
        file.write_all_at(b"X", 2).expect("write");
        assert!(matches!(verify(&file), Err(InvalidArtifact::Checksum)));
        for shorter in [length - 1, length / 2, 3, 0] {
            file.set_len(shorter).expect("truncate");
            assert!(read(&file).is_err(), "{shorter} of {length} bytes");
        }
    }

    #[test]
    fn hostile_lengths_are_refused() {
        let (file, _) = sample();
        let start = file.metadata().expect("stat").len() - TRAILER as u64;
        file.write_all_at(&u64::MAX.to_le_bytes(), start).expect("write");
        assert!(matches!(read(&file), Err(InvalidArtifact::Length(_))));
        file.write_all_at(&u32::MAX.to_le_bytes(), start + 8).expect("write");
        assert!(matches!(read(&file), Err(InvalidArtifact::Length(_))));
    }
}
