//! How shims are started: by a template, a loaded shim program that forks one off for every request.
//!
//! Executing the binary takes several milliseconds of processor time, which no container has to wait for, and a hundred
//! that start at once even less. The template knows nothing of any container, and ends with the daemon.

use std::io::{IoSlice, PipeWriter, Read as _};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd as _, OwnedFd};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::Mutex;

use drua_types::ContainerId;
use rustix::net::{
    AddressFamily, SendAncillaryBuffer, SendAncillaryMessage, SendFlags, SocketFlags, SocketType, sendmsg, socketpair,
};

use crate::{Error, Result, open_files};

/// Starts shims.
#[derive(Debug)]
pub(crate) struct ShimPool {
    program: PathBuf,
    /// Named on the template's command line, so that people and tests see whose it is.
    bundles: PathBuf,
    template: Mutex<Option<Template>>,
}

#[derive(Debug)]
struct Template {
    process: Child,
    socket: OwnedFd,
}

impl ShimPool {
    pub(crate) fn new(program: PathBuf, bundles: PathBuf) -> Self {
        Self { program, bundles, template: Mutex::default() }
    }

    /// Has a template ready for the next start. Blocking, briefly; a failure shows when a shim is needed.
    pub(crate) fn warm(&self) {
        let mut template = crate::lock(&self.template);
        let runs = template.as_mut().is_some_and(|template| matches!(template.process.try_wait(), Ok(None)));
        if !runs {
            *template = self.load().ok();
        }
    }

    /// Starts the shim of a bundle and returns what it prints: its address. Blocking.
    pub(crate) fn start(&self, id: &ContainerId, bundle: &Path) -> Result<String> {
        match self.by_template(id, bundle) {
            Ok(address) if address.starts_with("unix://") => Ok(address),
            // The template has died meanwhile, or the shim says why it cannot: a fresh one says it again.
            _ => self.from_nothing(id, bundle),
        }
    }

    /// Runs one action of the shim program in the bundle, as containerd does. No event socket is named: `Wait` says all
    /// that the engine wants to know, also after a restart, which events do not.
    pub(crate) fn run(&self, action: &str, id: &ContainerId, bundle: &Path) -> Result<Output> {
        let mut command = self.command();
        command.args(["-id", id.as_str(), "-bundle"]).arg(bundle).arg(action);
        command.current_dir(bundle).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command.output().map_err(Error::io("run the shim", &self.program))
    }

    fn from_nothing(&self, id: &ContainerId, bundle: &Path) -> Result<String> {
        let output = self.run("start", id, bundle)?;
        let text = String::from_utf8_lossy(&output.stdout);
        match text.lines().next().map(str::trim) {
            Some(address) if output.status.success() && address.starts_with("unix://") => Ok(address.to_owned()),
            _ => {
                let message = String::from_utf8_lossy(&output.stderr);
                let message = format!("it did not start ({}): {}", output.status, message.trim());
                Err(Error::Shim { id: id.clone(), message })
            }
        }
    }

    fn by_template(&self, id: &ContainerId, bundle: &Path) -> std::io::Result<String> {
        let (mut answer, writer) = std::io::pipe()?;
        match &*crate::lock(&self.template) {
            Some(template) => template.ask(id, bundle, &writer)?,
            None => return Err(std::io::ErrorKind::NotFound.into()),
        }
        drop(writer);
        let mut text = String::new();
        // Ends when the shim serves: it lets go of its standard streams then.
        answer.read_to_string(&mut text)?;
        Ok(text.trim_end().to_owned())
    }

    fn load(&self) -> std::io::Result<Template> {
        let (ours, theirs) = socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)?;
        let mut command = self.command();
        command.arg("-bundle").arg(&self.bundles).arg("template").stdin(theirs).stdout(Stdio::null());
        Ok(Template { process: command.stderr(Stdio::null()).spawn()?, socket: ours })
    }

    fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        command
            .args(["shim", "-namespace", "drua"])
            .env_clear()
            .env("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin");
        if let Some(limit) = open_files::before() {
            command.env(drua_types::env::SHIM_OPEN_FILES, limit.to_string());
        }
        command
    }
}

impl Template {
    /// Sends a request; the shim answers into the pipe.
    fn ask(&self, id: &ContainerId, bundle: &Path, answer: &PipeWriter) -> std::io::Result<()> {
        let line = format!("{id} {}", bundle.display());
        let rights = [answer.as_fd()];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut ancillary = SendAncillaryBuffer::new(&mut space);
        ancillary.push(SendAncillaryMessage::ScmRights(&rights));
        // Without the signal: a template that is gone is an error like any other.
        sendmsg(&self.socket, &[IoSlice::new(line.as_bytes())], &mut ancillary, SendFlags::NOSIGNAL)?;
        Ok(())
    }
}
