//! YAML as written, every node with its bytes: what fixes need, and what merging and interpolation would hide.

use std::collections::HashMap;

use drua_dockerfile::Span;
use saphyr_parser::{Event, Parser, ScalarStyle};

/// Nodes in one document, aliases expanded.
const MAX_NODES: usize = 100_000;
/// How deep nodes may be nested.
const MAX_DEPTH: usize = 64;

/// The text is not YAML.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Problem {
    pub(crate) line: usize,
    pub(crate) at: usize,
    pub(crate) message: String,
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Node {
    /// Quotes included; of a collection in block style only where it begins.
    pub(crate) span: Span,
    pub(crate) value: Value,
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Value {
    /// The text without quotes, and whether it had some.
    Scalar(String, bool),
    List(Vec<Node>),
    Map(Vec<Entry>),
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Entry {
    pub(crate) key: String,
    pub(crate) key_span: Span,
    pub(crate) value: Node,
}

impl Node {
    pub(crate) fn get(&self, key: &str) -> Option<&Node> {
        self.entry(key).map(|entry| &entry.value)
    }

    pub(crate) fn entry(&self, key: &str) -> Option<&Entry> {
        self.entries()?.iter().find(|entry| entry.key == key)
    }

    pub(crate) fn entries(&self) -> Option<&[Entry]> {
        if let Value::Map(entries) = &self.value { Some(entries) } else { None }
    }

    pub(crate) fn items(&self) -> Option<&[Node]> {
        if let Value::List(items) = &self.value { Some(items) } else { None }
    }

    /// The text of a scalar; `None` for collections and for nothing.
    pub(crate) fn as_text(&self) -> Option<&str> {
        match &self.value {
            Value::Scalar(text, quoted) if *quoted || !matches!(text.as_str(), "" | "~" | "null") => Some(text),
            _ => None,
        }
    }

    pub(crate) fn is_quoted(&self) -> bool {
        matches!(self.value, Value::Scalar(_, true))
    }

    /// A scalar or a list of them as texts.
    pub(crate) fn texts(&self) -> Vec<String> {
        match &self.value {
            Value::List(items) => items.iter().filter_map(Self::as_text).map(str::to_owned).collect(),
            _ => self.as_text().map(str::to_owned).into_iter().collect(),
        }
    }

    /// `K=V` lists and maps alike: name, value, and where the pair stands.
    pub(crate) fn pairs(&self) -> Vec<(String, Option<String>, Span)> {
        match &self.value {
            Value::Map(entries) => {
                let pair = |entry: &Entry| {
                    let span = Span::new(entry.key_span.start, entry.value.span.end.max(entry.key_span.end));
                    (entry.key.clone(), entry.value.as_text().map(str::to_owned), span)
                };
                entries.iter().map(pair).collect()
            }
            Value::List(items) => {
                let pair = |item: &Node| {
                    let text = item.as_text()?;
                    let (name, value) = text.split_once('=').map_or((text, None), |(name, value)| (name, Some(value)));
                    Some((name.to_owned(), value.map(str::to_owned), item.span))
                };
                items.iter().filter_map(pair).collect()
            }
            Value::Scalar(..) => Vec::new(),
        }
    }
}

enum Open {
    List(Span, Vec<Node>, usize),
    Map(Span, Vec<Entry>, Vec<Node>, Option<(String, Span)>, usize),
}

/// Parses the first document; `None` when it is empty.
pub(crate) fn parse(text: &str) -> Result<Option<Node>, Problem> {
    let offset = text.len() - text.strip_prefix('\u{feff}').unwrap_or(text).len();
    let text_without_mark = &text[offset..];
    let places = Chars::new(text_without_mark, offset);
    let mut open: Vec<Open> = Vec::new();
    let mut anchors: HashMap<usize, (Node, usize)> = HashMap::new();
    let mut nodes = 0_usize;
    for event in Parser::new_from_str(text_without_mark) {
        let (event, at) = event.map_err(|error| Problem {
            line: error.marker().line(),
            at: places.byte(error.marker().index()),
            message: error.info().to_owned(),
        })?;
        let span = Span::new(places.byte(at.start.index()), places.byte(at.end.index()));
        let problem = |message: &str| Problem { line: at.start.line(), at: span.start, message: message.to_owned() };
        nodes += 1;
        if nodes > MAX_NODES {
            return Err(problem("too many values"));
        }
        if open.len() > MAX_DEPTH {
            return Err(problem("nested too deep"));
        }
        let (node, anchor) = match event {
            Event::Scalar(text, style, anchor, _) => {
                let quoted = style != ScalarStyle::Plain;
                (Node { span, value: Value::Scalar(text.into_owned(), quoted) }, anchor)
            }
            Event::SequenceStart(anchor, _) => {
                open.push(Open::List(span, Vec::new(), anchor));
                continue;
            }
            Event::MappingStart(anchor, _) => {
                open.push(Open::Map(span, Vec::new(), Vec::new(), None, anchor));
                continue;
            }
            Event::SequenceEnd | Event::MappingEnd => match open.pop() {
                Some(Open::List(start, items, anchor)) => {
                    let end = items.last().map_or(start.end, |item| item.span.end);
                    (
                        Node { span: Span::new(start.start, end.max(span.start.min(end))), value: Value::List(items) },
                        anchor,
                    )
                }
                Some(Open::Map(start, mut entries, merges, _, anchor)) => {
                    let end = entries.last().map_or(start.end, |entry| entry.value.span.end);
                    merge(&mut entries, merges);
                    (Node { span: Span::new(start.start, end), value: Value::Map(entries) }, anchor)
                }
                None => return Err(problem("an end without a beginning")),
            },
            Event::Alias(anchor) => {
                let (node, cost) =
                    anchors.get(&anchor).cloned().ok_or_else(|| problem("an alias inside what it refers to"))?;
                nodes += cost;
                (node, 0)
            }
            Event::DocumentEnd => return Err(problem("empty")),
            Event::Nothing | Event::StreamStart | Event::StreamEnd | Event::DocumentStart(_) => continue,
        };
        if anchor != 0 {
            let cost = count(&node);
            anchors.insert(anchor, (node.clone(), cost));
        }
        match open.last_mut() {
            None => {
                let empty = matches!(&node.value, Value::Scalar(text, false) if text.is_empty() || text == "~");
                return Ok((!empty).then_some(node));
            }
            Some(Open::List(_, items, _)) => items.push(node),
            Some(Open::Map(_, entries, merges, key, _)) => match key.take() {
                None => {
                    let text = match &node.value {
                        Value::Scalar(text, _) => text.clone(),
                        _ => return Err(problem("a key must be a string")),
                    };
                    *key = Some((text, node.span));
                }
                Some((key, _)) if key == "<<" => match node.value {
                    Value::List(items) => merges.extend(items),
                    _ => merges.push(node),
                },
                Some((key, key_span)) => entries.push(Entry { key, key_span, value: node }),
            },
        }
    }
    Ok(None)
}

fn merge(entries: &mut Vec<Entry>, merges: Vec<Node>) {
    for source in merges {
        let Value::Map(merged) = source.value else { continue };
        for entry in merged {
            if !entries.iter().any(|known| known.key == entry.key) {
                entries.push(entry);
            }
        }
    }
}

fn count(node: &Node) -> usize {
    match &node.value {
        Value::Scalar(..) => 1,
        Value::List(items) => 1 + items.iter().map(count).sum::<usize>(),
        Value::Map(entries) => 1 + entries.iter().map(|entry| count(&entry.value)).sum::<usize>(),
    }
}

/// From characters, in which the parser counts, to bytes.
struct Chars {
    /// The byte of every character; `None` when they are all one byte long.
    marks: Option<Vec<usize>>,
    offset: usize,
    length: usize,
}

impl Chars {
    fn new(text: &str, offset: usize) -> Self {
        let marks = (!text.is_ascii()).then(|| text.char_indices().map(|(at, _)| at).collect());
        Self { marks, offset, length: text.len() }
    }

    fn byte(&self, index: usize) -> usize {
        let at = match &self.marks {
            None => index.min(self.length),
            Some(marks) => marks.get(index).copied().unwrap_or(self.length),
        };
        self.offset + at
    }
}
