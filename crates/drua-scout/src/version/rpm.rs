//! RPM's `rpmvercmp` and the order of `epoch:version-release`.

use std::cmp::Ordering;

use super::scan;

pub(super) fn compare(a: &str, b: &str) -> Ordering {
    let (a, b) = (Evr::of(a), Evr::of(b));
    scan::numbers(a.epoch, b.epoch).then_with(|| segments(a.version, b.version)).then_with(|| {
        match (a.release, b.release) {
            (Some(a), Some(b)) => segments(a, b),
            // As in a dependency: a side without a release stands for all of them.
            _ => Ordering::Equal,
        }
    })
}

struct Evr<'v> {
    epoch: &'v str,
    version: &'v str,
    release: Option<&'v str>,
}

impl<'v> Evr<'v> {
    fn of(text: &'v str) -> Self {
        let text = text.trim();
        let (epoch, rest) = match text.split_once(':') {
            Some((epoch, rest)) if epoch.bytes().all(|byte| byte.is_ascii_digit()) => (epoch, rest),
            _ => ("", text),
        };
        match rest.rsplit_once('-') {
            Some((version, release)) => Self { epoch, version, release: Some(release) },
            None => Self { epoch, version: rest, release: None },
        }
    }
}

/// `rpmvercmp`: runs of digits and runs of letters; everything else only parts them, but for `~` (before the end) and `^`
/// (after the end, before everything else).
pub(super) fn segments(mut a: &str, mut b: &str) -> Ordering {
    if a == b {
        return Ordering::Equal;
    }
    loop {
        let separator = |byte: u8| !byte.is_ascii_alphanumeric() && byte != b'~' && byte != b'^';
        scan::take_while(&mut a, separator);
        scan::take_while(&mut b, separator);
        match (a.strip_prefix('~'), b.strip_prefix('~')) {
            (Some(rest_a), Some(rest_b)) => {
                (a, b) = (rest_a, rest_b);
                continue;
            }
            (Some(_), None) => return Ordering::Less,
            (None, Some(_)) => return Ordering::Greater,
            (None, None) => {}
        }
        match (a.strip_prefix('^'), b.strip_prefix('^')) {
            (Some(rest_a), Some(rest_b)) => {
                (a, b) = (rest_a, rest_b);
                continue;
            }
            (Some(_), None) => return if b.is_empty() { Ordering::Greater } else { Ordering::Less },
            (None, Some(_)) => return if a.is_empty() { Ordering::Less } else { Ordering::Greater },
            (None, None) => {}
        }
        if a.is_empty() || b.is_empty() {
            return a.len().cmp(&b.len());
        }
        let order = if a.starts_with(|c: char| c.is_ascii_digit()) {
            let (left, right) = (scan::take_digits(&mut a), scan::take_digits(&mut b));
            if right.is_empty() { Ordering::Greater } else { scan::numbers(left, right) }
        } else {
            let letter = |byte: u8| byte.is_ascii_alphabetic();
            let (left, right) = (scan::take_while(&mut a, letter), scan::take_while(&mut b, letter));
            if right.is_empty() { Ordering::Less } else { left.cmp(right) }
        };
        if order.is_ne() {
            return order;
        }
    }
}
