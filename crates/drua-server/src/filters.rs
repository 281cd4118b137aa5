//! The `filters` query parameter.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::http::{Failure, Query};

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
                Value::Array(values) => values.iter().filter_map(|value| value.as_str().map(str::to_owned)).collect(),
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

#[cfg(test)]
mod tests {
    use super::*;

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
        for text in [r#"{"nope":["x"]}"#, "[]", "x", r#"{"label":1}"#] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
