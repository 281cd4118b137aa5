//! `wasi:http/handler` of WASI 0.3: an instance serves many requests, several of them at a time.
//!
//! wasmtime-wasi-http's [`ProxyHandler`] does the work; this says how long instances live and how much each may take.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use http_body_util::BodyExt;
use hyper::body::Body;
use hyper::{Request, Response};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Sleep, sleep};
use wasmtime::component::{Component, GuestTaskId, InstancePre};
use wasmtime::{Engine, Store, StoreContextMut};
use wasmtime_wasi_http::handler::{
    ExpirationError, HandlerState, Instance, ProxyHandler, ProxyPre, ShouldAccept, WorkerExpiration, WorkerState,
    WorkerStatus,
};
use wasmtime_wasi_http::p3::bindings::ServicePre;
use wasmtime_wasi_http::{WasiBody, WasiHttpView};

use super::failure::Failure;
use super::say;
use super::ticker::Active;
use crate::run::Settings;
use crate::run::body::Patient;
use crate::run::guest::{self, Guest, State};
use crate::run::report::{RunError, one_line};

/// As `wasmtime serve` has them.
const DEFAULT_REUSE: u32 = 128;
const CONCURRENT: usize = 16;
const IDLE: Duration = Duration::from_secs(1);
/// How long a handler may go on after it has answered.
const AFTERWARDS: Duration = Duration::from_secs(60);

/// Whether a component exports the handler of WASI 0.3.
pub(super) fn is_p3(engine: &Engine, component: &Component) -> bool {
    component.component_type().exports(engine).any(|(name, _)| name.starts_with("wasi:http/handler@0.3."))
}

pub(super) struct P3 {
    handler: ProxyHandler<Handler>,
    timeout: Option<Duration>,
}

impl P3 {
    pub(super) fn new(linked: InstancePre<State>, guest: Guest, settings: &Settings) -> Result<Self, RunError> {
        let component = ProxyPre::P3(ServicePre::new(linked.clone()).map_err(RunError::Link)?);
        let handler = Handler {
            component,
            engine: linked.engine().clone(),
            guest,
            timeout: settings.timeout,
            reuse: settings.reuse.unwrap_or(DEFAULT_REUSE).max(1) as usize,
        };
        Ok(Self { handler: ProxyHandler::new(handler), timeout: settings.timeout })
    }

    pub(super) async fn handle(
        &self,
        request: Request<Patient>,
        held: (OwnedSemaphorePermit, Active),
    ) -> Result<Response<WasiBody>, Failure> {
        let request = request.map(BodyExt::boxed_unsync);
        let held = Arc::new(held);
        let answer = self.handler.handle(held.clone(), request).await;
        let response = answer.map_err(|error| match self.timeout {
            Some(timeout) if error.is::<ExpirationError>() => Failure::Late(timeout),
            _ => Failure::Handler(error),
        })?;
        // A response that streams is work, too.
        Ok(response.map(|body| Held { body, _held: held }.boxed_unsync()))
    }
}

/// A body that keeps its request's permit for as long as it streams.
struct Held {
    body: WasiBody,
    _held: Arc<(OwnedSemaphorePermit, Active)>,
}

impl Body for Held {
    type Data = bytes::Bytes;
    type Error = wasmtime_wasi_http::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<hyper::body::Frame<Self::Data>, Self::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> hyper::body::SizeHint {
        self.body.size_hint()
    }
}

struct Handler {
    component: ProxyPre<State>,
    engine: Engine,
    guest: Guest,
    timeout: Option<Duration>,
    reuse: usize,
}

impl HandlerState for Handler {
    type StoreData = State;
    type WorkerExpiration = Expiration;
    type WorkerState = Worker;

    async fn instantiate(&self) -> wasmtime::Result<Instance<State, Expiration, Worker>> {
        let wasi = self.guest.wasi().map_err(wasmtime::Error::from)?.build();
        let mut store = guest::store(&self.engine, self.guest.state(wasi));
        store.set_epoch_deadline(1);
        store.epoch_deadline_async_yield_and_update(1);
        let proxy = self.component.instantiate_async(&mut store).await?;
        Ok(Instance {
            store,
            proxy,
            view: State::http,
            expiration: Expiration { timeout: self.timeout, sleep: Box::pin(sleep(IDLE)), of: None },
            state: Worker { timeout: self.timeout, reuse: self.reuse },
        })
    }
}

/// When an instance ends.
struct Expiration {
    timeout: Option<Duration>,
    sleep: Pin<Box<Sleep>>,
    of: Option<(WorkerStatus, Instant)>,
}

impl WorkerExpiration for Expiration {
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>, status: WorkerStatus, start: Instant) -> Poll<()> {
        let patience = match status {
            WorkerStatus::Idle => IDLE,
            WorkerStatus::PostReturn => AFTERWARDS,
            WorkerStatus::Requests => match self.timeout {
                Some(timeout) => timeout,
                None => return Poll::Pending,
            },
        };
        if self.of != Some((status, start)) {
            self.of = Some((status, start));
            let deadline = tokio::time::Instant::from_std(start + patience);
            self.sleep.as_mut().reset(deadline);
        }
        self.sleep.as_mut().poll(cx)
    }
}

struct Worker {
    timeout: Option<Duration>,
    reuse: usize,
}

impl WorkerState for Worker {
    type StoreData = State;
    type RequestData = Arc<(OwnedSemaphorePermit, Active)>;

    fn should_accept_request(&self, concurrent: usize, total: usize) -> ShouldAccept {
        if total >= self.reuse {
            ShouldAccept::Never
        } else if concurrent >= CONCURRENT {
            ShouldAccept::No
        } else {
            ShouldAccept::Yes
        }
    }

    fn on_request_start(
        &self,
        _: StoreContextMut<'_, State>,
        _held: Self::RequestData,
        _: GuestTaskId,
    ) -> Pin<Box<dyn Future<Output = ()> + 'static + Send + Sync>> {
        match self.timeout {
            Some(timeout) => Box::pin(sleep(timeout)),
            None => Box::pin(std::future::pending()),
        }
    }

    fn drop(&self, _: Store<State>, result: Result<(), wasmtime::Error>) {
        if let Err(error) = result {
            say(&format!("an instance ended: {}", one_line(&error)));
        }
    }
}
