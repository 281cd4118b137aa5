//! Path patterns as Go's `filepath.Match` understands them: the sources of COPY and ADD.

use std::iter::Peekable;
use std::str::Chars;

use regex::Regex;

/// A pattern is wrong.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("syntax error in pattern `{0}`")]
pub struct GlobError(pub String);

/// `*` and `?` match anything but `/`, `[a-z]` and `[^a-z]` one character, a backslash takes a character's meaning away.
#[derive(Debug, Clone)]
pub struct Glob {
    regex: Regex,
}

impl Glob {
    /// Compiles a pattern.
    ///
    /// # Errors
    /// A class that is not closed or empty, a backslash at the end.
    pub fn new(pattern: &str) -> Result<Self, GlobError> {
        let error = || GlobError(pattern.to_owned());
        let mut regex = String::from("^");
        let mut chars = pattern.chars().peekable();
        while let Some(c) = chars.next() {
            match c {
                '*' => regex.push_str("[^/]*"),
                '?' => regex.push_str("[^/]"),
                '[' => class(&mut chars, &mut regex).ok_or_else(error)?,
                '\\' => literal(&mut regex, chars.next().ok_or_else(error)?),
                c => literal(&mut regex, c),
            }
        }
        regex.push('$');
        Ok(Self { regex: compile(&regex).ok_or_else(error)? })
    }

    /// Whether the whole path fits.
    pub fn matches(&self, path: &str) -> bool {
        self.regex.is_match(path)
    }

    /// Whether a text has characters with a meaning in patterns.
    pub fn is_pattern(text: &str) -> bool {
        text.contains(['*', '?', '[', '\\'])
    }
}

pub(crate) fn compile(regex: &str) -> Option<Regex> {
    regex::RegexBuilder::new(regex).dot_matches_new_line(true).size_limit(1 << 20).build().ok()
}

pub(crate) fn literal(regex: &mut String, c: char) {
    regex.push_str(&regex::escape(c.encode_utf8(&mut [0; 4])));
}

/// Translates a class, whose `[` has been read.
pub(crate) fn class(chars: &mut Peekable<Chars<'_>>, regex: &mut String) -> Option<()> {
    regex.push('[');
    if chars.next_if_eq(&'^').is_some() {
        regex.push('^');
    }
    let mut empty = true;
    loop {
        match chars.next()? {
            ']' if !empty => break,
            ']' => return None,
            '-' if empty => return None,
            '\\' => class_char(regex, chars.next()?),
            '-' => regex.push('-'),
            c => class_char(regex, c),
        }
        empty = false;
    }
    regex.push(']');
    Some(())
}

/// Inside a class our regular expressions know operators that Go's do not.
fn class_char(regex: &mut String, c: char) {
    if !c.is_alphanumeric() && c.is_ascii() && !c.is_ascii_control() && c != ' ' {
        regex.push('\\');
    }
    regex.push(c);
}
