//! Where one stream of output is stored.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use fs_err::File;
use rustix::fs::{FileType, Mode, OFlags};

use super::client::WhenFull;
use super::{IoError, failed};
use crate::fd::Writer;

/// How long the last output of a container that has ended waits for the reader of a FIFO.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// Where one stream of output is stored.
#[derive(Debug)]
pub(crate) enum Sink {
    /// Nowhere.
    Discard,
    /// In the log that both streams share.
    Log,
    /// In containerd's FIFO. The container waits for a reader that is slow or away, as it does with runc's shim.
    Fifo(Writer),
    /// In a file.
    File {
        /// Opened for appending.
        file: File,
        /// A failure was reported already.
        warned: bool,
    },
}

impl Sink {
    /// Opens a FIFO that exists, or appends to a file.
    ///
    /// The FIFO is opened for reading too: then opening does not wait for a reader, and a reader that goes away (containerd
    /// is restarted) does not end the container with SIGPIPE.
    pub(crate) fn open(path: &Path) -> Result<Self, IoError> {
        if is_fifo(path)? {
            let open = |flags| rustix::fs::open(path, flags | OFlags::CLOEXEC | OFlags::NONBLOCK, Mode::empty());
            let fd = open(OFlags::RDWR).map_err(failed("open the FIFO", path))?;
            return Writer::new(fd).map(Self::Fifo).map_err(failed("watch the FIFO", path));
        }
        let file = fs_err::OpenOptions::new().append(true).create(true).open(path);
        Ok(Self::File { file: file.map_err(failed("open", path))?, warned: false })
    }

    /// Stores `bytes`; a failure is logged, and the container goes on.
    pub(crate) async fn write(&mut self, bytes: &[u8], when_full: WhenFull) {
        match self {
            Self::Discard | Self::Log => {}
            Self::Fifo(fifo) => {
                let written = match when_full {
                    WhenFull::Wait => fifo.write_all(bytes).await,
                    WhenFull::Exceed => match tokio::time::timeout(LAST_WORDS, fifo.write_all(bytes)).await {
                        Ok(written) => written,
                        Err(_elapsed) => Err(std::io::ErrorKind::TimedOut.into()),
                    },
                };
                if let Err(error) = written {
                    tracing::warn!(%error, "container output is lost: nobody reads its FIFO");
                }
            }
            Self::File { file, warned } => {
                if let Err(error) = file.write_all(bytes)
                    && !std::mem::replace(warned, true)
                {
                    tracing::warn!(%error, "container output is being lost");
                }
            }
        }
    }
}

/// Opens a FIFO, or a file, that is read as standard input. Does not wait for a writer.
pub(crate) fn open_input(path: &PathBuf) -> Result<std::os::fd::OwnedFd, IoError> {
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK;
    rustix::fs::open(path, flags, Mode::empty()).map_err(failed("open", path))
}

fn is_fifo(path: &Path) -> Result<bool, IoError> {
    match rustix::fs::stat(path) {
        Ok(stat) => Ok(FileType::from_raw_mode(stat.st_mode) == FileType::Fifo),
        Err(rustix::io::Errno::NOENT) => Ok(false),
        Err(errno) => Err(failed("inspect", path)(errno)),
    }
}
