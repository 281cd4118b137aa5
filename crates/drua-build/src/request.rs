//! What is to be built.

use std::collections::BTreeMap;
use std::path::PathBuf;

use drua_types::Platform;

use crate::ports::{Network, RunOptions};

/// A build.
#[derive(Debug, Clone, Default)]
pub struct BuildRequest {
    /// The files that COPY and ADD see; `None` is an empty context.
    pub context: Option<ContextDir>,
    /// The Dockerfile's path in the context, default `Dockerfile`.
    pub dockerfile: Option<String>,
    /// The Dockerfile's text, when it is not in the context.
    pub dockerfile_text: Option<String>,
    /// Further contexts by name; they also replace images and stages of that name.
    pub contexts: BTreeMap<String, NamedContext>,
    /// `--build-arg`
    pub args: BTreeMap<String, String>,
    /// `--label`
    pub labels: BTreeMap<String, String>,
    /// The stage to build, by name or number; default the last.
    pub target: Option<String>,
    /// What to build for; default the host.
    pub platforms: Vec<Platform>,
    /// Names of the image.
    pub names: Vec<String>,
    /// Whether nothing is taken from the cache.
    pub no_cache: bool,
    /// Stages of which nothing is taken from the cache.
    pub no_cache_filter: Vec<String>,
    /// Whether images are pulled though they are here.
    pub pull: bool,
    /// The network of RUN.
    pub network: Network,
    /// Whether `RUN --network=host` and `RUN --security=insecure` are allowed.
    pub entitlements: Entitlements,
    /// Options of commands.
    pub run: RunOptions,
    /// Secrets by id.
    pub secrets: BTreeMap<String, Vec<u8>>,
    /// Sockets of SSH agents by id.
    pub ssh: BTreeMap<String, PathBuf>,
    /// What becomes of the result; default the store.
    pub output: Output,
    /// Seconds since 1970 that every time in the result is set to, from SOURCE_DATE_EPOCH.
    pub source_date_epoch: Option<i64>,
    /// Whether a provenance attestation is attached.
    pub provenance: Provenance,
}

/// Dangerous things that a build may do.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Entitlements {
    /// `network.host`
    pub network_host: bool,
    /// `security.insecure`
    pub security_insecure: bool,
}

/// A directory with files to copy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContextDir {
    /// The directory.
    pub path: PathBuf,
    /// Whether the builder removes it in the end.
    pub owned: bool,
}

/// What a name of `--build-context` stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NamedContext {
    /// A directory.
    Dir(PathBuf),
    /// An image.
    Image(String),
    /// A stage.
    Target(String),
}

/// What becomes of the result.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Output {
    /// An image in the store.
    #[default]
    Store,
    /// Nothing but cache.
    CacheOnly,
    /// The files, as a tar.
    Tar(PathBuf),
}

/// `--provenance`
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Provenance {
    /// None.
    #[default]
    No,
    /// Times, materials.
    Min,
    /// Also arguments and the Dockerfile.
    Max,
}
