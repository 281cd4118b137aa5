//! Composer: versions are brought to one form (four numbers, a stability), then compared as PHP's `version_compare` does.

use std::cmp::Ordering;

use super::scan;

pub(super) fn compare(a: &str, b: &str) -> Ordering {
    let (a, b) = (normalized(a), normalized(b));
    let (a, b) = (parts(&a), parts(&b));
    for index in 0..a.len().max(b.len()) {
        let order = match (a.get(index), b.get(index)) {
            (Some(a), Some(b)) => pair(a, b),
            // A number more is newer; a word more is what that word is beside a number.
            (Some(a), None) => pair(a, "#"),
            (None, Some(b)) => pair("#", b),
            (None, None) => Ordering::Equal,
        };
        if order.is_ne() {
            return order;
        }
    }
    Ordering::Equal
}

pub(super) fn is_valid(version: &str) -> bool {
    version.starts_with("dev-") || normalize(version).is_some()
}

fn pair(a: &str, b: &str) -> Ordering {
    match (scan::is_number(a), scan::is_number(b)) {
        (true, true) => scan::numbers(a, b),
        (false, false) => rank(a).cmp(&rank(b)),
        (true, false) if b == "#" => Ordering::Greater,
        (false, true) if a == "#" => Ordering::Less,
        (true, false) => rank("#").cmp(&rank(b)),
        (false, true) => rank(a).cmp(&rank("#")),
    }
}

/// PHP's order of words; as there, what begins with a known word is that word, and unknown ones come first.
fn rank(word: &str) -> usize {
    const FORMS: [(&str, usize); 10] = [
        ("dev", 1),
        ("alpha", 2),
        ("a", 2),
        ("beta", 3),
        ("b", 3),
        ("RC", 4),
        ("rc", 4),
        ("#", 5),
        ("pl", 6),
        ("p", 6),
    ];
    FORMS.iter().find(|(form, _)| word.starts_with(form)).map_or(0, |(_, rank)| *rank)
}

/// `php_canonicalize_version`: dots wherever digits meet letters, and instead of everything else.
fn parts(version: &str) -> Vec<String> {
    let mut parts = vec![String::new()];
    let mut last: Option<char> = None;
    for c in version.chars() {
        let parted = match last {
            None => false,
            Some(last) => last.is_ascii_digit() != c.is_ascii_digit() && last.is_ascii_alphanumeric(),
        };
        if !c.is_ascii_alphanumeric() && c != '#' {
            if parts.last().is_some_and(|part| !part.is_empty()) {
                parts.push(String::new());
            }
        } else {
            if parted && parts.last().is_some_and(|part| !part.is_empty()) {
                parts.push(String::new());
            }
            if let Some(part) = parts.last_mut() {
                part.push(c);
            }
        }
        last = Some(c);
    }
    if parts.last().is_some_and(String::is_empty) {
        parts.pop();
    }
    parts
}

fn normalized(version: &str) -> String {
    normalize(version).unwrap_or_else(|| version.trim().to_owned())
}

/// Composer's `VersionParser::normalize`, of versions that are numbers with a stability: `v1.2-beta3` is `1.2.0.0-beta3`.
fn normalize(version: &str) -> Option<String> {
    let text = version.trim();
    let text = text.split_once('+').map_or(text, |(before, _)| before);
    let text = text.split_once('@').map_or(text, |(before, _)| before);
    let mut rest = text.strip_prefix(['v', 'V']).unwrap_or(text);
    let mut numbers = Vec::new();
    while numbers.len() < 4 {
        let digits = scan::take_digits(&mut rest);
        if digits.is_empty() {
            return None;
        }
        numbers.push(digits.to_owned());
        match rest.strip_prefix('.') {
            Some(tail) if tail.starts_with(|c: char| c.is_ascii_digit()) && numbers.len() < 4 => rest = tail,
            _ => break,
        }
    }
    numbers.resize(4, "0".to_owned());
    let stability = stability(rest)?;
    Some(numbers.join(".") + &stability)
}

/// `[._-]? word number? ([.-]? dev)?`
fn stability(rest: &str) -> Option<String> {
    let lower = rest.to_ascii_lowercase();
    let mut rest = lower.strip_prefix(['.', '_', '-']).unwrap_or(&lower);
    const WORDS: [(&str, &str); 9] = [
        ("stable", ""),
        ("beta", "beta"),
        ("b", "beta"),
        ("rc", "RC"),
        ("alpha", "alpha"),
        ("a", "alpha"),
        ("patch", "patch"),
        ("pl", "patch"),
        ("p", "patch"),
    ];
    let mut text = String::new();
    if let Some((word, tail)) = WORDS.iter().find_map(|(word, name)| rest.strip_prefix(word).map(|tail| (*name, tail))) {
        rest = tail;
        let number = scan::take_while(&mut rest, |byte| byte.is_ascii_digit() || byte == b'.' || byte == b'-');
        if !word.is_empty() {
            text = format!("-{word}{}", number.trim_start_matches(['.', '-']).trim_end_matches(['.', '-']));
        }
    }
    let dev = rest.strip_prefix(['.', '-']).unwrap_or(rest);
    if dev == "dev" {
        return Some(text + "-dev");
    }
    rest.is_empty().then_some(text)
}
