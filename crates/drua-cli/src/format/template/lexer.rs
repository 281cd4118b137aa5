use super::TemplateError;

/// A piece of an action, between `{{` and `}}`.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Token {
    /// `.`, alone.
    Dot,
    /// `.Name`; a chain is several of them.
    Field(String),
    /// `$` or `$name`.
    Variable(String),
    /// A keyword, a function or `true`, `false`, `nil`.
    Word(String),
    Text(String),
    Number(serde_json::Number),
    Pipe,
    Comma,
    Open,
    Close,
    /// `:=`
    Declare,
    /// `=`
    Assign,
    /// White space: it ends a chain of fields.
    Space,
}

/// Text outside, or the tokens of one action.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Segment {
    Text(String),
    Action(Vec<Token>),
}

/// Splits a template into text and actions.
pub(super) fn segments(mut rest: &str) -> Result<Vec<Segment>, TemplateError> {
    let mut segments = Vec::new();
    let mut trim_next = false;
    while let Some(start) = rest.find("{{") {
        let mut text = &rest[..start];
        let mut action = &rest[start + 2..];
        if trim_next {
            text = text.trim_start();
        }
        if let Some(trimmed) = action.strip_prefix("- ") {
            text = text.trim_end();
            action = trimmed;
        }
        if !text.is_empty() {
            segments.push(Segment::Text(text.to_owned()));
        }
        let (tokens, after) = action_tokens(action)?;
        trim_next = after.trimmed;
        rest = after.rest;
        if let Some(tokens) = tokens {
            segments.push(Segment::Action(tokens));
        }
    }
    let text = if trim_next { rest.trim_start() } else { rest };
    if !text.is_empty() {
        segments.push(Segment::Text(text.to_owned()));
    }
    Ok(segments)
}

struct After<'a> {
    rest: &'a str,
    trimmed: bool,
}

/// The tokens up to `}}` (none for a comment) and what follows.
fn action_tokens(text: &str) -> Result<(Option<Vec<Token>>, After<'_>), TemplateError> {
    if let Some(comment) = text.trim_start().strip_prefix("/*") {
        let (_, after) = comment.split_once("*/").ok_or_else(|| TemplateError::new("unclosed comment"))?;
        let trimmed = after.starts_with(" -");
        let rest = after.trim_start_matches([' ', '-']).strip_prefix("}}");
        let rest = rest.ok_or_else(|| TemplateError::new("comment ends before closing delimiter"))?;
        return Ok((None, After { rest, trimmed }));
    }
    let mut tokens = Vec::new();
    let mut rest = text;
    loop {
        if let Some(after) = rest.strip_prefix("}}") {
            return Ok((Some(tokens), After { rest: after, trimmed: false }));
        }
        if let Some(after) = rest.strip_prefix(" -}}") {
            return Ok((Some(tokens), After { rest: after, trimmed: true }));
        }
        let (token, after) = token(rest)?;
        tokens.push(token);
        rest = after;
    }
}

fn token(text: &str) -> Result<(Token, &str), TemplateError> {
    let first = text.chars().next().ok_or_else(|| TemplateError::new("unclosed action: `}}` is missing"))?;
    let rest = &text[first.len_utf8()..];
    let split_word = |text: &str| text.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(text.len());
    match first {
        c if c.is_whitespace() => {
            Ok((Token::Space, text.trim_start_matches(|c: char| c.is_whitespace() && !at_trim(text))))
        }
        '|' => Ok((Token::Pipe, rest)),
        ',' => Ok((Token::Comma, rest)),
        '(' => Ok((Token::Open, rest)),
        ')' => Ok((Token::Close, rest)),
        '=' => Ok((Token::Assign, rest)),
        ':' if rest.starts_with('=') => Ok((Token::Declare, &rest[1..])),
        '.' => {
            let end = split_word(rest);
            let token = if end == 0 { Token::Dot } else { Token::Field(rest[..end].to_owned()) };
            Ok((token, &rest[end..]))
        }
        '$' => {
            let end = split_word(rest);
            Ok((Token::Variable(rest[..end].to_owned()), &rest[end..]))
        }
        '"' => quoted(text),
        '`' => {
            let (raw, after) = rest.split_once('`').ok_or_else(|| TemplateError::new("unterminated raw string"))?;
            Ok((Token::Text(raw.to_owned()), after))
        }
        c if c.is_ascii_digit() || ((c == '-' || c == '+') && rest.starts_with(|c: char| c.is_ascii_digit())) => {
            let end =
                text[1..].find(|c: char| !c.is_ascii_alphanumeric() && c != '.').map_or(text.len(), |end| end + 1);
            let number = text[..end].trim_start_matches('+').parse();
            Ok((
                Token::Number(number.map_err(|_| TemplateError::new(format!("bad number `{}`", &text[..end])))?),
                &text[end..],
            ))
        }
        c if c.is_alphabetic() || c == '_' => {
            let end = split_word(text);
            Ok((Token::Word(text[..end].to_owned()), &text[end..]))
        }
        c => Err(TemplateError::new(format!("unexpected `{c}` in an action"))),
    }
}

/// Whether white space belongs to a closing ` -}}`.
fn at_trim(text: &str) -> bool {
    text.starts_with(" -}}")
}

/// A string in double quotes; Go's escapes are JSON's as far as templates use them.
fn quoted(text: &str) -> Result<(Token, &str), TemplateError> {
    let mut escaped = false;
    for (index, c) in text.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => {
                let literal = text[..=index].replace('\t', "\\t").replace('\n', "\\n");
                let value = serde_json::from_str(&literal);
                let value = value.map_err(|_| TemplateError::new(format!("bad string {literal}")))?;
                return Ok((Token::Text(value), &text[index + 1..]));
            }
            _ => {}
        }
    }
    Err(TemplateError::new("unterminated string"))
}
