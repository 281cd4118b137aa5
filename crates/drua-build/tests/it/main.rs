//! Builds against a store of their own; commands are carried out by a stand-in that writes files (`put PATH TEXT`). The
//! real sandbox has its tests in drua-e2e. Needs root.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod cache;
mod copying;
mod failures;
mod fixture;
mod images;
