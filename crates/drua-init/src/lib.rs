//! From the files of a project to its Dockerfile, compose file and what belongs to them.
//!
//! ```text
//! Tree ─survey─► places with candidates, settings and their evidence ─user─► Plan ─render─► files ─merge─► what is written
//! ```
//!
//! Detection rests on evidence: every setting carries the file and the words from which it follows, and a dialogue shows
//! them. The templates are files, in `templates/`, of which a user may replace any. The crate does no I/O: it reads through
//! a [`Tree`] and hands texts back. It asks no network; what is current stands in `data/releases.toml`.

mod context;
mod detect;
mod manifest;
mod merge;
mod releases;
mod render;
mod service;
mod setting;
mod templates;
mod tree;

pub use detect::{MAX_DEPTH, Place, Survey, survey, survey_as};
pub use merge::{Hunk, apply, hunks, merge_compose, merge_lines};
pub use render::{GeneratedFile, Plan, RenderError, Rendered, render};
pub use service::{About, Database, Service, Stack};
pub use setting::{Evidence, Key, Kind, Setting, SettingError, Settings};
pub use templates::{TEMPLATE_ENDING, Templates};
pub use tree::{MAX_FILE_BYTES, Memory, Tree, Unreadable};
