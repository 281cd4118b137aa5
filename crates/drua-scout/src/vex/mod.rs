//! Statements that a vulnerability does not matter here: VEX documents (OpenVEX 0.2, CSAF 2.0), and ignore files.
//!
//! Statements hide findings, they do not remove them: a report can show what was hidden, by whom and why.

mod apply;
mod csaf;
mod ignore;
mod openvex;
mod product;
#[cfg(test)]
mod tests;

pub use apply::{Applied, apply};
pub use ignore::{IgnoreEntry, IgnoreError, IgnoreFile};

use serde::Serialize;
use serde_json::Value;

/// Documents longer than this are not read.
const MAX_BYTES: usize = 64 << 20;
const MAX_STATEMENTS: usize = 200_000;

/// What a statement says about a vulnerability in a product.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum VexStatus {
    /// It is not affected.
    NotAffected,
    /// It is.
    Affected,
    /// It was, and no longer is.
    Fixed,
    /// Nobody knows yet.
    UnderInvestigation,
}

/// A statement of a VEX document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Statement {
    /// The vulnerability's id and aliases.
    pub ids: Vec<String>,
    /// What is said.
    pub status: VexStatus,
    /// About what. Empty for documents of the first OpenVEX, which are about whatever they were found in.
    pub products: Vec<VexProduct>,
    /// `vulnerable_code_not_in_execute_path`, and what else the author wrote.
    pub reason: String,
    /// Who says so.
    pub author: String,
    /// When: RFC 3339. The latest statement counts.
    pub timestamp: String,
    /// The document's path.
    pub document: String,
}

/// What a statement is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VexProduct {
    /// A purl or an image's name; several spellings of the same.
    pub ids: Vec<String>,
    /// Parts of it; all of it when empty.
    pub subcomponents: Vec<String>,
}

/// A document is no VEX document.
#[derive(Debug, thiserror::Error)]
pub enum VexError {
    /// It is no JSON.
    #[error("cannot read the VEX document `{path}`")]
    Json {
        /// The document.
        path: String,
        /// Why.
        #[source]
        source: serde_json::Error,
    },
    /// It is too long, or has too many statements.
    #[error("the VEX document `{path}` is too large: {what}")]
    TooLarge {
        /// The document.
        path: String,
        /// What there is too much of.
        what: &'static str,
    },
    /// It is something else.
    #[error("`{path}` is neither an OpenVEX nor a CSAF document")]
    Unknown {
        /// The document.
        path: String,
    },
}

/// The statements of a document. In-toto envelopes around one are opened.
///
/// # Errors
/// It is no JSON, no VEX document, or too large.
pub fn parse(path: &str, text: &str) -> Result<Vec<Statement>, VexError> {
    let too_large = |what| VexError::TooLarge { path: path.to_owned(), what };
    if text.len() > MAX_BYTES {
        return Err(too_large("more than 64 MiB"));
    }
    let value: Value = serde_json::from_str(text.trim_start_matches('\u{feff}'))
        .map_err(|source| VexError::Json { path: path.to_owned(), source })?;
    let document = value.get("predicate").unwrap_or(&value);
    let statements = if openvex::is(document) {
        openvex::read(path, document)
    } else if csaf::is(document) {
        csaf::read(path, document)
    } else {
        return Err(VexError::Unknown { path: path.to_owned() });
    };
    if statements.len() > MAX_STATEMENTS {
        return Err(too_large("more than 200,000 statements"));
    }
    Ok(statements)
}

fn text(value: &Value, name: &str) -> String {
    crate::text::clean(value.get(name).and_then(Value::as_str).unwrap_or_default(), 2000)
}
