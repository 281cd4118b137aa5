//! One layer or one directory in, its facts out, in one pass: nothing is written to disk, and only files that matter are
//! held in memory, one at a time.

use std::io::{self, BufReader, Read, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::catalog::{self, Cataloger, Found, Input};
use crate::facts::{FileFacts, Finding, LayerFacts, path_hash};
use crate::interest::{self, Interest, MAGIC_LENGTH, is_program};
use crate::limits::Limits;
use crate::model::{Note, NoteKind};
use crate::secrets;
use crate::text::clean;

/// What an entry of a file tree is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EntryKind {
    /// A regular file.
    File,
    /// A directory.
    Directory,
    /// A symbolic or hard link, a device, a pipe.
    Other,
}

/// An entry of a file tree.
#[derive(Debug, Clone, Copy)]
pub struct Entry<'a> {
    /// Path, absolute or relative to the root.
    pub path: &'a str,
    /// What it is.
    pub kind: EntryKind,
    /// Bytes.
    pub size: u64,
}

/// Whether names that begin with `.wh.` remove what lies below (OCI image-spec, layer.md#whiteouts).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Whiteouts {
    /// In layers.
    Apply,
    /// In whole file systems, where such a file is a file.
    Ignore,
}

/// What a scan yields.
#[derive(Debug, Clone, Default)]
pub struct Scanned {
    /// What the layer says.
    pub facts: LayerFacts,
    /// Every entry, for the layer view: lines of [`listing_line`], compressed by zstd.
    pub listing: Vec<u8>,
}

/// A scan under way.
pub struct Scanner<'l> {
    limits: &'l Limits,
    whiteouts: Whiteouts,
    facts: LayerFacts,
    listing: zstd::stream::write::Encoder<'static, Vec<u8>>,
    /// Reused for file after file.
    buffer: Vec<u8>,
}

impl std::fmt::Debug for Scanner<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Scanner").field("facts", &self.facts).finish_non_exhaustive()
    }
}

impl<'l> Scanner<'l> {
    /// Begins a scan.
    ///
    /// # Errors
    /// When the compressor cannot be set up.
    pub fn new(limits: &'l Limits, whiteouts: Whiteouts) -> io::Result<Self> {
        let listing = zstd::stream::write::Encoder::new(Vec::new(), 1)?;
        Ok(Self { limits, whiteouts, facts: LayerFacts::default(), listing, buffer: Vec::new() })
    }

    /// Reads a layer: a tar, plain or compressed by gzip or zstd. Damage ends it early, with a note.
    pub fn layer(&mut self, stream: impl Read) {
        if let Err(error) = self.tar(stream) {
            self.note(None, format!("the layer cannot be read to its end: {}", clean(&error.to_string(), 300)));
        }
    }

    fn tar(&mut self, stream: impl Read) -> io::Result<()> {
        let mut stream = BufReader::with_capacity(128 << 10, stream);
        let first = io::BufRead::fill_buf(&mut stream)?.get(..4).unwrap_or_default().to_vec();
        let plain: Box<dyn Read + '_> = match first.as_slice() {
            [0x1f, 0x8b, ..] => Box::new(flate2::bufread::MultiGzDecoder::new(stream)),
            [0x28, 0xb5, 0x2f, 0xfd] => Box::new(zstd::stream::read::Decoder::with_buffer(stream)?),
            [b'\0', b'a', b's', b'm'] => return self.bare_wasm(stream),
            [b'B', b'Z', b'h', _] | [0xfd, b'7', b'z', _] => {
                return Err(io::Error::other("it is compressed in a way that is not supported"));
            }
            _ => Box::new(stream),
        };
        let mut archive = tar::Archive::new(plain.take(self.limits.layer_bytes));
        for entry in archive.entries()? {
            let mut entry = entry?;
            let kind = match entry.header().entry_type() {
                tar::EntryType::Regular | tar::EntryType::Continuous | tar::EntryType::GNUSparse => EntryKind::File,
                tar::EntryType::Directory => EntryKind::Directory,
                tar::EntryType::XGlobalHeader => continue,
                _ => EntryKind::Other,
            };
            let path = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
            let size = entry.size();
            self.entry(Entry { path: &path, kind, size }, &mut entry)?;
            if self.facts.entries >= self.limits.entries {
                return Err(io::Error::other(format!("it has more than {} entries", self.limits.entries)));
            }
        }
        Ok(())
    }

    /// Layers of Wasm artifacts are the component itself.
    fn bare_wasm(&mut self, mut stream: impl Read) -> io::Result<()> {
        let size = u64::MAX;
        let mut counted = stream.by_ref();
        self.entry(Entry { path: "/module.wasm", kind: EntryKind::File, size }, &mut counted)
    }

    /// Takes one entry; `content` need not be read to its end, and is not when the file does not matter.
    ///
    /// # Errors
    /// When the content cannot be read. What it says is never an error.
    pub fn entry(&mut self, entry: Entry<'_>, content: &mut dyn Read) -> io::Result<()> {
        let Some(path) = normal(entry.path) else {
            if entry.path.split('/').any(|part| part == "..") {
                self.note(None, format!("an entry is left out: `{}`", clean(entry.path, 200)));
            }
            return Ok(());
        };
        if path.len() > self.limits.name_bytes {
            self.note(None, format!("an entry with a name of {} bytes is left out", path.len()));
            return Ok(());
        }
        self.facts.entries += 1;
        if self.whiteouts == Whiteouts::Apply && self.whiteout(&path) {
            return Ok(());
        }
        let is_directory = entry.kind == EntryKind::Directory;
        self.facts.hashes.push(path_hash(&path) | u64::from(is_directory));
        if entry.kind != EntryKind::File {
            self.list(entry.kind, 0, &path)?;
            return Ok(());
        }
        let read = self.file(&path, entry.size, content)?;
        let size = if entry.size == u64::MAX { read } else { entry.size };
        self.facts.size += size;
        self.list(entry.kind, size, &path)
    }

    fn list(&mut self, kind: EntryKind, size: u64, path: &str) -> io::Result<()> {
        let letter = match kind {
            EntryKind::File => 'f',
            EntryKind::Directory => 'd',
            EntryKind::Other => 'l',
        };
        // The one character that would break a line.
        writeln!(self.listing, "{letter}{size}\t{}", path.replace('\n', "\u{fffd}"))
    }

    fn whiteout(&mut self, path: &str) -> bool {
        let (dir, name) = path.rsplit_once('/').unwrap_or(("", path));
        match name.strip_prefix(".wh.") {
            Some(".wh..opq") => self.facts.opaque.push(dir.to_owned()),
            // aufs' own files.
            Some(rest) if rest.starts_with(".wh.") => {}
            Some(rest) if !rest.is_empty() => self.facts.whiteouts.push(format!("{dir}/{rest}")),
            _ => return false,
        }
        true
    }

    /// Looks into a file as far as it matters; returns how many bytes were read.
    fn file(&mut self, path: &str, size: u64, content: &mut dyn Read) -> io::Result<u64> {
        let interest = interest::of(path);
        self.buffer.clear();
        let limit = match interest {
            Interest::Document(_) => self.limits.document_bytes,
            Interest::Archive | Interest::Program => self.limits.binary_bytes,
            Interest::Other if secrets::is_candidate(path, size) => secrets::MAX_BYTES,
            Interest::Other => return Ok(0),
        };
        let may_be_secret = secrets::is_candidate(path, size);
        if matches!(interest, Interest::Program) {
            content.take(MAGIC_LENGTH as u64).read_to_end(&mut self.buffer)?;
            if !is_program(&self.buffer) && !may_be_secret {
                return Ok(self.buffer.len() as u64);
            }
        }
        if size != u64::MAX && size > limit {
            self.note(
                Some(path),
                format!("its {size} bytes are more than the limit of {limit}; it was not looked into"),
            );
            self.facts.files.push(FileFacts { path: path.to_owned(), findings: Vec::new() });
            return Ok(0);
        }
        let mut buffer = std::mem::take(&mut self.buffer);
        let result = content.take(limit + 1 - buffer.len() as u64).read_to_end(&mut buffer);
        if result.is_ok() {
            self.look(path, interest, &buffer, may_be_secret);
        }
        let read = buffer.len() as u64;
        // A buffer that one giant has stretched is given back.
        if buffer.capacity() <= 64 << 20 {
            self.buffer = buffer;
        }
        result.map(|_| read)
    }

    fn look(&mut self, path: &str, interest: Interest, bytes: &[u8], may_be_secret: bool) {
        let cataloger: Option<Cataloger> = match interest {
            Interest::Document(cataloger) => Some(cataloger),
            Interest::Archive => Some(catalog::archive),
            Interest::Program if is_program(bytes) => Some(catalog::program),
            Interest::Program | Interest::Other => None,
        };
        let mut findings = Vec::new();
        if let Some(cataloger) = cataloger {
            let mut found = Found::new(path, self.limits);
            let input = Input { path, bytes };
            // A fault of ours must not hide the rest of the image.
            if catch_unwind(AssertUnwindSafe(|| cataloger(&input, &mut found))).is_err() {
                self.note(Some(path), "the cataloger failed on it; please report this".to_owned());
            } else {
                let (found, notes) = found.finish();
                findings = found;
                self.facts.notes.extend(notes);
            }
        }
        let is_document = matches!(interest, Interest::Document(_) | Interest::Archive);
        if may_be_secret && !is_program(bytes) {
            let secrets = secrets::find(path, bytes);
            findings.extend(secrets.into_iter().map(|(rule, line)| Finding::Secret { rule: rule.to_owned(), line }));
        }
        if is_document || !findings.is_empty() {
            self.facts.files.push(FileFacts { path: path.to_owned(), findings });
        }
    }

    fn note(&mut self, path: Option<&str>, text: String) {
        if self.facts.notes.len() < 1000 {
            let path = path.map(|path| clean(path, 400));
            self.facts.notes.push(Note { kind: NoteKind::Incomplete, path, text });
        }
    }

    /// Ends the scan.
    ///
    /// # Errors
    /// When the listing cannot be compressed.
    pub fn finish(mut self) -> io::Result<Scanned> {
        let facts = &mut self.facts;
        // Of entries with one name the last one counts.
        facts.files.reverse();
        facts.files.sort_by(|a, b| a.path.cmp(&b.path));
        facts.files.dedup_by(|later, first| later.path == first.path);
        for list in [&mut facts.whiteouts, &mut facts.opaque] {
            list.sort();
            list.dedup();
        }
        facts.notes.sort();
        facts.notes.dedup();
        facts.hashes.sort_unstable();
        facts.hashes.dedup();
        Ok(Scanned { facts: self.facts, listing: self.listing.finish()? })
    }
}

/// A line of a listing: what it is (`f`, `d`, `l`), its size and its path.
pub fn listing_line(line: &str) -> Option<(EntryKind, u64, &str)> {
    let (head, path) = line.split_once('\t')?;
    let kind = match head.get(..1)? {
        "f" => EntryKind::File,
        "d" => EntryKind::Directory,
        _ => EntryKind::Other,
    };
    Some((kind, head.get(1..)?.parse().ok()?, path))
}

/// `/usr/lib/x` of `./usr//lib/x/`; `None` for the root, and for what leaves it.
fn normal(path: &str) -> Option<String> {
    let mut normal = String::with_capacity(path.len() + 1);
    for part in path.split('/').filter(|part| !part.is_empty() && *part != ".") {
        if part == ".." {
            return None;
        }
        normal.push('/');
        normal.push_str(part);
    }
    Some(normal).filter(|path| !path.is_empty())
}
