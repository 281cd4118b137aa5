//! What was found, and how it is mended.

use drua_dockerfile::{LineIndex, Position, Span};

use crate::rules::Rule;

/// How bad a finding is; the first is the worst.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// It does not work, or gives something away.
    Error,
    /// It works today, and will hurt.
    Warning,
    /// It could be better.
    Info,
    /// It reads badly.
    Style,
}

impl Severity {
    /// All of them, the worst first.
    pub const ALL: [Self; 4] = [Self::Error, Self::Warning, Self::Info, Self::Style];

    /// Its name, as configuration and output write it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
            Self::Info => "info",
            Self::Style => "style",
        }
    }

    /// The severity of a name.
    pub fn of(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|severity| severity.name() == name)
    }
}

/// Whether a fix can be applied unseen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Safety {
    /// The image works as before.
    Safe,
    /// What the image does may change: somebody should look.
    Unsafe,
}

/// A replacement of bytes; what lies outside stays byte for byte.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Edit {
    /// What is replaced; empty where something is inserted.
    pub span: Span,
    /// What stands there instead.
    pub text: String,
}

/// How one finding is mended. All edits go together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fix {
    /// What it does, as an order: `add --no-install-recommends`.
    pub title: String,
    /// Whether it can be applied unseen.
    pub safety: Safety,
    /// The edits, in the file of the finding, not overlapping.
    pub edits: Vec<Edit>,
}

/// A finding.
#[derive(Debug, Clone, PartialEq)]
pub struct Diagnostic {
    /// The rule that it breaks.
    pub rule: &'static Rule,
    /// How bad it is, by the configuration.
    pub severity: Severity,
    /// The file, as the input calls it.
    pub file: String,
    /// Where, in bytes.
    pub span: Span,
    /// Line and column of the first byte.
    pub start: Position,
    /// Line and column after the last byte.
    pub end: Position,
    /// What is wrong.
    pub message: String,
    /// What to do about it.
    pub help: Option<String>,
    /// How it is mended.
    pub fix: Option<Fix>,
    /// Bytes of the image that mending saves, about.
    pub saves: Option<u64>,
}

impl Diagnostic {
    /// Adds what to do about it.
    pub(crate) fn help(&mut self, help: impl Into<String>) -> &mut Self {
        self.help = Some(help.into());
        self
    }

    /// Adds how it is mended.
    pub(crate) fn fix(&mut self, safety: Safety, title: impl Into<String>, edits: Vec<Edit>) -> &mut Self {
        self.fix = Some(Fix { title: title.into(), safety, edits });
        self
    }

    /// Adds what mending saves.
    pub(crate) fn saving(&mut self, bytes: Option<u64>) -> &mut Self {
        self.saves = bytes;
        self
    }

    /// What stays the same when lines move: file, rule, message, and the text it is about. For baselines.
    pub fn fingerprint(&self, source: &str) -> String {
        let about = source.get(self.span.range()).unwrap_or_default();
        let about: String = about.split_whitespace().collect::<Vec<_>>().join(" ");
        // FNV-1a, 64 bits: collisions are harmless here, and the value must be the same on every machine and for ever.
        let parts = [self.file.as_str(), self.rule.code, &self.message, &about];
        let bytes = parts.iter().flat_map(|part| part.bytes().chain(std::iter::once(0)));
        let hash = bytes
            .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3));
        format!("{hash:016x}")
    }
}

/// What an instruction adds to the image, by the best knowledge there is without building.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Estimate {
    /// The file, as the input calls it.
    pub file: String,
    /// The instruction's line.
    pub line: usize,
    /// The instruction, cut short.
    pub what: String,
    /// Bytes, uncompressed.
    pub bytes: u64,
    /// Where the figure comes from.
    pub from: &'static str,
}

/// Everything found.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Report {
    /// The findings, by file and place.
    pub diagnostics: Vec<Diagnostic>,
    /// What instructions add to images, for those where that is known.
    pub estimates: Vec<Estimate>,
    /// How many findings inline comments have silenced.
    pub ignored: usize,
}

impl Report {
    /// The worst severity found.
    pub fn worst(&self) -> Option<Severity> {
        self.diagnostics.iter().map(|found| found.severity).min()
    }

    /// Whether something is at least as bad.
    pub fn reaches(&self, severity: Severity) -> bool {
        self.worst().is_some_and(|worst| worst <= severity)
    }
}

/// Where checks put what they find about one file.
#[derive(Debug)]
pub(crate) struct Sink<'s> {
    pub(crate) file: &'s str,
    pub(crate) index: &'s LineIndex,
    pub(crate) length: usize,
    pub(crate) found: Vec<Diagnostic>,
}

impl<'s> Sink<'s> {
    pub(crate) fn new(file: &'s str, index: &'s LineIndex, length: usize) -> Self {
        Self { file, index, length, found: Vec::new() }
    }

    /// Adds a finding against the rule with this code.
    pub(crate) fn add(&mut self, code: &'static str, span: Span, message: impl Into<String>) -> &mut Diagnostic {
        let rule = crate::rules::known(code);
        let span = Span::new(span.start.min(self.length), span.end.min(self.length));
        let found = Diagnostic {
            rule,
            severity: rule.severity,
            file: self.file.to_owned(),
            span,
            start: self.index.position(span.start),
            end: self.index.position(span.end),
            message: message.into(),
            help: None,
            fix: None,
            saves: None,
        };
        self.found.push(found);
        let last = self.found.len() - 1;
        &mut self.found[last]
    }
}

/// An edit that puts a text in front of a place.
pub(crate) fn insert(at: usize, text: impl Into<String>) -> Edit {
    Edit { span: Span::new(at, at), text: text.into() }
}

/// An edit that replaces a span.
pub(crate) fn replace(span: Span, text: impl Into<String>) -> Edit {
    Edit { span, text: text.into() }
}
