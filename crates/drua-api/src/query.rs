use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

/// The query part of a request, built in order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Query(String);

impl Query {
    /// No parameters.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds `key=value`.
    pub fn with(mut self, key: &str, value: &str) -> Self {
        if !self.0.is_empty() {
            self.0.push('&');
        }
        percent_encode(&mut self.0, key, "");
        self.0.push('=');
        percent_encode(&mut self.0, value, "");
        self
    }

    /// Adds `key=value` when there is a value.
    pub fn with_some(self, key: &str, value: Option<&str>) -> Self {
        match value {
            Some(value) => self.with(key, value),
            None => self,
        }
    }

    /// Adds `key=1` when `on`.
    pub fn flag(self, key: &str, on: bool) -> Self {
        if on { self.with(key, "1") } else { self }
    }

    /// Adds the filters when there are any.
    pub fn filters(self, filters: &Filters) -> Self {
        if filters.is_empty() { self } else { self.with("filters", &filters.to_json()) }
    }

    /// `path?query`, or the path alone.
    pub(crate) fn append_to(&self, path: &str) -> String {
        if self.0.is_empty() { path.to_owned() } else { format!("{path}?{}", self.0) }
    }
}

/// A path segment with everything encoded that would change the path's meaning; `/` stays, since image names have it.
pub(crate) fn segment(text: &str) -> String {
    let mut encoded = String::new();
    percent_encode(&mut encoded, text, "/:@");
    encoded
}

fn percent_encode(out: &mut String, text: &str, keep: &str) {
    for byte in text.bytes() {
        let plain =
            byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'~') || keep.contains(byte as char);
        if plain {
            out.push(byte as char);
        } else {
            let _ = write!(out, "%{byte:02X}");
        }
    }
}

/// Filters of a listing, in Docker's `{"label":{"a=b":true}}` form.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filters(BTreeMap<String, BTreeSet<String>>);

impl Filters {
    /// No filters.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds one; several values of one key are alternatives (labels: all of them must match).
    pub fn with(mut self, key: &str, value: &str) -> Self {
        self.insert(key, value);
        self
    }

    /// Adds one in place.
    pub fn insert(&mut self, key: &str, value: &str) {
        self.0.entry(key.to_owned()).or_default().insert(value.to_owned());
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The JSON that goes into the query.
    pub fn to_json(&self) -> String {
        let object: serde_json::Map<String, serde_json::Value> = self
            .0
            .iter()
            .map(|(key, values)| (key.clone(), values.iter().map(|value| (value.clone(), true)).collect()))
            .collect();
        serde_json::Value::Object(object).to_string()
    }
}
