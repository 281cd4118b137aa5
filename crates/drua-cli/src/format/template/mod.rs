//! The part of Go's `text/template` that `--format` is used with.
//!
//! Actions: fields, variables, pipelines, parentheses, `if`/`else if`/`else`, `range`, `with`, comments, `{{-` and `-}}`.
//! Functions: Docker's (`json`, `upper`, `lower`, `title`, `join`, `split`, `pad`, `truncate`) and Go's
//! (`len`, `index`, `slice`, `print`, `println`, `printf`, `eq` … `ge`, `and`, `or`, `not`). Left out: `define`, `template`,
//! `block`, `break`, `continue`, methods other than those a listing offers.

mod eval;
mod functions;
mod lexer;
mod parser;

use super::Json;

/// The template cannot be read, or does not fit the data.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TemplateError(String);

impl TemplateError {
    fn new(message: impl Into<String>) -> Self {
        Self(message.into())
    }
}

impl std::fmt::Display for TemplateError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for TemplateError {}

/// What a template is applied to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    /// Data; a field that is not there is an error.
    Values,
    /// A line of a listing; Docker escapes `<`, `>` and `&` where it shows a whole line as JSON.
    Row,
    /// Data whose nested objects are maps: a key that is not there gives `<no value>`, as in Go.
    Maps,
    /// A table's headings: `json` leaves them as they are.
    Headings,
}

/// Methods of the top-level value: name and arguments to result.
pub(crate) type Methods<'a> = dyn Fn(&str, &[Json]) -> Option<Json> + 'a;

/// A template that has been read.
#[derive(Debug, Clone)]
pub(crate) struct Template(Vec<parser::Node>);

impl Template {
    /// Reads a template; `\t` and `\n` written with a backslash count as tab and newline, for the shell's sake.
    pub(crate) fn parse(text: &str) -> Result<Self, TemplateError> {
        let text = text.replace("\\t", "\t").replace("\\n", "\n");
        parser::parse(&text).map(Self)
    }

    /// Applies the template to `data`.
    pub(crate) fn render(&self, data: &Json, mode: Mode, methods: &Methods<'_>) -> Result<String, TemplateError> {
        eval::render(&self.0, data, mode, methods)
    }
}
