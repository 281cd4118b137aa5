//! Dockerfiles: text in, instructions with the place of every token out; and the expansion of variables, mount options,
//! `.dockerignore`.
//!
//! The language is that of Dockerfile frontend 1.26. The crate opens no files, runs nothing and knows no images: what an
//! instruction does is `drua-build`'s. It is made for linters too: nothing of the source is lost, [`Dockerfile::parse`]
//! stops at the first error, [`Dockerfile::read`] goes on and lists them all.
//!
//! ```text
//! source ─lines─► logical lines + heredocs ─instruction─► Instruction { keyword, flags, kind } ─stages─► Stage
//! ```

mod dump;
mod error;
mod excerpt;
mod expand;
mod flags;
mod glob;
mod heredoc;
mod ignore;
mod instruction;
mod kinds;
mod lines;
mod mount;
mod span;
mod stages;
mod suggest;
mod words;

pub use error::{ParseError, ParseProblem};
pub use excerpt::excerpt;
pub use expand::Problem as ExpandProblem;
pub use expand::{ExpandError, Expanded, Expander, Lookup};
pub use flags::Flag;
pub use glob::{Glob, GlobError};
pub use heredoc::Heredoc;
pub use ignore::{Ignore, IgnoreError, read_ignore_file};
pub use instruction::{
    ArgDefinition, Check, CommandLine, From, Healthcheck, Instruction, KEYWORDS, Kind, Pair, Run, RunNetwork,
    RunSecurity, Source, Transfer,
};
pub use lines::{Comment, Directive, Warning};
pub use mount::{CacheSharing, Mount, MountError, MountKind};
pub use span::{LineIndex, Places, Position, Span, Word};
pub use stages::Stage;
pub use suggest::nearest;

/// Bytes of a Dockerfile that are read; the longest ones that people generate have some hundred thousand.
pub const MAX_SOURCE_BYTES: usize = 4 << 20;

/// A parsed Dockerfile.
#[derive(Debug, Clone)]
pub struct Dockerfile {
    /// The source, as it came.
    pub source: String,
    /// Parser directives: `# syntax=`, `# escape=`, `# check=`.
    pub directives: Vec<Directive>,
    /// The escape character.
    pub escape: char,
    /// Comments, directives excluded.
    pub comments: Vec<Comment>,
    /// The instructions in order.
    pub instructions: Vec<Instruction>,
    /// What is allowed, but not for ever.
    pub warnings: Vec<Warning>,
}

impl Dockerfile {
    /// Parses a Dockerfile.
    ///
    /// # Errors
    /// The first thing that is wrong.
    pub fn parse(source: &str) -> Result<Self, ParseError> {
        let (file, errors) = Self::read(source);
        match errors.into_iter().next() {
            Some(error) => Err(error),
            None => Ok(file),
        }
    }

    /// Parses what can be parsed, and lists everything that is wrong, in order of lines. Instructions that cannot be
    /// understood are left out.
    pub fn read(source: &str) -> (Self, Vec<ParseError>) {
        lines::read(source)
    }

    /// The value of a directive, `syntax` for example.
    pub fn directive(&self, name: &str) -> Option<&str> {
        self.directives.iter().find(|directive| directive.name == name).map(|directive| directive.value.text.as_str())
    }

    /// An expander with the file's escape character.
    pub fn expander(&self) -> Expander {
        Expander::new(self.escape)
    }

    /// The parsed file as text, one instruction a line with its parts in brackets: for tests and for people who wonder.
    pub fn dump(&self) -> String {
        dump::dump(self)
    }
}
