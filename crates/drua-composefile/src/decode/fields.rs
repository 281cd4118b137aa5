use super::Decoder;
use crate::diagnostic::Span;
use crate::suggest;
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

/// What happens to an attribute of the specification that drua does not implement yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Later {
    /// Containers would differ from what the file says: an error.
    Refuse,
    /// Nothing that runs depends on it: a warning.
    Ignore,
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

    /// Reports every key that has not been taken, except extensions (`x-…`).
    pub(super) fn finish(self, cx: &mut Decoder<'_>, later: &[(&'static str, Later)]) {
        for entry in self.entries {
            let key = entry.key.as_str();
            if cx.report.is_full() {
                return;
            }
            if self.asked.contains(&key) || key.starts_with("x-") {
                continue;
            }
            let whole = if self.path.is_empty() { key.to_owned() } else { format!("{}.{key}", self.path) };
            match later.iter().find(|(name, _)| *name == key) {
                Some((_, Later::Refuse)) => {
                    cx.report.error(entry.key_span, format!("`{whole}` is not supported yet"));
                }
                Some((_, Later::Ignore)) => {
                    cx.report.warning(entry.key_span, format!("`{whole}` is not supported yet and has no effect"));
                }
                None => self.unknown(cx, entry, later),
            }
        }
    }

    fn unknown(&self, cx: &mut Decoder<'_>, entry: &Entry, later: &[(&'static str, Later)]) {
        let within = if self.path.is_empty() { "at the top level".to_owned() } else { format!("in `{}`", self.path) };
        let message = format!("unknown key `{}` {within}", entry.key.chars().take(80).collect::<String>());
        let known = self.asked.iter().copied().chain(later.iter().map(|(name, _)| *name));
        let found = cx.report.error(entry.key_span, message);
        if let Some(nearest) = suggest::nearest(&entry.key, known) {
            found.hint(format!("did you mean `{nearest}`?"));
        }
    }
}
