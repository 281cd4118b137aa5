//! A typed client of the Docker Engine API over a Unix socket or plain TCP.
//!
//! Each request has its own connection: they are cheap on a Unix socket, and a stream (logs, events, wait) occupies one
//! for as long as it lives. Dropping a future or a stream closes its connection; every `next` is cancellation safe.
//! Nothing here retries, starts a daemon or prints.

mod archive;
mod body;
mod build;
mod containers;
mod exec;
mod files;
mod hijack;
mod images;
mod make;
mod networks;
mod system;
mod tls;
mod transport;
mod volumes;

use std::sync::Arc;

use bytes::Bytes;
use drua_types::ImageRef;
use http_body_util::BodyExt;
use hyper::{Method, Request, Response, StatusCode, header};
use serde::Serialize;
use serde::de::DeserializeOwned;

pub use archive::PutArchive;
pub use body::{ByteStream, FrameStream, JsonStream, RequestBody};
pub use build::BuildPruned;
pub use containers::{AttachOptions, ListContainers, LogsOptions, RemoveContainer, StopOptions, WaitCondition, Waiter};
pub use files::{CommitOptions, PathStat};
pub use hijack::{Attached, AttachedInput};
pub use images::{ImportOptions, ListImages};
pub use make::BuildOptions;
pub use system::{EventsOptions, Ping};

use self::body::Incoming;
use self::transport::Connection;
use crate::{API_VERSION, ApiError, ClientError, Host, Query};

/// Bodies that are read whole are refused above this size: no listing comes near it.
const MAX_BODY_BYTES: usize = 256 << 20;
/// Longest error body that is looked at.
const MAX_ERROR_BYTES: usize = 64 << 10;

/// Finds the credentials of a registry, by its domain: the value of an `X-Registry-Auth` header.
type RegistryAuth = dyn Fn(&str) -> Option<String> + Send + Sync;

/// A daemon's API. Cheap to clone; holds no connection.
#[derive(Clone)]
pub struct Client {
    host: Host,
    registry_auth: Option<Arc<RegistryAuth>>,
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Client").field("host", &self.host).finish_non_exhaustive()
    }
}

/// One request before it is sent.
#[derive(Debug)]
pub(crate) struct Call {
    method: Method,
    path: String,
    query: Query,
    headers: Vec<(header::HeaderName, String)>,
    body: RequestBody,
}

impl Call {
    pub(crate) fn new(method: Method, path: impl Into<String>) -> Self {
        Self { method, path: path.into(), query: Query::new(), headers: Vec::new(), body: RequestBody::empty() }
    }

    pub(crate) fn get(path: impl Into<String>) -> Self {
        Self::new(Method::GET, path)
    }

    pub(crate) fn post(path: impl Into<String>) -> Self {
        Self::new(Method::POST, path)
    }

    pub(crate) fn delete(path: impl Into<String>) -> Self {
        Self::new(Method::DELETE, path)
    }

    pub(crate) fn query(mut self, query: Query) -> Self {
        self.query = query;
        self
    }

    pub(crate) fn header(mut self, name: header::HeaderName, value: &str) -> Self {
        self.headers.push((name, value.to_owned()));
        self
    }

    pub(crate) fn json<T: Serialize>(self, value: &T) -> Self {
        let body = serde_json::to_vec(value).expect("wire types have string keys and serialise into memory");
        self.body(RequestBody::from(Bytes::from(body)), "application/json")
    }

    pub(crate) fn body(mut self, body: RequestBody, content_type: &str) -> Self {
        self.body = body;
        self.header(header::CONTENT_TYPE, content_type)
    }

    /// Method and path for messages; the query stays out, it may be long.
    fn name(&self) -> String {
        format!("{} {}", self.method, self.path)
    }
}

impl Client {
    /// A client of the daemon at `host`. Nothing is sent yet: the first request connects.
    pub fn connect(host: &Host) -> Self {
        Self { host: host.clone(), registry_auth: None }
    }

    /// The same client, which sends along what `find` knows of a registry when the daemon is to talk to it.
    #[must_use]
    pub fn with_registry_auth(mut self, find: impl Fn(&str) -> Option<String> + Send + Sync + 'static) -> Self {
        self.registry_auth = Some(Arc::new(find));
        self
    }

    /// Adds the credentials of the registry that an image's name begins with.
    fn authorized(&self, call: Call, image: &str) -> Call {
        let domain =
            image.parse::<ImageRef>().map_or_else(|_| "docker.io".to_owned(), |image| image.domain().to_owned());
        // Empty credentials say that there are none, as Docker's CLI does: nothing is read from the body then.
        let value = self.registry_auth.as_ref().and_then(|find| find(&domain)).unwrap_or_else(|| "e30=".to_owned());
        call.header(header::HeaderName::from_static("x-registry-auth"), &value)
    }

    /// Where the daemon is.
    pub fn host(&self) -> &Host {
        &self.host
    }

    /// Sends a request and returns as soon as the response's headers are there.
    ///
    /// Paths are versioned, but for the ping that learns the version. A status of 400 and above is an error.
    async fn send(&self, call: Call) -> Result<Response<Incoming>, ClientError> {
        let name = call.name();
        tracing::debug!(request = %name, host = %self.host, "API request");
        let versioned = if call.path == "/_ping" { call.path.clone() } else { format!("/v{API_VERSION}{}", call.path) };
        let mut request = Request::builder()
            .method(&call.method)
            .uri(call.query.append_to(&versioned))
            .header(header::HOST, transport::authority(&self.host))
            .header(header::USER_AGENT, concat!("drua/", env!("CARGO_PKG_VERSION")));
        for (name, value) in &call.headers {
            request = request.header(name, value);
        }
        let request =
            request.body(call.body.into_inner()).expect("paths and queries are percent-encoded, headers are ours");
        let mut connection = Connection::open(&self.host).await?;
        let transport = |source| ClientError::Transport { host: self.host.clone(), request: name.clone(), source };
        let response = connection.send(request).await.map_err(transport)?;
        let status = response.status();
        let response = response.map(|body| Incoming::new(body, connection, name, self.host.clone()));
        if status.is_client_error() || status.is_server_error() {
            return Err(api_error(response).await);
        }
        Ok(response)
    }

    /// The whole body, whatever it is.
    async fn bytes(&self, call: Call) -> Result<Bytes, ClientError> {
        self.send(call).await?.into_body().collect(MAX_BODY_BYTES).await
    }

    /// The body as JSON.
    async fn decode<T: DeserializeOwned>(&self, call: Call) -> Result<T, ClientError> {
        let request = call.name();
        let bytes = self.bytes(call).await?;
        serde_json::from_slice(&bytes).map_err(|source| ClientError::Decode { request, source })
    }

    /// Nothing but success; `304 Not Modified` is success too.
    async fn done(&self, call: Call) -> Result<(), ClientError> {
        self.bytes(call).await.map(drop)
    }
}

async fn api_error(response: Response<Incoming>) -> ClientError {
    let status = response.status();
    let is_json = response
        .headers()
        .get(header::CONTENT_TYPE)
        .is_some_and(|value| value.as_bytes().starts_with(b"application/json"));
    let body = match response.into_body().collect(MAX_ERROR_BYTES).await {
        Ok(body) => body,
        Err(error) => return error,
    };
    ApiError { status: status.as_u16(), message: error_message(status, is_json, &body) }.into()
}

fn error_message(status: StatusCode, is_json: bool, body: &[u8]) -> String {
    #[derive(serde::Deserialize)]
    struct Message {
        message: String,
    }
    if is_json && let Ok(Message { message }) = serde_json::from_slice(body) {
        return message;
    }
    let text = String::from_utf8_lossy(body);
    match text.trim() {
        "" => format!("the daemon answered {status} without saying why"),
        text => text.to_owned(),
    }
}

impl Incoming {
    async fn collect(mut self, limit: usize) -> Result<Bytes, ClientError> {
        let body = http_body_util::Limited::new(&mut self.body, limit);
        match body.collect().await {
            Ok(collected) => Ok(collected.to_bytes()),
            Err(error) => match error.downcast::<hyper::Error>() {
                Ok(source) => Err(ClientError::Transport { host: self.host, request: self.request, source: *source }),
                Err(_) => Err(ClientError::Stream {
                    request: self.request,
                    source: std::io::Error::new(std::io::ErrorKind::FileTooLarge, format!("larger than {limit} bytes")),
                }),
            },
        }
    }
}
