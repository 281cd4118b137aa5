//! One source's data as one immutable file.
//!
//! ```text
//!  offset  bytes
//!  0       8     "druaadv\0"
//!  8       …     blocks: zstd, each with its checksum; inside, entries in ascending order of keys:
//!                  u16 key length · key · u32 value length · value          (little endian)
//!  n       …     index: zstd of JSON: what the source is, and for each table the first key and place of each block
//!  end-48  8     n
//!  end-40  4     bytes of the index
//!  end-36  4     version of the format
//!  end-32  32    SHA-256 of the index and of the 16 bytes before
//! ```
//!
//! Opening reads the end and the index. A lookup reads one block of some 64 KiB, and the last ones stay in memory.

use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::io;
use std::rc::Rc;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::importer::Format;
use super::record::{Advisory, Affected, Epss, Exploited};
use super::{Cycle, TagGroup};

const MAGIC: &[u8; 8] = b"druaadv\0";
/// The version of the format that this crate writes, and the only one that it reads.
pub const VERSION: u32 = 1;
const TRAILER: usize = 48;
/// Uncompressed bytes of a block, after which the next one begins.
const BLOCK_BYTES: usize = 64 << 10;
/// The longest block that is read: one key may have a large value.
const MAX_BLOCK_BYTES: usize = 64 << 20;
const MAX_INDEX_BYTES: usize = 256 << 20;
const CACHED_BLOCKS: usize = 32;
const COMPRESSION: i32 = 9;

/// Reads at places of a file. Implemented by what holds the segment: a file, or bytes in memory.
pub trait ReadAt {
    /// Bytes of the whole.
    fn size(&self) -> u64;

    /// Fills `buffer` with what stands at `offset`.
    ///
    /// # Errors
    /// Reading fails, or there are fewer bytes.
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()>;
}

impl ReadAt for Vec<u8> {
    fn size(&self) -> u64 {
        self.len() as u64
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        let start = usize::try_from(offset).map_err(|_| io::ErrorKind::UnexpectedEof)?;
        let end = start.checked_add(buffer.len()).ok_or(io::ErrorKind::UnexpectedEof)?;
        buffer.copy_from_slice(self.get(start..end).ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }
}

/// A segment cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum SegmentError {
    /// The file could not be read.
    #[error("cannot read {what} of the advisory database's segment")]
    Read {
        /// Which part.
        what: &'static str,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The file is something else, or is cut off.
    #[error("the file is no segment of an advisory database, or it is damaged: {reason}")]
    Damaged {
        /// What is wrong.
        reason: &'static str,
    },
    /// The file was written by another version.
    #[error("the segment has format {found}; this version of drua reads format {VERSION}")]
    Version {
        /// The file's version.
        found: u32,
    },
    /// A block or the index could not be unpacked.
    #[error("cannot unpack {what} of the advisory database's segment")]
    Unpack {
        /// Which part.
        what: &'static str,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A record is not what it should be.
    #[error("cannot understand the record `{key}` of the advisory database")]
    Record {
        /// Its key.
        key: String,
        /// Why.
        #[source]
        source: serde_json::Error,
    },
}

/// What a segment is about.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct SegmentInfo {
    /// Name of the source: `debian`, `osv-pypi`.
    pub source: String,
    /// The shapes of the files it was made of.
    pub formats: Vec<Format>,
    /// When the data was last changed, as it says itself: RFC 3339 or a date. Empty when it says nothing.
    pub data_date: String,
    /// When it was imported: RFC 3339.
    pub imported: String,
    /// Where it came from: a URL or a path's last part.
    #[serde(default)]
    pub origin: String,
    /// `ETag` or `Last-Modified` of the download, for the next one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub validator: Option<String>,
    /// SHA-256 of what was imported, when it was one file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha256: Option<String>,
    /// Entries about packages, for each ecosystem with its release.
    pub ecosystems: BTreeMap<String, u64>,
    /// Advisories, or other records.
    pub records: u64,
    /// Files that could not be read at the import.
    #[serde(default)]
    pub problems: u64,
}

#[derive(Debug, Serialize, Deserialize)]
struct Index {
    info: SegmentInfo,
    tables: BTreeMap<String, Vec<Block>>,
}

/// First key, offset, compressed bytes, uncompressed bytes.
#[derive(Debug, Serialize, Deserialize)]
struct Block(String, u64, u32, u32);

/// Tables of a segment.
mod table {
    pub(super) const AFFECTED: &str = "affected";
    pub(super) const ADVISORIES: &str = "advisories";
    pub(super) const ALIASES: &str = "aliases";
    pub(super) const EXPLOITED: &str = "exploited";
    pub(super) const EPSS: &str = "epss";
    pub(super) const CYCLES: &str = "cycles";
    pub(super) const IMAGES: &str = "images";
}

/// The key of a package: ecosystem with release, then the normalised name.
fn package_key(ecosystem: &str, name: &str) -> String {
    format!("{ecosystem}\u{1}{name}")
}

/// Collects one source's records, then writes the segment.
#[derive(Debug, Default)]
pub struct SegmentBuilder {
    affected: BTreeMap<String, Vec<Affected>>,
    advisories: BTreeMap<String, Advisory>,
    exploited: BTreeMap<String, Exploited>,
    epss: BTreeMap<String, Epss>,
    cycles: BTreeMap<String, Vec<Cycle>>,
    images: BTreeMap<String, Vec<TagGroup>>,
}

impl SegmentBuilder {
    /// Adds an advisory, or replaces what stands under its id.
    pub fn advisory(&mut self, advisory: Advisory) {
        self.advisories.insert(advisory.id.clone(), advisory);
    }

    /// Adds the scores and words of an advisory that several files describe in part; the first text stays.
    pub fn merge_advisory(&mut self, advisory: Advisory) {
        match self.advisories.get_mut(&advisory.id) {
            Some(known) => {
                known.severity = known.severity.max(advisory.severity);
                if known.summary.is_empty() {
                    known.summary = advisory.summary;
                }
            }
            None => self.advisory(advisory),
        }
    }

    /// Says which versions of a package an advisory is about.
    pub fn affected(&mut self, ecosystem: &str, name: &str, affected: Affected) {
        self.affected.entry(package_key(ecosystem, name)).or_default().push(affected);
    }

    /// Adds an entry of a catalog of exploited vulnerabilities.
    pub fn exploited(&mut self, id: &str, exploited: Exploited) {
        self.exploited.insert(id.to_owned(), exploited);
    }

    /// Adds a probability.
    pub fn epss(&mut self, id: &str, epss: Epss) {
        self.epss.insert(id.to_owned(), epss);
    }

    /// Adds the release cycles of a product.
    pub fn cycles(&mut self, product: &str, cycles: Vec<Cycle>) {
        self.cycles.insert(product.to_owned(), cycles);
    }

    /// Adds the tags of an official image.
    pub fn images(&mut self, repository: &str, groups: Vec<TagGroup>) {
        self.images.insert(repository.to_owned(), groups);
    }

    /// Whether nothing was added.
    pub fn is_empty(&self) -> bool {
        self.records() == 0
    }

    fn records(&self) -> u64 {
        let counts =
            [self.advisories.len(), self.exploited.len(), self.epss.len(), self.cycles.len(), self.images.len()];
        counts.iter().sum::<usize>() as u64
    }

    /// Forgets an advisory and all that it says about packages: before its new form is added, or because it was withdrawn.
    pub fn remove_advisories(&mut self, ids: &std::collections::HashSet<String>) {
        self.advisories.retain(|id, _| !ids.contains(id));
        for list in self.affected.values_mut() {
            list.retain(|affected| !ids.contains(&affected.id));
        }
        self.affected.retain(|_, list| !list.is_empty());
    }

    /// Everything that an older segment holds, for an update that brings only what changed.
    ///
    /// # Errors
    /// The segment is damaged.
    pub fn from_segment(segment: &Segment) -> Result<Self, SegmentError> {
        fn read<T: serde::de::DeserializeOwned>(
            segment: &Segment,
            name: &str,
        ) -> Result<BTreeMap<String, T>, SegmentError> {
            let mut map = BTreeMap::new();
            segment.each(name, |key, value| {
                let parsed = serde_json::from_slice(value);
                let value = parsed.map_err(|source| SegmentError::Record { key: key.to_owned(), source })?;
                map.insert(key.to_owned(), value);
                Ok(())
            })?;
            Ok(map)
        }
        Ok(Self {
            affected: read(segment, table::AFFECTED)?,
            advisories: read(segment, table::ADVISORIES)?,
            exploited: read(segment, table::EXPLOITED)?,
            epss: read(segment, table::EPSS)?,
            cycles: read(segment, table::CYCLES)?,
            images: read(segment, table::IMAGES)?,
        })
    }

    /// Writes the segment. `info`'s counts are filled in.
    ///
    /// # Errors
    /// Compression fails, which it does for want of memory only; or `out` cannot be written.
    pub fn write(self, mut info: SegmentInfo, out: &mut impl io::Write) -> io::Result<SegmentInfo> {
        info.records = self.records();
        info.ecosystems.clear();
        for (key, list) in &self.affected {
            let ecosystem = key.split('\u{1}').next().unwrap_or_default();
            *info.ecosystems.entry(ecosystem.to_owned()).or_default() += list.len() as u64;
        }
        let mut aliases: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for advisory in self.advisories.values() {
            for alias in advisory.aliases.iter().chain(&advisory.upstream) {
                aliases.entry(alias).or_default().push(&advisory.id);
            }
        }
        let mut writer = Writer { out, offset: MAGIC.len() as u64, tables: BTreeMap::new() };
        writer.out.write_all(MAGIC)?;
        writer.table(table::AFFECTED, &self.affected)?;
        writer.table(table::ADVISORIES, &self.advisories)?;
        let aliases = aliases.into_iter().map(|(alias, ids)| (alias.to_owned(), ids)).collect();
        writer.table(table::ALIASES, &aliases)?;
        writer.table(table::EXPLOITED, &self.exploited)?;
        writer.table(table::EPSS, &self.epss)?;
        writer.table(table::CYCLES, &self.cycles)?;
        writer.table(table::IMAGES, &self.images)?;
        writer.finish(info)
    }
}

struct Writer<'w, W> {
    out: &'w mut W,
    offset: u64,
    tables: BTreeMap<String, Vec<Block>>,
}

impl<W: io::Write> Writer<'_, W> {
    fn table<T: Serialize>(&mut self, name: &str, entries: &BTreeMap<String, T>) -> io::Result<()> {
        let mut blocks = Vec::new();
        let mut raw = Vec::with_capacity(BLOCK_BYTES * 2);
        let mut first = String::new();
        for (key, value) in entries {
            let value = serde_json::to_vec(value)?;
            // Keys longer than this are no names; the importer does not let them through.
            let Ok(key_length) = u16::try_from(key.len()) else { continue };
            let Ok(value_length) = u32::try_from(value.len()) else { continue };
            if raw.is_empty() {
                first.clone_from(key);
            }
            raw.extend(key_length.to_le_bytes());
            raw.extend(key.as_bytes());
            raw.extend(value_length.to_le_bytes());
            raw.extend(value);
            if raw.len() >= BLOCK_BYTES {
                blocks.push(self.block(&first, &raw)?);
                raw.clear();
            }
        }
        if !raw.is_empty() {
            blocks.push(self.block(&first, &raw)?);
        }
        self.tables.insert(name.to_owned(), blocks);
        Ok(())
    }

    fn block(&mut self, first: &str, raw: &[u8]) -> io::Result<Block> {
        let packed = compress(raw)?;
        self.out.write_all(&packed)?;
        let too_large = |_| io::Error::new(io::ErrorKind::InvalidData, "a block of more than 4 GiB");
        let length = u32::try_from(packed.len()).map_err(too_large)?;
        let block = Block(first.to_owned(), self.offset, length, u32::try_from(raw.len()).map_err(too_large)?);
        self.offset += u64::from(length);
        Ok(block)
    }

    fn finish(self, info: SegmentInfo) -> io::Result<SegmentInfo> {
        let index = Index { info, tables: self.tables };
        let packed = compress(&serde_json::to_vec(&index)?)?;
        let length = u32::try_from(packed.len()).map_err(|_| io::Error::other("an index of more than 4 GiB"))?;
        let mut trailer = Vec::with_capacity(TRAILER);
        trailer.extend(self.offset.to_le_bytes());
        trailer.extend(length.to_le_bytes());
        trailer.extend(VERSION.to_le_bytes());
        let hash = Sha256::new().chain_update(&packed).chain_update(&trailer).finalize();
        trailer.extend(hash);
        self.out.write_all(&packed)?;
        self.out.write_all(&trailer)?;
        self.out.flush()?;
        Ok(index.info)
    }
}

fn compress(raw: &[u8]) -> io::Result<Vec<u8>> {
    let mut compressor = zstd::bulk::Compressor::new(COMPRESSION)?;
    compressor.include_checksum(true)?;
    compressor.compress(raw)
}

/// An open segment.
pub struct Segment {
    reader: Box<dyn ReadAt>,
    index: Index,
    cache: RefCell<BlockCache>,
}

#[derive(Default)]
struct BlockCache {
    blocks: HashMap<u64, Rc<Vec<u8>>>,
    order: VecDeque<u64>,
}

impl std::fmt::Debug for Segment {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Segment").field("info", &self.index.info).finish_non_exhaustive()
    }
}

impl Segment {
    /// Opens a segment: reads its end and its index, and checks both.
    ///
    /// # Errors
    /// It cannot be read, is no segment, is damaged, or is of another version.
    pub fn open(reader: Box<dyn ReadAt>) -> Result<Self, SegmentError> {
        let size = reader.size();
        let damaged = |reason| SegmentError::Damaged { reason };
        let read = |offset, buffer: &mut [u8], what| {
            reader.read_at(offset, buffer).map_err(|source| SegmentError::Read { what, source })
        };
        let minimum = (MAGIC.len() + TRAILER) as u64;
        if size < minimum {
            return Err(damaged("it is too short"));
        }
        let mut magic = [0; MAGIC.len()];
        read(0, &mut magic, "the beginning")?;
        if &magic != MAGIC {
            return Err(damaged("it does not begin like one"));
        }
        let mut trailer = [0; TRAILER];
        read(size - TRAILER as u64, &mut trailer, "the end")?;
        let number =
            |range: std::ops::Range<usize>| trailer[range].iter().rev().fold(0_u64, |n, b| (n << 8) | u64::from(*b));
        let (offset, length, version) = (number(0..8), number(8..12), number(12..16));
        if version != u64::from(VERSION) {
            return Err(SegmentError::Version { found: u32::try_from(version).unwrap_or(u32::MAX) });
        }
        if offset.checked_add(length) != Some(size - TRAILER as u64) || length > MAX_INDEX_BYTES as u64 {
            return Err(damaged("its index is not where it should be"));
        }
        let mut packed = vec![0; usize::try_from(length).map_err(|_| damaged("its index is too long"))?];
        read(offset, &mut packed, "the index")?;
        let hash = Sha256::new().chain_update(&packed).chain_update(&trailer[..16]).finalize();
        if hash[..] != trailer[16..] {
            return Err(damaged("the checksum of its index is wrong"));
        }
        let raw = zstd::bulk::decompress(&packed, MAX_INDEX_BYTES);
        let raw = raw.map_err(|source| SegmentError::Unpack { what: "the index", source })?;
        let index = serde_json::from_slice(&raw);
        let index = index.map_err(|source| SegmentError::Record { key: "index".to_owned(), source })?;
        Ok(Self { reader, index, cache: RefCell::default() })
    }

    /// What it is about.
    pub fn info(&self) -> &SegmentInfo {
        &self.index.info
    }

    /// Bytes on disk.
    pub fn size(&self) -> u64 {
        self.reader.size()
    }

    /// Reads every block, and so checks every checksum.
    ///
    /// # Errors
    /// What is damaged first.
    pub fn verify(&self) -> Result<(), SegmentError> {
        for name in self.index.tables.keys() {
            self.each(name, |_, _| Ok(()))?;
        }
        Ok(())
    }

    /// What advisories say about a package; the name is the normalised one.
    ///
    /// # Errors
    /// The segment is damaged.
    pub fn affected(&self, ecosystem: &str, name: &str) -> Result<Vec<Affected>, SegmentError> {
        Ok(self.record(table::AFFECTED, &package_key(ecosystem, name))?.unwrap_or_default())
    }

    /// An advisory by its own id.
    ///
    /// # Errors
    /// The segment is damaged.
    pub fn advisory(&self, id: &str) -> Result<Option<Advisory>, SegmentError> {
        self.record(table::ADVISORIES, id)
    }

    /// Ids of advisories that name this one as an alias, or as what they are about.
    ///
    /// # Errors
    /// The segment is damaged.
    pub fn aliases(&self, id: &str) -> Result<Vec<String>, SegmentError> {
        Ok(self.record(table::ALIASES, id)?.unwrap_or_default())
    }

    /// The entry of a catalog of exploited vulnerabilities.
    ///
    /// # Errors
    /// The segment is damaged.
    pub fn exploited(&self, id: &str) -> Result<Option<Exploited>, SegmentError> {
        self.record(table::EXPLOITED, id)
    }

    /// How likely somebody tries.
    ///
    /// # Errors
    /// The segment is damaged.
    pub fn epss(&self, id: &str) -> Result<Option<Epss>, SegmentError> {
        self.record(table::EPSS, id)
    }

    /// A product's release cycles, the newest first.
    ///
    /// # Errors
    /// The segment is damaged.
    pub fn cycles(&self, product: &str) -> Result<Vec<Cycle>, SegmentError> {
        Ok(self.record(table::CYCLES, product)?.unwrap_or_default())
    }

    /// An official image's tags.
    ///
    /// # Errors
    /// The segment is damaged.
    pub fn images(&self, repository: &str) -> Result<Vec<TagGroup>, SegmentError> {
        Ok(self.record(table::IMAGES, repository)?.unwrap_or_default())
    }

    /// Whether the segment has a table with anything in it.
    pub(super) fn has(&self, format: Format) -> bool {
        self.index.info.formats.contains(&format)
    }

    /// Calls `each` with every package's key and what is said about it.
    ///
    /// # Errors
    /// The segment is damaged.
    pub fn each_affected(&self, mut each: impl FnMut(&str, &str, Vec<Affected>)) -> Result<(), SegmentError> {
        self.each(table::AFFECTED, |key, value| {
            let list = serde_json::from_slice(value);
            let list = list.map_err(|source| SegmentError::Record { key: key.to_owned(), source })?;
            let (ecosystem, name) = key.split_once('\u{1}').unwrap_or((key, ""));
            each(ecosystem, name, list);
            Ok(())
        })
    }

    fn record<T: serde::de::DeserializeOwned>(&self, name: &str, key: &str) -> Result<Option<T>, SegmentError> {
        let Some(blocks) = self.index.tables.get(name) else { return Ok(None) };
        // The last block whose first key is not greater.
        let after = blocks.partition_point(|block| block.0.as_str() <= key);
        let Some(block) = after.checked_sub(1).and_then(|at| blocks.get(at)) else { return Ok(None) };
        let raw = self.block(block)?;
        let mut found = None;
        entries(&raw, |entry, value| {
            if entry == key {
                found = Some(serde_json::from_slice(value));
            }
            Ok(())
        })?;
        found.transpose().map_err(|source| SegmentError::Record { key: key.to_owned(), source })
    }

    fn each(
        &self,
        name: &str,
        mut each: impl FnMut(&str, &[u8]) -> Result<(), SegmentError>,
    ) -> Result<(), SegmentError> {
        for block in self.index.tables.get(name).into_iter().flatten() {
            entries(&self.unpack(block)?, &mut each)?;
        }
        Ok(())
    }

    fn block(&self, block: &Block) -> Result<Rc<Vec<u8>>, SegmentError> {
        if let Some(raw) = self.cache.borrow().blocks.get(&block.1) {
            return Ok(Rc::clone(raw));
        }
        let raw = Rc::new(self.unpack(block)?);
        let mut cache = self.cache.borrow_mut();
        if cache.order.len() >= CACHED_BLOCKS
            && let Some(oldest) = cache.order.pop_front()
        {
            cache.blocks.remove(&oldest);
        }
        cache.order.push_back(block.1);
        cache.blocks.insert(block.1, Rc::clone(&raw));
        Ok(raw)
    }

    fn unpack(&self, block: &Block) -> Result<Vec<u8>, SegmentError> {
        let (length, raw_length) = (block.2 as usize, block.3 as usize);
        if length > MAX_BLOCK_BYTES || raw_length > MAX_BLOCK_BYTES {
            return Err(SegmentError::Damaged { reason: "a block is too long" });
        }
        let mut packed = vec![0; length];
        let read = self.reader.read_at(block.1, &mut packed);
        read.map_err(|source| SegmentError::Read { what: "a block", source })?;
        zstd::bulk::decompress(&packed, raw_length).map_err(|source| SegmentError::Unpack { what: "a block", source })
    }
}

/// Calls `each` with the entries of a block.
fn entries(raw: &[u8], mut each: impl FnMut(&str, &[u8]) -> Result<(), SegmentError>) -> Result<(), SegmentError> {
    let damaged = || SegmentError::Damaged { reason: "an entry reaches beyond its block" };
    let mut rest = raw;
    while !rest.is_empty() {
        let (length, tail) = rest.split_first_chunk::<2>().ok_or_else(damaged)?;
        let (key, tail) = tail.split_at_checked(usize::from(u16::from_le_bytes(*length))).ok_or_else(damaged)?;
        let (length, tail) = tail.split_first_chunk::<4>().ok_or_else(damaged)?;
        let (value, tail) = tail.split_at_checked(u32::from_le_bytes(*length) as usize).ok_or_else(damaged)?;
        let key = std::str::from_utf8(key).map_err(|_| SegmentError::Damaged { reason: "a key is no text" })?;
        each(key, value)?;
        rest = tail;
    }
    Ok(())
}
