//! From a specification to an init that waits for its start signal.

use std::io::{self, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use drua_sys::{child, pidfd};
use drua_types::{Hint as _, error_chain, exit};
use fs_err as fs;
use libcontainer::container::builder::ContainerBuilder;
use libcontainer::error::LibcontainerError;
use libcontainer::syscall::syscall::SyscallType;
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::waitpid;
use nix::unistd::Pid;
use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};

use super::diagnostics::ToCreator;
use super::error::CreateError;
use super::init::Init;
use super::prepare::{Prepared, prepare};
use super::report::{self, Report};
use super::{CreateOptions, Sandbox, Stdio, paths};
use crate::cgroup::{Cgroup, CgroupError};

/// Creates a container whose init is a child of this process, confined, and waits for [`Sandbox::start`]. Takes about
/// 5 ms, during which it blocks.
///
/// The process must have one thread, since the children run on as copies of it. It becomes non-dumpable, so that
/// processes in the container cannot look into it.
///
/// # Errors
/// [`CreateError::Start`] when the command cannot be run. After an error nothing is left of the container.
pub fn create(options: CreateOptions) -> Result<Sandbox, CreateError> {
    require_one_thread()?;
    require_valid_id(&options.id)?;
    let CreateOptions { id, bundle, state_dir, spec, stdio, workload } = options;
    let prepared = prepare(spec, &id, &bundle)?;
    write_config(&state_dir, &prepared)?;
    let attempt = build(&id, &state_dir, &prepared, stdio, workload);
    let created = attempt.and_then(|built| {
        let pid = Pid::from_raw(built.0.cast_signed());
        let sandbox = adopt(&id, built, &state_dir, &prepared);
        // Nobody has waited for the init yet, so its pid still is its own.
        sandbox.inspect_err(|_| end_child(pid))
    });
    created.inspect_err(|_| clean_up(&state_dir, &prepared.cgroup_path))
}

type Built = (u32, Option<OwnedFd>, Report);

fn build(
    id: &str,
    state_dir: &Path,
    prepared: &Prepared,
    stdio: Stdio,
    workload: Arc<dyn super::Workload>,
) -> Result<Built, CreateError> {
    let setup = |action| move |err| CreateError::Setup { action, err };
    let (reporter, report) = report::channel().map_err(setup("make a pipe"))?;
    let reporter = Arc::new(reporter);
    let init = Init { workload, confinement: Arc::new(prepared.confinement.clone()), reporter: Arc::clone(&reporter) };
    let creator = std::process::id();
    let subscriber = ToCreator { reporter, creator };

    let mut builder = ContainerBuilder::new(id.to_owned(), SyscallType::default()).with_executor(init);
    let mut console = None;
    match (stdio, prepared.terminal) {
        (Stdio::Terminal, true) => {
            let listener = listen_for_console(state_dir)?;
            builder = builder.with_console_socket(Some(state_dir.join(paths::CONSOLE_SOCKET)));
            console = Some(listener);
        }
        (Stdio::Fds { stdin, stdout, stderr }, false) => {
            let above = |fd| above_stdio(fd).map_err(setup("duplicate a file descriptor"));
            builder = builder.with_stdin(above(stdin)?).with_stdout(above(stdout)?).with_stderr(above(stderr)?);
        }
        (Stdio::Terminal, false) | (Stdio::Fds { .. }, true) => {
            return Err(CreateError::Spec("`process.terminal` does not fit the given standard I/O".to_owned()));
        }
    }

    let guard = ForkGuard { creator };
    let built = tracing::subscriber::with_default(subscriber, || {
        let builder = builder.with_root_path(state_dir)?.with_pid_file(Some(state_dir.join(paths::PID_FILE)))?;
        builder.as_init(state_dir).with_systemd(false).with_detach(true).build()
    });
    drop(guard);

    match built {
        Ok(container) => {
            let pid = container.pid().and_then(|pid| u32::try_from(pid.as_raw()).ok());
            let pid = pid.ok_or_else(|| CreateError::Container("libcontainer does not know its init".to_owned()))?;
            let console = console.map(receive_console).transpose().map_err(setup("receive the terminal"))?;
            Ok((pid, console, report))
        }
        Err(err) => {
            reap_failed(state_dir);
            Err(explain(&err, report))
        }
    }
}

/// In a child, code that comes back to here (by a panic in libcontainer) would go on as a second creator.
struct ForkGuard {
    creator: u32,
}

impl Drop for ForkGuard {
    fn drop(&mut self) {
        if std::process::id() != self.creator {
            child::exit_now(exit::ENGINE.into());
        }
    }
}

fn adopt(id: &str, built: Built, state_dir: &Path, prepared: &Prepared) -> Result<Sandbox, CreateError> {
    let (pid, console, report) = built;
    let pidfd = pidfd::open(pid).map_err(|err| CreateError::Setup { action: "open a pidfd for the init", err })?;
    let cgroup = Cgroup::open(&prepared.cgroup_path).map_err(|err| explain_cgroup(&err))?;
    let devices = prepared.spec.linux().as_ref().and_then(|linux| linux.resources().as_ref()?.devices().clone());
    cgroup.limit_devices(devices.as_deref()).map_err(|err| explain_cgroup(&err))?;
    set_oom_score(pid, prepared.oom_score_adj)?;
    Ok(Sandbox {
        pid,
        pidfd,
        console,
        id: id.to_owned(),
        state_dir: state_dir.to_owned(),
        cgroup,
        report: Some(report),
    })
}

/// Done from outside: the container's own `/proc` is not to be trusted with writes.
fn set_oom_score(pid: u32, score: Option<i32>) -> Result<(), CreateError> {
    let Some(score) = score else { return Ok(()) };
    let path = PathBuf::from(format!("/proc/{pid}/oom_score_adj"));
    fs::write(&path, score.to_string()).map_err(|err| CreateError::State { action: "write", path, err })
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

fn write_config(state_dir: &Path, prepared: &Prepared) -> Result<(), CreateError> {
    let state = |action, path: &Path| {
        let path = path.to_owned();
        move |err| CreateError::State { action, path, err }
    };
    fs::create_dir_all(state_dir).map_err(state("create", state_dir))?;
    let path = state_dir.join("config.json");
    let json = serde_json::to_vec(&prepared.spec).map_err(|err| CreateError::Spec(err.to_string()))?;
    fs::write(&path, json).map_err(state("write", &path))
}

fn listen_for_console(state_dir: &Path) -> Result<UnixListener, CreateError> {
    let path = state_dir.join(paths::CONSOLE_SOCKET);
    paths::with_short_path(&path, |short| UnixListener::bind(short)).map_err(|err| CreateError::State {
        action: "listen on",
        path,
        err,
    })
}

/// libcontainer connects before it forks and init sends before it is ready, so neither call waits.
fn receive_console(listener: UnixListener) -> io::Result<OwnedFd> {
    let (stream, _) = listener.accept()?;
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let mut name = [0; 64];
    recvmsg(&stream, &mut [IoSliceMut::new(&mut name)], &mut control, RecvFlags::CMSG_CLOEXEC)?;
    let received = control.drain().find_map(|message| match message {
        RecvAncillaryMessage::ScmRights(mut fds) => fds.next(),
        _ => None,
    });
    received.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "no terminal came"))
}

/// libcontainer duplicates onto 0, 1 and 2 in turn, and closes what it duplicated from.
pub(super) fn above_stdio(fd: OwnedFd) -> io::Result<OwnedFd> {
    if fd.as_raw_fd() > 2 { Ok(fd) } else { Ok(rustix::io::fcntl_dupfd_cloexec(&fd, 3)?) }
}

fn explain(err: &LibcontainerError, report: Report) -> CreateError {
    let outcome = report.wait();
    if let Some(error) = outcome.error {
        return CreateError::Start(error);
    }
    // The innermost cause comes first; what follows repeats it in ever more general words.
    let text = match outcome.diagnostics.as_slice() {
        [] => error_chain(err),
        diagnostics => diagnostics.iter().take(3).map(String::as_str).collect::<Vec<_>>().join("; "),
    };
    CreateError::Container(text)
}

/// libcontainer leaves its processes to init when it fails; ours would stay as zombies.
fn reap_failed(state_dir: &Path) {
    let init = fs::read_to_string(state_dir.join(paths::PID_FILE)).ok().and_then(|text| text.trim().parse().ok());
    for pid in init.into_iter().chain(intermediate_children()) {
        end_child(Pid::from_raw(pid));
    }
}

pub(super) fn end_child(pid: Pid) {
    // ESRCH and ECHILD: it has been waited for already.
    let _ = kill(pid, Signal::SIGKILL);
    let _ = waitpid(pid, None);
}

/// Children of ours with the name that libcontainer gives its intermediate process.
fn intermediate_children() -> Vec<i32> {
    let own = std::process::id().to_string();
    let is_ours = |stat: &str| {
        // pid (comm) state ppid …; the comm may contain anything.
        let (head, tail) = stat.rsplit_once(')')?;
        let parent = tail.split_ascii_whitespace().nth(1)?;
        (head.ends_with("(youki:[1:INTER]") && parent == own).then_some(())
    };
    let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
    let pids = entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    pids.filter(|pid| fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| is_ours(&stat).is_some()))
        .collect()
}

/// Best effort: the error that led here is the one to report.
fn clean_up(state_dir: &Path, cgroup_path: &Path) {
    if let Err(err) = super::destroy(state_dir, cgroup_path) {
        tracing::warn!(%err, "a container that could not be created left something behind");
    }
}

fn require_one_thread() -> Result<(), CreateError> {
    let threads = fs::read_dir("/proc/self/task").map_err(|err| CreateError::Setup { action: "count threads", err })?;
    match threads.count() {
        1 => Ok(()),
        count => Err(CreateError::Threads(count)),
    }
}

fn require_valid_id(id: &str) -> Result<(), CreateError> {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"_+-.".contains(&byte);
    if !id.is_empty() && id.len() <= 255 && id != "." && id != ".." && id.bytes().all(allowed) {
        return Ok(());
    }
    Err(CreateError::InvalidId(id.chars().take(80).collect()))
}
