//! Which packages are affected by what, and why.
//!
//! ```text
//!  Sbom ─┬─ OS packages ── source or binary name, distribution's own advisories ─┐
//!        └─ others ─────── ecosystem's advisories, unless an OS package owns them ┴─► verdicts ─► Finding
//!                                                                                     (one a vulnerability and package)
//! ```
//!
//! A distribution's word about its own package is final: its fixes are backported, so that upstream's ranges would be wrong.
//! What could not be judged is a note of kind [`NoteKind::Incomplete`](crate::NoteKind), never silence.

mod engine;
mod evidence;
mod finding;
pub mod ranges;
mod rules;
#[cfg(test)]
mod tests;
mod worst;

pub use engine::{MatchOptions, Matches, find};
pub use finding::{FixState, Finding, MatchEvidence, Suppression, SuppressionKind};
