//! The exit record: what a daemon that was away reads.
//!
//! `exit.json` = `{"version":1,"status":<code>,"exited_at":"<RFC 3339>","oom_killed":<bool>}`, written to a temporary file
//! and renamed, so that a reader sees all of it or none. It is not flushed to the disk: it has to survive the death of the
//! daemon and of the shim, which the page cache does. After a power cut the container is gone in any case, and a daemon
//! that finds no record says so with code 255.

use std::io;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// How a container's process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Exit {
    /// The exit code, or 128 + n for signal n.
    pub(crate) status: u32,
    /// When the shim noticed.
    pub(crate) exited_at: Timestamp,
    /// Whether the kernel killed a process of the container because its memory limit was reached.
    pub(crate) oom_killed: bool,
}

/// The record could not be written.
#[derive(Debug, thiserror::Error)]
#[error("cannot write the exit record `{path}`")]
pub(crate) struct RecordError {
    path: PathBuf,
    #[source]
    err: io::Error,
}

#[derive(Serialize, Deserialize)]
struct Record {
    version: u32,
    status: u32,
    exited_at: Timestamp,
    oom_killed: bool,
}

impl Exit {
    /// The name of the record in the container's directory.
    pub(crate) const FILE: &str = "exit.json";

    /// Reads the record in `dir`; `None` when there is none that this version understands.
    pub(crate) fn read(dir: &Path) -> Option<Self> {
        let text = fs_err::read(dir.join(Self::FILE)).ok()?;
        let record: Record = serde_json::from_slice(&text).ok()?;
        let Record { version, status, exited_at, oom_killed } = record;
        (version == 1).then_some(Self { status, exited_at, oom_killed })
    }

    /// Removes the record of an earlier life of the same container.
    pub(crate) fn forget(dir: &Path) {
        // Most containers have none.
        let _ = fs_err::remove_file(dir.join(Self::FILE));
    }

    /// Writes the record into `dir`, replacing one that is there.
    pub(crate) fn record(&self, dir: &Path) -> Result<(), RecordError> {
        let path = dir.join(Self::FILE);
        let failed = |err| RecordError { path: path.clone(), err };
        let record = Record { version: 1, status: self.status, exited_at: self.exited_at, oom_killed: self.oom_killed };
        let text = serde_json::to_vec(&record).expect("four plain fields always serialise");
        let temporary = dir.join("exit.json.tmp");
        fs_err::write(&temporary, text).map_err(failed)?;
        fs_err::rename(&temporary, &path).map_err(failed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_read_back_and_has_the_agreed_form() {
        let directory = tempfile::tempdir().unwrap();
        assert_eq!(Exit::read(directory.path()), None);
        let exited_at = "2026-11-22T19:23:00.5Z".parse().unwrap();
        let exit = Exit { status: 137, exited_at, oom_killed: true };
        exit.record(directory.path()).unwrap();
        let text = std::fs::read_to_string(directory.path().join(Exit::FILE)).unwrap();
        let expect = r#"{"version":1,"status":137,"exited_at":"2026-11-22T19:23:00.5Z","oom_killed":true}"#;
        assert_eq!(text, expect);
        assert_eq!(Exit::read(directory.path()), Some(exit));
        Exit::forget(directory.path());
        assert_eq!(Exit::read(directory.path()), None);
    }
}
