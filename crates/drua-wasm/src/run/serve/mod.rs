//! Serves HTTP with a component: HTTP/1.1 with keep-alive and HTTP/2 (by its preface), on one port.
//!
//! ```text
//!  accept ──► connection task ──► request: one permit ──► p2: `wasi:http/incoming-handler`, a fresh or a kept instance
//!    │             ▲                    │                 p3: `wasi:http/handler` of WASI 0.3, many requests an instance
//!    └─ drained: no more accepts, connections end after their requests, permits come back, done
//! ```
//!
//! A handler may go on after it has answered; its permit counts until it ends. A handler that fails answers 500, one that
//! is late 504; both leave a line on stderr, and the server goes on. A guest that computes gives way to others at every
//! tick ([`ticker`]), and can be ended there.

mod failure;
mod p2;
mod p3;
mod ticker;

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::JoinSet;
use wasmtime_wasi_http::WasiBody;

use super::WasmRun;
use super::body::Patient;
use super::guest::{self, Guest};
use super::report::RunError;
use super::stdio::Output;
use crate::artifact::Resources;
use crate::engine;
use failure::Failure;
use ticker::Ticker;

const DEFAULT_ADDRESS: &str = "0.0.0.0:8080";
/// As runwasi's shim reads it; ours is larger than its 100.
const BACKLOG_VARIABLE: &str = "WASMTIME_HTTP_BACKLOG";
const DEFAULT_BACKLOG: u32 = 1024;
/// How long a client may take to send the head of a request; idle connections are closed after it, too.
const HEAD_TIMEOUT: Duration = Duration::from_secs(60);
/// How long the body of a request may stand still.
const BODY_TIMEOUT: Duration = Duration::from_secs(60);
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// Connections at a time; more wait in the kernel's backlog.
const MAX_CONNECTIONS: usize = 16 << 10;
/// Requests at a time on one HTTP/2 connection.
const MAX_STREAMS: u32 = 200;
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
        let guest = Guest::of(run)?;
        let listener = listen(run, &guest)?;
        let server = Arc::new(Server::new(run, guest)?);
        server.accept(listener, drained).await;
        Ok(())
    });
    runtime.shutdown_background();
    served.map(|()| 0)
}

fn listen(run: &WasmRun, guest: &Guest) -> Result<TcpListener, RunError> {
    let text = run.variable(drua_types::env::WASMTIME_HTTP_PROXY_SOCKET_ADDR).unwrap_or(DEFAULT_ADDRESS);
    let address: SocketAddr = text.parse().map_err(|_| RunError::Address(text.to_owned()))?;
    if !guest.reach().may_listen(address.port()) {
        return Err(RunError::NotGranted { what: format!("listening on port {}", address.port()), grant: "listen" });
    }
    let backlog = run.variable(BACKLOG_VARIABLE).and_then(|value| value.parse().ok()).unwrap_or(DEFAULT_BACKLOG);
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

/// Who answers requests.
enum Handler {
    P2(Arc<p2::P2>),
    P3(p3::P3),
}

struct Server {
    handler: Handler,
    ticker: Ticker,
    permits: Arc<Semaphore>,
    concurrency: u32,
    connections: Arc<Semaphore>,
    requests: AtomicU64,
}

impl Server {
    fn new(run: &WasmRun, guest: Guest) -> Result<Self, RunError> {
        let profile = run.prepared.metadata.profile;
        let settings = &run.settings;
        let concurrency = settings.concurrency.unwrap_or(engine::MAX_CONCURRENT_REQUESTS).max(1);
        let engine = engine::runner(profile, pool(run.prepared.metadata.resources)).map_err(RunError::Engine)?;
        let component = engine::load_component(&engine, &run.prepared.artifact).map_err(RunError::Load)?;
        let linker = guest::component_linker(&engine, profile).map_err(RunError::Engine)?;
        let linked = guest::link(&linker, &component)?;
        let handler = if profile.concurrent && p3::is_p3(&engine, &component) {
            Handler::P3(p3::P3::new(linked, guest, settings)?)
        } else {
            Handler::P2(Arc::new(p2::P2::new(linked, guest, settings)?))
        };
        Ok(Self {
            handler,
            ticker: Ticker::start(&engine, profile.interruptible).map_err(RunError::Thread)?,
            permits: Arc::new(Semaphore::new(concurrency as usize)),
            concurrency,
            connections: Arc::new(Semaphore::new(MAX_CONNECTIONS)),
            requests: AtomicU64::new(0),
        })
    }

    async fn accept(self: Arc<Self>, listener: TcpListener, mut drained: watch::Receiver<bool>) {
        let mut connections = JoinSet::new();
        loop {
            let permit = tokio::select! {
                permit = self.connections.clone().acquire_owned() => permit.expect("the semaphore is never closed"),
                _ = drained.wait_for(|drain| *drain) => break,
            };
            let accepted = loop {
                tokio::select! {
                    accepted = listener.accept() => break Some(accepted),
                    Some(_) = connections.join_next() => {}
                    _ = drained.wait_for(|drain| *drain) => break None,
                }
            };
            match accepted {
                Some(Ok((stream, _))) => {
                    connections.spawn(self.clone().connection(stream, drained.clone(), permit));
                }
                // Out of descriptors, or the client has gone: neither is the server's end.
                Some(Err(error)) => {
                    say(&format!("cannot accept a connection: {error}"));
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
                None => break,
            }
        }
        drop(listener);
        while connections.join_next().await.is_some() {}
        // Handlers that go on after their answer. The caller bounds the time that this may take.
        let _ = self.permits.acquire_many(self.concurrency).await;
    }

    async fn connection(
        self: Arc<Self>,
        stream: TcpStream,
        mut drained: watch::Receiver<bool>,
        _permit: OwnedSemaphorePermit,
    ) {
        // A response must not wait for the acknowledgement of the one before.
        let _ = stream.set_nodelay(true);
        let newer = tokio::select! {
            newer = begins_as_http2(&stream) => newer,
            _ = drained.wait_for(|drain| *drain) => return,
        };
        let Some(newer) = newer else { return };
        let service = service_fn(|request| self.clone().answer(request));
        // What goes wrong on a connection is the client's doing, and only the client could be told.
        macro_rules! drive {
            ($connection:expr) => {{
                let mut connection = std::pin::pin!($connection);
                tokio::select! {
                    _ = connection.as_mut() => return,
                    _ = drained.wait_for(|drain| *drain) => connection.as_mut().graceful_shutdown(),
                }
                let _ = connection.await;
            }};
        }
        if newer {
            let mut builder = http2::Builder::new(TokioExecutor::new());
            builder.timer(TokioTimer::new()).max_concurrent_streams(MAX_STREAMS).keep_alive_interval(HEAD_TIMEOUT);
            drive!(builder.serve_connection(TokioIo::new(stream), service));
        } else {
            let mut builder = http1::Builder::new();
            builder.timer(TokioTimer::new()).header_read_timeout(HEAD_TIMEOUT);
            drive!(builder.serve_connection(TokioIo::new(stream), service));
        }
    }

    /// Answers every request with something: the guest's response, or a status that says what kept it from one.
    async fn answer(self: Arc<Self>, request: Request<Incoming>) -> Result<Response<WasiBody>, Infallible> {
        let id = self.requests.fetch_add(1, Ordering::Relaxed);
        let asked = (request.method().clone(), request.uri().clone());
        let permit = self.permits.clone().acquire_owned().await.expect("the semaphore is never closed");
        let active = self.ticker.active();
        let request = request.map(|body| Patient::new(body, BODY_TIMEOUT));
        let answer = match &self.handler {
            Handler::P2(p2) => p2.handle(id, request, (permit, active)).await,
            Handler::P3(p3) => p3.handle(request, (permit, active)).await,
        };
        Ok(answer.unwrap_or_else(|failure: Failure| {
            say(&format!("request {id} ({} {}): {failure}", asked.0, asked.1.path()));
            failure.response()
        }))
    }
}

/// Looks at a connection's first bytes without taking them: HTTP/2 begins with `PRI * HTTP/2.0`, and no method of
/// HTTP/1 is `PRI`. `None` when nothing comes.
async fn begins_as_http2(stream: &TcpStream) -> Option<bool> {
    let mut first = [0; 4];
    let length = tokio::time::timeout(HEAD_TIMEOUT, stream.peek(&mut first)).await.ok()?.ok()?;
    if length == 0 { None } else { Some(first[..length] == b"PRI "[..length] && length >= 3) }
}

/// A pool that fits the component, when it is known what that takes.
fn pool(resources: Option<Resources>) -> Option<Resources> {
    resources.filter(|resources| resources.memories <= MAX_POOLED_MEMORIES)
}

/// One line on the container's stderr.
pub(super) fn say(line: &str) {
    // The server goes on without a log.
    let _ = Output::Stderr.write_all(format!("{line}\n").as_bytes());
}
