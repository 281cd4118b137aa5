use std::io::{self, IsTerminal as _, Write as _};

use drua_types::env::{CLICOLOR_FORCE, NO_COLOR};

use super::render_failure;
use crate::failure::Failure;

/// Whether text is coloured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Paint {
    Plain,
    Ansi,
}

impl Paint {
    /// `NO_COLOR` wins, then `CLICOLOR_FORCE`, then whether it is a terminal that can.
    fn choose(is_terminal: bool) -> Self {
        let set = |name: &str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
        let forced = std::env::var(CLICOLOR_FORCE).is_ok_and(|value| !value.is_empty() && value != "0");
        let dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
        if set(NO_COLOR) || (!forced && (!is_terminal || dumb)) { Self::Plain } else { Self::Ansi }
    }

    /// For text on stdout.
    pub(crate) fn for_stdout() -> Self {
        Self::choose(io::stdout().is_terminal())
    }

    /// One of a few colours, the same for the same number.
    pub(crate) fn of_many(self, number: usize, text: &str) -> String {
        const CODES: [&str; 6] = ["36", "33", "32", "35", "34", "96"];
        self.wrap(CODES[number % CODES.len()], text)
    }

    pub(crate) fn green(self, text: &str) -> String {
        self.wrap("32", text)
    }

    pub(crate) fn red(self, text: &str) -> String {
        self.wrap("1;31", text)
    }

    pub(crate) fn yellow(self, text: &str) -> String {
        self.wrap("33", text)
    }

    pub(crate) fn cyan(self, text: &str) -> String {
        self.wrap("36", text)
    }

    fn wrap(self, code: &str, text: &str) -> String {
        match self {
            Self::Plain => text.to_owned(),
            Self::Ansi => format!("\x1b[{code}m{text}\x1b[0m"),
        }
    }
}

/// Writes to stdout and stderr.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Printer {
    /// For text on stderr.
    paint: Paint,
    /// Whether somebody watches stderr.
    watched: bool,
}

impl Printer {
    pub(crate) fn new() -> Self {
        let watched = io::stderr().is_terminal();
        Self { paint: Paint::choose(watched), watched }
    }

    /// How text on stderr is coloured.
    pub(crate) fn paint(&self) -> Paint {
        self.paint
    }

    /// Whether progress is worth showing.
    pub(crate) fn is_watched(&self) -> bool {
        self.watched
    }

    /// A line of data.
    pub(crate) fn line(&self, text: &str) -> io::Result<()> {
        let mut stdout = io::stdout().lock();
        stdout.write_all(text.as_bytes())?;
        stdout.write_all(b"\n")?;
        stdout.flush()
    }

    /// Data as it is.
    pub(crate) fn data(&self, bytes: &[u8]) -> io::Result<()> {
        let mut stdout = io::stdout().lock();
        stdout.write_all(bytes)?;
        stdout.flush()
    }

    /// A container's standard error, as it is.
    pub(crate) fn error_data(&self, bytes: &[u8]) -> io::Result<()> {
        io::stderr().lock().write_all(bytes)
    }

    /// A remark. Failures to write remarks are ignored: there is no other place to report them.
    pub(crate) fn note(&self, text: &str) {
        let _ = writeln!(io::stderr().lock(), "{text}");
    }

    /// Something that may not be what the user wants.
    pub(crate) fn warning(&self, text: &str) {
        self.note(&format!("{} {text}", self.paint.yellow("WARNING:")));
    }

    /// A failure, in the one shape that all failures have.
    pub(crate) fn failure(&self, failure: &Failure) {
        self.note(render_failure(failure, self.paint).trim_end());
    }

    /// Asks for a line of text.
    pub(crate) fn ask(&self, question: &str) -> io::Result<String> {
        let mut stderr = io::stderr().lock();
        stderr.write_all(question.as_bytes())?;
        stderr.flush()?;
        let mut answer = String::new();
        io::stdin().read_line(&mut answer)?;
        Ok(answer.trim_end_matches(['\n', '\r']).to_owned())
    }

    /// Asks a yes-or-no question; anything but `y` or `yes` is no.
    pub(crate) fn confirm(&self, question: &str) -> io::Result<bool> {
        self.data(format!("{question} [y/N] ").as_bytes())?;
        let mut answer = String::new();
        io::stdin().read_line(&mut answer)?;
        Ok(matches!(answer.trim().to_ascii_lowercase().as_str(), "y" | "yes"))
    }
}
