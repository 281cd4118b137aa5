//! Variables and quotes in words, by the rules of the Dockerfile reference, "environment replacement".
//!
//! Not a shell: no commands, no arithmetic, no globbing. `$v ${v} ${v:-w} ${v-w} ${v:+w} ${v+w} ${v:?w} ${v?w} ${v#p}
//! ${v##p} ${v%p} ${v%%p} ${v/p/w} ${v//p/w}`, quotes, and the escape character.

use std::collections::BTreeSet;
use std::iter::Peekable;
use std::str::Chars;

use regex::Regex;

/// Words in words in words: nobody writes more.
const MAX_DEPTH: usize = 64;
/// Bytes of one expanded word: `ENV A=$A$A` a few dozen times must not take the machine's memory.
const MAX_BYTES: usize = 1 << 20;

/// A word could not be expanded.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("failed to process `{word}`: {problem}")]
pub struct ExpandError {
    /// The word.
    pub word: String,
    /// What is wrong with it.
    pub problem: Problem,
}

/// What is wrong with a word.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// A quote is not closed.
    #[error("unexpected end of statement while looking for matching {0}-quote")]
    Quote(&'static str),
    /// A brace is not closed, or a slash missing.
    #[error("syntax error: missing '{0}'")]
    Missing(char),
    /// `${}`, `${:…}`, `${{…}`.
    #[error("syntax error: bad substitution")]
    BadSubstitution,
    /// An operator that does not exist.
    #[error("unsupported modifier ({0}) in substitution")]
    Modifier(String),
    /// `${v?message}`.
    #[error("{name}: {message}")]
    Required {
        /// The variable.
        name: String,
        /// The message.
        message: String,
    },
    /// A pattern with an escape that means nothing.
    #[error("invalid pattern ({0}) in substitution")]
    Pattern(String),
    /// Too deep.
    #[error("substitutions are nested more than {MAX_DEPTH} deep")]
    TooDeep,
    /// Too long.
    #[error("the result has more than {MAX_BYTES} bytes")]
    TooLong,
}

/// What became of a word.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Expanded {
    /// The word, its quotes removed.
    pub text: String,
    /// The same split at white space that was not quoted.
    pub words: Vec<String>,
    /// Variables that were looked up and set.
    pub used: BTreeSet<String>,
    /// Variables that were looked up and not set.
    pub unset: BTreeSet<String>,
}

/// Looks a variable up.
pub type Lookup<'l> = &'l dyn Fn(&str) -> Option<String>;

/// How words are expanded.
#[derive(Debug, Clone, Copy)]
pub struct Expander {
    /// The escape character, `\` or a backtick.
    pub escape: char,
    /// Keep quotes.
    pub raw_quotes: bool,
    /// Keep escape characters.
    pub raw_escapes: bool,
    /// Leave variables alone that are not set.
    pub skip_unset: bool,
    /// Quotes mean nothing, as in heredocs.
    pub skip_quotes: bool,
}

impl Expander {
    /// An expander with this escape character and nothing kept.
    pub fn new(escape: char) -> Self {
        Self { escape, raw_quotes: false, raw_escapes: false, skip_unset: false, skip_quotes: false }
    }

    /// Expands a word.
    ///
    /// # Errors
    /// When its syntax is wrong, or `${v?}` finds nothing.
    pub fn expand(&self, word: &str, lookup: Lookup<'_>) -> Result<Expanded, ExpandError> {
        let mut scanner = Scanner {
            options: *self,
            chars: word.chars().peekable(),
            lookup,
            depth: 0,
            used: BTreeSet::new(),
            unset: BTreeSet::new(),
        };
        let part = scanner.until(None, self.raw_escapes);
        let (text, words) = part.map_err(|problem| ExpandError { word: shorten(word), problem })?;
        Ok(Expanded { text, words, used: scanner.used, unset: scanner.unset })
    }
}

fn shorten(word: &str) -> String {
    match word.char_indices().nth(200) {
        Some((at, _)) => format!("{}…", &word[..at]),
        None => word.to_owned(),
    }
}

/// Splits a text at unquoted white space.
#[derive(Default)]
struct Words {
    words: Vec<String>,
    word: String,
}

impl Words {
    fn add(&mut self, c: char) {
        if !c.is_whitespace() {
            self.word.push(c);
        } else if !self.word.is_empty() {
            self.words.push(std::mem::take(&mut self.word));
        }
    }

    fn finish(mut self) -> Vec<String> {
        if !self.word.is_empty() {
            self.words.push(self.word);
        }
        self.words
    }
}

struct Scanner<'a> {
    options: Expander,
    chars: Peekable<Chars<'a>>,
    lookup: Lookup<'a>,
    depth: usize,
    used: BTreeSet<String>,
    unset: BTreeSet<String>,
}

type Part = Result<String, Problem>;

impl Scanner<'_> {
    /// Reads up to `stop` (and over it), or to the end.
    fn until(&mut self, stop: Option<char>, raw_escapes: bool) -> Result<(String, Vec<String>), Problem> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err(Problem::TooDeep);
        }
        let outer = std::mem::replace(&mut self.options.raw_escapes, raw_escapes);
        let result = self.until_inner(stop);
        self.options.raw_escapes = outer;
        self.depth -= 1;
        result
    }

    fn until_inner(&mut self, stop: Option<char>) -> Result<(String, Vec<String>), Problem> {
        let mut result = String::new();
        let mut words = Words::default();
        while let Some(c) = self.chars.peek().copied() {
            if result.len() > MAX_BYTES {
                return Err(Problem::TooLong);
            }
            if stop == Some(c) {
                self.chars.next();
                return Ok((result, words.finish()));
            }
            let special = match c {
                '$' => Some(self.dollar()?),
                '<' => Some(self.heredoc()),
                '\'' if !self.options.skip_quotes => Some(self.single_quoted()?),
                '"' if !self.options.skip_quotes => Some(self.double_quoted()?),
                _ => None,
            };
            match special {
                Some(text) if c == '$' => {
                    text.chars().for_each(|c| words.add(c));
                    result.push_str(&text);
                }
                Some(text) => {
                    words.word.push_str(&text);
                    result.push_str(&text);
                }
                None => self.plain(&mut result, &mut words),
            }
        }
        match stop {
            Some(stop) => Err(Problem::Missing(stop)),
            None if result.len() > MAX_BYTES => Err(Problem::TooLong),
            None => Ok((result, words.finish())),
        }
    }

    fn plain(&mut self, result: &mut String, words: &mut Words) {
        let Some(c) = self.chars.next() else { return };
        if c != self.options.escape {
            words.add(c);
            result.push(c);
            return;
        }
        if self.options.raw_escapes {
            words.word.push(c);
            result.push(c);
        }
        // The escape character escapes anything but the end.
        if let Some(c) = self.chars.next() {
            words.word.push(c);
            result.push(c);
        }
    }

    fn single_quoted(&mut self) -> Part {
        let mut result = String::new();
        self.quote(&mut result);
        loop {
            match self.chars.peek() {
                None => return Err(Problem::Quote("single")),
                Some('\'') => {
                    self.quote(&mut result);
                    return Ok(result);
                }
                Some(c) => {
                    result.push(*c);
                    self.chars.next();
                }
            }
        }
    }

    fn double_quoted(&mut self) -> Part {
        let mut result = String::new();
        self.quote(&mut result);
        loop {
            match self.chars.peek().copied() {
                None => return Err(Problem::Quote("double")),
                Some('"') => {
                    self.quote(&mut result);
                    return Ok(result);
                }
                Some('$') => result.push_str(&self.dollar()?),
                Some(c) => {
                    self.chars.next();
                    if c == self.options.escape {
                        self.escaped_in_quotes(&mut result);
                    } else {
                        result.push(c);
                    }
                }
            }
        }
    }

    /// Inside double quotes only `"`, `$` and the escape character itself can be escaped.
    fn escaped_in_quotes(&mut self, result: &mut String) {
        let escape = self.options.escape;
        if self.options.raw_escapes {
            result.push(escape);
        }
        match self.chars.peek().copied() {
            None => {}
            Some(c) if c == '"' || c == '$' || c == escape => {
                self.chars.next();
                result.push(c);
            }
            Some(_) => result.push(escape),
        }
    }

    fn quote(&mut self, result: &mut String) {
        if let Some(quote) = self.chars.next()
            && self.options.raw_quotes
        {
            result.push(quote);
        }
    }

    /// `<<` keeps white space between itself and its word, so that a heredoc stays one word.
    fn heredoc(&mut self) -> String {
        self.chars.next();
        let mut result = "<".to_owned();
        if self.chars.next_if_eq(&'<').is_some() {
            result.push('<');
            while let Some(c) = self.chars.next_if(|c| matches!(c, ' ' | '\t' | '\r')) {
                result.push(c);
            }
        }
        result
    }

    fn dollar(&mut self) -> Part {
        self.chars.next();
        if self.chars.next_if_eq(&'{').is_none() {
            let name = self.name();
            return Ok(match name.as_str() {
                "" => "$".to_owned(),
                name => match self.get(name) {
                    None if self.options.skip_unset => format!("${name}"),
                    value => value.unwrap_or_default(),
                },
            });
        }
        match self.chars.peek() {
            None => return Err(Problem::Missing('}')),
            Some('{' | '}' | ':') => return Err(Problem::BadSubstitution),
            Some(_) => {}
        }
        let name = self.name();
        match self.chars.next() {
            Some('}') => Ok(match self.get(&name) {
                None if self.options.skip_unset => format!("${{{name}}}"),
                value => value.unwrap_or_default(),
            }),
            Some('/') => self.replace(&name),
            Some(':') => {
                let operator = self.chars.next().ok_or(Problem::Missing('}'))?;
                match operator {
                    '-' | '+' | '?' => self.substitute(&name, operator, true),
                    other => Err(Problem::Modifier(format!(":{other}"))),
                }
            }
            Some(operator @ ('-' | '+' | '?')) => self.substitute(&name, operator, false),
            Some(operator @ ('#' | '%')) => self.trim(&name, operator),
            Some(other) => Err(Problem::Modifier(other.to_string())),
            None => Err(Problem::Missing('}')),
        }
    }

    /// `-`, `+` and `?`; after a colon an empty value counts as none.
    fn substitute(&mut self, name: &str, operator: char, colon: bool) -> Part {
        let (word, _) = self.until(Some('}'), false)?;
        let value = self.get(name);
        if value.is_none() && self.options.skip_unset {
            return Ok(format!("${{{name}{}{operator}{word}}}", if colon { ":" } else { "" }));
        }
        let set = value.is_some();
        let value = value.filter(|value| !colon || !value.is_empty());
        match (operator, value) {
            ('-', value) => Ok(value.unwrap_or(word)),
            ('+', Some(_)) => Ok(word),
            ('+', None) => Ok(String::new()),
            (_, Some(value)) => Ok(value),
            (_, None) => {
                let default = if set { "is not allowed to be empty" } else { "is not allowed to be unset" };
                let message = if word.is_empty() { default.to_owned() } else { word };
                Err(Problem::Required { name: name.to_owned(), message })
            }
        }
    }

    /// `#`, `##`, `%` and `%%`.
    fn trim(&mut self, name: &str, operator: char) -> Part {
        let (word, _) = self.until(Some('}'), true)?;
        let Some(value) = self.get(name) else {
            return Ok(if self.options.skip_unset { format!("${{{name}{operator}{word}}}") } else { String::new() });
        };
        let (greedy, pattern) = match word.strip_prefix(operator) {
            Some(pattern) => (true, pattern),
            None => (false, word.as_str()),
        };
        if operator == '#' {
            let regex = compile(&pattern_tokens(pattern)?, greedy, true, pattern)?;
            return Ok(regex.find(&value).map_or(value.clone(), |found| value[found.end()..].to_owned()));
        }
        // From the end is from the start of the mirror image.
        let mut tokens = pattern_tokens(pattern)?;
        tokens.reverse();
        let mirrored: String = value.chars().rev().collect();
        let regex = compile(&tokens, greedy, true, pattern)?;
        Ok(match regex.find(&mirrored) {
            Some(found) => mirrored[found.end()..].chars().rev().collect(),
            None => value,
        })
    }

    /// `/` and `//`.
    fn replace(&mut self, name: &str) -> Part {
        let all = self.chars.next_if_eq(&'/').is_some();
        let (pattern, _) = self.until(Some('/'), true)?;
        let (replacement, _) = self.until(Some('}'), true)?;
        let Some(value) = self.get(name) else {
            let kept = || format!("${{{name}/{pattern}/{replacement}}}");
            return Ok(if self.options.skip_unset { kept() } else { String::new() });
        };
        let regex = compile(&pattern_tokens(&pattern)?, true, false, &pattern)?;
        let literal = regex::NoExpand(&replacement);
        if value.len().saturating_mul(replacement.len().max(1)) > MAX_BYTES * 64 {
            return Err(Problem::TooLong);
        }
        let limit = if all { 0 } else { 1 };
        Ok(regex.replacen(&value, limit, literal).into_owned())
    }

    fn name(&mut self) -> String {
        let mut name = String::new();
        match self.chars.peek().copied() {
            Some(c) if c.is_numeric() => {
                while let Some(c) = self.chars.next_if(|c| c.is_numeric()) {
                    name.push(c);
                }
                return name;
            }
            Some(c @ ('@' | '*' | '#' | '?' | '-' | '$' | '!')) => {
                self.chars.next();
                return c.to_string();
            }
            _ => {}
        }
        while let Some(c) = self.chars.next_if(|c| c.is_alphanumeric() || *c == '_') {
            name.push(c);
        }
        name
    }

    fn get(&mut self, name: &str) -> Option<String> {
        let value = (self.lookup)(name);
        let seen = if value.is_some() { &mut self.used } else { &mut self.unset };
        seen.insert(name.to_owned());
        value
    }
}

enum Token {
    Any,
    One,
    Literal(char),
}

/// `*`, `?` and characters; a backslash takes their meaning from `*`, `?`, itself, and `}` and `/`.
fn pattern_tokens(pattern: &str) -> Result<Vec<Token>, Problem> {
    let mut tokens = Vec::new();
    let mut chars = pattern.chars();
    while let Some(c) = chars.next() {
        tokens.push(match c {
            '*' => Token::Any,
            '?' => Token::One,
            '\\' => match chars.next() {
                Some(c @ ('}' | '/' | '*' | '?' | '\\')) => Token::Literal(c),
                _ => return Err(Problem::Pattern(shorten(pattern))),
            },
            c => Token::Literal(c),
        });
    }
    Ok(tokens)
}

fn compile(tokens: &[Token], greedy: bool, anchored: bool, pattern: &str) -> Result<Regex, Problem> {
    let mut regex = String::from(if anchored { "^" } else { "" });
    for token in tokens {
        match token {
            Token::Any => regex.push_str(if greedy { ".*" } else { ".*?" }),
            Token::One => regex.push('.'),
            Token::Literal(c) => regex.push_str(&regex::escape(c.encode_utf8(&mut [0; 4]))),
        }
    }
    Regex::new(&regex).map_err(|_| Problem::Pattern(shorten(pattern)))
}
