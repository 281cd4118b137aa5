use std::error::Error;
use std::fmt::Write as _;

/// What kind of failure an error is, decided once where it is raised.
///
/// HTTP status, ttrpc code and exit code are total matches on it; nobody inspects message text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ErrorKind {
    /// The thing asked for does not exist (HTTP 404).
    NotFound,
    /// The request contradicts the present state (HTTP 409).
    Conflict,
    /// The request can never succeed as it is (HTTP 400).
    Invalid,
    /// The request is understood and refused (HTTP 403).
    Denied,
    /// A needed service or resource is not there now (HTTP 503).
    Unavailable,
    /// The request asks for something that drua does not do (HTTP 501).
    Unsupported,
    /// The state is already what was asked for (HTTP 304).
    NotModified,
    /// Our fault, or the machine's (HTTP 500).
    Internal,
}

/// An error that knows its [`ErrorKind`].
pub trait Classify {
    /// The kind of this failure.
    fn kind(&self) -> ErrorKind;
}

/// An error that knows what the reader can do about it.
pub trait Hint {
    /// Actions the reader can copy, most helpful first; never a restatement of the error.
    fn hints(&self) -> Vec<String>;
}

/// Joins an error and its sources with `: `, for places that have one line only (an API message, a log field).
pub fn error_chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let _ = write!(text, ": {cause}");
        source = cause.source();
    }
    text
}
