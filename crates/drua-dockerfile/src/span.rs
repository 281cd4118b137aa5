//! Where things stand in a file.

use std::ops::Range;

/// A range of bytes in the source, end excluded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Span {
    /// Offset of the first byte.
    pub start: usize,
    /// Offset after the last byte.
    pub end: usize,
}

impl Span {
    /// A span from `start` up to `end`.
    pub fn new(start: usize, end: usize) -> Self {
        Self { start, end: end.max(start) }
    }

    /// The span as a range, to slice the source with.
    pub fn range(self) -> Range<usize> {
        self.start..self.end
    }
}

/// A piece of text and where it stands. The text is what the parser made of it: without continuation, not yet expanded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Word {
    /// The text.
    pub text: String,
    /// Where it comes from.
    pub span: Span,
}

/// Line and column of a byte; both count from 1, the column in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Position {
    /// The line.
    pub line: usize,
    /// The column.
    pub column: usize,
}

/// Finds the line of an offset.
#[derive(Debug, Clone)]
pub struct LineIndex {
    starts: Vec<usize>,
}

impl LineIndex {
    /// Indexes a source.
    pub fn new(source: &str) -> Self {
        let ends = source.bytes().enumerate().filter(|(_, byte)| *byte == b'\n').map(|(at, _)| at + 1);
        Self { starts: std::iter::once(0).chain(ends).collect() }
    }

    /// The position of an offset.
    pub fn position(&self, offset: usize) -> Position {
        let line = self.starts.partition_point(|start| *start <= offset);
        Position { line, column: offset - self.starts[line - 1] + 1 }
    }

    /// First and last line of a span.
    pub fn lines(&self, span: Span) -> (usize, usize) {
        let last = span.end.saturating_sub(1).max(span.start);
        (self.position(span.start).line, self.position(last).line)
    }
}

/// Where the bytes of an instruction's text stand in the source: continued lines leave gaps.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Places {
    /// Offset in the text, offset in the source; ascending.
    segments: Vec<(usize, usize)>,
}

impl Places {
    /// The place in the source of an offset in the text.
    pub fn source(&self, at: usize) -> usize {
        let index = self.segments.partition_point(|(start, _)| *start <= at);
        let (start, source) = self.segments.get(index.saturating_sub(1)).copied().unwrap_or_default();
        source + (at - start)
    }

    /// The place in the source of a range of the text.
    pub fn span(&self, range: Range<usize>) -> Span {
        if range.is_empty() {
            let at = self.source(range.start);
            return Span::new(at, at);
        }
        Span::new(self.source(range.start), self.source(range.end - 1) + 1)
    }
}

/// A logical line: pieces of physical lines put together, each of which remembers where it was.
#[derive(Debug, Clone, Default)]
pub(crate) struct Text {
    pub(crate) text: String,
    pub(crate) places: Places,
}

impl Text {
    pub(crate) fn push(&mut self, piece: &str, source: usize) {
        self.places.segments.push((self.text.len(), source));
        self.text.push_str(piece);
    }

    /// Where a range of the text stands in the source.
    pub(crate) fn span(&self, range: Range<usize>) -> Span {
        self.places.span(range)
    }

    pub(crate) fn word(&self, range: Range<usize>) -> Word {
        Word { text: self.text[range.clone()].to_owned(), span: self.span(range) }
    }

    /// A part of the text.
    pub(crate) fn slice(&self, range: Range<usize>) -> Self {
        let mut part = Self::default();
        for (index, (start, source)) in self.places.segments.iter().enumerate() {
            let end = self.places.segments.get(index + 1).map_or(self.text.len(), |next| next.0);
            let (from, to) = ((*start).max(range.start), end.min(range.end));
            if from < to {
                part.push(&self.text[from..to], source + (from - start));
            }
        }
        if part.places.segments.is_empty() {
            part.push("", self.places.source(range.start));
        }
        part
    }
}
