//! Requests and responses in Docker's manner.

use std::fmt::Display;
use std::io::{self, Read, Write};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use drua_types::{Classify, ErrorKind, error_chain};
use futures_util::{StreamExt as _, TryStreamExt as _};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt as _, BodyStream, Empty, Full, Limited, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::{Request, Response, StatusCode};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::sync::mpsc;
use tokio_util::io::{StreamReader, SyncIoBridge};

/// A JSON body longer than this is refused.
const MAX_JSON_BYTES: usize = 16 << 20;
/// Chunks that a streaming response may be ahead of its client.
const AHEAD: usize = 64;

pub(crate) type Body = BoxBody<Bytes, Aborted>;

/// A streaming answer cannot be finished: the connection breaks, so that no client takes the part for the whole.
#[derive(Debug, thiserror::Error)]
#[error("the answer ends early: {0}")]
pub(crate) struct Aborted(String);

pub(crate) type Reply = Result<Response<Body>, Failure>;

/// An answer that is an error: a status and Docker's `{"message": …}`.
#[derive(Debug)]
pub(crate) struct Failure {
    status: StatusCode,
    message: String,
}

impl Failure {
    pub(crate) fn new(status: StatusCode, message: impl Display) -> Self {
        Self { status, message: message.to_string() }
    }

    pub(crate) fn invalid(message: impl Display) -> Self {
        Self::new(StatusCode::BAD_REQUEST, message)
    }

    pub(crate) fn not_found(message: impl Display) -> Self {
        Self::new(StatusCode::NOT_FOUND, message)
    }

    pub(crate) fn into_response(self) -> Response<Body> {
        if self.status == StatusCode::NOT_MODIFIED {
            return empty(self.status);
        }
        #[derive(Serialize)]
        struct Message {
            message: String,
        }
        json_with(self.status, &Message { message: self.message })
    }
}

/// HTTP's word for each kind of failure; total, so that a new kind cannot be forgotten.
pub(crate) fn status_of(kind: ErrorKind) -> StatusCode {
    match kind {
        ErrorKind::NotFound => StatusCode::NOT_FOUND,
        ErrorKind::Conflict => StatusCode::CONFLICT,
        ErrorKind::Invalid => StatusCode::BAD_REQUEST,
        ErrorKind::Denied => StatusCode::FORBIDDEN,
        ErrorKind::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        ErrorKind::Unsupported => StatusCode::NOT_IMPLEMENTED,
        ErrorKind::NotModified => StatusCode::NOT_MODIFIED,
        ErrorKind::Internal => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

impl<E: Classify + std::error::Error> From<E> for Failure {
    fn from(error: E) -> Self {
        Self::new(status_of(error.kind()), error_chain(&error))
    }
}

/// An API version: major, minor.
pub(crate) type Version = (u32, u32);

/// The parts of a request that routes read.
#[derive(Debug)]
pub(crate) struct Call {
    pub(crate) query: Query,
    /// The API version of the path; `None` is the newest.
    pub(crate) version: Option<Version>,
    pub(crate) request: Request<RequestBody>,
}

/// Bytes of an unread request body that are still taken in after its answer.
const DRAIN_BYTES: usize = 64 << 20;
/// The time that this may take.
const DRAIN_TIME: Duration = Duration::from_secs(5);

/// A request's body. What a handler has not read by the time that it drops it is read and thrown away, within limits:
/// closing a socket that has unread bytes resets it, and a client that is still sending then sees a broken pipe in
/// place of the answer that says what was wrong.
#[derive(Debug)]
pub(crate) struct RequestBody(Option<Incoming>);

impl RequestBody {
    pub(crate) fn of(request: Request<Incoming>) -> Request<Self> {
        request.map(|body| Self(Some(body)))
    }
}

impl hyper::body::Body for RequestBody {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        self.0.as_mut().map_or(Poll::Ready(None), |body| Pin::new(body).poll_frame(context))
    }

    fn is_end_stream(&self) -> bool {
        self.0.as_ref().is_none_or(hyper::body::Body::is_end_stream)
    }

    fn size_hint(&self) -> hyper::body::SizeHint {
        self.0.as_ref().map(hyper::body::Body::size_hint).unwrap_or_default()
    }
}

impl Drop for RequestBody {
    fn drop(&mut self) {
        let Some(body) = self.0.take().filter(|body| !hyper::body::Body::is_end_stream(body)) else { return };
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        runtime.spawn(async move {
            let mut rest = Limited::new(body, DRAIN_BYTES);
            let drain = async { while let Some(Ok(_)) = rest.frame().await {} };
            // A client that has more, or takes longer, is cut off.
            let _ = tokio::time::timeout(DRAIN_TIME, drain).await;
        });
    }
}

impl Call {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.request.headers().get(name)?.to_str().ok()
    }

    /// Whether the client speaks an API older than this.
    pub(crate) fn is_older_than(&self, version: Version) -> bool {
        self.version.is_some_and(|asked| asked < version)
    }

    /// The JSON body; `None` when there is none.
    pub(crate) async fn json<T: DeserializeOwned>(&mut self) -> Result<Option<T>, Failure> {
        let content_type = self.header("content-type").unwrap_or_default().to_owned();
        let body = Limited::new(self.request.body_mut(), MAX_JSON_BYTES).collect().await;
        let bytes =
            body.map_err(|error| Failure::invalid(format!("cannot read the request body: {error}")))?.to_bytes();
        if bytes.iter().all(u8::is_ascii_whitespace) {
            return Ok(None);
        }
        if content_type.split(';').next().map(str::trim) != Some("application/json") {
            let message = format!("unsupported Content-Type header ({content_type}): must be 'application/json'");
            return Err(Failure::invalid(message));
        }
        serde_json::from_slice(&bytes)
            .map(Some)
            .map_err(|error| Failure::invalid(format!("invalid JSON in the request body: {error}")))
    }

    /// The body as a blocking reader, for work on the blocking pool.
    pub(crate) fn into_reader(self) -> impl Read + Send + 'static {
        let frames = BodyStream::new(self.request.into_body());
        let stream = futures_util::TryStreamExt::map_err(frames, io::Error::other)
            .try_filter_map(|frame| async move { Ok(frame.into_data().ok()) });
        SyncIoBridge::new(StreamReader::new(Box::pin(stream)))
    }
}

/// Query parameters, decoded, in order.
#[derive(Debug, Default)]
pub(crate) struct Query(Vec<(String, String)>);

impl Query {
    pub(crate) fn parse(query: &str) -> Self {
        let decode = |text: &str| {
            let spaced = text.replace('+', " ");
            percent_encoding::percent_decode_str(&spaced).decode_utf8_lossy().into_owned()
        };
        let pairs = query.split('&').filter(|pair| !pair.is_empty());
        Self(
            pairs.map(|pair| pair.split_once('=').unwrap_or((pair, ""))).map(|(k, v)| (decode(k), decode(v))).collect(),
        )
    }

    /// The first value, when it is not empty.
    pub(crate) fn get(&self, key: &str) -> Option<&str> {
        self.0.iter().find(|(known, _)| known == key).map(|(_, value)| value.as_str()).filter(|value| !value.is_empty())
    }

    /// All values.
    pub(crate) fn all(&self, key: &str) -> Vec<String> {
        self.0.iter().filter(|(known, _)| known == key).map(|(_, value)| value.clone()).collect()
    }

    /// Docker's idea of a boolean: anything but nothing, `0`, `no`, `false` and `none` is true.
    pub(crate) fn flag(&self, key: &str) -> bool {
        let value = self.get(key).unwrap_or_default().trim().to_ascii_lowercase();
        !matches!(value.as_str(), "" | "0" | "no" | "false" | "none")
    }

    /// A number.
    pub(crate) fn number<T: std::str::FromStr>(&self, key: &str) -> Result<Option<T>, Failure> {
        let parse = |text: &str| text.parse().map_err(|_| Failure::invalid(format!("invalid value for {key}: {text}")));
        self.get(key).map(parse).transpose()
    }
}

fn never(error: std::convert::Infallible) -> Aborted {
    match error {}
}

pub(crate) fn empty(status: StatusCode) -> Response<Body> {
    respond(status, Empty::new().map_err(never).boxed())
}

pub(crate) fn no_content() -> Reply {
    Ok(empty(StatusCode::NO_CONTENT))
}

pub(crate) fn json(value: &impl Serialize) -> Reply {
    Ok(json_with(StatusCode::OK, value))
}

pub(crate) fn created(value: &impl Serialize) -> Reply {
    Ok(json_with(StatusCode::CREATED, value))
}

pub(crate) fn json_with(status: StatusCode, value: &impl Serialize) -> Response<Body> {
    let mut bytes = serde_json::to_vec(value).expect("answers have string keys and no failing serialisers");
    bytes.push(b'\n');
    let mut response = respond(status, Full::new(Bytes::from(bytes)).map_err(never).boxed());
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

pub(crate) fn text(body: &'static str) -> Response<Body> {
    let mut response = respond(StatusCode::OK, Full::new(Bytes::from_static(body.as_bytes())).map_err(never).boxed());
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    response
}

fn respond(status: StatusCode, body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    response
}

/// A response whose body is written piece by piece; the headers go out at once. Ends when the sender is dropped.
pub(crate) fn stream(content_type: &'static str) -> (Response<Body>, Sender) {
    let (sender, mut receiver) = mpsc::channel::<Result<Bytes, Aborted>>(AHEAD);
    let frames = futures_util::stream::poll_fn(move |cx| receiver.poll_recv(cx)).map(|bytes| bytes.map(Frame::data));
    let mut response = respond(StatusCode::OK, http_body_util::BodyExt::boxed(StreamBody::new(frames)));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    (response, Sender(sender))
}

/// The writing end of a streaming response.
#[derive(Debug, Clone)]
pub(crate) struct Sender(mpsc::Sender<Result<Bytes, Aborted>>);

/// The client has gone.
#[derive(Debug)]
pub(crate) struct ClientGone;

impl Sender {
    pub(crate) async fn send(&self, bytes: impl Into<Bytes>) -> Result<(), ClientGone> {
        self.0.send(Ok(bytes.into())).await.map_err(|_| ClientGone)
    }

    /// One JSON object and Docker's line end.
    pub(crate) async fn json(&self, value: &impl Serialize) -> Result<(), ClientGone> {
        self.send(json_line(value)).await
    }

    /// As [`Sender::json`], from the blocking pool.
    pub(crate) fn blocking_json(&self, value: &impl Serialize) -> Result<(), ClientGone> {
        self.0.blocking_send(Ok(json_line(value))).map_err(|_| ClientGone)
    }

    /// Breaks the connection, from the blocking pool: what was sent so far is not the whole.
    pub(crate) fn abort(&self, why: impl Display) {
        // A client that has gone knows already.
        let _ = self.0.blocking_send(Err(Aborted(why.to_string())));
    }

    /// Completes when the client has gone.
    pub(crate) async fn closed(&self) {
        self.0.closed().await;
    }
}

fn json_line(value: &impl Serialize) -> Bytes {
    let mut line = serde_json::to_vec(value).expect("answers have string keys and no failing serialisers");
    line.extend_from_slice(b"\r\n");
    line.into()
}

/// Lets blocking code write a streaming response.
impl Write for Sender {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        let gone = |_| io::Error::new(io::ErrorKind::BrokenPipe, "the client has gone");
        self.0.blocking_send(Ok(Bytes::copy_from_slice(buffer))).map_err(gone)?;
        Ok(buffer.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
