//! The Compose model: text in, a normalised [`Project`] out.
//!
//! ```text
//! text ─yaml→ spanned nodes ─interpolate→ nodes ─decode→ model ─normalize→ full names, long forms ─check→ Project
//! ```
//!
//! Everything before `decode` works on nodes that know their file, line and column, so that later stages of the load order
//! (`extends`, `include`, override files) are merges of nodes that slip in before `decode`, and their errors still point at
//! the line that is wrong. Decoding is validation: there is one reader per attribute, and what no reader asked for is an
//! error with a suggestion. Attributes that the specification has and drua does not implement yet are named in
//! [`decode`](crate::decode) and reported, never ignored.
//!
//! [`Project`] serialises to the canonical form of `docker compose config --format json`; a service's form is, field order
//! included, the one over which Docker Compose computes `com.docker.compose.config-hash`.
//!
//! The crate opens no file: it reads through a [`Loader`]. It knows neither the engine nor containers.
//!
//! Specification: <https://github.com/compose-spec/compose-spec>.

mod check;
mod decode;
mod diagnostic;
mod dotenv;
mod environment;
mod interpolate;
mod load;
mod loader;
mod model;
mod names;
mod normalize;
mod suggest;
mod yaml;

pub use decode::clean as clean_path;
pub use diagnostic::{Diagnostic, Location, Severity};
pub use load::{DEFAULT_FILES, LoadError, Loaded, Request, load};
pub use loader::{Disk, Loader};
pub use model::*;
pub use names::{InvalidProjectName, InvalidServiceName, ProjectName, ServiceName};

#[cfg(test)]
mod tests;
