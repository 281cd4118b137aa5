//! Streams on their way in: decompressed by their first bytes, hashed, bounded.

mod ahead;
mod gunzip;

pub(crate) use ahead::Ahead;

use std::io::{self, BufRead, BufReader, Read};

use drua_types::Digest;
use flate2::bufread::MultiGzDecoder;
use sha2::{Digest as _, Sha256};

use self::gunzip::Gunzip;
use crate::limits::Budget;

const BUFFER_BYTES: usize = 128 << 10;

/// How a stream is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Compression {
    Plain,
    Gzip,
    Zstd,
    Xz,
    Bzip2,
}

impl Compression {
    /// Whether image-spec has a media type for such layers, so that others read them too.
    pub(crate) fn is_common(self) -> bool {
        match self {
            Self::Plain | Self::Gzip | Self::Zstd => true,
            Self::Xz | Self::Bzip2 => false,
        }
    }
}

/// What an xz stream may make us allocate for its dictionary; `xz -9` needs half of it.
const XZ_MEMORY_BYTES: u64 = 128 << 20;

/// The stream is longer than the limit.
#[derive(Debug, thiserror::Error)]
#[error("content is larger than the limit of {0} bytes")]
pub(crate) struct TooLong(pub(crate) u64);

/// What to do about gzip's checksum.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Checksum {
    Compared,
    Ignored,
}

/// A decompressing reader. Decompression happens in this process, never by a program that an image could bring along.
pub(crate) struct Decoder<'a> {
    pub(crate) compression: Compression,
    inner: Box<dyn Read + 'a>,
}

impl<'a> Decoder<'a> {
    /// Looks at the first bytes and chooses the decoder.
    pub(crate) fn new(reader: impl Read + 'a) -> io::Result<Self> {
        Self::with(reader, Checksum::Compared)
    }

    /// For what is compared with a digest anyway: does not compute gzip's own checksum.
    pub(crate) fn unchecked(reader: impl Read + 'a) -> io::Result<Self> {
        Self::with(reader, Checksum::Ignored)
    }

    fn with(reader: impl Read + 'a, checksum: Checksum) -> io::Result<Self> {
        let (compression, whole) = look(reader)?;
        let whole = BufReader::with_capacity(BUFFER_BYTES, whole);
        let inner: Box<dyn Read + 'a> = match compression {
            Compression::Plain => Box::new(whole),
            Compression::Gzip => match checksum {
                Checksum::Compared => Box::new(MultiGzDecoder::new(whole)),
                Checksum::Ignored => Box::new(Gunzip::new(whole)),
            },
            Compression::Zstd => Box::new(zstd_decoder(whole)?),
            Compression::Xz => Box::new(xz_decoder(whole)?),
            Compression::Bzip2 => Box::new(bzip2::bufread::MultiBzDecoder::new(whole)),
        };
        Ok(Self { compression, inner })
    }
}

/// The stream as a layer that others read, too: what is compressed in a way that image-spec does not know is decompressed.
pub(crate) fn common<'a>(reader: impl Read + 'a) -> io::Result<Box<dyn Read + 'a>> {
    let (compression, whole) = look(reader)?;
    match compression.is_common() {
        true => Ok(Box::new(whole)),
        false => Ok(Box::new(Decoder::new(whole)?)),
    }
}

/// Looks at the first bytes; what comes back yields them again.
fn look<'a>(mut reader: impl Read + 'a) -> io::Result<(Compression, impl Read + 'a)> {
    // One read may return fewer bytes than the magic has.
    let mut start = Vec::with_capacity(6);
    reader.by_ref().take(6).read_to_end(&mut start)?;
    let compression = sniff(&start);
    Ok((compression, io::Cursor::new(start).chain(reader)))
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

fn xz_decoder<R: BufRead>(reader: R) -> io::Result<liblzma::bufread::XzDecoder<R>> {
    // Streams may follow each other, as members of gzip may.
    let stream = liblzma::stream::Stream::new_stream_decoder(XZ_MEMORY_BYTES, liblzma::stream::CONCATENATED)?;
    Ok(liblzma::bufread::XzDecoder::new_stream(reader, stream))
}

fn sniff(start: &[u8]) -> Compression {
    match start {
        [0x1f, 0x8b, ..] => Compression::Gzip,
        // A frame, or one of the skippable frames that may stand before it.
        [0x28, 0xb5, 0x2f, 0xfd, ..] | [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..] => Compression::Zstd,
        [b'B', b'Z', b'h', b'1'..=b'9', 0x31 | 0x17, ..] => Compression::Bzip2,
        [0xfd, b'7', b'z', b'X', b'Z', 0] => Compression::Xz,
        _ => Compression::Plain,
    }
}

/// The stream has much more in it than its compressed size allows for.
#[derive(Debug, thiserror::Error)]
#[error("{compressed} bytes decompress to more than {limit} bytes, as decompression bombs do")]
struct Bomb {
    compressed: u64,
    limit: u64,
}

/// Hashes and counts what is read through it, and fails once that is more than the limit.
pub(crate) struct Meter<R> {
    inner: R,
    hash: Sha256,
    pub(crate) bytes: u64,
    limit: u64,
    budget: Option<Budget>,
    /// Bytes that the stream was decompressed from, where the limit follows from them.
    compressed: Option<u64>,
}

impl<R: Read> Meter<R> {
    pub(crate) fn new(inner: R, limit: u64) -> Self {
        Self { inner, hash: Sha256::new(), bytes: 0, limit, budget: None, compressed: None }
    }

    /// What is read also counts towards an operation's budget, and may not be out of all proportion to the `compressed`
    /// bytes that it comes from.
    pub(crate) fn charged(inner: R, budget: &Budget, compressed: u64) -> Self {
        let limit = budget.limits.decompressed(compressed);
        let proportion = (limit < budget.limits.unpacked_bytes).then_some(compressed);
        Self { budget: Some(budget.clone()), compressed: proportion, ..Self::new(inner, limit) }
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
            let limit = self.limit;
            return Err(match self.compressed {
                Some(compressed) => io::Error::new(io::ErrorKind::FileTooLarge, Bomb { compressed, limit }),
                None => io::Error::new(io::ErrorKind::FileTooLarge, TooLong(limit)),
            });
        }
        if let Some(budget) = &self.budget {
            budget.stream(read as u64).map_err(|error| io::Error::new(io::ErrorKind::FileTooLarge, error))?;
        }
        Ok(read)
    }
}
