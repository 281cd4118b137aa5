//! Outgoing HTTP for guests: HTTP/1.1 over TCP to addresses that our own resolver found.
//!
//! Each request has a connection of its own. TLS is not offered yet.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use hyper::client::conn::http1;
use hyper::http::uri::{PathAndQuery, Scheme};
use hyper::{Request, Response, Uri};
use tokio::net::TcpStream;
use tokio::time::{Sleep, sleep, timeout};
use wasmtime_wasi::runtime::spawn;
use wasmtime_wasi_http::io::TokioIo;
use wasmtime_wasi_http::{Error, RequestOptions, WasiBody, WasiHttpHooks};

use super::resolve::{ResolveError, Resolver};

/// How long anything may take that the guest sets no limit for; wasmtime's own default.
const PATIENCE: Duration = Duration::from_secs(600);

type Worker = Box<dyn Future<Output = Result<(), Error>> + Send>;

/// The hooks by which wasmtime-wasi-http sends a guest's requests.
#[derive(Debug)]
pub(super) struct Outgoing {
    resolver: Arc<Resolver>,
}

impl Outgoing {
    pub(super) fn new(resolver: Arc<Resolver>) -> Self {
        Self { resolver }
    }
}

impl WasiHttpHooks for Outgoing {
    fn send_request(
        &mut self,
        request: Request<WasiBody>,
        options: Option<RequestOptions>,
        _response_processed: Worker,
    ) -> Box<dyn Future<Output = Result<(Response<WasiBody>, Worker), Error>> + Send> {
        let resolver = self.resolver.clone();
        Box::new(send(resolver, request, options.unwrap_or_default()))
    }
}

async fn send(
    resolver: Arc<Resolver>,
    mut request: Request<WasiBody>,
    options: RequestOptions,
) -> Result<(Response<WasiBody>, Worker), Error> {
    let connecting = connect(&resolver, request.uri());
    let stream = timeout(options.connect_timeout.unwrap_or(PATIENCE), connecting)
        .await
        .map_err(|_| Error::ConnectionTimeout)??;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    let connection = spawn(connection);
    // On the wire only proxies are sent a full URI.
    let path = request.uri().path_and_query().cloned().unwrap_or_else(|| PathAndQuery::from_static("/"));
    *request.uri_mut() = Uri::from(path);
    let response = timeout(options.first_byte_timeout.unwrap_or(PATIENCE), sender.send_request(request))
        .await
        .map_err(|_| Error::ConnectionReadTimeout)??;
    let patience = options.between_bytes_timeout.unwrap_or(PATIENCE);
    let response = response.map(|body| Timed::new(body, patience).boxed_unsync());
    Ok((response, Box::new(async move { Ok(connection.await?) })))
}

async fn connect(resolver: &Resolver, uri: &Uri) -> Result<TcpStream, Error> {
    if uri.scheme() == Some(&Scheme::HTTPS) {
        return Err(Error::InternalError(Some(
            "drua does not speak TLS for outgoing requests yet; use http".to_owned(),
        )));
    }
    let authority = uri.authority().ok_or(Error::HttpRequestUriInvalid)?;
    let port = authority.port_u16().unwrap_or(80);
    let addresses = resolver.resolve(authority.host()).await.map_err(dns_error)?;
    let mut last = Error::DestinationNotFound;
    for address in addresses {
        match TcpStream::connect((address, port)).await {
            Ok(stream) => {
                // Small requests must not wait for the acknowledgement of the one before.
                let _ = stream.set_nodelay(true);
                return Ok(stream);
            }
            Err(error) => last = Error::Connect(error),
        }
    }
    Err(last)
}

fn dns_error(error: ResolveError) -> Error {
    match error {
        ResolveError::Name(_) => Error::HttpRequestUriInvalid,
        ResolveError::NotFound(_) => Error::DnsError { rcode: Some("NXDOMAIN".to_owned()), info_code: None },
        ResolveError::NoAnswer(_) => Error::DnsTimeout,
        ResolveError::Server { reason, .. } => Error::DnsError { rcode: Some(reason), info_code: None },
    }
}

/// A response body whose every frame must come within a time of the one before.
struct Timed {
    body: Incoming,
    patience: Duration,
    deadline: Pin<Box<Sleep>>,
}

impl Timed {
    fn new(body: Incoming, patience: Duration) -> Self {
        Self { body, patience, deadline: Box::pin(sleep(patience)) }
    }
}

impl Body for Timed {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        if let Poll::Ready(frame) = Pin::new(&mut self.body).poll_frame(cx) {
            let next = tokio::time::Instant::now() + self.patience;
            self.deadline.as_mut().reset(next);
            return Poll::Ready(frame.map(|frame| frame.map_err(Error::from)));
        }
        self.deadline.as_mut().poll(cx).map(|()| Some(Err(Error::ConnectionReadTimeout)))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
