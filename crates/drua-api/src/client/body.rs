use std::fmt;
use std::io;
use std::marker::PhantomData;

use bytes::{Bytes, BytesMut};
use futures_util::{Stream, TryStreamExt, stream};
use http_body_util::{BodyExt, Empty, Full, StreamBody};
use hyper::body::Frame as BodyFrame;
use serde::de::DeserializeOwned;
use tokio::io::{AsyncRead, AsyncReadExt};

use super::transport::{Body, Connection};
use crate::stream::{Decoder, Frame, Framing};
use crate::{ClientError, Host};

/// Longest single object of a JSON stream.
const MAX_LINE_BYTES: usize = 16 << 20;
/// How much is read at once from a source that is sent as a body.
const CHUNK_BYTES: usize = 256 << 10;

/// What is sent with a request.
pub struct RequestBody(Body);

impl RequestBody {
    /// Nothing.
    pub fn empty() -> Self {
        Self(Empty::new().map_err(|never| match never {}).boxed_unsync())
    }

    /// A stream, sent in chunks. An error of the stream aborts the request.
    pub fn from_stream(source: impl Stream<Item = io::Result<Bytes>> + Send + 'static) -> Self {
        Self(StreamBody::new(source.map_ok(BodyFrame::data)).boxed_unsync())
    }

    /// Everything that a reader has, sent in chunks as it is read.
    pub fn from_reader(reader: impl AsyncRead + Send + Unpin + 'static) -> Self {
        Self::from_stream(stream::try_unfold(reader, |mut reader| async move {
            let mut chunk = BytesMut::with_capacity(CHUNK_BYTES);
            let count = reader.read_buf(&mut chunk).await?;
            Ok((count > 0).then(|| (chunk.freeze(), reader)))
        }))
    }

    pub(super) fn into_inner(self) -> Body {
        self.0
    }
}

impl From<Bytes> for RequestBody {
    fn from(bytes: Bytes) -> Self {
        Self(Full::new(bytes).map_err(|never| match never {}).boxed_unsync())
    }
}

impl fmt::Debug for RequestBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RequestBody")
    }
}

/// A response's body together with the connection that it comes from.
#[derive(Debug)]
pub(super) struct Incoming {
    pub(super) body: hyper::body::Incoming,
    /// Kept alive for as long as the body is read.
    _connection: Connection,
    pub(super) request: String,
    pub(super) host: Host,
}

impl Incoming {
    pub(super) fn new(body: hyper::body::Incoming, connection: Connection, request: String, host: Host) -> Self {
        Self { body, _connection: connection, request, host }
    }

    async fn next(&mut self) -> Option<Result<Bytes, ClientError>> {
        loop {
            match self.body.frame().await? {
                // Trailers carry nothing for us.
                Ok(frame) => {
                    if let Ok(data) = frame.into_data() {
                        return Some(Ok(data));
                    }
                }
                Err(source) => {
                    let (host, request) = (self.host.clone(), self.request.clone());
                    return Some(Err(ClientError::Transport { host, request, source }));
                }
            }
        }
    }
}

/// A body as it arrives: an archive, for example.
#[derive(Debug)]
pub struct ByteStream(pub(super) Incoming);

impl ByteStream {
    /// The next piece; `None` at the end. Cancellation safe.
    pub async fn next(&mut self) -> Option<Result<Bytes, ClientError>> {
        self.0.next().await
    }
}

/// JSON objects, one a line, as they arrive.
#[derive(Debug)]
pub struct JsonStream<T> {
    source: Incoming,
    buffer: BytesMut,
    ended: bool,
    item: PhantomData<fn() -> T>,
}

impl<T: DeserializeOwned> JsonStream<T> {
    pub(super) fn new(source: Incoming) -> Self {
        Self { source, buffer: BytesMut::new(), ended: false, item: PhantomData }
    }

    /// The next object; `None` at the end. Cancellation safe.
    pub async fn next(&mut self) -> Option<Result<T, ClientError>> {
        loop {
            if let Some(line) = self.take_line() {
                let line = line.trim_ascii();
                if line.is_empty() {
                    continue;
                }
                return Some(serde_json::from_slice(line).map_err(|source| {
                    self.ended = true;
                    ClientError::Decode { request: self.source.request.clone(), source }
                }));
            }
            if self.ended {
                return None;
            }
            match self.source.next().await {
                Some(Ok(piece)) => self.buffer.extend_from_slice(&piece),
                Some(Err(error)) => {
                    self.stop();
                    return Some(Err(error));
                }
                None => self.ended = true,
            }
            if self.buffer.len() > MAX_LINE_BYTES {
                self.stop();
                let source = io::Error::new(
                    io::ErrorKind::FileTooLarge,
                    format!("an object is larger than {MAX_LINE_BYTES} bytes"),
                );
                return Some(Err(ClientError::Stream { request: self.source.request.clone(), source }));
            }
        }
    }

    /// A complete line, or at the end whatever is left.
    fn take_line(&mut self) -> Option<BytesMut> {
        match self.buffer.iter().position(|&byte| byte == b'\n') {
            Some(end) => Some(self.buffer.split_to(end + 1)),
            None if self.ended && !self.buffer.is_empty() => Some(self.buffer.split()),
            None => None,
        }
    }

    fn stop(&mut self) {
        self.buffer.clear();
        self.ended = true;
    }
}

/// Output of a container, frame by frame: its logs, or an attached stream.
pub struct FrameStream {
    source: Source,
    decoder: Decoder,
    framing: Framing,
    pending: Bytes,
    request: String,
    ended: bool,
}

enum Source {
    Body(Incoming),
    Raw(Box<dyn AsyncRead + Send + Unpin>),
}

impl FrameStream {
    pub(super) fn from_body(body: Incoming, framing: Framing) -> Self {
        let request = body.request.clone();
        Self::new(Source::Body(body), framing, request)
    }

    pub(super) fn from_reader(reader: Box<dyn AsyncRead + Send + Unpin>, framing: Framing, request: String) -> Self {
        Self::new(Source::Raw(reader), framing, request)
    }

    fn new(source: Source, framing: Framing, request: String) -> Self {
        Self { source, decoder: Decoder::new(framing), framing, pending: Bytes::new(), request, ended: false }
    }

    /// Whether stdout and stderr are kept apart.
    pub fn framing(&self) -> Framing {
        self.framing
    }

    /// The next piece of output; `None` at the end. Cancellation safe.
    pub async fn next(&mut self) -> Option<Result<Frame, ClientError>> {
        while !self.ended {
            match self.decoder.decode(&mut self.pending) {
                Ok(Some(frame)) => return Some(Ok(frame)),
                Ok(None) => {}
                Err(error) => return Some(Err(self.damaged(error.into()))),
            }
            match self.read().await {
                Some(Ok(piece)) => self.pending = piece,
                Some(Err(error)) => {
                    self.ended = true;
                    return Some(Err(error));
                }
                None => {
                    self.ended = true;
                    if let Err(error) = self.decoder.finish() {
                        return Some(Err(self.damaged(error.into())));
                    }
                }
            }
        }
        None
    }

    async fn read(&mut self) -> Option<Result<Bytes, ClientError>> {
        let reader = match &mut self.source {
            Source::Body(body) => return body.next().await,
            Source::Raw(reader) => reader,
        };
        let mut piece = BytesMut::with_capacity(32 << 10);
        match reader.read_buf(&mut piece).await {
            Ok(0) => None,
            Ok(_) => Some(Ok(piece.freeze())),
            Err(source) => Some(Err(self.damaged(source))),
        }
    }

    fn damaged(&mut self, source: io::Error) -> ClientError {
        self.ended = true;
        ClientError::Stream { request: self.request.clone(), source }
    }
}

impl fmt::Debug for FrameStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FrameStream")
            .field("request", &self.request)
            .field("framing", &self.framing)
            .finish_non_exhaustive()
    }
}
