//! Text of strangers, made safe to show.

/// What `bytes` say, with control characters, bidirectional overrides and broken UTF-8 replaced, cut to `limit` bytes.
pub(crate) fn clean(text: &str, limit: usize) -> String {
    let mut cleaned = String::with_capacity(text.len().min(limit));
    for character in text.trim().chars() {
        if cleaned.len() + character.len_utf8() > limit {
            break;
        }
        cleaned.push(if is_hostile(character) { '\u{fffd}' } else { character });
    }
    cleaned
}

/// Whether a terminal or a reader could be fooled by this character.
fn is_hostile(character: char) -> bool {
    character.is_control()
        || matches!(character, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
}

/// Whether the text can be a package's name: not empty, not long, nothing that fools terminals.
pub(crate) fn is_name(text: &str) -> bool {
    !text.is_empty() && text.len() <= 512 && !text.chars().any(|c| is_hostile(c) || c.is_whitespace())
}

/// Paragraphs of `Key: value` lines with continuation lines, as dpkg's databases have them. `fields` gets each paragraph.
pub(crate) fn paragraphs<'a>(text: &'a str, mut each: impl FnMut(&[(&'a str, &'a str)])) {
    let mut fields: Vec<(&str, &str)> = Vec::new();
    for line in text.lines().chain([""]) {
        if line.trim_end().is_empty() {
            if !fields.is_empty() {
                each(&fields);
                fields.clear();
            }
        } else if !line.starts_with([' ', '\t'])
            && let Some((key, value)) = line.split_once(':')
        {
            fields.push((key, value.trim()));
        }
    }
}

/// The value of a field, without regard to case.
pub(crate) fn field<'a>(fields: &[(&str, &'a str)], name: &str) -> Option<&'a str> {
    fields
        .iter()
        .find(|(key, _)| key.eq_ignore_ascii_case(name))
        .map(|(_, value)| *value)
        .filter(|value| !value.is_empty())
}
