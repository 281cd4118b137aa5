use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};

/// A JSON value whose objects keep the order of their keys, since `docker inspect` shows what the daemon wrote.
///
/// `serde_json::Value` sorts the keys unless a feature is on that would then be on for the whole program.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Json {
    Null,
    Bool(bool),
    Number(serde_json::Number),
    String(String),
    Array(Vec<Json>),
    Object(Vec<(String, Json)>),
}

/// Whether `<`, `>` and `&` are written as `\u003c` and so on, as Go's encoder does by default.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Escape {
    Html,
    Plain,
}

impl Json {
    /// The value of an object's key.
    pub(crate) fn get(&self, key: &str) -> Option<&Json> {
        match self {
            Self::Object(entries) => entries.iter().find(|(name, _)| name == key).map(|(_, value)| value),
            Self::Null | Self::Bool(_) | Self::Number(_) | Self::String(_) | Self::Array(_) => None,
        }
    }

    /// Entries in the order in which Go visits a map.
    pub(crate) fn sorted_entries(entries: &[(String, Json)]) -> Vec<&(String, Json)> {
        let mut sorted: Vec<_> = entries.iter().collect();
        sorted.sort_by(|a, b| a.0.cmp(&b.0));
        sorted
    }

    /// One line of JSON.
    pub(crate) fn compact(&self, escape: Escape) -> String {
        let mut out = String::new();
        self.write(&mut out, escape);
        out
    }

    fn write(&self, out: &mut String, escape: Escape) {
        match self {
            Self::Null => out.push_str("null"),
            Self::Bool(value) => out.push_str(if *value { "true" } else { "false" }),
            Self::Number(number) => out.push_str(&number.to_string()),
            Self::String(text) => write_string(out, text, escape),
            Self::Array(items) => write_sequence(out, ('[', ']'), items, |out, item| item.write(out, escape)),
            Self::Object(entries) => write_sequence(out, ('{', '}'), entries, |out, (key, value)| {
                write_string(out, key, escape);
                out.push(':');
                value.write(out, escape);
            }),
        }
    }

    /// As Go's `fmt` prints the value with `%v`.
    pub(crate) fn go_string(&self) -> String {
        match self {
            Self::Null => "<nil>".to_owned(),
            Self::Bool(value) => value.to_string(),
            Self::Number(number) => number.to_string(),
            Self::String(text) => text.clone(),
            Self::Array(items) => {
                let items: Vec<String> = items.iter().map(Self::go_string).collect();
                format!("[{}]", items.join(" "))
            }
            Self::Object(entries) => {
                let entries: Vec<String> = Self::sorted_entries(entries)
                    .into_iter()
                    .map(|(key, value)| format!("{key}:{}", value.go_string()))
                    .collect();
                format!("map[{}]", entries.join(" "))
            }
        }
    }
}

fn write_sequence<T>(
    out: &mut String,
    (open, close): (char, char),
    items: &[T],
    mut write_item: impl FnMut(&mut String, &T),
) {
    out.push(open);
    for (index, item) in items.iter().enumerate() {
        if index > 0 {
            out.push(',');
        }
        write_item(out, item);
    }
    out.push(close);
}

fn write_string(out: &mut String, text: &str, escape: Escape) {
    let encoded = serde_json::to_string(text).expect("a string always has a JSON form");
    match escape {
        Escape::Plain => out.push_str(&encoded),
        Escape::Html => {
            let escaped = encoded.replace('<', "\\u003c").replace('>', "\\u003e").replace('&', "\\u0026");
            out.push_str(&escaped);
        }
    }
}

impl From<&str> for Json {
    fn from(text: &str) -> Self {
        Self::String(text.to_owned())
    }
}

impl From<String> for Json {
    fn from(text: String) -> Self {
        Self::String(text)
    }
}

impl From<i64> for Json {
    fn from(number: i64) -> Self {
        Self::Number(number.into())
    }
}

impl<'de> Deserialize<'de> for Json {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(JsonVisitor)
    }
}

struct JsonVisitor;

impl<'de> Visitor<'de> for JsonVisitor {
    type Value = Json;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Json, E> {
        Ok(Json::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Json, E> {
        Ok(Json::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Json, E> {
        Ok(Json::Number(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Json, E> {
        Ok(Json::Number(value.into()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Json, E> {
        Ok(serde_json::Number::from_f64(value).map_or(Json::Null, Json::Number))
    }

    fn visit_str<E>(self, value: &str) -> Result<Json, E> {
        Ok(value.into())
    }

    fn visit_string<E>(self, value: String) -> Result<Json, E> {
        Ok(Json::String(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Json, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = access.next_element()? {
            items.push(item);
        }
        Ok(Json::Array(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Json, A::Error> {
        let mut entries = Vec::new();
        while let Some(entry) = access.next_entry()? {
            entries.push(entry);
        }
        Ok(Json::Object(entries))
    }
}
