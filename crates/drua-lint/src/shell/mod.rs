//! Shell scripts: text in, commands with the place of every word out.
//!
//! A parser of our own for POSIX shell and what is common of bash, made for judging and not for running: it never fails, goes
//! on after mistakes and lists them as [`Slip`]s, has a limit of depth, and knows where in the Dockerfile each byte came
//! from, over continued lines and comments. Crates that were tried stop at the first mistake, give no places for parts of
//! words, or recurse without a limit.
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

pub(crate) use ast::{
    Assignment, Command, Compound, Entry, List, Operator, Part, PartKind, Pipeline, Redirect, Simple, Word,
};
pub(crate) use script::{Dialect, Script, Slip};
