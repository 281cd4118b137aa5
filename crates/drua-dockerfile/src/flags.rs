//! `--name=value` between an instruction's keyword and its arguments.

use std::ops::Range;

use crate::error::ParseProblem;
use crate::span::{Span, Text, Word};
use crate::suggest::nearest;

/// A flag of an instruction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Flag {
    /// The name, without dashes.
    pub name: String,
    /// The value, its quotes removed; not expanded.
    pub value: Option<Word>,
    /// The whole flag.
    pub span: Span,
}

/// What kinds of flags there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FlagKind {
    Text,
    Bool,
    List,
}

/// Reads flags off the front; returns what comes after them. A bare `--` ends them.
pub(crate) fn extract(text: &Text, range: Range<usize>, escape: char) -> (Vec<Flag>, Range<usize>) {
    let mut flags = Vec::new();
    let mut rest = crate::words::trim(&text.text, range);
    while text.text[rest.clone()].starts_with("--") {
        let (end, plain) = word(&text.text[rest.clone()], escape);
        let place = rest.start..rest.start + end;
        rest = crate::words::trim(&text.text, place.end..rest.end);
        if plain == "--" {
            break;
        }
        let (name, value) = match plain[2..].split_once('=') {
            Some((name, value)) => (name.to_owned(), Some(value.to_owned())),
            None => (plain[2..].to_owned(), None),
        };
        let equals = text.text[place.clone()].find('=').map_or(place.end, |at| place.start + at + 1);
        let value = value.map(|value| Word { text: value, span: text.span(equals..place.end) });
        flags.push(Flag { name, value, span: text.span(place) });
    }
    (flags, rest)
}

/// Where the first word ends, and the word without quotes and escapes.
fn word(text: &str, escape: char) -> (usize, String) {
    let mut plain = String::new();
    let mut quote = None;
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        match quote {
            None if c.is_whitespace() => return (at, plain),
            None if c == '\'' || c == '"' => quote = Some(c),
            Some(open) if open == c => quote = None,
            _ if c == escape => plain.extend(chars.next().map(|(_, c)| c)),
            _ => plain.push(c),
        }
    }
    (text.len(), plain)
}

/// Checks flags against what an instruction knows.
pub(crate) fn check(flags: &[Flag], known: &[(&'static str, FlagKind)]) -> Result<(), (Span, ParseProblem)> {
    for (index, flag) in flags.iter().enumerate() {
        let Some((_, kind)) = known.iter().find(|(name, _)| *name == flag.name) else {
            let names = known.iter().map(|(name, _)| *name);
            let suggestion = nearest(&flag.name, names).map(|name| format!("--{name}"));
            return Err((flag.span, ParseProblem::UnknownFlag { flag: flag.name.clone(), suggestion }));
        };
        if *kind != FlagKind::List && flags[..index].iter().any(|earlier| earlier.name == flag.name) {
            return Err((flag.span, ParseProblem::DuplicateFlag(flag.name.clone())));
        }
        match (kind, &flag.value) {
            (FlagKind::Bool, Some(value)) if !matches!(value.text.to_lowercase().as_str(), "true" | "false") => {
                let (flag_name, value) = (flag.name.clone(), value.text.clone());
                let problem = ParseProblem::BadFlag { flag: flag_name, value, expected: "true or false" };
                return Err((flag.span, problem));
            }
            (FlagKind::Text | FlagKind::List, None) => {
                return Err((flag.span, ParseProblem::FlagValue(flag.name.clone())));
            }
            _ => {}
        }
    }
    Ok(())
}

/// The value of a flag that is there at most once.
pub(crate) fn text(flags: &[Flag], name: &str) -> Option<Word> {
    flags.iter().find(|flag| flag.name == name).and_then(|flag| flag.value.clone())
}

/// The values of a flag that may be repeated.
pub(crate) fn list(flags: &[Flag], name: &str) -> Vec<Word> {
    flags.iter().filter(|flag| flag.name == name).filter_map(|flag| flag.value.clone()).collect()
}

/// Whether a flag is given and what it says; without a value it says yes.
pub(crate) fn switch(flags: &[Flag], name: &str) -> Option<bool> {
    let flag = flags.iter().find(|flag| flag.name == name)?;
    Some(flag.value.as_ref().is_none_or(|value| value.text.eq_ignore_ascii_case("true")))
}
