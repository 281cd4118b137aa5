use drua_dockerfile::{Places, Span};

use super::ast::List;
use super::parse;

/// Which language it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Dialect {
    /// What every `/bin/sh` understands.
    Posix,
    /// bash, ksh, zsh.
    Bash,
    /// Not a shell that we read.
    Other,
}

/// A mistake in a script that the parser has stepped over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Slip {
    /// The rule that it breaks.
    pub(crate) code: &'static str,
    pub(crate) span: Span,
    pub(crate) message: String,
}

/// A script, parsed, with the way back to the Dockerfile.
#[derive(Debug, Clone)]
pub(crate) struct Script {
    pub(crate) text: String,
    places: Where,
    pub(crate) dialect: Dialect,
    pub(crate) list: List,
    pub(crate) slips: Vec<Slip>,
    /// `# shellcheck disable=` inside the script.
    pub(crate) disabled: Vec<String>,
}

#[derive(Debug, Clone)]
enum Where {
    /// The script is a slice of the source that begins here.
    Source(usize),
    /// The script is the end of an instruction's text, from this offset on.
    Instruction(Places, usize),
}

impl Script {
    /// The command of an instruction, which begins at `start` of its text.
    pub(crate) fn of_instruction(text: &str, start: usize, places: Places, dialect: Dialect) -> Option<Self> {
        Some(Self::new(text, Where::Instruction(places, start), dialect))
    }

    /// A heredoc. `None` when its first line names an interpreter that is no shell.
    pub(crate) fn of_source(text: &str, start: usize, dialect: Dialect, source: &str) -> Option<Self> {
        debug_assert!(source.get(start..).is_some());
        let dialect = match text.lines().next().and_then(|line| line.strip_prefix("#!")) {
            None => dialect,
            Some(line) => {
                let words: Vec<&str> = line.split_whitespace().collect();
                let program = words.iter().copied().find(|word| !word.ends_with("/env") && !word.starts_with('-'))?;
                match program.rsplit('/').next()? {
                    "bash" | "ksh" | "zsh" => Dialect::Bash,
                    "sh" | "ash" | "dash" => Dialect::Posix,
                    _ => return None,
                }
            }
        };
        Some(Self::new(text, Where::Source(start), dialect))
    }

    fn new(text: &str, places: Where, dialect: Dialect) -> Self {
        let (list, slips) = parse::parse(text, dialect == Dialect::Bash);
        let directives = text.lines().filter_map(|line| line.trim_start().strip_prefix("# shellcheck disable="));
        let disabled =
            directives.flat_map(|codes| codes.split([',', ' '])).map(|code| code.trim().to_owned()).collect();
        Self { text: text.to_owned(), places, dialect, list, slips, disabled }
    }

    /// Where a range of the script stands in the Dockerfile.
    pub(crate) fn span(&self, span: Span) -> Span {
        match &self.places {
            Where::Source(start) => Span::new(start + span.start, start + span.end),
            Where::Instruction(places, start) => places.span(start + span.start..start + span.end),
        }
    }

    /// The same for one place: that after the byte before it, which matters at the end of a line.
    pub(crate) fn after(&self, at: usize) -> usize {
        match at {
            0 => self.span(Span::new(0, 0)).start,
            at => self.span(Span::new(at - 1, at)).end,
        }
    }

    /// The text of a range, as it stands in the script.
    pub(crate) fn slice(&self, span: Span) -> &str {
        self.text.get(span.range()).unwrap_or_default()
    }
}
