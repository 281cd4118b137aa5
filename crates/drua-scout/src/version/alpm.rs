//! pacman's `alpm_pkg_vercmp`: an older `rpmvercmp`, in which the parting characters count and letters after the end are a
//! pre-release.

use std::cmp::Ordering;

use super::scan;

pub(super) fn compare(a: &str, b: &str) -> Ordering {
    if a == b {
        return Ordering::Equal;
    }
    let (left, right) = (split(a), split(b));
    let order = segments(left.0, right.0).then_with(|| segments(left.1, right.1));
    match (left.2, right.2) {
        (Some(a), Some(b)) => order.then_with(|| segments(a, b)),
        _ => order,
    }
}

/// Epoch, version and release.
fn split(text: &str) -> (&str, &str, Option<&str>) {
    let (epoch, rest) = match text.split_once(':') {
        Some((epoch, rest)) if epoch.bytes().all(|byte| byte.is_ascii_digit()) => {
            (if epoch.is_empty() { "0" } else { epoch }, rest)
        }
        _ => ("0", text),
    };
    match rest.rsplit_once('-') {
        Some((version, release)) => (epoch, version, Some(release)),
        None => (epoch, rest, None),
    }
}

fn segments(mut a: &str, mut b: &str) -> Ordering {
    if a == b {
        return Ordering::Equal;
    }
    while !a.is_empty() && !b.is_empty() {
        let separator = |byte: u8| !byte.is_ascii_alphanumeric();
        let (parted_a, parted_b) = (scan::take_while(&mut a, separator), scan::take_while(&mut b, separator));
        if a.is_empty() || b.is_empty() {
            break;
        }
        if parted_a.len() != parted_b.len() {
            return parted_a.len().cmp(&parted_b.len());
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
    let letter = |text: &str| text.starts_with(|c: char| c.is_ascii_alphabetic());
    match (a.is_empty(), b.is_empty()) {
        (true, true) => Ordering::Equal,
        // What remains is newer, unless it begins with a letter.
        (true, false) if letter(b) => Ordering::Greater,
        (true, false) => Ordering::Less,
        (false, _) if letter(a) => Ordering::Less,
        (false, _) => Ordering::Greater,
    }
}
