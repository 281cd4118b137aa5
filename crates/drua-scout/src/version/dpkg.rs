//! Debian Policy 5.6.12; `deb-version(7)`.

use std::cmp::Ordering;

use super::scan;

pub(super) fn compare(a: &str, b: &str) -> Ordering {
    let (a, b) = (Parts::of(a), Parts::of(b));
    scan::numbers(a.epoch, b.epoch)
        .then_with(|| fragment(a.upstream, b.upstream))
        .then_with(|| fragment(a.revision, b.revision))
}

pub(super) fn is_valid(version: &str) -> bool {
    let parts = Parts::of(version);
    let allowed = |text: &str, more: &str| text.chars().all(|c| c.is_ascii_alphanumeric() || more.contains(c));
    !parts.upstream.is_empty() && allowed(parts.upstream, ".-+~:") && allowed(parts.revision, ".+~")
}

struct Parts<'v> {
    epoch: &'v str,
    upstream: &'v str,
    revision: &'v str,
}

impl<'v> Parts<'v> {
    fn of(version: &'v str) -> Self {
        let version = version.trim();
        let (epoch, rest) = match version.split_once(':') {
            Some((epoch, rest)) if epoch.bytes().all(|byte| byte.is_ascii_digit()) => (epoch, rest),
            _ => ("", version),
        };
        // A version without a revision has revision "", which equals "0".
        let (upstream, revision) = rest.rsplit_once('-').unwrap_or((rest, ""));
        Self { epoch, upstream, revision }
    }
}

/// Alternately a run without digits and a number.
fn fragment(mut a: &str, mut b: &str) -> Ordering {
    while !a.is_empty() || !b.is_empty() {
        let not_digit = |byte: u8| !byte.is_ascii_digit();
        let (text_a, text_b) = (scan::take_while(&mut a, not_digit), scan::take_while(&mut b, not_digit));
        let order = texts(text_a, text_b);
        if order.is_ne() {
            return order;
        }
        let order = scan::numbers(scan::take_digits(&mut a), scan::take_digits(&mut b));
        if order.is_ne() {
            return order;
        }
    }
    Ordering::Equal
}

/// `~` before the end, the end before letters, letters before everything else.
fn texts(a: &str, b: &str) -> Ordering {
    let weight = |byte: Option<&u8>| match byte {
        Some(b'~') => -1,
        None => 0,
        Some(byte) if byte.is_ascii_alphabetic() => i32::from(*byte),
        Some(byte) => i32::from(*byte) + 256,
    };
    let (a, b) = (a.as_bytes(), b.as_bytes());
    for index in 0..a.len().max(b.len()) {
        let order = weight(a.get(index)).cmp(&weight(b.get(index)));
        if order.is_ne() {
            return order;
        }
    }
    Ordering::Equal
}
