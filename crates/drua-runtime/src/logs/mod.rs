//! Container logs in Docker's json-file format: codec, rotation, writer and reader.
//!
//! ```text
//! json.log      the file that is written; one JSON object a line
//! json.log.1    the one before it, and so on up to max-file minus one
//! ```
//!
//! One process writes (the shim), any number read (the engine). Rotation renames, so a reader that holds a file open
//! sees it to its end and then goes on with the next newer one: no gap and nothing twice. Nothing here waits: readers
//! call [`LogReader::next_entry`] again when inotify or a timer says so.

mod codec;
mod reader;
mod rotation;
#[cfg(test)]
mod tests;
mod writer;

pub use codec::{Entry, Record, Stream, decode, encode};
pub use reader::{LogPosition, LogReader, ReadLogError, ReadOptions, Tail};
pub use rotation::{Rotation, rotated_path};
pub use writer::{LogWriter, WriteLogError};
