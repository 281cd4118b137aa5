//! YAML as far as lock files use it: mappings, sequences, scalars; no anchors. Limits on size and depth.

use saphyr_parser::{Event, Parser};

/// Deeper documents are no lock files.
const MAX_DEPTH: usize = 64;

/// A node.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Node {
    Scalar(String, u32),
    List(Vec<Node>),
    /// In the order of the document.
    Map(Vec<(String, u32, Node)>),
}

impl Node {
    pub(super) fn get(&self, name: &str) -> Option<&Self> {
        self.entries().find(|(key, _, _)| *key == name).map(|(_, _, node)| node)
    }

    /// Key, 1-based line and value of each entry.
    pub(super) fn entries(&self) -> impl Iterator<Item = (&str, u32, &Self)> {
        let entries = if let Self::Map(entries) = self { entries.as_slice() } else { &[] };
        entries.iter().map(|(key, line, node)| (key.as_str(), *line, node))
    }

    pub(super) fn items(&self) -> &[Self] {
        if let Self::List(items) = self { items } else { &[] }
    }

    pub(super) fn text(&self) -> Option<&str> {
        if let Self::Scalar(text, _) = self { Some(text) } else { None }
    }
}

/// The first document of a text.
pub(super) fn parse(text: &str) -> Result<Node, String> {
    let mut open: Vec<Open> = Vec::new();
    for event in Parser::new_from_str(text) {
        let (event, span) = event.map_err(|error| error.to_string())?;
        let line = u32::try_from(span.start.line()).unwrap_or(u32::MAX);
        let finished = match event {
            Event::Scalar(text, ..) => Some(Node::Scalar(text.into_owned(), line)),
            Event::SequenceStart(..) => {
                open.push(Open::List(Vec::new()));
                None
            }
            Event::MappingStart(..) => {
                open.push(Open::Map(Vec::new(), None));
                None
            }
            Event::SequenceEnd | Event::MappingEnd => open.pop().map(Open::close),
            Event::Alias(_) => return Err("it has aliases".to_owned()),
            _ => None,
        };
        if open.len() > MAX_DEPTH {
            return Err("it is nested too deeply".to_owned());
        }
        let Some(node) = finished else { continue };
        match open.last_mut() {
            None => return Ok(node),
            Some(Open::List(items)) => items.push(node),
            Some(Open::Map(entries, key)) => match key.take() {
                Some((name, line)) => entries.push((name, line, node)),
                None => *key = Some((node.text().unwrap_or_default().to_owned(), line)),
            },
        }
    }
    Err("it is empty".to_owned())
}

enum Open {
    List(Vec<Node>),
    Map(Vec<(String, u32, Node)>, Option<(String, u32)>),
}

impl Open {
    fn close(self) -> Node {
        match self {
            Self::List(items) => Node::List(items),
            Self::Map(entries, _) => Node::Map(entries),
        }
    }
}
