//! Blobs on their way there: not at all where they are known, mounted from a neighbor, in one piece, or in chunks.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use drua_types::Digest;
use futures_util::StreamExt as _;
use hyper::header::{self, HeaderName, HeaderValue};
use hyper::{Method, StatusCode};

use crate::RegistryError;
use crate::repository::Repository;
use crate::request::{ATTEMPTS, back_off};
use crate::transport::{ByteStream, Outgoing, Payload, Reply};

/// Larger blobs go in chunks, so that a broken connection costs one of them.
const WHOLE_BYTES: u64 = 64 << 20;
const CHUNK_BYTES: u64 = 32 << 20;
const CHUNK_MIN_LENGTH: HeaderName = HeaderName::from_static("oci-chunk-min-length");
const OCTETS: HeaderValue = HeaderValue::from_static("application/octet-stream");

/// Hears how many bytes of a blob have been handed to the network.
pub type Sent = Arc<dyn Fn(u64) + Send + Sync>;

/// A blob that can be read from any offset, as often as needed.
#[derive(Clone)]
pub struct UploadSource {
    /// The blob's digest.
    pub digest: Digest,
    /// Its length in bytes.
    pub size: u64,
    /// Opens bytes `start..end` of it.
    pub open: Arc<dyn Fn(u64, u64) -> ByteStream + Send + Sync>,
}

impl std::fmt::Debug for UploadSource {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("UploadSource").field("digest", &self.digest).field("size", &self.size).finish_non_exhaustive()
    }
}

/// How a blob came to be in the registry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Upload {
    /// It was there.
    Existed,
    /// The registry took it from this repository of its own.
    Mounted(String),
    /// We sent it.
    Sent,
}

impl Repository {
    /// Sees to it that the repository has a blob. `neighbors` are repositories of the same registry that may have it;
    /// `sent` is told how many bytes are there.
    ///
    /// # Errors
    /// When the registry refuses, or breaks off more often than is bearable.
    pub async fn upload(
        &self,
        source: &UploadSource,
        neighbors: &[String],
        sent: &Sent,
    ) -> Result<Upload, RegistryError> {
        if self.has_blob(&source.digest).await? {
            return Ok(Upload::Existed);
        }
        for neighbor in neighbors {
            let start = format!("blobs/uploads/?mount={}&from={neighbor}", source.digest);
            let outgoing = self.request(Method::POST, &start);
            let reply = match self.send_with(&outgoing, &[neighbor]).await {
                Ok(reply) => reply,
                // Not ours to read, or gone: then it is sent.
                Err(
                    RegistryError::Denied { .. } | RegistryError::NotFound { .. } | RegistryError::Unauthorized { .. },
                ) => {
                    continue;
                }
                Err(error) => return Err(error),
            };
            if reply.status == StatusCode::CREATED {
                drop(reply.start(1 << 10).await);
                return Ok(Upload::Mounted(neighbor.clone()));
            }
            // It has begun an upload instead: that one is used.
            return self.send_blob(source, Some(reply), sent).await;
        }
        self.send_blob(source, None, sent).await
    }

    async fn send_blob(
        &self,
        source: &UploadSource,
        begun: Option<Reply>,
        sent: &Sent,
    ) -> Result<Upload, RegistryError> {
        let mut begun = begun;
        let mut attempt = 0;
        loop {
            attempt += 1;
            let start = match begun.take() {
                Some(reply) => reply,
                None => self.send(&self.request(Method::POST, "blobs/uploads/")).await?,
            };
            let location = self.location(&start)?;
            let minimum = start.headers.get(CHUNK_MIN_LENGTH).and_then(|value| value.to_str().ok()?.parse().ok());
            drop(start.start(1 << 10).await);
            let result = match source.size > WHOLE_BYTES {
                true => {
                    self.send_chunks(source, location, minimum.unwrap_or(0).clamp(CHUNK_BYTES, 1 << 30), sent).await
                }
                false => self.finish(source, location, 0, sent).await,
            };
            match result {
                Ok(()) => return Ok(Upload::Sent),
                Err(error) if error.is_passing() && attempt < ATTEMPTS => {
                    tracing::debug!(%error, attempt, "uploading again");
                    tokio::time::sleep(back_off(self.transport(), attempt)).await;
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// Sends chunk by chunk; after a break the registry is asked how much it has.
    async fn send_chunks(
        &self,
        source: &UploadSource,
        mut location: String,
        chunk: u64,
        sent: &Sent,
    ) -> Result<(), RegistryError> {
        let mut offset = 0;
        let mut attempt = 0;
        // The last chunk goes with the request that finishes.
        while source.size - offset > chunk {
            let end = offset + chunk;
            let mut outgoing = Outgoing::new(Method::PATCH, location.clone());
            outgoing.headers.insert(header::CONTENT_TYPE, OCTETS);
            if let Ok(range) = HeaderValue::from_str(&format!("{offset}-{}", end - 1)) {
                outgoing.headers.insert(header::CONTENT_RANGE, range);
            }
            outgoing.payload = payload(source, offset, end, sent);
            match self.send_once(&outgoing).await {
                Ok(reply) => {
                    location = self.location(&reply)?;
                    drop(reply.start(1 << 10).await);
                    (offset, attempt) = (end, 0);
                    sent(offset);
                }
                // It does not know chunks.
                Err(RegistryError::Status { status: 400 | 405 | 411 | 415 | 416 | 501, .. }) if offset == 0 => {
                    return self.finish(source, location, 0, sent).await;
                }
                Err(error) if error.is_passing() && attempt < ATTEMPTS => {
                    attempt += 1;
                    tokio::time::sleep(back_off(self.transport(), attempt)).await;
                    let status = self.send(&Outgoing::new(Method::GET, location.clone())).await?;
                    offset = received(&status).min(source.size.saturating_sub(1));
                    location = self.location(&status).unwrap_or(location);
                    drop(status.start(1 << 10).await);
                }
                Err(error) => return Err(error),
            }
        }
        self.finish(source, location, offset, sent).await
    }

    /// Sends the rest and closes the upload.
    async fn finish(
        &self,
        source: &UploadSource,
        location: String,
        offset: u64,
        sent: &Sent,
    ) -> Result<(), RegistryError> {
        let separator = if location.contains('?') { '&' } else { '?' };
        let target = format!("{location}{separator}digest={}", source.digest);
        let mut outgoing = Outgoing::new(Method::PUT, target);
        outgoing.headers.insert(header::CONTENT_TYPE, OCTETS);
        if offset > 0
            && let Ok(range) = HeaderValue::from_str(&format!("{offset}-{}", source.size - 1))
        {
            outgoing.headers.insert(header::CONTENT_RANGE, range);
        }
        outgoing.payload = payload(source, offset, source.size, sent);
        let reply = self.send_once(&outgoing).await?;
        let (status, request) = (reply.status, reply.request.clone());
        drop(reply.start(1 << 10).await);
        if status != StatusCode::CREATED && status != StatusCode::NO_CONTENT && status != StatusCode::OK {
            return Err(RegistryError::Protocol {
                request,
                reason: format!("status {} for an upload", status.as_u16()),
            });
        }
        sent(source.size);
        Ok(())
    }
}

/// How many bytes a registry has of an upload: `Range: 0-<last byte>`.
fn received(reply: &Reply) -> u64 {
    let range = reply.header(header::RANGE).unwrap_or_default();
    let last = range.rsplit('-').next().and_then(|text| text.parse::<u64>().ok());
    last.map_or(0, |last| if last == 0 { 0 } else { last + 1 })
}

/// The bytes of a range; `sent` hears how far they have got.
fn payload(source: &UploadSource, start: u64, end: u64, sent: &Sent) -> Payload {
    let (open, sent) = (Arc::clone(&source.open), Arc::clone(sent));
    let open = move || {
        let (at, sent) = (AtomicU64::new(start), Arc::clone(&sent));
        let pieces = open(start, end).inspect(move |piece| {
            if let Ok(piece) = piece {
                let length = piece.len() as u64;
                sent(at.fetch_add(length, Ordering::Relaxed) + length);
            }
        });
        pieces.boxed()
    };
    Payload::Stream { length: end - start, open: Arc::new(open) }
}
