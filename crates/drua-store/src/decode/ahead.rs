//! A layer is decompressed and hashed in one thread while another makes files of it.
//!
//! ```text
//!  blob ─► decompress, hash (thread of its own) ══ blocks ══► tar, files (the caller's)
//! ```
//!
//! So one large layer keeps two cores busy. A few blocks are on the way at a time, and are used again.

use std::io::{self, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::thread::JoinHandle;

use drua_types::Digest;

use super::{Decoder, Meter};
use crate::limits::Budget;

const BLOCK_BYTES: usize = 256 << 10;
/// Blocks that the decompression may be ahead.
const AHEAD: usize = 3;
/// How many bytes of the blob pass between two tellings.
const TELL_BYTES: u64 = 512 << 10;

/// A decompressed layer on its way.
pub(crate) struct Ahead<'t> {
    blocks: Receiver<io::Result<Vec<u8>>>,
    used: Sender<Vec<u8>>,
    current: Vec<u8>,
    position: usize,
    /// Bytes of the blob that have been read.
    compressed: Arc<AtomicU64>,
    told: u64,
    tell: &'t mut dyn FnMut(u64),
    thread: JoinHandle<Option<Digest>>,
}

impl<'t> Ahead<'t> {
    /// Begins to decompress a blob of this size. `tell` hears how much of it is done.
    pub(crate) fn new(
        blob: Box<dyn Read + Send>,
        size: u64,
        budget: &Budget,
        tell: &'t mut dyn FnMut(u64),
    ) -> io::Result<Self> {
        let (sender, blocks) = sync_channel(AHEAD);
        let (used, free) = channel();
        let compressed = Arc::new(AtomicU64::new(0));
        let (counter, budget) = (Arc::clone(&compressed), budget.clone());
        let thread = std::thread::Builder::new().name("inflate".to_owned()).spawn(move || {
            let result = decompress(Counted { inner: blob, bytes: counter }, size, &budget, &sender, &free);
            result.unwrap_or_else(|error| {
                // Nobody listening: the layer is no good for another reason.
                let _ = sender.send(Err(error));
                None
            })
        })?;
        Ok(Self { blocks, used, current: Vec::new(), position: 0, compressed, told: 0, tell, thread })
    }

    /// Reads what is left, and returns the digest of everything.
    pub(crate) fn finish(mut self) -> io::Result<Digest> {
        while self.refill()? {}
        let Self { blocks, thread, .. } = self;
        drop(blocks);
        let digest = thread.join().map_err(|_| io::Error::other("the decompression panicked"))?;
        digest.ok_or_else(|| io::Error::other("the decompression was broken off"))
    }

    /// Gets the next block; `false` at the end.
    fn refill(&mut self) -> io::Result<bool> {
        let compressed = self.compressed.load(Ordering::Relaxed);
        if compressed - self.told >= TELL_BYTES {
            self.told = compressed;
            (self.tell)(compressed);
        }
        let next = match self.blocks.recv() {
            Ok(block) => block?,
            // The thread has ended, after its last block.
            Err(_) => Vec::new(),
        };
        let used = std::mem::replace(&mut self.current, next);
        self.position = 0;
        // It may have all the blocks that it needs.
        let _ = self.used.send(used);
        Ok(!self.current.is_empty())
    }
}

impl Read for Ahead<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.position == self.current.len() && !self.refill()? {
            return Ok(0);
        }
        let left = &self.current[self.position..];
        let length = left.len().min(buffer.len());
        buffer[..length].copy_from_slice(&left[..length]);
        self.position += length;
        Ok(length)
    }
}

/// `None` when nobody wants the rest.
fn decompress(
    blob: Counted,
    size: u64,
    budget: &Budget,
    to: &SyncSender<io::Result<Vec<u8>>>,
    free: &Receiver<Vec<u8>>,
) -> io::Result<Option<Digest>> {
    let mut stream = Meter::charged(Decoder::unchecked(blob)?, budget, size);
    loop {
        let mut block = free.try_recv().unwrap_or_default();
        block.resize(BLOCK_BYTES, 0);
        let read = fill(&mut stream, &mut block)?;
        if read == 0 {
            return Ok(Some(stream.digest()));
        }
        block.truncate(read);
        if to.send(Ok(block)).is_err() {
            return Ok(None);
        }
    }
}

/// Reads as much as there is room for.
fn fill(stream: &mut impl Read, block: &mut [u8]) -> io::Result<usize> {
    let mut length = 0;
    while length < block.len() {
        match stream.read(&mut block[length..]) {
            Ok(0) => break,
            Ok(read) => length += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(length)
}

struct Counted {
    inner: Box<dyn Read + Send>,
    bytes: Arc<AtomicU64>,
}

impl Read for Counted {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        self.bytes.fetch_add(read as u64, Ordering::Relaxed);
        Ok(read)
    }
}
