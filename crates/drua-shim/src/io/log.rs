//! The container's log as the output task writes it: json-file records, and a container that never suffers from the disk.
//!
//! When writing fails (a full disk), output is counted and dropped instead: the shim warns once, tries again with each
//! chunk, and says how much is missing in a record of its own as soon as there is room. A record that was torn by the
//! failure is ended with a newline when the file is opened again; readers skip it.

use std::os::unix::fs::MetadataExt;

use drua_runtime::logs::{LogPosition, LogWriter, Record, Rotation, Stream as LogStream, WriteLogError};
use drua_types::error_chain;
use jiff::Timestamp;

use super::client::Stream;
use super::lines::Lines;
use super::uri::LogTarget;

/// A json-file log that outlives trouble with the disk.
#[derive(Debug)]
pub(crate) struct Log {
    target: LogTarget,
    stdout: Lines,
    stderr: Lines,
    /// `None` while writing fails.
    writer: Option<LogWriter>,
    lost_bytes: u64,
    warned: bool,
}

impl Log {
    /// Opens the log, creating it if missing.
    ///
    /// # Errors
    /// Only this first opening can fail: a container whose log cannot be written at all is better not started.
    pub(crate) fn open(target: LogTarget) -> Result<Self, WriteLogError> {
        let writer = open(&target)?;
        Ok(Self {
            target,
            stdout: Lines::default(),
            stderr: Lines::default(),
            writer: Some(writer),
            lost_bytes: 0,
            warned: false,
        })
    }

    /// Logs a chunk of output. Lines that are not complete yet are held back.
    pub(crate) fn write(&mut self, stream: Stream, bytes: &[u8]) {
        let mut pieces = Batch::new(stream);
        self.lines(stream).push(bytes, |piece| pieces.push(piece));
        self.append(&pieces);
    }

    /// Logs what was held back.
    pub(crate) fn finish(&mut self) {
        for stream in [Stream::Stdout, Stream::Stderr] {
            let mut pieces = Batch::new(stream);
            self.lines(stream).finish(|piece| pieces.push(piece));
            self.append(&pieces);
        }
    }

    /// Where the log ends now. Incomplete lines are logged first, so that log and later output together have no gap.
    pub(crate) fn position(&mut self) -> Option<LogPosition> {
        self.finish();
        let metadata = fs_err::metadata(&self.target.path).ok()?;
        Some(LogPosition { inode: metadata.ino(), bytes: metadata.len() })
    }

    fn lines(&mut self, stream: Stream) -> &mut Lines {
        match stream {
            Stream::Stdout => &mut self.stdout,
            Stream::Stderr => &mut self.stderr,
        }
    }

    fn append(&mut self, batch: &Batch) {
        if batch.ends.is_empty() {
            return;
        }
        if let Err(error) = self.try_append(batch) {
            // What the failed writer still holds is dropped with it: this batch counts as lost.
            self.writer = None;
            self.lost_bytes += batch.bytes.len() as u64;
            if !std::mem::replace(&mut self.warned, true) {
                let path = self.target.path.display();
                tracing::warn!(error = error_chain(&error), log = %path, "container output is being lost");
            }
        }
    }

    fn try_append(&mut self, batch: &Batch) -> Result<(), WriteLogError> {
        let lost_bytes = self.lost_bytes;
        let attrs = Some(&self.target.attrs);
        let writer = match &mut self.writer {
            Some(writer) => writer,
            none => none.insert(open(&self.target)?),
        };
        if lost_bytes > 0 {
            let marker = format!("[drua: {lost_bytes} bytes of output were lost: the log could not be written]\n");
            let log = marker.as_bytes();
            writer.append(&Record { log, stream: LogStream::Stderr, time: batch.time, attrs })?;
        }
        for log in batch.pieces() {
            writer.append(&Record { log, stream: batch.stream, time: batch.time, attrs })?;
        }
        writer.flush()?;
        self.lost_bytes = 0;
        Ok(())
    }
}

/// The pieces of one chunk.
struct Batch {
    stream: LogStream,
    time: Timestamp,
    bytes: Vec<u8>,
    ends: Vec<usize>,
}

impl Batch {
    fn new(stream: Stream) -> Self {
        let stream = match stream {
            Stream::Stdout => LogStream::Stdout,
            Stream::Stderr => LogStream::Stderr,
        };
        Self { stream, time: Timestamp::now(), bytes: Vec::new(), ends: Vec::new() }
    }

    fn push(&mut self, piece: &[u8]) {
        self.bytes.extend_from_slice(piece);
        self.ends.push(self.bytes.len());
    }

    fn pieces(&self) -> impl Iterator<Item = &[u8]> {
        let starts = std::iter::once(&0).chain(&self.ends);
        starts.zip(&self.ends).map(|(&start, &end)| &self.bytes[start..end])
    }
}

fn open(target: &LogTarget) -> Result<LogWriter, WriteLogError> {
    let max_size = (target.max_size_bytes > 0).then_some(target.max_size_bytes);
    LogWriter::open(&target.path, Rotation { max_size, max_files: target.max_files })
}
