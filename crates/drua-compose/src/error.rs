use drua_api::ClientError;
use drua_composefile::{Condition, ServiceName};
use drua_types::{Classify, ErrorKind, Hint};

/// An operation on a project failed.
#[derive(Debug, thiserror::Error)]
pub enum ComposeError {
    /// A request to the engine failed.
    #[error("cannot {what}")]
    Request {
        /// For example ``create network `p_default` ``.
        what: String,
        /// Why.
        #[source]
        source: ClientError,
    },
    /// An image is not there, and could not be pulled.
    #[error("service `{service}` needs the image `{image}`, which is not there")]
    ImageMissing {
        /// Who needs it.
        service: ServiceName,
        /// Which image.
        image: String,
        /// What came of pulling it; absent when its policy forbids that.
        #[source]
        source: Option<PullError>,
    },
    /// A network or volume that is declared external does not exist.
    #[error("{kind} `{name}` is declared external and does not exist")]
    ExternalMissing {
        /// `network` or `volume`.
        kind: &'static str,
        /// Its full name.
        name: String,
    },
    /// A network of the wanted name belongs to somebody else.
    #[error("network `{name}` exists already and does not belong to project `{project}`")]
    ForeignNetwork {
        /// Its full name.
        name: String,
        /// The project.
        project: String,
    },
    /// A dependency is unhealthy.
    #[error("service `{service}` did not start: container `{container}` is unhealthy")]
    Unhealthy {
        /// The dependency.
        service: ServiceName,
        /// Its container.
        container: String,
    },
    /// A dependency has to become healthy and has no health check.
    #[error("service `{service}` cannot become healthy: container `{container}` has no health check")]
    NoHealthcheck {
        /// The dependency.
        service: ServiceName,
        /// Its container.
        container: String,
    },
    /// A dependency exited instead of fulfilling its condition.
    #[error("service `{service}` did not reach `{condition}`: container `{container}` exited with status {status}")]
    DependencyExited {
        /// The dependency.
        service: ServiceName,
        /// Its container.
        container: String,
        /// What it was to do.
        condition: Condition,
        /// Its exit status.
        status: i64,
    },
    /// The engine closed its event stream while something was awaited.
    #[error("the engine's event stream ended while waiting for service `{0}`")]
    EventsEnded(ServiceName),
    /// There is no such service in the project.
    #[error("no such service: {0}")]
    NoSuchService(String),
    /// The caller cancelled the operation.
    #[error("interrupted")]
    Interrupted,
    /// Several steps failed; the observer has been told of each.
    #[error("{}{}", .0[0], more(.0))]
    Steps(Vec<ComposeError>),
}

/// Pulling an image failed.
#[derive(Debug, thiserror::Error)]
pub enum PullError {
    /// The request failed.
    #[error("cannot pull it")]
    Request(#[source] ClientError),
    /// The engine reported a failure on the way.
    #[error("cannot pull it: {0}")]
    Reported(String),
}

fn more(errors: &[ComposeError]) -> String {
    match errors.len() {
        0 | 1 => String::new(),
        many => format!(" (and {} more)", many - 1),
    }
}

impl ComposeError {
    /// One error as itself, several as [`ComposeError::Steps`].
    pub(crate) fn of(mut errors: Vec<ComposeError>) -> Result<(), ComposeError> {
        match errors.len() {
            0 => Ok(()),
            1 => Err(errors.remove(0)),
            _ => Err(Self::Steps(errors)),
        }
    }

    pub(crate) fn request(what: impl Into<String>) -> impl FnOnce(ClientError) -> Self {
        let what = what.into();
        move |source| Self::Request { what, source }
    }
}

impl Classify for ComposeError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Request { source, .. } => source.kind(),
            Self::ImageMissing { .. } | Self::ExternalMissing { .. } | Self::NoSuchService(_) => ErrorKind::NotFound,
            Self::ForeignNetwork { .. } => ErrorKind::Conflict,
            Self::NoHealthcheck { .. } => ErrorKind::Invalid,
            Self::Unhealthy { .. } | Self::DependencyExited { .. } | Self::EventsEnded(_) | Self::Interrupted => {
                ErrorKind::Unavailable
            }
            Self::Steps(errors) => errors.first().map_or(ErrorKind::Internal, Classify::kind),
        }
    }
}

impl Hint for ComposeError {
    fn hints(&self) -> Vec<String> {
        match self {
            Self::Request { source, .. } => source.hints(),
            Self::ImageMissing { image, .. } => {
                vec![format!(
                    "load it with `drua load -i <archive>`, or import a root file system as `{image}` with `drua import`"
                )]
            }
            Self::ExternalMissing { kind, name } => {
                vec![format!("create it with `drua {kind} create {name}`, or remove `external: true`")]
            }
            Self::ForeignNetwork { name, .. } => {
                vec![format!("add `external: true` to use it, or give the project's own another `name` than `{name}`")]
            }
            Self::Unhealthy { container, .. } | Self::DependencyExited { container, .. } => {
                vec![format!("see what it says with `drua logs {container}`")]
            }
            Self::NoHealthcheck { service, .. } => {
                vec![format!("add a `healthcheck` to `{service}`, or depend on it with `condition: service_started`")]
            }
            Self::EventsEnded(_) | Self::NoSuchService(_) | Self::Interrupted => Vec::new(),
            Self::Steps(errors) => errors.iter().flat_map(Hint::hints).collect(),
        }
    }
}
