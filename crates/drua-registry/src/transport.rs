//! One HTTP/1.1 exchange with one server: connections (direct, by proxy, with TLS), their pool, and time limits.

use std::collections::HashMap;
use std::convert::Infallible;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use futures_util::{Stream, TryStreamExt as _};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::client::conn::http1;
use hyper::header::{self, HeaderMap, HeaderValue};
use hyper::{Method, Request, StatusCode};
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::AbortHandle;
use tokio::time::{Instant, timeout};
use tokio_rustls::TlsConnector;

use crate::RegistryError;
use crate::origin::{Origin, Scheme};
use crate::proxy::Proxy;
use crate::settings::Settings;
use crate::tls::Trust;

/// Idle connections that are kept for a server.
const KEPT: usize = 8;
/// How long one is kept; registries close theirs after a minute or more.
const KEPT_FOR: Duration = Duration::from_secs(20);

/// A body piece by piece.
pub type ByteStream = Pin<Box<dyn Stream<Item = io::Result<Bytes>> + Send>>;

/// What a request carries; it can be sent again.
#[derive(Clone)]
pub(crate) enum Payload {
    Empty,
    Bytes(Bytes),
    Stream { length: u64, open: Arc<dyn Fn() -> ByteStream + Send + Sync> },
}

/// A request to some origin.
#[derive(Clone)]
pub(crate) struct Outgoing {
    pub(crate) method: Method,
    /// Path and query.
    pub(crate) target: String,
    pub(crate) headers: HeaderMap,
    pub(crate) payload: Payload,
}

impl Outgoing {
    pub(crate) fn new(method: Method, target: impl Into<String>) -> Self {
        Self { method, target: target.into(), headers: HeaderMap::new(), payload: Payload::Empty }
    }

    /// For messages: the query may hold signatures and stays out.
    pub(crate) fn describe(&self, origin: &Origin) -> String {
        let path = self.target.split('?').next().unwrap_or_default();
        format!("{} {origin}{path}", self.method)
    }
}

trait Wire: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Wire for T {}

type Body = UnsyncBoxBody<Bytes, io::Error>;

/// A connection and the task that drives it; dropping it closes the connection.
struct Connection {
    sender: http1::SendRequest<Body>,
    driver: AbortHandle,
    idle_since: Instant,
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

#[derive(Default)]
struct Pool(Mutex<HashMap<Origin, Vec<Connection>>>);

impl Pool {
    fn take(&self, origin: &Origin) -> Option<Connection> {
        let mut idle = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        idle.retain(|_, connections| {
            connections.retain(|one| one.idle_since.elapsed() < KEPT_FOR && !one.sender.is_closed());
            !connections.is_empty()
        });
        idle.get_mut(origin)?.pop()
    }

    fn put(&self, origin: &Origin, mut connection: Connection) {
        let mut idle = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let connections = idle.entry(origin.clone()).or_default();
        if connections.len() < KEPT && !connection.sender.is_closed() {
            connection.idle_since = Instant::now();
            connections.push(connection);
        }
    }
}

/// The way to all servers.
pub(crate) struct Transport {
    pub(crate) settings: Settings,
    trust: Trust,
    pool: Arc<Pool>,
}

impl Transport {
    pub(crate) fn new(settings: Settings) -> Self {
        Self { settings, trust: Trust::default(), pool: Arc::default() }
    }

    /// Sends a request and returns with the head of the answer, whatever its status.
    pub(crate) async fn exchange(&self, origin: &Origin, outgoing: &Outgoing) -> Result<Reply, RegistryError> {
        let proxy = self.settings.proxies.for_origin(origin).map_err(|error| connect_error(origin, error))?;
        // A kept connection may turn out to be closed only when it is used: that costs one more attempt, on a fresh one.
        if let Some(connection) = self.pool.take(origin) {
            match self.send(connection, origin, proxy.as_ref(), outgoing).await {
                Err(RegistryError::Broken { .. }) => {}
                other => return other,
            }
        }
        let limit = self.settings.timeouts.connect;
        let connection = match timeout(limit, self.connect(origin, proxy.as_ref())).await {
            Ok(connection) => connection?,
            Err(_) => {
                let late =
                    io::Error::new(io::ErrorKind::TimedOut, format!("no connection within {} s", limit.as_secs_f32()));
                return Err(connect_error(origin, late));
            }
        };
        self.send(connection, origin, proxy.as_ref(), outgoing).await
    }

    async fn send(
        &self,
        mut connection: Connection,
        origin: &Origin,
        proxy: Option<&Proxy>,
        outgoing: &Outgoing,
    ) -> Result<Reply, RegistryError> {
        let name = outgoing.describe(origin);
        let broken = |source: hyper::Error| RegistryError::Broken { request: name.clone(), source: source.into() };
        connection.sender.ready().await.map_err(broken)?;
        let request = build(origin, proxy, outgoing, &name)?;
        let limit = self.settings.timeouts.answer;
        // Uploads take as long as they take: the limit counts from the last byte that the server took.
        let sent = match &outgoing.payload {
            Payload::Stream { .. } => Ok(connection.sender.send_request(request).await),
            Payload::Empty | Payload::Bytes(_) => timeout(limit, connection.sender.send_request(request)).await,
        };
        let response = match sent {
            Ok(response) => response.map_err(broken)?,
            Err(_) => return Err(RegistryError::Stalled { request: name, after: limit }),
        };
        let (head, body) = response.into_parts();
        tracing::debug!(request = name, status = head.status.as_u16(), "registry");
        Ok(Reply {
            origin: origin.clone(),
            target: outgoing.target.clone(),
            request: name,
            status: head.status,
            headers: head.headers,
            body,
            connection: Some(connection),
            pool: Arc::clone(&self.pool),
            idle: self.settings.timeouts.idle,
        })
    }

    async fn connect(&self, origin: &Origin, proxy: Option<&Proxy>) -> Result<Connection, RegistryError> {
        let failed = |error: io::Error| connect_error(origin, error);
        let next = proxy.map_or(origin, |proxy| &proxy.origin);
        let socket = TcpStream::connect((next.host.as_str(), next.port)).await.map_err(failed)?;
        socket.set_nodelay(true).map_err(failed)?;
        let mut wire: Box<dyn Wire> = Box::new(socket);
        if let Some(proxy) = proxy {
            if proxy.origin.scheme == Scheme::Https {
                wire = self.secure(wire, &proxy.origin).await?;
            }
            if origin.scheme == Scheme::Https {
                tunnel(&mut wire, origin, proxy).await.map_err(failed)?;
            }
        }
        if origin.scheme == Scheme::Https {
            wire = self.secure(wire, origin).await?;
        }
        // A large buffer: layers come in as pieces of this size.
        let handshake = http1::Builder::new().max_buf_size(256 << 10).handshake(TokioIo::new(wire)).await;
        let (sender, driver) = handshake.map_err(|error| connect_error(origin, error))?;
        let driver = tokio::spawn(async move {
            // A broken connection is reported by the request or the body that it breaks.
            if let Err(error) = driver.await {
                tracing::debug!(%error, "connection to a registry ended");
            }
        });
        Ok(Connection { sender, driver: driver.abort_handle(), idle_since: Instant::now() })
    }

    async fn secure(&self, wire: Box<dyn Wire>, origin: &Origin) -> Result<Box<dyn Wire>, RegistryError> {
        let config = self.trust.config(&self.settings, origin).map_err(|error| connect_error(origin, error))?;
        let name = ServerName::try_from(origin.host.clone()).map_err(|error| connect_error(origin, error))?;
        match TlsConnector::from(config).connect(name, wire).await {
            Ok(stream) => Ok(Box::new(stream)),
            Err(error) => {
                let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
                let untrusted = matches!(inner, Some(rustls::Error::InvalidCertificate(_)));
                Err(RegistryError::Connect { server: origin.to_string(), source: error.into(), untrusted })
            }
        }
    }
}

impl std::fmt::Debug for Transport {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Transport").field("settings", &self.settings).finish_non_exhaustive()
    }
}

fn connect_error(origin: &Origin, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> RegistryError {
    RegistryError::Connect { server: origin.to_string(), source: source.into(), untrusted: false }
}

/// Asks a proxy for a way to a server (RFC 9110 §9.3.6).
async fn tunnel(wire: &mut Box<dyn Wire>, origin: &Origin, proxy: &Proxy) -> io::Result<()> {
    let target = origin.host_and_port();
    let authorization = match &proxy.authorization {
        Some(value) => format!("Proxy-Authorization: {}\r\n", value.expose()),
        None => String::new(),
    };
    let request = format!("CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n{authorization}\r\n");
    wire.write_all(request.as_bytes()).await?;
    wire.flush().await?;
    let mut head = Vec::new();
    // Byte by byte, so that nothing of the tunnel's own content is swallowed; the head is short.
    while !head.ends_with(b"\r\n\r\n") {
        if head.len() > 16 << 10 {
            return Err(io::Error::other("the proxy's answer is too long"));
        }
        head.push(wire.read_u8().await?);
    }
    let line = String::from_utf8_lossy(&head).lines().next().unwrap_or_default().to_owned();
    match line.split(' ').nth(1) {
        Some(status) if status.starts_with('2') => Ok(()),
        _ => Err(io::Error::other(format!("the proxy `{}` refuses: {line}", proxy.origin))),
    }
}

fn build(
    origin: &Origin,
    proxy: Option<&Proxy>,
    outgoing: &Outgoing,
    name: &str,
) -> Result<Request<Body>, RegistryError> {
    let proxied = proxy.filter(|_| origin.scheme == Scheme::Http);
    let target = match proxied {
        Some(_) => format!("{origin}{}", outgoing.target),
        None => outgoing.target.clone(),
    };
    let (body, length): (Body, _) = match &outgoing.payload {
        Payload::Empty => (boxed(Full::new(Bytes::new())), None),
        Payload::Bytes(bytes) => (boxed(Full::new(bytes.clone())), Some(bytes.len() as u64)),
        Payload::Stream { length, open } => (StreamBody::new(open().map_ok(Frame::data)).boxed_unsync(), Some(*length)),
    };
    let mut request = Request::builder().method(outgoing.method.clone()).uri(target).body(body).map_err(|error| {
        RegistryError::Protocol { request: name.to_owned(), reason: format!("it is no valid request: {error}") }
    })?;
    *request.headers_mut() = outgoing.headers.clone();
    let headers = request.headers_mut();
    if let Ok(host) = HeaderValue::from_str(&origin.authority()) {
        headers.insert(header::HOST, host);
    }
    headers.insert(header::USER_AGENT, HeaderValue::from_static(concat!("drua/", env!("CARGO_PKG_VERSION"))));
    if let Some(length) = length {
        headers.insert(header::CONTENT_LENGTH, length.into());
    } else if matches!(outgoing.method, Method::POST | Method::PUT | Method::PATCH) {
        headers.insert(header::CONTENT_LENGTH, HeaderValue::from_static("0"));
    }
    if let Some(value) = proxied.and_then(|proxy| proxy.authorization.as_ref())
        && let Ok(value) = HeaderValue::from_str(value.expose())
    {
        headers.insert(header::PROXY_AUTHORIZATION, value);
    }
    Ok(request)
}

fn boxed(body: Full<Bytes>) -> Body {
    body.map_err(|never: Infallible| match never {}).boxed_unsync()
}

/// An answer; its connection goes back to the pool when the body has been read to its end.
pub(crate) struct Reply {
    pub(crate) origin: Origin,
    /// The path that was asked for.
    pub(crate) target: String,
    pub(crate) request: String,
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    body: Incoming,
    connection: Option<Connection>,
    pool: Arc<Pool>,
    idle: Duration,
}

impl Reply {
    /// A header that is plain text.
    pub(crate) fn header(&self, name: header::HeaderName) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// The next piece of the body.
    pub(crate) async fn next(&mut self) -> Option<Result<Bytes, RegistryError>> {
        loop {
            let Ok(frame) = timeout(self.idle, self.body.frame()).await else {
                return Some(Err(RegistryError::Stalled { request: self.request.clone(), after: self.idle }));
            };
            match frame {
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) if data.is_empty() => {}
                    Ok(data) => return Some(Ok(data)),
                    Err(_) => {}
                },
                Some(Err(source)) => {
                    self.connection = None;
                    return Some(Err(RegistryError::Broken { request: self.request.clone(), source: source.into() }));
                }
                None => {
                    if let Some(connection) = self.connection.take() {
                        self.pool.put(&self.origin, connection);
                    }
                    return None;
                }
            }
        }
    }

    /// The whole body; longer ones are an error.
    pub(crate) async fn collect(mut self, limit: usize) -> Result<Bytes, RegistryError> {
        let mut whole = Vec::new();
        while let Some(piece) = self.next().await {
            let piece = piece?;
            if whole.len() + piece.len() > limit {
                let reason = format!("it is longer than the limit of {limit} bytes");
                return Err(RegistryError::Protocol { request: self.request, reason });
            }
            whole.extend_from_slice(&piece);
        }
        Ok(whole.into())
    }

    /// The beginning of the body, for messages; never fails.
    pub(crate) async fn start(mut self, limit: usize) -> Bytes {
        let mut start = Vec::new();
        while start.len() < limit {
            match self.next().await {
                Some(Ok(piece)) => start.extend_from_slice(&piece),
                Some(Err(_)) | None => break,
            }
        }
        start.truncate(limit);
        start.into()
    }
}
