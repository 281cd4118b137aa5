//! Outgoing HTTP for guests: HTTP/1.1 over TCP or TLS to addresses that our own resolver found.
//!
//! Each request has a connection of its own. Certificates are checked against what the container's file system trusts
//! and, where it has nothing, against Mozilla's list.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use http_body_util::BodyExt;
use hyper::client::conn::http1;
use hyper::http::uri::{PathAndQuery, Scheme};
use hyper::{Request, Response, Uri};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_rustls::rustls::{ClientConfig, RootCertStore};
use wasmtime_wasi::runtime::spawn;
use wasmtime_wasi_http::io::TokioIo;
use wasmtime_wasi_http::{Error, RequestOptions, WasiBody, WasiHttpHooks};

use super::body::Patient;
use super::reach::Reach;
use super::resolve::ResolveError;

/// How long anything may take that the guest sets no limit for; wasmtime's own default.
const PATIENCE: Duration = Duration::from_secs(600);

type Worker = Box<dyn Future<Output = Result<(), Error>> + Send>;

/// The hooks by which wasmtime-wasi-http sends a guest's requests.
#[derive(Debug)]
pub(super) struct Outgoing {
    reach: Arc<Reach>,
}

impl Outgoing {
    pub(super) fn new(reach: Arc<Reach>) -> Self {
        Self { reach }
    }
}

impl WasiHttpHooks for Outgoing {
    fn send_request(
        &mut self,
        request: Request<WasiBody>,
        options: Option<RequestOptions>,
        _response_processed: Worker,
    ) -> Box<dyn Future<Output = Result<(Response<WasiBody>, Worker), Error>> + Send> {
        let reach = self.reach.clone();
        Box::new(send(reach, request, options.unwrap_or_default()))
    }
}

async fn send(
    reach: Arc<Reach>,
    mut request: Request<WasiBody>,
    options: RequestOptions,
) -> Result<(Response<WasiBody>, Worker), Error> {
    let connecting = connect(&reach, request.uri());
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
    let response = response.map(|body| Patient::new(body, patience).boxed_unsync());
    Ok((response, Box::new(async move { Ok(connection.await?) })))
}

/// A connection, with or without TLS.
trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

async fn connect(reach: &Reach, uri: &Uri) -> Result<Box<dyn Stream>, Error> {
    let encrypted = uri.scheme() == Some(&Scheme::HTTPS);
    let authority = uri.authority().ok_or(Error::HttpRequestUriInvalid)?;
    let port = authority.port_u16().unwrap_or(if encrypted { 443 } else { 80 });
    if !reach.may_request(authority.host(), port) {
        return Err(Error::HttpRequestDenied);
    }
    let addresses = reach.resolve_granted(authority.host()).await.map_err(dns_error)?;
    let mut last = Error::DestinationNotFound;
    for address in addresses {
        match TcpStream::connect((address, port)).await {
            Ok(stream) => {
                // Small requests must not wait for the acknowledgement of the one before.
                let _ = stream.set_nodelay(true);
                return if encrypted { encrypt(stream, authority.host()).await } else { Ok(Box::new(stream)) };
            }
            Err(error) => last = Error::Connect(error),
        }
    }
    Err(last)
}

async fn encrypt(stream: TcpStream, host: &str) -> Result<Box<dyn Stream>, Error> {
    static CONFIG: OnceLock<Arc<ClientConfig>> = OnceLock::new();
    let config = CONFIG.get_or_init(|| {
        let config = ClientConfig::builder().with_root_certificates(roots()).with_no_client_auth();
        Arc::new(config)
    });
    let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
    let name = ServerName::try_from(host).map_err(|_| Error::HttpRequestUriInvalid)?;
    let stream = TlsConnector::from(config.clone()).connect(name, stream).await.map_err(Error::Tls)?;
    Ok(Box::new(stream))
}

/// Who may sign certificates: the container decides, and Mozilla where it does not.
fn roots() -> RootCertStore {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if roots.is_empty() {
        roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
    }
    roots
}

fn dns_error(error: ResolveError) -> Error {
    match error {
        ResolveError::Name(_) => Error::HttpRequestUriInvalid,
        ResolveError::NotFound(_) => Error::DnsError { rcode: Some("NXDOMAIN".to_owned()), info_code: None },
        ResolveError::NoAnswer(_) => Error::DnsTimeout,
        ResolveError::Server { reason, .. } => Error::DnsError { rcode: Some(reason), info_code: None },
    }
}
