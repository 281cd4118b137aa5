//! The port through which something gets to run in a container's init process.

use std::fmt;
use std::os::fd::RawFd;

use oci_spec::runtime::Spec;

use super::error::StartError;
use super::report::Reporter;

/// Something that runs in the init process of a container.
///
/// Both methods run in the container: inside its namespaces, root file system and cgroup, as its user, with its
/// capabilities and under its seccomp filter. The process has one thread and default signal dispositions.
pub trait Workload: fmt::Debug + Send + Sync {
    /// Checks, before the container is reported as created, that [`run`](Self::run) can work.
    ///
    /// # Errors
    /// The caller of [`create`](super::create()) gets the error as it is.
    fn validate(&self, spec: &Spec) -> Result<(), StartError>;

    /// Runs after the start signal. Does not return when all goes well: it replaces the process image, or ends the
    /// process with the guest's exit code.
    ///
    /// A workload that goes on running in this process calls [`StartSignal::started`] when its guest begins to run; until
    /// then `start` waits, and a returned error is what it reports. After that an error goes to the container's
    /// standard error. Either way the process then exits with [`StartError::exit_code`].
    fn run(&self, spec: &Spec, signal: &mut StartSignal) -> StartError;

    /// File descriptors above 2 that `run` needs. All others are closed before it is called. They stay close-on-exec.
    fn keep_fds(&self) -> Vec<RawFd> {
        Vec::new()
    }

    /// Whether `/proc` stays visible. If not, an empty read-only file system lies over it before either method is called.
    fn sees_proc(&self) -> bool {
        true
    }
}

/// Tells the caller of [`Sandbox::start`](super::Sandbox::start) that the workload has begun.
#[derive(Debug)]
pub struct StartSignal(pub(super) Option<Reporter>);

impl StartSignal {
    /// The guest begins to run: `start` returns. Calling it again does nothing. A successful `execve` implies it.
    pub fn started(&mut self) {
        self.0 = None;
    }
}
