use super::Decoder;
use crate::diagnostic::Span;
use crate::model::{Extensions, Labels};
use crate::suggest;
use crate::tree::Tree;
use crate::yaml::{Entry, Node, Value};

/// A value and the path by which messages name it.
#[derive(Debug, Clone)]
pub(crate) struct Field<'n> {
    pub(crate) path: String,
    pub(crate) node: &'n Node,
    pub(crate) key_span: Span,
}

impl<'n> Field<'n> {
    /// The items of a list, or `None` when it is none.
    pub(super) fn items(&self) -> Option<impl Iterator<Item = Field<'n>> + use<'n>> {
        let Value::Sequence(items) = &self.node.value else { return None };
        let path = self.path.clone();
        Some(items.iter().enumerate().map(move |(index, node)| Field {
            path: format!("{path}[{index}]"),
            node,
            key_span: node.span,
        }))
    }

    /// The entries of a mapping whose keys are free, `x-` ones included, or `None` when it is none.
    pub(super) fn entries(&self) -> Option<impl Iterator<Item = (&'n str, Field<'n>)> + use<'n>> {
        let Value::Mapping(entries) = &self.node.value else { return None };
        let path = self.path.clone();
        Some(entries.iter().map(move |entry| {
            let path = format!("{path}.{}", entry.key);
            (entry.key.as_str(), Field { path, node: &entry.value, key_span: entry.key_span })
        }))
    }

    /// The text of a string scalar.
    pub(super) fn text(&self) -> Option<&'n str> {
        match &self.node.value {
            Value::Scalar(scalar) if scalar.kind == crate::yaml::Kind::Text => Some(&scalar.text),
            _ => None,
        }
    }
}

/// A mapping with a fixed set of keys, being read.
pub(crate) struct Fields<'n> {
    path: String,
    entries: &'n [Entry],
    asked: Vec<&'static str>,
}

impl<'n> Fields<'n> {
    /// Opens a mapping; reports anything else.
    pub(super) fn open(cx: &mut Decoder<'_>, field: &Field<'n>) -> Option<Self> {
        let Value::Mapping(entries) = &field.node.value else {
            cx.expected(field, "a mapping");
            return None;
        };
        Some(Self { path: field.path.clone(), entries, asked: Vec::new() })
    }

    /// Takes a key. A key without a value is as good as absent.
    pub(super) fn take(&mut self, key: &'static str) -> Option<Field<'n>> {
        self.take_nullable(key).filter(|field| !field.node.is_null())
    }

    /// Takes a key whose absence and emptiness differ.
    pub(super) fn take_nullable(&mut self, key: &'static str) -> Option<Field<'n>> {
        self.asked.push(key);
        let entry = self.entries.iter().find(|entry| entry.key == key)?;
        let path = if self.path.is_empty() { key.to_owned() } else { format!("{}.{key}", self.path) };
        Some(Field { path, node: &entry.value, key_span: entry.key_span })
    }

    /// Takes a key that has to be there.
    pub(super) fn required(&mut self, cx: &mut Decoder<'_>, field: &Field<'n>, key: &'static str) -> Option<Field<'n>> {
        let taken = self.take(key);
        if taken.is_none() {
            cx.report.error(field.node.span, format!("`{}.{key}` is missing", field.path));
        }
        taken
    }

    pub(super) fn string(&mut self, cx: &mut Decoder<'_>, key: &'static str) -> Option<String> {
        // Go leaves an empty string out.
        self.take(key).and_then(|field| cx.string(&field)).filter(|text| !text.is_empty())
    }

    pub(super) fn strings(&mut self, cx: &mut Decoder<'_>, key: &'static str) -> Vec<String> {
        self.take(key).map(|field| cx.string_set(&field)).unwrap_or_default()
    }

    pub(super) fn string_or_strings(&mut self, cx: &mut Decoder<'_>, key: &'static str) -> Vec<String> {
        self.take(key).map(|field| cx.string_or_strings(&field)).unwrap_or_default()
    }

    pub(super) fn labels(&mut self, cx: &mut Decoder<'_>, key: &'static str) -> Labels {
        self.take(key).map(|field| cx.labels(&field)).unwrap_or_default()
    }

    pub(super) fn boolean(&mut self, cx: &mut Decoder<'_>, key: &'static str) -> bool {
        self.take(key).and_then(|field| cx.boolean(&field)).unwrap_or(false)
    }

    pub(super) fn integer(&mut self, cx: &mut Decoder<'_>, key: &'static str) -> i64 {
        self.take(key).and_then(|field| cx.integer(&field)).unwrap_or_default()
    }

    /// A list of things that `read` reads one of.
    pub(super) fn list<T>(
        &mut self,
        cx: &mut Decoder<'_>,
        key: &'static str,
        read: impl Fn(&mut Decoder<'_>, &Field<'n>) -> Option<T>,
    ) -> Vec<T> {
        let Some(field) = self.take(key) else { return Vec::new() };
        match field.items() {
            Some(items) => items.filter_map(|item| read(cx, &item)).collect(),
            None => {
                cx.expected(&field, "a list");
                Vec::new()
            }
        }
    }

    /// The `x-` keys.
    pub(super) fn extensions(&self) -> Extensions {
        let extensions = self.entries.iter().filter(|entry| entry.key.starts_with("x-"));
        extensions.map(|entry| (entry.key.clone(), Tree::of_node(&entry.value))).collect()
    }

    /// Reports every key that has not been taken, except extensions (`x-…`).
    pub(super) fn finish(self, cx: &mut Decoder<'_>) {
        for entry in self.entries {
            let key = entry.key.as_str();
            if cx.report.is_full() {
                return;
            }
            if !self.asked.contains(&key) && !key.starts_with("x-") {
                self.unknown(cx, entry);
            }
        }
    }

    fn unknown(&self, cx: &mut Decoder<'_>, entry: &Entry) {
        let within = if self.path.is_empty() { "at the top level".to_owned() } else { format!("in `{}`", self.path) };
        let message = format!("unknown key `{}` {within}", entry.key.chars().take(80).collect::<String>());
        let found = cx.report.error(entry.key_span, message);
        if let Some(nearest) = suggest::nearest(&entry.key, self.asked.iter().copied()) {
            found.hint(format!("did you mean `{nearest}`?"));
        }
    }
}
