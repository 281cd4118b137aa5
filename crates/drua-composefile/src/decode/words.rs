//! Splits a command into words as a shell does, without being one: no variables, no globs; an operator ends it.

/// The text is not a list of words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum WordError {
    #[error("the quote {0} is not closed")]
    Quote(char),
    #[error("nothing follows the last backslash")]
    Backslash,
}

/// The first unquoted shell operator of a command, which means nothing here.
pub(super) fn operator(text: &str) -> Option<&str> {
    let mut quote = None;
    let mut escaped = false;
    for (at, c) in text.char_indices() {
        match (quote, c) {
            _ if escaped => escaped = false,
            (None | Some('"'), '\\') => escaped = true,
            (Some(open), c) if c == open => quote = None,
            (Some(_), _) => {}
            (None, '\'' | '"') => quote = Some(c),
            (None, '&' | '|' | ';' | '<' | '>') => {
                let rest = &text[at..];
                let end = rest.find(|next| next != c).unwrap_or(rest.len());
                return Some(&rest[..end]);
            }
            (None, _) => {}
        }
    }
    None
}

/// Splits at blanks; `'…'` is literal, `"…"` knows `\"` and `\\`, a backslash elsewhere escapes one character.
pub(super) fn split(text: &str) -> Result<Vec<String>, WordError> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            // Docker Compose's splitter stops here.
            '&' | '|' | ';' | '<' | '>' => break,
            c if c.is_whitespace() => words.extend(word.take()),
            '\\' => word.get_or_insert_default().push(chars.next().ok_or(WordError::Backslash)?),
            '\'' | '"' => {
                let word = word.get_or_insert_default();
                loop {
                    match chars.next().ok_or(WordError::Quote(c))? {
                        end if end == c => break,
                        '\\' if c == '"' && matches!(chars.peek(), Some('"' | '\\')) => word.extend(chars.next()),
                        inside => word.push(inside),
                    }
                }
            }
            c => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    Ok(words)
}
