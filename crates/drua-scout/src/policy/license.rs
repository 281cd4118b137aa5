//! Whether a licence can only be used as one of a list.

/// Whether every way to use a licence expression needs one of `licenses`: of `MIT OR GPL-2.0` there is another way, of
/// `MIT AND GPL-2.0` there is none. Names in the list stand for their versions too: `GPL` for `GPL-2.0-or-later`.
pub(super) fn needs<'l>(expression: &str, licenses: &'l [String]) -> Option<&'l str> {
    let mut found = None;
    for alternative in alternatives(expression) {
        let named = alternative.split(" AND ").flat_map(words).find_map(|word| listed(word, licenses));
        match named {
            Some(license) => found = Some(license),
            None => return None,
        }
    }
    found
}

/// The sides of `OR` outside of parentheses; what is inside counts as one.
fn alternatives(expression: &str) -> Vec<String> {
    let plain = expression.trim();
    let mut sides = vec![String::new()];
    let mut depth = 0_usize;
    for word in plain.split_inclusive(' ') {
        let bare = word.trim();
        depth += bare.matches('(').count();
        if depth == 0 && bare.eq_ignore_ascii_case("or") {
            sides.push(String::new());
        } else if let Some(side) = sides.last_mut() {
            side.push_str(word);
        }
        depth = depth.saturating_sub(bare.matches(')').count());
    }
    sides.retain(|side| !side.trim().is_empty());
    sides
}

fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| c.is_whitespace() || "(),;".contains(c)).filter(|word| !word.is_empty())
}

fn listed<'l>(word: &str, licenses: &'l [String]) -> Option<&'l str> {
    let word = word.to_ascii_uppercase();
    licenses
        .iter()
        .find(|license| {
            let license = license.to_ascii_uppercase();
            word == license
                || word.strip_prefix(&license).is_some_and(|rest| {
                    rest.starts_with(['-', '+', 'V']) || rest.starts_with(|c: char| c.is_ascii_digit())
                })
        })
        .map(String::as_str)
}
