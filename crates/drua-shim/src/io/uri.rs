//! Where standard input comes from and where output goes, as a `CreateTaskRequest` names it.
//!
//! | text                                           | meaning                                                       |
//! |------------------------------------------------|---------------------------------------------------------------|
//! | (empty)                                        | `/dev/null`; output may still be watched by attached clients  |
//! | `drua-stdin:`                                  | kept open, fed by attached clients                            |
//! | `drua-log:///dir/json.log?max-size=N&max-file=N` | Docker's json-file log, rotated; `%XX` stands for a byte; `attr=key%3Dvalue` is added to each record |
//! | `/path`, `fifo:///path`                        | containerd's FIFO (or a file)                                 |
//! | `file:///path`                                 | a file that is appended to                                    |
//! | `binary://…` and others                        | refused                                                       |

use std::collections::BTreeMap;
use std::path::PathBuf;

use drua_types::{Classify, ErrorKind};

/// Where standard input comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Source {
    /// Nothing to read.
    Null,
    /// Attached clients.
    Attach,
    /// containerd's FIFO.
    Path(PathBuf),
}

/// Where one stream of output goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Target {
    /// Only to attached clients.
    Discard,
    /// To the log and to attached clients.
    Log(LogTarget),
    /// To containerd's FIFO or a file, and nowhere else.
    Path(PathBuf),
}

/// A json-file log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LogTarget {
    /// The current file; older ones are `<path>.1`, `<path>.2`, …
    pub(crate) path: PathBuf,
    /// Rotate before the file grows larger than this; 0 means never.
    pub(crate) max_size_bytes: u64,
    /// How many files there may be, the current one included; at least 1.
    pub(crate) max_files: u32,
    /// What is added to each record.
    pub(crate) attrs: BTreeMap<String, String>,
}

/// The text names no place that this shim can read or write.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub(crate) enum UriError {
    #[error("logging by `{0}://` programs is not supported: use a FIFO, `file://` or `drua-log://`")]
    Unsupported(String),
    #[error("`{0}` is no place for standard input or output")]
    Invalid(String),
    #[error("standard output and standard error must name the same log")]
    TwoLogs,
}

impl Classify for UriError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Unsupported(_) => ErrorKind::Unsupported,
            Self::Invalid(_) | Self::TwoLogs => ErrorKind::Invalid,
        }
    }
}

impl Source {
    /// Reads the `stdin` field of a request.
    pub(crate) fn parse(text: &str) -> Result<Self, UriError> {
        match text {
            "" => Ok(Self::Null),
            "drua-stdin:" => Ok(Self::Attach),
            other => path_of(other, &["fifo", "file"]).map(Self::Path),
        }
    }
}

impl Target {
    /// Reads the `stdout` and `stderr` fields of a request.
    pub(crate) fn parse_pair(stdout: &str, stderr: &str) -> Result<[Self; 2], UriError> {
        let pair = [Self::parse(stdout)?, Self::parse(stderr)?];
        match &pair {
            [Self::Log(one), Self::Log(other)] if one != other => Err(UriError::TwoLogs),
            _ => Ok(pair),
        }
    }

    fn parse(text: &str) -> Result<Self, UriError> {
        match text.strip_prefix("drua-log://") {
            Some(rest) => LogTarget::parse(rest).map(Self::Log).ok_or_else(|| invalid(text)),
            None if text.is_empty() => Ok(Self::Discard),
            None => path_of(text, &["fifo", "file"]).map(Self::Path),
        }
    }
}

impl LogTarget {
    fn parse(rest: &str) -> Option<Self> {
        let (path, query) = rest.split_once('?').unwrap_or((rest, ""));
        let path = decode(path)?;
        let path = path.starts_with('/').then(|| PathBuf::from(path))?;
        let mut target = Self { path, max_size_bytes: 0, max_files: 1, attrs: BTreeMap::new() };
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            match pair.split_once('=')? {
                ("max-size", value) => target.max_size_bytes = value.parse().ok()?,
                ("max-file", value) => target.max_files = value.parse().ok().filter(|&files| files > 0)?,
                ("attr", pair) => {
                    let pair = decode(pair)?;
                    let (key, value) = pair.split_once('=')?;
                    target.attrs.insert(key.to_owned(), value.to_owned());
                }
                _ => return None,
            }
        }
        Some(target)
    }
}

fn path_of(text: &str, schemes: &[&str]) -> Result<PathBuf, UriError> {
    if text.starts_with('/') {
        return Ok(PathBuf::from(text));
    }
    match text.split_once("://") {
        Some((scheme, path)) if schemes.contains(&scheme) && path.starts_with('/') => {
            decode(path).map(PathBuf::from).ok_or_else(|| invalid(text))
        }
        Some((scheme, _)) if !schemes.contains(&scheme) => {
            Err(UriError::Unsupported(scheme.chars().take(20).collect()))
        }
        _ => Err(invalid(text)),
    }
}

/// Undoes `%XX`; `None` when it is cut short, no hexadecimal, or the result no text.
fn decode(text: &str) -> Option<String> {
    let mut bytes = text.bytes();
    let mut out = Vec::with_capacity(text.len());
    while let Some(byte) = bytes.next() {
        if byte != b'%' {
            out.push(byte);
            continue;
        }
        let digits = [bytes.next()?, bytes.next()?];
        out.push(u8::from_str_radix(std::str::from_utf8(&digits).ok()?, 16).ok()?);
    }
    String::from_utf8(out).ok().filter(|path| !path.contains('\0'))
}

fn invalid(text: &str) -> UriError {
    UriError::Invalid(text.chars().take(200).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn target(text: &str, expect: Result<Target, UriError>) {
        assert_eq!(Target::parse(text), expect, "{text}");
    }

    #[test]
    fn logs() {
        let log = |path: &str, max_size_bytes, max_files| {
            Ok(Target::Log(LogTarget { path: path.into(), max_size_bytes, max_files, attrs: BTreeMap::new() }))
        };
        target("drua-log:///v/json.log", log("/v/json.log", 0, 1));
        target("drua-log:///v/json.log?max-size=10&max-file=3", log("/v/json.log", 10, 3));
        target("drua-log:///a%20b%3f/json.log?", log("/a b?/json.log", 0, 1));
        let attrs = BTreeMap::from([("a b".to_owned(), "c=d".to_owned())]);
        let with_attrs = LogTarget { path: "/v".into(), max_size_bytes: 0, max_files: 1, attrs };
        target("drua-log:///v?attr=a%20b%3Dc%3Dd", Ok(Target::Log(with_attrs)));
        for text in [
            "drua-log://v",
            "drua-log:///v?max-size=1k",
            "drua-log:///v?max-file=0",
            "drua-log:///v?x=1",
            "drua-log:///%4",
        ] {
            target(text, Err(invalid(text)));
        }
    }

    #[test]
    fn paths_and_the_rest() {
        target("", Ok(Target::Discard));
        target("/run/c/fifo", Ok(Target::Path("/run/c/fifo".into())));
        target("file:///var/log/x", Ok(Target::Path("/var/log/x".into())));
        target("binary:///bin/logger", Err(UriError::Unsupported("binary".into())));
        target("relative", Err(invalid("relative")));
        assert_eq!(Source::parse("drua-stdin:"), Ok(Source::Attach));
        assert_eq!(Source::parse("/run/c/in"), Ok(Source::Path("/run/c/in".into())));
        assert_eq!(Target::parse_pair("drua-log:///a", "drua-log:///b"), Err(UriError::TwoLogs));
    }
}
