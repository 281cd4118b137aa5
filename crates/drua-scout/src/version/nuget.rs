//! NuGet: SemVer 2.0.0 with up to four numbers, pre-release labels without letter case, build metadata without meaning.

use std::cmp::Ordering;

use super::{scan, semver};

pub(super) fn compare(a: &str, b: &str) -> Ordering {
    let (a, b) = (a.to_ascii_lowercase(), b.to_ascii_lowercase());
    semver::compare(&a, &b)
}

pub(super) fn is_valid(version: &str) -> bool {
    let core = version.split(['-', '+']).next().unwrap_or_default();
    let numbers: Vec<&str> = core.split('.').collect();
    (1..=4).contains(&numbers.len()) && numbers.iter().all(|number| scan::is_number(number))
}
