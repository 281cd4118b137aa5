//! The `filters` query parameter.

use std::collections::BTreeMap;

use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use crate::http::{Failure, Query};
use crate::routes::logs::parse_time;

/// Filters by name; several values of one name are alternatives, labels must all match.
#[derive(Debug, Default)]
pub(crate) struct Filters(BTreeMap<String, Vec<String>>);

impl Filters {
    /// Reads both forms, `{"label":{"a=b":true}}` and the older `{"label":["a=b"]}`. A name outside `known` is an error.
    pub(crate) fn parse(query: &Query, known: &[&str]) -> Result<Self, Failure> {
        let Some(text) = query.get("filters") else { return Ok(Self::default()) };
        let invalid = || Failure::invalid("invalid filter: expected a JSON object of names and values");
        let Value::Object(object) = serde_json::from_str(text).map_err(|_| invalid())? else { return Err(invalid()) };
        let mut filters = BTreeMap::new();
        for (name, values) in object {
            if !known.contains(&name.as_str()) {
                return Err(Failure::invalid(format!("invalid filter '{name}'")));
            }
            let values: Vec<String> = match values {
                Value::Object(values) => {
                    values.into_iter().filter(|(_, on)| on != &Value::Bool(false)).map(|(value, _)| value).collect()
                }
                // A value that were skipped here would let `prune` remove what it was to keep.
                Value::Array(values) => {
                    let texts = values.iter().map(|value| value.as_str().map(str::to_owned));
                    texts.collect::<Option<_>>().ok_or_else(invalid)?
                }
                _ => return Err(invalid()),
            };
            filters.insert(name, values);
        }
        Ok(Self(filters))
    }

    /// The values given for a name; none means that it does not filter.
    pub(crate) fn values(&self, name: &str) -> &[String] {
        self.0.get(name).map_or(&[], Vec::as_slice)
    }

    /// Whether the value passes: the filter is absent, or one of its values satisfies `matches`.
    pub(crate) fn any(&self, name: &str, matches: impl Fn(&str) -> bool) -> bool {
        let values = self.values(name);
        values.is_empty() || values.iter().any(|value| matches(value))
    }

    /// Whether all `label` values (`key` or `key=value`) match, and none of `label!`.
    pub(crate) fn labels(&self, labels: &BTreeMap<String, String>) -> bool {
        let has = |wanted: &String| match wanted.split_once('=') {
            Some((key, value)) => labels.get(key).is_some_and(|known| known == value),
            None => labels.contains_key(wanted),
        };
        self.values("label").iter().all(has) && !self.values("label!").iter().any(has)
    }

    /// The `until` filter: only what was made at that time or before shall pass.
    pub(crate) fn until(&self, now: Timestamp) -> Result<Option<Timestamp>, Failure> {
        match self.values("until") {
            [] => Ok(None),
            [text] => time_or_age(text, now).map(Some),
            _ => Err(Failure::invalid("more than one until filter specified")),
        }
    }

    /// A boolean filter such as `dangling`.
    pub(crate) fn flag(&self, name: &str) -> Result<Option<bool>, Failure> {
        match self.values(name).first().map(|value| value.to_ascii_lowercase()) {
            None => Ok(None),
            Some(value) if matches!(value.as_str(), "true" | "1") => Ok(Some(true)),
            Some(value) if matches!(value.as_str(), "false" | "0") => Ok(Some(false)),
            Some(value) => Err(Failure::invalid(format!("invalid filter '{name}={value}'"))),
        }
    }
}

/// Seconds since the epoch, RFC 3339, a date with or without a time in the daemon's zone, or a Go duration before now.
fn time_or_age(text: &str, now: Timestamp) -> Result<Timestamp, Failure> {
    let invalid = || Failure::invalid(format!("invalid filter 'until={text}'"));
    if let Ok(age) = text.parse::<SignedDuration>() {
        return now.checked_sub(age).map_err(|_| invalid());
    }
    if let Ok(time) = parse_time(text) {
        return Ok(time);
    }
    let local = text.parse::<DateTime>().ok().and_then(|time| time.to_zoned(TimeZone::system()).ok());
    local.map(|zoned| zoned.timestamp()).ok_or_else(invalid)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn until_is_a_time_or_an_age() {
        let now: Timestamp = "2024-01-02T03:04:05Z".parse().expect("valid");
        let time = |text| time_or_age(text, now).ok().map(|time| time.to_string());
        for (text, expect) in [
            ("1h30m", "2024-01-02T01:34:05Z"),
            ("24h", "2024-01-01T03:04:05Z"),
            ("1.5h", "2024-01-02T01:34:05Z"),
            ("500ms", "2024-01-02T03:04:04.5Z"),
            ("1700000000", "2023-11-14T22:13:20Z"),
            ("2024-01-01T00:00:00Z", "2024-01-01T00:00:00Z"),
            ("2024-01-01T00:00:00+01:00", "2023-12-31T23:00:00Z"),
        ] {
            assert_eq!(time(text).as_deref(), Some(expect), "{text}");
        }
        assert!(time("2024-01-01").is_some() && time("2024-01-01T10:00:00").is_some());
        assert!(time("").is_none() && time("soon").is_none());
    }

    fn parse(text: &str) -> Result<Filters, Failure> {
        let query =
            format!("filters={}", percent_encoding::utf8_percent_encode(text, percent_encoding::NON_ALPHANUMERIC));
        Filters::parse(&Query::parse(&query), &["label", "name"])
    }

    #[test]
    fn both_forms_mean_the_same() {
        for text in [r#"{"label":{"a=b":true},"name":{"x":true}}"#, r#"{"label":["a=b"],"name":["x"]}"#] {
            let filters = parse(text).expect("valid");
            assert!(filters.labels(&BTreeMap::from([("a".into(), "b".into())])));
            assert!(!filters.labels(&BTreeMap::from([("a".into(), "c".into())])));
            assert!(filters.any("name", |value| value == "x") && filters.any("other", |_| false));
        }
    }

    #[test]
    fn unknown_names_and_garbage_are_refused() {
        for text in [r#"{"nope":["x"]}"#, "[]", "x", r#"{"label":1}"#, r#"{"label":[1]}"#] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
