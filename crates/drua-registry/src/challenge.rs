//! `WWW-Authenticate` (RFC 9110 §11.6.1), as registries write it: pure parsing.

/// What a server wants to see.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Challenge {
    Basic,
    /// A token from the server `realm` (distribution, spec/auth/token.md).
    Bearer {
        realm: String,
        service: Option<String>,
        scope: Option<String>,
        /// What was wrong with the token that we sent.
        error: Option<String>,
    },
}

/// At most so many parameters of one challenge are looked at.
const MAX_PARAMETERS: usize = 32;

/// The challenge to answer: Bearer where it is offered, else Basic.
pub(crate) fn choose<'h>(headers: impl Iterator<Item = &'h str>) -> Option<Challenge> {
    let all: Vec<Challenge> = headers.flat_map(parse).collect();
    let bearer = all.iter().find(|challenge| matches!(challenge, Challenge::Bearer { .. }));
    bearer.or(all.first()).cloned()
}

/// The challenges of one header that we can answer.
fn parse(header: &str) -> Vec<Challenge> {
    let mut found: Vec<(String, Vec<(String, String)>)> = Vec::new();
    let mut rest = header.trim_start();
    while !rest.is_empty() {
        rest = rest.trim_start_matches([' ', '\t', ',']);
        let word_end = rest.find([' ', '\t', '=', ',']).unwrap_or(rest.len());
        let (word, after) = rest.split_at(word_end);
        if word.is_empty() {
            // A stray `=` or the end.
            rest = after.get(1..).unwrap_or_default();
            continue;
        }
        if let Some(value) = after.trim_start().strip_prefix('=') {
            let (value, after) = parameter_value(value.trim_start());
            if let Some((_, parameters)) = found.last_mut()
                && parameters.len() < MAX_PARAMETERS
            {
                parameters.push((word.to_ascii_lowercase(), value));
            }
            rest = after;
        } else {
            found.push((word.to_ascii_lowercase(), Vec::new()));
            rest = after;
        }
    }
    found.into_iter().filter_map(|(scheme, parameters)| challenge(&scheme, &parameters)).collect()
}

/// A token or a quoted string, and what follows it.
fn parameter_value(text: &str) -> (String, &str) {
    let Some(quoted) = text.strip_prefix('"') else {
        let end = text.find([',', ' ', '\t']).unwrap_or(text.len());
        return (text[..end].to_owned(), &text[end..]);
    };
    let mut value = String::new();
    let mut chars = quoted.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return (value, &quoted[at + 1..]),
            '\\' => value.extend(chars.next().map(|(_, escaped)| escaped)),
            c => value.push(c),
        }
    }
    (value, "")
}

fn challenge(scheme: &str, parameters: &[(String, String)]) -> Option<Challenge> {
    let get = |name: &str| parameters.iter().find(|(key, _)| key == name).map(|(_, value)| value.clone());
    match scheme {
        "basic" => Some(Challenge::Basic),
        "bearer" => Some(Challenge::Bearer {
            realm: get("realm")?,
            service: get("service"),
            scope: get("scope"),
            error: get("error"),
        }),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bearer(realm: &str, service: Option<&str>, scope: Option<&str>) -> Challenge {
        let text = |text: Option<&str>| text.map(str::to_owned);
        Challenge::Bearer { realm: realm.to_owned(), service: text(service), scope: text(scope), error: None }
    }

    #[test]
    fn challenges_are_read() {
        for (headers, expected) in [
            (vec![r#"Basic realm="x""#], Some(Challenge::Basic)),
            (vec!["basic"], Some(Challenge::Basic)),
            (
                vec![r#"Bearer realm="https://a/token",service="reg",scope="repository:a/b:pull,push""#],
                Some(bearer("https://a/token", Some("reg"), Some("repository:a/b:pull,push"))),
            ),
            (vec![r#"Basic realm="x", Bearer realm="https://a/t""#], Some(bearer("https://a/t", None, None))),
            (vec![r#"Basic realm="x""#, "BEARER realm=https://a/t"], Some(bearer("https://a/t", None, None))),
            (vec![r#"Bearer realm="a\"b" , service = reg"#], Some(bearer("a\"b", Some("reg"), None))),
            (vec!["Negotiate"], None),
            (vec!["Bearer service=x"], None),
            (vec![r#"Bearer realm="unterminated"#], Some(bearer("unterminated", None, None))),
            (vec!["", "=,=", ",,,"], None),
        ] {
            assert_eq!(choose(headers.iter().copied()), expected, "{headers:?}");
        }
    }
}
