//! What to change, the change that helps most first.
//!
//! ```text
//!  base_image ──► which base ──► candidates ─┐
//!  findings ──► packages to upgrade ─────────┼─► plan: edits of the Dockerfile and of lock files, ranked
//!  files of the project ─────────────────────┘
//! ```

mod base;
mod candidates;
mod diff;
mod manifest;
mod plan;
#[cfg(test)]
mod tests;
mod upgrade;

pub use base::{BaseImage, KnownImage, ProvenanceBase, Rung, base_image};
pub(crate) use candidates::product_of;
pub use candidates::{Candidate, CandidateKind, Life, candidates, life};
pub use diff::unified;
pub use plan::{Action, ActionKind, DockerfileView, FileEdit, Plan, PlanInput, plan};
pub use upgrade::{Upgrade, upgrades};
