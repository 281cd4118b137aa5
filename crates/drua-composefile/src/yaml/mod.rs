//! YAML 1.2 text to spanned nodes, with limits.
//!
//! Anchors, aliases and merge keys (`<<`) are resolved here; nodes that came through an alias keep the place where they
//! were written. Every mapping key is a string and unique. Knows nothing of Compose.

mod node;
mod parse;
mod scalar;

pub(crate) use node::{Entry, Kind, Node, Scalar, Tag, Value};
pub(crate) use parse::parse;
pub(crate) use scalar::resolve;
