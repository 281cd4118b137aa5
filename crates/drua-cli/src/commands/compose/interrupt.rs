use drua_compose::ComposeError;
use drua_types::exit;
use tokio_util::sync::CancellationToken;

use crate::failure::{Failure, Outcome};
use crate::session::Signals;

/// What a shell reports for an interrupted command: 128 + SIGINT.
pub(super) const INTERRUPTED: u8 = 130;

/// Runs an operation that a signal cancels, and turns its result into an exit code.
pub(super) async fn cancellable(
    operation: impl AsyncFnOnce(&CancellationToken) -> Result<(), ComposeError>,
) -> Outcome {
    let cancel = CancellationToken::new();
    let mut signals = Signals::catch()?;
    let operation = operation(&cancel);
    tokio::pin!(operation);
    let result = loop {
        tokio::select! {
            result = &mut operation => break result,
            name = signals.next() => if ends(name) { cancel.cancel() },
        }
    };
    match result {
        Ok(()) => Ok(exit::OK),
        Err(ComposeError::Interrupted) => Ok(INTERRUPTED),
        Err(error) => Err(Failure::new(error)),
    }
}

/// Whether a signal asks us to end.
pub(super) fn ends(name: &str) -> bool {
    matches!(name, "INT" | "TERM" | "HUP" | "QUIT")
}
