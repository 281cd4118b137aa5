//! The pipe from a container's init to its creator.
//!
//! Messages are lines of JSON: `"Ready"`, after which nothing comes before the start signal, or `{"Error":{…}}`. End of file means that nobody can write any more:
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
    Ready,
    Error(StartError),
}

/// The init's end.
#[derive(Debug)]
pub(super) struct Reporter(File);

/// The creator's end.
#[derive(Debug)]
pub(super) struct Report(File);

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

    pub(super) fn ready(&self) {
        self.send(&Message::Ready);
    }

    pub(super) fn fd(&self) -> RawFd {
        self.0.as_raw_fd()
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
    /// Waits until the container is ready for its start signal.
    ///
    /// # Errors
    /// Why it never will be; `None` when the init has died without a word.
    pub(super) fn ready(&mut self) -> Result<(), Option<StartError>> {
        let mut text = Vec::new();
        while !text.ends_with(b"\n") && self.read_more(&mut text) {}
        match messages(&text).next() {
            Some(Message::Ready) => Ok(()),
            Some(Message::Error(error)) => Err(Some(error)),
            None => Err(None),
        }
    }

    /// Waits for the end of the pipe.
    ///
    /// # Errors
    /// What came through it.
    pub(super) fn wait(mut self) -> Result<(), StartError> {
        let mut text = Vec::new();
        while self.read_more(&mut text) {}
        error_in(&text)
    }

    /// The same, for a limited time; `None` when it has passed.
    pub(super) fn wait_for(mut self, patience: Duration) -> Option<Result<(), StartError>> {
        let deadline = Instant::now() + patience;
        let mut text = Vec::new();
        while self.is_ready(deadline) {
            if !self.read_more(&mut text) {
                return Some(error_in(&text));
            }
        }
        None
    }

    /// Whether there may be more.
    fn read_more(&mut self, text: &mut Vec<u8>) -> bool {
        let mut buffer = [0; 4096];
        match self.0.read(&mut buffer) {
            Ok(count @ 1..) => text.extend_from_slice(&buffer[..count]),
            Err(err) if err.kind() == io::ErrorKind::Interrupted => {}
            Ok(0) | Err(_) => return false,
        }
        text.len() < MAX_BYTES
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

fn messages(text: &[u8]) -> impl Iterator<Item = Message> + '_ {
    text.split(|byte| *byte == b'\n').filter_map(|line| serde_json::from_slice(line).ok())
}

fn error_in(text: &[u8]) -> Result<(), StartError> {
    let error = messages(text).find_map(|message| match message {
        Message::Error(error) => Some(error),
        Message::Ready => None,
    });
    error.map_or(Ok(()), Err)
}
