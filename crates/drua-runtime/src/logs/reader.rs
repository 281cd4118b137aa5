//! Reads a log from any point, across rotation, for as long as it grows.

use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use fs_err::File;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::codec::{Entry, decode};
use super::rotation::rotated_path;

/// The log cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("cannot read the log file")]
pub struct ReadLogError(#[source] io::Error);

/// How much of the past to read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Tail {
    /// Everything.
    #[default]
    All,
    /// The last so many records that there are when the reader is opened.
    Last(u64),
}

/// A place between two records.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogPosition {
    /// Inode of the file; after a rotation the current one has another.
    pub inode: u64,
    /// Offset in it, in bytes.
    pub bytes: u64,
}

/// What to read.
#[derive(Debug, Clone, Copy, Default)]
pub struct ReadOptions {
    /// How much of the past.
    pub tail: Tail,
    /// Nothing before this time.
    pub since: Option<Timestamp>,
    /// Nothing after this time.
    pub until: Option<Timestamp>,
    /// Nothing after this place: what follows comes another way.
    pub end: Option<LogPosition>,
}

/// Rotated files beyond this number are not looked for.
const MAX_FILES: u32 = 1000;
/// A line longer than this is damage, not a record: 16 KiB of output make at most 96 KiB of JSON, attributes aside.
const MAX_LINE: usize = 1 << 20;
const CHUNK: usize = 64 << 10;

/// Reads records in order. At the end of what there is, [`next_entry`](Self::next_entry) returns `None`; call it again
/// after more was written.
#[derive(Debug)]
pub struct LogReader {
    path: PathBuf,
    options: ReadOptions,
    current: Option<File>,
    /// Bytes read from `current` and not yet consumed start at `start`.
    buffer: Vec<u8>,
    start: usize,
    /// Offset in `current` of the buffer's end.
    filled_to: u64,
    past_until: bool,
}

impl LogReader {
    /// Opens the log at `path`. A log that does not exist yet is empty.
    pub fn open(path: &Path, options: ReadOptions) -> Result<Self, ReadLogError> {
        let mut reader = Self {
            path: path.to_owned(),
            options,
            current: None,
            buffer: Vec::new(),
            start: 0,
            filled_to: 0,
            past_until: false,
        };
        reader.position().map_err(ReadLogError)?;
        Ok(reader)
    }

    /// The next record, or `None` when there is none now (or, with `until`, ever).
    pub fn next_entry(&mut self) -> Result<Option<Entry>, ReadLogError> {
        self.next_matching().map_err(ReadLogError)
    }

    /// Whether a record later than `until` was seen: nothing will follow.
    pub fn is_past_until(&self) -> bool {
        self.past_until
    }

    fn next_matching(&mut self) -> io::Result<Option<Entry>> {
        while !self.past_until {
            let Some(line) = self.next_line()? else { return Ok(None) };
            if self.is_past_end()? {
                self.past_until = true;
                return Ok(None);
            }
            let Some(entry) = decode(&line) else { continue };
            if self.options.since.is_some_and(|since| entry.time < since) {
                continue;
            }
            if self.options.until.is_some_and(|until| entry.time > until) {
                self.past_until = true;
                return Ok(None);
            }
            return Ok(Some(entry));
        }
        Ok(None)
    }

    /// Whether the line that was read last lies beyond [`ReadOptions::end`].
    fn is_past_end(&self) -> io::Result<bool> {
        let (Some(end), Some(file)) = (self.options.end, &self.current) else { return Ok(false) };
        let consumed = self.filled_to - (self.buffer.len() - self.start) as u64;
        Ok(file.metadata()?.ino() == end.inode && consumed > end.bytes)
    }

    /// The next whole line without its newline.
    fn next_line(&mut self) -> io::Result<Option<Vec<u8>>> {
        let mut searched = 0;
        loop {
            if let Some(end) = find_newline(&self.buffer[self.start + searched..]) {
                let end = self.start + searched + end;
                let line = self.buffer[self.start..end].to_vec();
                self.start = end + 1;
                return Ok(Some(line));
            }
            searched = self.buffer.len() - self.start;
            if searched > MAX_LINE {
                self.start = self.buffer.len();
                searched = 0;
            }
            if !self.fill()? {
                // What remains in the buffer is a line that is being written, or the torn end of a finished file.
                if !self.advance()? {
                    return Ok(None);
                }
                searched = 0;
            }
        }
    }

    /// Reads more of the current file. `false` at its end.
    fn fill(&mut self) -> io::Result<bool> {
        let Some(file) = &mut self.current else { return Ok(false) };
        self.buffer.drain(..self.start);
        self.start = 0;
        let old = self.buffer.len();
        self.buffer.resize(old + CHUNK, 0);
        let read = file.read(&mut self.buffer[old..]);
        self.buffer.truncate(old + *read.as_ref().unwrap_or(&0));
        let read = read?;
        self.filled_to += read as u64;
        Ok(read > 0)
    }

    /// At the end of the current file: goes on to the next newer one, if rotation has made one. `false` if not.
    ///
    /// The writer appends to a file only until it renames it, so once the file is known to be renamed, one more read
    /// that finds nothing means that it is finished.
    fn advance(&mut self) -> io::Result<bool> {
        let Some(file) = &self.current else {
            self.current = open_if_exists(&self.path)?;
            return Ok(self.current.is_some());
        };
        let identity = identity(file)?;
        let Some(next) = self.newer_than(identity)? else { return Ok(false) };
        if !self.fill()? {
            self.buffer.clear();
            (self.start, self.filled_to) = (0, 0);
            self.current = Some(next);
        }
        Ok(true)
    }

    /// The file that follows the one with `wanted` identity; the oldest one when that is gone; `None` when it is current.
    fn newer_than(&self, wanted: Identity) -> io::Result<Option<File>> {
        // A rotation between two look-ups shifts every file by one, so look again until two views agree.
        for _ in 0..100 {
            let (current, files) = self.files()?;
            if current != identity_of_path(&self.path)? {
                continue;
            }
            let position = files.iter().position(|file| identity(file).ok() == Some(wanted));
            let next = match position {
                Some(index) => index.checked_sub(1),
                None => files.len().checked_sub(1),
            };
            return Ok(next.and_then(|index| files.into_iter().nth(index)));
        }
        Err(io::Error::other("the log is rotated faster than it can be read"))
    }

    /// The identity of the file being written, if there is one just now, and all files, newest first.
    fn files(&self) -> io::Result<(Option<Identity>, Vec<File>)> {
        let mut files: Vec<File> = Vec::new();
        let mut current = None;
        for index in 0..MAX_FILES {
            match open_if_exists(&rotated_path(&self.path, index))? {
                Some(file) => {
                    let id = identity(&file)?;
                    if index == 0 {
                        current = Some(id);
                    }
                    // A rotation in between would list a file twice.
                    if files.last().is_none_or(|last| identity(last).ok() != Some(id)) {
                        files.push(file);
                    }
                }
                None if index == 0 => {}
                None => break,
            }
        }
        Ok((current, files))
    }

    /// Places the reader at the first record to return.
    fn position(&mut self) -> io::Result<()> {
        let (_, mut files) = self.files()?;
        let Tail::Last(mut wanted) = self.options.tail else {
            self.current = files.pop();
            return Ok(());
        };
        for mut file in files {
            let (offset, found) = offset_of_last(&mut file, wanted)?;
            wanted -= found;
            file.seek(SeekFrom::Start(offset))?;
            (self.current, self.filled_to) = (Some(file), offset);
            if wanted == 0 {
                break;
            }
        }
        Ok(())
    }
}

/// Where the last `wanted` lines of a file begin, and how many there are.
fn offset_of_last(file: &mut File, wanted: u64) -> io::Result<(u64, u64)> {
    let size = file.metadata()?.len();
    let mut position = size;
    let mut lines = 0;
    let mut buffer = vec![0; CHUNK];
    while position > 0 {
        let length = position.min(CHUNK as u64);
        position -= length;
        let chunk = &mut buffer[..usize::try_from(length).expect("a chunk fits in memory")];
        file.seek(SeekFrom::Start(position))?;
        file.read_exact(chunk)?;
        for (index, _) in chunk.iter().enumerate().rev().filter(|(_, byte)| **byte == b'\n') {
            // The newline at index ends a line; the line after it has been counted already.
            if lines == wanted {
                return Ok((position + index as u64 + 1, lines));
            }
            lines += 1;
        }
    }
    Ok((0, lines))
}

fn find_newline(bytes: &[u8]) -> Option<usize> {
    bytes.iter().position(|byte| *byte == b'\n')
}

/// Device and inode number. No other file has the same while one of the two is open.
type Identity = (u64, u64);

fn identity(file: &File) -> io::Result<Identity> {
    let metadata = file.metadata()?;
    Ok((metadata.dev(), metadata.ino()))
}

fn identity_of_path(path: &Path) -> io::Result<Option<Identity>> {
    open_if_exists(path)?.as_ref().map(identity).transpose()
}

fn open_if_exists(path: &Path) -> io::Result<Option<File>> {
    match File::open(path) {
        Ok(file) => Ok(Some(file)),
        Err(err) if err.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(err) => Err(err),
    }
}
