//! R's `package_version` (and Haskell's PVP, whose order is the same): numbers, parted by dots and dashes, compared one by one.

use std::cmp::Ordering;

use super::scan;

pub(super) fn compare(a: &str, b: &str) -> Ordering {
    let mut left = a.split(['.', '-']);
    let mut right = b.split(['.', '-']);
    loop {
        let order = match (left.next(), right.next()) {
            (None, None) => return Ordering::Equal,
            (None, Some(_)) => Ordering::Less,
            (Some(_), None) => Ordering::Greater,
            (Some(a), Some(b)) if scan::is_number(a) && scan::is_number(b) => scan::numbers(a, b),
            (Some(a), Some(b)) => a.cmp(b),
        };
        if order.is_ne() {
            return order;
        }
    }
}

pub(super) fn is_valid(version: &str) -> bool {
    version.split(['.', '-']).all(scan::is_number)
}
