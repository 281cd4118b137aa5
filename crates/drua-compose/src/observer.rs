//! How callers learn what happens.

use drua_api::stream::StreamType;

/// What kind of thing a [`Resource`] is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ResourceKind {
    /// A network.
    Network,
    /// A volume.
    Volume,
    /// A container.
    Container,
    /// An image.
    Image,
}

/// The thing that a step is about.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Resource {
    /// Its kind.
    pub kind: ResourceKind,
    /// Its full name.
    pub name: String,
}

/// What is happening to a [`Resource`]; `…ing` is followed by the matching `…ed` or by `Failed`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// An image is being pulled.
    Pulling,
    /// An image has been pulled.
    Pulled,
    /// An image is being built.
    Building,
    /// An image has been built.
    Built,
    /// An image is being sent to its registry.
    Pushing,
    /// An image has been sent.
    Pushed,
    /// Being created.
    Creating,
    /// Has been created.
    Created,
    /// A container is being replaced by a new one.
    Recreating,
    /// A container has been replaced.
    Recreated,
    /// A container is being started.
    Starting,
    /// A container has been started.
    Started,
    /// A container runs already and is as it should be.
    Running,
    /// A dependency's condition is awaited.
    Waiting,
    /// A dependency is healthy.
    Healthy,
    /// A dependency has exited with status 0.
    Completed,
    /// A container is being stopped.
    Stopping,
    /// A container has been stopped.
    Stopped,
    /// A container is being restarted.
    Restarting,
    /// A container has been restarted.
    Restarted,
    /// A container is being killed.
    Killing,
    /// A container has been killed.
    Killed,
    /// Being removed.
    Removing,
    /// Has been removed.
    Removed,
    /// A network, volume or image is left alone since somebody else uses it.
    StillInUse,
    /// The step failed; the operation's error says why.
    Failed,
}

/// A line that a container wrote, without its line end.
#[derive(Debug, Clone, Copy)]
pub struct OutputLine<'a> {
    /// The service, empty for a container that is not a project's.
    pub service: &'a str,
    /// What the line is shown with: `web-1`, or the container's own name when the file gives one.
    pub label: &'a str,
    /// Where it was written.
    pub stream: StreamType,
    /// The bytes; not necessarily UTF-8. With `timestamps` they start with the time and a blank.
    pub line: &'a [u8],
}

/// Receives what happens. Methods are called from one task, in order, and must not block for long.
pub trait Observer: Sync {
    /// Something happens to a resource.
    fn status(&self, resource: &Resource, status: Status);

    /// Something that the user should know.
    fn warning(&self, text: &str);

    /// These paths are watched from now on.
    fn watching(&self, paths: &[String]) {
        let _ = paths;
    }

    /// A watch has done something.
    fn watch_action(&self, text: &str) {
        let _ = text;
    }

    /// A build wrote a line.
    fn build_output(&self, image: &str, line: &str) {
        let _ = (image, line);
    }

    /// A container wrote a line.
    fn output(&self, line: OutputLine<'_>);

    /// A container whose output is shown has exited.
    fn exited(&self, label: &str, status: i64);
}
