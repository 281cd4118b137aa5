//! apk-tools' `version.c`, of its third major version; where the second differs, it does so for versions that no package has.
//!
//! `number{.number}{letter}{_suffix{number}}{~hash}{-r#}`

use std::cmp::Ordering;

use super::scan;

pub(super) fn compare(a: &str, b: &str) -> Ordering {
    let (mut rest_a, mut rest_b) = (a.trim(), b.trim());
    let mut left = Token::first(&mut rest_a);
    let mut right = Token::first(&mut rest_b);
    while left.part == right.part && left.part < Part::End {
        let order = left.compare(&right);
        if order.is_ne() {
            return order;
        }
        left = left.next(&mut rest_a);
        right = right.next(&mut rest_b);
    }
    if left.part == right.part {
        // Both at the end, or both at something that apk does not understand.
        return rest_a.cmp(rest_b);
    }
    // The longer one is the newer, unless what it has more is a sign of a pre-release.
    if left.is_pre_release() {
        return Ordering::Less;
    }
    if right.is_pre_release() {
        return Ordering::Greater;
    }
    right.part.cmp(&left.part)
}

pub(super) fn is_valid(version: &str) -> bool {
    let mut rest = version;
    let mut token = Token::first(&mut rest);
    while token.part < Part::End {
        token = token.next(&mut rest);
    }
    token.part == Part::End
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Part {
    FirstNumber,
    Number,
    Letter,
    Suffix,
    SuffixNumber,
    Hash,
    Revision,
    End,
    Invalid,
}

/// In order; a version without a suffix stands after `rc` and before `cvs`.
const SUFFIXES: [&str; 9] = ["alpha", "beta", "pre", "rc", "cvs", "svn", "git", "hg", "p"];
const PRE_RELEASES: usize = 4;

#[derive(Debug, Clone, Copy)]
struct Token<'v> {
    part: Part,
    text: &'v str,
    /// Of a suffix: its place in [`SUFFIXES`].
    suffix: usize,
}

impl<'v> Token<'v> {
    fn new(part: Part, text: &'v str) -> Self {
        Self { part, text, suffix: 0 }
    }

    fn number(part: Part, rest: &mut &'v str) -> Self {
        let digits = scan::take_digits(rest);
        if digits.is_empty() { Self::new(Part::Invalid, "") } else { Self::new(part, digits) }
    }

    fn first(rest: &mut &'v str) -> Self {
        Self::number(Part::FirstNumber, rest)
    }

    fn next(self, rest: &mut &'v str) -> Self {
        let invalid = Self::new(Part::Invalid, "");
        let before = self.part;
        match rest.bytes().next() {
            None => Self::new(Part::End, ""),
            Some(b'a'..=b'z') if before <= Part::Number => {
                let (letter, tail) = rest.split_at(1);
                *rest = tail;
                Self::new(Part::Letter, letter)
            }
            Some(b'.') if before <= Part::Number => {
                *rest = &rest[1..];
                Self::number(Part::Number, rest)
            }
            Some(b'0'..=b'9') if before == Part::Suffix => Self::number(Part::SuffixNumber, rest),
            Some(b'_') if before <= Part::SuffixNumber => {
                *rest = &rest[1..];
                let name = scan::take_while(rest, |byte| byte.is_ascii_lowercase());
                match SUFFIXES.iter().position(|suffix| *suffix == name) {
                    Some(suffix) => Self { part: Part::Suffix, text: name, suffix },
                    None => invalid,
                }
            }
            Some(b'~') if before < Part::Hash => {
                *rest = &rest[1..];
                let hash = scan::take_while(rest, |byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
                if hash.is_empty() { invalid } else { Self::new(Part::Hash, hash) }
            }
            Some(b'-') if before < Part::Revision && rest.starts_with("-r") => {
                *rest = &rest[2..];
                Self::number(Part::Revision, rest)
            }
            Some(_) => invalid,
        }
    }

    fn is_pre_release(&self) -> bool {
        self.part == Part::Suffix && self.suffix < PRE_RELEASES
    }

    /// Compares two tokens of one kind.
    fn compare(&self, other: &Self) -> Ordering {
        match self.part {
            // As in Gentoo: a number with a leading zero is a decimal fraction.
            Part::Number if self.text.starts_with('0') || other.text.starts_with('0') => self.text.cmp(other.text),
            Part::FirstNumber | Part::Number | Part::SuffixNumber | Part::Revision => {
                scan::numbers(self.text, other.text)
            }
            Part::Suffix => self.suffix.cmp(&other.suffix),
            Part::Letter | Part::Hash | Part::End | Part::Invalid => self.text.cmp(other.text),
        }
    }
}
