//! One more process in a running container (`docker exec`).
//!
//! ```text
//!   caller ── pid namespace for its children ── clone3 ──┬─ back to its own pid namespace; waits for the report's end
//!                                                        └─ cgroup ─ all other namespaces ─ session, stdio ─ user,
//!                                                           capabilities, filter ─ look the command up ─ execve
//! ```
//!
//! The process is a child of the caller and has a process id of the caller's, although it lives in the container's pid
//! namespace: no process stands between. The caller waits for it ([`Execution::pid`]) as for any child.
//!
//! Until `execve` the process is a copy of the caller inside of the container. So it is not dumpable (nobody in there can
//! trace it or follow its links in `/proc`, CVE-2019-5736, CVE-2016-9962), it has no descriptors but standard I/O and the
//! report pipe by the time it touches a path of the container's (CVE-2024-21626), and it looks no library up.

use std::io;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::Duration;

use drua_sys::child;
use drua_sys::clone::{Cloned, clone_single_threaded};
use oci_spec::runtime::{LinuxNamespaceType, Process, Spec};
use rustix::io::Errno;
use rustix::process::{DumpableBehavior, set_dumpable_behavior, setsid};
use rustix::thread::{LinkNameSpaceType, ThreadNameSpaceType, move_into_link_name_space, move_into_thread_name_spaces};

use super::credentials::Credentials;
use super::error::ExecError;
use super::exec::run_program;
use super::init::{ExitGuard, Streams, confine, connect, own_keyring, own_streams, set_oom_score};
use super::prepare::home_variable;
use super::report::{self, Reporter};
use super::{Stdio, terminal};
use crate::cgroup::{Cgroup, CgroupError, Entrance};
use crate::spec::DEFAULT_CGROUP_PARENT;

/// How long a process may take to begin. Looking a command up takes less, unless the container's files hang.
const PATIENCE: Duration = Duration::from_secs(20);

/// What [`exec`](exec()) needs to know.
#[derive(Debug)]
pub struct ExecOptions<'a> {
    /// The container's id, for a specification that names no cgroup.
    pub id: &'a str,
    /// The process id of the container's init.
    pub pid: u32,
    /// Refers to the init, so that `pid` cannot mean another process meanwhile.
    pub init: BorrowedFd<'a>,
    /// The container's specification: its namespaces, its cgroup, its seccomp filter, which every process of the container
    /// is under, and the OOM score unless the process has one of its own.
    pub spec: &'a Spec,
    /// What to run. Counts: args, env (`HOME` is added from the container's passwd file), cwd, user with groups and umask,
    /// capabilities (none given: the caller's own stay), rlimits, no_new_privileges, OOM score, console size, terminal.
    pub process: Process,
    /// Standard input, output and error; [`Stdio::Terminal`] exactly when `process.terminal` is set.
    pub stdio: Stdio,
}

/// A process that runs in a container.
#[derive(Debug)]
pub struct Execution {
    /// Its process id, as the caller sees it. It is a child of the caller, who has to wait for it.
    pub pid: u32,
    /// Refers to it; becomes readable when it exits.
    pub pidfd: OwnedFd,
    /// The terminal's master, if it has a terminal.
    pub console: Option<OwnedFd>,
}

/// Starts a process in a running container, confined like everything in it. Returns when the program runs; takes about a
/// millisecond, during which it blocks, and up to 20 s when the container's files hang.
///
/// The caller must have one thread, since the child runs on as a copy of it, and CAP_SYS_ADMIN. It becomes non-dumpable. In a
/// frozen container the process would never begin: check that before.
///
/// # Errors
/// [`ExecError::Start`] when the command cannot be run, with runc's words; [`ExecError::NotRunning`] when the init has
/// ended. No process is left after an error.
pub fn exec(options: ExecOptions<'_>) -> Result<Execution, ExecError> {
    let ExecOptions { id, pid, init, spec, mut process, stdio } = options;
    let setup = |action| move |err: io::Error| ExecError::Setup { action, err };
    if process.args().as_ref().is_none_or(Vec::is_empty) {
        return Err(ExecError::Spec("it has no command".to_owned()));
    }
    let linux = spec.linux().as_ref();
    if process.oom_score_adj().is_none() {
        process.set_oom_score_adj(spec.process().as_ref().and_then(Process::oom_score_adj));
    }
    home_variable(&mut process, Path::new(&format!("/proc/{pid}/root")));
    let credentials = Credentials::of(&process, linux.and_then(|linux| linux.seccomp().as_ref()))?;
    let entrance = entrance(id, pid, spec)?;
    let (reporter, report) = report::channel().map_err(setup("make a pipe"))?;
    let terminal = process.terminal().unwrap_or(false);
    let (streams, outside) = match stdio {
        Stdio::Terminal if terminal => {
            let (inside, outside) = terminal::channel(&process).map_err(setup("make a socket"))?;
            (Streams::Terminal(inside), Some(outside))
        }
        Stdio::Fds { stdin, stdout, stderr } if !terminal => {
            let above = |fd| super::create::above_stdio(fd).map_err(setup("duplicate a file descriptor"));
            (Streams::Fds([above(stdin)?, above(stdout)?, above(stderr)?]), None)
        }
        Stdio::Terminal | Stdio::Fds { .. } => {
            return Err(ExecError::Spec("`process.terminal` does not fit the given standard I/O".to_owned()));
        }
    };
    let has_users =
        linux.is_some_and(|linux| linux.namespaces().iter().flatten().any(|ns| ns.typ() == LinuxNamespaceType::User));
    let joining = Joining { process, credentials, entrance, streams, reporter, has_users };
    set_dumpable_behavior(DumpableBehavior::NotDumpable).map_err(|errno| setup("hide this process")(errno.into()))?;

    let outer = fs_err::File::open("/proc/self/ns/pid").map_err(setup("open the pid namespace"))?;
    match move_into_thread_name_spaces(init, ThreadNameSpaceType::PROCESS_ID) {
        Ok(()) => {}
        Err(Errno::SRCH) => return Err(ExecError::NotRunning),
        Err(errno) => return Err(setup("enter the container's pid namespace")(errno.into())),
    }
    let cloned = clone_single_threaded(ThreadNameSpaceType::empty(), joining.entrance.unified());
    if let Ok(Cloned::Child) = cloned {
        joining.run(init);
    }
    let back = move_into_link_name_space(outer.as_fd(), Some(LinkNameSpaceType::ProcessID));
    let (pid, pidfd) = match cloned? {
        Cloned::Parent { pid, pidfd } => (pid, pidfd),
        Cloned::Child => unreachable!("the child has gone its own way"),
    };
    drop(joining);
    let give_up = |error| {
        super::create::end_child(nix::unistd::Pid::from_raw(pid.cast_signed()));
        Err(error)
    };
    if let Err(errno) = back {
        return give_up(setup("return to the own pid namespace")(errno.into()));
    }
    let console = match outside.map(terminal::Outside::receive).transpose() {
        Ok(console) => console.flatten(),
        Err(err) => return give_up(setup("receive the terminal")(err)),
    };
    match report.wait_for(PATIENCE) {
        None => give_up(ExecError::Timeout(PATIENCE)),
        Some(Err(error)) => give_up(ExecError::Start(error)),
        Some(Ok(())) => Ok(Execution { pid, pidfd, console }),
    }
}

/// The container's cgroup; where that takes no processes because the container has made cgroups below it (v2), its init's.
fn entrance(id: &str, pid: u32, spec: &Spec) -> Result<Entrance, CgroupError> {
    let path = spec.linux().as_ref().and_then(|linux| linux.cgroups_path().clone());
    let path = path.unwrap_or_else(|| PathBuf::from(DEFAULT_CGROUP_PARENT).join(id));
    Cgroup::open(&path)?.entrance(Some(pid))
}

/// Everything that the new process needs.
struct Joining {
    process: Process,
    credentials: Credentials,
    entrance: Entrance,
    streams: Streams,
    reporter: Reporter,
    has_users: bool,
}

impl Joining {
    fn run(self, init: BorrowedFd<'_>) -> ! {
        let _guard = ExitGuard;
        let Self { process, credentials, entrance, streams, reporter, has_users } = self;
        let enter = || {
            set_oom_score(Some(&process))?;
            entrance.enter().map_err(|err| confine("enter the cgroup")(&err))?;
            let mut kinds = ThreadNameSpaceType::MOUNT
                | ThreadNameSpaceType::NETWORK
                | ThreadNameSpaceType::INTER_PROCESS_COMMUNICATION
                | ThreadNameSpaceType::HOST_NAME_AND_NIS_DOMAIN_NAME
                | ThreadNameSpaceType::CONTROL_GROUP;
            kinds.set(ThreadNameSpaceType::USER, has_users);
            move_into_thread_name_spaces(init, kinds)
                .map_err(|errno| confine("enter the container's namespaces")(&errno))?;
            own_keyring().map_err(|err| confine("make a session keyring")(&err))?;
            setsid().map_err(|errno| confine("start a session")(&errno))?;
            connect(streams, false).map_err(|err| confine("set standard I/O up")(&err))?;
            child::close_fds_except(&[reporter.fd()]).map_err(|err| confine("close file descriptors")(&err))?;
            child::reset_signals();
            own_streams(credentials.uid())?;
            credentials.assume()
        };
        let error = match enter() {
            Ok(()) => run_program(&process),
            Err(error) => error,
        };
        reporter.error(&error);
        child::exit_now(error.exit_code().into());
    }
}
