//! Appends records to a log and rotates it.

use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};

use fs_err::{self as fs, File};

use super::codec::{Record, encode};
use super::rotation::{Rotation, Step};

/// The log cannot be written.
#[derive(Debug, thiserror::Error)]
pub enum WriteLogError {
    /// A file cannot be opened or created.
    #[error("cannot open the log file")]
    Open(#[source] io::Error),
    /// The records cannot be appended.
    #[error("cannot append to the log file")]
    Append(#[source] io::Error),
    /// The files cannot be rotated.
    #[error("cannot rotate the log files")]
    Rotate(#[source] io::Error),
}

/// The one writer of a log. Records are handed to the kernel in whole lines; [`flush`](Self::flush) says when.
#[derive(Debug)]
pub struct LogWriter {
    path: PathBuf,
    rotation: Rotation,
    file: File,
    size: u64,
    pending: Vec<u8>,
}

/// Pending bytes are written at the latest when there are this many.
const FLUSH_AT: usize = 64 << 10;

impl LogWriter {
    /// Opens the log at `path`, creating it with mode 0640 if missing, and ends a line that a crash has torn.
    pub fn open(path: &Path, rotation: Rotation) -> Result<Self, WriteLogError> {
        let (file, size) = open_for_append(path).map_err(WriteLogError::Open)?;
        Ok(Self { path: path.to_owned(), rotation, file, size, pending: Vec::new() })
    }

    /// Adds a record. It reaches the file with the next [`flush`](Self::flush), or earlier when many are pending.
    pub fn append(&mut self, record: &Record<'_>) -> Result<(), WriteLogError> {
        let start = self.pending.len();
        encode(record, &mut self.pending);
        let incoming = (self.pending.len() - start) as u64;
        if self.rotation.is_due(self.size + start as u64, incoming) {
            let line = self.pending.split_off(start);
            self.flush()?;
            self.rotate()?;
            self.pending = line;
        }
        if self.pending.len() >= FLUSH_AT { self.flush() } else { Ok(()) }
    }

    /// Writes what is pending. Does not sync to the disk.
    pub fn flush(&mut self) -> Result<(), WriteLogError> {
        if self.pending.is_empty() {
            return Ok(());
        }
        self.file.write_all(&self.pending).map_err(WriteLogError::Append)?;
        self.size += self.pending.len() as u64;
        self.pending.clear();
        Ok(())
    }

    fn rotate(&mut self) -> Result<(), WriteLogError> {
        for step in self.rotation.steps(&self.path) {
            let done = match &step {
                Step::Remove(path) => fs::remove_file(path),
                Step::Rename { from, to } => fs::rename(from, to),
            };
            match done {
                Err(err) if err.kind() != io::ErrorKind::NotFound => return Err(WriteLogError::Rotate(err)),
                Ok(()) | Err(_) => {}
            }
        }
        (self.file, self.size) = open_for_append(&self.path).map_err(WriteLogError::Open)?;
        Ok(())
    }
}

fn open_for_append(path: &Path) -> io::Result<(File, u64)> {
    let mut options = fs::OpenOptions::new();
    options.read(true).append(true).create(true);
    fs_err::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o640);
    let mut file = options.open(path)?;
    let mut size = file.metadata()?.len();
    if size > 0 {
        let mut last = [0];
        file.seek(SeekFrom::End(-1))?;
        file.read_exact(&mut last)?;
        if last != [b'\n'] {
            file.write_all(b"\n")?;
            size += 1;
        }
    }
    Ok((file, size))
}
