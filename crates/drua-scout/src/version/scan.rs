//! What several orders do alike: numbers of any length, and runs of bytes.

use std::cmp::Ordering;

/// Compares two runs of decimal digits as numbers of any length; an empty run is zero.
pub(super) fn numbers(a: &str, b: &str) -> Ordering {
    let (a, b) = (a.trim_start_matches('0'), b.trim_start_matches('0'));
    a.len().cmp(&b.len()).then_with(|| a.cmp(b))
}

/// Whether a text is digits and nothing else, and at least one.
pub(super) fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// Cuts off the longest beginning whose bytes all pass. Only for tests that no byte of a multi-byte character passes in part:
/// pass all of them or none.
pub(super) fn take_while<'t>(text: &mut &'t str, test: impl Fn(u8) -> bool) -> &'t str {
    let end = text.bytes().position(|byte| !test(byte)).unwrap_or(text.len());
    // A boundary by the rule above; should it be broken, nothing is taken rather than a panic.
    let (head, tail) = text.split_at_checked(end).unwrap_or(("", text));
    *text = tail;
    head
}

/// Cuts off the digits at the beginning.
pub(super) fn take_digits<'t>(text: &mut &'t str) -> &'t str {
    take_while(text, |byte| byte.is_ascii_digit())
}
