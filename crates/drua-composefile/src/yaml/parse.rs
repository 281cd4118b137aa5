use std::collections::HashMap;

use saphyr_parser::{Event, Parser, ScalarStyle, Span as EventSpan, Tag as EventTag};

use super::node::{Entry, Kind, Node, Scalar, Tag, Value};
use super::scalar;
use crate::diagnostic::{Report, Span};

/// Nodes in one document, aliases expanded; Docker Compose's own limit against alias bombs.
const MAX_NODES: usize = 100_000;
/// How deep nodes may be nested.
const MAX_DEPTH: usize = 64;

/// How many documents one file may have.
const MAX_DOCUMENTS: usize = 1_000;

/// Parses all documents of a text; empty ones are left out. `None` when errors were reported.
pub(crate) fn parse(file: u16, text: &str, report: &mut Report) -> Option<Vec<Node>> {
    let mut builder = Builder { file, report, open: Vec::new(), anchors: HashMap::new(), nodes: 0, root: None };
    let mut documents = Vec::new();
    let mut count = 0;
    for event in Parser::new_from_str(text) {
        let (event, at) = match event {
            Ok(event) => event,
            Err(error) => {
                let (marker, info) = (error.marker(), error.info().to_owned());
                let span = Span { file, line: number(marker.line()), column: number(marker.col() + 1), length: 1 };
                builder.report.error(span, format!("not valid YAML: {info}"));
                return None;
            }
        };
        if matches!(event, Event::DocumentStart(_)) {
            count += 1;
            builder.anchors.clear();
            if count > MAX_DOCUMENTS {
                builder.report.error(builder.span(at), format!("more than {MAX_DOCUMENTS} documents in one file"));
                return None;
            }
        }
        builder.event(event, at).ok()?;
        documents.extend(if builder.open.is_empty() { builder.root.take() } else { None });
    }
    documents.retain(|document| !document.is_null());
    Some(documents)
}

/// The document is not worth reading on; the reason has been reported.
struct Stop;

/// A collection whose end has not been seen.
struct Open {
    span: Span,
    anchor: usize,
    tag: Tag,
    kind: OpenKind,
}

enum OpenKind {
    Sequence(Vec<Node>),
    /// `seen` maps the keys of `entries` to their lines.
    Mapping {
        entries: Vec<Entry>,
        seen: HashMap<String, u32>,
        merges: Vec<Node>,
        key: Option<(String, Span)>,
    },
}

/// A complete node that an alias may repeat, with its cost.
struct Anchored {
    node: Node,
    nodes: usize,
    depth: usize,
}

struct Builder<'r> {
    file: u16,
    report: &'r mut Report,
    open: Vec<Open>,
    anchors: HashMap<usize, Anchored>,
    nodes: usize,
    root: Option<Node>,
}

impl Builder<'_> {
    fn event(&mut self, event: Event<'_>, at: EventSpan) -> Result<(), Stop> {
        let span = self.span(at);
        match event {
            Event::Scalar(text, style, anchor, tag) => {
                self.count(span, 1)?;
                let (kind, tag) = self.scalar_kind(&text, style, tag.as_deref(), span)?;
                let value = Value::Scalar(Scalar { text: text.into_owned(), kind });
                self.complete(Node { span, value, tag }, anchor)
            }
            Event::SequenceStart(anchor, tag) => {
                let tag = self.collection_tag(tag.as_deref(), span)?;
                self.start(Open { span, anchor, tag, kind: OpenKind::Sequence(Vec::new()) })
            }
            Event::MappingStart(anchor, tag) => {
                let tag = self.collection_tag(tag.as_deref(), span)?;
                let kind =
                    OpenKind::Mapping { entries: Vec::new(), seen: HashMap::new(), merges: Vec::new(), key: None };
                self.start(Open { span, anchor, tag, kind })
            }
            Event::SequenceEnd | Event::MappingEnd => match self.open.pop() {
                Some(open) => self.end(open),
                None => Err(Stop),
            },
            Event::Alias(anchor) => self.alias(anchor, span),
            Event::Nothing | Event::StreamStart | Event::StreamEnd | Event::DocumentStart(_) | Event::DocumentEnd => {
                Ok(())
            }
        }
    }

    fn start(&mut self, open: Open) -> Result<(), Stop> {
        self.count(open.span, 1)?;
        if self.open.len() >= MAX_DEPTH {
            return self.stop(open.span, format!("nested more than {MAX_DEPTH} levels deep"));
        }
        self.open.push(open);
        Ok(())
    }

    fn end(&mut self, open: Open) -> Result<(), Stop> {
        let value = match open.kind {
            OpenKind::Sequence(items) => Value::Sequence(items),
            OpenKind::Mapping { entries, seen, merges, .. } => Value::Mapping(self.merge(entries, seen, merges)?),
        };
        self.complete(Node { span: open.span, value, tag: open.tag }, open.anchor)
    }

    /// Applies `<<`: keys that are written out win, then the first merged mapping that has the key.
    fn merge(
        &mut self,
        mut entries: Vec<Entry>,
        mut seen: HashMap<String, u32>,
        merges: Vec<Node>,
    ) -> Result<Vec<Entry>, Stop> {
        for source in merges {
            let span = source.span;
            let Value::Mapping(merged) = source.value else {
                return self.stop(span, "`<<` takes a mapping or a list of mappings");
            };
            for entry in merged {
                if seen.insert(entry.key.clone(), entry.key_span.line).is_none() {
                    entries.push(entry);
                }
            }
        }
        Ok(entries)
    }

    fn alias(&mut self, anchor: usize, span: Span) -> Result<(), Stop> {
        let Some(anchored) = self.anchors.get(&anchor) else {
            return self.stop(span, "an alias inside the value that it refers to");
        };
        let (node, nodes, depth) = (anchored.node.clone(), anchored.nodes, anchored.depth);
        self.count(span, nodes)?;
        if self.open.len() + depth > MAX_DEPTH {
            return self.stop(span, format!("nested more than {MAX_DEPTH} levels deep"));
        }
        self.complete(node, 0)
    }

    /// Puts a finished node where it belongs: into the innermost open collection, or at the root.
    fn complete(&mut self, node: Node, anchor: usize) -> Result<(), Stop> {
        if anchor != 0 {
            let (nodes, depth) = cost(&node);
            self.anchors.insert(anchor, Anchored { node: node.clone(), nodes, depth });
        }
        match self.open.last_mut().map(|open| &mut open.kind) {
            None => self.root = Some(node),
            Some(OpenKind::Sequence(items)) => items.push(node),
            Some(OpenKind::Mapping { entries, merges, key, .. }) => match key.take() {
                None => return self.key(node),
                Some((key, _)) if key == "<<" => match node.value {
                    Value::Sequence(items) => merges.extend(items),
                    Value::Scalar(_) | Value::Mapping(_) => merges.push(node),
                },
                Some((key, key_span)) => entries.push(Entry { key, key_span, value: node }),
            },
        }
        Ok(())
    }

    fn key(&mut self, node: Node) -> Result<(), Stop> {
        let span = node.span;
        let Value::Scalar(scalar) = node.value else {
            return self.stop(span, "a key must be a string");
        };
        if scalar.kind == Kind::Null {
            return self.stop(span, "a key must not be empty");
        }
        let Some(Open { kind: OpenKind::Mapping { seen, key, .. }, .. }) = self.open.last_mut() else {
            return Err(Stop);
        };
        if let Some(first) = seen.insert(scalar.text.clone(), span.line) {
            let message = format!("duplicate key `{}`, first given on line {first}", scalar.text);
            return self.stop(span, message);
        }
        *key = Some((scalar.text, span));
        Ok(())
    }

    fn scalar_kind(
        &mut self,
        text: &str,
        style: ScalarStyle,
        tag: Option<&EventTag>,
        span: Span,
    ) -> Result<(Kind, Tag), Stop> {
        let plain = || if style == ScalarStyle::Plain { scalar::resolve(text) } else { Kind::Text };
        let Some(tag) = tag else { return Ok((plain(), Tag::Plain)) };
        if !tag.is_yaml_core_schema() {
            return Ok((plain(), self.own_tag(tag, span)?));
        }
        match tag.suffix.as_str() {
            "str" => Ok((Kind::Text, Tag::Plain)),
            "null" | "bool" | "int" | "float" => Ok((scalar::resolve(text), Tag::Plain)),
            _ => self.stop(span, format!("unknown tag `{tag}`")),
        }
    }

    fn collection_tag(&mut self, tag: Option<&EventTag>, span: Span) -> Result<Tag, Stop> {
        match tag {
            None => Ok(Tag::Plain),
            Some(tag) if !tag.is_yaml_core_schema() => self.own_tag(tag, span),
            Some(tag) if matches!(tag.suffix.as_str(), "map" | "seq") => Ok(Tag::Plain),
            Some(tag) => self.stop(span, format!("unknown tag `{tag}`")),
        }
    }

    fn own_tag(&mut self, tag: &EventTag, span: Span) -> Result<Tag, Stop> {
        match tag.suffix.as_str() {
            "reset" => Ok(Tag::Reset),
            "override" => Ok(Tag::Override),
            _ => self.stop(span, format!("unknown tag `{tag}`")),
        }
    }

    fn count(&mut self, span: Span, nodes: usize) -> Result<(), Stop> {
        self.nodes += nodes;
        if self.nodes > MAX_NODES {
            return self.stop(span, format!("more than {MAX_NODES} values, with aliases expanded"));
        }
        Ok(())
    }

    fn stop<T>(&mut self, span: Span, message: impl Into<String>) -> Result<T, Stop> {
        self.report.error(span, message);
        Err(Stop)
    }

    fn span(&self, at: EventSpan) -> Span {
        let length =
            if at.end.line() == at.start.line() { at.end.col().saturating_sub(at.start.col()) } else { 10_000 };
        Span {
            file: self.file,
            line: number(at.start.line()),
            column: number(at.start.col() + 1),
            length: number(length.max(1)),
        }
    }
}

/// Number of nodes and depth of a tree; its depth is at most [`MAX_DEPTH`].
fn cost(node: &Node) -> (usize, usize) {
    let sum = |costs: &mut dyn Iterator<Item = (usize, usize)>| {
        costs.fold((1, 1), |(nodes, depth), (n, d)| (nodes + n, depth.max(d + 1)))
    };
    match &node.value {
        Value::Scalar(_) => (1, 1),
        Value::Sequence(items) => sum(&mut items.iter().map(cost)),
        Value::Mapping(entries) => sum(&mut entries.iter().map(|entry| cost(&entry.value))),
    }
}

fn number(value: usize) -> u32 {
    u32::try_from(value).unwrap_or(u32::MAX)
}
