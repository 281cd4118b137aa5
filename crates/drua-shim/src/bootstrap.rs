//! The `start` action: leaves a serving shim behind and prints its address.
//!
//! ```text
//!   start ── bind, log ── fork ──┬─ parent: print `unix://…`, exit 0
//!                                └─ child: own session, no stdio, subreaper ── serve
//! ```
//!
//! Everything that is likely to fail happens before the fork, where its error reaches whoever called. There is no second
//! `execve`: it would cost a millisecond and a half for each container. Under our own daemon there is none at all: a
//! [`template`](crate::template) has forked the shim already, which goes on here by [`start_here`].

use std::io::{self, Write as _};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::DirBuilderExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

use drua_sys::fork::{Fork, ForkError, fork_single_threaded};
use nix::sys::signal::{Signal, kill};
use rustix::fs::{Mode, OFlags};

use crate::args::Args;
use crate::record;
use crate::serve::{Setup, serve};
use crate::sockets::{self, BindError};

/// The shim is protected from the kernel's out-of-memory killer, as containerd's are: it holds the container's logs and
/// exit status. The container's own score comes from its specification.
pub(crate) const OOM_SCORE: &str = "-999";

/// The shim could not be started.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StartError {
    #[error("cannot find the bundle `{path}`")]
    Bundle {
        path: PathBuf,
        #[source]
        err: io::Error,
    },
    #[error("cannot {action} `{path}`")]
    File {
        action: &'static str,
        path: PathBuf,
        #[source]
        err: io::Error,
    },
    #[error(transparent)]
    Bind(#[from] BindError),
    #[error("cannot leave a shim behind")]
    Fork(#[from] ForkError),
    #[error("cannot print the shim's address")]
    Print(#[source] io::Error),
    #[error("cannot detach from the caller")]
    Detach(#[source] io::Error),
    #[error("cannot serve")]
    Serve(#[source] io::Error),
}

/// Where a shim's things are.
#[derive(Debug, Clone)]
pub(crate) struct Places {
    pub(crate) bundle: PathBuf,
    pub(crate) socket: PathBuf,
    pub(crate) io_socket: PathBuf,
}

impl Places {
    /// Of the shim that the command line means.
    pub(crate) fn of(args: &Args) -> Result<Self, StartError> {
        let given = args.bundle.clone().unwrap_or_else(|| PathBuf::from("."));
        let bundle = fs_err::canonicalize(&given).map_err(|err| StartError::Bundle { path: given, err })?;
        let path = |name| sockets::path_for(&bundle, name, &args.address, &args.namespace, &args.id);
        Ok(Self { socket: path("shim.sock"), io_socket: path("io.sock"), bundle })
    }

    /// Of the ttrpc socket, as containerd expects it.
    fn address(&self) -> String {
        format!("unix://{}", self.socket.display())
    }
}

/// Forks a shim off. Returns in the parent at once, in the child when the shim has ended. Needs root, and one thread.
pub(crate) fn start(args: &Args) -> Result<(), StartError> {
    let Some(ready) = prepare(args)? else { return Ok(()) };
    match fork_single_threaded()? {
        Fork::Parent(shim) => {
            let told = ready.tell(shim.as_raw().unsigned_abs());
            told.inspect_err(|_| {
                // Nobody would ever find it.
                let _ = kill(shim, Signal::SIGKILL);
            })
        }
        Fork::Child => ready.serve(args),
    }
}

/// Makes this process the shim, which somebody has forked already. Returns when the shim has ended.
pub(crate) fn start_here(args: &Args) -> Result<(), StartError> {
    let Some(ready) = prepare(args)? else { return Ok(()) };
    ready.tell(std::process::id())?;
    ready.serve(args)
}

/// A shim that has everything but a process of its own.
struct Ready {
    places: Places,
    listener: UnixListener,
    log: OwnedFd,
}

/// `None` when this container's shim is there already, and its address has been printed.
fn prepare(args: &Args) -> Result<Option<Ready>, StartError> {
    let places = Places::of(args)?;
    let address = places.address();
    let Some(listener) = listen(&places.socket)? else {
        return print(&address).map(|()| None);
    };
    let log = open_log(&places.bundle)?;
    write_address(&places.bundle, &address)?;
    Ok(Some(Ready { places, listener, log }))
}

impl Ready {
    /// Records which process the shim is, and prints its address.
    fn tell(&self, shim: u32) -> Result<(), StartError> {
        let bundle = &self.places.bundle;
        record::write_shim(bundle, shim).map_err(failed("record the shim in", bundle))?;
        print(&self.places.address())
    }

    fn serve(self, args: &Args) -> Result<(), StartError> {
        detach(self.log, &self.listener).map_err(StartError::Detach)?;
        let setup = Setup {
            namespace: args.namespace.clone(),
            id: args.id.clone(),
            events: std::env::var("TTRPC_ADDRESS").ok(),
            places: self.places,
            listener: self.listener,
        };
        serve(setup).map_err(StartError::Serve)
    }
}

/// Binds the socket; `None` when somebody listens on it already. A socket that nobody listens on is replaced.
fn listen(path: &Path) -> Result<Option<UnixListener>, StartError> {
    match sockets::bind(path) {
        Ok(listener) => return Ok(Some(listener)),
        Err(error) if error.err.kind() == io::ErrorKind::AddrInUse => {
            if UnixStream::connect(path).is_ok() {
                return Ok(None);
            }
            fs_err::remove_file(path).map_err(failed("remove the stale socket", path))?;
        }
        Err(error) if error.err.kind() == io::ErrorKind::NotFound => {
            // Only the directory for the sockets of long bundle paths may be missing.
            let directory = path.parent().unwrap_or(Path::new("/"));
            let made = std::fs::DirBuilder::new().recursive(true).mode(0o711).create(directory);
            made.map_err(failed("create", directory))?;
        }
        Err(error) => return Err(error.into()),
    }
    Ok(Some(sockets::bind(path)?))
}

fn open_log(bundle: &Path) -> Result<OwnedFd, StartError> {
    let path = bundle.join("shim.log");
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::APPEND | OFlags::CLOEXEC;
    rustix::fs::open(&path, flags, Mode::RUSR | Mode::WUSR).map_err(failed("open", &path))
}

/// A daemon that comes back finds the address here; containerd's shims do the same.
fn write_address(bundle: &Path, address: &str) -> Result<(), StartError> {
    let path = bundle.join("address");
    fs_err::write(&path, address).map_err(failed("write", &path))
}

/// Leaves the session, the terminal, the directory and the descriptors of whoever called: nothing of theirs may stay open
/// for as long as the container lives, or get into it.
fn detach(log: OwnedFd, listener: &UnixListener) -> io::Result<()> {
    rustix::process::setsid()?;
    let null = rustix::fs::open("/dev/null", OFlags::RDWR | OFlags::CLOEXEC, Mode::empty())?;
    rustix::stdio::dup2_stdin(&null)?;
    rustix::stdio::dup2_stdout(&null)?;
    rustix::stdio::dup2_stderr(&log)?;
    drop((null, log));
    drua_sys::child::close_fds_except(&[listener.as_raw_fd()])?;
    rustix::process::chdir("/")?;
    rustix::process::set_child_subreaper(Some(rustix::process::getpid()))?;
    rustix::thread::set_name(c"drua-shim")?;
    if let Err(error) = fs_err::write("/proc/self/oom_score_adj", OOM_SCORE) {
        // Lowering the score takes CAP_SYS_RESOURCE, which containers and virtual machines may lack.
        tracing::debug!(%error, "the shim is not protected from the out-of-memory killer");
    }
    Ok(())
}

fn print(address: &str) -> Result<(), StartError> {
    let mut stdout = io::stdout().lock();
    writeln!(stdout, "{address}").and_then(|()| stdout.flush()).map_err(StartError::Print)
}

fn failed<E: Into<io::Error>>(action: &'static str, path: &Path) -> impl FnOnce(E) -> StartError {
    move |err| StartError::File { action, path: path.to_owned(), err: err.into() }
}
