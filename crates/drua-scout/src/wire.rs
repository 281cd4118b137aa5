//! How the confined scanner and its parent talk, over the child's stdin and stdout.
//!
//! ```text
//! request:  kind (1 byte), then chunks: length (u32 LE), bytes; a chunk of length 0 ends it
//! answer:   status (1 byte): 0 → facts, hashes, listing; 1 → message; each a length (u64 LE) and bytes
//! ```
//!
//! The same three parts, in the same order, are what the cache holds. Either side bounds what it takes from the other.

use std::io::{self, Read, Write};

use crate::facts::LayerFacts;
use crate::limits::Limits;
use crate::scan::{Entry, EntryKind, Scanned, Scanner, Whiteouts};

/// What is in a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Request {
    /// A layer's blob, as it is stored.
    Layer,
    /// A tar of a whole file system.
    FileSystem,
    /// Entries of a directory, written by [`write_entry`].
    Entries,
}

impl Request {
    fn code(self) -> u8 {
        match self {
            Self::Layer => b'L',
            Self::FileSystem => b'F',
            Self::Entries => b'E',
        }
    }

    fn from_code(code: u8) -> Option<Self> {
        [Self::Layer, Self::FileSystem, Self::Entries].into_iter().find(|request| request.code() == code)
    }
}

/// Facts of a layer with a million packages are a few hundred megabytes; more is refused.
const MAX_PART: u64 = 1 << 30;
/// Bytes of one chunk.
const CHUNK: usize = 256 << 10;

/// The parent's end of a request: what is written arrives as its content.
#[derive(Debug)]
pub struct RequestWriter<W: Write>(W);

impl<W: Write> RequestWriter<W> {
    /// Begins a request.
    ///
    /// # Errors
    /// When the child is gone.
    pub fn begin(mut pipe: W, request: Request) -> io::Result<Self> {
        pipe.write_all(&[request.code()])?;
        Ok(Self(pipe))
    }

    /// Ends it, and gives the pipe back.
    ///
    /// # Errors
    /// When the child is gone.
    pub fn end(mut self) -> io::Result<W> {
        self.0.write_all(&0_u32.to_le_bytes())?;
        self.0.flush()?;
        Ok(self.0)
    }
}

impl<W: Write> Write for RequestWriter<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let part = &bytes[..bytes.len().min(CHUNK)];
        if !part.is_empty() {
            self.0.write_all(&u32::try_from(part.len()).unwrap_or(0).to_le_bytes())?;
            self.0.write_all(part)?;
        }
        Ok(part.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

/// Writes an entry of a directory; `content` only for files that matter, and then whole.
///
/// # Errors
/// When the child is gone.
pub fn write_entry(pipe: &mut impl Write, entry: &Entry<'_>, content: &[u8]) -> io::Result<()> {
    let kind = match entry.kind {
        EntryKind::File => 0,
        EntryKind::Directory => 1,
        EntryKind::Other => 2,
    };
    let mut head = Vec::with_capacity(entry.path.len() + 32);
    head.extend_from_slice(&u32::try_from(entry.path.len()).unwrap_or(0).to_le_bytes());
    head.extend_from_slice(entry.path.as_bytes());
    head.push(kind);
    head.extend_from_slice(&entry.size.to_le_bytes());
    head.extend_from_slice(&(content.len() as u64).to_le_bytes());
    pipe.write_all(&head)?;
    pipe.write_all(content)
}

/// The child's side: answers requests until its input ends.
///
/// # Errors
/// When the parent is gone or talks nonsense.
pub fn serve(mut input: impl Read, mut output: impl Write) -> io::Result<()> {
    let limits = Limits::default();
    loop {
        let mut code = [0];
        if input.read(&mut code)? == 0 {
            return Ok(());
        }
        let request = Request::from_code(code[0]).ok_or_else(|| io::Error::other("unknown request"))?;
        let mut content = Chunks { input: &mut input, left: 0, is_ended: false };
        let scanned = answer(request, &mut content, &limits);
        // What the tar's end leaves over still has to be taken off the pipe.
        io::copy(&mut content, &mut io::sink())?;
        match scanned {
            Ok(scanned) => {
                output.write_all(&[0])?;
                write_scanned(&mut output, &scanned)?;
            }
            Err(error) => {
                output.write_all(&[1])?;
                write_part(&mut output, error.to_string().as_bytes())?;
            }
        }
        output.flush()?;
    }
}

fn answer(request: Request, content: &mut impl Read, limits: &Limits) -> io::Result<Scanned> {
    let whiteouts = if request == Request::Layer { Whiteouts::Apply } else { Whiteouts::Ignore };
    let mut scanner = Scanner::new(limits, whiteouts)?;
    match request {
        Request::Layer | Request::FileSystem => scanner.layer(content),
        Request::Entries => entries(content, &mut scanner)?,
    }
    scanner.finish()
}

fn entries(content: &mut impl Read, scanner: &mut Scanner<'_>) -> io::Result<()> {
    let mut content = io::BufReader::with_capacity(CHUNK, content);
    loop {
        let mut length = [0; 4];
        match content.read_exact(&mut length) {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(()),
            result => result?,
        }
        let mut path = vec![0; u32::from_le_bytes(length).min(1 << 16) as usize];
        content.read_exact(&mut path)?;
        let mut head = [0; 17];
        content.read_exact(&mut head)?;
        let number = |at: usize| u64::from_le_bytes(head[at..at + 8].try_into().unwrap_or_default());
        let kind = match head[0] {
            0 => EntryKind::File,
            1 => EntryKind::Directory,
            _ => EntryKind::Other,
        };
        let path = String::from_utf8_lossy(&path);
        let mut bytes = content.by_ref().take(number(9));
        let entry = Entry { path: &path, kind, size: number(1) };
        // Files that were not sent have nothing to be looked into.
        if number(9) > 0 || kind != EntryKind::File {
            scanner.entry(entry, &mut bytes)?;
        } else {
            scanner.entry(Entry { kind: EntryKind::Other, ..entry }, &mut bytes)?;
        }
        io::copy(&mut bytes, &mut io::sink())?;
    }
}

struct Chunks<R: Read> {
    input: R,
    left: usize,
    is_ended: bool,
}

impl<R: Read> Read for Chunks<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.left == 0 && !self.is_ended {
            let mut length = [0; 4];
            self.input.read_exact(&mut length)?;
            self.left = u32::from_le_bytes(length) as usize;
            self.is_ended = self.left == 0;
        }
        if self.is_ended || buffer.is_empty() {
            return Ok(0);
        }
        let most = buffer.len().min(self.left);
        let read = self.input.read(&mut buffer[..most])?;
        if read == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.left -= read;
        Ok(read)
    }
}

/// The parent's side: the answer to the request that was just ended.
///
/// # Errors
/// When the child is gone or failed; then with its message.
pub fn read_answer(input: &mut impl Read) -> io::Result<Scanned> {
    let mut status = [0];
    input.read_exact(&mut status)?;
    match status[0] {
        0 => read_scanned(input),
        _ => {
            let message = read_part(&mut input.take(1 << 16))?;
            Err(io::Error::other(crate::text::clean(&String::from_utf8_lossy(&message), 500)))
        }
    }
}

/// Writes the three parts of a scan.
///
/// # Errors
/// When the output fails.
pub fn write_scanned(output: &mut impl Write, scanned: &Scanned) -> io::Result<()> {
    let facts = serde_json::to_vec(&scanned.facts).map_err(io::Error::other)?;
    let hashes: Vec<u8> = scanned.facts.hashes.iter().flat_map(|hash| hash.to_le_bytes()).collect();
    write_part(output, &facts)?;
    write_part(output, &hashes)?;
    write_part(output, &scanned.listing)
}

/// Reads what [`write_scanned`] wrote.
///
/// # Errors
/// When it is cut off, too long, or not what it should be.
pub fn read_scanned(input: &mut impl Read) -> io::Result<Scanned> {
    let mut facts: LayerFacts = serde_json::from_slice(&read_part(input)?).map_err(io::Error::other)?;
    let hashes = read_part(input)?;
    let number = |bytes: &[u8]| bytes.try_into().map(u64::from_le_bytes).unwrap_or_default();
    facts.hashes = hashes.chunks_exact(8).map(number).collect();
    // Searched by halves.
    if !facts.hashes.is_sorted() {
        facts.hashes.sort_unstable();
    }
    Ok(Scanned { facts, listing: read_part(input)? })
}

fn write_part(output: &mut impl Write, bytes: &[u8]) -> io::Result<()> {
    output.write_all(&(bytes.len() as u64).to_le_bytes())?;
    output.write_all(bytes)
}

fn read_part(input: &mut impl Read) -> io::Result<Vec<u8>> {
    let mut length = [0; 8];
    input.read_exact(&mut length)?;
    let length = u64::from_le_bytes(length);
    if length > MAX_PART {
        return Err(io::Error::other("the scanner's answer is too long"));
    }
    let mut bytes = Vec::new();
    input.take(length).read_to_end(&mut bytes)?;
    if bytes.len() as u64 == length { Ok(bytes) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
}
