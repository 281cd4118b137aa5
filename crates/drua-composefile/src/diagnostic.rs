//! Findings about a compose file, with the place they are about.

use std::fmt;
use std::path::{Path, PathBuf};

/// The longest part of a source line that an excerpt shows, in characters.
const EXCERPT_WIDTH: usize = 160;

/// How many findings are kept, so that nonsense costs neither time nor screens of text.
const MAX_FOUND: usize = 50;

/// How bad a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Severity {
    /// The project cannot be used.
    Error,
    /// The project can be used, and does something that its author may not expect.
    Warning,
}

/// A place in a file together with the line it is on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Location {
    /// The file as it was named in the request.
    pub file: PathBuf,
    /// 1-based.
    pub line: usize,
    /// 1-based, in characters.
    pub column: usize,
    /// How many characters the finding is about; at least 1.
    pub length: usize,
    /// The whole line without its end.
    pub text: String,
}

/// One finding. `Display` gives the complete rendering: place, message, excerpt with a caret, hints.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnostic {
    /// How bad it is.
    pub severity: Severity,
    /// What is wrong, in lower case, without a final period.
    pub message: String,
    /// Where; `None` when it is about the project as a whole.
    pub location: Option<Location>,
    /// What the author can do about it.
    pub hints: Vec<String>,
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut margin = 0;
        if let Some(at) = &self.location {
            margin = at.line.to_string().len();
            write!(f, "{}:{}:{}: ", at.file.display(), at.line, at.column)?;
        }
        f.write_str(&self.message)?;
        if let Some(at) = &self.location {
            let (text, caret) = excerpt(at);
            write!(f, "\n{:margin$} |\n{} | {text}\n{:margin$} | {caret}", "", at.line, "")?;
        }
        for hint in &self.hints {
            write!(f, "\n{:margin$} = {hint}", "")?;
        }
        Ok(())
    }
}

/// The line and the carets below it. Tabs become single spaces so that the two stay aligned, long lines are cut to a
/// window around the place, and control characters never reach a terminal.
fn excerpt(at: &Location) -> (String, String) {
    let clean = |c: char| if c.is_control() { ' ' } else { c };
    let start = at.column - 1;
    let from = if start < EXCERPT_WIDTH * 3 / 4 { 0 } else { start - EXCERPT_WIDTH / 2 };
    let text: String = at.text.chars().skip(from).take(EXCERPT_WIDTH).map(clean).collect();
    let room = EXCERPT_WIDTH - (start - from);
    let caret = format!("{}{}", " ".repeat(start - from), "^".repeat(at.length.clamp(1, room)));
    (text.trim_end().to_owned(), caret)
}

/// A place in one of the [`Sources`]: what nodes carry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Span {
    pub(crate) file: u16,
    /// 1-based; 0 means nowhere.
    pub(crate) line: u32,
    /// 1-based, in characters.
    pub(crate) column: u32,
    /// In characters; clamped to the line when rendered.
    pub(crate) length: u32,
}

/// The texts that spans point into, and what has been found in them so far.
#[derive(Debug)]
pub(crate) struct Report {
    files: Vec<(PathBuf, String)>,
    found: Vec<Diagnostic>,
    /// Whether an error has been reported, kept or not.
    failed: bool,
    scratch: Diagnostic,
}

impl Default for Report {
    fn default() -> Self {
        let scratch =
            Diagnostic { severity: Severity::Warning, message: String::new(), location: None, hints: Vec::new() };
        Self { files: Vec::new(), found: Vec::new(), failed: false, scratch }
    }
}

impl Report {
    /// Registers a text and returns the number by which spans name it.
    pub(crate) fn add_file(&mut self, path: &Path, text: &str) -> u16 {
        self.files.push((path.to_owned(), text.to_owned()));
        u16::try_from(self.files.len() - 1).unwrap_or(u16::MAX)
    }

    pub(crate) fn error(&mut self, span: Span, message: impl Into<String>) -> &mut Diagnostic {
        self.push(Severity::Error, Some(span), message.into())
    }

    pub(crate) fn warning(&mut self, span: Span, message: impl Into<String>) -> &mut Diagnostic {
        self.push(Severity::Warning, Some(span), message.into())
    }

    /// An error that no place in a file is to blame for.
    pub(crate) fn error_nowhere(&mut self, message: impl Into<String>) -> &mut Diagnostic {
        self.push(Severity::Error, None, message.into())
    }

    pub(crate) fn has_errors(&self) -> bool {
        self.failed
    }

    /// Whether nothing more will be kept.
    pub(crate) fn is_full(&self) -> bool {
        self.found.len() >= MAX_FOUND
    }

    /// Everything found, in the order of the places it is about.
    pub(crate) fn into_found(mut self) -> Vec<Diagnostic> {
        let key = |found: &Diagnostic| found.location.as_ref().map(|at| (at.file.clone(), at.line, at.column));
        self.found.sort_by_key(key);
        self.found.dedup();
        self.found
    }

    fn push(&mut self, severity: Severity, span: Option<Span>, message: String) -> &mut Diagnostic {
        let first_error = severity == Severity::Error && !self.failed;
        self.failed |= severity == Severity::Error;
        // The first error is always kept, so that no failure is without one.
        if self.is_full() && !first_error {
            // Somebody adds hints to what is returned; it is overwritten by the next one.
            self.scratch = Diagnostic { severity, message, location: None, hints: Vec::new() };
            return &mut self.scratch;
        }
        let location = span.and_then(|span| self.locate(span));
        self.found.push(Diagnostic { severity, message, location, hints: Vec::new() });
        self.found.last_mut().expect("one was pushed just now")
    }

    fn locate(&self, span: Span) -> Option<Location> {
        let (file, text) = self.files.get(usize::from(span.file))?;
        let line = usize::try_from(span.line).ok().filter(|line| *line > 0)?;
        let text = text.lines().nth(line - 1).unwrap_or_default().to_owned();
        let width = text.chars().count();
        let column = (span.column as usize).clamp(1, width + 1);
        let length = (span.length as usize).clamp(1, (width + 1 - column).max(1));
        Some(Location { file: file.clone(), line, column, length, text })
    }
}

impl Diagnostic {
    pub(crate) fn hint(&mut self, hint: impl Into<String>) -> &mut Self {
        self.hints.push(hint.into());
        self
    }
}
