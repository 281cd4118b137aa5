//! RubyGems' `Gem::Version`.

use std::cmp::Ordering;

use super::scan;

pub(super) fn compare(a: &str, b: &str) -> Ordering {
    let (a, b) = (canonical(a), canonical(b));
    for index in 0..a.len().max(b.len()) {
        let (left, right) = (a.get(index).copied().unwrap_or("0"), b.get(index).copied().unwrap_or("0"));
        let order = match (scan::is_number(left), scan::is_number(right)) {
            (true, true) => scan::numbers(left, right),
            // A text is a pre-release.
            (true, false) => Ordering::Greater,
            (false, true) => Ordering::Less,
            (false, false) => left.cmp(right),
        };
        if order.is_ne() {
            return order;
        }
    }
    Ordering::Equal
}

pub(super) fn is_valid(version: &str) -> bool {
    let version = version.trim();
    let (release, pre) = match version.split_once('-') {
        Some((release, pre)) => (release, Some(pre)),
        None => (version, None),
    };
    let word = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric());
    let starts = release.starts_with(|c: char| c.is_ascii_digit());
    let pre_valid = pre.is_none_or(|pre| pre.split(['.', '-']).all(word));
    version.is_empty() || (starts && release.split('.').all(word) && pre_valid)
}

/// The segments without the zeros that end the numbers and those that end the whole.
fn canonical(version: &str) -> Vec<&str> {
    let version = version.trim();
    let all = segments(version);
    let texts = all.iter().position(|segment| !scan::is_number(segment)).unwrap_or(all.len());
    let (numbers, rest) = all.split_at(texts);
    let zero = |segment: &&str| segment.bytes().all(|byte| byte == b'0');
    let keep = |list: &[&str]| list.iter().rposition(|segment| !zero(segment)).map_or(0, |last| last + 1);
    let mut canonical = numbers[..keep(numbers)].to_vec();
    canonical.extend(&rest[..keep(rest)]);
    canonical
}

/// Runs of digits and runs of letters; a dash reads `.pre.`.
fn segments(version: &str) -> Vec<&str> {
    let mut rest = version;
    let mut segments = Vec::new();
    while let Some(byte) = rest.bytes().next() {
        if byte.is_ascii_digit() {
            segments.push(scan::take_digits(&mut rest));
        } else if byte.is_ascii_alphabetic() {
            segments.push(scan::take_while(&mut rest, |byte| byte.is_ascii_alphabetic()));
        } else {
            if byte == b'-' {
                segments.push("pre");
            }
            let mut chars = rest.chars();
            chars.next();
            rest = chars.as_str();
        }
    }
    segments
}
