use crate::diagnostic::Span;

/// A value with its place.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Node {
    pub(crate) span: Span,
    pub(crate) value: Value,
    pub(crate) tag: Tag,
}

/// What Compose's own tags say about merging.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Tag {
    /// None of them.
    #[default]
    Plain,
    /// `!reset`: what another file says is dropped, and so is this.
    Reset,
    /// `!override`: replaces what another file says.
    Override,
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Value {
    Scalar(Scalar),
    Sequence(Vec<Node>),
    Mapping(Vec<Entry>),
}

/// A key and its value, in the order of the file.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Entry {
    pub(crate) key: String,
    pub(crate) key_span: Span,
    pub(crate) value: Node,
}

/// A scalar as written, and what the core schema makes of it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Scalar {
    /// The text without quotes and escapes.
    pub(crate) text: String,
    pub(crate) kind: Kind,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Kind {
    Null,
    Bool(bool),
    Int(i64),
    Float(f64),
    Text,
}

impl Node {
    pub(crate) fn new(span: Span, value: Value) -> Self {
        Self { span, value, tag: Tag::Plain }
    }

    pub(crate) fn text(span: Span, text: impl Into<String>) -> Self {
        Self::new(span, Value::Scalar(Scalar { text: text.into(), kind: Kind::Text }))
    }

    pub(crate) fn null(span: Span) -> Self {
        Self::new(span, Value::Scalar(Scalar { text: String::new(), kind: Kind::Null }))
    }

    pub(crate) fn boolean(span: Span, value: bool) -> Self {
        Self::new(span, Value::Scalar(Scalar { text: value.to_string(), kind: Kind::Bool(value) }))
    }

    pub(crate) fn mapping<'k>(span: Span, entries: impl IntoIterator<Item = (&'k str, Node)>) -> Self {
        let entries = entries.into_iter().map(|(key, value)| Entry { key: key.to_owned(), key_span: span, value });
        Self::new(span, Value::Mapping(entries.collect()))
    }

    pub(crate) fn entries(&self) -> Option<&[Entry]> {
        if let Value::Mapping(entries) = &self.value { Some(entries) } else { None }
    }

    pub(crate) fn entries_mut(&mut self) -> Option<&mut Vec<Entry>> {
        if let Value::Mapping(entries) = &mut self.value { Some(entries) } else { None }
    }

    pub(crate) fn items(&self) -> Option<&[Node]> {
        if let Value::Sequence(items) = &self.value { Some(items) } else { None }
    }

    pub(crate) fn items_mut(&mut self) -> Option<&mut Vec<Node>> {
        if let Value::Sequence(items) = &mut self.value { Some(items) } else { None }
    }

    /// The text of a scalar that YAML reads as a string.
    pub(crate) fn as_text(&self) -> Option<&str> {
        match &self.value {
            Value::Scalar(Scalar { text, kind: Kind::Text }) => Some(text),
            _ => None,
        }
    }

    pub(crate) fn get(&self, key: &str) -> Option<&Node> {
        self.entries()?.iter().find(|entry| entry.key == key).map(|entry| &entry.value)
    }

    pub(crate) fn get_mut(&mut self, key: &str) -> Option<&mut Node> {
        self.entries_mut()?.iter_mut().find(|entry| entry.key == key).map(|entry| &mut entry.value)
    }

    /// Takes a key out of a mapping.
    pub(crate) fn remove(&mut self, key: &str) -> Option<Entry> {
        let entries = self.entries_mut()?;
        let index = entries.iter().position(|entry| entry.key == key)?;
        Some(entries.remove(index))
    }

    /// Sets a key of a mapping.
    pub(crate) fn set(&mut self, key: &str, value: Node) {
        let span = value.span;
        let Some(entries) = self.entries_mut() else { return };
        match entries.iter_mut().find(|entry| entry.key == key) {
            Some(entry) => entry.value = value,
            None => entries.push(Entry { key: key.to_owned(), key_span: span, value }),
        }
    }

    pub(crate) fn is_null(&self) -> bool {
        matches!(&self.value, Value::Scalar(Scalar { kind: Kind::Null, .. }))
    }

    /// What the value is, with its article, for messages.
    pub(crate) fn describe(&self) -> &'static str {
        match &self.value {
            Value::Sequence(_) => "a list",
            Value::Mapping(_) => "a mapping",
            Value::Scalar(scalar) => match scalar.kind {
                Kind::Null => "empty",
                Kind::Bool(_) => "a boolean",
                Kind::Int(_) | Kind::Float(_) => "a number",
                Kind::Text => "a string",
            },
        }
    }
}
