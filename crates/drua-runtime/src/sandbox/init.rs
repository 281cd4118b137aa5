//! The container's init, from its first moment to where the workload begins.
//!
//! ```text
//! OOM score ─ cgroup ─ namespaces ─ keyring, session ─ root file system ─ host name ─ standard I/O ─ user, capabilities,
//! filter ─ Workload::validate                                       ⇒ created: says so, waits for the start signal
//! Workload::run                                                     ⇒ running
//! ```
//!
//! It is a copy of the creator that has one thread, so any code may run here. Until the user is changed it is root outside
//! of every limit: it takes paths of the container's only through descriptors of its root.

use std::io;
use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd, OwnedFd};
use std::sync::Arc;

use drua_sys::child;
use drua_types::exit;
use oci_spec::runtime::{Process, Spec};
use rustix::fs::{FileType, Mode, Uid};
use rustix::thread::{LinkNameSpaceType, ThreadNameSpaceType};

use super::credentials::Credentials;
use super::error::StartError;
use super::namespaces::Namespaces;
use super::report::Reporter;
use super::rootfs::{Layout, mount_console};
use super::terminal;
use super::workload::{StartSignal, Workload};
use crate::cgroup::Entrance;

/// Everything that the init needs.
pub(super) struct Init {
    pub(super) spec: Spec,
    pub(super) namespaces: Namespaces,
    pub(super) entrance: Entrance,
    pub(super) layout: Layout,
    pub(super) credentials: Credentials,
    pub(super) streams: Streams,
    pub(super) workload: Arc<dyn Workload>,
    pub(super) reporter: Reporter,
    /// A byte from here is the start signal; its end means that nobody will give one.
    pub(super) start: OwnedFd,
}

/// What becomes standard input, output and error.
pub(super) enum Streams {
    Fds([OwnedFd; 3]),
    Terminal(terminal::Inside),
}

/// Code that panics in a child must not unwind into the creator's.
pub(super) struct ExitGuard;

impl Drop for ExitGuard {
    fn drop(&mut self) {
        child::exit_now(exit::ENGINE.into());
    }
}

pub(super) fn confine(what: &'static str) -> impl Fn(&dyn std::fmt::Display) -> StartError {
    move |err| StartError::Confine(format!("cannot {what}: {err}"))
}

impl Init {
    pub(super) fn run(self) -> ! {
        let _guard = ExitGuard;
        let Self { spec, namespaces, entrance, layout, credentials, streams, workload, reporter, start } = self;
        let enter = || {
            set_oom_score(spec.process().as_ref())?;
            entrance.enter().map_err(|err| confine("enter the cgroup")(&err))?;
            join(&namespaces)?;
            own_keyring().map_err(|err| confine("make a session keyring")(&err))?;
            rustix::process::setsid().map_err(|errno| confine("start a session")(&errno))?;
            rustix::process::umask(Mode::empty());
            layout.enter().map_err(StartError::Confine)?;
            name_host(&spec, &namespaces)?;
            connect(streams, true).map_err(|err| confine("set standard I/O up")(&err))?;
            let mut keep = workload.keep_fds();
            keep.extend([reporter.fd(), start.as_raw_fd()]);
            child::close_fds_except(&keep).map_err(|err| confine("close file descriptors")(&err))?;
            child::reset_signals();
            own_streams(credentials.uid())?;
            credentials.assume()?;
            workload.validate(&spec)
        };
        if let Err(error) = enter() {
            reporter.error(&error);
            child::exit_now(error.exit_code().into());
        }
        reporter.ready();
        if !is_started(&start) {
            child::exit_now(exit::ENGINE.into());
        }
        drop(start);
        let mut signal = StartSignal(Some(reporter));
        let error = workload.run(&spec, &mut signal);
        match &signal.0 {
            Some(reporter) => reporter.error(&error),
            None => complain(&error),
        }
        child::exit_now(error.exit_code().into())
    }
}

/// Through the host's /proc, which is still in sight; the container's is not to be trusted with writes.
pub(super) fn set_oom_score(process: Option<&Process>) -> Result<(), StartError> {
    let Some(score) = process.and_then(Process::oom_score_adj) else { return Ok(()) };
    let written = std::fs::write("/proc/self/oom_score_adj", score.to_string());
    written.map_err(|err| confine("set the OOM score")(&err))
}

fn join(namespaces: &Namespaces) -> Result<(), StartError> {
    namespaces.enter().map_err(|errno| confine("join a namespace")(&errno))?;
    if namespaces.cgroup {
        nix::sched::unshare(nix::sched::CloneFlags::CLONE_NEWCGROUP)
            .map_err(|errno| confine("make a cgroup namespace")(&errno))?;
    }
    Ok(())
}

/// Only in a namespace of the container's own, new or joined.
fn name_host(spec: &Spec, namespaces: &Namespaces) -> Result<(), StartError> {
    let own = namespaces.new.contains(ThreadNameSpaceType::HOST_NAME_AND_NIS_DOMAIN_NAME)
        || namespaces.has(LinkNameSpaceType::HostNameAndNISDomainName);
    if let Some(name) = spec.hostname().as_ref().filter(|_| own) {
        rustix::system::sethostname(name.as_bytes()).map_err(|errno| confine("set the host name")(&errno))?;
    }
    if let Some(name) = spec.domainname().as_ref().filter(|_| own) {
        rustix::system::setdomainname(name.as_bytes()).map_err(|errno| confine("set the domain name")(&errno))?;
    }
    Ok(())
}

/// The one that is inherited is the host's. Kernels may lack keyrings, and filters around us may deny them.
pub(super) fn own_keyring() -> io::Result<()> {
    match child::new_session_keyring() {
        Err(err) if matches!(err.raw_os_error(), Some(nix::libc::ENOSYS | nix::libc::EPERM)) => Ok(()),
        other => other,
    }
}

/// Makes the streams standard input, output and error; a terminal `/dev/console`, too, if the process is an init.
pub(super) fn connect(streams: Streams, is_init: bool) -> io::Result<()> {
    use rustix::stdio::{dup2_stderr, dup2_stdin, dup2_stdout};
    let [stdin, stdout, stderr] = match streams {
        Streams::Fds(fds) => fds,
        Streams::Terminal(inside) => {
            let terminal = super::create::above_stdio(inside.open()?)?;
            if is_init {
                mount_console(&terminal)?;
            }
            [terminal.try_clone()?, terminal.try_clone()?, terminal]
        }
    };
    dup2_stdin(&stdin)?;
    dup2_stdout(&stdout)?;
    Ok(dup2_stderr(&stderr)?)
}

/// So that a user other than root can open `/dev/stdout`, `/proc/self/fd/1` and the terminal, as with runc.
pub(super) fn own_streams(uid: Uid) -> Result<(), StartError> {
    for fd in [rustix::stdio::stdin(), rustix::stdio::stdout(), rustix::stdio::stderr()] {
        give_to(fd, uid).map_err(|err| confine("change the owner of standard I/O")(&err))?;
    }
    Ok(())
}

fn give_to(fd: BorrowedFd<'_>, uid: Uid) -> io::Result<()> {
    let stat = rustix::fs::fstat(fd)?;
    let kind = FileType::from_raw_mode(stat.st_mode);
    let is_null = kind == FileType::CharacterDevice && stat.st_rdev == rustix::fs::makedev(1, 3);
    if stat.st_uid == uid.as_raw() || is_null {
        return Ok(());
    }
    match rustix::fs::fchown(fd.as_fd(), Some(uid), None) {
        // Sockets and files on file systems that do not take owners stay as they are.
        Err(rustix::io::Errno::INVAL | rustix::io::Errno::PERM | rustix::io::Errno::ROFS) => Ok(()),
        other => Ok(other?),
    }
}

fn is_started(start: &OwnedFd) -> bool {
    loop {
        match rustix::io::read(start, &mut [0]) {
            Err(rustix::io::Errno::INTR) => {}
            result => return result == Ok(1),
        }
    }
}

fn complain(error: &StartError) {
    let _ = rustix::io::write(rustix::stdio::stderr(), format!("{error}\n").as_bytes());
}
