//! Splitting a logical line into words, each with its place.

use std::ops::Range;

use crate::span::{Text, Word};

/// White space inside a logical line.
fn is_blank(c: char) -> bool {
    matches!(c, '\t' | '\u{b}' | '\u{c}' | '\r' | ' ')
}

/// A range of the text without white space at its ends.
pub(crate) fn trim(text: &str, range: Range<usize>) -> Range<usize> {
    let part = &text[range.clone()];
    let start = range.start + (part.len() - part.trim_start().len());
    start..start.max(range.start + part.trim_end().len())
}

/// The first word and what comes after it.
pub(crate) fn first(text: &str, range: Range<usize>) -> (Range<usize>, Range<usize>) {
    let range = trim(text, range);
    let part = &text[range.clone()];
    let end = part.find(is_blank).map_or(range.end, |at| range.start + at);
    (range.start..end, trim(text, end..range.end))
}

/// Words split at white space, whatever quotes there are.
pub(crate) fn blank_separated(text: &Text, range: Range<usize>) -> Vec<Word> {
    let mut words = Vec::new();
    let mut rest = trim(&text.text, range);
    while !rest.is_empty() {
        let (word, after) = first(&text.text, rest);
        words.push(text.word(word));
        rest = after;
    }
    words
}

/// Words split at white space that is neither quoted nor escaped; quotes and escapes stay.
pub(crate) fn quoted(text: &Text, range: Range<usize>, escape: char) -> Vec<Word> {
    let mut words = Vec::new();
    let mut start = None;
    let mut quote = None;
    let mut chars = text.text[range.clone()].char_indices().map(|(at, c)| (range.start + at, c));
    while let Some((at, c)) = chars.next() {
        if quote.is_none() && c.is_whitespace() {
            words.extend(start.take().map(|start| text.word(start..at)));
            continue;
        }
        start.get_or_insert(at);
        if c == escape && quote != Some('\'') {
            chars.next();
        } else if quote == Some(c) {
            quote = None;
        } else if quote.is_none() && (c == '\'' || c == '"') {
            quote = Some(c);
        }
    }
    words.extend(start.map(|start| text.word(start..range.end)));
    words
}

/// The elements of a JSON array of strings. `None` when it is no JSON array; `Err` when it has other things than strings.
pub(crate) fn json(text: &Text, range: Range<usize>) -> Result<Option<Vec<Word>>, ()> {
    let range = trim(&text.text, range);
    let part = &text.text[range.clone()];
    if !part.starts_with('[') {
        return Ok(None);
    }
    let Ok(values) = serde_json::from_str::<Vec<serde_json::Value>>(part) else { return Ok(None) };
    let strings: Option<Vec<&str>> = values.iter().map(serde_json::Value::as_str).collect();
    let strings = strings.ok_or(())?;
    let places = json_strings(part);
    let word = |(text_of, place): (&str, Range<usize>)| Word {
        text: text_of.to_owned(),
        span: text.span(range.start + place.start..range.start + place.end),
    };
    Ok(Some(strings.into_iter().zip(places).map(word).collect()))
}

/// Where the strings of a valid JSON array of strings are, quotes included.
fn json_strings(array: &str) -> Vec<Range<usize>> {
    let mut places = Vec::new();
    let mut start = None;
    let mut escaped = false;
    for (at, byte) in array.bytes().enumerate() {
        match (start, byte) {
            _ if escaped => escaped = false,
            (Some(_), b'\\') => escaped = true,
            (Some(from), b'"') => {
                places.push(from..at + 1);
                start = None;
            }
            (None, b'"') => start = Some(at),
            _ => {}
        }
    }
    places
}
