//! Engine's values ↔ Docker's JSON. Pure: no engine calls beyond the values given.

pub(crate) mod container;
pub(crate) mod create;
pub(crate) mod image;
pub(crate) mod log_options;
pub(crate) mod network;
pub(crate) mod update;
pub(crate) mod words;

use jiff::Timestamp;

/// Go's zero time, which clients read as "never".
const NEVER: &str = "0001-01-01T00:00:00Z";

/// RFC 3339 with nanoseconds; Go's zero time for `None`.
pub(crate) fn time(time: Option<Timestamp>) -> String {
    time.map_or_else(|| NEVER.to_owned(), |time| format!("{time:.9}"))
}

/// Docker's `name` filter: an unanchored pattern against the name with and without its leading slash. Only `^` and `$` are
/// patterns here; everything else is taken literally, which is what clients send.
pub(crate) fn name_matches(name: &str, wanted: &str) -> bool {
    let (wanted, at_start) = wanted.strip_prefix('^').map_or((wanted, false), |rest| (rest, true));
    let (wanted, at_end) = wanted.strip_suffix('$').map_or((wanted, false), |rest| (rest, true));
    let fits = |name: &str, wanted: &str| match (at_start, at_end) {
        (true, true) => name == wanted,
        (true, false) => name.starts_with(wanted),
        (false, true) => name.ends_with(wanted),
        (false, false) => name.contains(wanted),
    };
    fits(name, wanted) || fits(&format!("/{name}"), wanted)
}
