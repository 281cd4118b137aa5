//! A client of container registries: OCI distribution 1.1 and Docker's registry v2.
//!
//! ```text
//!  Registry ── settings (mirrors, insecure hosts, CAs, proxies) and one pool of connections
//!     │ repository(image, credentials, access)        asks `/v2/`, finds the scheme and how to authenticate
//!     ▼
//!  Repository ── manifest / blob / upload / mount / tags / referrers, each with retries, redirects, tokens
//! ```
//!
//! Everything from a registry is untrusted: documents are bounded and verified against their digests, streams are bounded
//! by their descriptors, credentials go to the registry and to the token server that it names, and nowhere else.
//!
//! Stores nothing, knows no images beyond their manifests and prints nothing. Futures may be dropped at any point; that
//! closes their connection. Needs a tokio runtime with I/O and time.

mod auth;
mod blob;
mod challenge;
mod credentials;
mod download;
mod error;
mod feed;
mod fetch;
mod listing;
mod login;
mod manifest;
mod origin;
mod proxy;
mod referrers;
mod repository;
mod request;
mod settings;
mod tls;
mod transport;
mod upload;

#[cfg(test)]
mod tests;

pub use blob::BlobStream;
pub use credentials::{Credentials, InvalidCredentials, Secret};
pub use download::{Download, Pace};
pub use error::RegistryError;
pub use feed::{Fetched, Fetcher};
pub use fetch::FileStream;
pub use listing::{SearchResult, SearchResults};
pub use login::Login;
pub use manifest::{Descriptor, Document, Manifest, PlatformFields, media};
pub use origin::InvalidServer;
pub use proxy::Proxies;
pub use repository::{Access, Registry, Repository};
pub use settings::{Settings, Timeouts};
pub use transport::ByteStream;
pub use upload::{Sent, Upload, UploadSource};
