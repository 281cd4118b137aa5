//! What can be done with a created container.

use drua_types::Signal;

use super::error::{DeleteError, SandboxError};
use super::{Sandbox, destroy};
use crate::cgroup::Stats;

impl Sandbox {
    /// Gives the start signal and waits until the workload has begun.
    ///
    /// # Errors
    /// [`SandboxError::Workload`] when it could not begin; the init then exits with
    /// [`StartError::exit_code`](super::StartError::exit_code), and is to be waited for like any other.
    pub fn start(&mut self) -> Result<(), SandboxError> {
        let (report, start) = self.waiting.take().ok_or(SandboxError::AlreadyStarted(self.pid))?;
        rustix::io::write(&start, b"s").map_err(|errno| SandboxError::Start { pid: self.pid, err: errno.into() })?;
        drop(start);
        report.wait().map_err(SandboxError::Workload)
    }

    /// Sends a signal to the init.
    ///
    /// # Errors
    /// With kind `NotFound` when it has been waited for.
    pub fn kill(&self, signal: Signal) -> Result<(), SandboxError> {
        drua_sys::pidfd::send_signal(&self.pidfd, signal.number()).map_err(|err| SandboxError::Kill {
            signal: signal.number(),
            pid: self.pid,
            err,
        })?;
        // With cgroup v1 a frozen process does not even die.
        if signal == Signal::KILL && self.cgroup.is_frozen().unwrap_or(false) {
            self.cgroup.thaw()?;
        }
        Ok(())
    }

    /// Sends a signal to every process of the container; with SIGKILL returns when none is left.
    pub fn kill_all(&self, signal: Signal) -> Result<(), SandboxError> {
        Ok(self.cgroup.kill_all(signal)?)
    }

    /// Stops all processes of the container.
    pub fn pause(&self) -> Result<(), SandboxError> {
        Ok(self.cgroup.freeze()?)
    }

    /// Lets them go on.
    pub fn resume(&self) -> Result<(), SandboxError> {
        Ok(self.cgroup.thaw()?)
    }

    /// What the container has used.
    pub fn stats(&self) -> Result<Stats, SandboxError> {
        Ok(self.cgroup.stats()?)
    }

    /// Kills what is left of the container and removes its cgroup and state. The init must still be waited for.
    ///
    /// # Errors
    /// Names everything that could not be removed.
    pub fn delete(self) -> Result<(), DeleteError> {
        // It may have left the cgroup, or never been in it.
        let _ = drua_sys::pidfd::send_signal(&self.pidfd, Signal::KILL.number());
        destroy(&self.state_dir, self.cgroup.path())
    }
}
