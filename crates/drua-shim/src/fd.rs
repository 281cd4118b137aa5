//! Descriptors on tokio's reactor, without a helper thread: pipes, FIFOs, terminals, and what else epoll can watch.

use std::io;
use std::os::fd::{AsFd, OwnedFd};

use rustix::fs::OFlags;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// Registers a descriptor. Must be called within the runtime.
pub(crate) fn watch(fd: OwnedFd, interest: Interest) -> io::Result<AsyncFd<OwnedFd>> {
    #[expect(
        deprecated,
        reason = "the new constructor is unsafe, for types that may change their descriptor; this cannot"
    )]
    AsyncFd::with_interest(fd, interest)
}

/// The reading end of a pipe, FIFO or terminal.
#[derive(Debug)]
pub(crate) struct Reader(AsyncFd<OwnedFd>);

/// The writing end of a pipe, FIFO or terminal.
#[derive(Debug)]
pub(crate) struct Writer(AsyncFd<OwnedFd>);

impl Reader {
    /// Makes `fd` non-blocking and registers it. Must be called within the runtime.
    pub(crate) fn new(fd: OwnedFd) -> io::Result<Self> {
        nonblocking(&fd)?;
        watch(fd, Interest::READABLE).map(Self)
    }

    /// Reads once; 0 means end of file. Cancel safe: a read that is dropped has consumed nothing.
    pub(crate) async fn read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            self.ready().await;
            if let Some(length) = self.try_read(buffer)? {
                return Ok(length);
            }
        }
    }

    /// Waits until [`try_read`](Self::try_read) may have something. Cancel safe.
    pub(crate) async fn ready(&self) {
        // The only error is a runtime that shuts down, which nobody outlives.
        if let Ok(mut guard) = self.0.readable().await {
            guard.retain_ready();
        }
    }

    /// Reads once without waiting; 0 means end of file, `None` that there is nothing yet.
    pub(crate) fn try_read(&self, buffer: &mut [u8]) -> io::Result<Option<usize>> {
        match self.0.try_io(Interest::READABLE, |fd| Ok(rustix::io::read(fd, buffer)?)) {
            Ok(length) => Ok(Some(length)),
            // A terminal whose last process closed it answers EIO, its way to say end of file (`pty(7)`).
            Err(error) if error.raw_os_error() == Some(rustix::io::Errno::IO.raw_os_error()) => Ok(Some(0)),
            Err(error) if matches!(error.kind(), io::ErrorKind::Interrupted | io::ErrorKind::WouldBlock) => Ok(None),
            Err(error) => Err(error),
        }
    }
}

impl Writer {
    /// Makes `fd` non-blocking and registers it. Must be called within the runtime.
    pub(crate) fn new(fd: OwnedFd) -> io::Result<Self> {
        nonblocking(&fd)?;
        watch(fd, Interest::WRITABLE).map(Self)
    }

    /// Writes all of `bytes`. Not cancel safe: how much was written is then unknown.
    pub(crate) async fn write_all(&self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            let mut ready = self.0.writable().await?;
            match ready.try_io(|fd| Ok(rustix::io::write(fd, bytes)?)) {
                Ok(Ok(written)) => bytes = &bytes[written..],
                Ok(Err(error)) if error.kind() == io::ErrorKind::Interrupted => {}
                Ok(Err(error)) => return Err(error),
                Err(_would_block) => {}
            }
        }
        Ok(())
    }
}

fn nonblocking(fd: impl AsFd) -> io::Result<()> {
    let flags = rustix::fs::fcntl_getfl(&fd)?;
    Ok(rustix::fs::fcntl_setfl(&fd, flags | OFlags::NONBLOCK)?)
}
