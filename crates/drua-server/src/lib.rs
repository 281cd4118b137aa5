//! The Docker Engine API over HTTP.
//!
//! ```text
//! daemon   the daemon role: configuration, sockets, signals
//! file     daemon.json
//! tls      TLS on TCP hosts
//! router   method and path → handler
//! http     requests and responses in Docker's manner: query, JSON, errors, streams, hijacking
//! routes/  one file a group of routes: parse, call the engine, answer
//! wire/    engine's values ↔ Docker's JSON; pure
//! ```
//!
//! The server keeps no state of its own. Responses that stream send their headers at once: `docker run` waits for those
//! of `wait` before it starts the container.

mod daemon;
mod file;
mod filters;
mod http;
mod router;
mod routes;
mod tls;
mod wire;

pub use daemon::{DaemonConfig, DaemonError, Reload, run};
pub use drua_engine::{EngineConfig, Proxies, RegistrySettings, Settings};
pub use file::{DEFAULT_CONFIG_FILE, FileConfig, FileError};
pub use tls::TlsFiles;

/// A pool of subnets: base network, and the prefix length of what is cut from it.
pub type AddressPool = (ipnet::IpNet, u8);
