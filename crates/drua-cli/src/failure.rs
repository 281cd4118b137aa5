//! How a command ends when it fails: an exit code, a chain of causes, and hints.

use drua_api::{ClientError, InvalidHost};
use drua_compose::{ComposeError, ProjectError};
use drua_types::{Hint, exit};

/// A command's exit code, or why there is none.
pub(crate) type Outcome = Result<u8, Failure>;

/// A failed command.
#[derive(Debug)]
pub(crate) struct Failure {
    /// What the process exits with.
    pub(crate) code: u8,
    /// What went wrong, with its causes.
    pub(crate) error: anyhow::Error,
    /// What the reader can do; those that the error itself knows come on top.
    hints: Vec<String>,
}

impl Failure {
    /// A failure with the ordinary exit code 1.
    pub(crate) fn new(error: impl Into<anyhow::Error>) -> Self {
        Self { code: exit::FAILURE, error: error.into(), hints: Vec::new() }
    }

    /// A failure that is only a message.
    pub(crate) fn message(text: impl Into<String>) -> Self {
        Self::new(anyhow::Error::msg(text.into()))
    }

    /// The same failure with another exit code.
    pub(crate) fn with_code(mut self, code: u8) -> Self {
        self.code = code;
        self
    }

    /// The same failure with one more hint.
    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hints.push(hint.into());
        self
    }

    /// Everything that the reader can do about it, each thing once.
    pub(crate) fn hints(&self) -> Vec<String> {
        let mut hints = self.hints.clone();
        for hint in self.error.chain().flat_map(known_hints) {
            if !hints.contains(&hint) {
                hints.push(hint);
            }
        }
        hints
    }

    /// Whether the reader of our output went away; there is nobody left to tell.
    pub(crate) fn is_broken_pipe(&self) -> bool {
        // Our own output fails without a context; everything else that breaks has one.
        let first = self.error.chain().next().and_then(|error| error.downcast_ref::<std::io::Error>());
        first.is_some_and(|error| error.kind() == std::io::ErrorKind::BrokenPipe)
    }
}

impl<E: Into<anyhow::Error>> From<E> for Failure {
    fn from(error: E) -> Self {
        Self::new(error)
    }
}

/// The hints of an error of a kind that has some.
fn known_hints(error: &(dyn std::error::Error + 'static)) -> Vec<String> {
    fn of<E: Hint + std::error::Error + 'static>(error: &(dyn std::error::Error + 'static)) -> Option<Vec<String>> {
        error.downcast_ref::<E>().map(Hint::hints)
    }
    of::<ClientError>(error)
        .or_else(|| of::<InvalidHost>(error))
        .or_else(|| of::<ComposeError>(error))
        .or_else(|| of::<ProjectError>(error))
        .unwrap_or_default()
}
