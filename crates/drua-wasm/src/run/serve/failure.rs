//! Why a request has no response from the guest, and what the client is told.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::{Response, StatusCode};
use wasmtime_wasi_http::WasiBody;
use wasmtime_wasi_http::p2::bindings::http::types::ErrorCode;

use crate::run::report::{RunError, one_line};

#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
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
    #[error("no answer within the limit of {} s (`{}`)", .0.as_secs_f64(), drua_types::annotations::WASM_TIMEOUT)]
    Late(Duration),
}

impl Failure {
    fn status(&self) -> StatusCode {
        match self {
            Self::Request(_) => StatusCode::BAD_REQUEST,
            Self::Late(_) => StatusCode::GATEWAY_TIMEOUT,
            Self::Setup(_) | Self::Handler(_) | Self::NoResponse | Self::Guest(_) => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    pub(super) fn response(&self) -> Response<WasiBody> {
        let status = self.status();
        let text = status.canonical_reason().unwrap_or_default();
        let body = Full::new(Bytes::from(format!("{text}\n"))).map_err(|never| match never {}).boxed_unsync();
        let mut response = Response::new(body);
        *response.status_mut() = status;
        response
    }
}
