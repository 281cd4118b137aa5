//! Streams on their way in: decompressed by their first bytes, hashed, bounded.

use std::io::{self, BufRead, BufReader, Read};

use drua_types::Digest;
use flate2::bufread::MultiGzDecoder;
use sha2::{Digest as _, Sha256};

use crate::limits::Budget;

const BUFFER_BYTES: usize = 128 << 10;

/// How a stream is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Compression {
    Plain,
    Gzip,
    Zstd,
}

/// The stream is compressed in a way that drua does not read.
#[derive(Debug, thiserror::Error)]
#[error("{0} compression is not supported: use gzip, zstd or none")]
struct UnsupportedCompression(&'static str);

/// The stream is longer than the limit.
#[derive(Debug, thiserror::Error)]
#[error("content is larger than the limit of {0} bytes")]
pub(crate) struct TooLong(pub(crate) u64);

/// A decompressing reader. Decompression happens in this process, never by a program that an image could bring along.
pub(crate) struct Decoder<'a> {
    pub(crate) compression: Compression,
    inner: Box<dyn Read + 'a>,
}

impl<'a> Decoder<'a> {
    /// Looks at the first bytes and chooses the decoder.
    pub(crate) fn new(reader: impl Read + 'a) -> io::Result<Self> {
        // BufReader may return fewer bytes than the magic from one short read, so the start is read apart.
        let mut reader = reader;
        let mut start = Vec::with_capacity(6);
        reader.by_ref().take(6).read_to_end(&mut start)?;
        let compression = sniff(&start)?;
        let whole = BufReader::with_capacity(BUFFER_BYTES, io::Cursor::new(start).chain(reader));
        let inner: Box<dyn Read + 'a> = match compression {
            Compression::Plain => Box::new(whole),
            Compression::Gzip => Box::new(MultiGzDecoder::new(whole)),
            Compression::Zstd => Box::new(zstd_decoder(whole)?),
        };
        Ok(Self { compression, inner })
    }
}

impl Read for Decoder<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.inner.read(buffer)
    }
}

fn zstd_decoder<R: BufRead>(reader: R) -> io::Result<zstd::Decoder<'static, R>> {
    let mut decoder = zstd::Decoder::with_buffer(reader)?;
    // 128 MiB, what the zstd program accepts without a flag; a stream cannot make us allocate more.
    decoder.window_log_max(27)?;
    Ok(decoder)
}

fn sniff(start: &[u8]) -> io::Result<Compression> {
    let unsupported = |name| Err(io::Error::new(io::ErrorKind::Unsupported, UnsupportedCompression(name)));
    match start {
        [0x1f, 0x8b, ..] => Ok(Compression::Gzip),
        // A frame, or one of the skippable frames that may stand before it.
        [0x28, 0xb5, 0x2f, 0xfd, ..] | [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..] => Ok(Compression::Zstd),
        [b'B', b'Z', b'h', ..] => unsupported("bzip2"),
        [0xfd, b'7', b'z', b'X', b'Z', 0] => unsupported("xz"),
        _ => Ok(Compression::Plain),
    }
}

/// Hashes and counts what is read through it, and fails once that is more than the limit.
pub(crate) struct Meter<R> {
    inner: R,
    hash: Sha256,
    pub(crate) bytes: u64,
    limit: u64,
    budget: Option<Budget>,
}

impl<R: Read> Meter<R> {
    pub(crate) fn new(inner: R, limit: u64) -> Self {
        Self { inner, hash: Sha256::new(), bytes: 0, limit, budget: None }
    }

    /// What is read also counts towards an operation's budget.
    pub(crate) fn charged(inner: R, budget: &Budget) -> Self {
        Self { budget: Some(budget.clone()), ..Self::new(inner, budget.limits.unpacked_bytes) }
    }

    /// Reads to the end.
    pub(crate) fn drain(&mut self) -> io::Result<()> {
        let mut buffer = vec![0; BUFFER_BYTES];
        loop {
            match self.read(&mut buffer) {
                Ok(0) => return Ok(()),
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// The digest of everything that was read.
    pub(crate) fn digest(self) -> Digest {
        Digest::from_sha256(self.hash.finalize().into())
    }
}

impl<R: Read> Read for Meter<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        self.hash.update(&buffer[..read]);
        self.bytes += read as u64;
        if self.bytes > self.limit {
            return Err(io::Error::new(io::ErrorKind::FileTooLarge, TooLong(self.limit)));
        }
        if let Some(budget) = &self.budget {
            budget.stream(read as u64).map_err(|error| io::Error::new(io::ErrorKind::FileTooLarge, error))?;
        }
        Ok(read)
    }
}
