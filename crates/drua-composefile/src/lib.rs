//! The Compose model: text in, a normalised [`Project`] out.
//!
//! ```text
//! texts ─yaml→ spanned nodes ─interpolate, include, extends, merge→ one tree ─decode→ model ─normalize→ full names,
//! long forms ─check→ Project ─render→ canonical YAML or JSON
//! ```
//!
//! Everything before `decode` works on nodes that know their file, line and column, so that errors point at the line that
//! is wrong, whichever file it is in. Decoding is validation: there is one reader per attribute, and what no reader asked
//! for is an error with a suggestion.
//!
//! [`Project::to_yaml`] and [`Project::to_json`] print what `docker compose config` prints. A service serialises, field
//! order included, to that over which Docker Compose computes `com.docker.compose.config-hash`.
//!
//! The crate opens no file: it reads through a [`Loader`]. It knows neither the engine nor containers.
//!
//! Specification: <https://github.com/compose-spec/compose-spec>.

mod canonical;
mod check;
mod decode;
mod diagnostic;
mod dotenv;
mod environment;
mod interpolate;
mod load;
mod loader;
mod merge;
mod model;
mod names;
mod normalize;
mod paths;
mod render;
mod sources;
mod suggest;
mod tree;
mod yaml;

pub use decode::{clean as clean_path, parse_duration, parse_mount, parse_ports};
pub use diagnostic::{Diagnostic, Location, Severity};
pub use dotenv::parse_env_file;
pub use interpolate::{Variable, variables};
pub use load::{DEFAULT_FILES, LoadError, Loaded, OVERRIDE_FILES, Request, Skip, load, load_tree};
pub use loader::{Disk, Loader};
pub use model::*;
pub use names::{InvalidProjectName, InvalidServiceName, ProjectName, ServiceName};
pub use paths::is_remote;
pub use render::{compact_json, json, to_yaml};
pub use tree::Tree;

#[cfg(test)]
mod tests;
