//! `wasi:http/incoming-handler` of WASI 0.2: one request at a time an instance, which is fresh unless reuse is asked for.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use hyper::{Request, Response};
use tokio::sync::{OwnedSemaphorePermit, oneshot};
use wasmtime::Store;
use wasmtime::component::InstancePre;
use wasmtime_wasi_http::p2::bindings::http::types::Scheme;
use wasmtime_wasi_http::p2::bindings::{Proxy, ProxyPre};
use wasmtime_wasi_http::{WasiBody, WasiHttpView};

use super::failure::Failure;
use super::say;
use super::ticker::Active;
use crate::run::Settings;
use crate::run::body::Patient;
use crate::run::guest::{self, Guest, State};
use crate::run::report::{RunError, one_line};

pub(super) struct P2 {
    component: ProxyPre<State>,
    guest: Guest,
    timeout: Option<Duration>,
    /// Requests that an instance serves before it is replaced.
    reuse: u32,
    kept: Mutex<Vec<Kept>>,
}

/// An instance between two requests.
struct Kept {
    store: Store<State>,
    instance: Proxy,
    left: u32,
}

impl P2 {
    pub(super) fn new(linked: InstancePre<State>, guest: Guest, settings: &Settings) -> Result<Self, RunError> {
        Ok(Self {
            component: ProxyPre::new(linked).map_err(RunError::Link)?,
            guest,
            timeout: settings.timeout,
            reuse: settings.reuse.unwrap_or(1).max(1),
            kept: Mutex::default(),
        })
    }

    async fn instance(&self, id: u64) -> Result<Kept, Failure> {
        if self.reuse > 1 {
            let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner).pop();
            if let Some(kept) = kept {
                return Ok(kept);
            }
        }
        let wasi = self.guest.wasi().map_err(Failure::Setup)?.env("REQUEST_ID", id.to_string()).build();
        let mut store = guest::store(self.component.engine(), self.guest.state(wasi));
        // It gives way to others at every tick.
        store.set_epoch_deadline(1);
        store.epoch_deadline_async_yield_and_update(1);
        let instance = self.component.instantiate_async(&mut store).await.map_err(Failure::Handler)?;
        Ok(Kept { store, instance, left: self.reuse })
    }

    fn keep(&self, mut kept: Kept) {
        kept.left -= 1;
        if kept.left > 0 {
            self.kept.lock().unwrap_or_else(PoisonError::into_inner).push(kept);
        }
    }

    pub(super) async fn handle(
        self: &Arc<Self>,
        id: u64,
        request: Request<Patient>,
        held: (OwnedSemaphorePermit, Active),
    ) -> Result<Response<WasiBody>, Failure> {
        let (sender, mut receiver) = oneshot::channel();
        let this = self.clone();
        let deadline = self.timeout.map(|timeout| tokio::time::Instant::now() + timeout);
        let mut handler = Box::pin(async move {
            let _held = held;
            let mut kept = this.instance(id).await?;
            let mut http = kept.store.data_mut().http();
            let request = http.new_incoming_request(Scheme::Http, request).map_err(Failure::Request)?;
            let out = http.new_response_outparam(sender).map_err(Failure::Handler)?;
            let handler = kept.instance.wasi_http_incoming_handler();
            handler.call_handle(&mut kept.store, request, out).await.map_err(Failure::Handler)?;
            this.keep(kept);
            Ok(())
        });
        // Most handlers are done in one go and need no task, and no timer, of their own.
        let ended = tokio::select! {
            biased;
            ended = &mut handler => ended,
            Ok(answer) = &mut receiver => {
                tokio::spawn(async move { tell_of_late_failure(id, handler.await) });
                return answer.map_err(Failure::Guest);
            }
            () = until(deadline) => return Err(Failure::Late(self.timeout.unwrap_or_default())),
        };
        match (receiver.try_recv(), ended) {
            (Ok(answer), ended) => {
                tell_of_late_failure(id, ended);
                answer.map_err(Failure::Guest)
            }
            (Err(_), Ok(())) => Err(Failure::NoResponse),
            (Err(_), Err(failure)) => Err(failure),
        }
    }
}

async fn until(deadline: Option<tokio::time::Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}

/// A client that has its response already cannot be told any more.
fn tell_of_late_failure(id: u64, ended: Result<(), Failure>) {
    if let Err(failure) = ended {
        let why = match &failure {
            Failure::Handler(error) => one_line(error),
            other => other.to_string(),
        };
        say(&format!("request {id} failed after its response began: {why}"));
    }
}
