//! The pipe from a container's init to its creator.
//!
//! Messages are lines of JSON: `{"Diagnostic":"…"}` or `{"Error":{…}}`. End of file means that nobody can write any more:
//! the workload has been executed, has said that it has started, or is dead.

use std::io::{self, Read as _, Write as _};
use std::os::fd::{AsRawFd as _, OwnedFd, RawFd};
use std::time::{Duration, Instant};

use fs_err::File;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::pipe::{PipeFlags, pipe_with};
use serde::{Deserialize, Serialize};

use super::error::StartError;

/// More than this is not read: the writer may be hostile once it is confined.
const MAX_BYTES: usize = 64 << 10;

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
        self.read(None).unwrap_or_default()
    }

    /// The same, for a limited time; `None` when it has passed.
    pub(super) fn wait_for(self, patience: Duration) -> Option<Outcome> {
        self.read(Some(Instant::now() + patience))
    }

    fn read(mut self, deadline: Option<Instant>) -> Option<Outcome> {
        let (mut text, mut buffer) = (Vec::new(), [0; 4096]);
        while text.len() < MAX_BYTES {
            if let Some(deadline) = deadline
                && !self.is_ready(deadline)
            {
                return None;
            }
            match self.0.read(&mut buffer) {
                Ok(count @ 1..) => text.extend_from_slice(&buffer[..count]),
                Err(err) if err.kind() == io::ErrorKind::Interrupted => {}
                Ok(0) | Err(_) => break,
            }
        }
        let mut outcome = Outcome::default();
        for line in text.split(|byte| *byte == b'\n') {
            match serde_json::from_slice(line) {
                Ok(Message::Error(error)) => outcome.error = Some(error),
                Ok(Message::Diagnostic(text)) => outcome.diagnostics.push(text),
                Err(_) => {}
            }
        }
        Some(outcome)
    }

    fn is_ready(&self, deadline: Instant) -> bool {
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let left = Timespec::try_from(left).ok();
            match poll(&mut [PollFd::new(&self.0, PollFlags::IN)], left.as_ref()) {
                Err(rustix::io::Errno::INTR) => {}
                ready => return ready.is_ok_and(|count| count > 0),
            }
        }
    }
}
