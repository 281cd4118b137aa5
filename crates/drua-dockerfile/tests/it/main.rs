//! The language against a corpus: `fixtures/<case>/Dockerfile` and what it parses to, `negative/<case>` and its error,
//! and tables of words and ignore patterns. `UPDATE=1` rewrites what is expected.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod corpus;
mod expansion;
mod ignore;
mod limits;
mod mounts;
mod spans;
