//! `.env` and `env_file` texts.
//!
//! ```text
//! # comment                export NAME=value   (`export ` is optional)
//! NAME=plain # comment     NAME='literal'      NAME="escapes \n and ${VARIABLES}"     NAME     (passed through)
//! ```
//!
//! Quoted values may span lines. A comment after a plain value needs a blank before its `#`. Grammar: compose-go's `dotenv`
//! package; values refer to earlier lines of the file and to the environment.

use std::collections::BTreeMap;

use crate::diagnostic::{Report, Span};
use crate::interpolate::{Variables, substitute};

/// Parses a text whose lines may refer to `outer` variables, which win over the file's own.
pub(crate) fn parse(
    file: u16,
    text: &str,
    outer: &dyn Fn(&str) -> Option<String>,
    report: &mut Report,
) -> BTreeMap<String, String> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut reader = Reader { file, rest: text, line: 1, report };
    let mut values = BTreeMap::new();
    while let Some((name, value)) = reader.next_variable() {
        let lookup = |name: &str| outer(name).or_else(|| values.get(name).cloned());
        let value = match value {
            Raw::Absent => lookup(&name),
            Raw::Literal(value) => Some(value),
            Raw::Template { text, line } => reader.expand(&text, line, &lookup),
        };
        if let Some(value) = value {
            values.insert(name, value);
        }
    }
    values
}

/// Parses a text and leaves out what is wrong; whoever reads the same text again reports it.
pub fn parse_env_file(text: &str, outer: &BTreeMap<String, String>) -> BTreeMap<String, String> {
    parse(0, text, &|name| outer.get(name).cloned(), &mut Report::default())
}

/// A value before substitution.
enum Raw {
    Absent,
    Literal(String),
    Template { text: String, line: u32 },
}

struct Reader<'t, 'r> {
    file: u16,
    rest: &'t str,
    line: u32,
    report: &'r mut Report,
}

impl Reader<'_, '_> {
    /// The next variable; lines that are none are reported and skipped.
    fn next_variable(&mut self) -> Option<(String, Raw)> {
        loop {
            self.skip(|c| c.is_whitespace());
            if self.rest.is_empty() {
                return None;
            }
            if self.rest.starts_with('#') {
                self.skip(|c| c != '\n');
                continue;
            }
            if let Some(rest) = self.rest.strip_prefix("export").filter(|rest| rest.starts_with([' ', '\t'])) {
                self.rest = rest.trim_start_matches([' ', '\t']);
            }
            let name = self.take(|c| c.is_alphanumeric() || matches!(c, '_' | '.' | '-' | '[' | ']'));
            self.skip(|c| matches!(c, ' ' | '\t'));
            match self.rest.chars().next() {
                Some('=' | ':') if !name.is_empty() => {
                    self.rest = &self.rest[1..];
                    return Some((name, self.value()));
                }
                None | Some('\n' | '\r' | '#') if !name.is_empty() => return Some((name, Raw::Absent)),
                _ => {
                    let span = self.span(self.line);
                    self.report.error(span, "expected `NAME=value`");
                    self.skip(|c| c != '\n');
                }
            }
        }
    }

    fn value(&mut self) -> Raw {
        self.skip(|c| matches!(c, ' ' | '\t'));
        let line = self.line;
        match self.rest.chars().next() {
            Some('\'') => Raw::Literal(self.quoted('\'', line)),
            Some('"') => Raw::Template { text: self.quoted('"', line), line },
            _ => {
                let raw = self.take(|c| c != '\n');
                let comment = raw.match_indices('#').find(|(at, _)| *at == 0 || raw[..*at].ends_with([' ', '\t']));
                let end = comment.map_or(raw.len(), |(at, _)| at);
                Raw::Template { text: raw[..end].trim().to_owned(), line }
            }
        }
    }

    /// Reads up to the closing quote, which may be lines away, and ignores a comment after it.
    fn quoted(&mut self, quote: char, line: u32) -> String {
        let mut value = String::new();
        let mut chars = self.rest.char_indices().skip(1);
        let mut end = None;
        while let Some((at, c)) = chars.next() {
            match c {
                '\\' if quote == '"' => match chars.next() {
                    Some((_, escaped)) => push_escaped(&mut value, escaped),
                    None => value.push('\\'),
                },
                c if c == quote => {
                    end = Some(at + 1);
                    break;
                }
                c => value.push(c),
            }
        }
        let Some(end) = end else {
            let span = self.span(line);
            self.report.error(span, format!("the quote {quote} is not closed"));
            self.rest = "";
            return value;
        };
        let (quoted, rest) = self.rest.split_at(end);
        self.line += u32::try_from(quoted.matches('\n').count()).unwrap_or(0);
        self.rest = rest;
        let tail = self.take(|c| c != '\n');
        if !tail.trim().is_empty() && !tail.trim_start().starts_with('#') {
            let span = self.span(self.line);
            self.report.error(span, "unexpected text after the closing quote");
        }
        value
    }

    fn expand(&mut self, text: &str, line: u32, lookup: &dyn Fn(&str) -> Option<String>) -> Option<String> {
        let mut variables = Variables { lookup, unset: Vec::new() };
        let result = substitute(text, &mut variables);
        let span = self.span(line);
        for name in variables.unset {
            self.report.warning(span, format!("the variable `{name}` is not set; defaulting to a blank string"));
        }
        match result {
            Ok(value) => Some(value),
            Err(error) => {
                self.report.error(span, error.to_string());
                None
            }
        }
    }

    fn span(&self, line: u32) -> Span {
        Span { file: self.file, line, column: 1, length: 10_000 }
    }

    fn skip(&mut self, wanted: impl Fn(char) -> bool) {
        self.take(wanted);
    }

    fn take(&mut self, wanted: impl Fn(char) -> bool) -> String {
        let end = self.rest.find(|c| !wanted(c)).unwrap_or(self.rest.len());
        let (taken, rest) = self.rest.split_at(end);
        self.line += u32::try_from(taken.matches('\n').count()).unwrap_or(0);
        self.rest = rest;
        taken.to_owned()
    }
}

/// `\$` stays a template's literal dollar.
fn push_escaped(value: &mut String, escaped: char) {
    match escaped {
        'n' => value.push('\n'),
        'r' => value.push('\r'),
        't' => value.push('\t'),
        '$' => value.push_str("$$"),
        '\\' | '"' | '\'' => value.push(escaped),
        other => {
            value.push('\\');
            value.push(other);
        }
    }
}
