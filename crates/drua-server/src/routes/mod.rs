//! One file a group of routes.

pub(crate) mod attach;
pub(crate) mod build;
mod build_stream;
pub(crate) mod containers;
pub(crate) mod exec;
pub(crate) mod extras;
pub(crate) mod files;
mod hijack;
pub(crate) mod image_contents;
pub(crate) mod images;
pub(crate) mod logs;
pub(crate) mod networks;
pub(crate) mod registry;
pub(crate) mod stats;
pub(crate) mod swarm;
pub(crate) mod system;
pub(crate) mod top;
pub(crate) mod volumes;
mod websocket;

use crate::http::Failure;

/// Runs blocking engine work for a route.
pub(crate) async fn blocking<T, F>(work: F) -> Result<T, Failure>
where
    T: Send + 'static,
    F: FnOnce() -> Result<T, Failure> + Send + 'static,
{
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|panic| {
        tracing::error!(%panic, "a request panicked");
        Err(Failure::new(hyper::StatusCode::INTERNAL_SERVER_ERROR, "an internal task panicked"))
    })
}
