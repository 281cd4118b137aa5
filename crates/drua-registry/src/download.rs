//! A whole blob, as fast as it gets: by one connection, and by several where each is slow.
//!
//! Many registries give a connection a share of the wire only. So where a large blob comes slowly, the rest of it is asked
//! for in chunks, several at a time; they are handed on in order. A fast wire is left alone: chunks cost memory.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use drua_types::Digest;
use futures_util::StreamExt as _;
use tokio::sync::{Semaphore, mpsc};
use tokio::time::Instant;

use crate::RegistryError;
use crate::repository::Repository;

/// When a download is split, and into what.
#[derive(Debug, Clone)]
pub struct Pace {
    /// How long one connection may show what it can do. Default 1 s.
    pub trial: Duration,
    /// Bytes a second that are fast enough. Default 64 MiB.
    pub fast: u64,
    /// Bytes in a chunk. Default 8 MiB.
    pub chunk: u64,
    /// Chunks of one blob at a time. Default 4.
    pub parallel: usize,
    /// Chunks in memory, of all downloads that share this. Default 8.
    pub memory: Arc<Semaphore>,
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            trial: Duration::from_secs(1),
            fast: 64 << 20,
            chunk: 8 << 20,
            parallel: 4,
            memory: Arc::new(Semaphore::new(8)),
        }
    }
}

/// What is to be downloaded.
#[derive(Debug, Clone)]
pub struct Download {
    /// The blob.
    pub digest: Digest,
    /// Its length in bytes.
    pub size: u64,
    /// Bytes that are here already.
    pub start: u64,
}

impl Repository {
    /// Downloads a blob and hands its pieces on in order. Whether it is what its digest says is for the receiver to check.
    /// Ends early, without an error, when nobody receives any more.
    ///
    /// # Errors
    /// What the registry and the wire get wrong, after all attempts.
    pub async fn download(&self, what: &Download, pace: &Pace, to: &mpsc::Sender<Bytes>) -> Result<(), RegistryError> {
        let mut stream = self.blob(&what.digest, what.size, what.start, what.size);
        let began = Instant::now();
        while let Some(piece) = stream.next().await {
            if to.send(piece?).await.is_err() {
                return Ok(());
            }
            let (elapsed, at) = (began.elapsed(), stream.offset());
            let rate = (at - what.start) as f64 / elapsed.as_secs_f64().max(1e-3);
            let worth_it = what.size - at >= 2 * pace.chunk && rate < pace.fast as f64;
            if elapsed >= pace.trial && worth_it && stream.knows_ranges() {
                drop(stream);
                tracing::debug!(digest = %what.digest, at, rate, "splitting a slow download");
                return self.download_chunks(what, at, pace, to).await;
            }
        }
        Ok(())
    }

    async fn download_chunks(
        &self,
        what: &Download,
        start: u64,
        pace: &Pace,
        to: &mpsc::Sender<Bytes>,
    ) -> Result<(), RegistryError> {
        let starts =
            std::iter::successors(Some(start), |at| at.checked_add(pace.chunk)).take_while(|at| *at < what.size);
        let chunk = |at: u64| async move {
            // In the order of the chunks, and first come, first served: the next one to be handed on never waits for others.
            let permit = Arc::clone(&pace.memory).acquire_owned().await;
            let mut stream = self.blob(&what.digest, what.size, at, (at + pace.chunk).min(what.size));
            let mut pieces = Vec::new();
            while let Some(piece) = stream.next().await {
                pieces.push(piece?);
            }
            Ok::<_, RegistryError>((pieces, permit))
        };
        let mut chunks = futures_util::stream::iter(starts).map(chunk).buffered(pace.parallel);
        while let Some(chunk) = chunks.next().await {
            let (pieces, _permit) = chunk?;
            for piece in pieces {
                if to.send(piece).await.is_err() {
                    return Ok(());
                }
            }
        }
        Ok(())
    }
}
