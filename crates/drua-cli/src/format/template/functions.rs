use std::cmp::Ordering;
use std::fmt::Write as _;

use super::{Mode, TemplateError};
use crate::format::{Escape, Json};

/// Go's notion of truth: everything but the zero value.
pub(super) fn truth(value: &Json) -> bool {
    match value {
        Json::Null => false,
        Json::Bool(value) => *value,
        Json::Number(number) => number.as_f64() != Some(0.0),
        Json::String(text) => !text.is_empty(),
        Json::Array(items) => !items.is_empty(),
        Json::Object(entries) => !entries.is_empty(),
    }
}

pub(super) fn call(name: &str, args: &[Json], mode: Mode) -> Result<Json, TemplateError> {
    match (name, args) {
        ("json", [value]) if mode == Mode::Headings => Ok(value.clone()),
        ("json", [value @ Json::Object(_)]) if mode == Mode::Row => Ok(value.compact(Escape::Html).into()),
        ("json", [value]) => Ok(value.compact(Escape::Plain).into()),
        ("upper", [value]) => Ok(value.go_string().to_uppercase().into()),
        ("lower", [value]) => Ok(value.go_string().to_lowercase().into()),
        ("title", [value]) => Ok(title(&value.go_string()).into()),
        ("join", [Json::Array(items), Json::String(separator)]) => {
            Ok(items.iter().map(Json::go_string).collect::<Vec<_>>().join(separator).into())
        }
        ("join", [Json::Null, Json::String(_)]) => Ok("".into()),
        ("split", [Json::String(text), Json::String(separator)]) => {
            Ok(Json::Array(text.split(separator.as_str()).map(Json::from).collect()))
        }
        ("pad", [Json::String(text), Json::Number(before), Json::Number(after)]) => {
            let spaces =
                |n: &serde_json::Number| " ".repeat(usize::try_from(n.as_u64().unwrap_or(0).min(1000)).unwrap_or(0));
            Ok(if text.is_empty() { "".into() } else { format!("{}{text}{}", spaces(before), spaces(after)).into() })
        }
        ("truncate", [Json::String(text), Json::Number(length)]) => {
            let length = usize::try_from(length.as_u64().unwrap_or(0)).unwrap_or(usize::MAX);
            Ok(text.chars().take(length).collect::<String>().into())
        }
        ("print", args) => Ok(args.iter().map(Json::go_string).collect::<Vec<_>>().join(" ").into()),
        ("println", args) => Ok((args.iter().map(Json::go_string).collect::<Vec<_>>().join(" ") + "\n").into()),
        ("printf", [Json::String(format), args @ ..]) => printf(format, args),
        ("len", [value]) => len(value),
        ("index", [value, keys @ ..]) => keys.iter().try_fold(value.clone(), |value, key| index(&value, key)),
        ("slice", [Json::String(text), bounds @ ..]) => slice(text, bounds),
        ("not", [value]) => Ok(Json::Bool(!truth(value))),
        ("and", [.., last]) => Ok(args.iter().find(|value| !truth(value)).unwrap_or(last).clone()),
        ("or", [.., last]) => Ok(args.iter().find(|value| truth(value)).unwrap_or(last).clone()),
        ("eq", [first, rest @ ..]) if !rest.is_empty() => {
            let equal = rest.iter().map(|other| compare(first, other)).collect::<Result<Vec<_>, _>>()?;
            Ok(Json::Bool(equal.contains(&Ordering::Equal)))
        }
        ("ne", [a, b]) => Ok(Json::Bool(compare(a, b)? != Ordering::Equal)),
        ("lt", [a, b]) => Ok(Json::Bool(compare(a, b)?.is_lt())),
        ("le", [a, b]) => Ok(Json::Bool(compare(a, b)?.is_le())),
        ("gt", [a, b]) => Ok(Json::Bool(compare(a, b)?.is_gt())),
        ("ge", [a, b]) => Ok(Json::Bool(compare(a, b)?.is_ge())),
        (
            "json" | "upper" | "lower" | "title" | "join" | "split" | "pad" | "truncate" | "printf" | "len" | "index"
            | "slice" | "not" | "and" | "or" | "eq" | "ne" | "lt" | "le" | "gt" | "ge",
            _,
        ) => Err(TemplateError::new(format!("wrong arguments for `{name}`"))),
        _ => Err(TemplateError::new(format!("function `{name}` is not defined"))),
    }
}

fn title(text: &str) -> String {
    let mut start = true;
    let upper_first = |c: char| {
        let upper = start && c.is_alphabetic();
        start = c.is_whitespace();
        if upper { c.to_uppercase().collect::<String>() } else { c.to_string() }
    };
    text.chars().map(upper_first).collect()
}

fn len(value: &Json) -> Result<Json, TemplateError> {
    let len = match value {
        Json::String(text) => text.len(),
        Json::Array(items) => items.len(),
        Json::Object(entries) => entries.len(),
        Json::Null => 0,
        Json::Bool(_) | Json::Number(_) => {
            return Err(TemplateError::new(format!("`len` of {}", value.go_string())));
        }
    };
    Ok(Json::Number(len.into()))
}

fn index(value: &Json, key: &Json) -> Result<Json, TemplateError> {
    match (value, key) {
        // A missing key of a Go map gives the zero value.
        (Json::Object(_), Json::String(key)) => Ok(value.get(key).cloned().unwrap_or(Json::Null)),
        (Json::Array(items), Json::Number(number)) => {
            let item = number.as_u64().and_then(|position| items.get(usize::try_from(position).ok()?));
            item.cloned().ok_or_else(|| TemplateError::new(format!("index {number} is out of range")))
        }
        (Json::Null, _) => Err(TemplateError::new("`index` of null")),
        _ => Err(TemplateError::new(format!("cannot index {} by {}", value.go_string(), key.go_string()))),
    }
}

fn slice(text: &str, bounds: &[Json]) -> Result<Json, TemplateError> {
    let bound = |position: usize, default: usize| match bounds.get(position) {
        None => Some(default),
        Some(Json::Number(number)) => number.as_u64().and_then(|number| usize::try_from(number).ok()),
        Some(_) => None,
    };
    let part = bound(0, 0).zip(bound(1, text.len())).and_then(|(start, end)| text.get(start..end));
    part.map(Json::from).ok_or_else(|| TemplateError::new("`slice` out of range"))
}

fn compare(a: &Json, b: &Json) -> Result<Ordering, TemplateError> {
    match (a, b) {
        (Json::Number(a), Json::Number(b)) => a
            .as_f64()
            .zip(b.as_f64())
            .and_then(|(a, b)| a.partial_cmp(&b))
            .ok_or_else(|| TemplateError::new("bad number")),
        (Json::String(a), Json::String(b)) => Ok(a.cmp(b)),
        (Json::Bool(a), Json::Bool(b)) => Ok(a.cmp(b)),
        (Json::Null, Json::Null) => Ok(Ordering::Equal),
        (Json::Null, _) | (_, Json::Null) => Ok(Ordering::Less),
        _ => Err(TemplateError::new(format!("cannot compare {} and {}", a.go_string(), b.go_string()))),
    }
}

/// `%s`, `%v`, `%d`, `%t`, `%q`, `%%`, with an optional width and `-`.
fn printf(format: &str, args: &[Json]) -> Result<Json, TemplateError> {
    let mut out = String::new();
    let mut args = args.iter();
    let mut chars = format.chars().peekable();
    while let Some(c) = chars.next() {
        if c != '%' {
            out.push(c);
            continue;
        }
        let left = chars.next_if_eq(&'-').is_some();
        let mut width = 0_usize;
        while let Some(digit) = chars.next_if(char::is_ascii_digit) {
            width = (width * 10 + digit.to_digit(10).map_or(0, |digit| digit as usize)).min(1000);
        }
        let verb = chars.next().ok_or_else(|| TemplateError::new("`printf`: format ends after `%`"))?;
        if verb == '%' {
            out.push('%');
            continue;
        }
        let arg = args.next().ok_or_else(|| TemplateError::new("`printf`: missing argument"))?;
        let text = match verb {
            's' | 'v' | 'd' | 't' => arg.go_string(),
            'q' => Json::from(arg.go_string()).compact(Escape::Plain),
            other => return Err(TemplateError::new(format!("`printf`: unknown verb `%{other}`"))),
        };
        let _ = if left { write!(out, "{text:<width$}") } else { write!(out, "{text:>width$}") };
    }
    Ok(out.into())
}
