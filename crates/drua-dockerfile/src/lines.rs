//! From the source to logical lines: directives, comments, continuation, heredocs.

use crate::error::{ParseError, ParseProblem};
use crate::heredoc::{self, Heredoc};
use crate::instruction::{self, Instruction};
use crate::span::{LineIndex, Span, Text, Word};
use crate::{Dockerfile, MAX_SOURCE_BYTES};

/// A parser directive, `# name=value` at the top of the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Directive {
    /// `syntax`, `escape` or `check`.
    pub name: String,
    /// What it says.
    pub value: Word,
    /// The whole line.
    pub span: Span,
}

/// A comment line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Comment {
    /// What stands after the `#`, trimmed.
    pub text: String,
    /// From the `#` to the end of the line.
    pub span: Span,
}

/// Something that is allowed, but not for ever.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Warning {
    /// An empty line inside a continued instruction.
    EmptyContinuation {
        /// The empty line.
        span: Span,
        /// The instruction's text.
        instruction: String,
    },
}

/// A physical line.
#[derive(Debug, Clone, Copy)]
struct Line<'s> {
    start: usize,
    /// Without its line end.
    text: &'s str,
    /// After its line end.
    next: usize,
}

impl Line<'_> {
    fn is_comment(&self) -> bool {
        self.text.trim_start().starts_with('#')
    }

    fn span(&self) -> Span {
        Span::new(self.start, self.start + self.text.len())
    }
}

struct Reader<'s> {
    file: Dockerfile,
    errors: Vec<ParseError>,
    index: LineIndex,
    lines: std::vec::IntoIter<Line<'s>>,
    directives_done: bool,
    doc: Vec<String>,
}

pub(crate) fn read(source: &str) -> (Dockerfile, Vec<ParseError>) {
    let file = Dockerfile {
        source: source.to_owned(),
        directives: Vec::new(),
        escape: '\\',
        comments: Vec::new(),
        instructions: Vec::new(),
        warnings: Vec::new(),
    };
    if source.len() > MAX_SOURCE_BYTES {
        let problem = ParseProblem::TooLong { bytes: source.len() };
        return (file, vec![ParseError { line: 1, last_line: 1, span: Span::new(0, 0), problem }]);
    }
    let mut reader = Reader {
        file,
        errors: Vec::new(),
        index: LineIndex::new(source),
        lines: physical_lines(source).into_iter(),
        directives_done: false,
        doc: Vec::new(),
    };
    while let Some(line) = reader.lines.next() {
        reader.line(line);
    }
    if reader.file.instructions.is_empty() && reader.errors.is_empty() {
        let span = Span::new(source.len(), source.len());
        reader.error(span, ParseProblem::Empty);
    }
    reader.order();
    (reader.file, reader.errors)
}

fn physical_lines(source: &str) -> Vec<Line<'_>> {
    let mut start = source.strip_prefix('\u{feff}').map_or(0, |rest| source.len() - rest.len());
    let mut lines = Vec::new();
    for line in source[start..].split_inclusive('\n') {
        lines.push(Line { start, text: line.trim_end_matches(['\r', '\n']), next: start + line.len() });
        start += line.len();
    }
    lines
}

impl Reader<'_> {
    fn error(&mut self, span: Span, problem: ParseProblem) {
        let (line, last_line) = self.index.lines(span);
        self.errors.push(ParseError { line, last_line, span, problem });
    }

    fn line(&mut self, line: Line<'_>) {
        if !self.directives_done && self.directive(line) {
            return;
        }
        if line.is_comment() {
            self.comment(line);
            return;
        }
        let trimmed = line.text.trim_start();
        let (piece, continues) = continuation(trimmed, self.file.escape);
        if piece.is_empty() && !continues {
            return;
        }
        let mut text = Text::default();
        text.push(piece, line.start + line.text.len() - trimmed.len());
        let mut span = Span::new(line.start + line.text.len() - trimmed.len(), line.start + line.text.len());
        if continues {
            self.continued(&mut text, &mut span);
        }
        self.instruction(text, span);
    }

    /// Reads lines until one that does not end with the escape character.
    fn continued(&mut self, text: &mut Text, span: &mut Span) {
        let mut empty = Vec::new();
        while let Some(line) = self.lines.next() {
            if line.is_comment() {
                self.comment(line);
                continue;
            }
            if line.text.trim().is_empty() {
                empty.push(line.span());
                continue;
            }
            let (piece, continues) = continuation(line.text, self.file.escape);
            text.push(piece, line.start);
            span.end = line.span().end;
            if !continues {
                break;
            }
        }
        let instruction = text.text.clone();
        let warning = |span| Warning::EmptyContinuation { span, instruction: instruction.clone() };
        self.file.warnings.extend(empty.into_iter().map(warning));
    }

    fn comment(&mut self, line: Line<'_>) {
        let text = line.text.trim_start();
        let span = Span::new(line.start + line.text.len() - text.len(), line.start + line.text.len());
        let text = text[1..].trim().to_owned();
        match text.is_empty() {
            true => self.doc.clear(),
            false => self.doc.push(text.clone()),
        }
        self.file.comments.push(Comment { text, span });
    }

    /// Takes a line as a directive; `false`, for good, when it is none.
    fn directive(&mut self, line: Line<'_>) -> bool {
        let Some((name, value)) = directive_parts(line.text) else {
            self.directives_done = true;
            return false;
        };
        let at = line.start + (value.as_ptr() as usize - line.text.as_ptr() as usize);
        if self.file.directive(&name).is_some() {
            self.error(line.span(), ParseProblem::DirectiveTwice(name));
            return true;
        }
        if name == "escape" {
            match value {
                "\\" => self.file.escape = '\\',
                "`" => self.file.escape = '`',
                other => self.error(line.span(), ParseProblem::Escape(other.to_owned())),
            }
        }
        let value = Word { text: value.to_owned(), span: Span::new(at, at + value.len()) };
        self.file.directives.push(Directive { name, value, span: line.span() });
        true
    }

    fn instruction(&mut self, text: Text, mut span: Span) {
        let opens = instruction::takes_heredocs(&text.text);
        let mut heredocs = if opens { heredoc::openings(&text.text) } else { Vec::new() };
        for heredoc in &mut heredocs {
            if !self.heredoc(heredoc) {
                self.error(span, ParseProblem::UnterminatedHeredoc(heredoc.name.clone()));
                return;
            }
            span.end = span.end.max(heredoc.span.end);
        }
        let doc = std::mem::take(&mut self.doc);
        match instruction::parse(&text, span, heredocs, doc, self.file.escape) {
            Ok(instruction) => self.file.instructions.push(instruction),
            Err((at, problem)) => {
                let (line, last_line) = self.index.lines(span);
                self.errors.push(ParseError { line, last_line, span: at, problem });
            }
        }
    }

    /// Reads a heredoc's content; its span ends before the line that ends it.
    fn heredoc(&mut self, heredoc: &mut Heredoc) -> bool {
        let mut start = None;
        for line in self.lines.by_ref() {
            let begin = *start.get_or_insert(line.start);
            let word = if heredoc.strip_tabs { line.text.trim_start_matches('\t') } else { line.text };
            if word == heredoc.name {
                heredoc.content = self.file.source[begin..line.start].to_owned();
                heredoc.span = Span::new(begin, line.start + line.text.len());
                return true;
            }
            heredoc.span.end = line.next;
        }
        false
    }

    /// Everything but ARG needs a stage to stand in.
    fn order(&mut self) {
        let before = |instruction: &&Instruction| !instruction.is_from();
        let early = self.file.instructions.iter().take_while(before).find(|instruction| !instruction.is_arg());
        if let Some((span, keyword)) = early.map(|early| (early.span, early.canonical())) {
            self.error(span, ParseProblem::NoStage(keyword));
        }
        self.errors.sort_by_key(|error| error.span.start);
    }
}

/// `# name = value`, for the three names that there are.
fn directive_parts(line: &str) -> Option<(String, &str)> {
    let (name, value) = line.trim_start().strip_prefix('#')?.trim_start().split_once('=')?;
    let name = name.trim_end().to_ascii_lowercase();
    let value = value.trim();
    (matches!(name.as_str(), "syntax" | "escape" | "check") && !value.is_empty()).then_some((name, value))
}

/// Takes a continuing escape character off a line. Blanks may stand after it; an escaped one does not continue.
fn continuation(line: &str, escape: char) -> (&str, bool) {
    let trimmed = line.trim_end_matches([' ', '\t']);
    match trimmed.strip_suffix(escape) {
        Some(piece) if !piece.ends_with(escape) => (piece, true),
        _ => (line, false),
    }
}
