//! Shell scripts: text in, commands with the place of every word out.
//!
//! A parser of our own for POSIX shell and what is common of bash, made for judging and not for running: it never fails, goes
//! on after mistakes and lists them as [`Slip`]s, has a limit of depth, and knows where in the Dockerfile each byte came
//! from, over continued lines and comments. Of the crates, brush-parser 0.4 stops at the first mistake, overflows the stack at
//! ten thousand parentheses and brings thirty others along; tree-sitter-bash is a megabyte of generated C.
//!
//! ```text
//! Script → List → Entry (pipeline, then && || ; & or the end) → Command → Simple { assignments, words, redirects }
//! ```

mod ast;
mod parse;
mod quote;
mod script;

#[cfg(test)]
mod tests;

pub(crate) use ast::{Command, List, Operator, Part, PartKind, Simple, Word};
pub(crate) use script::{Dialect, Script};
