//! `import URL`: a root filesystem from the web, unpacked and measured while it comes.

use std::io::{self, Read};

use bytes::{Buf as _, Bytes};
use drua_store::Import;
use drua_types::Digest;
use tokio::sync::mpsc;

use crate::engine::Engine;
use crate::registry::{Progress, registry_error};
use crate::{Error, Result};

/// Pieces that the wire may be ahead of the disk.
const AHEAD: usize = 32;

/// Progress of an import.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ImportEvent {
    /// The server has the file.
    From {
        /// Its URL.
        url: String,
    },
    /// It comes.
    Downloading {
        /// Bytes here.
        current: u64,
        /// Bytes of the file; 0 where the server does not say.
        total: u64,
    },
    /// The image is made.
    Done(Digest),
}

impl Engine {
    /// Makes an image of the root filesystem that a server has. Dropping the future cancels it.
    ///
    /// # Errors
    /// [`Error::Registry`] when it cannot be fetched, [`Error::Image`] with the store's `ImportError`.
    pub async fn import_from_url(&self, url: &str, import: Import, events: mpsc::Sender<ImportEvent>) -> Result<()> {
        let progress = Progress::new(events);
        let failed = |source| registry_error(format!("cannot import `{url}`"), source);
        let mut file = self.shared.registries.fetch(url).await.map_err(failed)?;
        progress.step(ImportEvent::From { url: url.to_owned() }).await;
        let total = file.length().unwrap_or(0);
        let (sender, pieces) = mpsc::channel(AHEAD);
        let (engine, mut reader) = (self.clone(), Pieces { pieces, current: Bytes::new(), ended: false });
        let importing = tokio::task::spawn_blocking(move || engine.import_image(&mut reader, import));
        let mut current = 0;
        let mut broken = None;
        while let Some(piece) = file.next().await {
            let piece = match piece {
                Ok(piece) => piece,
                Err(error) => {
                    broken = Some(failed(error));
                    break;
                }
            };
            current += piece.len() as u64;
            progress.amount(ImportEvent::Downloading { current, total });
            // The import has failed: it says why.
            if sender.send(piece).await.is_err() {
                break;
            }
        }
        if broken.is_none() {
            // The import may have failed already, and says so itself.
            let _ = sender.send(Bytes::new()).await;
        }
        drop(sender);
        let imported = importing.await.map_err(|panic| Error::Panicked(panic.to_string()))?;
        match broken {
            Some(error) => Err(error),
            None => {
                progress.step(ImportEvent::Done(imported?)).await;
                Ok(())
            }
        }
    }
}

/// Pieces from the wire as a reader for the blocking pool.
struct Pieces {
    pieces: mpsc::Receiver<Bytes>,
    current: Bytes,
    ended: bool,
}

impl Read for Pieces {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.current.is_empty() {
            if self.ended {
                return Ok(0);
            }
            match self.pieces.blocking_recv() {
                // No piece is empty: this one says that it was all.
                Some(piece) if piece.is_empty() => self.ended = true,
                Some(piece) => self.current = piece,
                None => return Err(io::ErrorKind::UnexpectedEof.into()),
            }
        }
        let length = buffer.len().min(self.current.len());
        self.current.copy_to_slice(&mut buffer[..length]);
        Ok(length)
    }
}
