//! PEP 440, as Python's `packaging` reads it; what PEP 440 does not allow sorts before everything else, as
//! `pkg_resources.LegacyVersion` did.

use std::cmp::Ordering;

use super::scan;

pub(super) fn compare(a: &str, b: &str) -> Ordering {
    match (Parsed::of(a), Parsed::of(b)) {
        (Some(a), Some(b)) => a.cmp(&b),
        (Some(_), None) => Ordering::Greater,
        (None, Some(_)) => Ordering::Less,
        (None, None) => legacy_key(a).cmp(&legacy_key(b)),
    }
}

pub(super) fn is_valid(version: &str) -> bool {
    Parsed::of(version).is_some()
}

/// A number of any length, without zeros before it. Derived order is by length, then by digits.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Number(usize, String);

impl Number {
    fn of(digits: &str) -> Self {
        let digits = digits.trim_start_matches('0');
        Self(digits.len(), digits.to_owned())
    }
}

/// Where a version without a pre-release stands: a bare development release before all pre-releases, all others after.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Pre {
    DevelopmentOnly,
    Some(u8, Number),
    None,
}

#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Dev {
    Some(Number),
    None,
}

/// A part of a local version: texts before numbers.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Local {
    Text(String),
    Number(Number),
}

/// Fields in the order in which they count.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Parsed {
    epoch: Number,
    release: Vec<Number>,
    pre: Pre,
    post: Option<Number>,
    dev: Dev,
    local: Vec<Local>,
}

impl Parsed {
    fn of(version: &str) -> Option<Self> {
        let lower = version.trim().to_ascii_lowercase();
        let text = lower.strip_prefix('v').unwrap_or(&lower);
        let (public, local) = match text.split_once('+') {
            Some((public, local)) => (public, Some(local)),
            None => (text, None),
        };
        let (epoch, mut rest) = match public.split_once('!') {
            Some((epoch, rest)) if scan::is_number(epoch) => (epoch, rest),
            Some(_) => return None,
            None => ("0", public),
        };
        let release = release(&mut rest)?;
        let pre = pre(&mut rest);
        let post = post(&mut rest);
        let dev = labelled(&mut rest, &["dev"]).map(|(_, number)| number);
        if !rest.is_empty() {
            return None;
        }
        let pre = match pre {
            Some((kind, number)) => Pre::Some(kind, number),
            None if post.is_none() && dev.is_some() => Pre::DevelopmentOnly,
            None => Pre::None,
        };
        let local = local.map_or(Some(Vec::new()), locals)?;
        Some(Self { epoch: Number::of(epoch), release, pre, post, dev: dev.map_or(Dev::None, Dev::Some), local })
    }
}

/// The numbers, without the zeros that end them.
fn release(rest: &mut &str) -> Option<Vec<Number>> {
    let mut numbers = Vec::new();
    loop {
        let digits = scan::take_digits(rest);
        if digits.is_empty() {
            return None;
        }
        numbers.push(Number::of(digits));
        match rest.strip_prefix('.') {
            Some(tail) if tail.starts_with(|c: char| c.is_ascii_digit()) => *rest = tail,
            _ => break,
        }
    }
    while numbers.last().is_some_and(|number| number.0 == 0) {
        numbers.pop();
    }
    Some(numbers)
}

fn pre(rest: &mut &str) -> Option<(u8, Number)> {
    // Longer names first: `a` begins `alpha`.
    let (name, number) = labelled(rest, &["alpha", "beta", "preview", "pre", "rc", "a", "b", "c"])?;
    let kind = match name {
        "alpha" | "a" => 0,
        "beta" | "b" => 1,
        _ => 2,
    };
    Some((kind, number))
}

fn post(rest: &mut &str) -> Option<Number> {
    if let Some(tail) = rest.strip_prefix('-')
        && tail.starts_with(|c: char| c.is_ascii_digit())
    {
        *rest = tail;
        return Some(Number::of(scan::take_digits(rest)));
    }
    labelled(rest, &["post", "rev", "r"]).map(|(_, number)| number)
}

/// `[-_.]? name [-_.]? number?`
fn labelled(rest: &mut &str, names: &[&'static str]) -> Option<(&'static str, Number)> {
    let separators = ['-', '_', '.'];
    let text = rest.strip_prefix(separators).unwrap_or(rest);
    let (name, mut tail) = names.iter().find_map(|name| text.strip_prefix(name).map(|tail| (*name, tail)))?;
    if let Some(number) = tail.strip_prefix(separators)
        && number.starts_with(|c: char| c.is_ascii_digit())
    {
        tail = number;
    }
    let number = Number::of(scan::take_digits(&mut tail));
    *rest = tail;
    Some((name, number))
}

fn locals(text: &str) -> Option<Vec<Local>> {
    text.split(['-', '_', '.'])
        .map(|part| {
            let word = !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_alphanumeric());
            word.then(|| if scan::is_number(part) { Local::Number(Number::of(part)) } else { Local::Text(part.to_owned()) })
        })
        .collect()
}

/// `packaging`'s `_legacy_cmpkey`, before it was removed in version 22.
fn legacy_key(version: &str) -> Vec<String> {
    let lower = version.to_lowercase();
    let mut parts: Vec<String> = Vec::new();
    let mut push = |part: String| {
        if part.starts_with('*') {
            if part.as_str() < "*final" {
                while parts.last().is_some_and(|last| last == "*final-") {
                    parts.pop();
                }
            }
            while parts.last().is_some_and(|last| last == "00000000") {
                parts.pop();
            }
        }
        parts.push(part);
    };
    for part in legacy_parts(&lower) {
        match part {
            "." | "" => {}
            "pre" | "preview" | "rc" => push("*c".to_owned()),
            "-" => push("*final-".to_owned()),
            "dev" => push("*@".to_owned()),
            _ if part.starts_with(|c: char| c.is_ascii_digit()) => push(format!("{part:0>8}")),
            _ => push(format!("*{part}")),
        }
    }
    push("*final".to_owned());
    parts
}

/// Runs of digits, runs of letters, single dots and dashes, and whatever stands between those.
fn legacy_parts(text: &str) -> Vec<&str> {
    let class = |c: char| match c {
        '0'..='9' => 0_u8,
        'a'..='z' => 1,
        '.' => 2,
        '-' => 3,
        _ => 4,
    };
    let mut parts = Vec::new();
    let mut start = 0;
    let mut last = None;
    for (index, c) in text.char_indices() {
        let here = class(c);
        if last.is_some_and(|last| last != here || matches!(here, 2 | 3)) {
            parts.push(&text[start..index]);
            start = index;
        }
        last = Some(here);
    }
    parts.push(&text[start..]);
    parts
}
