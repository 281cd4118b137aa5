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

/// Runs `work` on the blocking pool beside everything else; nobody waits for it.
pub(crate) fn beside(work: impl FnOnce() + Send + 'static) {
    drop(tokio::task::spawn_blocking(work));
}
