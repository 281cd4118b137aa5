//! Readers of the value types that attributes share.

use std::collections::BTreeMap;
use std::str::FromStr;

use drua_types::ByteSize;

use super::words;
use super::{Decoder, Field};
use crate::model::{Bytes, Command, Duration, Environment, Labels};
use crate::yaml::{Kind, Scalar, Value};

impl Decoder<'_> {
    /// A string. Numbers and booleans are refused as the schema does, since what YAML makes of them surprises.
    pub(super) fn string(&mut self, field: &Field<'_>) -> Option<String> {
        if field.text().is_none() {
            self.expected(field, "a string");
        }
        field.text().map(str::to_owned)
    }

    /// A string that must parse as `T`; the text is kept as it was written.
    pub(super) fn parsed<T: FromStr<Err: std::fmt::Display>>(&mut self, field: &Field<'_>) -> Option<String> {
        let text = self.string(field)?;
        match text.parse::<T>() {
            Ok(_) => Some(text),
            Err(error) => {
                self.invalid(field, error);
                None
            }
        }
    }

    /// A string out of a fixed set.
    pub(super) fn one_of(&mut self, field: &Field<'_>, choices: &[&str]) -> Option<String> {
        let text = self.string(field)?;
        if choices.contains(&text.as_str()) {
            return Some(text);
        }
        let message = format!("`{}` must be one of {}", field.path, quoted(choices));
        let found = self.report.error(field.node.span, message);
        if let Some(nearest) = crate::suggest::nearest(&text, choices.iter().copied()) {
            found.hint(format!("did you mean `{nearest}`?"));
        }
        None
    }

    /// A boolean, also as a string, so that it can be interpolated.
    pub(super) fn boolean(&mut self, field: &Field<'_>) -> Option<bool> {
        let value = match &field.node.value {
            Value::Scalar(Scalar { kind: Kind::Bool(value), .. }) => Some(*value),
            Value::Scalar(Scalar { kind: Kind::Text, text }) => match text.to_ascii_lowercase().as_str() {
                "true" | "yes" | "y" | "on" => Some(true),
                "false" | "no" | "n" | "off" => Some(false),
                _ => None,
            },
            _ => None,
        };
        if value.is_none() {
            self.expected(field, "`true` or `false`");
        }
        value
    }

    /// A whole number, also as a string.
    pub(super) fn integer(&mut self, field: &Field<'_>) -> Option<i64> {
        let value = match &field.node.value {
            Value::Scalar(Scalar { kind: Kind::Int(value), .. }) => Some(*value),
            Value::Scalar(Scalar { kind: Kind::Text, text }) => text.trim().parse().ok(),
            _ => None,
        };
        if value.is_none() {
            self.expected(field, "a whole number");
        }
        value
    }

    /// A whole number within bounds, also as a string.
    pub(super) fn integer_as<T: TryFrom<i64>>(&mut self, field: &Field<'_>) -> Option<T> {
        let value = self.integer(field)?;
        let converted = T::try_from(value).ok();
        if converted.is_none() {
            self.invalid(field, format!("{value} is out of range"));
        }
        converted
    }

    /// A number, also as a string.
    pub(super) fn number(&mut self, field: &Field<'_>) -> Option<f64> {
        let value = match &field.node.value {
            Value::Scalar(Scalar { kind: Kind::Float(value), .. }) => Some(*value),
            Value::Scalar(Scalar { kind: Kind::Int(value), .. }) => Some(*value as f64),
            Value::Scalar(Scalar { kind: Kind::Text, text }) => text.trim().parse().ok(),
            _ => None,
        };
        let value = value.filter(|value: &f64| value.is_finite());
        if value.is_none() {
            self.expected(field, "a number");
        }
        value
    }

    /// A number of bytes: `64m`, `1gb`, `1024`; −1 (no limit) where the attribute has it.
    pub(super) fn bytes(&mut self, field: &Field<'_>) -> Option<Bytes> {
        let text = self.scalar_text(field, "a size such as `64m`")?;
        if text == "-1" {
            return Some(Bytes(-1));
        }
        let size = text.parse::<ByteSize>().ok().and_then(|size| i64::try_from(size.bytes()).ok());
        if size.is_none() {
            self.invalid(field, format!("`{text}` is not a size; write for example `64m` or `1gb`"));
        }
        size.map(Bytes)
    }

    /// A duration: `1m30s`, `500ms`.
    pub(super) fn duration(&mut self, field: &Field<'_>) -> Option<Duration> {
        if let Value::Scalar(Scalar { kind: Kind::Int(_) | Kind::Float(_), text }) = &field.node.value {
            self.invalid(field, format!("a unit is missing; write for example `{text}s`"));
            return None;
        }
        let text = self.string(field)?;
        let duration = parse_duration(&text);
        if duration.is_none() {
            self.invalid(field, format!("`{text}` is not a duration; write for example `1m30s` or `500ms`"));
        }
        duration
    }

    /// A list of strings.
    pub(super) fn strings(&mut self, field: &Field<'_>) -> Vec<String> {
        let Some(items) = field.items() else {
            self.expected(field, "a list");
            return Vec::new();
        };
        items.filter_map(|item| self.string(&item)).collect()
    }

    /// A list of different strings.
    pub(super) fn string_set(&mut self, field: &Field<'_>) -> Vec<String> {
        let mut unique = Vec::new();
        for text in self.strings(field) {
            if !unique.contains(&text) {
                unique.push(text);
            }
        }
        unique
    }

    /// A string, or a list of them.
    pub(super) fn string_or_strings(&mut self, field: &Field<'_>) -> Vec<String> {
        match field.text() {
            Some(text) => vec![text.to_owned()],
            None if field.items().is_none() => {
                self.expected(field, "a string or a list");
                Vec::new()
            }
            None => self.string_set(field),
        }
    }

    /// A command: a string is split into words, a list is taken as it is, and an empty one clears the image's.
    pub(super) fn command(&mut self, field: &Field<'_>) -> Command {
        let Some(text) = field.text() else {
            if field.items().is_none() {
                self.expected(field, "a string or a list");
                return None;
            }
            return Some(self.strings(field));
        };
        if let Some(operator) = words::operator(text) {
            let message =
                format!("`{}`: no shell reads this; as in Docker Compose, it ends before `{operator}`", field.path);
            let found = self.report.warning(field.node.span, message);
            found.hint("for a shell, write `[sh, -c, \"…\"]`; else put the word in quotes");
        }
        match words::split(text) {
            Ok(words) => Some(words),
            Err(error) => {
                self.invalid(field, error);
                None
            }
        }
    }

    /// A mapping, or a list of `NAME=value`; a name without a value has none.
    pub(super) fn dictionary(&mut self, field: &Field<'_>) -> Environment {
        let mut values = BTreeMap::new();
        if let Some(entries) = field.entries() {
            for (name, value) in entries {
                let text = if value.node.is_null() {
                    None
                } else {
                    match self.scalar_text(&value, "a string, a number or a boolean") {
                        Some(text) => Some(text),
                        None => continue,
                    }
                };
                values.insert(name.to_owned(), text);
            }
        } else if let Some(items) = field.items() {
            for item in items {
                let Some(text) = self.string(&item) else { continue };
                match text.split_once('=') {
                    Some(("", _)) => self.invalid(&item, "a name is missing before `=`"),
                    Some((name, value)) => {
                        values.insert(name.to_owned(), Some(value.to_owned()));
                    }
                    None => {
                        values.insert(text, None);
                    }
                }
            }
        } else {
            self.expected(field, "a mapping or a list");
        }
        values
    }

    /// A dictionary in which no value is an empty one.
    pub(super) fn labels(&mut self, field: &Field<'_>) -> Labels {
        self.dictionary(field).into_iter().map(|(name, value)| (name, value.unwrap_or_default())).collect()
    }

    /// The text of any scalar that is not empty, in the form that Docker Compose gives it: `1.50` is the number `1.5`.
    pub(super) fn scalar_text(&mut self, field: &Field<'_>, what: &str) -> Option<String> {
        let Value::Scalar(scalar) = &field.node.value else {
            self.expected(field, what);
            return None;
        };
        let text = match scalar.kind {
            Kind::Text => return Some(scalar.text.clone()),
            Kind::Null => {
                self.expected(field, what);
                return None;
            }
            Kind::Bool(value) => value.to_string(),
            Kind::Int(value) => value.to_string(),
            Kind::Float(value) => go_float(value),
        };
        if !text.eq_ignore_ascii_case(&scalar.text) {
            let message =
                format!("`{}`: YAML reads `{}` as a number, so that it becomes `{text}`", field.path, scalar.text);
            self.report
                .warning(field.node.span, message)
                .hint(format!("to keep it as it is, write \"{}\"", scalar.text));
        }
        Some(text)
    }
}

/// A number as Go's `%v` writes it.
fn go_float(value: f64) -> String {
    let exponent = if value == 0.0 { 0.0 } else { value.abs().log10().floor() };
    if value.is_nan() {
        "NaN".to_owned()
    } else if value.is_infinite() {
        if value > 0.0 { "+Inf".to_owned() } else { "-Inf".to_owned() }
    } else if (-4.0..21.0).contains(&exponent) {
        value.to_string()
    } else {
        let text = format!("{value:e}");
        match text.split_once('e') {
            Some((digits, exponent)) => {
                let (sign, exponent) = exponent.strip_prefix('-').map_or(('+', exponent), |exponent| ('-', exponent));
                format!("{digits}e{sign}{exponent:0>2}")
            }
            None => text,
        }
    }
}

/// Numbers with units, concatenated; a lone `0` is allowed.
pub fn parse_duration(text: &str) -> Option<Duration> {
    let mut rest = text.trim();
    if rest == "0" {
        return Some(Duration(std::time::Duration::ZERO));
    }
    let mut total = 0.0_f64;
    let mut parts = 0;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let value: f64 = rest[..digits].parse().ok()?;
        rest = &rest[digits..];
        let units = [
            ("ns", 1.0),
            ("us", 1e3),
            ("µs", 1e3),
            ("ms", 1e6),
            ("s", 1e9),
            ("m", 60e9),
            ("h", 3600e9),
            ("d", 86_400e9),
            ("w", 604_800e9),
        ];
        let (unit, nanos) = units.iter().find(|(unit, _)| rest.starts_with(unit))?;
        rest = &rest[unit.len()..];
        total += value * nanos;
        parts += 1;
    }
    // Go's durations are 63-bit nanoseconds, and so is what the engine takes.
    (parts > 0 && total < 9.2e18).then(|| Duration(std::time::Duration::from_nanos(total.round() as u64)))
}

/// `` `a`, `b` or `c` ``.
fn quoted(choices: &[&str]) -> String {
    let quoted: Vec<String> = choices.iter().map(|choice| format!("`{choice}`")).collect();
    match quoted.split_last() {
        Some((last, rest)) if !rest.is_empty() => format!("{} or {last}", rest.join(", ")),
        _ => quoted.concat(),
    }
}
