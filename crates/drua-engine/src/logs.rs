//! Reading a container's log while it grows.

use std::time::Duration;

use drua_runtime::logs::{Entry, LogReader, ReadOptions};
use jiff::Timestamp;
use tokio::sync::mpsc;

use crate::container::LogDriver;
use crate::engine::Engine;
use crate::{Error, Result, blocking};

/// Records that a reader may be ahead of its client.
const AHEAD: usize = 256;

/// What to read.
#[derive(Debug, Clone, Copy, Default)]
pub struct LogQuery {
    /// How much of the past, and between which times.
    pub options: ReadOptions,
    /// Whether to go on until the container stops.
    pub follow: bool,
}

impl Engine {
    /// Reads a container's log in order, replay and follow without gap or double. Ends at the end of the log, or, when
    /// following, when the container has stopped and everything has been read; dropping the receiver ends it too.
    ///
    /// # Errors
    /// [`Error::NoSuchContainer`]; [`Error::Unsupported`] for the log driver `none`.
    pub async fn logs(&self, name: &str, query: LogQuery) -> Result<mpsc::Receiver<Entry>> {
        let handle = self.shared.registry.find(name)?;
        let container = handle.snapshot();
        if container.host.log.driver == LogDriver::None {
            let message = "configured logging driver does not support reading".to_owned();
            return Err(Error::Invalid(message));
        }
        let path = container.log_path(&self.shared.config);
        let mut changes = match query.follow {
            true => Some(self.shared.log_changes.follow(&self.shared.config.container_dir(&container.id))?),
            false => None,
        };
        let mut reader = blocking::run(move || {
            LogReader::open(&path, query.options).map_err(|error| Error::Invalid(error.to_string()))
        })
        .await?;
        let mut snapshots = handle.watch();
        let (sender, receiver) = mpsc::channel(AHEAD);
        tokio::spawn(async move {
            loop {
                // Asked before reading: output is complete before the exit is published.
                let running = snapshots.borrow_and_update().state.status.is_running();
                let output = sender.clone();
                let read = tokio::task::spawn_blocking(move || {
                    let done = forward(&mut reader, &output);
                    (reader, done)
                });
                let done;
                match read.await {
                    Ok(result) => (reader, done) = result,
                    Err(_) => break,
                }
                if done || !running || reader.is_past_until() {
                    break;
                }
                let Some(changes) = &mut changes else { break };
                tokio::select! {
                    () = sender.closed() => break,
                    changed = snapshots.changed() => if changed.is_err() { break },
                    () = changes.changed() => {}
                    () = reached(query.options.until) => break,
                }
            }
        });
        Ok(receiver)
    }
}

/// Passes on what there is now. True when nobody listens any more or the log is unreadable.
fn forward(reader: &mut LogReader, output: &mpsc::Sender<Entry>) -> bool {
    loop {
        match reader.next_entry() {
            Ok(Some(entry)) => {
                if output.blocking_send(entry).is_err() {
                    return true;
                }
            }
            Ok(None) => return false,
            Err(error) => {
                tracing::warn!(%error, "log is not readable");
                return true;
            }
        }
    }
}

/// Returns at that time; never without one.
async fn reached(until: Option<Timestamp>) {
    match until {
        Some(until) => {
            let left = Duration::try_from(until.duration_since(Timestamp::now())).unwrap_or_default();
            tokio::time::sleep(left).await;
        }
        None => std::future::pending().await,
    }
}
