//! YAML as Go's encoder writes it: two blanks of indentation, lists indented below their key, quotes only where a plain
//! word would be read as something else.

use std::fmt::Write as _;

use crate::tree::Tree;
use crate::yaml::{Kind, resolve};

/// Writes a document, with a line end.
pub(super) fn write(tree: &Tree) -> String {
    let mut out = String::new();
    match tree {
        Tree::Map(entries) if !entries.is_empty() => mapping(&mut out, entries, 0, false),
        Tree::List(items) if !items.is_empty() => sequence(&mut out, items, 0),
        other => {
            out.push_str(&inline(other, 0));
            out.push('\n');
        }
    }
    out
}

fn pad(out: &mut String, indent: usize) {
    out.extend(std::iter::repeat_n(' ', indent));
}

/// `continued`: the first key stands on a line that has been begun.
fn mapping(out: &mut String, entries: &[(String, Tree)], indent: usize, continued: bool) {
    let mut entries: Vec<&(String, Tree)> = entries.iter().collect();
    // Keys in order are those of a mapping, which Go sorts in its own way; other orders are those of a structure.
    if entries.is_sorted_by(|left, right| left.0 <= right.0) {
        entries.sort_by(|left, right| super::order::compare(&left.0, &right.0));
    }
    for (index, (key, value)) in entries.into_iter().enumerate() {
        if index > 0 || !continued {
            pad(out, indent);
        }
        out.push_str(&key_text(key));
        out.push(':');
        match value {
            Tree::Map(entries) if !entries.is_empty() => {
                out.push('\n');
                mapping(out, entries, indent + 2, false);
            }
            Tree::List(items) if !items.is_empty() => {
                out.push('\n');
                sequence(out, items, indent + 2);
            }
            other => {
                out.push(' ');
                out.push_str(&inline(other, indent));
                out.push('\n');
            }
        }
    }
}

fn sequence(out: &mut String, items: &[Tree], indent: usize) {
    for item in items {
        pad(out, indent);
        out.push_str("- ");
        match item {
            Tree::Map(entries) if !entries.is_empty() => mapping(out, entries, indent + 2, true),
            Tree::List(items) if !items.is_empty() => {
                let mut inner = String::new();
                sequence(&mut inner, items, indent + 2);
                out.push_str(inner.trim_start_matches(' '));
            }
            other => {
                out.push_str(&inline(other, indent));
                out.push('\n');
            }
        }
    }
}

fn inline(tree: &Tree, indent: usize) -> String {
    match tree {
        Tree::Null => "null".to_owned(),
        Tree::Bool(value) => value.to_string(),
        Tree::Int(value) => value.to_string(),
        Tree::Float(value) => super::number(*value),
        Tree::Text(text) => scalar(text, indent),
        Tree::List(_) => "[]".to_owned(),
        Tree::Map(_) => "{}".to_owned(),
    }
}

fn key_text(key: &str) -> String {
    match style(key) {
        Style::Literal => double_quoted(key),
        style => apply(key, style, 0),
    }
}

fn scalar(text: &str, indent: usize) -> String {
    apply(text, style(text), indent)
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Style {
    Plain,
    Single,
    Double,
    Literal,
}

fn apply(text: &str, style: Style, indent: usize) -> String {
    match style {
        Style::Plain => text.to_owned(),
        Style::Single => format!("'{}'", text.replace('\'', "''")),
        Style::Double => double_quoted(text),
        Style::Literal => literal(text, indent),
    }
}

fn style(text: &str) -> Style {
    let special = text.chars().any(|c| !is_printable(c) && c != '\n');
    let space_before_break = text.contains(" \n");
    if special || space_before_break {
        return Style::Double;
    }
    if text.contains('\n') {
        // A block cannot end in a blank.
        return if text.ends_with(' ') || text.trim_matches('\n').is_empty() { Style::Double } else { Style::Literal };
    }
    if resolve(text) != Kind::Text || is_timestamp(text) {
        return Style::Double;
    }
    if text == "<<" || is_old_boolean(text) || is_base_60(text) || !may_be_plain(text) {
        Style::Single
    } else {
        Style::Plain
    }
}

fn may_be_plain(text: &str) -> bool {
    let mut chars = text.chars();
    let Some(first) = chars.next() else { return false };
    let second = chars.next();
    let blank_next = second.is_none_or(|c| c == ' ');
    let bad_start = "#,[]{}&*!|>'\"%@`".contains(first) || ("?:-".contains(first) && blank_next);
    let bad_inside = text.contains(": ") || text.ends_with(':') || text.contains(" #");
    let bad_edges = first == ' ' || text.ends_with(' ');
    !(bad_start || bad_inside || bad_edges || text.starts_with("---") || text.starts_with("..."))
}

fn is_printable(c: char) -> bool {
    matches!(c, ' '..='~' | '\u{85}' | '\u{a0}'..='\u{d7ff}' | '\u{e000}'..='\u{fefe}' | '\u{ff00}'..='\u{fffd}' | '\u{10000}'..='\u{10ffff}')
        && !matches!(c, '\u{85}' | '\u{2028}' | '\u{2029}')
}

/// Words that YAML 1.1 reads as booleans.
fn is_old_boolean(text: &str) -> bool {
    matches!(
        text,
        "y" | "Y" | "yes" | "Yes" | "YES" | "on" | "On" | "ON" | "n" | "N" | "no" | "No" | "NO" | "off" | "Off" | "OFF"
    )
}

/// `1:20`, which YAML 1.1 reads as a number.
fn is_base_60(text: &str) -> bool {
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    let mut parts = digits.split(':');
    let first = parts.next().unwrap_or_default();
    let starts =
        first.starts_with(|c: char| c.is_ascii_digit()) && first.bytes().all(|b| b.is_ascii_digit() || b == b'_');
    let mut rest: Vec<&str> = parts.collect();
    if !starts || rest.is_empty() {
        return false;
    }
    if let Some(last) = rest.last_mut() {
        *last = last
            .split_once('.')
            .filter(|(_, f)| f.bytes().all(|b| b.is_ascii_digit() || b == b'_'))
            .map_or(*last, |(whole, _)| whole);
    }
    rest.iter().all(|part| match part.as_bytes() {
        [digit] => digit.is_ascii_digit(),
        [tens, digit] => (b'0'..=b'5').contains(tens) && digit.is_ascii_digit(),
        _ => false,
    })
}

/// A date, with or without a time.
fn is_timestamp(text: &str) -> bool {
    let bytes = text.as_bytes();
    let digits =
        |range: std::ops::Range<usize>| bytes.get(range).is_some_and(|part| part.iter().all(u8::is_ascii_digit));
    if !digits(0..4) || bytes.get(4) != Some(&b'-') {
        return false;
    }
    let mut parts = text.splitn(2, ['T', 't', ' ']);
    let date: Vec<&str> = parts.next().unwrap_or_default().split('-').collect();
    let in_range = |text: &str, most: u32| {
        (1..=2).contains(&text.len()) && text.parse::<u32>().is_ok_and(|value| (1..=most).contains(&value))
    };
    let is_date = matches!(date.as_slice(), [_, month, day] if in_range(month, 12) && in_range(day, 31));
    match parts.next() {
        None => {
            is_date && text.len() == 10 || is_date && date.iter().all(|part| !part.is_empty()) && !text.contains(' ')
        }
        Some(time) => is_date && time.split(':').count() == 3 && time.starts_with(|c: char| c.is_ascii_digit()),
    }
}

fn double_quoted(text: &str) -> String {
    let mut out = String::from('"');
    // Go's encoder looks for a byte order mark at the start of the text whenever it looks at one of its characters.
    let escapes_all = text.starts_with('\u{feff}');
    for c in text.chars() {
        match c {
            c if escapes_all && c.is_ascii() => {
                let _ = write!(out, "\\x{:02X}", u32::from(c));
            }
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\0' => out.push_str("\\0"),
            '\u{7}' => out.push_str("\\a"),
            '\u{8}' => out.push_str("\\b"),
            '\u{b}' => out.push_str("\\v"),
            '\u{c}' => out.push_str("\\f"),
            '\u{1b}' => out.push_str("\\e"),
            '\u{85}' => out.push_str("\\N"),
            '\u{2028}' => out.push_str("\\L"),
            '\u{2029}' => out.push_str("\\P"),
            c if is_printable(c) => out.push(c),
            c if u32::from(c) <= 0xff => {
                let _ = write!(out, "\\x{:02X}", u32::from(c));
            }
            c if u32::from(c) <= 0xffff => {
                let _ = write!(out, "\\u{:04X}", u32::from(c));
            }
            c => {
                let _ = write!(out, "\\U{:08X}", u32::from(c));
            }
        }
    }
    out.push('"');
    out
}

fn literal(text: &str, indent: usize) -> String {
    let mut out = String::from('|');
    if text.starts_with(' ') {
        out.push('2');
    }
    let body = match text.strip_suffix('\n') {
        None => {
            out.push('-');
            text
        }
        Some(body) => {
            if body.ends_with('\n') {
                out.push('+');
            }
            body
        }
    };
    for line in body.split('\n') {
        out.push('\n');
        if !line.is_empty() {
            pad(&mut out, indent + 2);
            out.push_str(line);
        }
    }
    out
}
