use std::io;
use std::path::PathBuf;

use drua_dockerfile::{ExpandError, IgnoreError, MountError, ParseError};
use drua_types::{Classify, Digest, ErrorKind, Hint, ImageRef};

/// Why a build failed.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// The Dockerfile is wrong.
    #[error(transparent)]
    Parse(#[from] ParseError),
    /// The Dockerfile wants its checks to pass.
    #[error("lint violation found for rules: {}", .0.join(", "))]
    Checks(Vec<String>),
    /// The Dockerfile is not there.
    #[error("Cannot locate specified Dockerfile: {0}")]
    NoDockerfile(String),
    /// A file of the build definition cannot be used.
    #[error("failed to read `{name}`: {reason}")]
    Definition {
        /// The file.
        name: String,
        /// Why not.
        reason: String,
    },
    /// `# syntax=` names something that is not the Dockerfile language.
    #[error("the frontend `{0}` is not supported: drua builds Dockerfiles by itself")]
    Frontend(String),
    /// A word cannot be expanded.
    #[error(transparent)]
    Expand(#[from] ExpandError),
    /// A mount is wrong.
    #[error(transparent)]
    Mount(#[from] MountError),
    /// `.dockerignore` is wrong.
    #[error("failed to read `.dockerignore`")]
    Ignore(#[from] IgnoreError),
    /// No such target.
    #[error("target stage \"{target}\" could not be found{}", did_you_mean(suggestion.as_deref()))]
    NoTarget {
        /// What was asked for.
        target: String,
        /// What may be meant.
        suggestion: Option<String>,
    },
    /// FROM is empty after expansion.
    #[error("base name ({0}) should not be blank")]
    BlankBase(String),
    /// Stages need each other.
    #[error("circular dependency detected on stage: {0}")]
    Cycle(String),
    /// `--from=3` with fewer stages.
    #[error("invalid from flag value {0}: there is no such stage")]
    NoStage(String),
    /// A platform is none.
    #[error("`{0}` is not a platform; platforms look like linux/amd64")]
    Platform(String),
    /// Something that RUN cannot do for this platform.
    #[error("cannot run commands for {platform}: {reason}")]
    CannotRun {
        /// The stage's platform.
        platform: String,
        /// Why.
        reason: &'static str,
    },
    /// Something is used without having been allowed.
    #[error("{0}")]
    NotAllowed(String),
    /// An instruction's value makes no sense.
    #[error("{0}")]
    Value(String),
    /// A base image cannot be used.
    #[error("failed to resolve image `{name}`")]
    Image {
        /// The image.
        name: String,
        /// Why.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
        /// What kind of failure that is.
        kind: ErrorKind,
    },
    /// COPY or ADD of something that is not there.
    #[error("\"/{path}\": not found{}", ignored_hint(*ignored))]
    NotFound {
        /// The source.
        path: String,
        /// Whether it is there but excluded.
        ignored: bool,
    },
    /// A copy onto something of another kind.
    #[error("cannot copy `{from}` to `{to}`: {reason}")]
    Copy {
        /// The source.
        from: String,
        /// The destination.
        to: String,
        /// Why not.
        reason: &'static str,
    },
    /// ADD of a URL.
    #[error("failed to fetch `{url}`: {reason}")]
    Fetch {
        /// The address.
        url: String,
        /// Why.
        reason: String,
    },
    /// ADD --checksum.
    #[error("digest mismatch for `{what}`: got {actual}, expected {expected}")]
    Checksum {
        /// The source.
        what: String,
        /// What came.
        actual: Digest,
        /// What was asked for.
        expected: String,
    },
    /// The command ended with something else than 0.
    #[error("The command '{command}' returned a non-zero code: {code}")]
    Command {
        /// The command line.
        command: String,
        /// Its exit code.
        code: u32,
        /// Whether memory ran out.
        out_of_memory: bool,
    },
    /// The command could not be started.
    #[error("failed to run `{command}`")]
    Start {
        /// The command line.
        command: String,
        /// Why.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A secret that RUN requires was not given.
    #[error("secret {0}: not found")]
    NoSecret(String),
    /// An SSH agent that RUN requires was not given.
    #[error("ssh agent {0}: not found")]
    NoSsh(String),
    /// The context is damaged or too large.
    #[error("failed to read the build context: {0}")]
    Context(String),
    /// Somebody canceled.
    #[error("the build was canceled")]
    Canceled,
    /// Another build is to blame: this one only waited for the same step.
    #[error("the disk failed: cannot {action} `{}`", path.display())]
    Io {
        /// What was attempted.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// The image could not be stored.
    #[error("failed to store the image")]
    Store {
        /// Why.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
        /// What kind of failure that is.
        kind: ErrorKind,
    },
    /// Two stages that build the same name.
    #[error("cannot name the image {0}: it is not a valid reference")]
    Name(String),
}

fn did_you_mean(suggestion: Option<&str>) -> String {
    suggestion.map(|word| format!(" (did you mean {word}?)")).unwrap_or_default()
}

fn ignored_hint(ignored: bool) -> &'static str {
    if ignored { " (it is in the context, but excluded by .dockerignore)" } else { "" }
}

/// The result of the crate's operations.
pub(crate) type Result<T> = std::result::Result<T, BuildError>;

impl BuildError {
    /// Prepares a conversion of I/O errors.
    pub(crate) fn io(action: &'static str, path: &std::path::Path) -> impl FnOnce(io::Error) -> Self + use<> {
        let path = path.to_owned();
        move |source| Self::Io { action, path, source }
    }

    /// Prepares a conversion of rustix' errors.
    pub(crate) fn os(action: &'static str, path: &std::path::Path) -> impl FnOnce(rustix::io::Errno) -> Self + use<> {
        let path = path.to_owned();
        move |source| Self::Io { action, path, source: source.into() }
    }

    pub(crate) fn store<E: std::error::Error + Classify + Send + Sync + 'static>(source: E) -> Self {
        Self::Store { kind: source.kind(), source: Box::new(source) }
    }

    pub(crate) fn image<E: std::error::Error + Classify + Send + Sync + 'static>(name: &str) -> impl FnOnce(E) -> Self {
        let name = name.to_owned();
        move |source| Self::Image { name, kind: source.kind(), source: Box::new(source) }
    }

    /// The exit code of the command that failed.
    pub fn exit_code(&self) -> Option<u32> {
        if let Self::Command { code, .. } = self { Some(*code) } else { None }
    }
}

impl Classify for BuildError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Image { kind, .. } | Self::Store { kind, .. } => *kind,
            Self::Io { .. } | Self::Start { .. } => ErrorKind::Internal,
            Self::NotAllowed(_) => ErrorKind::Denied,
            Self::CannotRun { .. } | Self::Frontend(_) => ErrorKind::Unsupported,
            Self::Canceled | Self::Fetch { .. } => ErrorKind::Unavailable,
            _ => ErrorKind::Invalid,
        }
    }
}

impl Hint for BuildError {
    fn hints(&self) -> Vec<String> {
        let hint = |text: &str| vec![text.to_owned()];
        match self {
            Self::Command { out_of_memory: true, .. } => hint("it ran out of memory: raise the build's `--memory`"),
            Self::Command { code: 127, .. } => {
                hint("a program was not found: install it in an earlier RUN, or check PATH and the shell")
            }
            Self::NoSecret(id) => vec![format!("give it with `--secret id={id},src=FILE` (drua build)")],
            Self::NoSsh(_) => hint("give it with `--ssh default` (drua build)"),
            Self::Frontend(_) => hint("remove the `# syntax=` line, or use docker/dockerfile:1"),
            Self::NotFound { ignored: false, .. } => {
                hint("sources are relative to the build context, the directory at the end of the build command")
            }
            Self::NotFound { ignored: true, .. } => hint("add a line with `!` and the path to .dockerignore"),
            Self::Io { source, .. } if source.raw_os_error() == Some(28) => {
                hint("the disk is full: `drua builder prune` frees what old builds keep")
            }
            _ => Vec::new(),
        }
    }
}

/// Reads an image's name.
pub(crate) fn reference(name: &str) -> Result<ImageRef> {
    name.parse().map_err(|_| BuildError::Name(name.to_owned()))
}
