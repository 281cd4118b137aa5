//! The Docker Engine API as values and as a client: wire types, the stream framing, and [`client::Client`].
//!
//! The crate knows how bytes look on the wire and nothing of what they mean: it neither starts daemons nor prints, and
//! the server half of drua uses its types and its codec only. API version 1.50, as moby 28 serves it.

pub mod client;
mod error;
mod host;
pub mod models;
mod query;
pub mod stream;

pub use client::Client;
pub use error::{ApiError, ClientError};
pub use host::{Host, InvalidHost, SshHost, TlsFiles};
pub use query::{Filters, Query};

/// The API version in request paths and in the `Api-Version` header.
pub const API_VERSION: &str = "1.50";
/// The oldest API version that drua serves.
pub const MIN_API_VERSION: &str = "1.24";

#[cfg(test)]
mod tests;
