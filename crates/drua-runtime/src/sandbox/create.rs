//! From a specification to an init that waits for its start signal.
//!
//! Everything is read, opened and worked out first; then there is one `clone3` into the new namespaces, and what is left for
//! the [`init`](super::init) is system calls.

use std::io;
use std::os::fd::{AsFd as _, AsRawFd as _, OwnedFd};
use std::sync::Arc;

use drua_sys::clone::{Cloned, clone_single_threaded};
use drua_sys::fork::ForkError;
use drua_types::{Hint as _, error_chain};
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::waitpid;
use nix::unistd::Pid;
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::{DumpableBehavior, set_dumpable_behavior};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use super::error::{CreateError, StartError};
use super::init::{Init, Streams};
use super::prepare::{Prepared, prepare};
use super::report;
use super::{CreateOptions, Sandbox, Stdio, terminal};
use crate::cgroup::{Cgroup, CgroupError};

/// Creates a container whose init is a child of this process, confined, and waits for [`Sandbox::start`]. Takes
/// some milliseconds, during which it blocks.
///
/// The process must have one thread, since the child runs on as a copy of it. It becomes non-dumpable, so that processes in
/// the container cannot look into it.
///
/// # Errors
/// [`CreateError::Start`] when the command cannot be run. After an error nothing is left of the container.
pub fn create(options: CreateOptions) -> Result<Sandbox, CreateError> {
    require_valid_id(&options.id)?;
    let CreateOptions { id, bundle, state_dir, spec, stdio, workload } = options;
    let prepared = prepare(spec, &id, &bundle)?;
    let cgroup = Cgroup::open(&prepared.cgroup_path).map_err(|err| explain_cgroup(&err))?;
    let created = cgroup.create(&prepared.resources).map_err(|err| explain_cgroup(&err));
    let created = created.and_then(|()| build(prepared, &cgroup, stdio, workload));
    match created {
        Ok(Built { pid, pidfd, console, report, start }) => {
            Ok(Sandbox { pid, pidfd, console, state_dir, cgroup, waiting: Some((report, start)) })
        }
        Err(error) => {
            // Best effort: the error that led here is the one to report.
            if let Err(err) = super::destroy(&state_dir, cgroup.path()) {
                tracing::warn!(%err, "a container that could not be created left something behind");
            }
            Err(error)
        }
    }
}

struct Built {
    pid: u32,
    pidfd: OwnedFd,
    console: Option<OwnedFd>,
    report: report::Report,
    start: OwnedFd,
}

fn build(
    prepared: Prepared,
    cgroup: &Cgroup,
    stdio: Stdio,
    workload: Arc<dyn super::Workload>,
) -> Result<Built, CreateError> {
    let setup = |action| move |err: io::Error| CreateError::Setup { action, err };
    let Prepared { spec, namespaces, mut layout, credentials, .. } = prepared;
    let (reporter, report) = report::channel().map_err(setup("make a pipe"))?;
    let (start_inside, start) = pipe_with(PipeFlags::CLOEXEC).map_err(|errno| setup("make a pipe")(errno.into()))?;
    let process = spec.process().as_ref();
    let has_terminal = process.is_some_and(|process| process.terminal().unwrap_or(false));
    let (streams, outside) = match (stdio, process) {
        (Stdio::Terminal, Some(process)) if has_terminal => {
            let (inside, outside) = terminal::channel(process).map_err(setup("make a socket"))?;
            (Streams::Terminal(inside), Some(outside))
        }
        (Stdio::Fds { stdin, stdout, stderr }, _) if !has_terminal => {
            let above = |fd| above_stdio(fd).map_err(setup("duplicate a file descriptor"));
            (Streams::Fds([above(stdin)?, above(stdout)?, above(stderr)?]), None)
        }
        (Stdio::Terminal | Stdio::Fds { .. }, _) => {
            return Err(CreateError::Spec("`process.terminal` does not fit the given standard I/O".to_owned()));
        }
    };
    layout.cgroups = cgroup.views();
    layout.hides_proc = !workload.sees_proc();
    let entrance = cgroup.entrance(None).map_err(|err| explain_cgroup(&err))?;
    set_dumpable_behavior(DumpableBehavior::NotDumpable).map_err(|errno| setup("hide this process")(errno.into()))?;
    let init =
        Init { spec, namespaces, entrance, layout, credentials, streams, workload, reporter, start: start_inside };
    let (pid, pidfd) = spawn(init)?;
    let mut built = Built { pid, pidfd, console: None, report, start };
    let finish = |built: &mut Built| {
        built.console =
            outside.map(terminal::Outside::receive).transpose().map_err(setup("receive the terminal"))?.flatten();
        built.report.ready().map_err(|error| match error {
            Some(StartError::Confine(text)) => CreateError::Container(text),
            Some(error) => CreateError::Start(error),
            None => CreateError::Container("the container's init died while it was set up".to_owned()),
        })
    };
    match finish(&mut built) {
        Ok(()) => Ok(built),
        Err(error) => {
            end_child(Pid::from_raw(pid.cast_signed()));
            Err(error)
        }
    }
}

/// Clones the init; returns in the creator only.
fn spawn(init: Init) -> Result<(u32, OwnedFd), CreateError> {
    let namespace =
        |errno: rustix::io::Errno| CreateError::Setup { action: "change the pid namespace", err: errno.into() };
    let outer = match &init.namespaces.pid {
        Some(inner) => {
            let outer = std::fs::File::open("/proc/self/ns/pid");
            let outer = outer.map_err(|err| CreateError::Setup { action: "open the pid namespace", err })?;
            move_into_link_name_space(inner.as_fd(), Some(LinkNameSpaceType::ProcessID)).map_err(namespace)?;
            Some(outer)
        }
        None => None,
    };
    let cloned = clone_single_threaded(init.namespaces.new, init.entrance.unified());
    if let Ok(Cloned::Child) = cloned {
        init.run();
    }
    let back = outer.map(|outer| move_into_link_name_space(outer.as_fd(), Some(LinkNameSpaceType::ProcessID)));
    match cloned {
        Ok(Cloned::Parent { pid, pidfd }) => match back.transpose() {
            Ok(_) => Ok((pid, pidfd)),
            Err(errno) => {
                end_child(Pid::from_raw(pid.cast_signed()));
                Err(namespace(errno))
            }
        },
        Ok(Cloned::Child) => unreachable!("the child has gone its own way"),
        Err(ForkError::Threads(count)) => Err(CreateError::Threads(count)),
        Err(error) => Err(CreateError::Container(error_chain(&error))),
    }
}

/// With the hints: this goes to clients as one line of text.
fn explain_cgroup(error: &CgroupError) -> CreateError {
    let mut text = error_chain(error);
    for hint in error.hints() {
        text.push_str("; ");
        text.push_str(&hint);
    }
    CreateError::Container(text)
}

/// The child duplicates onto 0, 1 and 2 in turn.
pub(super) fn above_stdio(fd: OwnedFd) -> io::Result<OwnedFd> {
    if fd.as_raw_fd() > 2 { Ok(fd) } else { Ok(rustix::io::fcntl_dupfd_cloexec(&fd, 3)?) }
}

pub(super) fn end_child(pid: Pid) {
    // ESRCH and ECHILD: it has been waited for already.
    let _ = kill(pid, Signal::SIGKILL);
    let _ = waitpid(pid, None);
}

fn require_valid_id(id: &str) -> Result<(), CreateError> {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"_+-.".contains(&byte);
    if !id.is_empty() && id.len() <= 255 && id != "." && id != ".." && id.bytes().all(allowed) {
        return Ok(());
    }
    Err(CreateError::InvalidId(id.chars().take(80).collect()))
}
