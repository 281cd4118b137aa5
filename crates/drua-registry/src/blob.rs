//! Blobs on their way here: from any offset, over broken connections, bounded by their descriptor.

use bytes::Bytes;
use drua_types::Digest;
use hyper::header::{self, HeaderValue};
use hyper::{Method, StatusCode};

use crate::RegistryError;
use crate::repository::Repository;
use crate::request::{ATTEMPTS, back_off};
use crate::transport::Reply;

/// So much must come between two breaks, or it was one more attempt.
const PROGRESS_BYTES: u64 = 1 << 20;

/// A part of a blob as a stream. Whether it is what its digest says is for the reader to check: only the whole tells.
#[derive(Debug)]
pub struct BlobStream {
    repository: Repository,
    digest: Digest,
    /// Of the whole blob.
    size: u64,
    /// The next byte to yield.
    offset: u64,
    end: u64,
    open: Option<Open>,
    /// Whether the server has said that it knows ranges.
    ranges: bool,
    /// Where the last break was, and how many there have been without progress.
    broke_at: u64,
    attempts: u32,
}

struct Open {
    reply: Reply,
    /// Bytes to throw away first: the server does not know ranges.
    skip: u64,
}

impl std::fmt::Debug for Open {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Open").field("skip", &self.skip).finish_non_exhaustive()
    }
}

impl Repository {
    /// A blob's bytes from `start` to `end`, which may not exceed `size`. Nothing is sent before the first `next`.
    pub fn blob(&self, digest: &Digest, size: u64, start: u64, end: u64) -> BlobStream {
        BlobStream {
            repository: self.clone(),
            digest: digest.clone(),
            size,
            offset: start.min(size),
            end: end.min(size),
            open: None,
            ranges: false,
            broke_at: start,
            attempts: 0,
        }
    }

    /// Whether the repository has a blob.
    ///
    /// # Errors
    /// Whatever keeps us from knowing.
    pub async fn has_blob(&self, digest: &Digest) -> Result<bool, RegistryError> {
        match self.send(&self.request(Method::HEAD, &format!("blobs/{digest}"))).await {
            Ok(_) => Ok(true),
            Err(RegistryError::NotFound { .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Reads a small blob whole, and verifies it.
    ///
    /// # Errors
    /// [`RegistryError::Damaged`] when it is not what its digest says.
    pub async fn read_blob(&self, digest: &Digest, size: u64) -> Result<Bytes, RegistryError> {
        let mut stream = self.blob(digest, size, 0, size);
        let mut whole = Vec::new();
        while let Some(piece) = stream.next().await {
            whole.extend_from_slice(&piece?);
        }
        match Digest::of(&whole) {
            actual if actual == *digest => Ok(whole.into()),
            actual => {
                Err(RegistryError::Damaged { digest: digest.clone(), reason: format!("it has digest `{actual}`") })
            }
        }
    }
}

impl BlobStream {
    /// Where the next piece begins.
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// Whether parts of the blob can be asked for; known after the first piece.
    pub(crate) fn knows_ranges(&self) -> bool {
        self.ranges
    }

    /// The next piece; `None` at the end. Not cancellation safe.
    pub async fn next(&mut self) -> Option<Result<Bytes, RegistryError>> {
        loop {
            if self.offset == self.end && self.open.is_none() {
                return None;
            }
            match self.step().await {
                Ok(Some(piece)) => return Some(Ok(piece)),
                Ok(None) => {
                    self.open = None;
                    return None;
                }
                Err(error) => {
                    self.open = None;
                    if !error.is_passing() || !self.may_try_again() {
                        return Some(Err(error));
                    }
                    tracing::debug!(%error, offset = self.offset, "going on with a blob");
                    tokio::time::sleep(back_off(self.repository.transport(), self.attempts)).await;
                }
            }
        }
    }

    fn may_try_again(&mut self) -> bool {
        if self.offset >= self.broke_at + PROGRESS_BYTES {
            self.attempts = 0;
        }
        self.broke_at = self.offset;
        self.attempts += 1;
        self.attempts < ATTEMPTS
    }

    async fn step(&mut self) -> Result<Option<Bytes>, RegistryError> {
        if self.open.is_none() {
            let open = self.request().await?;
            self.ranges = open.reply.status == StatusCode::PARTIAL_CONTENT
                || open.reply.header(header::ACCEPT_RANGES).is_some_and(|unit| unit == "bytes");
            self.open = Some(open);
        }
        let Some(open) = &mut self.open else { return Ok(None) };
        loop {
            let Some(piece) = open.reply.next().await else {
                return match self.offset == self.end {
                    true => Ok(None),
                    false => {
                        Err(self
                            .damaged(format!("it ends after {} bytes, its manifest says {}", self.offset, self.size)))
                    }
                };
            };
            let mut piece = piece?;
            let skipped = open.skip.min(piece.len() as u64);
            open.skip -= skipped;
            piece = piece.slice(usize::try_from(skipped).unwrap_or(usize::MAX)..);
            if piece.is_empty() {
                continue;
            }
            let wanted = self.end - self.offset;
            if piece.len() as u64 > wanted {
                if self.end == self.size {
                    return Err(
                        self.damaged(format!("it is longer than the {} bytes that its manifest says", self.size))
                    );
                }
                // A server without ranges sends all of it; we need no more.
                piece.truncate(usize::try_from(wanted).unwrap_or(usize::MAX));
                if piece.is_empty() {
                    return Ok(None);
                }
            }
            self.offset += piece.len() as u64;
            return Ok(Some(piece));
        }
    }

    async fn request(&self) -> Result<Open, RegistryError> {
        let mut outgoing = self.repository.request(Method::GET, &format!("blobs/{}", self.digest));
        let partial = self.offset > 0 || self.end < self.size;
        if partial {
            let range = format!("bytes={}-{}", self.offset, self.end.saturating_sub(1));
            if let Ok(range) = HeaderValue::from_str(&range) {
                outgoing.headers.insert(header::RANGE, range);
            }
        }
        let reply = self.repository.send(&outgoing).await?;
        let length: Option<u64> = reply.header(header::CONTENT_LENGTH).and_then(|text| text.parse().ok());
        let (expected, skip) = match reply.status {
            StatusCode::PARTIAL_CONTENT if partial => {
                let range = reply.header(header::CONTENT_RANGE).unwrap_or_default();
                let start = range.strip_prefix("bytes ").and_then(|range| range.split('-').next()?.parse().ok());
                if start != Some(self.offset) {
                    let reason = format!("asked for bytes from {}, it sends `{range}`", self.offset);
                    return Err(RegistryError::Protocol { request: reply.request, reason });
                }
                (self.end - self.offset, 0)
            }
            StatusCode::OK => (self.size, self.offset),
            status => {
                let reason = format!("status {} for a blob", status.as_u16());
                return Err(RegistryError::Protocol { request: reply.request, reason });
            }
        };
        // Told before anything is downloaded: a web page, or another blob.
        if let Some(length) = length.filter(|length| *length != expected) {
            let html = reply.header(header::CONTENT_TYPE).is_some_and(|text| text.starts_with("text/html"));
            if html {
                let reason = "a web page; is this a registry?".to_owned();
                return Err(RegistryError::Protocol { request: reply.request, reason });
            }
            return Err(self.damaged(format!("the registry has {length} bytes of it, its manifest says {expected}")));
        }
        Ok(Open { reply, skip })
    }

    fn damaged(&self, reason: String) -> RegistryError {
        RegistryError::Damaged { digest: self.digest.clone(), reason }
    }
}
