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
    /// A secret or config cannot be given to a service.
    #[error("service `{service}` cannot have the {kind} `{key}`: {why}")]
    FileObject {
        /// `secret` or `config`.
        kind: &'static str,
        /// Its key.
        key: String,
        /// The service.
        service: ServiceName,
        /// What is wrong.
        why: String,
    },
    /// A hook failed.
    #[error("the hook `{command}` of container `{container}` exited with status {status}")]
    Hook {
        /// The container.
        container: String,
        /// The command.
        command: String,
        /// Its exit status.
        status: i64,
    },
    /// An image could not be built.
    #[error("cannot build the image of service `{service}`: {why}")]
    Build {
        /// The service.
        service: ServiceName,
        /// What the engine, or the disk, said.
        why: String,
    },
    /// An image could not be sent to its registry.
    #[error("cannot push `{image}`: {why}")]
    Push {
        /// The image.
        image: String,
        /// What the engine said.
        why: String,
    },
    /// No service has a rule.
    #[error("none of the selected services has anything to watch")]
    NothingToWatch,
    /// Files could not be watched or copied.
    #[error("cannot watch service `{service}`: {why}")]
    Watch {
        /// The service.
        service: ServiceName,
        /// What is wrong.
        why: String,
    },
    /// A dependency is unhealthy.
    #[error("service `{service}` did not start: container `{container}` is unhealthy{}", said(.last_words))]
    Unhealthy {
        /// The last lines that its check or it itself wrote.
        last_words: Vec<String>,
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
    #[error("service `{service}` did not reach `{condition}`: container `{container}` exited with status {status}{}", said(.last_words))]
    DependencyExited {
        /// The last lines that it wrote.
        last_words: Vec<String>,
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
    /// The project was not running in the time that it was given.
    #[error("the project was not running or healthy after {0} s")]
    WaitedTooLong(u64),
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

/// The last lines of a container, indented.
fn said(lines: &[String]) -> String {
    lines.iter().map(|line| format!("\n    {line}")).collect()
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
            Self::NothingToWatch
            | Self::NoHealthcheck { .. }
            | Self::FileObject { .. }
            | Self::Build { .. }
            | Self::Watch { .. } => ErrorKind::Invalid,
            Self::Hook { .. } | Self::Push { .. } | Self::WaitedTooLong(_) => ErrorKind::Unavailable,
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
            Self::NothingToWatch => {
                vec![
                    "add `develop: {watch: [...]}` to a service, or let rules be made of its Dockerfile with `--infer`"
                        .to_owned(),
                ]
            }
            Self::FileObject { .. }
            | Self::Hook { .. }
            | Self::Build { .. }
            | Self::Push { .. }
            | Self::WaitedTooLong(_)
            | Self::Watch { .. }
            | Self::EventsEnded(_)
            | Self::NoSuchService(_)
            | Self::Interrupted => Vec::new(),
            Self::Steps(errors) => errors.iter().flat_map(Hint::hints).collect(),
        }
    }
}
