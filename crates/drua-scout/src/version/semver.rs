//! SemVer 2.0.0 §11, read leniently: any count of numbers, missing ones are zero, `v` before it; and what Go, pub and Bitnami
//! do differently.

use std::cmp::Ordering;

use super::scan;

pub(super) fn compare(a: &str, b: &str) -> Ordering {
    let (a, b) = (Parts::of(a), Parts::of(b));
    a.order(&b)
}

/// Pub counts build metadata, after everything else: none is less than some.
pub(super) fn compare_pub(a: &str, b: &str) -> Ordering {
    let (a, b) = (Parts::of(a), Parts::of(b));
    a.order(&b).then_with(|| match (a.build.is_empty(), b.build.is_empty()) {
        (true, true) => Ordering::Equal,
        (true, false) => Ordering::Less,
        (false, true) => Ordering::Greater,
        (false, false) => labels(a.build, b.build),
    })
}

/// Go's own releases are called `go1.21rc2`, which is `1.21.0-rc.2`, and from 1.21 on also `1.21.0-rc.2` in advisories.
pub(super) fn compare_go(a: &str, b: &str) -> Ordering {
    let (a, b) = (go_canonical(a), go_canonical(b));
    compare(&a, &b)
}

/// Bitnami appends the revision of its packaging, which is not a pre-release: `1.2.3-4` is `1.2.3`, built the fourth time.
pub(super) fn compare_bitnami(a: &str, b: &str) -> Ordering {
    let (left, right) = (Parts::of(a), Parts::of(b));
    let revision = |parts: &Parts<'_>| scan::is_number(parts.pre);
    match (revision(&left), revision(&right)) {
        (false, false) => left.order(&right),
        (is_left, is_right) => {
            let core = numbers(left.core, right.core);
            let pre = |parts: &Parts<'_>, is_revision: bool| !is_revision && !parts.pre.is_empty();
            core.then_with(|| pre(&right, is_right).cmp(&pre(&left, is_left))).then_with(|| {
                let number = |parts: &Parts<'_>, is: bool| if is { parts.pre.to_owned() } else { String::new() };
                scan::numbers(&number(&left, is_left), &number(&right, is_right))
            })
        }
    }
}

pub(super) fn is_valid(version: &str) -> bool {
    let version = go_canonical(version);
    let parts = Parts::of(&version);
    let identifiers = |text: &str| {
        text.split('.').all(|part| !part.is_empty() && part.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-'))
    };
    parts.core.split('.').all(scan::is_number)
        && (parts.pre.is_empty() || identifiers(parts.pre))
        && (parts.build.is_empty() || identifiers(parts.build))
}

/// `go1.21rc2` as `1.21-rc.2`; everything else as it is.
fn go_canonical(version: &str) -> String {
    let plain = version.strip_prefix("go").unwrap_or(version);
    let Some(at) = plain.find(|c: char| c.is_ascii_alphabetic() && c != 'v') else { return plain.to_owned() };
    let (core, label) = plain.split_at(at);
    if !core.ends_with(|c: char| c.is_ascii_digit()) || core.contains(['-', '+']) {
        return plain.to_owned();
    }
    for name in ["rc", "beta", "alpha"] {
        if let Some(number) = label.strip_prefix(name).filter(|number| scan::is_number(number)) {
            return format!("{core}-{name}.{number}");
        }
    }
    plain.to_owned()
}

struct Parts<'v> {
    core: &'v str,
    pre: &'v str,
    build: &'v str,
}

impl<'v> Parts<'v> {
    fn of(version: &'v str) -> Self {
        let version = version.trim();
        let version = version.strip_prefix(['v', 'V', '=']).unwrap_or(version);
        let (rest, build) = version.split_once('+').unwrap_or((version, ""));
        match rest.split_once('-') {
            Some((core, pre)) => Self { core, pre, build },
            None => Self::without_dash(rest, build),
        }
    }

    /// `1.2.3beta4` and `1.0.0.rc1`, which SemVer does not allow but people write: numbers, then a label.
    fn without_dash(rest: &'v str, build: &'v str) -> Self {
        let end = rest.bytes().position(|byte| !byte.is_ascii_digit() && byte != b'.').unwrap_or(rest.len());
        let (core, pre) = rest.split_at_checked(end).unwrap_or((rest, ""));
        if core.is_empty() {
            return Self { core: rest, pre: "", build };
        }
        Self { core: core.trim_end_matches('.'), pre, build }
    }

    fn order(&self, other: &Self) -> Ordering {
        numbers(self.core, other.core).then_with(|| match (self.pre.is_empty(), other.pre.is_empty()) {
            (true, true) => Ordering::Equal,
            (true, false) => Ordering::Greater,
            (false, true) => Ordering::Less,
            (false, false) => labels(self.pre, other.pre),
        })
    }
}

/// Numbers between dots, missing ones are zero.
fn numbers(a: &str, b: &str) -> Ordering {
    let (mut left, mut right) = (a.split('.'), b.split('.'));
    loop {
        let (a, b) = (left.next(), right.next());
        if a.is_none() && b.is_none() {
            return Ordering::Equal;
        }
        let (a, b) = (a.unwrap_or("0"), b.unwrap_or("0"));
        let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
        let order = match (digits(a), digits(b)) {
            (true, true) => scan::numbers(a, b),
            (true, false) => Ordering::Less,
            (false, true) => Ordering::Greater,
            (false, false) => a.cmp(b),
        };
        if order.is_ne() {
            return order;
        }
    }
}

/// SemVer §11.4: numbers as numbers and before texts, the longer list after the shorter.
fn labels(a: &str, b: &str) -> Ordering {
    let (mut left, mut right) = (a.split('.'), b.split('.'));
    loop {
        let order = match (left.next(), right.next()) {
            (None, None) => return Ordering::Equal,
            (None, Some(_)) => Ordering::Less,
            (Some(_), None) => Ordering::Greater,
            (Some(a), Some(b)) => match (scan::is_number(a), scan::is_number(b)) {
                (true, true) => scan::numbers(a, b),
                (true, false) => Ordering::Less,
                (false, true) => Ordering::Greater,
                (false, false) => a.cmp(b),
            },
        };
        if order.is_ne() {
            return order;
        }
    }
}
