//! The one place where the engine leaves the async world: short synchronous work on tokio's blocking pool.

use crate::{Error, Result};

/// Runs `work` on the blocking pool and waits for it.
pub(crate) async fn run<T, F>(work: F) -> Result<T>
where
    F: FnOnce() -> Result<T> + Send + 'static,
    T: Send + 'static,
{
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(panic) => Err(Error::Panicked(panic.to_string())),
    }
}
