//! Serves HTTP with a `wasi:http/incoming-handler` component: HTTP/1.1 with keep-alive, a fresh instance per request.
//!
//! ```text
//!  accept ──► connection task ──► handler task: one permit, one store, one instance from the pool
//!    │             ▲                    │ the response's head, by a oneshot; its body streams on
//!    └─ drained: no more accepts, connections end after their request, permits come back, done
//! ```
//!
//! A handler may go on after it has answered; its permit counts until it ends. A handler that fails answers 500 and
//! leaves a line on stderr, and the server goes on.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::{Semaphore, oneshot, watch};
use tokio::task::JoinSet;
use wasmtime_wasi_http::WasiHttpView;
use wasmtime_wasi_http::p2::bindings::ProxyPre;
use wasmtime_wasi_http::p2::bindings::http::types::{ErrorCode, Scheme};
use wasmtime_wasi_http::p2::body::HyperOutgoingBody;

use super::WasmRun;
use super::guest::{self, Guest, State};
use super::report::{RunError, one_line};
use super::resolve::Resolver;
use super::stdio::Output;
use crate::artifact::Resources;
use crate::engine::{self, MAX_CONCURRENT_REQUESTS};

const DEFAULT_ADDRESS: &str = "0.0.0.0:8080";
/// As runwasi's shim reads it; ours is larger than its 100.
const BACKLOG_VARIABLE: &str = "WASMTIME_HTTP_BACKLOG";
const DEFAULT_BACKLOG: u32 = 1024;
/// How long a client may take to send the head of a request; idle connections are closed after it, too.
const HEAD_TIMEOUT: Duration = Duration::from_secs(60);
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
const MAX_WORKERS: usize = 8;
/// An instance that needs more memories than this does not come from a pool: it would reserve too much address space.
const MAX_POOLED_MEMORIES: u32 = 16;

/// Serves until `drained` says to stop, then finishes what has begun.
pub(super) fn serve(run: &WasmRun, drained: watch::Receiver<bool>) -> Result<i32, RunError> {
    let workers = std::thread::available_parallelism().map_or(1, usize::from).min(MAX_WORKERS);
    let mut builder = match workers {
        1 => tokio::runtime::Builder::new_current_thread(),
        _ => tokio::runtime::Builder::new_multi_thread(),
    };
    let runtime = builder.worker_threads(workers).enable_all().build().map_err(RunError::Runtime)?;
    let served = runtime.block_on(async {
        let listener = listen(&Guest::of(run))?;
        let server = Arc::new(Server::new(run)?);
        server.accept(listener, drained).await
    });
    runtime.shutdown_background();
    served.map(|()| 0)
}

fn listen(guest: &Guest) -> Result<TcpListener, RunError> {
    let text = guest.env(drua_types::env::WASMTIME_HTTP_PROXY_SOCKET_ADDR).unwrap_or(DEFAULT_ADDRESS);
    let address: SocketAddr = text.parse().map_err(|_| RunError::Address(text.to_owned()))?;
    let backlog = guest.env(BACKLOG_VARIABLE).and_then(|value| value.parse().ok()).unwrap_or(DEFAULT_BACKLOG);
    let listener = (|| {
        let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
        socket.set_reuseaddr(true)?;
        socket.bind(address)?;
        socket.listen(backlog)
    })()
    .map_err(|source| RunError::Listen { address, source })?;
    say(&format!("serving HTTP on http://{}/", listener.local_addr().unwrap_or(address)));
    Ok(listener)
}

struct Server {
    component: ProxyPre<State>,
    guest: Guest,
    resolver: Arc<Resolver>,
    permits: Arc<Semaphore>,
    requests: AtomicU64,
}

impl Server {
    fn new(run: &WasmRun) -> Result<Self, RunError> {
        let engine = engine::runner(pool(run.prepared.metadata.resources)).map_err(RunError::Engine)?;
        let component = engine::load_component(&engine, &run.prepared.artifact).map_err(RunError::Load)?;
        let linker = guest::component_linker(&engine).map_err(RunError::Engine)?;
        let component = ProxyPre::new(guest::link(&linker, &component)?).map_err(RunError::Link)?;
        Ok(Self {
            component,
            guest: Guest::of(run),
            resolver: Arc::new(Resolver::of_container()),
            permits: Arc::new(Semaphore::new(MAX_CONCURRENT_REQUESTS as usize)),
            requests: AtomicU64::new(0),
        })
    }

    async fn accept(
        self: Arc<Self>,
        listener: TcpListener,
        mut drained: watch::Receiver<bool>,
    ) -> Result<(), RunError> {
        let mut connections = JoinSet::new();
        loop {
            let accepted = tokio::select! {
                accepted = listener.accept() => accepted,
                Some(_) = connections.join_next() => continue,
                _ = drained.wait_for(|drain| *drain) => break,
            };
            match accepted {
                Ok((stream, _)) => {
                    connections.spawn(self.clone().connection(stream, drained.clone()));
                }
                // Out of descriptors, or the client has gone: neither is the server's end.
                Err(error) => {
                    say(&format!("cannot accept a connection: {error}"));
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
        drop(listener);
        while connections.join_next().await.is_some() {}
        // Handlers that go on after their answer. The caller bounds the time that this may take.
        let _ = self.permits.acquire_many(MAX_CONCURRENT_REQUESTS).await;
        Ok(())
    }

    async fn connection(self: Arc<Self>, stream: TcpStream, mut drained: watch::Receiver<bool>) {
        // A response must not wait for the acknowledgement of the one before.
        let _ = stream.set_nodelay(true);
        let service = service_fn(|request| self.clone().answer(request));
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEAD_TIMEOUT)
            .serve_connection(TokioIo::new(stream), service);
        let mut connection = std::pin::pin!(connection);
        // What goes wrong here is the client's doing, and only the client could be told.
        tokio::select! {
            _ = connection.as_mut() => return,
            _ = drained.wait_for(|drain| *drain) => connection.as_mut().graceful_shutdown(),
        }
        let _ = connection.await;
    }

    /// Answers every request with something: the guest's response, or a status that says what kept it from one.
    async fn answer(self: Arc<Self>, request: Request<Incoming>) -> Result<Response<HyperOutgoingBody>, Infallible> {
        let id = self.requests.fetch_add(1, Ordering::Relaxed);
        let asked = format!("{} {}", request.method(), request.uri().path());
        Ok(self.handle(id, request).await.unwrap_or_else(|failure| {
            say(&format!("request {id} ({asked}): {failure}"));
            failure.response()
        }))
    }

    async fn handle(&self, id: u64, request: Request<Incoming>) -> Result<Response<HyperOutgoingBody>, Failure> {
        let permit = self.permits.clone().acquire_owned().await.expect("the semaphore is never closed");
        let wasi = self.guest.wasi().map_err(Failure::Setup)?.env("REQUEST_ID", id.to_string()).build();
        let mut store = guest::store(self.component.engine(), State::new(wasi, self.resolver.clone()));
        let (sender, mut receiver) = oneshot::channel();
        let mut http = store.data_mut().http();
        let request = http.new_incoming_request(Scheme::Http, request).map_err(Failure::Request)?;
        let out = http.new_response_outparam(sender).map_err(Failure::Handler)?;
        let component = self.component.clone();
        let mut handler = Box::pin(async move {
            let _permit = permit;
            let instance = component.instantiate_async(&mut store).await?;
            instance.wasi_http_incoming_handler().call_handle(&mut store, request, out).await
        });
        // Most handlers are done in one go and need no task of their own.
        let ended = tokio::select! {
            biased;
            ended = &mut handler => ended,
            Ok(answer) = &mut receiver => {
                tokio::spawn(async move { tell_of_late_failure(id, handler.await) });
                return answer.map_err(Failure::Guest);
            }
        };
        match (receiver.try_recv(), ended) {
            (Ok(answer), ended) => {
                tell_of_late_failure(id, ended);
                answer.map_err(Failure::Guest)
            }
            (Err(_), Ok(())) => Err(Failure::NoResponse),
            (Err(_), Err(error)) => Err(Failure::Handler(error)),
        }
    }
}

/// Why a request has no response from the guest.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error("{}", one_line(.0))]
    Request(wasmtime::Error),
    #[error("cannot set up the guest: {}", .0)]
    Setup(RunError),
    #[error("{}", one_line(.0))]
    Handler(wasmtime::Error),
    #[error("the handler ended without a response")]
    NoResponse,
    #[error("the handler answered with an error: {0:?}")]
    Guest(ErrorCode),
}

impl Failure {
    fn status(&self) -> StatusCode {
        match self {
            Self::Request(_) => StatusCode::BAD_REQUEST,
            Self::Setup(_) | Self::Handler(_) | Self::NoResponse | Self::Guest(_) => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    fn response(&self) -> Response<HyperOutgoingBody> {
        let status = self.status();
        let text = status.canonical_reason().unwrap_or_default();
        let body = Full::new(Bytes::from(format!("{text}\n"))).map_err(|never| match never {}).boxed_unsync();
        let mut response = Response::new(body);
        *response.status_mut() = status;
        response
    }
}

/// A client that has its response already cannot be told any more.
fn tell_of_late_failure(id: u64, ended: wasmtime::Result<()>) {
    if let Err(error) = ended {
        say(&format!("request {id} failed after its response began: {}", one_line(&error)));
    }
}

/// A pool that fits the component, when it is known what that takes.
fn pool(resources: Option<Resources>) -> Option<Resources> {
    resources.filter(|resources| resources.memories <= MAX_POOLED_MEMORIES)
}

/// One line on the container's stderr.
fn say(line: &str) {
    // The server goes on without a log.
    let _ = Output::Stderr.write_all(format!("{line}\n").as_bytes());
}
