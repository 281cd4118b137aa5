use std::collections::BTreeMap;

use serde::{Serialize, Serializer};

use super::file::FileReference;
use super::service::{Environment, ExtraHosts, Ulimit};
use super::value::{Bytes, Extensions, Labels, omit};

/// How a service's image is built.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Build {
    /// A folder or a URL.
    #[serde(skip_serializing_if = "omit")]
    pub context: Option<String>,
    /// The Dockerfile, relative to the context.
    #[serde(skip_serializing_if = "omit")]
    pub dockerfile: Option<String>,
    /// The Dockerfile's text, instead of one in the context.
    #[serde(skip_serializing_if = "omit")]
    pub dockerfile_inline: Option<String>,
    /// Extra rights of the build.
    #[serde(skip_serializing_if = "omit")]
    pub entitlements: Vec<String>,
    /// Build arguments; `None` is taken from the builder's environment.
    #[serde(skip_serializing_if = "omit")]
    pub args: Environment,
    /// Provenance attestation.
    #[serde(skip_serializing_if = "omit")]
    pub provenance: Option<String>,
    /// SBOM attestation.
    #[serde(skip_serializing_if = "omit")]
    pub sbom: Option<String>,
    /// SSH agents and keys.
    #[serde(skip_serializing_if = "omit")]
    pub ssh: Vec<SshKey>,
    /// Labels of the image.
    #[serde(skip_serializing_if = "omit")]
    pub labels: Labels,
    /// Where cached steps come from.
    #[serde(skip_serializing_if = "omit")]
    pub cache_from: Vec<String>,
    /// Where cached steps go to.
    #[serde(skip_serializing_if = "omit")]
    pub cache_to: Vec<String>,
    /// Every step is run.
    #[serde(skip_serializing_if = "omit")]
    pub no_cache: bool,
    /// Stages whose steps are always run.
    #[serde(skip_serializing_if = "omit")]
    pub no_cache_filter: Vec<String>,
    /// Further contexts by name.
    #[serde(skip_serializing_if = "omit")]
    pub additional_contexts: Labels,
    /// Base images are pulled even where they are there.
    #[serde(skip_serializing_if = "omit")]
    pub pull: bool,
    /// Further lines of `/etc/hosts` in build steps.
    #[serde(skip_serializing_if = "omit")]
    pub extra_hosts: ExtraHosts,
    /// Isolation (Windows).
    #[serde(skip_serializing_if = "omit")]
    pub isolation: Option<String>,
    /// Network of build steps.
    #[serde(skip_serializing_if = "omit")]
    pub network: Option<String>,
    /// The stage to build.
    #[serde(skip_serializing_if = "omit")]
    pub target: Option<String>,
    /// Secrets that build steps may mount.
    #[serde(skip_serializing_if = "omit")]
    pub secrets: Vec<FileReference>,
    /// Size of `/dev/shm` in build steps.
    #[serde(skip_serializing_if = "omit")]
    pub shm_size: Option<Bytes>,
    /// Further names of the image.
    #[serde(skip_serializing_if = "omit")]
    pub tags: Vec<String>,
    /// Resource limits of build steps.
    #[serde(skip_serializing_if = "omit")]
    pub ulimits: BTreeMap<String, Ulimit>,
    /// Platforms to build for.
    #[serde(skip_serializing_if = "omit")]
    pub platforms: Vec<String>,
    /// Build steps have all rights.
    #[serde(skip_serializing_if = "omit")]
    pub privileged: bool,
    /// `x-` keys.
    #[serde(skip)]
    pub extensions: Extensions,
}

/// An SSH agent or key; serialises as `id` or `id: path`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SshKey {
    /// `default`, or another name.
    pub id: String,
    /// The socket or key file.
    pub path: Option<String>,
}

impl Serialize for SshKey {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match &self.path {
            None => serializer.serialize_str(&self.id),
            Some(path) => serializer.collect_str(&format_args!("{}: {path}", self.id)),
        }
    }
}

/// What happens during development.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Develop {
    /// What to do when files change.
    #[serde(skip_serializing_if = "omit")]
    pub watch: Vec<WatchRule>,
    /// `x-` keys.
    #[serde(skip)]
    pub extensions: Extensions,
}

/// What a [`WatchRule`] does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub enum WatchAction {
    /// Copies what changed into the containers.
    #[serde(rename = "sync")]
    Sync,
    /// Builds the image again and recreates the containers.
    #[serde(rename = "rebuild")]
    Rebuild,
    /// Restarts the containers.
    #[serde(rename = "restart")]
    Restart,
    /// Copies, then restarts.
    #[serde(rename = "sync+restart")]
    SyncRestart,
    /// Copies, then runs a command in the containers.
    #[serde(rename = "sync+exec")]
    SyncExec,
}

impl WatchAction {
    /// All of them with their names in the file.
    pub const ALL: [(&'static str, Self); 5] = [
        ("sync", Self::Sync),
        ("rebuild", Self::Rebuild),
        ("restart", Self::Restart),
        ("sync+restart", Self::SyncRestart),
        ("sync+exec", Self::SyncExec),
    ];

    /// Whether it copies files.
    pub fn syncs(self) -> bool {
        matches!(self, Self::Sync | Self::SyncRestart | Self::SyncExec)
    }
}

/// What to do when files below a path change.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct WatchRule {
    /// The watched file or folder, absolute.
    pub path: String,
    /// What to do.
    pub action: WatchAction,
    /// Where files go in the container.
    #[serde(skip_serializing_if = "omit")]
    pub target: Option<String>,
    /// The command of [`WatchAction::SyncExec`].
    pub exec: Hook,
    /// Patterns, relative to `path`, of the only files that count; all when empty.
    #[serde(skip_serializing_if = "omit")]
    pub include: Vec<String>,
    /// Patterns, relative to `path`, of files that do not count.
    #[serde(skip_serializing_if = "omit")]
    pub ignore: Vec<String>,
    /// Copies everything when watching starts.
    #[serde(skip_serializing_if = "omit")]
    pub initial_sync: bool,
}

/// A command that is run at a point of a container's life.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Hook {
    /// The command's words.
    pub command: super::service::Command,
    /// The image of a `pre_start` step; the service's own when absent.
    #[serde(skip_serializing_if = "omit")]
    pub image: Option<String>,
    /// Who runs it.
    #[serde(skip_serializing_if = "omit")]
    pub user: Option<String>,
    /// With all rights.
    #[serde(skip_serializing_if = "omit")]
    pub privileged: bool,
    /// Where it runs.
    #[serde(skip_serializing_if = "omit")]
    pub working_dir: Option<String>,
    /// Its environment, besides the container's.
    #[serde(skip_serializing_if = "omit")]
    pub environment: Environment,
    /// A `pre_start` step runs for each container instead of once.
    #[serde(skip_serializing_if = "omit")]
    pub per_replica: bool,
}
