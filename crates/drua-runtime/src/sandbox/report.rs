//! The pipe from a container's init to its creator.
//!
//! Messages are lines of JSON: `{"Diagnostic":"…"}` or `{"Error":{…}}`. End of file means that nobody can write any more:
//! the workload has been executed, has said that it has started, or is dead.

use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::os::fd::{AsRawFd as _, OwnedFd, RawFd};

use fs_err::File;
use rustix::pipe::{PipeFlags, pipe_with};
use serde::{Deserialize, Serialize};

use super::error::StartError;

/// More than this is not read: the writer may be hostile once it is confined.
const MAX_BYTES: u64 = 64 << 10;

#[derive(Debug, Serialize, Deserialize)]
enum Message {
    Diagnostic(String),
    Error(StartError),
}

/// The init's end.
#[derive(Debug)]
pub(super) struct Reporter(File);

/// The creator's end.
#[derive(Debug)]
pub(super) struct Report(File);

/// What came through the pipe before it was closed.
#[derive(Debug, Default)]
pub(super) struct Outcome {
    pub(super) error: Option<StartError>,
    /// What libcontainer logged as errors, oldest first.
    pub(super) diagnostics: Vec<String>,
}

pub(super) fn channel() -> io::Result<(Reporter, Report)> {
    let (read, write) = pipe_with(PipeFlags::CLOEXEC)?;
    Ok((Reporter(file(write)), Report(file(read))))
}

fn file(fd: OwnedFd) -> File {
    File::from_parts(fd.into(), "report pipe")
}

impl Reporter {
    pub(super) fn error(&self, error: &StartError) {
        self.send(&Message::Error(error.clone()));
    }

    pub(super) fn diagnostic(&self, text: String) {
        self.send(&Message::Diagnostic(text));
    }

    pub(super) fn fd(&self) -> RawFd {
        self.0.as_raw_fd()
    }

    /// A second handle on the same pipe, so that init can keep it while libcontainer owns the first.
    pub(super) fn try_clone(&self) -> io::Result<Self> {
        Ok(Self(self.0.try_clone()?))
    }

    /// Best effort: there is nobody to tell when the pipe is broken.
    fn send(&self, message: &Message) {
        if let Ok(mut line) = serde_json::to_vec(message) {
            line.push(b'\n');
            let _ = (&self.0).write_all(&line);
        }
    }
}

impl Report {
    /// Waits for the end of the pipe.
    pub(super) fn wait(self) -> Outcome {
        let mut outcome = Outcome::default();
        for line in BufReader::new(self.0.take(MAX_BYTES)).lines().map_while(Result::ok) {
            match serde_json::from_str(&line) {
                Ok(Message::Error(error)) => outcome.error = Some(error),
                Ok(Message::Diagnostic(text)) => outcome.diagnostics.push(text),
                Err(_) => {}
            }
        }
        outcome
    }
}
