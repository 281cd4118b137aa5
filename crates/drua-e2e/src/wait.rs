//! Waiting for a condition, with a deadline.

use std::{
    thread,
    time::{Duration, Instant},
};

/// How often a condition is looked at.
const INTERVAL: Duration = Duration::from_millis(1);

/// Looks at `condition` until it yields a value or `limit` has passed.
pub fn poll<T>(limit: Duration, mut condition: impl FnMut() -> Option<T>) -> Option<T> {
    let deadline = Instant::now() + limit;
    loop {
        if let Some(value) = condition() {
            return Some(value);
        }
        if Instant::now() >= deadline {
            return None;
        }
        thread::sleep(INTERVAL);
    }
}

/// Waits until `condition` holds.
///
/// # Panics
///
/// When `limit` has passed; the message says `what` was waited for.
#[track_caller]
pub fn until(what: &str, limit: Duration, mut condition: impl FnMut() -> bool) {
    assert!(poll(limit, || condition().then_some(())).is_some(), "waited {limit:?} in vain for {what}");
}
